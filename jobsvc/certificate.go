package jobsvc

import "time"

// CertificateStatus is the state of a registered certificate.
type CertificateStatus string

// The statuses of a certificate; only ACTIVE may connect, and REVOKED is final.
const (
	CertificateActive   CertificateStatus = "ACTIVE"
	CertificateInactive CertificateStatus = "INACTIVE"
	CertificateRevoked  CertificateStatus = "REVOKED"
)

// Certificate is a registered client certificate. ID is the lower-case hex
// SHA-256 of its DER form.
type Certificate struct {
	ID           string
	PEM          string
	Status       CertificateStatus
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

// ListCertificatesResult is a page of certificates.
type ListCertificatesResult struct {
	Certificates []Certificate
	NextMarker   string
}

// Binding is what a certificate may stand for when it connects: its record and
// the names of the things it is attached to that exist.
type Binding struct {
	Certificate
	Things   []string
	Policies []string // names of the policies attached to it
}

// Policy is an authorization policy in the AWS policy language.
type Policy struct {
	Name         string
	Document     string
	VersionID    string
	GenerationID string
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// ListPoliciesResult is a page of policies, by name.
type ListPoliciesResult struct {
	Policies   []Policy
	NextMarker string
}
