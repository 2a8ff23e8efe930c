package badgerkv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
)

var (
	ctx     = context.Background()
	errDisk = errors.New("input/output error")
	s       = kv.Thing("t")
	errFn   = errors.New("error of fn")
)

// set writes one value to two keys and adds to a counter.
func set(val string, result error) kv.Op {
	return kv.Op{Scope: s, Fn: func(tx kv.Tx) error {
		tx.Put(kvtest.Key(s, "a"), []byte(val))
		tx.Put(kvtest.Key(s, "b"), []byte(val))
		tx.Add(kvtest.FreeCounter("n"), 1)
		tx.After(val)
		return result
	}}
}

// want checks what set wrote, in a transaction too while the store works.
func want(t *testing.T, db *DB, val string, n int64) {
	t.Helper()
	items, err := db.Get(ctx, kvtest.Key(s, "a"), kvtest.Key(s, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := string(items[0].Value), string(items[1].Value); a != val || b != val {
		t.Errorf("got %q and %q, want %q", a, b, val)
	}
	m, err := db.Counters(ctx, kvtest.FreeCounter("n"))
	if err != nil || m["#n"] != n {
		t.Errorf("counter: got %v, %v, want %d", m, err, n)
	}
	if db.Err() != nil {
		return
	}
	_, err = db.Update(ctx, s, func(tx kv.Tx) error {
		items, err := tx.Scan(kv.Prefix(kvtest.Key(s, ""), 10))
		if err == nil && (len(items) != 2 || string(items[0].Value) != val || string(items[1].Value) != val) {
			err = fmt.Errorf("got %q, want %q twice", items, val)
		}
		return err
	})
	if err != nil {
		t.Errorf("in a transaction: %v", err)
	}
}

// failCommit makes the n commits from now on end with err, after they really
// happened if applied.
func failCommit(db *DB, n int, err error, applied bool) {
	good := db.committer.commitAt
	db.committer.commitAt = func(txn *badger.Txn, ts uint64) error {
		if n--; n < 0 {
			return good(txn, ts)
		}
		if applied {
			if err := good(txn, ts); err != nil {
				return err
			}
		}
		return err
	}
}

// TestCommitRefused has Badger refuse a commit before it began: nothing is
// written, and the cache does not say otherwise.
func TestCommitRefused(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	defer db.Close()
	db.UpdateMany(ctx, []kv.Op{set("old", nil)})
	failCommit(db, 1, badger.ErrBlockedWrites, false)
	for i, r := range db.UpdateMany(ctx, []kv.Op{set("new", nil), set("newer", errFn), set("new", nil)}) {
		if !errors.Is(r.Err, kv.ErrUnavailable) || r.Events != nil {
			t.Errorf("op %d: got %v, want ErrUnavailable", i, r)
		}
	}
	want(t, db, "old", 1)
	if err := db.Err(); err != nil {
		t.Errorf("one refused commit stopped the store: %v", err)
	}
	db.UpdateMany(ctx, []kv.Op{set("new", nil)})
	want(t, db, "new", 2)

	failCommit(db, 2, badger.ErrBlockedWrites, false)
	for range 2 {
		if r := db.UpdateMany(ctx, []kv.Op{set("newest", nil)}); !errors.Is(r[0].Err, kv.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", r[0].Err)
		}
	}
	<-db.Failed()
}

// TestCommitUnknown has a commit fail in the middle, with either outcome. The
// store stops, and shows the one or the other after a restart.
func TestCommitUnknown(t *testing.T) {
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprint("applied ", applied), func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, dir, Options{})
			db.UpdateMany(ctx, []kv.Op{set("old", nil)})
			failCommit(db, 1, errDisk, applied)
			r := db.UpdateMany(ctx, []kv.Op{set("new", nil), set("newer", errFn), set("new", nil)})
			if !errors.Is(r[0].Err, kv.ErrUnknown) || !errors.Is(r[2].Err, kv.ErrUnknown) || !errors.Is(r[0].Err, errDisk) {
				t.Errorf("got %v, want ErrUnknown", r)
			}
			// It surely wrote nothing, but its reason may be gone.
			if !errors.Is(r[1].Err, kv.ErrUnavailable) {
				t.Errorf("the one with an error of its own: got %v, want ErrUnavailable", r[1].Err)
			}
			<-db.Failed()
			if !errors.Is(db.Err(), errDisk) {
				t.Errorf("Err: %v", db.Err())
			}
			if _, err := db.Update(ctx, s, func(kv.Tx) error { return nil }); !errors.Is(err, kv.ErrUnavailable) {
				t.Errorf("later update: got %v, want ErrUnavailable", err)
			}
			want(t, db, "old", 1)
			if err := db.Close(); !errors.Is(err, errDisk) {
				t.Errorf("Close: got %v", err)
			}
			// Instead of ending the process. Nothing is torn here.
			if err := db.badger.Close(); err != nil {
				t.Fatal(err)
			}
			db = open(t, dir, Options{})
			defer db.Close()
			if applied {
				want(t, db, "new", 3)
			} else {
				want(t, db, "old", 1)
			}
		})
	}
}

func TestDiskFull(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	defer db.Close()
	db.UpdateMany(ctx, []kv.Op{set("old", nil)})
	db.committer.space.minimum = 1000
	db.committer.space.free = func(string) (int64, error) { return 999, nil }
	if r := db.UpdateMany(ctx, []kv.Op{set("new", nil)}); !errors.Is(r[0].Err, kv.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", r[0].Err)
	}
	_, err := db.Update(ctx, s, func(kv.Tx) error { return nil })
	if !errors.Is(err, kv.ErrUnavailable) || db.Err() != nil {
		t.Errorf("got %v, %v, want ErrUnavailable and a store that has not failed", err, db.Err())
	}
	if items, err := db.Get(ctx, kvtest.Key(s, "a")); err != nil || string(items[0].Value) != "old" {
		t.Errorf("reads: %q, %v", items, err)
	}
}

func TestSpaceGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free, looks := int64(10), 0
		g := spaceGuard{minimum: 100, free: func(string) (int64, error) { looks++; return free, nil }}
		for range 100 {
			if err := g.check(); !errors.Is(err, kv.ErrUnavailable) {
				t.Fatalf("got %v, want ErrUnavailable", err)
			}
		}
		free = 100
		time.Sleep(time.Second)
		if err := g.check(); err != nil || looks != 2 {
			t.Errorf("got %v after %d looks, want none after 2", err, looks)
		}
	})
}

func TestDirInUse(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, Options{})
	defer db.Close()
	_, err := Open(Options{Dir: dir, ScopeOf: kvtest.ScopeOf})
	if err == nil || !strings.Contains(err.Error(), dir+" is in use") {
		t.Errorf("got %v", err)
	}
}

// TestMachineClockGoesBack restarts with a machine whose clock lost a day.
func TestMachineClockGoesBack(t *testing.T) {
	dir := t.TempDir()
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	db := open(t, dir, Options{Now: func() time.Time { return noon }})
	before, _ := db.Now(ctx)
	db.UpdateMany(ctx, []kv.Op{set(before.String(), nil)})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, Options{Now: func() time.Time { return noon.AddDate(0, 0, -1) }})
	defer db.Close()
	after, err := db.Now(ctx)
	if err != nil || !after.After(before) || after.Sub(before) > time.Microsecond {
		t.Errorf("before %v, after the restart %v, %v", before, after, err)
	}
}
