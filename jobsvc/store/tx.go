package store

import (
	"sync/atomic"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Tx is one transaction on typed records. Methods named Peek read records of other
// scopes: advisory.
type Tx struct {
	tx  kv.Tx
	s   *Store
	key [1][]byte // of the call under way: an argument list is garbage for each

	atEnd  []func() error
	stored *atomic.Bool // gets true when an event was written
}

// AtEnd has f run at the end of the transaction, if its fn has not failed.
func (t *Tx) AtEnd(f func() error) { t.atEnd = append(t.atEnd, f) }

// run is fn with what it leaves for the end.
func (t *Tx) run(fn func(*Tx) error) error {
	err := fn(t)
	for i := 0; i < len(t.atEnd) && err == nil; i++ {
		err = t.atEnd[i]()
	}
	return err
}

// After leaves an event for the caller, see kv.Tx.
func (t *Tx) After(e kv.Event) { t.tx.After(e) }

func (t *Tx) get(k key) ([]byte, error) {
	t.key[0] = k
	items, err := t.tx.Get(t.key[:]...)
	if err != nil {
		return nil, err
	}
	return items[0].Value, nil
}

func (t *Tx) peek(k key) ([]byte, error) {
	t.key[0] = k
	items, err := t.tx.Peek(t.key[:]...)
	if err != nil {
		return nil, err
	}
	return items[0].Value, nil
}

// count changes the counter of a job's executions in a status.
func (t *Tx) count(job string, s jobsvc.JobExecutionStatus, delta int64) {
	t.tx.Add(counterKey(job, s), delta)
}
