package memkv_test

import (
	"context"
	"sync"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// opener opens a store for each directory name, again for one it has seen.
func opener(opt memkv.Options) kvtest.Open {
	var mu sync.Mutex
	open := map[string]*memkv.DB{}
	return func(t *testing.T, dir string) kv.DB {
		mu.Lock()
		defer mu.Unlock()
		if old := open[dir]; old != nil {
			open[dir] = old.Reopen()
		} else {
			open[dir] = memkv.Open(opt)
		}
		return open[dir]
	}
}

func TestConformance(t *testing.T) {
	kvtest.Run(t, opener(memkv.Options{ScopeOf: kvtest.ScopeOf}))
}

func TestConformanceRunTwice(t *testing.T) {
	kvtest.Run(t, opener(memkv.Options{ScopeOf: kvtest.ScopeOf, RunTwice: true}))
}

func TestRunTwice(t *testing.T) {
	db := memkv.Open(memkv.Options{RunTwice: true})
	runs := 0
	s := kv.Thing("t")
	events, err := db.Update(context.Background(), s, func(tx kv.Tx) error {
		runs++
		tx.Add(kvtest.FreeCounter("n"), 1)
		tx.After(runs)
		return nil
	})
	if err != nil || runs != 2 || len(events) != 1 || events[0] != 2 {
		t.Errorf("%d runs, events %v, %v; want the events of the second of two", runs, events, err)
	}
	if m, _ := db.Counters(context.Background(), nil); m["#n"] != 1 {
		t.Errorf("the first run left something: %v", m)
	}
}
