package badgerkv

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Export implements kv.DB. It is one consistent view; updates go on meanwhile.
func (db *DB) Export(ctx context.Context, w io.Writer) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.leave()
	s := db.snapshot()
	defer s.release()
	// The clock after the snapshot: no time in it is later.
	d := kv.NewDumpWriter(w, time.Unix(0, db.clock.next()))
	it := newRangeIterator(s.txn, nil, nil, false)
	defer it.Close()
	for ; it.valid(); it.next() {
		item := it.item()
		e := kv.DumpEntry{Key: item.Key()}
		var err error
		switch item.UserMeta() {
		case markInternal:
			continue
		case markCounter:
			e.IsCounter = true
			e.Counter, err = counterValue(item)
		default:
			e.Value, err = copyValue(item)
		}
		if err == nil {
			err = d.Write(e)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return d.Close()
}

// Import implements kv.DB. After an error part of the stream may be in the
// store; throw the directory away.
func (db *DB) Import(ctx context.Context, r io.Reader) error {
	if err := db.empty(ctx); err != nil {
		return err
	}
	d, err := kv.NewDumpReader(r)
	if err != nil {
		return err
	}
	db.clock.advance(d.Clock().UnixNano())
	const chunkOps = 1000
	var ops []kv.Op
	var entries []kv.DumpEntry // of one scope
	var scope kv.Scope
	size := 0
	flush := func() {
		if of := entries; len(of) > 0 {
			ops = append(ops, kv.Op{Scope: scope, Fn: func(tx kv.Tx) error { return restore(tx, of) }})
			entries, size = nil, 0
		}
	}
	for {
		e, err := d.Read()
		if err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF {
			flush()
			return firstError(db.UpdateMany(ctx, ops))
		}
		// A counter may be in no scope; any transaction may add to it.
		s, ok := db.scopeOf(e.Key)
		if !ok && !e.IsCounter {
			return fmt.Errorf("badgerkv: import: %w: %q", kv.ErrScope, e.Key)
		}
		n := len(e.Key) + len(e.Value) + kv.TxOverhead
		if s != scope || size+n > kv.MaxTxBytes/2 {
			flush()
		}
		if len(ops) >= chunkOps {
			if err := firstError(db.UpdateMany(ctx, ops)); err != nil {
				return err
			}
			ops = nil
		}
		scope, size = s, size+n
		entries = append(entries, e)
	}
}

func restore(tx kv.Tx, entries []kv.DumpEntry) error {
	for _, e := range entries {
		if e.IsCounter {
			tx.Add(e.Key, e.Counter)
		} else {
			tx.Put(e.Key, e.Value)
		}
	}
	return nil
}

func firstError(results []kv.Result) error {
	for _, r := range results {
		if r.Err != nil {
			return fmt.Errorf("badgerkv: import: %w", r.Err)
		}
	}
	return nil
}

func (db *DB) empty(ctx context.Context) error {
	if err := db.enter(ctx); err != nil {
		return err
	}
	defer db.leave()
	s := db.snapshot()
	defer s.release()
	it := newRangeIterator(s.txn, nil, nil, false)
	defer it.Close()
	for ; it.valid(); it.next() {
		if it.item().UserMeta() != markInternal {
			return kv.ErrNotEmpty
		}
	}
	return nil
}
