package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// fault is what becomes of a transaction.
type fault int

const (
	none        fault = iota
	unavailable       // not written, and said so
	lost              // not written, but nobody knows
	applied           // written, but nobody knows
)

var faults = map[string]fault{"unavailable": unavailable, "unknown and lost": lost, "unknown and applied": applied}

// faultyDB lets chosen transactions go wrong, counted from 1. It is not for concurrent use.
type faultyDB struct {
	kv.DB
	calls int
	fault func(call int) fault
}

func (f *faultyDB) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	f.calls++
	what := none
	if f.fault != nil {
		what = f.fault(f.calls)
	}
	switch what {
	case unavailable:
		return nil, kv.ErrUnavailable
	case lost:
		return nil, fmt.Errorf("%w: lost", kv.ErrUnknown)
	}
	events, err := f.DB.Update(ctx, s, fn)
	if what == applied && err == nil {
		return nil, fmt.Errorf("%w: applied", kv.ErrUnknown)
	}
	return events, err
}

func (f *faultyDB) UpdateMany(ctx context.Context, ops []kv.Op) []kv.Result {
	results := make([]kv.Result, len(ops))
	for i, op := range ops {
		results[i].Events, results[i].Err = f.Update(ctx, op.Scope, op.Fn)
	}
	return results
}

// faultyWorld is a world whose store goes wrong, and whose callers try again as devices,
// operators and the scheduler do.
type faultyWorld struct {
	*world
	faulty *faultyDB
}

// newFaultyWorld has things and a group of them, and no faults yet.
func newFaultyWorld(t *testing.T) *faultyWorld {
	exact, err := newExactDB(t.Context())
	must(t, err)
	t.Cleanup(func() {
		if err := exact.err(); err != nil {
			t.Error(err)
		}
	})
	return newFaultyWorldOn(t, exact)
}

func newFaultyWorldOn(t *testing.T, on kv.DB) *faultyWorld {
	db := &faultyDB{DB: on}
	w := &faultyWorld{newWorldOn(t, db, nil), db}
	w.thing(names(5)...)
	w.group("g", "", names(4)...)
	return w
}

// again calls until it works, or is refused.
func (w *faultyWorld) again(call func() error) error {
	w.t.Helper()
	var err error
	for range 20 {
		if err = call(); err == nil || jobsvc.ErrorCode(err) != jobsvc.CodeUnavailable && !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, kv.ErrUnknown) {
			return err
		}
	}
	w.t.Fatalf("tried again and again: %v", err)
	return nil
}

func (w *faultyWorld) create(id string) {
	w.t.Helper()
	doc := "{}"
	err := w.again(func() error {
		_, err := w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{
			JobID: id, Targets: []string{groupARN("g"), thingARN("t0004")}, Document: &doc, TimeoutConfig: &jobsvc.TimeoutConfig{InProgress: time.Hour},
		})
		return err
	})
	if jobsvc.ErrorCode(err) != jobsvc.CodeAlreadyExists { // the first try took effect
		w.must(err)
	}
}

// background does what the scheduler and Run do.
func (w *faultyWorld) background() {
	w.t.Helper()
	for round := 0; ; round++ {
		timers, err := w.Timers(w.ctx, 100)
		w.must(err)
		now := w.tick()
		due := 0
		for _, t := range timers {
			if !t.Due.After(now) {
				due++
				w.must(w.again(func() error { return w.Fire(w.ctx, t, now) }))
			}
		}
		if due == 0 {
			break
		}
		if round == 100 {
			w.t.Fatalf("timers that never end: %v", timers)
		}
	}
	w.must(w.again(func() error { return w.Settle(w.ctx) }))
}

func (w *faultyWorld) begin(thing string) {
	w.t.Helper()
	w.must(w.again(func() error {
		_, err := w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: thing})
		return err
	}))
}

func (w *faultyWorld) report(thing string, s jobsvc.JobExecutionStatus) {
	w.t.Helper()
	w.must(w.again(func() error { return w.Settle(w.ctx) })) // of what came before
	err := w.again(func() error { return w.update(thing, "fw", s) })
	var refused *jobsvc.Error
	if errors.As(err, &refused) && refused.Code == jobsvc.CodeInvalidStateTransition && refused.State.Status == s {
		return // the first try took effect, and the refusal says so
	}
	w.must(err)
}

func (w *faultyWorld) cancel(force bool) {
	w.t.Helper()
	err := w.again(func() error {
		_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw", Force: force})
		return err
	})
	if w.describe("fw").Status != jobsvc.JobCanceled {
		w.must(err)
	}
}

// scenarios end with the job as a line tells.
var scenarios = map[string]func(w *faultyWorld){
	"rollout": func(w *faultyWorld) {
		w.create("fw")
		w.background()
	},
	"completion": func(w *faultyWorld) {
		w.create("fw")
		w.background()
		for _, n := range names(5) {
			w.begin(n)
			w.report(n, jobsvc.StatusSucceeded)
		}
		w.background()
	},
	"completion by a timeout": func(w *faultyWorld) {
		w.create("fw")
		w.background()
		for _, n := range names(4) {
			w.report(n, jobsvc.StatusFailed)
		}
		w.background()
		w.begin("t0004")
		w.advanceClock(2 * time.Hour)
		w.background()
	},
	"completion by a deleted thing": func(w *faultyWorld) {
		w.create("fw")
		w.background()
		for _, n := range names(4) {
			w.report(n, jobsvc.StatusRejected)
		}
		w.background()
		w.must(w.again(func() error { return w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "t0004"}) }))
		w.background()
	},
	"everyone is done before the rollout is": func(w *faultyWorld) {
		w.create("fw")
		for range 50 {
			timers, err := w.Timers(w.ctx, 1)
			w.must(err)
			if len(timers) == 0 {
				break
			}
			w.must(w.again(func() error { return w.Fire(w.ctx, timers[0], w.tick()) }))
			for _, n := range names(5) {
				if p, err := w.GetPendingJobExecutions(w.ctx, n); err == nil && len(p.Queued) > 0 {
					w.report(n, jobsvc.StatusSucceeded)
				}
			}
		}
		w.background()
	},
	"cancel": func(w *faultyWorld) {
		w.create("fw")
		w.background()
		w.begin("t0001")
		w.cancel(false)
		w.background()
	},
	"cancel with force": func(w *faultyWorld) {
		w.create("fw")
		w.background()
		w.begin("t0001")
		w.cancel(true)
		w.background()
	},
	"deletion": func(w *faultyWorld) {
		w.create("fw")
		w.background()
		w.begin("t0001")
		w.report("t0002", jobsvc.StatusFailed)
		err := w.again(func() error { return w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw", Force: true}) })
		if jobsvc.ErrorCode(err) != jobsvc.CodeInvalidStateTransition { // it is being deleted
			w.must(err)
		}
		w.background()
		(&history{world: w.world}).checkGone("fw")
	},
	"start, further targets, one execution canceled and one deleted": func(w *faultyWorld) {
		doc := "{}"
		err := w.again(func() error {
			_, err := w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{
				JobID: "fw", Targets: []string{groupARN("g")}, Document: &doc, TargetSelection: jobsvc.TargetContinuous,
				SchedulingConfig: &jobsvc.SchedulingConfig{StartTime: "2026-03-10 12:00"},
			})
			return err
		})
		if jobsvc.ErrorCode(err) != jobsvc.CodeAlreadyExists {
			w.must(err)
		}
		w.background()
		w.advanceClock(2 * time.Hour)
		w.background()
		w.must(w.again(func() error {
			_, err := w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{thingARN("t0004"), thingARN("t0001")}})
			return err
		}))
		w.background()
		err = w.again(func() error {
			return w.CancelJobExecution(w.ctx, &jobsvc.CancelJobExecutionRequest{ThingName: "t0001", JobID: "fw"})
		})
		if jobsvc.ErrorCode(err) != jobsvc.CodeInvalidStateTransition { // it is canceled
			w.must(err)
		}
		err = w.again(func() error {
			return w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "t0004", JobID: "fw", ExecutionNumber: 1})
		})
		if jobsvc.ErrorCode(err) != jobsvc.CodeNotFound { // it is gone
			w.must(err)
		}
		w.background()
	},
	"completion by a deleted execution": func(w *faultyWorld) {
		w.create("fw")
		w.background()
		for _, n := range names(4) {
			w.report(n, jobsvc.StatusRejected)
		}
		w.background()
		err := w.again(func() error {
			return w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "t0004", JobID: "fw", ExecutionNumber: 1})
		})
		if jobsvc.ErrorCode(err) != jobsvc.CodeNotFound {
			w.must(err)
		}
		w.background()
	},
}

func (w *faultyWorld) advanceClock(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// outcome is what is left at the end, but for times and versions.
func (w *faultyWorld) outcome() string {
	w.t.Helper()
	d, err := w.DescribeJob(w.ctx, "fw")
	if jobsvc.ErrorCode(err) == jobsvc.CodeNotFound {
		return "gone"
	}
	w.must(err)
	s := fmt.Sprintf("%s concurrent=%v done=%v %+v", d.Status, d.Concurrent, d.RolloutDone, w.checkCounters("fw"))
	list := w.executions("fw", "", 0)
	slices.SortFunc(list, func(a, b jobsvc.JobExecution) int {
		return cmp.Or(strings.Compare(a.ThingName, b.ThingName), cmp.Compare(a.ExecutionNumber, b.ExecutionNumber))
	})
	for _, x := range list {
		s += fmt.Sprintf("\n%s/%d %s", x.ThingName, x.ExecutionNumber, x.Status)
	}
	timers, err := w.Timers(w.ctx, 100)
	w.must(err)
	for _, t := range timers {
		s += fmt.Sprintf("\ntimer %c %s", t.Kind, t.Scope)
	}
	return s
}

// TestFaults lets every single transaction of a scenario go wrong in every way, one at a
// time and then again and again, and expects the end that it has without faults.
func TestFaults(t *testing.T) { testScenarios(t, scenarios) }

func testScenarios(t *testing.T, scenarios map[string]func(*faultyWorld)) {
	for name, scenario := range scenarios {
		t.Run(name, func(t *testing.T) {
			undisturbed := newFaultyWorld(t)
			undisturbed.faulty.calls = 0
			scenario(undisturbed)
			calls, want := undisturbed.faulty.calls, undisturbed.outcome()
			for kind, f := range faults {
				for call := 1; call <= calls; call++ {
					t.Run(fmt.Sprintf("%s at %d", kind, call), func(t *testing.T) {
						testFaults(t, scenario, want, func(n int) fault {
							if n == call {
								return f
							}
							return none
						})
					})
				}
				t.Run(kind+" every seventh time", func(t *testing.T) {
					testFaults(t, scenario, want, func(n int) fault {
						if n%7 == 1 {
							return f
						}
						return none
					})
				})
			}
		})
	}
}

func testFaults(t *testing.T, scenario func(*faultyWorld), want string, f func(int) fault) {
	t.Helper()
	w := newFaultyWorld(t)
	w.faulty.calls, w.faulty.fault = 0, f
	scenario(w)
	w.faulty.fault = nil
	if got := w.outcome(); got != want {
		t.Errorf("at the end\n%s\nwithout the fault\n%s", got, want)
	}
}
