package store

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// CertScope is the scope of a certificate.
func CertScope(id string) kv.Scope { return certScope(id) }

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
	t.putByTime(kindCert, c.CreatedAt, c.ID)
	if c.CAID != "" {
		t.tx.Put(newKey(tagCertOfCA, c.CAID, c.ID), []byte{})
	}
}

// DeleteCertificate takes a certificate away.
func (t *Tx) DeleteCertificate(c *jobsvc.Certificate) {
	t.tx.Delete(newKey(tagCert, c.ID))
	t.deleteByTime(kindCert, c.CreatedAt, c.ID)
	if c.CAID != "" {
		t.tx.Delete(newKey(tagCertOfCA, c.CAID, c.ID))
	}
}

// Certificate reads a certificate.
func (s *Store) Certificate(ctx context.Context, id string) (*jobsvc.Certificate, error) {
	b, err := s.get(ctx, newKey(tagCert, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Certificate](b)
}

// ListCertificates lists certificates by time of creation. next is where the list goes
// on; nil at the end.
func (s *Store) ListCertificates(ctx context.Context, ascending bool, from TimeCursor, limit int) ([]jobsvc.Certificate, *TimeCursor, error) {
	ids, next, err := s.byTime(ctx, kindCert, ascending, from, limit)
	if err != nil {
		return nil, nil, err
	}
	certs, err := records[jobsvc.Certificate](ctx, s, tagCert, ids)
	return certs, next, err
}

// CertificatesOfCA lists the certificates that a CA signed, by ID.
func (s *Store) CertificatesOfCA(ctx context.Context, ca, afterID string, limit int) ([]jobsvc.Certificate, string, error) {
	ids, next, err := listKeys(ctx, s, newKey(tagCertOfCA, ca), afterID, limit)
	if err != nil {
		return nil, "", err
	}
	certs, err := records[jobsvc.Certificate](ctx, s, tagCert, ids)
	return certs, next, err
}

// Attachment is that of a certificate to a thing, stored in both directions. ThingID
// keeps a thing made again under the name from inheriting it.
type Attachment struct {
	ThingID    string
	AttachedAt time.Time
	Exclusive  bool `json:",omitempty"`
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

// CertificatesOf lists the certificates attached to a thing, with the attachment.
func (s *Store) CertificatesOf(ctx context.Context, thing, afterID string, limit int) (ids []string, attachments []Attachment, more bool, err error) {
	return s.attachments(ctx, newKey(tagPrincipal, thing), afterID, limit)
}

// ThingsOf lists the things a certificate is attached to, with the attachment.
func (s *Store) ThingsOf(ctx context.Context, cert, afterThing string, limit int) (things []string, attachments []Attachment, more bool, err error) {
	return s.attachments(ctx, newKey(tagCertThing, cert), afterThing, limit)
}

func (s *Store) attachments(ctx context.Context, prefix key, afterName string, limit int) (names []string, attachments []Attachment, more bool, err error) {
	ended, err := s.page(ctx, after(prefix, nameAfter(prefix, afterName), limit+1), limit, func(it kv.Item) (bool, error) {
		a, err := decodeJSON[Attachment](it.Value)
		if err != nil {
			return false, err
		}
		c := cursor{it.Key[len(prefix):], true}
		names = append(names, c.name())
		attachments = append(attachments, *a)
		return true, nil
	})
	return names, attachments, !ended, err
}
