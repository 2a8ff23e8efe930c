package store

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// TypeScope is the scope of a thing type.
func TypeScope(name string) kv.Scope { return typeScope(name) }

// ThingType reads the thing type of the transaction's scope.
func (t *Tx) ThingType(name string) (*jobsvc.ThingType, error) {
	b, err := t.get(newKey(tagType, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.ThingType](b)
}

// PeekThingType reads a thing type of another scope.
func (t *Tx) PeekThingType(name string) (*jobsvc.ThingType, error) {
	b, err := t.peek(newKey(tagType, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.ThingType](b)
}

// PutThingType writes a thing type.
func (t *Tx) PutThingType(y *jobsvc.ThingType) { t.tx.Put(newKey(tagType, y.Name), encodeJSON(y)) }

// DeleteThingType takes a thing type's record away.
func (t *Tx) DeleteThingType(name string) { t.tx.Delete(newKey(tagType, name)) }

// SetType lists a thing under its type instead of another; "" is none.
func (t *Tx) SetType(thing, before, after string) {
	if before == after {
		return
	}
	if before != "" {
		t.tx.Delete(newKey(tagTypeThing, before, thing))
	}
	if after != "" {
		t.tx.Put(newKey(tagTypeThing, after, thing), []byte{})
	}
}

// ThingType reads a thing type.
func (s *Store) ThingType(ctx context.Context, name string) (*jobsvc.ThingType, error) {
	b, err := s.get(ctx, newKey(tagType, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.ThingType](b)
}

// ListThingTypes lists thing types by name, after one, whose name begins with a prefix.
func (s *Store) ListThingTypes(ctx context.Context, namePrefix, afterName string, limit int) (types []jobsvc.ThingType, next string, err error) {
	return listNamed(ctx, s, named(newKey(tagType), namePrefix, afterName, limit+1), limit, decodeJSON[jobsvc.ThingType],
		func(*jobsvc.ThingType) bool { return true }, func(y *jobsvc.ThingType) string { return y.Name })
}

// ThingsOfType lists the names of the things of a type.
func (s *Store) ThingsOfType(ctx context.Context, name, afterThing string, limit int) (things []string, next string, err error) {
	return listKeys(ctx, s, newKey(tagTypeThing, name), afterThing, limit)
}
