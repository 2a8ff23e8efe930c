package store

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// scanAll is more than any small set inside a scope has; sets are read whole.
const scanAll = 1 << 16

// nameAfter is the last key of the name after which a listing goes on; nil to begin.
func nameAfter(prefix key, name string) key {
	if name == "" {
		return nil
	}
	return append(key(nil), prefix...).name(name)
}

// named is the range of the keys under a prefix whose name begins with another, those
// after a name.
func named(prefix key, namePrefix, afterName string, limit int) kv.Range {
	r := kv.Prefix(append(slices.Clone(prefix), namePrefix...), limit)
	if last := nameAfter(prefix, afterName); bytes.Compare(last, r.Start) > 0 {
		r.Start = append(last, 0)
	}
	return r
}

// scanBudget is how many records a page of a filtered list looks at: a filter that
// nothing passes must not hold everybody up. The page then ends early, and the next one
// goes on.
const scanBudget = 20_000

var errBudget = errors.New("looked at enough")

// listNamed lists records of a range in key order. next is where the next page
// begins, "" at the end; a page may end early, see scanBudget.
func listNamed[T any](ctx context.Context, s *Store, r kv.Range, limit int, decode func([]byte) (*T, error), keep func(*T) bool, name func(*T) string) (list []T, next string, err error) {
	looked := 0
	ended, err := s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
		v, err := decode(it.Value)
		if err != nil {
			return false, err
		}
		if keep(v) {
			list = append(list, *v)
			return true, nil
		}
		if looked++; looked >= scanBudget {
			next = name(v)
			return false, errBudget
		}
		return false, nil
	})
	if err == errBudget {
		return list, next, nil
	}
	if err != nil {
		return nil, "", err
	}
	if !ended && len(list) > 0 {
		next = name(&list[len(list)-1])
	}
	return list, next, nil
}

// listKeys lists the names that end the keys under a prefix.
func listKeys(ctx context.Context, s *Store, prefix key, afterName string, limit int) (names []string, next string, err error) {
	return listPrefixed(ctx, s, prefix, "", afterName, limit)
}

// listPrefixed is listKeys of the names that begin with namePrefix.
func listPrefixed(ctx context.Context, s *Store, prefix key, namePrefix, afterName string, limit int) (names []string, next string, err error) {
	r := named(prefix, namePrefix, afterName, limit+1)
	r.KeysOnly = true
	ended, err := s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
		c := cursor{it.Key[len(prefix):], true}
		names = append(names, c.name())
		return true, nil
	})
	if err != nil {
		return nil, "", err
	}
	if !ended && len(names) > 0 {
		next = names[len(names)-1]
	}
	return names, next, nil
}

// scanNames reads the records of the own scope under a prefix, by the name that ends
// their keys.
func scanNames[T any](t *Tx, prefix key, decode func([]byte) (*T, error)) (map[string]T, error) {
	items, err := t.tx.Scan(kv.Prefix(prefix, scanAll))
	if err != nil {
		return nil, err
	}
	m := make(map[string]T, len(items))
	for _, it := range items {
		v, err := decode(it.Value)
		if err != nil {
			return nil, err
		}
		c := cursor{it.Key[len(prefix):], true}
		m[c.name()] = *v
	}
	return m, nil
}
