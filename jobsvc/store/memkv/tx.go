package memkv

import (
	"errors"
	"fmt"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// tx works on a tree of its own.
type tx struct {
	db      *DB
	scope   kv.Scope
	scopeOf kv.ScopeOf // nil: nothing is checked
	tree    *tree
	size    int
	events  []kv.Event
	err     error // the first rule broken
}

var _ kv.Tx = (*tx)(nil)

func (t *tx) Get(keys ...[]byte) ([]kv.Item, error) {
	for _, key := range keys {
		if err := t.own(key); err != nil {
			return nil, err
		}
	}
	return get(t.tree, keys), nil
}

func (t *tx) Peek(keys ...[]byte) ([]kv.Item, error) {
	return get(t.tree, keys), nil
}

func (t *tx) Scan(r kv.Range) ([]kv.Item, error) {
	if r.Limit <= 0 {
		return nil, errors.New("memkv: scan without a limit")
	}
	if s, ok := t.scopeOfStart(r); ok && s != t.scope {
		return nil, t.fail(fmt.Errorf("%w: scan from %q in the transaction of %s", kv.ErrScope, r.Start, t.scope))
	}
	items := scan(t.tree, r)
	for _, it := range items {
		if err := t.own(it.Key); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (t *tx) scopeOfStart(r kv.Range) (kv.Scope, bool) {
	if t.scopeOf == nil || len(r.Start) == 0 {
		return kv.Scope{}, false
	}
	return t.scopeOf(r.Start)
}

func (t *tx) Put(key, val []byte) {
	if t.own(key) != nil || !t.fits(key, val) {
		return
	}
	if val == nil {
		val = []byte{}
	}
	t.tree.Set(string(key), entry{val: val})
}

func (t *tx) Delete(key []byte) {
	if t.own(key) != nil || !t.fits(key, nil) {
		return
	}
	t.tree.Delete(string(key))
}

func (t *tx) Add(counter []byte, delta int64) {
	if !t.fits(counter, nil) {
		return
	}
	e, _ := t.tree.Get(string(counter))
	t.tree.Set(string(counter), entry{n: e.n + delta, counter: true})
}

// Stamp: transactions run one at a time, so they are committed in the order of the clock.
func (t *tx) Stamp() int64 { return t.db.data.tick(t.db.opt.Now) }

func (t *tx) After(e kv.Event) { t.events = append(t.events, e) }

func (t *tx) own(key []byte) error {
	if t.scopeOf == nil {
		return nil
	}
	if s, ok := t.scopeOf(key); !ok || s != t.scope {
		return t.fail(fmt.Errorf("%w: %q in the transaction of %s", kv.ErrScope, key, t.scope))
	}
	return nil
}

func (t *tx) fits(key, val []byte) bool {
	t.size += len(key) + len(val) + kv.TxOverhead
	if len(key) > kv.MaxKeyBytes || len(val) > kv.MaxValueBytes || t.size > kv.MaxTxBytes {
		t.fail(fmt.Errorf("%w: %s", kv.ErrTooLarge, t.scope))
		return false
	}
	return true
}

func (t *tx) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}
