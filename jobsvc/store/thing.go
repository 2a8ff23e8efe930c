package store

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Thing reads a thing of the transaction's scope.
func (t *Tx) Thing(name string) (*jobsvc.Thing, error) {
	b, err := t.get(newKey(tagThing, name))
	if err != nil {
		return nil, err
	}
	return decodeThing(b)
}

// PutThing writes a thing.
func (t *Tx) PutThing(th *jobsvc.Thing) { t.tx.Put(newKey(tagThing, th.Name), encodeThing(th)) }

// DeleteThing takes a thing's record away.
func (t *Tx) DeleteThing(name string) { t.tx.Delete(newKey(tagThing, name)) }

// PeekThing reads a thing of another scope.
func (t *Tx) PeekThing(name string) (*jobsvc.Thing, error) {
	b, err := t.peek(newKey(tagThing, name))
	if err != nil {
		return nil, err
	}
	return decodeThing(b)
}

// Thing reads a thing.
func (s *Store) Thing(ctx context.Context, name string) (*jobsvc.Thing, error) {
	b, err := s.get(ctx, newKey(tagThing, name))
	if err != nil {
		return nil, err
	}
	return decodeThing(b)
}

// ThingExists tells whether there is a thing of that name.
func (s *Store) ThingExists(ctx context.Context, name string) (bool, error) {
	b, err := s.get(ctx, newKey(tagThing, name))
	return b != nil, err
}

// Things reads many things in one round trip; a missing one is nil.
func (s *Store) Things(ctx context.Context, names []string) ([]*jobsvc.Thing, error) {
	keys := make([][]byte, len(names))
	for i, n := range names {
		keys[i] = newKey(tagThing, n)
	}
	items, err := s.db.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	things := make([]*jobsvc.Thing, len(names))
	for i, it := range items {
		if things[i], err = decodeThing(it.Value); err != nil {
			return nil, err
		}
	}
	return things, nil
}

// ListThings lists things by name from after on, those that keep lets through, at
// most limit. last is where the next page begins, "" at the end.
func (s *Store) ListThings(ctx context.Context, after string, limit int, keep func(*jobsvc.Thing) bool) (things []jobsvc.Thing, last string, err error) {
	return listNamed(ctx, s, named(newKey(tagThing), "", after, limit+1), limit, decodeThing, keep, func(t *jobsvc.Thing) string { return t.Name })
}
