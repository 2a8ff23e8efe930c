package store

import (
	"context"
	"strings"

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
	return listKeys(ctx, s, newKey(tagGroupChild, parent), afterName, limit)
}

// ListThingGroups lists groups by name whose name begins with namePrefix and that keep
// lets through.
func (s *Store) ListThingGroups(ctx context.Context, namePrefix, afterName string, limit int, keep func(*jobsvc.ThingGroup) bool) (groups []jobsvc.ThingGroup, next string, err error) {
	prefix := newKey(tagGroup)
	return listNamed(ctx, s, prefix, nameAfter(prefix, afterName), limit, decodeJSON[jobsvc.ThingGroup],
		func(g *jobsvc.ThingGroup) bool { return strings.HasPrefix(g.Name, namePrefix) && keep(g) },
		func(g *jobsvc.ThingGroup) string { return g.Name })
}
