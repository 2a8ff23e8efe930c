package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/badgerkv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// floorCmd is what Badger alone can do: it reads what the executions of a product's
// store take, keys and values, and writes the same into a new one in synced batches.
type floorCmd struct {
	From string `arg:"" help:"The product's store."`
	To   string `arg:"" help:"Directory to be made."`
}

// floorReport is what it prints.
type floorReport struct {
	Queues  int     // records of things with executions
	Writes  int     // all records
	Bytes   int     // keys and values
	Seconds float64 // to write them
	CPU     float64 // µs per queue
}

// The tags of the records an execution is made of: the thing's queue and the job's index.
const (
	tagQueue = 'q'
	tagIndex = 'x'
)

// floorBatch is how many bytes one transaction takes, near the most that Badger does.
const floorBatch = 2 << 20

// Run reads, writes and reports.
func (c *floorCmd) Run(ctx context.Context) error {
	items, report, err := c.read(ctx)
	if err != nil {
		return err
	}
	db, err := badger.OpenManaged(badger.DefaultOptions(c.To).
		WithSyncWrites(true).WithDetectConflicts(false).WithMemTableSize(16 << 20).WithNumMemtables(3).WithBaseLevelSize(64 << 20).
		WithNumCompactors(2).WithCompression(options.None).WithValueLogFileSize(64 << 20).
		WithMetricsEnabled(false).WithLogger(nil))
	if err != nil {
		return err
	}
	defer db.Close()
	before := cpuOfSelf()
	begin := time.Now()
	for ts := uint64(1); len(items) > 0; ts++ {
		txn := db.NewTransactionAt(ts, true)
		n := 0
		for size := 0; n < len(items) && size < floorBatch; n++ {
			it := items[n]
			if err := txn.SetEntry(&badger.Entry{Key: it.Key, Value: it.Value}); err != nil {
				return err
			}
			size += len(it.Key) + len(it.Value) + 64
		}
		if err := txn.CommitAt(ts, nil); err != nil {
			return err
		}
		items = items[n:]
	}
	report.Seconds = time.Since(begin).Seconds()
	report.CPU = micros(cpuOfSelf()-before) / float64(max(1, report.Queues))
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return err
	}
	return nil
}

// read gives the records in the order the product writes them: a queue, then its row of
// the index. Both are by thing, the index of one job that rolled out in one moment too.
func (c *floorCmd) read(ctx context.Context) ([]kv.Item, floorReport, error) {
	var r floorReport
	db, err := badgerkv.Open(badgerkv.Options{Dir: c.From, ScopeOf: store.ScopeOf})
	if err != nil {
		return nil, r, err
	}
	defer db.Close()
	queues, err := scanAll(ctx, db, tagQueue)
	if err != nil {
		return nil, r, err
	}
	index, err := scanAll(ctx, db, tagIndex)
	if err != nil {
		return nil, r, err
	}
	items := make([]kv.Item, 0, len(queues)+len(index))
	for i := range max(len(queues), len(index)) {
		if i < len(queues) {
			items = append(items, queues[i])
		}
		if i < len(index) {
			items = append(items, index[i])
		}
	}
	for _, it := range items {
		r.Bytes += len(it.Key) + len(it.Value)
	}
	r.Queues, r.Writes = len(queues), len(items)
	return items, r, nil
}

func scanAll(ctx context.Context, db kv.DB, tag byte) (all []kv.Item, err error) {
	r := kv.Prefix([]byte{tag}, 10_000)
	for {
		items, next, err := db.Scan(ctx, r)
		if err != nil {
			return nil, err
		}
		if all = append(all, items...); next == nil {
			return all, nil
		}
		r.Start = next
	}
}

// floor runs it on the store of a product that was stopped.
func (b *bench) floor(ctx context.Context, dir string) (floorReport, error) {
	var r floorReport
	to := filepath.Join(b.dir, "floor")
	defer os.RemoveAll(to)
	out, err := b.child(ctx, "badger", "floor", filepath.Join(dir, "store"), to)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(out, &r); err != nil || r.Seconds == 0 {
		return r, fmt.Errorf("the floor reported %q", out)
	}
	return r, nil
}
