package kvtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

func testGetAndScan(t *testing.T, h *harness) {
	a, b, c := kv.Thing("a"), kv.Thing("b"), kv.Thing("c")
	h.put(b, "2", "two", "1", "one", "3", "", "11", "eleven")
	h.put(a, "9", "x")
	h.put(c, "0", "y")
	h.want(b, "1", "one", "11", "eleven", "2", "two", "3", "", "4", "-", "1", "one")

	for _, c := range []struct {
		name string
		r    kv.Range
		want string
	}{
		{"prefix", kv.Prefix(Key(b, ""), 10), "1=one 11=eleven 2=two 3="},
		{"narrow prefix", kv.Prefix(Key(b, "1"), 10), "1=one 11=eleven"},
		{"half open", kv.Range{Start: Key(b, "1"), End: Key(b, "2"), Limit: 10}, "1=one 11=eleven"},
		{"limit", kv.Prefix(Key(b, ""), 2), "1=one 11=eleven"},
		{"reverse", kv.Range{Start: Key(b, ""), End: Key(b, "3"), Limit: 10, Reverse: true}, "2=two 11=eleven 1=one"},
		{"reverse limit", kv.Range{Start: Key(b, ""), End: Key(b, "9"), Limit: 1, Reverse: true}, "3="},
		{"to the end", kv.Range{Start: Key(b, "2"), Limit: 10}, "2=two 3= 0=y"},
		{"reverse from the end", kv.Range{Start: Key(b, "2"), Limit: 2, Reverse: true}, "0=y 3="},
		{"everything", kv.Range{Limit: 10}, "9=x 1=one 11=eleven 2=two 3= 0=y"},
		{"empty", kv.Range{Start: Key(b, "4"), End: Key(b, "5"), Limit: 10}, ""},
		{"inverted", kv.Range{Start: Key(b, "3"), End: Key(b, "1"), Limit: 10}, ""},
	} {
		items, _, err := h.DB.Scan(ctx, c.r)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := show(items); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}

	r := kv.Prefix(Key(b, ""), 10)
	r.KeysOnly = true
	items, _, err := h.DB.Scan(ctx, r)
	if err != nil || len(items) != 4 {
		t.Fatalf("keys only: %v, %v", items, err)
	}
	for _, it := range items {
		if !it.Exists() {
			t.Errorf("keys only: %q does not exist", it.Key)
		}
	}
	if _, _, err := h.DB.Scan(ctx, kv.Range{}); err == nil {
		t.Error("a scan without a limit is accepted")
	}
	if items, err := h.DB.Get(ctx); err != nil || len(items) != 0 {
		t.Errorf("Get of nothing: %v, %v", items, err)
	}
}

func testScanPages(t *testing.T, h *harness) {
	s := kv.Job("j")
	const n = 57
	var want []string
	h.update(s, func(tx kv.Tx) error {
		want = nil
		for i := range n {
			rest := fmt.Sprintf("%03d", i)
			tx.Put(Key(s, rest), []byte(rest))
			want = append(want, rest)
		}
		return nil
	})
	for _, limit := range []int{1, 7, 19, n - 1, n, n + 1} {
		for _, reverse := range []bool{false, true} {
			r := kv.Prefix(Key(s, ""), limit)
			r.Reverse = reverse
			var got []string
			for _, it := range h.scanAll(r) {
				got = append(got, string(it.Value))
			}
			if reverse {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("limit %d, reverse %v: got %v", limit, reverse, got)
			}
		}
	}
}

func testScanInTransaction(t *testing.T, h *harness) {
	s := kv.Thing("t")
	h.put(kv.Thing("s"), "z", "")
	h.put(kv.Thing("u"), "a", "")
	h.put(s, "b", "1", "d", "2", "f", "3")
	h.reopen()
	h.update(s, func(tx kv.Tx) error {
		scan := func(when string, r kv.Range, want string) {
			t.Helper()
			items, err := tx.Scan(r)
			if got := show(items); err != nil || got != want {
				t.Errorf("%s: got %q, %v, want %q", when, got, err, want)
			}
		}
		all := kv.Prefix(Key(s, ""), 10)
		back := kv.Range{Start: all.Start, End: all.End, Limit: 10, Reverse: true}
		tx.Put(Key(s, "c"), []byte("new"))
		tx.Delete(Key(s, "d"))
		tx.Put(Key(s, "f"), []byte("4"))
		scan("first", kv.Prefix(Key(s, ""), 2), "b=1 c=new")
		scan("all", all, "b=1 c=new f=4")
		tx.Put(Key(s, "a"), []byte("0"))
		tx.Put(Key(s, "g"), []byte("5"))
		tx.Delete(Key(s, "c"))
		tx.Delete(Key(s, "missing"))
		scan("after more writes", all, "a=0 b=1 f=4 g=5")
		scan("reverse", back, "g=5 f=4 b=1 a=0")
		scan("reverse limit", kv.Range{Start: all.Start, End: Key(s, "g"), Limit: 2, Reverse: true}, "f=4 b=1")
		tx.Put(Key(s, "c"), []byte("again"))
		scan("written again", all, "a=0 b=1 c=again f=4 g=5")
		if _, err := tx.Scan(kv.Range{Start: all.Start, End: all.End}); err == nil {
			t.Error("a scan without a limit is accepted")
		}
		return nil
	})
	// The next transaction sees what this one left: no phantoms in either
	// direction.
	h.update(s, func(tx kv.Tx) error {
		items, err := tx.Scan(kv.Prefix(Key(s, ""), 10))
		if got, want := show(items), "a=0 b=1 c=again f=4 g=5"; err != nil || got != want {
			t.Errorf("next transaction: got %q, %v, want %q", got, err, want)
		}
		return nil
	})
}

// testScanRandom compares a long random history of one scope with a model,
// across failing transactions and restarts.
func testScanRandom(t *testing.T, h *harness) {
	rnd := rand.New(rand.NewPCG(1, 2))
	s := kv.Thing("random")
	model := map[string]string{}
	check := func(got []kv.Item, m map[string]string, r kv.Range) error {
		var keys []string
		for k := range m {
			if key := Key(s, k); bytes.Compare(key, r.Start) >= 0 && bytes.Compare(key, r.End) < 0 {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		if r.Reverse {
			slices.Reverse(keys)
		}
		var want []kv.Item
		for _, k := range keys[:min(len(keys), r.Limit)] {
			want = append(want, kv.Item{Key: Key(s, k), Value: []byte(m[k])})
		}
		if g, w := show(got), show(want); g != w {
			return fmt.Errorf("scan %q to %q, limit %d, reverse %v:\n got %s\nwant %s", r.Start, r.End, r.Limit, r.Reverse, g, w)
		}
		return nil
	}
	key := func() string { return fmt.Sprintf("%02d", rnd.IntN(60)) }
	span := func() kv.Range {
		a, b := key(), key()
		return kv.Range{Start: Key(s, min(a, b)), End: Key(s, max(a, b)), Limit: 1 + rnd.IntN(12), Reverse: rnd.IntN(2) == 0}
	}
	const rounds = 400
	for round := range rounds {
		next := map[string]string{}
		fail := rnd.IntN(4) == 0
		seed := rnd.Uint64()
		_, err := h.DB.Update(ctx, s, func(tx kv.Tx) error {
			rnd = rand.New(rand.NewPCG(seed, 7))
			clear(next)
			for k, v := range model {
				next[k] = v
			}
			for range rnd.IntN(8) {
				switch k := key(); rnd.IntN(5) {
				case 0, 1:
					v := fmt.Sprint(round)
					tx.Put(Key(s, k), []byte(v))
					next[k] = v
				case 2:
					tx.Delete(Key(s, k))
					delete(next, k)
				case 3:
					r := span()
					items, err := tx.Scan(r)
					if err != nil {
						return err
					}
					if err := check(items, next, r); err != nil {
						return err
					}
				case 4:
					items, err := tx.Get(Key(s, k))
					if err != nil {
						return err
					}
					if v, ok := next[k]; ok != items[0].Exists() || v != string(items[0].Value) {
						return fmt.Errorf("get %s: got %q, want %q", k, items[0].Value, v)
					}
				}
			}
			if fail {
				return errTest
			}
			return nil
		})
		switch {
		case fail && err != errTest:
			t.Fatalf("got %v, want the error of fn", err)
		case !fail && err != nil:
			t.Fatal(err)
		case !fail:
			model = next
		}
		r := span()
		items, _, err := h.DB.Scan(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(items, model, r); err != nil {
			t.Fatal(err)
		}
		if round%100 == 99 {
			h.reopen()
		}
	}
}
