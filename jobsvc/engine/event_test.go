package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// events lists what the outbox holds, and empties it: job operations as "job op", those
// of executions as "thing/number op STATUS".
func (w *world) events() (list []string) {
	w.t.Helper()
	events, err := w.Events(w.ctx, 0, 1000)
	w.must(err)
	for i := range events {
		ev := &events[i]
		if i > 0 && ev.Stamp <= events[i-1].Stamp {
			w.t.Errorf("event %d has stamp %d after %d", i, ev.Stamp, events[i-1].Stamp)
		}
		if ev.Job != nil {
			list = append(list, ev.Job.JobID+" "+string(ev.Operation))
		} else {
			list = append(list, fmt.Sprintf("%s/%d %s %s", ev.Execution.ThingName, ev.Execution.ExecutionNumber, ev.Operation, ev.Execution.Status))
		}
	}
	if len(events) > 0 {
		w.must(w.RemoveEvents(w.ctx, 0, events[len(events)-1].Stamp))
	}
	return list
}

func (w *world) wantEvents(what string, want ...string) {
	w.t.Helper()
	if got := w.events(); !slices.Equal(got, want) {
		w.t.Errorf("%s: events\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestEventSequences has the sequences of the specification: lifecycle 12.3.
func TestEventSequences(t *testing.T) {
	w := newWorld(t)
	w.WantEvents(true)
	w.thing("a", "b", "c")
	w.group("all", "", "a", "b", "c")

	w.job("one", thingARN("a"))
	w.runTimers()
	w.start("a")
	w.must(w.update("a", "one", jobsvc.StatusInProgress))
	w.wantEvents("begun")
	w.must(w.update("a", "one", jobsvc.StatusSucceeded))
	w.runTimers()
	w.wantEvents("the last execution succeeds", "a/1 succeeded SUCCEEDED", "one completed")
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "one"}))
	w.runTimers()
	w.wantEvents("deleted", "one deletion_in_progress", "a/1 deleted SUCCEEDED", "one deleted")

	w.job("cancel", groupARN("all"))
	w.runTimers()
	w.start("c")
	reason, comment := "R", "c"
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "cancel", ReasonCode: &reason, Comment: &comment})
	w.must(err)
	first, err := w.Events(w.ctx, 0, 1)
	w.must(err)
	if ev := first[0].Job; ev.ReasonCode != "R" || ev.Comment != "c" || ev.ForceCanceled || ev.Targets[0] != groupARN("all") {
		t.Errorf("cancellation_in_progress has %+v", ev)
	}
	w.runTimers()
	w.wantEvents("canceled with one in progress", "cancel cancellation_in_progress", "a/1 canceled CANCELED", "b/1 canceled CANCELED", "cancel canceled")
	w.must(w.update("c", "cancel", jobsvc.StatusFailed))
	w.runTimers()
	w.wantEvents("the third", "c/1 failed FAILED")

	w.job("delete", groupARN("all"))
	w.runTimers()
	w.start("b")
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "delete", Force: true}))
	w.runTimers()
	w.wantEvents("deleted with force", "delete deletion_in_progress", "a/1 deleted QUEUED", "c/1 deleted QUEUED", "b/1 deleted IN_PROGRESS", "delete deleted")

	// Each of the other ways in which an execution ends.
	w.create("ways", func(r *jobsvc.CreateJobRequest) { r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: time.Minute} }, groupARN("all"))
	w.runTimers()
	w.start("a")
	w.advance(2 * time.Minute)
	w.wantEvents("timed out", "a/1 timed_out TIMED_OUT")
	w.must(w.update("b", "ways", jobsvc.StatusRejected))
	w.wantEvents("rejected", "b/1 rejected REJECTED")
	w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "b", JobID: "ways", ExecutionNumber: 1}))
	w.wantEvents("an ended one deleted", "b/1 deleted REJECTED")
	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "c"}))
	w.runTimers()
	w.wantEvents("thing deleted", "c/1 removed REMOVED", "ways completed")
	w.job("pending", thingARN("a"), thingARN("b"))
	w.runTimers()
	w.must(w.CancelJobExecution(w.ctx, &jobsvc.CancelJobExecutionRequest{ThingName: "a", JobID: "pending"}))
	w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "b", JobID: "pending", ExecutionNumber: 1}))
	w.runTimers()
	w.wantEvents("one canceled, one pending deleted", "a/1 canceled CANCELED", "b/1 deleted QUEUED", "pending completed")
}

// TestEventsOfRetirement: what goes with the end of its retention is told by the job alone.
func TestEventsOfRetirement(t *testing.T) {
	w := newWorld(t)
	w.WantEvents(true)
	w.thing("a")
	w.job("old", thingARN("a"))
	w.runTimers()
	w.must(w.update("a", "old", jobsvc.StatusSucceeded))
	w.runTimers()
	w.wantEvents("over", "a/1 succeeded SUCCEEDED", "old completed")
	w.now = w.now.Add(800 * 24 * time.Hour)
	w.must(w.Retire(w.ctx))
	w.runTimers()
	w.wantEvents("retired", "old deletion_in_progress", "old deleted")
}

// TestEventsCost: as long as nobody wants events, or they are turned off, nothing is
// stored; and events of a kind that is off are left out alone.
func TestEventsCost(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	run := func(job string) {
		t.Helper()
		w.job(job, thingARN("a"))
		w.runTimers()
		w.must(w.update("a", job, jobsvc.StatusSucceeded))
		w.runTimers()
	}
	run("nobody")
	w.wantEvents("nobody wants them")
	w.WantEvents(true)
	w.must(w.UpdateEventConfigurations(w.ctx, map[string]bool{jobsvc.EventJob: false}))
	run("executions")
	w.wantEvents("job events off", "a/1 succeeded SUCCEEDED")
	w.must(w.UpdateEventConfigurations(w.ctx, map[string]bool{jobsvc.EventJob: true, jobsvc.EventJobExecution: false}))
	run("jobs")
	w.wantEvents("execution events off", "jobs completed")
	w.restart()
	w.WantEvents(true)
	run("again")
	w.wantEvents("after a restart", "again completed")
	w.WantEvents(false)
	run("gone")
	w.wantEvents("nobody any more")
}

// TestEventsOff: an installation may have them off at first.
func TestEventsOff(t *testing.T) {
	w := newWorld(t)
	w.eventsOff = true
	w.restart()
	w.WantEvents(true)
	w.thing("a")
	w.job("off", thingARN("a"))
	w.runTimers()
	w.must(w.update("a", "off", jobsvc.StatusSucceeded))
	w.runTimers()
	w.wantEvents("off")
	if c, err := w.DescribeEventConfigurations(w.ctx); err != nil || len(c.Enabled) != 0 {
		t.Errorf("configurations %+v, %v", c, err)
	}
	w.must(w.UpdateEventConfigurations(w.ctx, map[string]bool{jobsvc.EventJob: true}))
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "off"})
	w.code(jobsvc.CodeInvalidRequest, err)
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "off"}))
	w.runTimers()
	w.wantEvents("turned on", "off deletion_in_progress", "off deleted")
}

// TestEventsAreDurable: what was committed is there after a kill, with the same ID, and a
// completed job tells the counts it had even when it is deleted before it is published.
func TestEventsAreDurable(t *testing.T) {
	w := newWorld(t)
	w.WantEvents(true)
	w.thing("a", "b")
	w.job("fw", thingARN("a"), thingARN("b"))
	w.runTimers()
	w.must(w.update("a", "fw", jobsvc.StatusSucceeded))
	w.must(w.update("b", "fw", jobsvc.StatusFailed))
	w.runTimers()
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw"}))
	w.runTimers()
	before, err := w.Events(w.ctx, 0, 100)
	w.must(err)
	w.restart()
	after, err := w.Events(w.ctx, 0, 100)
	w.must(err)
	if len(before) != 7 || len(after) != 7 {
		t.Fatalf("%d events before, %d after a kill", len(before), len(after))
	}
	for i := range before {
		if before[i].ID != after[i].ID || before[i].Stamp != after[i].Stamp || before[i].Operation != after[i].Operation {
			t.Errorf("event %d: %+v, after a kill %+v", i, before[i], after[i])
		}
	}
	completed := after[2].Job
	if completed == nil || completed.ProcessDetails.Succeeded != 1 || completed.ProcessDetails.Failed != 1 || completed.CompletedAt.IsZero() {
		t.Errorf("the third event has %+v", completed)
	}
}
