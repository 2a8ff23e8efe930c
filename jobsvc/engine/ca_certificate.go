package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"slices"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// signer finds the registered CA that signed a certificate: the one given, or the only
// one that can have. Errors: CodeCertificateValidation, CodeCertificateConflict.
func (e *Engine) signer(ctx context.Context, cert *x509.Certificate, caPEM string) (*jobsvc.CACertificate, error) {
	if caPEM != "" {
		ca, err := parseCertificate(caPEM)
		if err != nil {
			return nil, err
		}
		c, err := e.store.CACertificate(ctx, certificateID(ca))
		if err != nil {
			return nil, storeError(err)
		}
		if c == nil {
			return nil, jobsvc.Errorf(jobsvc.CodeCertificateValidation, "The CA certificate is not registered.")
		}
		return c, signedBy(cert, ca)
	}
	var found []jobsvc.CACertificate
	for from := (store.TimeCursor{}); ; {
		cas, next, err := e.store.ListCACertificates(ctx, true, from, jobsvc.MaxPageSize)
		if err != nil {
			return nil, storeError(err)
		}
		for _, c := range cas {
			ca, err := parseCertificate(c.PEM)
			if err == nil && bytes.Equal(ca.RawSubject, cert.RawIssuer) && signedBy(cert, ca) == nil {
				found = append(found, c)
			}
		}
		if next == nil {
			break
		}
		from = *next
	}
	switch len(found) {
	case 1:
		return &found[0], nil
	case 0:
		return nil, jobsvc.Errorf(jobsvc.CodeCertificateValidation, "No registered CA signed the certificate.")
	}
	return nil, jobsvc.Errorf(jobsvc.CodeCertificateConflict, "Several registered CAs may have signed the certificate: caCertificatePem must say which.")
}

// signedBy checks a signature. Errors: CodeCertificateValidation.
func signedBy(cert, ca *x509.Certificate) error {
	if err := cert.CheckSignatureFrom(ca); err != nil {
		return jobsvc.Errorf(jobsvc.CodeCertificateValidation, "The certificate is not signed by the CA: %v.", err)
	}
	return nil
}

// RegistrationCode gives the code that proves who registers a CA: the common name of
// a certificate that the CA has to sign. It is made once, and again after
// DeleteRegistrationCode.
//
// AWS: GetRegistrationCode.
func (e *Engine) RegistrationCode(ctx context.Context) (code string, err error) {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	_, err = e.store.Update(ctx, store.RegistrationCodeScope(), func(tx *store.Tx) error {
		if code, err = tx.RegistrationCode(); err != nil || code != "" {
			return err
		}
		code = hex.EncodeToString(random)
		tx.PutRegistrationCode(code)
		return nil
	})
	return code, storeError(err)
}

// DeleteRegistrationCode forgets the code. Errors: CodeNotFound.
//
// AWS: DeleteRegistrationCode.
func (e *Engine) DeleteRegistrationCode(ctx context.Context) error {
	_, err := e.store.Update(ctx, store.RegistrationCodeScope(), func(tx *store.Tx) error {
		code, err := tx.RegistrationCode()
		if err != nil {
			return err
		}
		if code == "" {
			return jobsvc.Errorf(jobsvc.CodeNotFound, "There is no registration code.")
		}
		tx.DeleteRegistrationCode()
		return nil
	})
	return storeError(err)
}

// RegisterCACertificate registers a CA. In the mode DEFAULT whoever does proves to hold
// its key, with a certificate for the registration code.
//
// Errors: CodeInvalidRequest, CodeCertificateValidation, CodeRegistrationCode when the
// verification is not for the code, CodeAlreadyExists, CodeLimitExceeded for too many
// tags.
//
// AWS: RegisterCACertificate.
func (e *Engine) RegisterCACertificate(ctx context.Context, r *jobsvc.RegisterCACertificateRequest) (*jobsvc.CACertificate, error) {
	if err := jobsvc.ValidateTags(r.Tags); err != nil {
		return nil, err
	}
	ca, err := parseCertificate(r.PEM)
	if err != nil {
		return nil, err
	}
	if !ca.IsCA || !ca.BasicConstraintsValid {
		return nil, jobsvc.Errorf(jobsvc.CodeCertificateValidation, "The certificate is not one of a CA.")
	}
	mode := r.Mode
	if mode == "" {
		mode = jobsvc.ModeDefault
	}
	switch {
	case mode == jobsvc.ModeSNIOnly && r.VerificationPEM != "":
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "With the certificateMode SNI_ONLY there is no verificationCertificate.")
	case mode == jobsvc.ModeDefault:
		if err := e.verifyCA(ctx, ca, r.VerificationPEM); err != nil {
			return nil, err
		}
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	c := &jobsvc.CACertificate{
		ID: certificateID(ca), PEM: encodeCertificate(ca), Status: jobsvc.CertificateInactive, Mode: mode,
		AutoRegistration: r.AutoRegistration, Registration: r.Registration, GenerationID: uuid.NewString(),
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, CreatedAt: now, UpdatedAt: now, Version: 1,
	}
	if r.SetAsActive {
		c.Status = jobsvc.CertificateActive
	}
	_, err = e.store.Update(ctx, store.CAScope(c.ID), func(tx *store.Tx) error {
		existing, err := tx.CACertificate(c.ID)
		if err != nil {
			return err
		}
		if existing != nil {
			return &jobsvc.Error{
				Code:        jobsvc.CodeAlreadyExists,
				Message:     "The CA certificate is registered already.",
				ResourceID:  c.ID,
				ResourceARN: e.opts.Account.ARN(jobsvc.ARNCACert, c.ID),
			}
		}
		tx.PutCACertificate(c)
		tx.PutTags(store.Resource{Kind: jobsvc.ARNCACert, Name: c.ID}, r.Tags)
		return nil
	})
	return c, storeError(err)
}

// verifyCA checks that a verification certificate is signed by a CA and for the
// registration code.
func (e *Engine) verifyCA(ctx context.Context, ca *x509.Certificate, verificationPEM string) error {
	if verificationPEM == "" {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "verificationCertificate is required with the certificateMode DEFAULT.")
	}
	verification, err := parseCertificate(verificationPEM)
	if err != nil {
		return err
	}
	if err := signedBy(verification, ca); err != nil {
		return err
	}
	code, err := e.store.RegistrationCode(ctx)
	if err != nil {
		return storeError(err)
	}
	if code == "" || verification.Subject.CommonName != code {
		return jobsvc.Errorf(jobsvc.CodeRegistrationCode, "The common name of the verification certificate is not the registration code.")
	}
	return nil
}

// DescribeCACertificate reads a CA certificate. Errors: CodeInvalidRequest,
// CodeNotFound.
//
// AWS: DescribeCACertificate.
func (e *Engine) DescribeCACertificate(ctx context.Context, id string) (*jobsvc.CACertificate, error) {
	id, err := jobsvc.NormalizeCertificateID(id)
	if err != nil {
		return nil, err
	}
	c, err := e.store.CACertificate(ctx, id)
	if err == nil && c == nil {
		err = notFound("CA certificate", id)
	}
	return c, storeError(err)
}

// UpdateCACertificate changes status and provisioning of a CA certificate. Errors:
// CodeInvalidRequest, CodeNotFound.
//
// AWS: UpdateCACertificate.
func (e *Engine) UpdateCACertificate(ctx context.Context, r *jobsvc.UpdateCACertificateRequest) error {
	id, err := jobsvc.NormalizeCertificateID(r.ID)
	if err != nil {
		return err
	}
	if r.RemoveRegistration && r.Registration != nil {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "registrationConfig and removeAutoRegistration exclude each other.")
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, store.CAScope(id), func(tx *store.Tx) error {
		c, err := tx.CACertificate(id)
		if err != nil {
			return err
		}
		if c == nil {
			return notFound("CA certificate", id)
		}
		if r.Status != "" {
			c.Status = r.Status
		}
		if r.AutoRegistration != nil {
			c.AutoRegistration = *r.AutoRegistration
		}
		if r.Registration != nil {
			c.Registration = r.Registration
		}
		if r.RemoveRegistration {
			c.Registration, c.AutoRegistration = nil, false
		}
		c.UpdatedAt = now
		c.Version++
		tx.PutCACertificate(c)
		return nil
	})
	return storeError(err)
}

// DeleteCACertificate deletes a CA certificate that is INACTIVE. What it signed stays
// registered. Errors: CodeInvalidRequest, CodeNotFound, CodeCertificateState.
//
// AWS: DeleteCACertificate.
func (e *Engine) DeleteCACertificate(ctx context.Context, id string) error {
	id, err := jobsvc.NormalizeCertificateID(id)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, store.CAScope(id), func(tx *store.Tx) error {
		c, err := tx.CACertificate(id)
		switch {
		case err != nil:
			return err
		case c == nil:
			return notFound("CA certificate", id)
		case c.Status == jobsvc.CertificateActive:
			return jobsvc.Errorf(jobsvc.CodeCertificateState, "The CA certificate %s is ACTIVE. Make it INACTIVE first.", id)
		}
		tx.DeleteCACertificate(c)
		tx.DeleteTags(store.Resource{Kind: jobsvc.ARNCACert, Name: id})
		return nil
	})
	return storeError(err)
}

// ListCACertificates lists CA certificates by time of creation; those of a provisioning
// template unless it is "". A page of them may be short, even empty, and yet not be the
// last. Errors: CodeInvalidRequest.
//
// AWS: ListCACertificates.
func (e *Engine) ListCACertificates(ctx context.Context, templateName string, r jobsvc.ListByTimeRequest) (*jobsvc.ListCACertificatesResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	filters := []any{"CAs", r.Ascending, templateName}
	var from store.TimeCursor
	if err := e.decodeToken(r.Page.Token, filters, &from); err != nil {
		return nil, err
	}
	cas, next, err := e.store.ListCACertificates(ctx, r.Ascending, from, r.Page.Size())
	if err != nil {
		return nil, storeError(err)
	}
	if templateName != "" {
		cas = slices.DeleteFunc(cas, func(c jobsvc.CACertificate) bool {
			return c.Registration == nil || c.Registration.TemplateName != templateName
		})
	}
	res := &jobsvc.ListCACertificatesResult{Certificates: cas}
	if next != nil {
		res.NextMarker = e.encodeToken(filters, next)
	}
	return res, nil
}

// ListCertificatesByCA lists the certificates that a registered CA signed, by ID.
// Errors: CodeInvalidRequest.
//
// AWS: ListCertificatesByCA. It declares no "not found": a CA there is not signed none.
func (e *Engine) ListCertificatesByCA(ctx context.Context, ca string, p jobsvc.Page) (*jobsvc.ListCertificatesResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	ca, err := jobsvc.NormalizeCertificateID(ca)
	if err != nil {
		return nil, err
	}
	filters := []any{"certificates of CA", ca}
	var after string
	if err := e.decodeToken(p.Token, filters, &after); err != nil {
		return nil, err
	}
	certs, next, err := e.store.CertificatesOfCA(ctx, ca, after, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListCertificatesResult{Certificates: certs}
	if next != "" {
		res.NextMarker = e.encodeToken(filters, next)
	}
	return res, nil
}
