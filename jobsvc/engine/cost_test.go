package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// costDB counts the keys that transactions read and write, and reads outside of them.
type costDB struct {
	kv.DB
	cost
}

type cost struct{ tx, get, peek, scan, put, del, add, outside int }

type costTx struct {
	kv.Tx
	c *cost
}

func (t costTx) Get(keys ...[]byte) ([]kv.Item, error) {
	t.c.get += len(keys)
	return t.Tx.Get(keys...)
}

func (t costTx) Peek(keys ...[]byte) ([]kv.Item, error) {
	t.c.peek += len(keys)
	return t.Tx.Peek(keys...)
}

func (t costTx) Scan(r kv.Range) ([]kv.Item, error) {
	t.c.scan++
	return t.Tx.Scan(r)
}

func (t costTx) Put(key, val []byte) {
	t.c.put++
	t.Tx.Put(key, val)
}

func (t costTx) Delete(key []byte) {
	t.c.del++
	t.Tx.Delete(key)
}

func (t costTx) Add(key []byte, delta int64) {
	t.c.add++
	t.Tx.Add(key, delta)
}

func (d *costDB) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	d.tx++
	return d.DB.Update(ctx, s, func(tx kv.Tx) error { return fn(costTx{tx, &d.cost}) })
}

func (d *costDB) UpdateMany(ctx context.Context, ops []kv.Op) []kv.Result {
	results := make([]kv.Result, len(ops))
	for i, op := range ops {
		results[i].Events, results[i].Err = d.Update(ctx, op.Scope, op.Fn)
	}
	return results
}

func (d *costDB) Get(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	d.outside += len(keys)
	return d.DB.Get(ctx, keys...)
}

func (d *costDB) Scan(ctx context.Context, r kv.Range) ([]kv.Item, []byte, error) {
	d.outside++
	return d.DB.Scan(ctx, r)
}

func (d *costDB) Counters(ctx context.Context, prefix []byte) (map[string]int64, error) {
	d.outside++
	return d.DB.Counters(ctx, prefix)
}

func (c cost) String() string {
	return fmt.Sprintf("%d tx: get %d, peek %d, scan %d; put %d, delete %d, add %d; outside %d", c.tx, c.get, c.peek, c.scan, c.put, c.del, c.add, c.outside)
}

// TestDeviceCost: what a device of a plain SNAPSHOT job does costs so many keys, whatever
// else jobs can do.
func TestDeviceCost(t *testing.T) {
	db := &costDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}
	w := newWorldOn(t, db, nil)
	w.thing("a", "b")
	w.group("g", "", "a", "b")
	for _, id := range []string{"one", "two"} {
		w.job(id, groupARN("g"))
		w.runTimers()
	}
	measure := func(what, want string, call func()) {
		t.Helper()
		db.cost = cost{}
		call()
		if got := db.cost.String(); got != want {
			t.Errorf("%s costs %s,\nwant %s", what, got, want)
		}
	}
	measure("start-next", "1 tx: get 1, peek 5, scan 0; put 2, delete 1, add 2; outside 0", func() { w.start("a") })
	measure("a report of progress", "1 tx: get 1, peek 1, scan 0; put 1, delete 0, add 0; outside 0", func() { w.must(w.update("a", "one", jobsvc.StatusInProgress)) })
	measure("the last report", "1 tx: get 1, peek 3, scan 0; put 3, delete 1, add 2; outside 0", func() { w.must(w.update("a", "one", jobsvc.StatusSucceeded)) })
	measure("a failure", "1 tx: get 1, peek 1, scan 0; put 3, delete 1, add 2; outside 0", func() { w.must(w.update("a", "two", jobsvc.StatusFailed)) })
	measure("get-pending", "0 tx: get 0, peek 0, scan 0; put 0, delete 0, add 0; outside 4", func() { w.queueOf("b") })
	measure("what is shown after a hint", "0 tx: get 0, peek 0, scan 0; put 0, delete 0, add 0; outside 5", func() {
		_, err := w.ThingQueue(w.ctx, "b", "")
		w.must(err)
	})
}
