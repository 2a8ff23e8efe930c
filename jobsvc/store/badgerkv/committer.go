package badgerkv

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

const (
	queueCalls = 4096
	// A batch takes no more once it has batchTxs transactions or has written
	// batchBytes. Calls of many operations get bulkTxs of a batch before the
	// single ones, and what these leave; so neither waits long for the other.
	batchTxs   = 1024
	bulkTxs    = 256
	batchBytes = 1 << 20
	// upkeepCommits is how many commits go by between two rounds of upkeep.
	upkeepCommits = 64
)

// call is an Update or UpdateMany that waits for its answer.
type call struct {
	ctx     context.Context
	ops     []kv.Op
	results []kv.Result
	many    bool          // of UpdateMany
	ahead   *ahead        // what was read for the ops, or nil
	next    int           // ops before it have run
	waiting int           // results not yet known
	done    chan struct{} // gets one element when all are

	one       [1]kv.Op
	oneResult [1]kv.Result
}

var callPool = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

func (c *call) begin(ctx context.Context, ops []kv.Op, results []kv.Result) {
	c.ctx, c.ops, c.results, c.next, c.waiting = ctx, ops, results, 0, len(ops)
}

func (c *call) recycle() {
	*c = call{done: c.done}
	callPool.Put(c)
}

// committer runs all transactions. Everything in it belongs to its goroutine,
// but for the queue.
type committer struct {
	db      *DB
	queue   chan *call
	stopped chan struct{} // closed at the end of run

	cache    cache
	counters counters
	stamps   stamps
	space    spaceGuard
	advice   *adviser
	// commitAt makes a batch durable. Tests make it fail.
	commitAt func(txn *badger.Txn, ts uint64) error
	backlog  []*call // calls begun or of many operations, in their order
	refused  bool    // the last commit was refused by Badger
	commits  int

	// The batch.
	batch   uint64
	txn     *badger.Txn // what it writes, nil before the first write
	read    *badger.Txn // see reader
	tx      tx
	members []member
	writes  int64
	bytes   int64
	dirty   []*scopeCache
	settle  []settling
	entries []badger.Entry
	written []write // in their order, for readers
}

// member is a transaction of the batch, its result set but not yet let go.
type member struct {
	call *call
	op   int
}

// settling is a key that need not stay in the cache once the batch is durable.
type settling struct {
	scope *scopeCache
	key   string
}

func newCommitter(db *DB, opt Options) *committer {
	c := &committer{
		db:       db,
		queue:    make(chan *call, queueCalls),
		stopped:  make(chan struct{}),
		cache:    newCache(opt.CacheBytes),
		counters: newCounters(),
		stamps:   newStamps(),
		space:    spaceGuard{dir: opt.Dir, minimum: opt.MinFreeBytes, free: freeBytes},
		advice:   newAdviser(opt.Dir),
		commitAt: func(txn *badger.Txn, ts uint64) error { return txn.CommitAt(ts, nil) },
		entries:  make([]badger.Entry, 0, 2*batchTxs),
	}
	c.tx.c = c
	c.advice.look()
	return c
}

// run makes batches until the queue is closed and empty.
func (c *committer) run() {
	defer close(c.stopped)
	for {
		var first *call
		if len(c.backlog) == 0 {
			var ok bool
			if first, ok = <-c.queue; !ok {
				c.stopClock()
				return
			}
			// The callers of the last batch have just been released. Let them queue
			// up again first: measured with 20 of them, a batch then holds 18
			// transactions instead of 10.
			runtime.Gosched()
		}
		if err := c.refusal(); err != nil {
			c.refuse(first, err)
			continue
		}
		c.gather(first)
		c.finish(c.commit())
	}
}

// stopClock takes back the lead of the clock's record, so that the clock goes on
// after the restart without a gap. If that fails the record is right as it is.
func (c *committer) stopClock() {
	last := c.db.clock.last.Load()
	if c.db.Err() != nil || last >= c.db.clock.recorded {
		return
	}
	ts := c.db.snapshots.durable.Load()
	txn := c.db.badger.NewTransactionAt(ts, true)
	defer txn.Discard()
	if txn.SetEntry(clockEntry(last)) == nil && c.commitAt(txn, ts+1) == nil {
		c.db.snapshots.durable.Store(ts + 1)
	}
}

// refusal tells why no transaction may begin now.
func (c *committer) refusal() error {
	if err := c.db.Err(); err != nil {
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	return c.space.check()
}

// refuse answers first, or else all calls of the backlog.
func (c *committer) refuse(first *call, err error) {
	calls := c.backlog
	if first != nil {
		calls = []*call{first}
	}
	for _, cl := range calls {
		// The call is its caller's again after the last release.
		for i, n := cl.next, len(cl.ops); i < n; i++ {
			cl.results[i] = kv.Result{Err: err}
			c.release(cl)
		}
	}
	if first == nil {
		c.backlog = nil
	}
}

// gather runs what is waiting, until nothing is or the batch is full.
func (c *committer) gather(first *call) {
	c.batch++
	full := first != nil && !c.accept(first) || !c.runBacklog(bulkTxs)
	for !full {
		select {
		case cl, ok := <-c.queue:
			if ok {
				full = !c.accept(cl)
				continue
			}
		default:
		}
		break
	}
	if !full {
		c.runBacklog(batchTxs)
	}
}

// accept runs a single transaction, or puts a call of many into the backlog. It
// returns false when the batch takes no more.
func (c *committer) accept(cl *call) bool {
	if cl.many {
		c.backlog = append(c.backlog, cl)
		return true
	}
	if !c.runNext(cl) {
		c.backlog = append([]*call{cl}, c.backlog...)
		return false
	}
	return c.room()
}

// runBacklog runs up to n transactions of the backlog. It returns false when the
// batch takes no more.
func (c *committer) runBacklog(n int) bool {
	for len(c.backlog) > 0 && n > 0 {
		if !c.room() {
			return false
		}
		cl := c.backlog[0]
		if !c.runNext(cl) {
			return false
		}
		n--
		if cl.next == len(cl.ops) {
			c.backlog[0] = nil
			c.backlog = c.backlog[1:]
		}
	}
	return c.room()
}

func (c *committer) room() bool {
	return len(c.members) < batchTxs && c.bytes < batchBytes
}

// runNext runs the next transaction of the call. It returns false, and leaves
// everything as it was, when the writes do not fit into the batch any more; fn
// will run again in the next one.
func (c *committer) runNext(cl *call) bool {
	op := &cl.ops[cl.next]
	err := cl.ctx.Err()
	if err == nil {
		if err = c.tx.run(op.Scope, cl.ahead.of(cl.next, op.Scope, &c.stamps), op.Fn); err == nil {
			if !c.fits(&c.tx) {
				c.tx.undo()
				return false
			}
			if err = c.add(&c.tx); err != nil {
				c.tx.undo()
			}
		}
	}
	// A refusal waits for the commit like a success: what it is about may be the
	// work of an earlier transaction of the batch.
	var events []kv.Event
	if err == nil {
		events = c.tx.events
	}
	cl.results[cl.next] = kv.Result{Events: events, Err: err}
	c.members = append(c.members, member{cl, cl.next})
	cl.next++
	return true
}

// fits tells whether the batch's transaction takes the writes, whose size is
// counted more generously than Badger does. An empty one takes all that
// kv.MaxTxBytes allows.
func (c *committer) fits(t *tx) bool {
	// For the clock, and the mark at the end.
	const reserve = 1 << 10
	count := c.writes + int64(len(t.writes)+len(t.adds)) + 8
	bytes := c.bytes + int64(t.size) + reserve
	return c.writes == 0 || count < c.db.badger.MaxBatchCount() && bytes < c.db.badger.MaxBatchSize()
}

// add puts the writes of a transaction into the batch's.
func (c *committer) add(t *tx) error {
	if len(t.writes)+len(t.adds) == 0 {
		return nil
	}
	if c.txn == nil {
		c.txn = c.db.badger.NewTransactionAt(c.db.snapshots.durable.Load(), true)
	}
	// Reading a counter may fail. Nothing is in the batch before all are known.
	for i := range t.adds {
		if a := &t.adds[i]; !a.reset {
			if err := c.counters.load(c.txn, a.key); err != nil {
				return fmt.Errorf("badgerkv: read counter: %w", err)
			}
		}
	}
	if len(t.writes) > 0 && t.own.batch != c.batch {
		t.own.batch = c.batch
		c.dirty = append(c.dirty, t.own)
		c.stamps.wrote(t.scope, c.db.snapshots.durable.Load()+1)
	}
	for i := range t.writes {
		if err := c.put(t.own, &t.writes[i]); err != nil {
			// The sizes were checked, so this is a bug. Half a transaction must
			// not be committed.
			panic(fmt.Sprintf("badgerkv: %v", err))
		}
	}
	c.written = append(c.written, t.writes...)
	for i := range t.adds {
		if a := &t.adds[i]; a.reset {
			c.counters.reset(a.key)
		} else {
			c.counters.add(a.key, a.delta)
		}
	}
	c.writes += int64(len(t.writes) + len(t.adds))
	c.bytes += int64(t.size)
	return nil
}

func (c *committer) put(scope *scopeCache, w *write) error {
	if v, _ := scope.keys.Get(w.key); v.blind || v.val == nil {
		c.settle = append(c.settle, settling{scope, w.key})
	}
	if w.val == nil {
		return c.txn.Delete(raw(w.key))
	}
	if len(c.entries) == cap(c.entries) {
		// Badger has pointers into the old ones until the commit.
		c.entries = make([]badger.Entry, 0, cap(c.entries))
	}
	c.entries = append(c.entries, badger.Entry{Key: raw(w.key), Value: w.val})
	return c.txn.SetEntry(&c.entries[len(c.entries)-1])
}

// commit makes the batch durable.
func (c *committer) commit() error {
	if c.txn == nil {
		return nil
	}
	if err := c.counters.write(c.txn); err != nil {
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	clock := c.db.clock.due()
	if clock != 0 {
		if err := c.txn.SetEntry(clockEntry(clock)); err != nil {
			return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
		}
	}
	ts := c.db.snapshots.durable.Load() + 1
	if err := c.commitAt(c.txn, ts); err != nil {
		return c.commitFailed(err)
	}
	c.refused = false
	if clock != 0 {
		c.db.clock.recorded = clock
	}
	if len(c.counters.touched) > 0 {
		c.db.counted.changed(ts)
	}
	// From here on readers see the batch, so it is before the callers' release.
	c.db.snapshots.durable.Store(ts)
	c.db.recent.publish(c.written)
	return nil
}

// commitFailed decides what a failed commit means.
//
// If Badger refused the transaction, nothing was written, and only a second
// refusal in a row stops the store. After any other error part of it may be in
// Badger's memory and log. It must not come to light: a later commit would make
// it visible, and what follows half a transaction in the log is thrown away on
// the next start. Nor does a later sync tell anything about pages that failed
// to be written. So the store stops, and the log is read again after a restart,
// which keeps the whole transaction or none of it.
func (c *committer) commitFailed(err error) error {
	if notBegun(err) {
		if c.refused {
			c.db.fail(err)
		}
		c.refused = true
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
	}
	c.db.fail(fmt.Errorf("badgerkv: commit: %w", err))
	return fmt.Errorf("%w: %w", kv.ErrUnknown, err)
}

func notBegun(err error) bool {
	return errors.Is(err, badger.ErrBlockedWrites) || errors.Is(err, badger.ErrDBClosed) || errors.Is(err, badger.ErrTxnTooBig)
}

// finish lets the batch's callers go with the outcome of the commit, and gets
// ready for the next batch.
func (c *committer) finish(err error) {
	committed := c.txn != nil && err == nil
	if err != nil {
		c.revoke(err)
	}
	for i, m := range c.members {
		c.release(m.call)
		c.members[i] = member{}
	}
	if err == nil {
		c.counters.settle()
		for _, s := range c.settle {
			c.cache.settle(s.scope, s.key)
		}
		for _, scope := range c.dirty {
			c.cache.dropEmpty(scope)
		}
	} else {
		for _, scope := range c.dirty {
			c.cache.drop(scope)
		}
		c.counters.drop()
		// Badger may still hold pointers into them.
		c.entries = make([]badger.Entry, 0, cap(c.entries))
	}
	c.cache.trim()
	c.reset()
	if committed {
		if c.commits++; c.commits%upkeepCommits == 0 {
			c.db.badger.SetDiscardTs(c.db.snapshots.discardable())
			c.advice.look()
		}
	}
}

// revoke changes the answers of a batch that did not become durable. One that
// wrote nothing was made in the light of what did not, and may be wrong.
func (c *committer) revoke(err error) {
	for _, m := range c.members {
		r := &m.call.results[m.op]
		if r.Err != nil {
			r.Err = fmt.Errorf("%w: its batch failed: %v", kv.ErrUnavailable, err)
			continue
		}
		*r = kv.Result{Err: err}
	}
}

func (c *committer) reset() {
	if c.txn != nil {
		c.txn.Discard()
	}
	if c.read != nil {
		c.read.Discard()
	}
	clear(c.dirty)
	clear(c.settle)
	clear(c.entries)
	clear(c.written)
	c.txn, c.read = nil, nil
	c.members, c.dirty, c.settle, c.entries = c.members[:0], c.dirty[:0], c.settle[:0], c.entries[:0]
	c.written = c.written[:0]
	c.writes, c.bytes = 0, 0
}

// release counts one result as given out, and wakes the caller after the last.
func (c *committer) release(cl *call) {
	if cl.waiting--; cl.waiting == 0 {
		cl.done <- struct{}{}
	}
}
