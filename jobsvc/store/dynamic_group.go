package store

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

const dynamicName = "dynamicGroups"

// DynamicGroupsScope is the scope of the list of dynamic groups.
func DynamicGroupsScope() kv.Scope { return metaScope(dynamicName) }

// DynamicGroups is the list of dynamic groups: every change of a thing is judged by their
// queries. A name may be that of a group which is gone, or still to be made.
type DynamicGroups struct {
	Version uint64 // changes whenever one of the queries has
	Names   []string
}

// DynamicGroups reads the list, in the transaction of its scope.
func (t *Tx) DynamicGroups() (*DynamicGroups, error) {
	b, err := t.get(newKey(tagMeta, dynamicName))
	if err != nil {
		return nil, err
	}
	l, err := decodeJSON[DynamicGroups](b)
	if l == nil {
		l = &DynamicGroups{}
	}
	return l, err
}

// PutDynamicGroups writes the list with a new version.
func (t *Tx) PutDynamicGroups(l *DynamicGroups) {
	l.Version++
	slices.Sort(l.Names)
	t.tx.Put(newKey(tagMeta, dynamicName), encodeJSON(l))
}

// DynamicSet is the dynamic groups of a version of the list. It is not changed once it is
// made.
type DynamicSet struct {
	raw []byte
	DynamicGroups
	Groups []jobsvc.ThingGroup // those there are
}

// PeekDynamicSet gives the dynamic groups there are: last, when nothing has changed since,
// which costs one read. The groups are of the list's version or younger.
func (t *Tx) PeekDynamicSet(last *DynamicSet) (*DynamicSet, error) {
	raw, err := t.peek(newKey(tagMeta, dynamicName))
	if err != nil {
		return nil, err
	}
	return newDynamicSet(last, raw, func(keys [][]byte) ([]kv.Item, error) { return t.tx.Peek(keys...) })
}

// DynamicSet is PeekDynamicSet outside of a transaction.
func (s *Store) DynamicSet(ctx context.Context, last *DynamicSet) (*DynamicSet, error) {
	raw, err := s.get(ctx, newKey(tagMeta, dynamicName))
	if err != nil {
		return nil, err
	}
	return newDynamicSet(last, raw, func(keys [][]byte) ([]kv.Item, error) { return s.db.Get(ctx, keys...) })
}

func newDynamicSet(last *DynamicSet, raw []byte, get func([][]byte) ([]kv.Item, error)) (*DynamicSet, error) {
	if last != nil && bytes.Equal(last.raw, raw) {
		return last, nil
	}
	set := &DynamicSet{raw: bytes.Clone(raw)}
	l, err := decodeJSON[DynamicGroups](raw)
	if err != nil || l == nil {
		return set, err
	}
	if set.DynamicGroups = *l; len(l.Names) == 0 {
		return set, nil
	}
	keys := make([][]byte, len(l.Names))
	for i, n := range l.Names {
		keys[i] = newKey(tagGroup, n)
	}
	items, err := get(keys)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		g, err := decodeJSON[jobsvc.ThingGroup](it.Value)
		if err != nil {
			return nil, err
		}
		if g != nil && g.IsDynamic() {
			set.Groups = append(set.Groups, *g)
		}
	}
	return set, nil
}

// DynamicTimer is the timer of the search for a dynamic group's members.
func DynamicTimer(g *jobsvc.ThingGroup, due time.Time) Timer {
	return Timer{Due: due, Kind: TimerDynamic, Scope: groupScope(g.Name), JobID: g.ID, Guard: uint64(g.Dynamic.Build)}
}
