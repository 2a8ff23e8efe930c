package badgerkv

import (
	"fmt"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
)

// checkCache compares the sizes kept with the true ones. The store is closed.
func checkCache(t *testing.T, c *cache) {
	t.Helper()
	var total int64
	for s, e := range c.scopes {
		n := scopeCost + int64(len(s.ID))
		e.keys.Scan(func(key string, v cached) bool {
			n += keyCost + int64(len(key)) + int64(len(v.val))
			return true
		})
		if n != e.bytes {
			t.Errorf("%s takes %d bytes, %d counted", s, n, e.bytes)
		}
		total += n
	}
	if total != c.bytes || len(c.scopes) != c.recent.Len() {
		t.Errorf("%d bytes in %d scopes, %d bytes in %d counted", total, len(c.scopes), c.bytes, c.recent.Len())
	}
	if c.bytes > c.limit {
		t.Errorf("%d bytes, limit %d", c.bytes, c.limit)
	}
}

func TestCacheBound(t *testing.T) {
	db := open(t, t.TempDir(), Options{NoSync: true, CacheBytes: 20_000})
	var ops []kv.Op
	for i := range 3000 {
		s := kv.Thing(fmt.Sprint(i % 70))
		ops = append(ops, kv.Op{Scope: s, Fn: func(tx kv.Tx) error {
			if _, err := tx.Scan(kv.Prefix(kvtest.Key(s, "e/"), 5)); err != nil {
				return err
			}
			tx.Put(kvtest.Key(s, fmt.Sprint("e/", i%13)), make([]byte, i%200))
			tx.Put(kvtest.Key(s, fmt.Sprint("blind/", i)), nil)
			tx.Delete(kvtest.Key(s, fmt.Sprint("e/", i%11)))
			if i%7 == 0 {
				return errFn
			}
			return nil
		}})
	}
	for i, r := range db.UpdateMany(ctx, ops) {
		if r.Err != nil && r.Err != errFn {
			t.Fatalf("op %d: %v", i, r.Err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c := &db.committer.cache
	checkCache(t, c)
	if len(c.scopes) < 10 {
		t.Errorf("only %d scopes are cached", len(c.scopes))
	}
	for s, e := range c.scopes {
		e.keys.Scan(func(key string, v cached) bool {
			if v.blind || v.val == nil {
				t.Errorf("%s: %q was not worth keeping: %+v", s, key, v)
			}
			return true
		})
	}
}

// TestWarmScope has everything a transaction reads in memory after the first
// one, absent keys included.
func TestWarmScope(t *testing.T) {
	db := open(t, t.TempDir(), Options{NoSync: true})
	defer db.Close()
	cold := 0
	fn := func(tx kv.Tx) error {
		db.committer.read = nil
		if _, err := tx.Get(kvtest.Key(s, "missing"), kvtest.Key(s, "e/1")); err != nil {
			return err
		}
		if _, err := tx.Peek(kvtest.Key(kv.Job("j"), "header")); err != nil {
			return err
		}
		if _, err := tx.Scan(kv.Prefix(kvtest.Key(s, "q/"), 3)); err != nil {
			return err
		}
		if _, err := tx.Scan(kv.Range{Start: kvtest.Key(s, "q/"), End: kvtest.Key(s, "q0"), Limit: 1, Reverse: true}); err != nil {
			return err
		}
		tx.Put(kvtest.Key(s, "e/1"), []byte("x"))
		tx.Put(kvtest.Key(s, "q/5"), []byte("y"))
		if db.committer.read != nil {
			cold++
		}
		return nil
	}
	for range 5 {
		if _, err := db.Update(ctx, s, fn); err != nil {
			t.Fatal(err)
		}
	}
	if cold != 1 {
		t.Errorf("%d of 5 transactions read from the disk, want the first only", cold)
	}
}

// TestUpdateManySharesCommits writes a thousand operations in a few commits.
func TestUpdateManySharesCommits(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	defer db.Close()
	ops := make([]kv.Op, 1000)
	for i := range ops {
		s := kv.Thing(fmt.Sprint(i))
		ops[i] = kv.Op{Scope: s, Fn: func(tx kv.Tx) error { tx.Put(kvtest.Key(s, "e"), nil); return nil }}
	}
	before := db.snapshots.durable.Load()
	db.UpdateMany(ctx, ops)
	if n := db.snapshots.durable.Load() - before; n > 3 {
		t.Errorf("%d commits for %d operations", n, len(ops))
	}
}

// TestDiscardable lets no version go that a reader may still want.
func TestDiscardable(t *testing.T) {
	db := open(t, t.TempDir(), Options{NoSync: true})
	defer db.Close()
	commit := func() { db.UpdateMany(ctx, []kv.Op{set("x", nil)}) }
	sn := &db.snapshots
	for range 5 {
		commit()
	}
	old := db.snapshot()
	at := sn.durable.Load()
	for range 5 {
		commit()
		// Called here for the committer, which is at rest.
		if ts := sn.discardable(); ts > at {
			t.Fatalf("discardable to %d with a reader at %d", ts, at)
		}
	}
	old.release()
	sn.discardable()
	sn.discardable()
	if ts := sn.discardable(); ts != sn.durable.Load() {
		t.Errorf("discardable to %d without readers, durable is %d", ts, sn.durable.Load())
	}
}
