package store

import (
	"context"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// GroupScope is the scope of a thing group.
func GroupScope(name string) kv.Scope { return groupScope(name) }

// ThingGroup reads the group of the transaction's scope.
func (t *Tx) ThingGroup(name string) (*jobsvc.ThingGroup, error) {
	b, err := t.get(newKey(tagGroup, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.ThingGroup](b)
}

// PeekThingGroup reads a group of another scope.
func (t *Tx) PeekThingGroup(name string) (*jobsvc.ThingGroup, error) {
	b, err := t.peek(newKey(tagGroup, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.ThingGroup](b)
}

// PutThingGroup writes a group and its place under its parent.
func (t *Tx) PutThingGroup(g *jobsvc.ThingGroup) {
	t.tx.Put(newKey(tagGroup, g.Name), encodeJSON(g))
	t.tx.Put(newKey(tagGroupChild, g.Parent, g.Name), []byte{})
}

// DeletedGroup is a group that is gone.
type DeletedGroup struct {
	Name, ID, Parent string
	At               time.Time
}

// GroupTimer is the timer of a deleted group's sweep.
func GroupTimer(g *jobsvc.ThingGroup, deletedAt time.Time) Timer {
	return Timer{Due: deletedAt, Kind: TimerGroup, Scope: groupScope(g.Name), JobID: g.ID + "/" + g.Parent, Guard: uint64(nanos(deletedAt))}
}

// Group tells which group a timer is about.
func (t *Timer) Group() string { return strings.TrimPrefix(t.Scope.ID, groupScope("").ID) }

// DeletedGroup tells which group a TimerGroup is about.
func (t *Timer) DeletedGroup() DeletedGroup {
	id, parent, _ := strings.Cut(t.JobID, "/")
	return DeletedGroup{t.Group(), id, parent, fromNanos(int64(t.Guard))}
}

// DeleteThingGroup takes a group's record and its place under its parent away, and
// leaves a record that it was there: rollouts of the members of an earlier time still
// find it. ForgetGroup takes that away.
func (t *Tx) DeleteThingGroup(g *jobsvc.ThingGroup, now time.Time) {
	t.tx.Delete(newKey(tagGroup, g.Name))
	t.tx.Delete(newKey(tagGroupChild, g.Parent, g.Name))
	t.tx.Put(newKey(tagChildGone, g.Parent, g.Name).time(now), newKey(0).time(g.CreatedAt)[1:])
}

// ForgetGroup takes away what DeleteThingGroup left.
func (t *Tx) ForgetGroup(g DeletedGroup) {
	t.tx.Delete(newKey(tagChildGone, g.Parent, g.Name).time(g.At))
}

// ChildrenGone lists the direct children that a group had at a time and that have been
// deleted since.
func (s *Store) ChildrenGone(ctx context.Context, parent string, asOf time.Time) (names []string, err error) {
	prefix := newKey(tagChildGone, parent)
	_, err = s.page(ctx, kv.Prefix(prefix, 1000), -1, func(it kv.Item) (bool, error) {
		c := cursor{it.Key[len(prefix):], true}
		name, deleted := c.name(), c.time()
		created := cursor{it.Value, true}
		if !created.time().After(asOf) && deleted.After(asOf) {
			names = append(names, name)
		}
		return true, nil
	})
	return names, err
}

// ThingGroups reads many groups in one round trip; a missing one is nil.
func (s *Store) ThingGroups(ctx context.Context, names []string) ([]*jobsvc.ThingGroup, error) {
	keys := make([][]byte, len(names))
	for i, n := range names {
		keys[i] = newKey(tagGroup, n)
	}
	items, err := s.db.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	groups := make([]*jobsvc.ThingGroup, len(names))
	for i, it := range items {
		if groups[i], err = decodeJSON[jobsvc.ThingGroup](it.Value); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// ThingGroup reads a group.
func (s *Store) ThingGroup(ctx context.Context, name string) (*jobsvc.ThingGroup, error) {
	b, err := s.get(ctx, newKey(tagGroup, name))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.ThingGroup](b)
}

// GroupChildren lists the direct children of a group by name; those of "" are the
// roots. next is "" at the end.
func (s *Store) GroupChildren(ctx context.Context, parent, afterName string, limit int) (names []string, next string, err error) {
	return s.GroupChildrenNamed(ctx, parent, "", afterName, limit)
}

// GroupChildrenNamed is GroupChildren of those whose name begins with a prefix.
func (s *Store) GroupChildrenNamed(ctx context.Context, parent, namePrefix, afterName string, limit int) (names []string, next string, err error) {
	return listPrefixed(ctx, s, newKey(tagGroupChild, parent), namePrefix, afterName, limit)
}

// GroupNames lists all groups whose name begins with a prefix, by name.
func (s *Store) GroupNames(ctx context.Context, namePrefix, afterName string, limit int) (names []string, next string, err error) {
	return listPrefixed(ctx, s, newKey(tagGroup), namePrefix, afterName, limit)
}

// ThingGroupWithID finds a group by its ID; nil when there is none. It looks at all
// groups.
func (s *Store) ThingGroupWithID(ctx context.Context, id string) (found *jobsvc.ThingGroup, err error) {
	_, err = s.page(ctx, kv.Prefix(newKey(tagGroup), 1000), 1, func(it kv.Item) (bool, error) {
		g, err := decodeJSON[jobsvc.ThingGroup](it.Value)
		if err != nil || g.ID != id {
			return false, err
		}
		found = g
		return true, nil
	})
	return found, err
}
