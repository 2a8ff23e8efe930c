package store

import (
	"context"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Membership is that of a thing in a group, stored in both directions.
type Membership struct {
	ThingID  string
	GroupID  string
	JoinedAt time.Time
}

// PutMembership writes both directions of a membership that begins.
func (t *Tx) PutMembership(thing, group string, m *Membership) {
	b := encodeMembership(m)
	t.tx.Put(newKey(tagMember, thing, group), b)
	t.tx.Put(newKey(tagGroupThing, group, thing), b)
}

// DeleteMembership takes both directions away, as if the thing had never been a member.
func (t *Tx) DeleteMembership(thing, group string) {
	t.tx.Delete(newKey(tagMember, thing, group))
	t.tx.Delete(newKey(tagGroupThing, group, thing))
}

// Left names a membership that ended.
type Left struct {
	At           time.Time
	Thing, Group string
}

func leftKey(l Left) key      { return newKey(tagLeft).time(l.At).name(l.Thing).name(l.Group) }
func groupLeftKey(l Left) key { return newKey(tagGroupLeft, l.Group, l.Thing).time(l.At) }

// EndMembership ends a membership and leaves a record of it behind: rollouts of the
// members of an earlier time still find it. ForgetLeft takes it away.
func (t *Tx) EndMembership(thing, group string, m *Membership, leftAt time.Time) {
	t.DeleteMembership(thing, group)
	l := Left{leftAt, thing, group}
	t.tx.Put(leftKey(l), []byte{})
	t.tx.Put(groupLeftKey(l), encodeMembership(m))
}

// ForgetLeft takes away the record of a membership that ended.
func (t *Tx) ForgetLeft(l Left) {
	t.tx.Delete(leftKey(l))
	t.tx.Delete(groupLeftKey(l))
}

// LeftBefore lists memberships that ended before a time, the oldest first, at most limit.
func (s *Store) LeftBefore(ctx context.Context, before time.Time, limit int) (list []Left, err error) {
	prefix := newKey(tagLeft)
	_, err = s.page(ctx, kv.Range{Start: prefix, End: newKey(tagLeft).time(before), Limit: limit, KeysOnly: true}, limit, func(it kv.Item) (bool, error) {
		c := parse(it.Key)
		list = append(list, Left{c.time(), c.name(), c.name()})
		return true, nil
	})
	return list, err
}

// Memberships gives the groups a thing is a direct member of. A group may have been
// deleted since: it is still meant when it has the GroupID.
func (t *Tx) Memberships(thing string) (map[string]Membership, error) {
	return scanNames(t, newKey(tagMember, thing), decodeMembership)
}

// MembershipsOf is Memberships outside of a transaction.
func (s *Store) MembershipsOf(ctx context.Context, thing string) (map[string]Membership, error) {
	all := make(map[string]Membership)
	prefix := newKey(tagMember, thing)
	_, err := s.page(ctx, kv.Prefix(prefix, 100), -1, func(it kv.Item) (bool, error) {
		m, err := decodeMembership(it.Value)
		if err != nil {
			return false, err
		}
		c := cursor{it.Key[len(prefix):], true}
		all[c.name()] = *m
		return true, nil
	})
	return all, err
}

// GroupMember is a thing in a group.
type GroupMember struct {
	Thing string
	Membership
}

// LeftMembers lists the memberships in a group that there were at a time and that have
// ended since, by thing: those after a name up to another, "" for the end, at most limit.
func (s *Store) LeftMembers(ctx context.Context, group, afterThing, lastThing string, limit int, asOf time.Time) (members []GroupMember, err error) {
	prefix := newKey(tagGroupLeft, group)
	r := kv.Prefix(prefix, 1000)
	if afterThing != "" {
		r.Start = newKey(tagGroupLeft, group, afterThing).uint(^uint64(0))
	}
	if lastThing != "" {
		r.End = newKey(tagGroupLeft, group, lastThing).uint(^uint64(0))
	}
	_, err = s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
		c := cursor{it.Key[len(prefix):], true}
		thing, left := c.name(), c.time()
		m, err := decodeMembership(it.Value)
		if err != nil || !left.After(asOf) || m.JoinedAt.After(asOf) {
			return false, err
		}
		members = append(members, GroupMember{thing, *m})
		return true, nil
	})
	return members, err
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
