// Package kvtest is the conformance suite of the kv contract. Every store passes
// the same one, so that what is tested over memkv holds over the others.
package kvtest

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Open opens the store in dir with ScopeOf of this package. Called again with
// the same dir after Close, it returns a store with the same content. It fails
// the test when it cannot. It leaves closing to the suite.
type Open func(t *testing.T, dir string) kv.DB

// Key is the key named rest in the scope s, by the layout ScopeOf knows.
func Key(s kv.Scope, rest string) []byte {
	return []byte(string(s.Kind) + s.ID + "\x00" + rest)
}

// FreeCounter is the key of a counter that is in no scope.
func FreeCounter(rest string) []byte { return []byte("#" + rest) }

// ScopeOf is the kv.ScopeOf of the keys made by Key.
func ScopeOf(key []byte) (kv.Scope, bool) {
	if len(key) == 0 {
		return kv.Scope{}, false
	}
	kind := kv.ScopeKind(key[0])
	end := bytes.IndexByte(key, 0)
	if end < 0 || kind != kv.KindSys && kind != kv.KindThing && kind != kv.KindJob {
		return kv.Scope{}, false
	}
	return kv.Scope{Kind: kind, ID: string(key[1:end])}, true
}

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *harness)
	}{
		{"GetAndScan", testGetAndScan},
		{"ScanPages", testScanPages},
		{"ScanInTransaction", testScanInTransaction},
		{"ScanRandom", testScanRandom},
		{"OwnWrites", testOwnWrites},
		{"Peek", testPeek},
		{"ErrorUndoes", testErrorUndoes},
		{"PanicUndoes", testPanicUndoes},
		{"Events", testEvents},
		{"Scope", testScope},
		{"TooLarge", testTooLarge},
		{"LargeTransaction", testLargeTransaction},
		{"Counters", testCounters},
		{"CountersAreNotValues", testCountersAreNotValues},
		{"CountersSnapshot", testCountersSnapshot},
		{"UpdateManyOrder", testUpdateManyOrder},
		{"UpdateManyOneFails", testUpdateManyOneFails},
		{"UpdateManyBig", testUpdateManyBig},
		{"ReadsFindAll", testReadsFindAll},
		{"ReadsAreAHint", testReadsAreAHint},
		{"SerialPerScope", testSerialPerScope},
		{"Stress", testStress},
		{"Reopen", testReopen},
		{"Clock", testClock},
		{"ClockConcurrent", testClockConcurrent},
		{"Stamp", testStamp},
		{"StampConcurrent", testStampConcurrent},
		{"Canceled", testCanceled},
		{"Close", testClose},
		{"CloseWaits", testCloseWaits},
		{"ExportImport", testExportImport},
		{"ImportDamaged", testImportDamaged},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := &harness{T: t, open: open, dir: t.TempDir()}
			h.DB = open(t, h.dir)
			t.Cleanup(func() { h.DB.Close() })
			test.run(t, h)
		})
	}
}

// RoundTrip checks that an export of a store opened by from is read by one
// opened by to, with all values, counters and the clock.
func RoundTrip(t *testing.T, from, to Open) {
	a := &harness{T: t, DB: from(t, t.TempDir())}
	defer a.DB.Close()
	b := &harness{T: t, DB: to(t, t.TempDir())}
	defer b.DB.Close()
	roundTrip(t, a, b)
}

// harness is a store under test with the short forms the tests are written in.
type harness struct {
	*testing.T
	DB   kv.DB
	open Open
	dir  string
}

var ctx = context.Background()

func (h *harness) reopen() {
	h.Helper()
	if err := h.DB.Close(); err != nil {
		h.Fatalf("close: %v", err)
	}
	h.DB = h.open(h.T, h.dir)
}

func (h *harness) update(s kv.Scope, fn func(kv.Tx) error) []kv.Event {
	h.Helper()
	events, err := h.DB.Update(ctx, s, fn)
	if err != nil {
		h.Fatalf("Update(%s): %v", s, err)
	}
	return events
}

// put writes rest=value pairs in one transaction.
func (h *harness) put(s kv.Scope, pairs ...string) {
	h.Helper()
	h.update(s, func(tx kv.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			tx.Put(Key(s, pairs[i]), []byte(pairs[i+1]))
		}
		return nil
	})
}

// want checks the values of keys of s; the value "-" stands for no such key.
func (h *harness) want(s kv.Scope, pairs ...string) {
	h.Helper()
	var keys [][]byte
	for i := 0; i < len(pairs); i += 2 {
		keys = append(keys, Key(s, pairs[i]))
	}
	items, err := h.DB.Get(ctx, keys...)
	if err != nil {
		h.Fatalf("Get: %v", err)
	}
	h.update(s, func(tx kv.Tx) error {
		inTx, err := tx.Get(keys...)
		if err != nil {
			return err
		}
		if a, b := show(items), show(inTx); a != b {
			return fmt.Errorf("outside a transaction %s, inside %s", a, b)
		}
		return nil
	})
	if len(items) != len(keys) {
		h.Fatalf("Get gave %d items for %d keys", len(items), len(keys))
	}
	for i, it := range items {
		got := "-"
		if it.Exists() {
			got = string(it.Value)
		}
		if !bytes.Equal(it.Key, keys[i]) || got != pairs[2*i+1] {
			h.Errorf("%s %q: got %q, want %q", s, pairs[2*i], got, pairs[2*i+1])
		}
	}
}

func (h *harness) wantCounters(prefix []byte, want map[string]int64) {
	h.Helper()
	got, err := h.DB.Counters(ctx, prefix)
	if err != nil {
		h.Fatalf("Counters: %v", err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.Errorf("Counters(%q): got %v, want %v", prefix, got, want)
	}
}

// scanAll reads a range to its end, page by page.
func (h *harness) scanAll(r kv.Range) []kv.Item {
	h.Helper()
	var all []kv.Item
	for {
		items, next, err := h.DB.Scan(ctx, r)
		if err != nil {
			h.Fatalf("Scan: %v", err)
		}
		if len(items) > r.Limit {
			h.Fatalf("Scan with limit %d gave %d items", r.Limit, len(items))
		}
		all = append(all, items...)
		if next == nil {
			return all
		}
		if r.Reverse {
			r.End = next
		} else {
			r.Start = next
		}
	}
}

// show gives items as "rest=value rest=value", a missing one as "rest!".
func show(items []kv.Item) string {
	var b bytes.Buffer
	for i, it := range items {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.Write(it.Key[bytes.IndexByte(it.Key, 0)+1:])
		if it.Exists() {
			fmt.Fprintf(&b, "=%s", it.Value)
		} else {
			b.WriteByte('!')
		}
	}
	return b.String()
}
