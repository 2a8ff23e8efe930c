package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

func testClock(t *testing.T, h *harness) {
	var last time.Time
	now := func() time.Time {
		t.Helper()
		now, err := h.DB.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !now.After(last) {
			t.Fatalf("the clock gave %v after %v", now, last)
		}
		last = now
		return now
	}
	for range 3 {
		for range 1000 {
			now()
		}
		// What was given out and used in a transaction is never given out again.
		s := kv.Thing("t")
		h.put(s, "at", now().String())
		h.reopen()
	}
	if d := time.Until(now()); d > time.Minute || d < -time.Minute {
		t.Errorf("the clock is %v off", d)
	}
}

func testClockConcurrent(t *testing.T, h *harness) {
	const workers, calls = 4, 500
	times := make([][]time.Time, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range calls {
				now, err := h.DB.Now(ctx)
				if err != nil {
					t.Error(err)
				}
				times[w] = append(times[w], now)
			}
		})
	}
	wg.Wait()
	seen := map[time.Time]bool{}
	for _, ts := range times {
		for _, now := range ts {
			if seen[now] {
				t.Fatalf("%v was given out twice", now)
			}
			seen[now] = true
		}
	}
}

func testClose(t *testing.T, h *harness) {
	s := kv.Thing("t")
	h.put(s, "a", "1")
	if err := h.DB.Close(); err != nil {
		t.Fatal(err)
	}
	fn := func(tx kv.Tx) error { t.Error("fn ran"); return nil }
	_, errGet := h.DB.Get(ctx, Key(s, "a"))
	_, _, errScan := h.DB.Scan(ctx, kv.Prefix(Key(s, ""), 1))
	_, errCounters := h.DB.Counters(ctx, nil)
	_, errUpdate := h.DB.Update(ctx, s, fn)
	_, errNow := h.DB.Now(ctx)
	for name, err := range map[string]error{
		"Get": errGet, "Scan": errScan, "Counters": errCounters, "Update": errUpdate, "Now": errNow,
		"UpdateMany": h.DB.UpdateMany(ctx, []kv.Op{{Scope: s, Fn: fn}})[0].Err,
		"Export":     h.DB.Export(ctx, new(bytes.Buffer)),
		"Import":     h.DB.Import(ctx, new(bytes.Buffer)),
		"Close":      h.DB.Close(),
	} {
		if !errors.Is(err, kv.ErrUnavailable) {
			t.Errorf("%s of a closed store: got %v, want ErrUnavailable", name, err)
		}
	}
}

// testCloseWaits closes the store under load: each transaction is either
// refused or kept.
func testCloseWaits(t *testing.T, h *harness) {
	const workers = 8
	var wg sync.WaitGroup
	kept := make([]int, workers)
	started := make(chan struct{}, workers)
	for w := range workers {
		wg.Go(func() {
			s := kv.Thing(fmt.Sprint(w))
			for {
				_, err := h.DB.Update(ctx, s, func(tx kv.Tx) error {
					tx.Put(Key(s, fmt.Sprint(kept[w])), nil)
					return nil
				})
				if err != nil {
					if !errors.Is(err, kv.ErrUnavailable) {
						t.Errorf("got %v, want ErrUnavailable", err)
					}
					return
				}
				if kept[w]++; kept[w] == 5 {
					started <- struct{}{}
				}
			}
		})
	}
	for range workers {
		<-started
	}
	err := h.DB.Close()
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	h.DB = h.open(h.T, h.dir)
	for w, n := range kept {
		if got := len(h.scanAll(kv.Prefix(Key(kv.Thing(fmt.Sprint(w)), ""), 100))); got != n {
			t.Errorf("%d transactions acknowledged, %d there", n, got)
		}
	}
}

func testExportImport(t *testing.T, h *harness) {
	dir := t.TempDir()
	b := &harness{T: t, DB: h.open(t, dir), open: h.open, dir: dir}
	defer func() { b.DB.Close() }()
	roundTrip(t, h, b)
	b.reopen()
	checkFilled(t, b)
}

func roundTrip(t *testing.T, a, b *harness) {
	fill(a)
	var stream bytes.Buffer
	if err := a.DB.Export(ctx, &stream); err != nil {
		t.Fatal(err)
	}
	before, err := a.DB.Now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DB.Import(ctx, bytes.NewReader(stream.Bytes())); err != nil {
		t.Fatal(err)
	}
	if now, err := b.DB.Now(ctx); err != nil || now.Before(before.Add(-time.Minute)) {
		t.Errorf("the clock was not taken over: %v, %v", now, err)
	}
	checkFilled(t, b)
	if err := b.DB.Import(ctx, bytes.NewReader(stream.Bytes())); !errors.Is(err, kv.ErrNotEmpty) {
		t.Errorf("import into a store with content: got %v, want ErrNotEmpty", err)
	}
}

func fill(h *harness) {
	for i := range 300 {
		s := kv.Thing(fmt.Sprintf("%03d", i))
		h.put(s, "a", fmt.Sprint(i), "empty", "", "gone", "x")
		h.update(s, func(tx kv.Tx) error {
			tx.Delete(Key(s, "gone"))
			tx.Add(FreeCounter("n"), int64(-i))
			return nil
		})
	}
	h.update(kv.Job("j"), func(tx kv.Tx) error {
		tx.Put(Key(kv.Job("j"), "big"), make([]byte, kv.MaxValueBytes))
		tx.Add(Key(kv.Job("j"), "c"), 7)
		return nil
	})
}

func checkFilled(t *testing.T, h *harness) {
	t.Helper()
	if got := len(h.scanAll(kv.Range{Limit: 100})); got != 601 {
		t.Errorf("%d keys, want 601", got)
	}
	for i := range 300 {
		h.want(kv.Thing(fmt.Sprintf("%03d", i)), "a", fmt.Sprint(i), "empty", "", "gone", "-")
	}
	h.wantCounters(FreeCounter(""), map[string]int64{"#n": -300 * 299 / 2})
	h.wantCounters(Key(kv.Job("j"), ""), map[string]int64{string(Key(kv.Job("j"), "c")): 7})
}

func testImportDamaged(t *testing.T, h *harness) {
	fillDB := &harness{T: t, DB: h.open(t, t.TempDir())}
	defer func() { fillDB.DB.Close() }()
	fillDB.put(kv.Thing("t"), "a", "1", "b", "2")
	var stream bytes.Buffer
	if err := fillDB.DB.Export(context.Background(), &stream); err != nil {
		t.Fatal(err)
	}
	good := stream.Bytes()
	flipped := bytes.Clone(good)
	flipped[len(flipped)-8] ^= 1
	for name, stream := range map[string][]byte{
		"empty":      {},
		"no stream":  []byte("PK\x03\x04 something else altogether"),
		"cut short":  good[:len(good)-5],
		"no end":     good[:len(good)-1],
		"one bit":    flipped,
		"other form": append([]byte("thingjobs-kv\xff"), good[13:]...),
	} {
		db := h.open(t, t.TempDir())
		if err := db.Import(ctx, bytes.NewReader(stream)); !errors.Is(err, kv.ErrDump) {
			t.Errorf("%s: got %v, want ErrDump", name, err)
		}
		db.Close()
	}
}
