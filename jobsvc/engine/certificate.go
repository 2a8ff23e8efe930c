package engine

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
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

func (e *Engine) register(ctx context.Context, certPEM string, active bool, now time.Time) (*jobsvc.Certificate, error) {
	block, _ := pem.Decode([]byte(certPEM))
	if block == nil {
		return nil, fmt.Errorf("register a certificate: not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("register a certificate: %w", err)
	}
	sum := sha256.Sum256(block.Bytes)
	c := &jobsvc.Certificate{
		ID: hex.EncodeToString(sum[:]), PEM: certPEM, Status: jobsvc.CertificateInactive, GenerationID: uuid.NewString(),
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, CreatedAt: now, UpdatedAt: now, Version: 1,
	}
	if active {
		c.Status = jobsvc.CertificateActive
	}
	_, err = e.store.Update(ctx, store.CertScope(c.ID), func(tx *store.Tx) error {
		tx.PutCertificate(c)
		return nil
	})
	return c, storeError(err)
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

// ListCertificates lists certificates, newest first. Errors: CodeInvalidRequest.
//
// AWS: ListCertificates.
func (e *Engine) ListCertificates(ctx context.Context, p jobsvc.Page) (*jobsvc.ListCertificatesResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	var from store.CertCursor
	if err := e.decodeToken(p.Token, "certificates", &from); err != nil {
		return nil, err
	}
	certs, more, err := e.store.ListCertificates(ctx, from, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListCertificatesResult{Certificates: certs}
	if more {
		last := certs[len(certs)-1]
		res.NextMarker = e.encodeToken("certificates", store.CertCursor{CreatedAt: last.CreatedAt, ID: last.ID})
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

// certificateOf takes the ID out of the ARN of a principal. Errors:
// CodeInvalidRequest, CodeNotFound for another account's.
func (e *Engine) certificateOf(principal string) (string, error) {
	if principal == "" {
		return "", jobsvc.Errorf(jobsvc.CodeInvalidRequest, "x-amzn-principal is required.")
	}
	kind, id, ok := e.opts.Account.Parse(principal)
	if !ok || kind != jobsvc.ARNCert {
		return "", notFound("Principal", principal)
	}
	return jobsvc.NormalizeCertificateID(id)
}

// AttachThingPrincipal attaches a certificate, given by its ARN, to a thing: devices
// that show it may then act for the thing. Again does nothing.
//
// Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: AttachThingPrincipal. Differs from AWS: a certificate without policies is bound
// to its things by attachment.
func (e *Engine) AttachThingPrincipal(ctx context.Context, thing, principal string) error {
	return e.attachment(ctx, thing, principal, func(tx *store.Tx, t *jobsvc.Thing, cert string, attached bool, now time.Time) error {
		c, err := tx.PeekCertificate(cert)
		if err != nil {
			return err
		}
		if c == nil {
			return notFound("Certificate", cert)
		}
		if !attached {
			tx.PutAttachment(thing, cert, &store.Attachment{ThingID: t.ID, AttachedAt: now})
		}
		return nil
	})
}

// DetachThingPrincipal ends the attachment of a certificate to a thing. Errors:
// CodeInvalidRequest; CodeNotFound, also when it was not attached.
//
// AWS: DetachThingPrincipal.
func (e *Engine) DetachThingPrincipal(ctx context.Context, thing, principal string) error {
	return e.attachment(ctx, thing, principal, func(tx *store.Tx, _ *jobsvc.Thing, cert string, attached bool, _ time.Time) error {
		if !attached {
			return jobsvc.Errorf(jobsvc.CodeNotFound, "Certificate %s is not attached to thing %s.", cert, thing)
		}
		tx.DeleteAttachment(thing, cert)
		return nil
	})
}

func (e *Engine) attachment(ctx context.Context, thing, principal string, change func(tx *store.Tx, t *jobsvc.Thing, cert string, attached bool, now time.Time) error) error {
	if err := jobsvc.ValidateName("thingName", thing); err != nil {
		return err
	}
	cert, err := e.certificateOf(principal)
	if err != nil {
		return err
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, kv.Thing(thing), func(tx *store.Tx) error {
		t, err := tx.Thing(thing)
		if err != nil {
			return err
		}
		if t == nil {
			return thingNotFound(thing)
		}
		attached, err := tx.Attachments(thing)
		if err != nil {
			return err
		}
		_, ok := attached[cert]
		return change(tx, t, cert, ok, now)
	})
	if err != nil {
		return storeError(err)
	}
	e.certificateChanged(cert)
	return nil
}

// ListThingPrincipals lists the ARNs of the certificates attached to a thing. Errors:
// CodeInvalidRequest, CodeNotFound.
//
// AWS: ListThingPrincipals.
func (e *Engine) ListThingPrincipals(ctx context.Context, thing string, p jobsvc.Page) (*jobsvc.NamesResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if _, err := e.DescribeThing(ctx, thing); err != nil {
		return nil, err
	}
	filters := []any{"principals", thing}
	var after string
	if err := e.decodeToken(p.Token, filters, &after); err != nil {
		return nil, err
	}
	ids, next, err := e.store.CertificatesOf(ctx, thing, after, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.NamesResult{}
	for _, id := range ids {
		res.Names = append(res.Names, e.opts.Account.ARN(jobsvc.ARNCert, id))
	}
	if next != "" {
		res.NextToken = e.encodeToken(filters, next)
	}
	return res, nil
}

// ListPrincipalThings lists the things a certificate is attached to. Errors:
// CodeInvalidRequest, CodeNotFound.
//
// AWS: ListPrincipalThings.
func (e *Engine) ListPrincipalThings(ctx context.Context, principal string, p jobsvc.Page) (*jobsvc.NamesResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	cert, err := e.certificateOf(principal)
	if err != nil {
		return nil, err
	}
	if _, err := e.DescribeCertificate(ctx, cert); err != nil {
		return nil, err
	}
	filters := []any{"principal-things", cert}
	var after string
	if err := e.decodeToken(p.Token, filters, &after); err != nil {
		return nil, err
	}
	things, _, more, err := e.store.ThingsOf(ctx, cert, after, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.NamesResult{Names: things}
	if more {
		res.NextToken = e.encodeToken(filters, things[len(things)-1])
	}
	return res, nil
}

// Binding is what a certificate may stand for when it connects. Errors: CodeNotFound
// when it is not registered.
func (e *Engine) Binding(ctx context.Context, certificateID string) (*jobsvc.Binding, error) {
	c, err := e.store.Certificate(ctx, certificateID)
	if err != nil {
		return nil, storeError(err)
	}
	if c == nil {
		return nil, notFound("Certificate", certificateID)
	}
	b := &jobsvc.Binding{Certificate: *c}
	for after, more := "", true; more; {
		var names []string
		var attached []store.Attachment
		if names, attached, more, err = e.store.ThingsOf(ctx, c.ID, after, jobsvc.MaxPageSize); err != nil {
			return nil, storeError(err)
		}
		if len(names) == 0 {
			break
		}
		things, err := e.store.Things(ctx, names)
		if err != nil {
			return nil, storeError(err)
		}
		for i, t := range things {
			if t != nil && t.ID == attached[i].ThingID {
				b.Things = append(b.Things, t.Name)
			}
		}
		after = names[len(names)-1]
	}
	b.Policies, _, err = e.store.PoliciesOf(ctx, e.opts.Account.ARN(jobsvc.ARNCert, c.ID), "", jobsvc.MaxPageSize)
	return b, storeError(err)
}

// CreatePolicy stores a policy as its version 1. Errors: CodeInvalidRequest,
// CodeMalformedPolicy, CodeAlreadyExists.
//
// AWS: CreatePolicy.
func (e *Engine) CreatePolicy(ctx context.Context, name, document string) (*jobsvc.Policy, error) {
	if err := jobsvc.ValidatePolicyName(name); err != nil {
		return nil, err
	}
	if !json.Valid([]byte(document)) {
		return nil, jobsvc.Errorf(jobsvc.CodeMalformedPolicy, "The policy document is not valid JSON.")
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	p := &jobsvc.Policy{Name: name, Document: document, VersionID: "1", GenerationID: uuid.NewString(), CreatedAt: now, UpdatedAt: now}
	_, err = e.store.Update(ctx, store.PolicyScope(name), func(tx *store.Tx) error {
		existing, err := tx.Policy(name)
		if err != nil {
			return err
		}
		if existing != nil {
			return &jobsvc.Error{
				Code:        jobsvc.CodeAlreadyExists,
				Message:     "Policy " + name + " already exists.",
				ResourceID:  name,
				ResourceARN: e.opts.Account.ARN(jobsvc.ARNPolicy, name),
			}
		}
		tx.PutPolicy(p)
		return nil
	})
	return p, storeError(err)
}

// GetPolicy reads a policy. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: GetPolicy.
func (e *Engine) GetPolicy(ctx context.Context, name string) (*jobsvc.Policy, error) {
	if err := jobsvc.ValidatePolicyName(name); err != nil {
		return nil, err
	}
	p, err := e.store.Policy(ctx, name)
	if err == nil && p == nil {
		err = notFound("Policy", name)
	}
	return p, storeError(err)
}

// ListPolicies lists policies by name. Errors: CodeInvalidRequest.
//
// AWS: ListPolicies.
func (e *Engine) ListPolicies(ctx context.Context, p jobsvc.Page) (*jobsvc.ListPoliciesResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	var after string
	if err := e.decodeToken(p.Token, "policies", &after); err != nil {
		return nil, err
	}
	policies, next, err := e.store.ListPolicies(ctx, after, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListPoliciesResult{Policies: policies}
	if next != "" {
		res.NextMarker = e.encodeToken("policies", next)
	}
	return res, nil
}

// AttachPolicy attaches a policy to a certificate or a thing group, given by ARN.
// Again does nothing. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: AttachPolicy.
func (e *Engine) AttachPolicy(ctx context.Context, name, target string) error {
	if err := jobsvc.ValidatePolicyName(name); err != nil {
		return err
	}
	target, err := e.policyTarget(ctx, target)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, store.PolicyScope(name), func(tx *store.Tx) error {
		p, err := tx.Policy(name)
		if err != nil {
			return err
		}
		if p == nil {
			return notFound("Policy", name)
		}
		tx.AttachPolicy(name, target)
		return nil
	})
	return storeError(err)
}

// policyTarget checks that what a policy is attached to exists, and gives its ARN.
func (e *Engine) policyTarget(ctx context.Context, target string) (string, error) {
	if target == "" {
		return "", jobsvc.Errorf(jobsvc.CodeInvalidRequest, "target is required.")
	}
	kind, name, ok := e.opts.Account.Parse(target)
	if !ok {
		return "", notFound("Target", target)
	}
	switch kind {
	case jobsvc.ARNCert:
		c, err := e.DescribeCertificate(ctx, name)
		if err != nil {
			return "", err
		}
		return e.opts.Account.ARN(kind, c.ID), nil
	case jobsvc.ARNThingGroup:
		_, err := e.thingGroup(ctx, name)
		return target, err
	}
	return "", jobsvc.Errorf(jobsvc.CodeInvalidRequest, "A policy is attached to a certificate or a thing group, not to %s.", target)
}

// ListAttachedPolicies lists the policies attached to a target by name. Errors:
// CodeInvalidRequest, CodeNotFound.
//
// AWS: ListAttachedPolicies.
func (e *Engine) ListAttachedPolicies(ctx context.Context, target string, p jobsvc.Page) (*jobsvc.ListPoliciesResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	target, err := e.policyTarget(ctx, target)
	if err != nil {
		return nil, err
	}
	filters := []any{"attached", target}
	var after string
	if err := e.decodeToken(p.Token, filters, &after); err != nil {
		return nil, err
	}
	names, next, err := e.store.PoliciesOf(ctx, target, after, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListPoliciesResult{}
	for _, n := range names {
		pol, err := e.store.Policy(ctx, n)
		if err != nil {
			return nil, storeError(err)
		}
		if pol != nil {
			res.Policies = append(res.Policies, *pol)
		}
	}
	if next != "" {
		res.NextMarker = e.encodeToken(filters, next)
	}
	return res, nil
}
