package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

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

// principalID is how a principal is stored: the ID of a certificate, or a Cognito identity
// as it is. Errors: those of certificateOf.
func (e *Engine) principalID(principal string) (string, error) {
	if jobsvc.IsCognitoIdentity(principal) {
		return principal, nil
	}
	return e.certificateOf(principal)
}

// principalName is the opposite.
func (e *Engine) principalName(id string) string {
	if jobsvc.IsCognitoIdentity(id) {
		return id
	}
	return e.opts.Account.ARN(jobsvc.ARNCert, id)
}

// checkPrincipal tells whether a principal is there; of Cognito's nobody here knows.
// Errors: CodeNotFound.
func (e *Engine) checkPrincipal(ctx context.Context, id string) error {
	if jobsvc.IsCognitoIdentity(id) {
		return nil
	}
	_, err := e.DescribeCertificate(ctx, id)
	return err
}

// AttachThingPrincipal attaches a certificate to a thing: devices that show it may then
// act for the thing. Again does nothing. An exclusive attachment is the certificate's
// only one.
//
// Errors: CodeInvalidRequest, also when the certificate has another thing and either
// attachment is exclusive; CodeNotFound.
//
// AWS: AttachThingPrincipal. Differs from AWS: a certificate without policies is bound
// to its things by attachment.
func (e *Engine) AttachThingPrincipal(ctx context.Context, r *jobsvc.AttachThingPrincipalRequest) error {
	cert, err := e.principalID(r.Principal)
	if err != nil {
		return err
	}
	if err := e.checkExclusive(ctx, r, cert); err != nil {
		return err
	}
	var before *store.Attachment
	err = e.attachment(ctx, r.ThingName, r.Principal, func(tx *store.Tx, t *jobsvc.Thing, cert string, attached *store.Attachment, now time.Time) error {
		before = attached
		if !jobsvc.IsCognitoIdentity(cert) {
			c, err := tx.PeekCertificate(cert)
			if err != nil {
				return err
			}
			if c == nil {
				return notFound("Certificate", cert)
			}
		}
		if attached == nil || attached.Exclusive != r.Exclusive {
			tx.PutAttachment(r.ThingName, cert, &store.Attachment{ThingID: t.ID, AttachedAt: now, Exclusive: r.Exclusive})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.confirmAttachment(ctx, r, cert, before)
}

// confirmAttachment looks again, since a transaction is of one thing: meanwhile others may
// have attached the certificate to another, or deleted it. What they made wrong is undone;
// of two requests that exclude each other one fails at least.
func (e *Engine) confirmAttachment(ctx context.Context, r *jobsvc.AttachThingPrincipalRequest, cert string, before *store.Attachment) error {
	err := e.checkExclusive(ctx, r, cert)
	if err == nil {
		err = e.checkPrincipal(ctx, cert)
	}
	if err == nil {
		return nil
	}
	undone := e.attachment(ctx, r.ThingName, r.Principal, func(tx *store.Tx, _ *jobsvc.Thing, cert string, _ *store.Attachment, _ time.Time) error {
		if before == nil {
			tx.DeleteAttachment(r.ThingName, cert)
		} else {
			tx.PutAttachment(r.ThingName, cert, before)
		}
		return nil
	})
	if undone != nil && jobsvc.ErrorCode(undone) != jobsvc.CodeNotFound { // the thing: gone with its attachments
		return undone
	}
	return err
}

// checkExclusive refuses an attachment beside one of another thing when either is
// exclusive.
func (e *Engine) checkExclusive(ctx context.Context, r *jobsvc.AttachThingPrincipalRequest, cert string) error {
	const atOnce = 32 // one is enough to see a conflict, more when others are being made
	things, attachments, _, err := e.store.ThingsOf(ctx, cert, "", atOnce)
	if err != nil {
		return storeError(err)
	}
	for i, thing := range things {
		if thing != r.ThingName && (r.Exclusive || attachments[i].Exclusive) {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Principal %s is attached to thing %s, and an EXCLUSIVE_THING attachment allows no other.", cert, thing)
		}
	}
	return nil
}

// DetachThingPrincipal ends the attachment of a certificate to a thing. Errors:
// CodeInvalidRequest; CodeNotFound, also when it was not attached.
//
// AWS: DetachThingPrincipal.
func (e *Engine) DetachThingPrincipal(ctx context.Context, thing, principal string) error {
	return e.attachment(ctx, thing, principal, func(tx *store.Tx, _ *jobsvc.Thing, cert string, attached *store.Attachment, _ time.Time) error {
		if attached == nil {
			return jobsvc.Errorf(jobsvc.CodeNotFound, "Principal %s is not attached to thing %s.", cert, thing)
		}
		tx.DeleteAttachment(thing, cert)
		return nil
	})
}

func (e *Engine) attachment(ctx context.Context, thing, principal string, change func(tx *store.Tx, t *jobsvc.Thing, cert string, attached *store.Attachment, now time.Time) error) error {
	if err := jobsvc.ValidateName("thingName", thing); err != nil {
		return err
	}
	cert, err := e.principalID(principal)
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
		var a *store.Attachment
		if found, ok := attached[cert]; ok {
			a = &found
		}
		return change(tx, t, cert, a, now)
	})
	if err != nil {
		return storeError(err)
	}
	e.certificateChanged(cert)
	return nil
}

// ListThingPrincipals lists the principals attached to a thing, those of a
// type unless it is "". Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: ListThingPrincipals, ListThingPrincipalsV2.
func (e *Engine) ListThingPrincipals(ctx context.Context, thing string, of jobsvc.PrincipalType, p jobsvc.Page) (*jobsvc.PrincipalsResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if _, err := e.DescribeThing(ctx, thing); err != nil {
		return nil, err
	}
	res, err := e.listAttachments(ctx, []any{"principals", thing, of}, of, p, func(after string, limit int) ([]string, []store.Attachment, bool, error) {
		return e.store.CertificatesOf(ctx, thing, after, limit)
	})
	if err != nil {
		return nil, err
	}
	for i := range res.Attachments {
		res.Attachments[i].Name = e.principalName(res.Attachments[i].Name)
	}
	return res, nil
}

// ListPrincipalThings lists the things a principal is attached to, by attachments of a
// type unless it is "". Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: ListPrincipalThings, ListPrincipalThingsV2.
func (e *Engine) ListPrincipalThings(ctx context.Context, principal string, of jobsvc.PrincipalType, p jobsvc.Page) (*jobsvc.PrincipalsResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	cert, err := e.principalID(principal)
	if err != nil {
		return nil, err
	}
	if err := e.checkPrincipal(ctx, cert); err != nil {
		return nil, err
	}
	return e.listAttachments(ctx, []any{"principal-things", cert, of}, of, p, func(after string, limit int) ([]string, []store.Attachment, bool, error) {
		return e.store.ThingsOf(ctx, cert, after, limit)
	})
}

// listAttachments gives a page of attachments. A page of one type may be short, even
// empty, and yet not be the last.
func (e *Engine) listAttachments(ctx context.Context, filters any, of jobsvc.PrincipalType, p jobsvc.Page, list func(after string, limit int) ([]string, []store.Attachment, bool, error)) (*jobsvc.PrincipalsResult, error) {
	var after string
	if err := e.decodeToken(p.Token, filters, &after); err != nil {
		return nil, err
	}
	names, attachments, more, err := list(after, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.PrincipalsResult{}
	for i, name := range names {
		kind := jobsvc.NonExclusiveThing
		if attachments[i].Exclusive {
			kind = jobsvc.ExclusiveThing
		}
		if of == "" || of == kind {
			res.Attachments = append(res.Attachments, jobsvc.PrincipalAttachment{Name: name, Type: kind})
		}
	}
	if more && len(names) > 0 {
		res.NextToken = e.encodeToken(filters, names[len(names)-1])
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
				b.Exclusive = attached[i].Exclusive
			}
		}
		after = names[len(names)-1]
	}
	b.Policies, _, err = e.store.PoliciesOf(ctx, e.opts.Account.ARN(jobsvc.ARNCert, c.ID), "", jobsvc.MaxPageSize)
	return b, storeError(err)
}
