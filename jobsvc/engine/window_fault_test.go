package engine_test

import (
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// These are scenarios of TestFaults: every transaction of them goes wrong in every way.
func init() {
	for behavior, name := range map[jobsvc.EndBehavior]string{
		jobsvc.EndStopRollout: "windows, and an end that stops", jobsvc.EndCancel: "windows, and an end that cancels", jobsvc.EndForceCancel: "windows, and an end that cancels with force",
	} {
		scenarios[name] = func(w *faultyWorld) {
			w.createScheduled(nightly("2026-03-13 04:00", behavior))
			w.background()
			w.setClock(moment(w.t, "2026-03-11 02:00"))
			w.background()
			w.begin("t0001")
			w.begin("t0002")
			w.setClock(moment(w.t, "2026-03-11 05:00"))
			w.background()
			w.report("t0001", jobsvc.StatusSucceeded)
			w.setClock(moment(w.t, "2026-03-12 02:00"))
			w.background()
			w.begin("t0003")
			w.report("t0003", jobsvc.StatusFailed)
			w.setClock(moment(w.t, "2026-03-12 05:00"))
			w.background()
			w.setClock(moment(w.t, "2026-03-13 04:00"))
			w.background()
			if behavior == jobsvc.EndStopRollout {
				w.report("t0002", jobsvc.StatusSucceeded)
				w.background()
			}
		}
	}
	scenarios["a window that closes in the rollout"] = func(w *faultyWorld) {
		w.createScheduled(nightly("", ""))
		w.setClock(moment(w.t, "2026-03-11 02:00"))
		w.fireFirst() // the start
		w.setClock(moment(w.t, "2026-03-11 05:00"))
		w.background()
		w.setClock(moment(w.t, "2026-03-12 02:00"))
		w.background()
	}
	scenarios["a window that is over before anything was done in it"] = func(w *faultyWorld) {
		w.createScheduled(jobsvc.SchedulingConfig{EndTime: "2026-03-12 00:00", MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(0 2 11 3 ? 2026)", DurationInMinutes: 60}}})
		w.setClock(moment(w.t, "2026-03-11 02:00"))
		w.fireFirst()
		w.setClock(moment(w.t, "2026-03-11 05:00"))
		w.background()
	}
	scenarios["an end without windows"] = func(w *faultyWorld) {
		w.createScheduled(jobsvc.SchedulingConfig{EndTime: "2026-03-12 00:00"})
		w.background()
		for _, n := range names(5)[1:] {
			w.report(n, jobsvc.StatusRejected)
		}
		w.setClock(moment(w.t, "2026-03-12 00:00"))
		w.background()
		w.report("t0000", jobsvc.StatusRejected)
		w.background()
	}
}

func (w *faultyWorld) createScheduled(c jobsvc.SchedulingConfig) {
	w.t.Helper()
	err := w.again(func() error {
		_, err := w.world.create("fw", func(r *jobsvc.CreateJobRequest) {
			continuous(r)
			r.SchedulingConfig = &c
		}, groupARN("g"), thingARN("t0004"))
		return err
	})
	if jobsvc.ErrorCode(err) != jobsvc.CodeAlreadyExists { // the first try took effect
		w.must(err)
	}
}

// fireFirst fires the first timer until it works.
func (w *faultyWorld) fireFirst() {
	w.t.Helper()
	timers, err := w.Timers(w.ctx, 1)
	w.must(err)
	w.must(w.again(func() error { return w.Fire(w.ctx, timers[0], w.tick()) }))
}

// TestScenarioEnds: what the scenarios of windows end with, undisturbed.
func TestScenarioEnds(t *testing.T) {
	for name, want := range map[string]jobsvc.JobProcessDetails{
		"windows, and an end that stops":                       {Succeeded: 2, Failed: 1, Canceled: 2},
		"windows, and an end that cancels":                     {Succeeded: 1, InProgress: 1, Failed: 1, Canceled: 2},
		"windows, and an end that cancels with force":          {Succeeded: 1, Failed: 1, Canceled: 3},
		"a window that closes in the rollout":                  {Queued: 5},
		"a window that is over before anything was done in it": {},
		"an end without windows":                               {Rejected: 5},
	} {
		w := newFaultyWorld(t)
		scenarios[name](w)
		if got := w.checkCounters("fw"); got.Succeeded != want.Succeeded || got.Failed != want.Failed || got.Canceled != want.Canceled || got.InProgress != want.InProgress ||
			got.Queued != want.Queued || got.Rejected != want.Rejected {
			t.Errorf("%s: %+v", name, got)
		}
		d := w.describe("fw")
		if d.Active() != (name == "a window that closes in the rollout") {
			t.Errorf("%s: %+v", name, d.Job)
		}
		if !d.Active() {
			w.noTimers()
		}
	}
}

// TestEndedJobsAreUnlisted: a CONTINUOUS job that is over before it began is on the lists of
// its targets no more: changes of memberships do not look at it.
func TestEndedJobsAreUnlisted(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.group("g", "", "a")
	w.mustCreate("fw", scheduled(jobsvc.SchedulingConfig{EndTime: "2026-03-12 00:00", MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(0 2 11 3 ? 2026)", DurationInMinutes: 60}}}), groupARN("g"))
	listed := func() []string {
		s, err := store.Open(w.ctx, w.db)
		w.must(err)
		target := store.Target{Kind: jobsvc.ARNThingGroup, Name: "g"}
		var jobs []string
		_, err = s.Update(w.ctx, store.TargetScope(target), func(tx *store.Tx) error {
			jobs, err = tx.TargetJobs(target)
			return err
		})
		w.must(err)
		return jobs
	}
	if got := listed(); len(got) != 1 {
		t.Fatalf("at first %v are listed", got)
	}
	w.at("2026-03-11 05:00")
	if s := w.describe("fw").Status; s != jobsvc.JobCompleted {
		t.Fatalf("it is %s", s)
	}
	if got := listed(); len(got) != 0 {
		t.Errorf("%v are listed still", got)
	}
}
