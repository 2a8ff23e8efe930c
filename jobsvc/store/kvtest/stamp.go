package kvtest

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// testStamp checks that stamps grow from transaction to transaction and within one, over
// restarts, and that they are times of the store's clock.
func testStamp(t *testing.T, h *harness) {
	var last int64
	next := func(s kv.Scope) {
		t.Helper()
		before, err := h.DB.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var a, b int64
		h.update(s, func(tx kv.Tx) error {
			a, b = tx.Stamp(), tx.Stamp()
			tx.Put(Key(s, "k"), []byte("v"))
			return nil
		})
		after, err := h.DB.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if a <= last || b <= a {
			t.Errorf("stamps %d and %d after %d", a, b, last)
		}
		if a <= before.UnixNano() || b >= after.UnixNano() {
			t.Errorf("stamps %d and %d, the clock was %d before and %d after", a, b, before.UnixNano(), after.UnixNano())
		}
		last = b
	}
	for range 3 {
		next(kv.Thing("t"))
		next(kv.Job("j"))
	}
	h.reopen()
	next(kv.Thing("t"))
}

// testStampConcurrent writes stamps from many scopes at once. What a reader finds new has
// a higher stamp than all it has seen before.
func testStampConcurrent(t *testing.T, h *harness) {
	const writers, each = 8, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				s := kv.Thing(fmt.Sprintf("t%d", w))
				_, err := h.DB.Update(ctx, s, func(tx kv.Tx) error {
					tx.Put(Key(s, fmt.Sprintf("n%02d", n)), binary.BigEndian.AppendUint64(nil, uint64(tx.Stamp())))
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()

	seen := make(map[string]uint64)
	var highest uint64
	look := func() {
		// Everything is one range, read in one go.
		items, next, err := h.DB.Scan(ctx, kv.Range{Start: []byte{byte(kv.KindThing)}, End: []byte{byte(kv.KindThing) + 1}, Limit: 2 * writers * each})
		if err != nil || next != nil {
			t.Errorf("scan: %v, next %q", err, next)
		}
		before := highest
		for _, it := range items {
			stamp := binary.BigEndian.Uint64(it.Value)
			if _, known := seen[string(it.Key)]; known {
				continue
			}
			if stamp <= before {
				t.Errorf("%q is new with stamp %d; %d was seen before", it.Key, stamp, before)
			}
			seen[string(it.Key)] = stamp
			highest = max(highest, stamp)
		}
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		look()
	}
	if len(seen) != writers*each {
		t.Errorf("saw %d of %d", len(seen), writers*each)
	}
	twice := make(map[uint64]string)
	for key, stamp := range seen {
		if other, ok := twice[stamp]; ok {
			t.Errorf("%q and %q have one stamp", key, other)
		}
		twice[stamp] = key
	}
	for w := range writers {
		for n := 1; n < each; n++ {
			a, b := Key(kv.Thing(fmt.Sprintf("t%d", w)), fmt.Sprintf("n%02d", n-1)), Key(kv.Thing(fmt.Sprintf("t%d", w)), fmt.Sprintf("n%02d", n))
			if seen[string(a)] >= seen[string(b)] {
				t.Errorf("%q has stamp %d, %q after it %d", a, seen[string(a)], b, seen[string(b)])
			}
		}
	}
}
