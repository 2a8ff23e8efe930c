package engine_test

import (
	"context"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// scanningDB lets a test act just before and after scans of the index by job.
type scanningDB struct {
	kv.DB
	before, after func()
}

func (db *scanningDB) Scan(ctx context.Context, r kv.Range) ([]kv.Item, []byte, error) {
	if len(r.Start) == 0 || r.Start[0] != 'x' {
		return db.DB.Scan(ctx, r)
	}
	call(&db.before)
	items, next, err := db.DB.Scan(ctx, r)
	call(&db.after)
	return items, next, err
}

// call calls a function once.
func call(f *func()) {
	if do := *f; do != nil {
		*f = nil
		do()
	}
}

// An execution that changes status while a page is read is in it once, though the
// status it goes to had none.
func TestListWhileMoving(t *testing.T) {
	for name, hook := range map[string]func(*scanningDB) *func(){
		"before its status is read": func(db *scanningDB) *func() { return &db.before },
		"after":                     func(db *scanningDB) *func() { return &db.after },
	} {
		for _, to := range []jobsvc.JobExecutionStatus{jobsvc.StatusInProgress, jobsvc.StatusSucceeded} {
			db := &scanningDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf, RunTwice: true})}
			w := newWorldOn(t, db, nil)
			w.thing("a", "b")
			w.job("j", thingARN("a"), thingARN("b"))
			w.runTimers()
			*hook(db) = func() { w.must(w.update("a", "j", to)) }
			r, err := w.ListJobExecutionsForJob(w.ctx, &jobsvc.ListJobExecutionsForJobRequest{JobID: "j", Page: jobsvc.Page{MaxResults: 2}})
			w.must(err)
			if len(r.Executions) != 2 || r.NextToken != "" || r.Executions[0].ThingName == r.Executions[1].ThingName {
				t.Errorf("%s, to %s: %+v, token %q", name, to, r.Executions, r.NextToken)
			}
		}
	}
}
