// Package badgerkv is the kv contract over Badger, the store of a single node.
// It is the only importer of badger and knows nothing of what is stored.
//
// Badger syncs every transaction by itself, so the number of commits is what
// costs. One goroutine, the committer, therefore runs all transactions: it takes
// whatever is queued, runs the fns one after the other, writes what they wrote
// as one Badger transaction, waits for the disk once and then releases all
// callers. While it waits the next batch queues up; no timer is involved. Since
// it is alone, transactions never conflict, and it may keep the scopes in use in
// memory (cache.go) without any lock.
//
// Readers outside of transactions go to Badger at the timestamp of the last
// commit known to be durable, and so never see anything that a crash could take
// back. An answer of a transaction, a refusal by its fn included, is held back
// until everything it may have read is durable too.
//
// Counters lie beside the values under their own keys, told apart by a mark
// Badger keeps with each value (markCounter).
package badgerkv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Options of a store. Dir and ScopeOf are required.
type Options struct {
	// Dir holds the store. It is made when missing, and locked while open.
	Dir string
	// ScopeOf is what transactions are checked against (kv.ErrScope), and by
	// which keys are cached. Keys that begin with 0x00 or "!badger!" cannot be
	// written.
	ScopeOf kv.ScopeOf
	// Logger takes what Badger has to say: its warnings as warnings, everything
	// else at debug level. Nil discards it.
	Logger *slog.Logger
	// NoSync leaves it to the operating system when writes reach the disk. They
	// then survive a crash of the process, but not one of the machine.
	NoSync bool
	// MemTableSize is how much Badger gathers in memory before it writes a table,
	// in bytes: 16 MiB when 0, which is the least. Up to four of them are in memory.
	MemTableSize int64
	// CacheBytes bounds the memory of the scopes kept for transactions: 64 MiB
	// when 0. Less than 0 keeps nothing from one batch to the next.
	CacheBytes int64
	// ReadCacheBytes bounds the memory of the values kept for readers outside of
	// transactions: 32 MiB when 0. Less than 0 keeps none.
	ReadCacheBytes int64
	// MinFreeBytes is the free space of the disk below which updates are refused
	// with kv.ErrUnavailable: 512 MiB when 0, less than 0 turns the check off.
	// Badger hangs, and may not even close, once the disk is full.
	MinFreeBytes int64
	// Now is the machine's clock; time.Now when nil.
	Now func() time.Time
}

// The marks in Badger's user meta byte. Values have none.
const (
	markCounter  = 1
	markInternal = 2 // ours, not seen through the contract
)

// DB is a store in a directory.
type DB struct {
	badger    *badger.DB
	scopeOf   kv.ScopeOf
	clock     *clock
	snapshots snapshots
	recent    *recent
	counted   counted
	committer *committer

	// life is held for reading while a method uses Badger or the queue, so that
	// Close waits for them.
	life   sync.RWMutex
	closed bool // guarded by life

	failure atomic.Pointer[error]
	failed  chan struct{} // closed after failure was set
}

var _ kv.DB = (*DB)(nil)

// Open opens the store in opt.Dir, or makes one. A directory in use by another
// process is an error.
func Open(opt Options) (*DB, error) {
	if opt.Dir == "" || opt.ScopeOf == nil {
		return nil, errors.New("badgerkv: Dir and ScopeOf are required")
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.MemTableSize == 0 {
		opt.MemTableSize = 16 << 20
	}
	if opt.CacheBytes == 0 {
		opt.CacheBytes = 64 << 20
	}
	if opt.ReadCacheBytes == 0 {
		opt.ReadCacheBytes = 32 << 20
	}
	if opt.MinFreeBytes == 0 {
		opt.MinFreeBytes = 512 << 20
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("badgerkv: %w", err)
	}
	b, err := badger.OpenManaged(badgerOptions(opt))
	if err != nil {
		if strings.Contains(err.Error(), "Cannot acquire directory lock") {
			return nil, fmt.Errorf("badgerkv: %s is in use by another process: %w", opt.Dir, err)
		}
		return nil, fmt.Errorf("badgerkv: open %s: %w", opt.Dir, err)
	}
	db := &DB{badger: b, scopeOf: opt.ScopeOf, recent: newRecent(opt.ReadCacheBytes), failed: make(chan struct{})}
	db.snapshots.start(b.MaxVersion())
	if db.clock, err = db.loadClock(opt.Now); err != nil {
		b.Close()
		return nil, fmt.Errorf("badgerkv: read the clock of %s: %w", opt.Dir, err)
	}
	db.committer = newCommitter(db, opt)
	go db.committer.run()
	return db, nil
}

func badgerOptions(opt Options) badger.Options {
	// The value log stays empty, because values are far below ValueThreshold: its
	// garbage collection is never needed, and its file may be small.
	//
	// The base level has about what the tables of the first level have together, when
	// they are compacted: with much less, every byte is written once more.
	memTable := max(opt.MemTableSize, 16<<20)
	return badger.DefaultOptions(opt.Dir).
		WithSyncWrites(!opt.NoSync).
		WithDetectConflicts(false).
		WithMemTableSize(memTable).
		WithNumMemtables(3).
		WithNumCompactors(2).
		WithBaseLevelSize(4 * memTable).
		WithCompression(options.None).
		WithBlockCacheSize(64 << 20).
		WithValueLogFileSize(64 << 20).
		WithMetricsEnabled(false).
		WithLogger(logger{opt.Logger})
}

// Get implements kv.DB.
func (db *DB) Get(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if err := db.enter(ctx); err != nil {
		return nil, err
	}
	defer db.leave()
	items := make([]kv.Item, len(keys))
	var s snapshot
	var at uint64 // of s
	defer func() { s.release() }()
	for i, key := range keys {
		items[i].Key = key
		val, mark, ok := db.recent.get(str(key))
		if !ok {
			// A key is never read from an older state than the one before it: what moves
			// from a key to a later one is not missed.
			if now := db.snapshots.durable.Load(); s.txn == nil || at != now {
				s.release()
				s, at = db.snapshot(), now
			}
			var err error
			if val, err = readValue(s.txn, key); err != nil {
				return nil, err
			}
			db.recent.learn(str(key), val, mark)
		}
		items[i].Value = val
	}
	return items, nil
}

// Scan implements kv.DB.
func (db *DB) Scan(ctx context.Context, r kv.Range) (items []kv.Item, next []byte, err error) {
	if r.Limit <= 0 {
		return nil, nil, errNoLimit
	}
	if err := db.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer db.leave()
	s := db.snapshot()
	defer s.release()
	it := newRangeIterator(s.txn, r.Start, r.End, r.Reverse)
	defer it.Close()
	var keys arena
	for ; it.valid(); it.next() {
		item := it.item()
		if item.UserMeta() != 0 {
			continue
		}
		if len(items) == r.Limit {
			if next = item.KeyCopy(nil); r.Reverse {
				next = items[len(items)-1].Key // End is exclusive
			}
			break
		}
		val := noBytes
		if !r.KeysOnly {
			if val, err = copyValue(item); err != nil {
				return nil, nil, err
			}
		}
		if items == nil && r.KeysOnly { // a page of an index: likely full
			items = make([]kv.Item, 0, min(r.Limit, 256))
		}
		items = append(items, kv.Item{Key: keys.copy(item.Key(), r.Limit-len(items)), Value: val})
	}
	return items, next, nil
}

// arena copies keys that are handed out together into memory they share.
type arena []byte

const arenaBytes = 4 << 10

// copy copies a key, the first of so many of its kind at most.
func (a *arena) copy(key []byte, more int) []byte {
	if cap(*a)-len(*a) < len(key) {
		*a = make([]byte, 0, max(len(key), min(arenaBytes, len(key)*more)))
	}
	from := len(*a)
	*a = append(*a, key...)
	return (*a)[from:len(*a):len(*a)]
}

// Counters implements kv.DB.
func (db *DB) Counters(ctx context.Context, prefix []byte) (map[string]int64, error) {
	if err := db.enter(ctx); err != nil {
		return nil, err
	}
	defer db.leave()
	if m, ok := db.counted.get(prefix); ok {
		return m, nil
	}
	s := db.snapshot()
	defer s.release()
	m := make(map[string]int64)
	it := newRangeIterator(s.txn, prefix, kv.PrefixEnd(prefix), false)
	defer it.Close()
	for ; it.valid(); it.next() {
		item := it.item()
		if item.UserMeta() != markCounter {
			continue
		}
		n, err := counterValue(item)
		if err != nil {
			return nil, err
		}
		m[string(item.Key())] = n
	}
	db.counted.learn(prefix, m, s.txn.ReadTs())
	return m, nil
}

// Update implements kv.DB.
func (db *DB) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	c := callPool.Get().(*call)
	c.one[0] = kv.Op{Scope: s, Fn: fn}
	c.begin(ctx, c.one[:], c.oneResult[:])
	if err := db.submit(ctx, c); err != nil {
		c.recycle()
		return nil, err
	}
	<-c.done
	r := c.oneResult[0]
	c.recycle()
	return r.Events, r.Err
}

// UpdateMany implements kv.DB.
func (db *DB) UpdateMany(ctx context.Context, ops []kv.Op) []kv.Result {
	results := make([]kv.Result, len(ops))
	if len(ops) == 0 {
		return results
	}
	size := len(ops)
	if slices.ContainsFunc(ops, func(op kv.Op) bool { return len(op.Reads) > 0 }) {
		size = aheadPiece
	}
	var calls []*call
	for from := 0; from < len(ops); from += size {
		to := min(from+size, len(ops))
		c := &call{done: make(chan struct{}, 1), many: true}
		c.begin(ctx, ops[from:to], results[from:to])
		if err := db.submitMany(ctx, c); err != nil {
			// What comes after it is refused as well.
			for i := range c.results {
				c.results[i].Err = err
			}
			continue
		}
		calls = append(calls, c)
	}
	for _, c := range calls {
		<-c.done
	}
	return results
}

// submitMany hands over a call, with what it will read read ahead.
func (db *DB) submitMany(ctx context.Context, c *call) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	c.ahead = db.readAhead(c.ops)
	db.leave()
	return db.submit(ctx, c)
}

// submit hands a call to the committer, which answers it on c.done. It waits
// while the queue is full.
func (db *DB) submit(ctx context.Context, c *call) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.leave()
	select {
	case db.committer.queue <- c:
		return nil
	default:
	}
	select {
	case db.committer.queue <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Now implements kv.DB.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	if err := db.enter(ctx); err != nil {
		return time.Time{}, err
	}
	defer db.leave()
	return time.Unix(0, db.clock.next()), nil
}

// Close implements kv.DB. A store that has failed is left as it is on disk, with
// its lock held until the process ends: closing Badger would write out what the
// failed commit left in its memory.
func (db *DB) Close() error {
	db.life.Lock()
	if db.closed {
		db.life.Unlock()
		return kv.ErrUnavailable
	}
	db.closed = true
	close(db.committer.queue)
	db.life.Unlock()
	<-db.committer.stopped
	if err := db.Err(); err != nil {
		return err
	}
	if err := db.badger.Close(); err != nil {
		return fmt.Errorf("badgerkv: close: %w", err)
	}
	return nil
}

// Failed is closed when the store can no longer commit. It refuses all updates
// from then on; only a restart of the process helps. Err tells why.
func (db *DB) Failed() <-chan struct{} { return db.failed }

// Err is the error that stopped the store, nil while it works.
func (db *DB) Err() error {
	if err := db.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (db *DB) fail(err error) {
	if db.failure.CompareAndSwap(nil, &err) {
		close(db.failed)
	}
}

// enter begins the use of the open store, until leave.
func (db *DB) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	db.life.RLock()
	if db.closed {
		db.life.RUnlock()
		return kv.ErrUnavailable
	}
	return nil
}

func (db *DB) leave() { db.life.RUnlock() }

var (
	errNoLimit = errors.New("badgerkv: scan without a limit")
	noBytes    = []byte{}
)

// readValue gives the value of a key, nil when there is none or it is not one
// of the caller's.
func readValue(txn *badger.Txn, key []byte) ([]byte, error) {
	if len(key) == 0 {
		return nil, nil
	}
	item, err := txn.Get(key)
	switch {
	case err == badger.ErrKeyNotFound:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("badgerkv: read: %w", err)
	case item.UserMeta() != 0:
		return nil, nil
	}
	return copyValue(item)
}

func copyValue(item *badger.Item) ([]byte, error) {
	val, err := item.ValueCopy(nil)
	if err != nil {
		return nil, fmt.Errorf("badgerkv: read: %w", err)
	}
	if val == nil {
		val = noBytes
	}
	return val, nil
}

func counterValue(item *badger.Item) (n int64, err error) {
	err = item.Value(func(val []byte) error {
		if len(val) != 8 {
			return fmt.Errorf("badgerkv: counter %q has %d bytes", item.Key(), len(val))
		}
		n = int64(binary.BigEndian.Uint64(val))
		return nil
	})
	return n, err
}
