package badgerkv

import (
	"bytes"
	"fmt"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// tx is the transaction that runs. It writes straight into the cache and keeps
// what it takes to undo that. There is one, used again and again by the
// committer.
type tx struct {
	c      *committer
	scope  kv.Scope
	own    *scopeCache
	ahead  []kv.Item // keys of the scope that were read ahead
	writes []write
	adds   []addition
	size   int // as kv.MaxTxBytes counts
	events []kv.Event
	err    error // the first rule broken
	items  []kv.Item
}

// write is a Put, or a Delete when val is nil, and what was cached before.
type write struct {
	key string
	val []byte
	old cached
	had bool
}

// addition is an Add, or what a Delete means for a counter.
type addition struct {
	key   string
	delta int64
	reset bool
}

var _ kv.Tx = (*tx)(nil)

// run runs fn. When it fails, the cache is as it was before.
func (t *tx) run(s kv.Scope, ahead []kv.Item, fn func(kv.Tx) error) (err error) {
	*t = tx{c: t.c, scope: s, own: t.c.cache.scope(s), ahead: ahead, writes: t.writes[:0], adds: t.adds[:0], items: t.items}
	returned := false
	defer func() {
		if p := recover(); p == nil && !returned {
			// Without this all callers would wait forever.
			panic("badgerkv: a transaction ended its goroutine; does its fn call t.FailNow?")
		} else if p != nil {
			err = fmt.Errorf("badgerkv: panic in the transaction of %s: %v\n%s", s, p, debug.Stack())
		}
		if err != nil {
			t.undo()
		}
	}()
	err = fn(t)
	returned = true
	if err == nil {
		err = t.err
	}
	return err
}

func (t *tx) undo() {
	for i := len(t.writes) - 1; i >= 0; i-- {
		if w := &t.writes[i]; w.had {
			t.c.cache.set(t.own, w.key, w.old)
		} else {
			t.c.cache.forget(t.own, w.key)
		}
	}
	t.writes, t.adds, t.events = t.writes[:0], t.adds[:0], nil
}

func (t *tx) Get(keys ...[]byte) ([]kv.Item, error) {
	items := t.someItems(len(keys))
	for i, key := range keys {
		if err := t.check(key); err != nil {
			return nil, err
		}
		val, err := t.value(key)
		if err != nil {
			return nil, err
		}
		items[i] = kv.Item{Key: key, Value: val}
	}
	return items, nil
}

// value reads a key of the own scope. What was read ahead is not put into the cache:
// most of it is for one transaction only.
func (t *tx) value(key []byte) ([]byte, error) {
	if v, ok := t.own.lookup(str(key)); ok {
		return v, nil
	}
	for i := range t.ahead {
		if bytes.Equal(t.ahead[i].Key, key) {
			return t.ahead[i].Value, nil
		}
	}
	return t.c.fetch(t.own, key)
}

// Peek sees what earlier transactions of the batch wrote. That is as good as
// durable: this transaction becomes so together with them or not at all.
func (t *tx) Peek(keys ...[]byte) ([]kv.Item, error) {
	items := t.someItems(len(keys))
	for i, key := range keys {
		val, err := t.peek(key)
		if err != nil {
			return nil, err
		}
		items[i] = kv.Item{Key: key, Value: val}
	}
	return items, nil
}

// someItems cuts items from a piece that serves many calls. None is given out twice.
func (t *tx) someItems(n int) []kv.Item {
	if n > len(t.items) {
		t.items = make([]kv.Item, max(n, itemsPiece))
	}
	items := t.items[:n:n]
	t.items = t.items[n:]
	return items
}

const itemsPiece = 64

func (t *tx) peek(key []byte) ([]byte, error) {
	switch s, ok := t.c.db.scopeOf(key); {
	case !ok:
		return readValue(t.c.reader(), key)
	case s == t.scope:
		return t.c.value(t.own, key)
	default:
		return t.c.value(t.c.cache.scope(s), key)
	}
}

func (t *tx) Scan(r kv.Range) ([]kv.Item, error) {
	if r.Limit <= 0 {
		return nil, errNoLimit
	}
	if len(r.Start) > 0 {
		if s, ok := t.c.db.scopeOf(r.Start); ok && s != t.scope {
			return nil, t.fail(fmt.Errorf("%w: scan from %q in the transaction of %s", kv.ErrScope, r.Start, t.scope))
		}
	}
	scan := t.c.scan
	if r.Reverse {
		scan = t.c.scanReverse
	}
	items, err := scan(t.own, r)
	if err != nil {
		return nil, t.fail(err)
	}
	return items, nil
}

func (t *tx) Put(key, val []byte) {
	if val == nil {
		val = noBytes
	}
	t.write(key, val)
}

func (t *tx) Delete(key []byte) {
	if t.write(key, nil) {
		t.adds = append(t.adds, addition{key: str(key), reset: true})
	}
}

func (t *tx) write(key, val []byte) bool {
	if t.check(key) != nil || !t.fits(key, val) {
		return false
	}
	w := write{key: str(key), val: val}
	v := cached{val: val}
	if old, had := t.own.keys.Get(w.key); had {
		v.blind = old.blind
	} else {
		v.blind = !t.own.covers(w.key)
	}
	w.old, w.had = t.c.cache.set(t.own, w.key, v)
	t.writes = append(t.writes, w)
	return true
}

func (t *tx) Add(key []byte, delta int64) {
	if t.fits(key, nil) {
		t.adds = append(t.adds, addition{key: str(key), delta: delta})
	}
}

// Stamp is of the clock, whose record is in the batch when it must be. The committer runs
// transactions in the order in which it commits them.
func (t *tx) Stamp() int64 { return t.c.db.clock.next() }

func (t *tx) After(e kv.Event) { t.events = append(t.events, e) }

func (t *tx) check(key []byte) error {
	if s, ok := t.c.db.scopeOf(key); !ok || s != t.scope {
		return t.fail(fmt.Errorf("%w: %q in the transaction of %s", kv.ErrScope, key, t.scope))
	}
	return nil
}

func (t *tx) fits(key, val []byte) bool {
	if len(key) == 0 || reserved(key) {
		t.fail(fmt.Errorf("%w: %q cannot be written", kv.ErrScope, key))
		return false
	}
	t.size += len(key) + len(val) + kv.TxOverhead
	if len(key) > kv.MaxKeyBytes || len(val) > kv.MaxValueBytes || t.size > kv.MaxTxBytes {
		t.fail(fmt.Errorf("%w: %s", kv.ErrTooLarge, t.scope))
		return false
	}
	return true
}

// reserved tells the keys that we or Badger use, which ScopeOf should not know
// either.
func reserved(key []byte) bool {
	return key[0] == 0 || key[0] == '!' && bytes.HasPrefix(key, []byte("!badger!"))
}

func (t *tx) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}

// value reads a key of a scope through the cache.
func (c *committer) value(e *scopeCache, key []byte) ([]byte, error) {
	if v, ok := e.lookup(str(key)); ok {
		return v, nil
	}
	return c.fetch(e, key)
}

// lookup gives the value of a key when it is known, nil when it does not exist.
func (e *scopeCache) lookup(key string) (val []byte, known bool) {
	if v, ok := e.keys.Get(key); ok {
		return v.val, true
	}
	return nil, e.covers(key)
}

// fetch reads a key that is not known.
func (c *committer) fetch(e *scopeCache, key []byte) ([]byte, error) {
	val, err := readValue(c.reader(), key)
	if err != nil {
		return nil, err
	}
	c.cache.set(e, string(key), cached{val: val})
	return val, nil
}

// scan reads a range of a scope through the cache, loading what is not known.
func (c *committer) scan(e *scopeCache, r kv.Range) ([]kv.Item, error) {
	var items []kv.Item
	pos, end := str(r.Start), endOfKeys
	if r.End != nil {
		end = str(r.End)
	}
	for pos < end && len(items) < r.Limit {
		s, ok := e.spanFrom(pos)
		if !ok {
			if err := c.load(e, pos, end, r.Limit-len(items), false); err != nil {
				return nil, err
			}
			continue
		}
		stop := min(end, s.end)
		e.keys.Ascend(pos, func(key string, v cached) bool {
			if key >= stop {
				return false
			}
			if v.val != nil {
				items = append(items, kv.Item{Key: raw(key), Value: v.val})
			}
			return len(items) < r.Limit
		})
		pos = stop
	}
	return items, nil
}

// scanReverse is scan from the end downwards.
func (c *committer) scanReverse(e *scopeCache, r kv.Range) ([]kv.Item, error) {
	var items []kv.Item
	start, pos := str(r.Start), endOfKeys
	if r.End != nil {
		pos = str(r.End)
	}
	for start < pos && len(items) < r.Limit {
		s, ok := e.spanBefore(pos)
		if !ok {
			if err := c.load(e, start, pos, r.Limit-len(items), true); err != nil {
				return nil, err
			}
			continue
		}
		stop := max(start, s.start)
		e.keys.Descend(pos, func(key string, v cached) bool {
			if key >= pos {
				return true // Descend begins at pos itself
			}
			if key < stop {
				return false
			}
			if v.val != nil {
				items = append(items, kv.Item{Key: raw(key), Value: v.val})
			}
			return len(items) < r.Limit
		})
		pos = stop
	}
	return items, nil
}

// load reads about n keys of [start, end) from the disk into the cache, from the
// end when reverse, and makes the part it read a known range. What is cached
// already is newer and stays.
func (c *committer) load(e *scopeCache, start, end string, n int, reverse bool) error {
	// The keys the batch has deleted count as read, too; a few more spare the
	// next round.
	n += 16
	it := newRangeIterator(c.reader(), raw(start), raw(end), reverse)
	defer it.Close()
	learned := span{start, end}
	for ; it.valid(); it.next() {
		item := it.item()
		if item.UserMeta() == markInternal {
			continue
		}
		if s, ok := c.db.scopeOf(item.Key()); !ok || s != e.scope {
			return fmt.Errorf("%w: scan of %s runs into %q", kv.ErrScope, e.scope, item.Key())
		}
		if item.UserMeta() != 0 {
			continue
		}
		key := string(item.Key())
		if _, ok := e.keys.Get(key); !ok {
			val, err := copyValue(item)
			if err != nil {
				return err
			}
			c.cache.set(e, key, cached{val: val})
		}
		if n--; n == 0 {
			if reverse {
				learned.start = key
			} else {
				learned.end = key + "\x00"
			}
			break
		}
	}
	e.learn(learned)
	return nil
}

// reader is a view of the last durable state, for the batch.
func (c *committer) reader() *badger.Txn {
	if c.read == nil {
		c.read = c.db.badger.NewTransactionAt(c.db.snapshots.durable.Load(), false)
	}
	return c.read
}
