package store

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// CertScope is the scope of a certificate.
func CertScope(id string) kv.Scope { return certScope(id) }

// PolicyScope is the scope of a policy.
func PolicyScope(name string) kv.Scope { return policyScope(name) }

// AccessKeyScope is the scope of an access key.
func AccessKeyScope(id string) kv.Scope { return accessKeyScope(id) }

// Certificate reads the certificate of the transaction's scope.
func (t *Tx) Certificate(id string) (*jobsvc.Certificate, error) {
	b, err := t.get(newKey(tagCert, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Certificate](b)
}

// PeekCertificate reads a certificate of another scope.
func (t *Tx) PeekCertificate(id string) (*jobsvc.Certificate, error) {
	b, err := t.peek(newKey(tagCert, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Certificate](b)
}

// PutCertificate writes a certificate.
func (t *Tx) PutCertificate(c *jobsvc.Certificate) {
	t.tx.Put(newKey(tagCert, c.ID), encodeJSON(c))
	t.tx.Put(newKey(tagCertByTime).newest(c.CreatedAt).name(c.ID), []byte{})
}

// Certificate reads a certificate.
func (s *Store) Certificate(ctx context.Context, id string) (*jobsvc.Certificate, error) {
	b, err := s.get(ctx, newKey(tagCert, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Certificate](b)
}

// CertCursor is a place in the list of certificates, after that one.
type CertCursor struct {
	CreatedAt time.Time
	ID        string
}

// ListCertificates lists certificates, newest first. more tells whether there are
// others after the last.
func (s *Store) ListCertificates(ctx context.Context, from CertCursor, limit int) (certs []jobsvc.Certificate, more bool, err error) {
	prefix := newKey(tagCertByTime)
	var last key
	if from != (CertCursor{}) {
		last = newKey(tagCertByTime).newest(from.CreatedAt).name(from.ID)
	}
	r := after(prefix, last, limit+1)
	r.KeysOnly = true
	var keys [][]byte
	ended, err := s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
		c := parse(it.Key)
		c.uint()
		keys = append(keys, newKey(tagCert, c.name()))
		return true, nil
	})
	if err != nil || len(keys) == 0 {
		return nil, false, err
	}
	items, err := s.db.Get(ctx, keys...)
	if err != nil {
		return nil, false, err
	}
	for _, it := range items {
		c, err := decodeJSON[jobsvc.Certificate](it.Value)
		if err != nil {
			return nil, false, err
		}
		if c != nil {
			certs = append(certs, *c)
		}
	}
	return certs, !ended, nil
}

// Attachment is that of a certificate to a thing, stored in both directions. ThingID
// keeps a thing made again under the name from inheriting it.
type Attachment struct {
	ThingID    string
	AttachedAt time.Time
}

// PutAttachment writes both directions.
func (t *Tx) PutAttachment(thing, cert string, a *Attachment) {
	b := encodeJSON(a)
	t.tx.Put(newKey(tagPrincipal, thing, cert), b)
	t.tx.Put(newKey(tagCertThing, cert, thing), b)
}

// DeleteAttachment takes both directions away.
func (t *Tx) DeleteAttachment(thing, cert string) {
	t.tx.Delete(newKey(tagPrincipal, thing, cert))
	t.tx.Delete(newKey(tagCertThing, cert, thing))
}

// Attachments gives the certificates attached to the transaction's thing.
func (t *Tx) Attachments(thing string) (map[string]Attachment, error) {
	return scanNames(t, newKey(tagPrincipal, thing), decodeJSON[Attachment])
}

// CertificatesOf lists the certificates attached to a thing.
func (s *Store) CertificatesOf(ctx context.Context, thing, afterID string, limit int) (ids []string, next string, err error) {
	return listKeys(ctx, s, newKey(tagPrincipal, thing), afterID, limit)
}

// ThingsOf lists the things a certificate is attached to, with the attachment.
func (s *Store) ThingsOf(ctx context.Context, cert, afterThing string, limit int) (things []string, attachments []Attachment, more bool, err error) {
	prefix := newKey(tagCertThing, cert)
	ended, err := s.page(ctx, after(prefix, nameAfter(prefix, afterThing), limit+1), limit, func(it kv.Item) (bool, error) {
		a, err := decodeJSON[Attachment](it.Value)
		if err != nil {
			return false, err
		}
		c := cursor{it.Key[len(prefix):], true}
		things = append(things, c.name())
		attachments = append(attachments, *a)
		return true, nil
	})
	return things, attachments, !ended, err
}

// Policy reads the policy of the transaction's scope.
func (t *Tx) Policy(name string) (*jobsvc.Policy, error) {
	b, err := t.get(newKey(tagPolicy, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Policy](b)
}

// PutPolicy writes a policy.
func (t *Tx) PutPolicy(p *jobsvc.Policy) { t.tx.Put(newKey(tagPolicy, p.Name), encodeJSON(p)) }

// AttachPolicy attaches the transaction's policy to a target: the ARN of a
// certificate or a thing group.
func (t *Tx) AttachPolicy(name, target string) {
	t.tx.Put(newKey(tagAttached, target, name), []byte{})
}

// Policy reads a policy.
func (s *Store) Policy(ctx context.Context, name string) (*jobsvc.Policy, error) {
	b, err := s.get(ctx, newKey(tagPolicy, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Policy](b)
}

// ListPolicies lists policies by name.
func (s *Store) ListPolicies(ctx context.Context, afterName string, limit int) (policies []jobsvc.Policy, next string, err error) {
	prefix := newKey(tagPolicy)
	return listNamed(ctx, s, prefix, nameAfter(prefix, afterName), limit, decodeJSON[jobsvc.Policy],
		func(*jobsvc.Policy) bool { return true }, func(p *jobsvc.Policy) string { return p.Name })
}

// PoliciesOf lists the names of the policies attached to a target.
func (s *Store) PoliciesOf(ctx context.Context, target, afterName string, limit int) (names []string, next string, err error) {
	return listKeys(ctx, s, newKey(tagAttached, target), afterName, limit)
}

// AccessKey reads an access key. It is shared: not to be changed.
func (s *Store) AccessKey(ctx context.Context, id string) (*jobsvc.AccessKey, error) {
	b, err := s.get(ctx, newKey(tagAccessKey, id))
	if err != nil {
		return nil, err
	}
	return s.accessKeys.decode(id, b)
}

// PutAccessKey writes an access key.
func (t *Tx) PutAccessKey(k *jobsvc.AccessKey) {
	t.tx.Put(newKey(tagAccessKey, k.ID), encodeJSON(k))
}
