package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

var errTest = errors.New("kvtest: error of fn")

func testOwnWrites(t *testing.T, h *harness) {
	s := kv.Thing("t")
	h.put(s, "a", "1", "b", "2")
	h.update(s, func(tx kv.Tx) error {
		tx.Put(Key(s, "a"), []byte("10"))
		tx.Delete(Key(s, "b"))
		tx.Put(Key(s, "c"), nil)
		for _, read := range []func(...[]byte) ([]kv.Item, error){tx.Get, tx.Peek} {
			items, err := read(Key(s, "a"), Key(s, "b"), Key(s, "c"), Key(s, "d"))
			if got, want := show(items), "a=10 b! c= d!"; err != nil || got != want {
				t.Errorf("in the transaction: got %q, %v, want %q", got, err, want)
			}
		}
		return nil
	})
	h.want(s, "a", "10", "b", "-", "c", "", "d", "-")
	h.put(s, "b", "again")
	h.want(s, "b", "again")
}

func testPeek(t *testing.T, h *harness) {
	s, other := kv.Thing("t"), kv.Job("j")
	peek := func(want string) {
		t.Helper()
		h.update(s, func(tx kv.Tx) error {
			items, err := tx.Peek(Key(other, "a"), Key(s, "b"))
			if got := show(items); err != nil || got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			return nil
		})
	}
	peek("a! b!")
	h.put(other, "a", "1")
	peek("a=1 b!")
	h.put(s, "b", "2")
	h.put(other, "a", "3")
	peek("a=3 b=2")
	h.update(other, func(tx kv.Tx) error { tx.Delete(Key(other, "a")); return nil })
	peek("a! b=2")
}

func testErrorUndoes(t *testing.T, h *harness) {
	s := kv.Thing("t")
	h.put(s, "a", "1", "b", "2")
	events, err := h.DB.Update(ctx, s, func(tx kv.Tx) error {
		tx.Put(Key(s, "a"), []byte("10"))
		tx.Delete(Key(s, "b"))
		tx.Put(Key(s, "c"), []byte("30"))
		tx.Put(Key(s, "c"), []byte("31"))
		tx.Add(FreeCounter("n"), 1)
		tx.After("event")
		return errTest
	})
	if err != errTest || events != nil {
		t.Errorf("got %v, %v, want no events and the error of fn unchanged", events, err)
	}
	h.want(s, "a", "1", "b", "2", "c", "-")
	h.wantCounters(FreeCounter(""), map[string]int64{})
	h.reopen()
	h.want(s, "a", "1", "b", "2", "c", "-")
}

func testPanicUndoes(t *testing.T, h *harness) {
	s := kv.Thing("t")
	h.put(s, "a", "1")
	events, err := h.DB.Update(ctx, s, func(tx kv.Tx) error {
		tx.Put(Key(s, "a"), []byte("2"))
		tx.After("event")
		panic("kvtest: " + s.String())
	})
	if err == nil || !strings.Contains(err.Error(), "kvtest: thing/t") || events != nil {
		t.Errorf("got %v, %v, want an error with the value of the panic", events, err)
	}
	h.want(s, "a", "1")
	h.put(s, "a", "3")
	h.want(s, "a", "3")
}

func testEvents(t *testing.T, h *harness) {
	s := kv.Thing("t")
	runs := 0
	events := h.update(s, func(tx kv.Tx) error {
		runs++
		tx.After(1)
		tx.Put(Key(s, "a"), []byte("x"))
		tx.After("two")
		return nil
	})
	if got := fmt.Sprint(events); got != "[1 two]" {
		t.Errorf("after %d runs of fn: got events %s, want [1 two]", runs, got)
	}
	if events := h.update(s, func(kv.Tx) error { return nil }); len(events) != 0 {
		t.Errorf("events of a transaction without: %v", events)
	}
	if got := fmt.Sprint(h.update(s, func(tx kv.Tx) error { tx.After("read only"); return nil })); got != "[read only]" {
		t.Errorf("events of a transaction without writes: %s", got)
	}
}

func testScope(t *testing.T, h *harness) {
	s, other := kv.Thing("t"), kv.Thing("tt")
	h.put(other, "a", "1")
	nowhere := FreeCounter("n")
	for name, fn := range map[string]func(kv.Tx) error{
		"put":              func(tx kv.Tx) error { tx.Put(Key(other, "a"), nil); return nil },
		"put nowhere":      func(tx kv.Tx) error { tx.Put(nowhere, nil); return nil },
		"delete":           func(tx kv.Tx) error { tx.Delete(Key(other, "a")); return nil },
		"get":              func(tx kv.Tx) error { _, err := tx.Get(Key(s, "a"), Key(other, "a")); return err },
		"get, unheeded":    func(tx kv.Tx) error { _, _ = tx.Get(Key(other, "a")); return nil },
		"scan":             func(tx kv.Tx) error { _, err := tx.Scan(kv.Prefix(Key(other, ""), 1)); return err },
		"scan beyond":      func(tx kv.Tx) error { _, err := tx.Scan(kv.Range{Start: Key(s, ""), Limit: 5}); return err },
		"scan, unheeded":   func(tx kv.Tx) error { _, _ = tx.Scan(kv.Prefix(Key(other, ""), 1)); return nil },
		"put after a good": func(tx kv.Tx) error { tx.Put(Key(s, "a"), nil); tx.Put(Key(other, "a"), nil); return nil },
	} {
		if _, err := h.DB.Update(ctx, s, fn); !errors.Is(err, kv.ErrScope) {
			t.Errorf("%s: got %v, want ErrScope", name, err)
		}
	}
	h.want(s, "a", "-")
	h.want(other, "a", "1")
}

func testTooLarge(t *testing.T, h *harness) {
	s := kv.Thing("t")
	many := func(tx kv.Tx) error {
		for i := range kv.MaxTxBytes/kv.TxOverhead + 1 {
			tx.Put(Key(s, fmt.Sprint(i)), nil)
		}
		return nil
	}
	for name, fn := range map[string]func(kv.Tx) error{
		"value":  func(tx kv.Tx) error { tx.Put(Key(s, "a"), make([]byte, kv.MaxValueBytes+1)); return nil },
		"key":    func(tx kv.Tx) error { tx.Put(Key(s, strings.Repeat("k", kv.MaxKeyBytes)), nil); return nil },
		"writes": many,
		"sum": func(tx kv.Tx) error {
			for i := range 1 + kv.MaxTxBytes/kv.MaxValueBytes {
				tx.Put(Key(s, fmt.Sprint(i)), make([]byte, kv.MaxValueBytes))
			}
			return nil
		},
	} {
		if _, err := h.DB.Update(ctx, s, fn); !errors.Is(err, kv.ErrTooLarge) {
			t.Errorf("%s: got %v, want ErrTooLarge", name, err)
		}
	}
	if items := h.scanAll(kv.Range{Limit: 10}); len(items) != 0 {
		t.Errorf("something was written: %s", show(items))
	}
	// Between two good ones, only the one too large fails.
	put := func(rest string, n int) kv.Op {
		return kv.Op{Scope: s, Fn: func(tx kv.Tx) error { tx.Put(Key(s, rest), make([]byte, n)); return nil }}
	}
	results := h.DB.UpdateMany(ctx, []kv.Op{put("a", 1), put("b", kv.MaxValueBytes+1), put("c", kv.MaxValueBytes)})
	if results[0].Err != nil || !errors.Is(results[1].Err, kv.ErrTooLarge) || results[2].Err != nil {
		t.Errorf("got %v", results)
	}
	h.want(s, "b", "-")
}

// testLargeTransaction writes transactions just within the limits, several of
// which no store can put in one commit.
func testLargeTransaction(t *testing.T, h *harness) {
	const n = 9000
	var ops []kv.Op
	for j := range 4 {
		s := kv.Job(fmt.Sprint(j))
		ops = append(ops, kv.Op{Scope: s, Fn: func(tx kv.Tx) error {
			for i := range n {
				tx.Put(Key(s, fmt.Sprintf("%06d", i*7919%n)), []byte("value"))
			}
			tx.Add(FreeCounter("n"), n)
			return nil
		}})
	}
	for i, r := range h.DB.UpdateMany(ctx, ops) {
		if r.Err != nil {
			t.Fatalf("op %d: %v", i, r.Err)
		}
	}
	if got := len(h.scanAll(kv.Range{Limit: 5000, KeysOnly: true})); got != len(ops)*n {
		t.Errorf("%d keys, want %d", got, len(ops)*n)
	}
	h.wantCounters(FreeCounter(""), map[string]int64{"#n": int64(len(ops)) * n})
}

func testUpdateManyOrder(t *testing.T, h *harness) {
	s := kv.Thing("t")
	const n = 1500
	ops := make([]kv.Op, n)
	for i := range ops {
		ops[i] = kv.Op{Scope: s, Fn: func(tx kv.Tx) error {
			items, err := tx.Get(Key(s, "log"))
			if err != nil {
				return err
			}
			tx.After(len(items[0].Value))
			tx.Put(Key(s, "log"), append(bytes.Clone(items[0].Value), 'x'))
			return nil
		}}
	}
	for i, r := range h.DB.UpdateMany(ctx, ops) {
		if r.Err != nil || len(r.Events) != 1 || r.Events[0] != i {
			t.Fatalf("op %d: got %v, %v", i, r.Events, r.Err)
		}
	}
	if results := h.DB.UpdateMany(ctx, nil); len(results) != 0 {
		t.Errorf("UpdateMany of nothing: %v", results)
	}
}

func testUpdateManyOneFails(t *testing.T, h *harness) {
	s := kv.Thing("t")
	add := func(fail error) kv.Op {
		return kv.Op{Scope: s, Fn: func(tx kv.Tx) error {
			items, err := tx.Get(Key(s, "log"))
			if err != nil {
				return err
			}
			tx.Put(Key(s, "log"), append(bytes.Clone(items[0].Value), 'x'))
			tx.Add(FreeCounter("n"), 1)
			tx.After("event")
			return fail
		}}
	}
	panics := kv.Op{Scope: s, Fn: func(tx kv.Tx) error { tx.Put(Key(s, "log"), nil); panic("kvtest") }}
	results := h.DB.UpdateMany(ctx, []kv.Op{add(nil), add(errTest), panics, add(nil)})
	for i, want := range []bool{true, false, false, true} {
		if ok := results[i].Err == nil; ok != want || ok != (results[i].Events != nil) {
			t.Errorf("op %d: got %v", i, results[i])
		}
	}
	if results[1].Err != errTest {
		t.Errorf("got %v, want the error of fn unchanged", results[1].Err)
	}
	h.want(s, "log", "xx")
	h.wantCounters(FreeCounter(""), map[string]int64{"#n": 2})
}

func testUpdateManyBig(t *testing.T, h *harness) {
	const n = 20000
	ops := make([]kv.Op, n)
	value := bytes.Repeat([]byte("v"), 100)
	for i := range ops {
		s := kv.Thing(fmt.Sprint(i))
		ops[i] = kv.Op{Scope: s, Fn: func(tx kv.Tx) error {
			tx.Put(Key(s, "e"), value)
			tx.Add(FreeCounter(fmt.Sprint(i%4)), 1)
			if i == n/2 {
				return errTest
			}
			return nil
		}}
	}
	for i, r := range h.DB.UpdateMany(ctx, ops) {
		if i == n/2 && r.Err != errTest || i != n/2 && r.Err != nil {
			t.Fatalf("op %d: %v", i, r.Err)
		}
	}
	if got := len(h.scanAll(kv.Range{Limit: 7000})); got != n-1 {
		t.Errorf("%d keys, want %d", got, n-1)
	}
	h.wantCounters(FreeCounter(""), map[string]int64{"#0": n/4 - 1, "#1": n / 4, "#2": n / 4, "#3": n / 4})
}

// testSerialPerScope lets many callers increment the same few values by
// reading and writing them: a lost update shows in the sums.
func testSerialPerScope(t *testing.T, h *harness) {
	const workers, rounds, scopes = 16, 60, 3
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				s := kv.Thing(fmt.Sprint((w + i) % scopes))
				_, err := h.DB.Update(ctx, s, func(tx kv.Tx) error {
					items, err := tx.Get(Key(s, "n"))
					if err != nil {
						return err
					}
					tx.Put(Key(s, "n"), append(bytes.Clone(items[0].Value), '+'))
					tx.Put(Key(s, fmt.Sprintf("row/%06d", len(items[0].Value))), nil)
					return nil
				})
				if err != nil {
					t.Errorf("Update: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for i := range scopes {
		s := kv.Thing(fmt.Sprint(i))
		items, err := h.DB.Get(ctx, Key(s, "n"))
		if err != nil {
			t.Fatal(err)
		}
		n := len(items[0].Value)
		if rows := len(h.scanAll(kv.Prefix(Key(s, "row/"), 100))); rows != n {
			t.Errorf("%s: %d rows, value says %d", s, rows, n)
		}
		total += n
	}
	if total != workers*rounds {
		t.Errorf("%d increments counted, want %d", total, workers*rounds)
	}
}

// testStress mixes everything. Each transaction writes the same number to two
// keys and to a counter; readers must never see the keys of one scan differ.
func testStress(t *testing.T, h *harness) {
	const writers, rounds = 8, 80
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		s := kv.Thing(fmt.Sprint(w % 4))
		writing.Go(func() {
			for i := range rounds {
				value := fmt.Appendf(nil, "%d-%d", w, i)
				fn := func(tx kv.Tx) error {
					tx.Put(Key(s, "a"), value)
					tx.Put(Key(s, "b"), value)
					tx.Put(Key(s, fmt.Sprintf("own/%d", w)), value)
					tx.Add(FreeCounter("x"), 1)
					tx.Add(FreeCounter("y"), -1)
					if i%5 == 0 {
						return errTest
					}
					return nil
				}
				if i%3 == 0 {
					h.DB.UpdateMany(ctx, []kv.Op{{Scope: s, Fn: fn}, {Scope: s, Fn: fn}})
				} else if _, err := h.DB.Update(ctx, s, fn); err != nil && err != errTest {
					t.Errorf("Update: %v", err)
				}
				// Another writer of the scope may have come since; the key only
				// this one writes must be as it left it.
				if i%5 != 0 {
					items, err := h.DB.Get(ctx, Key(s, fmt.Sprintf("own/%d", w)))
					if err != nil || !bytes.Equal(items[0].Value, value) {
						t.Errorf("own write not seen: got %s, %v, want %s", show(items), err, value)
					}
				}
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				s := kv.Thing(fmt.Sprint(i % 4))
				items, _, err := h.DB.Scan(ctx, kv.Prefix(Key(s, ""), 2))
				if err != nil || len(items) == 2 && !bytes.Equal(items[0].Value, items[1].Value) {
					t.Errorf("torn transaction: %s, %v", show(items), err)
					return
				}
				c, err := h.DB.Counters(ctx, FreeCounter(""))
				if err != nil || c["#x"] != -c["#y"] {
					t.Errorf("torn counters: %v, %v", c, err)
					return
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
}

func testReopen(t *testing.T, h *harness) {
	s, other := kv.Thing("t"), kv.Job("j")
	h.put(s, "a", "1", "b", "2", "empty", "")
	h.put(other, "x", "y")
	h.update(s, func(tx kv.Tx) error {
		tx.Delete(Key(s, "b"))
		tx.Add(FreeCounter("n"), 5)
		tx.Add(FreeCounter("m"), 1)
		return nil
	})
	h.reopen()
	h.want(s, "a", "1", "b", "-", "empty", "")
	h.want(other, "x", "y")
	h.update(s, func(tx kv.Tx) error { tx.Add(FreeCounter("n"), -2); return nil })
	h.wantCounters(FreeCounter(""), map[string]int64{"#m": 1, "#n": 3})
	h.reopen()
	h.reopen()
	h.wantCounters(FreeCounter("n"), map[string]int64{"#n": 3})
	h.put(s, "b", "3")
	h.want(s, "a", "1", "b", "3")
}

func testCanceled(t *testing.T, h *harness) {
	s := kv.Thing("t")
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	ran := false
	fn := func(tx kv.Tx) error { ran = true; tx.Put(Key(s, "a"), nil); return nil }
	if _, err := h.DB.Update(canceled, s, fn); !errors.Is(err, context.Canceled) {
		t.Errorf("Update: got %v, want context.Canceled", err)
	}
	for _, r := range h.DB.UpdateMany(canceled, []kv.Op{{Scope: s, Fn: fn}, {Scope: s, Fn: fn}}) {
		if !errors.Is(r.Err, context.Canceled) {
			t.Errorf("UpdateMany: got %v, want context.Canceled", r.Err)
		}
	}
	if ran {
		t.Error("fn ran")
	}
	if _, err := h.DB.Get(canceled, Key(s, "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: got %v, want context.Canceled", err)
	}
	h.want(s, "a", "-")

	// Canceled once it has begun, it still commits.
	late, cancel := context.WithCancel(ctx)
	_, err := h.DB.Update(late, s, func(tx kv.Tx) error {
		tx.Put(Key(s, "a"), []byte("1"))
		cancel()
		return nil
	})
	if err != nil {
		t.Errorf("canceled while running: %v", err)
	}
	h.want(s, "a", "1")
}
