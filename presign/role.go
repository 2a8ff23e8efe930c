package presign

import (
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// role is what an ARN stands for: credentials for a store, and how far they may be used.
type role struct {
	arn         string
	store       *store
	credentials aws.Credentials
	allow       [][2]string // globs of bucket and key
	// signer is the role's own: it caches derived keys by access key alone, and two
	// roles may have the same access key with different secrets.
	signer *v4.Signer
}

func newRole(c *RoleConfig, st *store, key string) (*role, error) {
	r := &role{
		arn:   c.ARN,
		store: st,
		// S3 signs the path as it is sent; every other service has it encoded once more.
		signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
	}
	var err error
	if r.credentials.AccessKeyID, err = inlineOrFile(c.Credentials.AccessKey, c.Credentials.AccessKeyFile); err != nil {
		return nil, fmt.Errorf("%s.credentials.accessKeyFile: %w", key, err)
	}
	if r.credentials.SecretAccessKey, err = inlineOrFile(string(c.Credentials.SecretKey), c.Credentials.SecretKeyFile); err != nil {
		return nil, fmt.Errorf("%s.credentials.secretKeyFile: %w", key, err)
	}
	r.credentials.SessionToken = string(c.Credentials.SessionToken)
	for _, a := range c.Allow {
		bucket, object, ok := strings.Cut(a, "/")
		if !ok {
			object = "*"
		}
		r.allow = append(r.allow, [2]string{bucket, object})
	}
	return r, nil
}

func inlineOrFile(value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if value = strings.TrimSpace(string(b)); value == "" {
		return "", fmt.Errorf("%s is empty", file)
	}
	return value, nil
}

// name is the last part of the ARN, which is what devices and operators are told.
func (r *role) name() string { return roleName(r.arn) }

func roleName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// allows tells whether the role may sign for an object. Bucket and key are matched
// apart, or a * of the bucket could reach into the key.
func (r *role) allows(bucket, key string) bool {
	for _, a := range r.allow {
		if glob(a[0], bucket) && glob(a[1], key) {
			return true
		}
	}
	return false
}

// queryBytes bounds the query of a URL the role signs, without versionId.
func (r *role) queryBytes() int {
	if r.credentials.SessionToken != "" {
		return 3000
	}
	return 400
}
