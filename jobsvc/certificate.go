package jobsvc

import (
	"regexp"
	"time"
)

// CertificateStatus is the state of a registered certificate.
type CertificateStatus string

// The statuses of a certificate; only ACTIVE may connect, and REVOKED is final.
const (
	CertificateActive   CertificateStatus = "ACTIVE"
	CertificateInactive CertificateStatus = "INACTIVE"
	CertificateRevoked  CertificateStatus = "REVOKED"
)

// CertificateMode says how a certificate was registered.
type CertificateMode string

// The modes. With SNI_ONLY a client certificate needs no CA, and a CA no proof.
const (
	ModeDefault CertificateMode = "DEFAULT"
	ModeSNIOnly CertificateMode = "SNI_ONLY"
)

// Certificate is a registered client certificate. ID is the lower-case hex
// SHA-256 of its DER form.
type Certificate struct {
	ID           string
	PEM          string
	Status       CertificateStatus
	Mode         CertificateMode
	CAID         string `json:",omitempty"` // of the registered CA that signed it
	GenerationID string // UUID
	NotBefore    time.Time
	NotAfter     time.Time
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Version      int64
}

// KeysAndCertificate is the answer of CreateKeysAndCertificate: an RSA 2048 key,
// PKCS#1 PEM, which is never stored, and the certificate made for it.
type KeysAndCertificate struct {
	Certificate
	PrivateKeyPEM string
	PublicKeyPEM  string
}

// RegisterCertificateRequest is the input of RegisterCertificate and, without CAPEM, of
// RegisterCertificateWithoutCA. Status "" is INACTIVE.
type RegisterCertificateRequest struct {
	PEM    string
	CAPEM  string // which of the registered CAs it is, when several have the name
	Status CertificateStatus
}

// ListByTimeRequest asks for a list by time of creation: newest first unless Ascending.
type ListByTimeRequest struct {
	Ascending bool
	Page      Page
}

// ListCertificatesResult is a page of certificates.
type ListCertificatesResult struct {
	Certificates []Certificate
	NextMarker   string
}

// CACertificate is a registered CA: the certificates it signed can be registered.
type CACertificate struct {
	ID               string
	PEM              string
	Status           CertificateStatus // ACTIVE or INACTIVE
	Mode             CertificateMode
	AutoRegistration bool
	Registration     *RegistrationConfig
	GenerationID     string
	NotBefore        time.Time
	NotAfter         time.Time
	CreatedAt        time.Time
	UpdatedAt        time.Time
	Version          int64
}

// RegistrationConfig is what devices of a CA are provisioned with. It is stored and
// returned: provisioning is not built yet.
type RegistrationConfig struct {
	TemplateBody, RoleARN, TemplateName string
}

// RegisterCACertificateRequest is the input of RegisterCACertificate. In the mode
// DEFAULT Verification is a certificate signed by the CA whose common name is the
// registration code.
type RegisterCACertificateRequest struct {
	PEM              string
	VerificationPEM  string
	Mode             CertificateMode // "" is DEFAULT
	SetAsActive      bool
	AutoRegistration bool
	Registration     *RegistrationConfig
	Tags             []Tag
}

// UpdateCACertificateRequest is the input of UpdateCACertificate; what is nil stays.
type UpdateCACertificateRequest struct {
	ID                 string
	Status             CertificateStatus // "" stays
	AutoRegistration   *bool
	Registration       *RegistrationConfig
	RemoveRegistration bool
}

// ListCACertificatesResult is a page of CA certificates.
type ListCACertificatesResult struct {
	Certificates []CACertificate
	NextMarker   string
}

// Binding is what a certificate may stand for when it connects: its record and
// the names of the things it is attached to that exist.
type Binding struct {
	Certificate
	Things   []string
	Policies []string // names of the policies attached to it
	// Exclusive: the attachment to its thing is EXCLUSIVE_THING.
	Exclusive bool
}

var cognitoIdentity = regexp.MustCompile(`^[a-z0-9-]{1,55}:[0-9a-fA-F-]{1,55}$`)

// IsCognitoIdentity tells whether a principal is an Amazon Cognito identity: a region and
// an ID. It can be attached as a certificate can, and is never who connects here.
func IsCognitoIdentity(principal string) bool { return cognitoIdentity.MatchString(principal) }

// AttachThingPrincipalRequest is the input of AttachThingPrincipal. With Exclusive the
// certificate has no other thing.
type AttachThingPrincipalRequest struct {
	ThingName string
	Principal string // ARN of a certificate, or a Cognito identity
	Exclusive bool
}

// PrincipalType filters the attachments of a list: "" is all.
type PrincipalType string

// The types of attachments.
const (
	ExclusiveThing    PrincipalType = "EXCLUSIVE_THING"
	NonExclusiveThing PrincipalType = "NON_EXCLUSIVE_THING"
)

// PrincipalAttachment is an element of the V2 lists: the ARN of a principal or the name
// of a thing.
type PrincipalAttachment struct {
	Name string
	Type PrincipalType
}

// PrincipalsResult is a page of attachments.
type PrincipalsResult struct {
	Attachments []PrincipalAttachment
	NextToken   string
}
