package jobsvc

import (
	"strconv"
	"time"
)

// Policy is an authorization policy in the AWS policy language, without its documents.
type Policy struct {
	Name           string
	DefaultVersion int64
	LastVersion    int64 // the highest number given so far: none is given twice
	GenerationID   string
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// PolicyVersion is one document of a policy.
type PolicyVersion struct {
	Number    int64
	Document  string
	CreatedAt time.Time
}

// ID is the number as the service shows it.
func (v *PolicyVersion) ID() string { return strconv.FormatInt(v.Number, 10) }

// PolicyDescription is a policy with one of its versions.
type PolicyDescription struct {
	Policy
	Version PolicyVersion
}

// IsDefault tells whether the version is the one in force.
func (d *PolicyDescription) IsDefault() bool { return d.Version.Number == d.DefaultVersion }

// ListPolicyVersionsResult are all versions of a policy, newest first.
type ListPolicyVersionsResult struct {
	Policy   Policy
	Versions []PolicyVersion
}

// ListPoliciesResult is a page of policies.
type ListPoliciesResult struct {
	Policies   []Policy
	NextMarker string
}

// TestAuthorizationRequest is the input of TestAuthorization.
type TestAuthorizationRequest struct {
	Principal string // ARN of a certificate or thing group, or a Cognito identity; "" for the added policies alone
	ClientID  string
	Infos     []AuthInfo
	Add, Skip []string // names of policies
}

// AuthInfo is a question: may an action be done on resources.
type AuthInfo struct {
	ActionType string // PUBLISH, SUBSCRIBE, RECEIVE, CONNECT; "" is PUBLISH
	Resources  []string
}

// AuthResult is the answer.
type AuthResult struct {
	AuthInfo
	Decision string   // ALLOWED, EXPLICIT_DENY, IMPLICIT_DENY
	Allow    []string // names of the policies that allow it
	Deny     []string // that forbid it
	Missing  []string // names of variables and keys they look at that have no value
}
