package store

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// What is listed by time of creation, in both directions.
const (
	kindCert   byte = 'c'
	kindCA     byte = 'a'
	kindPolicy byte = 'p'
)

func byTimeScope(kind byte, name string) kv.Scope {
	switch kind {
	case kindCert:
		return certScope(name)
	case kindCA:
		return caScope(name)
	}
	return policyScope(name)
}

func (t *Tx) putByTime(kind byte, at time.Time, name string) {
	t.tx.Put(newKey(tagNewest).byte(kind).newest(at).name(name), []byte{})
	t.tx.Put(newKey(tagOldest).byte(kind).time(at).name(name), []byte{})
}

func (t *Tx) deleteByTime(kind byte, at time.Time, name string) {
	t.tx.Delete(newKey(tagNewest).byte(kind).newest(at).name(name))
	t.tx.Delete(newKey(tagOldest).byte(kind).time(at).name(name))
}

// TimeCursor is a place in a list by time of creation: after that name. The zero one is
// the beginning.
type TimeCursor struct {
	CreatedAt time.Time
	Name      string
}

// byTime lists names by time of creation, newest first unless ascending. next is where
// the list goes on; nil at the end.
func (s *Store) byTime(ctx context.Context, kind byte, ascending bool, from TimeCursor, limit int) (names []string, next *TimeCursor, err error) {
	place := func(c TimeCursor) key { return newKey(tagNewest).byte(kind).newest(c.CreatedAt).name(c.Name) }
	prefix := newKey(tagNewest).byte(kind)
	if ascending {
		place = func(c TimeCursor) key { return newKey(tagOldest).byte(kind).time(c.CreatedAt).name(c.Name) }
		prefix = newKey(tagOldest).byte(kind)
	}
	var last key
	if from != (TimeCursor{}) {
		last = place(from)
	}
	r := after(prefix, last, limit+1)
	r.KeysOnly = true
	var at TimeCursor
	ended, err := s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
		c := cursor{it.Key[len(prefix):], true}
		n := c.uint()
		if !ascending {
			n = ^n
		}
		at = TimeCursor{fromNanos(int64(n)), c.name()}
		names = append(names, at.Name)
		return true, nil
	})
	if err != nil || ended {
		return names, nil, err
	}
	return names, &at, nil
}

// records reads the records of names in one round trip, those that are still there.
func records[T any](ctx context.Context, s *Store, tag byte, names []string) ([]T, error) {
	if len(names) == 0 {
		return nil, nil
	}
	keys := make([][]byte, len(names))
	for i, n := range names {
		keys[i] = newKey(tag, n)
	}
	items, err := s.db.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	list := make([]T, 0, len(names))
	for _, it := range items {
		v, err := decodeJSON[T](it.Value)
		if err != nil {
			return nil, err
		}
		if v != nil { // nil: deleted since
			list = append(list, *v)
		}
	}
	return list, nil
}
