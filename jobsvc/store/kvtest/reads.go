package kvtest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// testReadsFindAll: a transaction that said what it will read gets what is there, be the
// keys near each other or not, in order or not, there or not.
func testReadsFindAll(t *testing.T, h *harness) {
	const n = 1000
	thing := func(i int) kv.Scope { return kv.Thing(fmt.Sprintf("%04d", i)) }
	var fill []kv.Op
	for i := range n {
		fill = append(fill, kv.Op{Scope: thing(i), Fn: func(tx kv.Tx) error {
			tx.Put(Key(thing(i), "a"), []byte(strconv.Itoa(i)))
			if i%3 == 0 {
				tx.Put(Key(thing(i), "b"), nil)
			}
			if i%5 == 0 {
				tx.Add(Key(thing(i), "c"), 1)
			}
			for j := range i % 7 * 3 {
				tx.Put(Key(thing(i), fmt.Sprintf("a%d", j)), []byte("between"))
			}
			return nil
		}})
	}
	for i, r := range h.DB.UpdateMany(ctx, fill) {
		if r.Err != nil {
			t.Fatal(i, r.Err)
		}
	}
	h.reopen()
	for name, order := range map[string]func(int) int{
		"in order":   func(i int) int { return i },
		"backwards":  func(i int) int { return n - 1 - i },
		"far apart":  func(i int) int { return i * 50 % n },
		"everywhere": func(i int) int { return i * 617 % n },
	} {
		got, want := make([]string, n), make([]string, n)
		ops := make([]kv.Op, n)
		for i := range ops {
			s := thing(order(i))
			keys := [][]byte{Key(s, "a"), Key(s, "b"), Key(s, "c"), Key(s, "d")}
			want[i] = fmt.Sprintf("a=%d b! c! d!", order(i))
			if order(i)%3 == 0 {
				want[i] = strings.Replace(want[i], "b!", "b=", 1)
			}
			ops[i] = kv.Op{Scope: s, Reads: keys[:1+i%4], Fn: func(tx kv.Tx) error {
				items, err := tx.Get(keys...)
				got[i] = show(items)
				return err
			}}
		}
		for i, r := range h.DB.UpdateMany(ctx, ops) {
			if r.Err != nil || got[i] != want[i] {
				t.Errorf("%s, %d: got %q, %v, want %q", name, i, got[i], r.Err, want[i])
			}
		}
	}
}

// testReadsAreAHint: whatever was read ahead, a transaction sees what was committed
// before it, in its own call and by others.
func testReadsAreAHint(t *testing.T, h *harness) {
	const things, calls, rounds = 300, 4, 5
	scope := func(i int) kv.Scope { return kv.Thing(fmt.Sprintf("t%03d", i)) }
	more := func(i int) kv.Op {
		s := scope(i)
		k := Key(s, "n")
		return kv.Op{Scope: s, Reads: [][]byte{k}, Fn: func(tx kv.Tx) error {
			items, err := tx.Get(k)
			if err != nil {
				return err
			}
			n, _ := strconv.Atoi(string(items[0].Value)) // 0 when there is none
			tx.Put(k, []byte(strconv.Itoa(n+1)))
			return nil
		}}
	}
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			for range rounds {
				var ops []kv.Op
				for i := range things { // each twice, in different parts of the call
					ops = append(ops, more(i))
				}
				for i := range things {
					ops = append(ops, more(i))
				}
				for i, r := range h.DB.UpdateMany(ctx, ops) {
					if r.Err != nil {
						t.Error(i, r.Err)
					}
				}
			}
		})
		wg.Go(func() {
			for i := range things {
				op := more(i)
				if _, err := h.DB.Update(ctx, op.Scope, op.Fn); err != nil {
					t.Error(i, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range things {
		h.want(scope(i), "n", strconv.Itoa(calls*(2*rounds+1)))
	}
}
