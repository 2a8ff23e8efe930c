package engine_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// exactDB checks after every commit that the counters of every job are what listing shows:
// not only at the end of what an operation does. It lets one transaction run at a time.
type exactDB struct {
	*memkv.DB
	store *store.Store // to look by

	mu      sync.Mutex
	commits int   // guarded by mu
	wrong   error // the first; guarded by mu
}

func newExactDB(ctx context.Context) (*exactDB, error) {
	db := &exactDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf, RunTwice: true})}
	s, err := store.Open(ctx, db.DB)
	db.store = s
	return db, err
}

// Reopen is what a restart leaves.
func (x *exactDB) Reopen() *exactDB {
	next := &exactDB{DB: x.DB.Reopen()}
	next.commits, next.wrong = x.commits, x.err()
	next.store, _ = store.Open(context.Background(), next.DB)
	return next
}

func (x *exactDB) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	events, err := x.DB.Update(ctx, s, fn)
	if err == nil && x.wrong == nil {
		x.commits++
		if wrong := x.check(ctx, s); wrong != nil {
			x.wrong = fmt.Errorf("after commit %d, of %s: %w", x.commits, s, wrong)
		}
	}
	return events, err
}

func (x *exactDB) UpdateMany(ctx context.Context, ops []kv.Op) []kv.Result {
	results := make([]kv.Result, len(ops))
	for i, op := range ops {
		results[i].Events, results[i].Err = x.Update(ctx, op.Scope, op.Fn)
	}
	return results
}

// err is what was wrong after the first commit that was wrong.
func (x *exactDB) err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.wrong
}

// check looks at all jobs there are counters of, and at what the scope of the commit has
// pending.
func (x *exactDB) check(ctx context.Context, s kv.Scope) error {
	counters, err := x.DB.Counters(ctx, []byte("c"))
	if err != nil {
		return err
	}
	jobs := map[string]bool{}
	for k := range counters {
		job, _, _ := strings.Cut(k[1:], "\x00")
		jobs[job] = true
	}
	pending := map[string]jobsvc.JobExecutionStatus{} // those of the scope's thing that are listed
	for job := range jobs {
		counts, err := x.store.Counts(ctx, job)
		if err != nil {
			return err
		}
		for _, status := range jobsvc.JobExecutionStatuses() {
			n := *counts.Count(status)
			refs, err := x.store.ExecutionRefs(ctx, job, status, store.ExecutionCursor{}, max(0, int(n))+1)
			if err != nil {
				return err
			}
			if n != int64(len(refs)) {
				return fmt.Errorf("job %s: the counter of %s is %d, %d are listed or more", job, status, n, len(refs))
			}
			if len(refs) == 0 {
				continue
			}
			list, err := x.store.Executions(ctx, job, refs)
			if err != nil {
				return err
			}
			for i, r := range refs {
				if i >= len(list) || list[i].Status != status || list[i].ThingName != r.Thing || list[i].ExecutionNumber != r.Number || list[i].JobID != job {
					return fmt.Errorf("job %s: %+v is listed, and the records are %+v", job, r, list)
				}
				if s == kv.Thing(r.Thing) && !status.Terminal() {
					pending[fmt.Sprint(job, "/", r.Number)] = status
				}
			}
		}
	}
	if s.Kind != kv.KindThing {
		return nil
	}
	q, err := x.store.ThingAndQueue(ctx, s.ID)
	if err != nil || q == nil {
		return err
	}
	for i := range q.Pending {
		p := &q.Pending[i]
		id := fmt.Sprint(p.JobID, "/", p.ExecutionNumber)
		if pending[id] != p.Status {
			return fmt.Errorf("%s has %+v, and it is not listed", s, p)
		}
		delete(pending, id)
	}
	if len(pending) > 0 {
		return fmt.Errorf("%s has not %v, which are listed", s, pending)
	}
	return nil
}

// newExactWorld is a world whose counters are held against the listings at each commit.
func newExactWorld(t *testing.T) *world {
	db, err := newExactDB(t.Context())
	must(t, err)
	w := newWorldOn(t, db, func(db kv.DB) kv.DB { return db.(*exactDB).Reopen() })
	t.Cleanup(func() {
		if err := w.db.(*exactDB).err(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// TestExactDB: a commit that counts wrong is seen, also when a later one puts it right.
func TestExactDB(t *testing.T) {
	db, err := newExactDB(t.Context())
	must(t, err)
	w := newWorldOn(t, db, func(db kv.DB) kv.DB { return db.(*exactDB).Reopen() })
	w.thing("a")
	w.job("fw", thingARN("a"))
	w.runTimers()
	w.must(w.update("a", "fw", jobsvc.StatusInProgress))
	if err := db.err(); err != nil || db.commits == 0 {
		t.Fatalf("after %d commits: %v", db.commits, err)
	}
	counters, err := db.Counters(t.Context(), []byte("c"))
	w.must(err)
	key := []byte(slices.Min(slices.Collect(maps.Keys(counters))))
	for _, delta := range []int64{1, -1} {
		_, err := db.Update(t.Context(), kv.Job("fw"), func(tx kv.Tx) error { tx.Add(key, delta); return nil })
		w.must(err)
	}
	if err := db.err(); err == nil || !strings.Contains(err.Error(), "the counter of") {
		t.Errorf("a wrong counter gives %v", err)
	}
}
