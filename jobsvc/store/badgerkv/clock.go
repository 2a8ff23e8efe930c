package badgerkv

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// clock gives out times that only go forward, over restarts too.
//
// The store holds a time that no time used in a durable transaction is after:
// whoever uses a time in a transaction got it before its batch is committed, and
// a batch that would break the rule carries a new record. The record runs ahead
// by clockLead, so few batches need one. After a restart the clock goes on from
// the record.
type clock struct {
	machine func() time.Time
	last    atomic.Int64 // Unix nanoseconds of the last time given out

	recorded int64 // what the store holds; owned by the committer
}

const clockLead = time.Second

var clockKey = []byte("\x00badgerkv/clock")

func (db *DB) loadClock(machine func() time.Time) (*clock, error) {
	c := &clock{machine: machine}
	s := db.snapshot()
	defer s.release()
	item, err := s.txn.Get(clockKey)
	if err == badger.ErrKeyNotFound {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	if c.recorded, err = counterValue(item); err != nil {
		return nil, err
	}
	c.last.Store(c.recorded)
	return c, nil
}

func (c *clock) next() int64 {
	for {
		last := c.last.Load()
		now := max(c.machine().UnixNano(), last+1)
		if c.last.CompareAndSwap(last, now) {
			return now
		}
	}
}

// advance makes all times given out from now on come after t.
func (c *clock) advance(t int64) {
	for {
		last := c.last.Load()
		if last >= t || c.last.CompareAndSwap(last, t) {
			return
		}
	}
}

// due is the record the batch about to be committed must carry, 0 when none.
func (c *clock) due() int64 {
	if last := c.last.Load(); last > c.recorded {
		return last + int64(clockLead)
	}
	return 0
}

func clockEntry(t int64) *badger.Entry {
	return &badger.Entry{Key: clockKey, Value: binary.BigEndian.AppendUint64(nil, uint64(t)), UserMeta: markInternal}
}
