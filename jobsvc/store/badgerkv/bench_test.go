package badgerkv

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
)

// BenchmarkUpdate has 200 callers at a time, each reading and writing one key of
// a Thing of its own, synced.
func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 20, 200} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			db, err := Open(Options{Dir: b.TempDir(), ScopeOf: kvtest.ScopeOf})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan error, callers)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range callers {
				go func() { done <- updateUntil(db, kv.Thing(fmt.Sprint("pump-", i)), &left) }()
			}
			for range callers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
			b.ReportMetric(float64(b.N)/float64(db.snapshots.durable.Load()), "updates/commit")
		})
	}
}

func updateUntil(db *DB, s kv.Scope, left *atomic.Int64) error {
	key, val := kvtest.Key(s, "e"), make([]byte, 300)
	fn := func(tx kv.Tx) error {
		if _, err := tx.Get(key); err != nil {
			return err
		}
		tx.Put(key, val)
		return nil
	}
	for left.Add(-1) >= 0 {
		if _, err := db.Update(context.Background(), s, fn); err != nil {
			return err
		}
	}
	return nil
}
