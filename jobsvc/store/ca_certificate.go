package store

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// CAScope is the scope of a CA certificate.
func CAScope(id string) kv.Scope { return caScope(id) }

// CACertificate reads the CA certificate of the transaction's scope.
func (t *Tx) CACertificate(id string) (*jobsvc.CACertificate, error) {
	b, err := t.get(newKey(tagCA, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.CACertificate](b)
}

// PutCACertificate writes a CA certificate.
func (t *Tx) PutCACertificate(c *jobsvc.CACertificate) {
	t.tx.Put(newKey(tagCA, c.ID), encodeJSON(c))
	t.putByTime(kindCA, c.CreatedAt, c.ID)
}

// DeleteCACertificate takes a CA certificate away.
func (t *Tx) DeleteCACertificate(c *jobsvc.CACertificate) {
	t.tx.Delete(newKey(tagCA, c.ID))
	t.deleteByTime(kindCA, c.CreatedAt, c.ID)
}

// CACertificate reads a CA certificate.
func (s *Store) CACertificate(ctx context.Context, id string) (*jobsvc.CACertificate, error) {
	b, err := s.get(ctx, newKey(tagCA, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.CACertificate](b)
}

// ListCACertificates lists CA certificates by time of creation. next is where the list
// goes on; nil at the end.
func (s *Store) ListCACertificates(ctx context.Context, ascending bool, from TimeCursor, limit int) ([]jobsvc.CACertificate, *TimeCursor, error) {
	ids, next, err := s.byTime(ctx, kindCA, ascending, from, limit)
	if err != nil {
		return nil, nil, err
	}
	cas, err := records[jobsvc.CACertificate](ctx, s, tagCA, ids)
	return cas, next, err
}

const registrationCodeName = "registrationCode"

// RegistrationCodeScope is the scope of the registration code.
func RegistrationCodeScope() kv.Scope { return metaScope(registrationCodeName) }

// RegistrationCode reads the registration code; "" when there is none.
func (t *Tx) RegistrationCode() (string, error) {
	b, err := t.get(newKey(tagMeta, registrationCodeName))
	return string(b), err
}

// PutRegistrationCode writes the registration code.
func (t *Tx) PutRegistrationCode(code string) {
	t.tx.Put(newKey(tagMeta, registrationCodeName), []byte(code))
}

// DeleteRegistrationCode takes the registration code away.
func (t *Tx) DeleteRegistrationCode() { t.tx.Delete(newKey(tagMeta, registrationCodeName)) }

// RegistrationCode reads the registration code; "" when there is none.
func (s *Store) RegistrationCode(ctx context.Context) (string, error) {
	b, err := s.get(ctx, newKey(tagMeta, registrationCodeName))
	return string(b), err
}
