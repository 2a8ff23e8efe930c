package auth

import (
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// NewAccessKey makes a random access key in the form AWS gives them, which is what
// clients check for: an ID of 20 characters that begins with AKIA, and a secret of 40.
func NewAccessKey(role jobsvc.Role, name string, now time.Time) jobsvc.AccessKey {
	secret := make([]byte, 30)
	rand.Read(secret) // never fails: crypto/rand ends the process instead
	return jobsvc.AccessKey{
		ID:        "AKIA" + rand.Text()[:16],
		Secret:    base64.StdEncoding.EncodeToString(secret),
		Role:      role,
		Name:      name,
		CreatedAt: now,
	}
}
