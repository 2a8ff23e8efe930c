package store

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// AccessKeyScope is the scope of an access key.
func AccessKeyScope(id string) kv.Scope { return accessKeyScope(id) }

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

// DeleteAccessKey removes an access key.
func (t *Tx) DeleteAccessKey(id string) { t.tx.Delete(newKey(tagAccessKey, id)) }

// GetAccessKey reads an access key of the own scope.
func (t *Tx) GetAccessKey(id string) (*jobsvc.AccessKey, error) {
	b, err := t.get(newKey(tagAccessKey, id))
	if err != nil || b == nil {
		return nil, err
	}
	return decodeJSON[jobsvc.AccessKey](b)
}

// ListAccessKeys lists access keys by ID, after one. next is "" at the end.
func (s *Store) ListAccessKeys(ctx context.Context, afterID string, limit int) (keys []jobsvc.AccessKey, next string, err error) {
	return listNamed(ctx, s, named(newKey(tagAccessKey), "", afterID, limit+1), limit, decodeJSON[jobsvc.AccessKey],
		func(*jobsvc.AccessKey) bool { return true }, func(k *jobsvc.AccessKey) string { return k.ID })
}
