package store

import (
	"context"
	"slices"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
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

// ThingNames lists the names of things, those after a name. next is "" at the end.
func (s *Store) ThingNames(ctx context.Context, after string, limit int) (names []string, next string, err error) {
	return listKeys(ctx, s, newKey(tagThing), after, limit)
}

// ThingsNamed lists things by name, those after a name, that have one of the names in
// whatever case. Names are in lower case. next is where the next page begins, "" at the
// end; as with ListThings a page may end early.
func (s *Store) ThingsNamed(ctx context.Context, names []string, after string, limit int, keep func(*jobsvc.Thing) bool) (things []jobsvc.Thing, next string, err error) {
	looked := 0
	for at := nextSpelling(names, after); at != ""; {
		r := kv.Prefix(newKey(tagThing), 1)
		r.Start = newKey(tagThing, at)
		items, _, err := s.db.Scan(ctx, r)
		if err != nil || len(items) == 0 {
			return things, "", err
		}
		t, err := decodeThing(items[0].Value)
		if err != nil {
			return nil, "", err
		}
		found := slices.Contains(names, strings.ToLower(t.Name)) && keep(t)
		if found && len(things) == limit {
			return things, things[limit-1].Name, nil
		}
		if found {
			things = append(things, *t)
		}
		if looked++; looked >= scanBudget {
			return things, t.Name, nil
		}
		at = nextSpelling(names, t.Name)
	}
	return things, "", nil
}

// nextSpelling is the first spelling of any of the names that comes after a name; "" when
// there is none.
func nextSpelling(names []string, after string) (first string) {
	for _, n := range names {
		if !jobsvc.IsThingName(n) {
			continue
		}
		if s := spellingAfter(n, after); s != "" && (first == "" || s < first) {
			first = s
		}
	}
	return first
}

// spellingAfter has as much in common with after as it can, then the next greater
// letter, then capitals, which come first.
func spellingAfter(name, after string) string {
	common := 0
	for common < len(name) && common < len(after) && name[common] == lower(after[common]) {
		common++
	}
	for i := common; i >= 0; i-- {
		if i == len(name) {
			continue
		}
		if i == len(after) {
			return after + strings.ToUpper(name[i:])
		}
		for _, c := range []byte{upper(name[i]), name[i]} {
			if c > after[i] {
				return after[:i] + string(c) + strings.ToUpper(name[i+1:])
			}
		}
	}
	return ""
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}
