// Package memkv is the kv contract in memory, for tests and demonstrations. It
// keeps nothing on disk; Reopen stands for a restart.
//
// The keys are in a copy-on-write B-tree (tidwall/btree): a transaction works on
// a copy that costs nothing to make, which becomes the store when it commits and
// is forgotten when it fails. Readers use whatever tree is current and take no
// lock.
package memkv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Options of a store. The zero value is usable.
type Options struct {
	// ScopeOf, when set, is what transactions are checked against (kv.ErrScope).
	ScopeOf kv.ScopeOf
	// Now is the machine's clock; time.Now when nil.
	Now func() time.Time
	// RunTwice runs the fn of every transaction twice and forgets the first run,
	// so that a fn which is not pure shows in tests.
	RunTwice bool
}

// tree holds values and counters under their keys. One that was stored in
// data.current is never changed again.
type tree = btree.Map[string, entry]

type entry struct {
	val     []byte // never nil for a value
	n       int64
	counter bool
}

// data is what survives Close.
type data struct {
	current atomic.Pointer[tree]
	clock   atomic.Int64 // the last time given out, Unix nanoseconds
}

// DB is a store in memory.
type DB struct {
	opt  Options
	data *data

	// mu is held by the transaction that runs, and by Close.
	mu     sync.Mutex
	closed atomic.Bool // written with mu held
}

var _ kv.DB = (*DB)(nil)

// Open makes an empty store.
func Open(opt Options) *DB {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	d := &data{}
	d.current.Store(new(tree))
	return &DB{opt: opt, data: d}
}

// Reopen closes the store and opens it again, as a restart of the process does:
// the new DB has all that was committed, the old one refuses everything.
func (db *DB) Reopen() *DB {
	db.Close()
	return &DB{opt: db.opt, data: db.data}
}

// Get implements kv.DB.
func (db *DB) Get(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if err := db.check(ctx); err != nil {
		return nil, err
	}
	return get(db.data.current.Load(), keys), nil
}

// Scan implements kv.DB.
func (db *DB) Scan(ctx context.Context, r kv.Range) (items []kv.Item, next []byte, err error) {
	if err := db.check(ctx); err != nil {
		return nil, nil, err
	}
	if r.Limit <= 0 {
		return nil, nil, errors.New("memkv: scan without a limit")
	}
	more := r.Limit
	r.Limit++ // the one after the last tells whether there is a next
	items = scan(db.data.current.Load(), r)
	if len(items) <= more {
		return items, nil, nil
	}
	if next = items[more].Key; r.Reverse {
		next = items[more-1].Key // End is exclusive
	}
	return items[:more], next, nil
}

// Counters implements kv.DB.
func (db *DB) Counters(ctx context.Context, prefix []byte) (map[string]int64, error) {
	if err := db.check(ctx); err != nil {
		return nil, err
	}
	m := make(map[string]int64)
	db.data.current.Load().Ascend(string(prefix), func(key string, e entry) bool {
		if !strings.HasPrefix(key, string(prefix)) {
			return false
		}
		if e.counter {
			m[key] = e.n
		}
		return true
	})
	return m, nil
}

// Update implements kv.DB.
func (db *DB) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.check(ctx); err != nil {
		return nil, err
	}
	if db.opt.RunTwice {
		_, _ = db.run(s, fn)
	}
	tx, err := db.run(s, fn)
	if err != nil {
		return nil, err
	}
	db.data.current.Store(tx.tree)
	return tx.events, nil
}

// UpdateMany implements kv.DB.
func (db *DB) UpdateMany(ctx context.Context, ops []kv.Op) []kv.Result {
	results := make([]kv.Result, len(ops))
	for i, op := range ops {
		results[i].Events, results[i].Err = db.Update(ctx, op.Scope, op.Fn)
	}
	return results
}

// run runs fn on a copy of the store.
func (db *DB) run(s kv.Scope, fn func(kv.Tx) error) (t *tx, err error) {
	t = &tx{db: db, scope: s, scopeOf: db.opt.ScopeOf, tree: db.data.current.Load().Copy()}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("memkv: panic in the transaction of %s: %v", s, p)
		}
	}()
	if err := fn(t); err != nil {
		return nil, err
	}
	return t, t.err
}

// Now implements kv.DB.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	if err := db.check(ctx); err != nil {
		return time.Time{}, err
	}
	return time.Unix(0, db.data.tick(db.opt.Now)), nil
}

// tick moves the clock on and gives its time.
func (d *data) tick(machine func() time.Time) int64 {
	for {
		last := d.clock.Load()
		now := max(machine().UnixNano(), last+1)
		if d.clock.CompareAndSwap(last, now) {
			return now
		}
	}
}

// Export implements kv.DB.
func (db *DB) Export(ctx context.Context, w io.Writer) error {
	// The tree first: the clock must not be before any time in it.
	tree := db.data.current.Load()
	now, err := db.Now(ctx)
	if err != nil {
		return err
	}
	d := kv.NewDumpWriter(w, now)
	tree.Scan(func(key string, e entry) bool {
		err = d.Write(kv.DumpEntry{Key: []byte(key), Value: e.val, Counter: e.n, IsCounter: e.counter})
		return err == nil
	})
	return d.Close()
}

// Import implements kv.DB. When it fails, the store is still empty.
func (db *DB) Import(ctx context.Context, r io.Reader) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.check(ctx); err != nil {
		return err
	}
	if db.data.current.Load().Len() > 0 {
		return kv.ErrNotEmpty
	}
	d, err := kv.NewDumpReader(r)
	if err != nil {
		return err
	}
	t := new(tree)
	for {
		e, err := d.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		t.Set(string(e.Key), entry{val: e.Value, n: e.Counter, counter: e.IsCounter})
	}
	db.data.clock.Store(max(db.data.clock.Load(), d.Clock().UnixNano()))
	db.data.current.Store(t)
	return nil
}

// Close implements kv.DB.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed.Swap(true) {
		return kv.ErrUnavailable
	}
	return nil
}

func (db *DB) check(ctx context.Context) error {
	if db.closed.Load() {
		return kv.ErrUnavailable
	}
	return ctx.Err()
}

func get(t *tree, keys [][]byte) []kv.Item {
	items := make([]kv.Item, len(keys))
	for i, key := range keys {
		e, _ := t.Get(string(key))
		items[i] = kv.Item{Key: key, Value: e.val}
	}
	return items
}

func scan(t *tree, r kv.Range) []kv.Item {
	var items []kv.Item
	start, end := string(r.Start), string(r.End)
	visit := func(key string, e entry) bool {
		// Descend begins at End itself, which does not belong to the range.
		if r.Reverse && r.End != nil && key >= end {
			return true
		}
		if key < start || r.End != nil && key >= end {
			return false
		}
		if !e.counter {
			items = append(items, kv.Item{Key: []byte(key), Value: e.val})
		}
		return len(items) < r.Limit
	}
	switch {
	case !r.Reverse:
		t.Ascend(start, visit)
	case r.End == nil:
		t.Reverse(visit)
	default:
		t.Descend(end, visit)
	}
	return items
}
