package badgerkv

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
)

// TestRecentIsNeverStale reads keys while they are written, with a cache so small that
// they come and go: a reader sees all that was acknowledged before it began, never goes
// back, and finds what moves from a key to a later one.
func TestRecentIsNeverStale(t *testing.T) {
	db, err := Open(Options{Dir: t.TempDir(), ScopeOf: kvtest.ScopeOf, NoSync: true, MinFreeBytes: -1, ReadCacheBytes: recentShards * 4 * 200})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const things, rounds = 30, 60
	var acknowledged [things]atomic.Uint64
	number := func(v []byte) uint64 {
		if v == nil {
			return 0
		}
		return binary.BigEndian.Uint64(v)
	}
	scope := func(i int) kv.Scope { return kv.Thing(fmt.Sprintf("t%d", i)) }
	counter := func(i int) []byte { return kvtest.Key(scope(i), "counter") }
	// A token is at "a" or at "b", never at both.
	a, b := func(i int) []byte { return kvtest.Key(scope(i), "a") }, func(i int) []byte { return kvtest.Key(scope(i), "b") }

	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range things {
		writers.Go(func() {
			for n := uint64(1); n <= rounds; n++ {
				_, err := db.Update(t.Context(), scope(i), func(tx kv.Tx) error {
					tx.Put(counter(i), binary.BigEndian.AppendUint64(nil, n))
					from, to := a(i), b(i)
					if n%2 == 0 && n%3 != 0 {
						from, to = to, from
					}
					tx.Delete(from)
					tx.Put(to, []byte("token"))
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				acknowledged[i].Store(n)
			}
		})
	}
	for r := range 4 {
		readers.Go(func() {
			var last [things]uint64
			for i := r; ; i = (i + 7) % things {
				select {
				case <-done:
					return
				default:
				}
				floor := acknowledged[i].Load()
				items, err := db.Get(t.Context(), counter(i), kvtest.Key(scope((i+1)%things), "counter"), counter(i))
				if err != nil {
					t.Error(err)
					return
				}
				first, second := number(items[0].Value), number(items[2].Value)
				if first < floor || second < first || first < last[i] {
					t.Errorf("thing %d: read %d, then %d; before it %d, acknowledged %d", i, first, second, last[i], floor)
					return
				}
				last[i] = second
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	for i := range things {
		items, err := db.Get(t.Context(), a(i), b(i), counter(i))
		if err != nil {
			t.Fatal(err)
		}
		if items[0].Exists() == items[1].Exists() || number(items[2].Value) != rounds {
			t.Errorf("thing %d at the end: %v", i, items)
		}
	}
	held := int64(0)
	for i := range db.recent.shards {
		held += db.recent.shards[i].bytes
	}
	if held > db.recent.limit*recentShards {
		t.Errorf("%d bytes are held, the limit is %d", held, db.recent.limit*recentShards)
	}
}

// TestRecentWithout: a store that holds nothing reads as well.
func TestRecentWithout(t *testing.T) {
	db, err := Open(Options{Dir: t.TempDir(), ScopeOf: kvtest.ScopeOf, NoSync: true, MinFreeBytes: -1, ReadCacheBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	k := kvtest.Key(kv.Thing("t"), "k")
	for _, v := range []string{"one", "two"} {
		if _, err := db.Update(t.Context(), kv.Thing("t"), func(tx kv.Tx) error { tx.Put(k, []byte(v)); return nil }); err != nil {
			t.Fatal(err)
		}
		if items, err := db.Get(t.Context(), k); err != nil || string(items[0].Value) != v {
			t.Errorf("%q, %v, want %q", items, err, v)
		}
	}
}
