package badgerkv

import (
	"fmt"
	"maps"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
)

func openWith(opt Options) kvtest.Open {
	return func(t *testing.T, dir string) kv.DB {
		t.Helper()
		return open(t, dir, opt)
	}
}

func open(t *testing.T, dir string, opt Options) *DB {
	t.Helper()
	opt.Dir, opt.ScopeOf, opt.MinFreeBytes = dir, kvtest.ScopeOf, -1
	opt.MemTableSize = 16 << 20
	db, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestConformance(t *testing.T) {
	kvtest.Run(t, openWith(Options{}))
}

// TestConformanceCold has nothing cached from one batch to the next.
func TestConformanceCold(t *testing.T) {
	kvtest.Run(t, openWith(Options{NoSync: true, CacheBytes: -1}))
}

// What Counters remembers is never older than what was committed, nor than a write that
// a reader has seen.
func TestCountersRemembered(t *testing.T) {
	db := open(t, t.TempDir(), Options{NoSync: true})
	defer db.Close()
	ctx := t.Context()
	add := func(key string, n int64) {
		t.Helper()
		if _, err := db.Update(ctx, kv.Job("j"), func(tx kv.Tx) error {
			tx.Add([]byte(key), n)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(prefix string, counters map[string]int64) {
		t.Helper()
		for range 2 { // read, then remembered
			got, err := db.Counters(ctx, []byte(prefix))
			if err != nil || !maps.Equal(got, counters) {
				t.Errorf("Counters(%q): %v, %v, want %v", prefix, got, err, counters)
			}
		}
	}
	want("a", map[string]int64{})
	add("a1", 1)
	want("a", map[string]int64{"a1": 1})
	add("a2", 2)
	add("b", 5)
	want("a", map[string]int64{"a1": 1, "a2": 2})
	want("b", map[string]int64{"b": 5})

	db.counted.learn([]byte("b"), map[string]int64{"b": 4}, db.snapshots.durable.Load()-1)
	want("b", map[string]int64{"b": 5})
	before := db.snapshots.durable.Load()
	add("b", 1)
	db.counted.learn([]byte("b"), map[string]int64{"b": 5}, before) // by a reader that was slow
	want("b", map[string]int64{"b": 6})
	for i := range 2 * maxCounted {
		want(fmt.Sprint("x", i), map[string]int64{})
	}
	if n := len(db.counted.answers); n > maxCounted {
		t.Errorf("%d answers held", n)
	}
}
