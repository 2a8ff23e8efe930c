package jobsvc

import (
	"regexp"
	"time"
)

// Role is what an operator's access key may do.
type Role string

// The roles. A viewer reads, an operator does everything but manage access keys.
const (
	RoleAdmin    Role = "admin"
	RoleOperator Role = "operator"
	RoleViewer   Role = "viewer"
)

// AccessKey is an operator's credential for signed requests.
type AccessKey struct {
	ID        string // 20 characters, AKIA…
	Secret    string
	Role      Role
	Name      string // of the operator
	CreatedAt time.Time
}

// CreateAccessKeyRequest is the input of CreateAccessKey.
type CreateAccessKeyRequest struct {
	Name string // of the operator: 1 to 64 of letters, digits and _+=,.@-
	Role Role
}

var operatorName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

// Validate checks form and role. Errors: CodeInvalidRequest.
func (r *CreateAccessKeyRequest) Validate() error {
	if err := validatePattern("name", r.Name, operatorName); err != nil {
		return err
	}
	switch r.Role {
	case RoleAdmin, RoleOperator, RoleViewer:
		return nil
	}
	return invalidValue("role", string(r.Role), "Member must satisfy enum value set: [admin, operator, viewer]")
}

// ListAccessKeysResult is a page of access keys, without their secrets.
type ListAccessKeysResult struct {
	Keys      []AccessKey
	NextToken string
}
