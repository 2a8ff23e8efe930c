package engine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

var zeroTime time.Time

// CreateKeysAndCertificate makes a key and a certificate signed by the installation's
// CA, and registers the certificate: ACTIVE if asked, else INACTIVE. The key is in the
// answer and nowhere else.
//
// AWS: CreateKeysAndCertificate.
func (e *Engine) CreateKeysAndCertificate(ctx context.Context, setAsActive bool) (*jobsvc.KeysAndCertificate, error) {
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	if e.opts.Issuer == nil {
		return nil, jobsvc.Errorf(jobsvc.CodeUnavailable, "This server has no certificate authority.")
	}
	certPEM, private, public, err := e.opts.Issuer.IssueKeys(now)
	if err != nil {
		return nil, internal(err, "issue a key and certificate")
	}
	c, err := e.register(ctx, certPEM, setAsActive, now)
	if err != nil {
		return nil, err
	}
	return &jobsvc.KeysAndCertificate{Certificate: *c, PrivateKeyPEM: private, PublicKeyPEM: public}, nil
}

// CreateCertificateFromCSR makes and registers a certificate for a signing request.
// The same request twice gives two certificates. Errors: CodeInvalidRequest.
//
// AWS: CreateCertificateFromCsr.
func (e *Engine) CreateCertificateFromCSR(ctx context.Context, csrPEM string, setAsActive bool) (*jobsvc.Certificate, error) {
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	if e.opts.Issuer == nil {
		return nil, jobsvc.Errorf(jobsvc.CodeUnavailable, "This server has no certificate authority.")
	}
	certPEM, err := e.opts.Issuer.IssueCSR(csrPEM, now)
	if err != nil {
		return nil, internal(err, "issue a certificate")
	}
	return e.register(ctx, certPEM, setAsActive, now)
}

// register stores a certificate that the installation's CA made.
func (e *Engine) register(ctx context.Context, certPEM string, active bool, now time.Time) (*jobsvc.Certificate, error) {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("register a certificate: %w", err)
	}
	c := newCertificate(cert, certPEM, now)
	if active {
		c.Status = jobsvc.CertificateActive
	}
	_, err = e.store.Update(ctx, store.CertScope(c.ID), func(tx *store.Tx) error {
		tx.PutCertificate(c)
		return nil
	})
	return c, storeError(err)
}

// newCertificate is the record of a certificate, INACTIVE.
func newCertificate(cert *x509.Certificate, certPEM string, now time.Time) *jobsvc.Certificate {
	return &jobsvc.Certificate{
		ID: certificateID(cert), PEM: certPEM, Status: jobsvc.CertificateInactive, Mode: jobsvc.ModeDefault, GenerationID: uuid.NewString(),
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, CreatedAt: now, UpdatedAt: now, Version: 1,
	}
}

func certificateID(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// parseCertificate reads the first certificate of a PEM text. Errors:
// CodeCertificateValidation.
func parseCertificate(certPEM string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(certPEM))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, jobsvc.Errorf(jobsvc.CodeCertificateValidation, "There is no PEM certificate.")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, jobsvc.Errorf(jobsvc.CodeCertificateValidation, "The certificate cannot be parsed: %v.", err)
	}
	if cert.Version != 3 {
		return nil, jobsvc.Errorf(jobsvc.CodeCertificateValidation, "The certificate is of X.509 version %d, not 3.", cert.Version)
	}
	return cert, checkKey(cert)
}

// encodeCertificate is the PEM text of a certificate alone: what stands beside it in a file
// may be a private key, which is nobody's to keep.
func encodeCertificate(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

// checkKey refuses keys that the service does not take. Errors:
// CodeCertificateValidation.
func checkKey(cert *x509.Certificate) error {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= 2048 {
			return nil
		}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
	}
	return jobsvc.Errorf(jobsvc.CodeCertificateValidation, "The key of the certificate must be RSA of 2048 bits at least, or of the curve P-256, P-384 or P-521.")
}

// RegisterCertificate registers a certificate that a registered CA signed.
//
// Errors: CodeInvalidRequest for a status that cannot be registered;
// CodeCertificateValidation when it cannot be parsed, its key is weak, or no registered
// CA signed it; CodeCertificateConflict when several might have; CodeCertificateState
// for a CA that is INACTIVE; CodeAlreadyExists.
//
// AWS: RegisterCertificate.
func (e *Engine) RegisterCertificate(ctx context.Context, r *jobsvc.RegisterCertificateRequest) (*jobsvc.Certificate, error) {
	cert, err := parseCertificate(r.PEM)
	if err != nil {
		return nil, err
	}
	ca, err := e.signer(ctx, cert, r.CAPEM)
	if err != nil {
		return nil, err
	}
	if ca.Status != jobsvc.CertificateActive {
		return nil, jobsvc.Errorf(jobsvc.CodeCertificateState, "The CA %s is %s.", ca.ID, ca.Status)
	}
	return e.registerForeign(ctx, cert, r, func(c *jobsvc.Certificate) { c.CAID = ca.ID })
}

// RegisterCertificateWithoutCA registers any certificate: it is trusted for what it is,
// not for who signed it. Errors: CodeInvalidRequest, CodeCertificateValidation,
// CodeAlreadyExists.
//
// AWS: RegisterCertificateWithoutCA.
func (e *Engine) RegisterCertificateWithoutCA(ctx context.Context, r *jobsvc.RegisterCertificateRequest) (*jobsvc.Certificate, error) {
	cert, err := parseCertificate(r.PEM)
	if err != nil {
		return nil, err
	}
	return e.registerForeign(ctx, cert, r, func(c *jobsvc.Certificate) { c.Mode = jobsvc.ModeSNIOnly })
}

func (e *Engine) registerForeign(ctx context.Context, cert *x509.Certificate, r *jobsvc.RegisterCertificateRequest, complete func(*jobsvc.Certificate)) (*jobsvc.Certificate, error) {
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	c := newCertificate(cert, encodeCertificate(cert), now)
	switch r.Status {
	case "", jobsvc.CertificateInactive:
	case jobsvc.CertificateActive, jobsvc.CertificateRevoked:
		c.Status = r.Status
	default:
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "A certificate is registered with the status ACTIVE, INACTIVE or REVOKED, not %s.", r.Status)
	}
	complete(c)
	_, err = e.store.Update(ctx, store.CertScope(c.ID), func(tx *store.Tx) error {
		existing, err := tx.Certificate(c.ID)
		if err != nil {
			return err
		}
		if existing != nil {
			return &jobsvc.Error{
				Code:        jobsvc.CodeAlreadyExists,
				Message:     "The certificate is registered already.",
				ResourceID:  c.ID,
				ResourceARN: e.opts.Account.ARN(jobsvc.ARNCert, c.ID),
			}
		}
		tx.PutCertificate(c)
		return nil
	})
	return c, storeError(err)
}

// DeleteCertificate deletes a certificate that is not ACTIVE and attached to no thing;
// with force its policies are detached.
//
// Errors: CodeInvalidRequest, CodeNotFound, CodeCertificateState, CodeDeleteConflict.
//
// AWS: DeleteCertificate.
func (e *Engine) DeleteCertificate(ctx context.Context, id string, force bool) error {
	c, err := e.DescribeCertificate(ctx, id)
	if err != nil {
		return err
	}
	if c.Status == jobsvc.CertificateActive {
		return jobsvc.Errorf(jobsvc.CodeCertificateState, "Certificate %s is ACTIVE. Make it INACTIVE or REVOKED first.", c.ID)
	}
	things, _, _, err := e.store.ThingsOf(ctx, c.ID, "", 1)
	if err != nil {
		return storeError(err)
	}
	if len(things) > 0 {
		return jobsvc.Errorf(jobsvc.CodeDeleteConflict, "Certificate %s is attached to thing %s. Detach it first.", c.ID, things[0])
	}
	arn := e.opts.Account.ARN(jobsvc.ARNCert, c.ID)
	policies, _, err := e.store.PoliciesOf(ctx, arn, "", 1)
	if err != nil {
		return storeError(err)
	}
	if len(policies) > 0 && !force {
		return jobsvc.Errorf(jobsvc.CodeDeleteConflict, "The policy %s is attached to certificate %s. Detach it first, or use forceDelete.", policies[0], c.ID)
	}
	if err := e.detachAll(ctx, arn, nil); err != nil {
		return err
	}
	_, err = e.store.Update(ctx, store.CertScope(c.ID), func(tx *store.Tx) error {
		c, err := tx.Certificate(c.ID)
		if err != nil || c == nil {
			return err
		}
		if c.Status == jobsvc.CertificateActive {
			return jobsvc.Errorf(jobsvc.CodeCertificateState, "Certificate %s is ACTIVE. Make it INACTIVE or REVOKED first.", c.ID)
		}
		tx.DeleteCertificate(c)
		return nil
	})
	if err != nil {
		return storeError(err)
	}
	e.certificateChanged(c.ID)
	// What was attached while this went on goes, too: else one registered again had it.
	if err := e.detachAll(ctx, arn, nil); err != nil {
		return err
	}
	return e.detachThings(ctx, c.ID)
}

// detachThings ends all attachments of a certificate that is gone.
func (e *Engine) detachThings(ctx context.Context, id string) error {
	for {
		things, _, _, err := e.store.ThingsOf(ctx, id, "", jobsvc.MaxPageSize)
		if err != nil || len(things) == 0 {
			return storeError(err)
		}
		for _, t := range things {
			if _, err := e.store.Update(ctx, kv.Thing(t), func(tx *store.Tx) error { tx.DeleteAttachment(t, id); return nil }); err != nil {
				return storeError(err)
			}
		}
	}
}

// DescribeCertificate reads a certificate. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: DescribeCertificate.
func (e *Engine) DescribeCertificate(ctx context.Context, id string) (*jobsvc.Certificate, error) {
	id, err := jobsvc.NormalizeCertificateID(id)
	if err != nil {
		return nil, err
	}
	c, err := e.store.Certificate(ctx, id)
	if err == nil && c == nil {
		err = notFound("Certificate", id)
	}
	return c, storeError(err)
}

// ListCertificates lists certificates by time of creation. Errors: CodeInvalidRequest.
//
// AWS: ListCertificates.
func (e *Engine) ListCertificates(ctx context.Context, r jobsvc.ListByTimeRequest) (*jobsvc.ListCertificatesResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	filters := []any{"certificates", r.Ascending}
	var from store.TimeCursor
	if err := e.decodeToken(r.Page.Token, filters, &from); err != nil {
		return nil, err
	}
	certs, next, err := e.store.ListCertificates(ctx, r.Ascending, from, r.Page.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListCertificatesResult{Certificates: certs}
	if next != nil {
		res.NextMarker = e.encodeToken(filters, next)
	}
	return res, nil
}

// UpdateCertificate sets the status of a certificate. Live connections feel it at
// once. Errors: CodeInvalidRequest, CodeNotFound, CodeCertificateState out of REVOKED.
//
// AWS: UpdateCertificate.
func (e *Engine) UpdateCertificate(ctx context.Context, id string, status jobsvc.CertificateStatus) error {
	id, err := jobsvc.NormalizeCertificateID(id)
	if err != nil {
		return err
	}
	switch status {
	case jobsvc.CertificateActive, jobsvc.CertificateInactive, jobsvc.CertificateRevoked:
	default:
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "newStatus must be ACTIVE, INACTIVE or REVOKED, not %q.", status)
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, store.CertScope(id), func(tx *store.Tx) error {
		c, err := tx.Certificate(id)
		if err != nil {
			return err
		}
		if c == nil {
			return notFound("Certificate", id)
		}
		if c.Status == jobsvc.CertificateRevoked && status != jobsvc.CertificateRevoked {
			return jobsvc.Errorf(jobsvc.CodeCertificateState, "Certificate %s is REVOKED, which is final.", id)
		}
		if c.Status == status {
			return nil
		}
		c.Status, c.UpdatedAt = status, now
		c.Version++
		tx.PutCertificate(c)
		return nil
	})
	if err != nil {
		return storeError(err)
	}
	e.certificateChanged(id)
	return nil
}

func (e *Engine) certificateChanged(id string) {
	if e.opts.Sessions != nil {
		e.opts.Sessions.CertificateChanged(id)
	}
}
