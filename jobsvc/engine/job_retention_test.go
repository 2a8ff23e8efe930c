package engine_test

import (
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Jobs that are over for long enough go with their executions; others stay.
func TestRetire(t *testing.T) {
	w := newWorld(t)
	limits := jobsvc.GenerousLimits()
	limits.JobRetention = 30 * 24 * time.Hour
	w.limits = &limits
	w.restart()
	w.thing("a", "b")
	w.job("done", thingARN("a"))
	w.job("canceled", thingARN("a"), thingARN("b"))
	w.job("active", thingARN("a"))
	w.runTimers()
	w.must(w.update("a", "done", jobsvc.StatusSucceeded))
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "canceled"})
	w.must(err)
	w.must(w.Settle(w.ctx))
	w.runTimers()

	w.now = w.now.Add(limits.JobRetention - time.Hour)
	w.job("young", thingARN("b"))
	w.runTimers()
	w.must(w.update("b", "young", jobsvc.StatusSucceeded))
	w.must(w.Settle(w.ctx))
	w.must(w.Retire(w.ctx))
	w.runTimers()
	for _, id := range []string{"done", "canceled", "active", "young"} {
		w.describe(id)
	}

	w.now = w.now.Add(2 * time.Hour)
	w.must(w.Retire(w.ctx))
	if s := w.describe("done").Status; s != jobsvc.JobDeletionInProgress {
		t.Errorf("a job that is to go is %s", s)
	}
	w.restart()
	w.runTimers()
	for _, id := range []string{"done", "canceled"} {
		_, err := w.DescribeJob(w.ctx, id)
		w.code(jobsvc.CodeNotFound, err)
	}
	w.describe("active")
	w.describe("young")
	r, err := w.ListJobExecutionsForThing(w.ctx, &jobsvc.ListJobExecutionsForThingRequest{ThingName: "a"})
	if w.must(err); len(r.Executions) != 1 || r.Executions[0].JobID != "active" {
		t.Errorf("a has %+v", r.Executions)
	}
}
