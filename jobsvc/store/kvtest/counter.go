package kvtest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

func testCounters(t *testing.T, h *harness) {
	j := kv.Job("j")
	own := func(rest string) []byte { return Key(j, "c/"+rest) }
	h.wantCounters(own(""), map[string]int64{})
	h.update(j, func(tx kv.Tx) error {
		tx.Add(own("a"), 2)
		tx.Add(own("b"), -7)
		tx.Add(own("a"), 3)
		tx.Add(own("zero"), 0)
		tx.Add(FreeCounter("n"), 1)
		return nil
	})
	// Another scope may add too.
	h.update(kv.Thing("t"), func(tx kv.Tx) error { tx.Add(own("a"), 10); return nil })
	a, b, zero := string(own("a")), string(own("b")), string(own("zero"))
	h.wantCounters(own(""), map[string]int64{a: 15, b: -7, zero: 0})
	h.wantCounters(own("b"), map[string]int64{b: -7})
	h.wantCounters(FreeCounter(""), map[string]int64{"#n": 1})

	// Delete takes it away, for the same transaction and for good.
	h.update(j, func(tx kv.Tx) error {
		tx.Add(own("a"), 100)
		tx.Delete(own("a"))
		tx.Delete(own("b"))
		tx.Add(own("b"), 1)
		return nil
	})
	h.wantCounters(own(""), map[string]int64{b: 1, zero: 0})
	if _, err := h.DB.Update(ctx, j, func(tx kv.Tx) error { tx.Delete(own("b")); tx.Add(own("b"), 5); return errTest }); err != errTest {
		t.Error(err)
	}
	h.wantCounters(own(""), map[string]int64{b: 1, zero: 0})

	// The same over transactions that may share a commit.
	add := func(tx kv.Tx) error { tx.Add(own("b"), 1); return nil }
	del := func(tx kv.Tx) error { tx.Delete(own("b")); return nil }
	h.DB.UpdateMany(ctx, []kv.Op{{Scope: j, Fn: add}, {Scope: j, Fn: del}, {Scope: j, Fn: add}, {Scope: j, Fn: add}})
	h.wantCounters(own(""), map[string]int64{b: 2, zero: 0})
	h.DB.UpdateMany(ctx, []kv.Op{{Scope: j, Fn: add}, {Scope: j, Fn: del}})
	h.wantCounters(own(""), map[string]int64{zero: 0})
	h.reopen()
	h.wantCounters(own(""), map[string]int64{zero: 0})
	h.update(j, add)
	h.wantCounters(own(""), map[string]int64{b: 1, zero: 0})
}

func testCountersAreNotValues(t *testing.T, h *harness) {
	j := kv.Job("j")
	h.put(j, "a", "1", "c", "3")
	h.update(j, func(tx kv.Tx) error { tx.Add(Key(j, "b"), 2); return nil })
	check := func(when string) {
		t.Helper()
		h.want(j, "a", "1", "b", "-", "c", "3")
		items, _, err := h.DB.Scan(ctx, kv.Prefix(Key(j, ""), 2))
		if got, want := show(items), "a=1 c=3"; err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", when, got, err, want)
		}
		h.update(j, func(tx kv.Tx) error {
			tx.Add(Key(j, "b"), 0)
			items, err := tx.Scan(kv.Prefix(Key(j, ""), 2))
			if got, want := show(items), "a=1 c=3"; err != nil || got != want {
				t.Errorf("%s, in a transaction: got %q, %v, want %q", when, got, err, want)
			}
			items, err = tx.Peek(Key(j, "b"))
			if got, want := show(items), "b!"; err != nil || got != want {
				t.Errorf("%s, peek: got %q, %v, want %q", when, got, err, want)
			}
			return nil
		})
		h.wantCounters(Key(j, ""), map[string]int64{string(Key(j, "b")): 2})
	}
	check("at first")
	h.reopen()
	check("after a restart")
}

// testCountersSnapshot moves a total between counters while reading them.
func testCountersSnapshot(t *testing.T, h *harness) {
	const counters, moves = 8, 200
	counter := func(i int) []byte { return FreeCounter(fmt.Sprint("n", i%counters)) }
	s := kv.Thing("t")
	h.update(s, func(tx kv.Tx) error { tx.Add(counter(0), 1000); return nil })
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range moves {
				_, err := h.DB.Update(ctx, kv.Thing(fmt.Sprint(w)), func(tx kv.Tx) error {
					tx.Add(counter(i+w), -1)
					tx.Add(counter(i+w*3+1), 1)
					return nil
				})
				if err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	stopped := make(chan struct{})
	go func() { wg.Wait(); close(stopped) }()
	for running := true; running; {
		select {
		case <-stopped:
			running = false
		default:
		}
		m, err := h.DB.Counters(ctx, FreeCounter(""))
		if err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, n := range m {
			sum += n
		}
		if sum != 1000 {
			t.Fatalf("counters add up to %d: %v", sum, m)
		}
	}
}
