package store

import (
	"context"
	"slices"
	"time"

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
	prefix := newKey(tagThing)
	return listNamed(ctx, s, prefix, nameAfter(prefix, after), limit, decodeThing, keep, func(t *jobsvc.Thing) string { return t.Name })
}

// Membership is that of a thing in a group, stored in both directions.
type Membership struct {
	ThingID  string
	GroupID  string
	JoinedAt time.Time
}

// PutMembership writes both directions of a membership.
func (t *Tx) PutMembership(thing, group string, m *Membership) {
	b := encodeMembership(m)
	t.tx.Put(newKey(tagMember, thing, group), b)
	t.tx.Put(newKey(tagGroupThing, group, thing), b)
}

// DeleteMembership takes both directions away.
func (t *Tx) DeleteMembership(thing, group string) {
	t.tx.Delete(newKey(tagMember, thing, group))
	t.tx.Delete(newKey(tagGroupThing, group, thing))
}

// Memberships gives the groups a thing is a direct member of.
func (t *Tx) Memberships(thing string) (map[string]Membership, error) {
	return scanNames(t, newKey(tagMember, thing), decodeMembership)
}

// GroupMember is a thing in a group.
type GroupMember struct {
	Thing string
	Membership
}

// GroupMembers lists direct members of a group by name, those after a name, at most
// limit.
func (s *Store) GroupMembers(ctx context.Context, group, afterThing string, limit int) ([]GroupMember, error) {
	prefix := newKey(tagGroupThing, group)
	r := after(prefix, nameAfter(prefix, afterThing), limit)
	var members []GroupMember
	for {
		items, next, err := s.db.Scan(ctx, r)
		if err != nil {
			return nil, err
		}
		members = slices.Grow(members, len(items))
		for _, it := range items {
			c := parse(it.Key)
			c.name()
			m, err := decodeMembership(it.Value)
			if err != nil {
				return nil, err
			}
			members = append(members, GroupMember{c.name(), *m})
		}
		if next == nil || len(members) >= limit {
			return members, nil
		}
		r.Start = next
		r.Limit = limit - len(members)
	}
}
