package scheduler_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/scheduler"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// hooked is a store that asks before each transaction.
type hooked struct {
	kv.DB
	mu     sync.Mutex
	before func(kv.Scope) error // guarded by mu; nil: nothing
}

func (h *hooked) set(before func(kv.Scope) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before = before
}

func (h *hooked) ask(s kv.Scope) error {
	h.mu.Lock()
	before := h.before
	h.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(s)
}

func (h *hooked) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	if err := h.ask(s); err != nil {
		return nil, err
	}
	return h.DB.Update(ctx, s, fn)
}

func (h *hooked) UpdateMany(ctx context.Context, ops []kv.Op) []kv.Result {
	results := make([]kv.Result, len(ops))
	for i, op := range ops {
		results[i].Events, results[i].Err = h.Update(ctx, op.Scope, op.Fn)
	}
	return results
}

// world is an engine over a store in memory, all of it in one bubble of virtual time.
type world struct {
	*engine.Engine
	t   *testing.T
	ctx context.Context
	db  *hooked
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, ctx: t.Context(), db: &hooked{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}}
		w.open()
		test(w)
	})
}

func (w *world) open() {
	w.t.Helper()
	s, err := store.Open(w.ctx, w.db)
	w.must(err)
	w.Engine = engine.New(s, engine.Options{})
}

// restart is what a kill leaves: the store, nothing else.
func (w *world) restart() {
	w.db.DB = w.db.DB.(*memkv.DB).Reopen()
	w.open()
}

// run starts the scheduler and the engine's own loop. The function it gives stops both
// and waits until they have.
func (w *world) run(o scheduler.Options) (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	e := w.Engine
	var both sync.WaitGroup
	both.Go(func() { w.soon(scheduler.New(e, o).Run(ctx)) })
	both.Go(func() { w.soon(e.Run(ctx)) })
	return func() {
		cancel()
		both.Wait()
	}
}

func (w *world) soon(err error) {
	if err != nil {
		w.t.Error(err)
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) things(names ...string) {
	w.t.Helper()
	for _, n := range names {
		_, err := w.CreateThing(w.ctx, &jobsvc.CreateThingRequest{ThingName: n})
		w.must(err)
	}
}

// job creates a job for things, with a timeout unless it is zero.
func (w *world) job(id string, timeout time.Duration, things ...string) {
	w.t.Helper()
	doc := "{}"
	r := &jobsvc.CreateJobRequest{JobID: id, Document: &doc}
	for _, n := range things {
		r.Targets = append(r.Targets, w.Account().ARN(jobsvc.ARNThing, n))
	}
	if timeout > 0 {
		r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: timeout}
	}
	_, err := w.CreateJob(w.ctx, r)
	w.must(err)
}

// fleet makes things in a group and a job for it.
func (w *world) fleet(job string, n int) []string {
	w.t.Helper()
	names := make([]string, n)
	_, err := w.CreateThingGroup(w.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: job})
	w.must(err)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%04d", job, i)
		w.things(names[i])
		w.must(w.AddThingToThingGroup(w.ctx, job, names[i]))
	}
	doc := "{}"
	_, err = w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{JobID: job, Document: &doc, Targets: []string{w.Account().ARN(jobsvc.ARNThingGroup, job)}})
	w.must(err)
	return names
}

// start begins the next execution of a thing, with a step timeout unless it is zero.
func (w *world) start(thing string, step time.Duration) *jobsvc.JobExecution {
	w.t.Helper()
	r, err := w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: thing, StepTimeout: step})
	w.must(err)
	if r.Execution == nil {
		w.t.Fatalf("%s has nothing to start", thing)
	}
	return r.Execution
}

func (w *world) execution(thing, job string) *jobsvc.JobExecution {
	w.t.Helper()
	x, err := w.DescribeJobExecution(w.ctx, thing, job, nil)
	w.must(err)
	return x
}

func (w *world) counts(job string) jobsvc.JobProcessDetails {
	w.t.Helper()
	d, err := w.DescribeJob(w.ctx, job)
	w.must(err)
	return d.ProcessDetails
}

func (w *world) status(job string) jobsvc.JobStatus {
	w.t.Helper()
	d, err := w.DescribeJob(w.ctx, job)
	w.must(err)
	return d.Status
}

// timedOut expects an execution to have ended at its deadline: never before, and not a
// second later.
func (w *world) timedOut(x *jobsvc.JobExecution) {
	w.t.Helper()
	now := w.execution(x.ThingName, x.JobID)
	if late := now.LastUpdatedAt.Sub(x.Deadline()); now.Status != jobsvc.StatusTimedOut || late < 0 || late > time.Second {
		w.t.Errorf("%s is %s, %s after its deadline", x.ThingName, now.Status, late)
	}
}

// rolledOut waits until what is due has been done.
func (w *world) rolledOut() {
	synctest.Wait()
	time.Sleep(time.Second)
	synctest.Wait()
}

func TestRollout(t *testing.T) {
	bubble(t, func(w *world) {
		stop := w.run(scheduler.Options{})
		defer stop()
		things := w.fleet("fw", 1100)
		w.rolledOut()
		if d := w.counts("fw"); d.Queued != 1100 || d.ProcessingTargets != nil {
			t.Fatalf("rolled out: %+v", d)
		}
		for _, n := range things {
			w.start(n, 0)
			_, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: n, JobID: "fw", JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusSucceeded}})
			w.must(err)
		}
		w.rolledOut()
		if s, d := w.status("fw"), w.counts("fw"); s != jobsvc.JobCompleted || d.Succeeded != 1100 {
			t.Errorf("at the end %s: %+v", s, d)
		}
		w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw"}))
		synctest.Wait()
		_, err := w.DescribeJob(w.ctx, "fw")
		if jobsvc.ErrorCode(err) != jobsvc.CodeNotFound {
			t.Errorf("after deletion: %v", err)
		}
	})
}

func TestFiresInOrder(t *testing.T) {
	bubble(t, func(w *world) {
		defer w.run(scheduler.Options{})()
		minutes := []time.Duration{7, 1, 30, 2, 2}
		var started []*jobsvc.JobExecution
		for i, m := range minutes {
			n := fmt.Sprint("t", i)
			w.things(n)
			w.job(fmt.Sprint("j", i), m*time.Minute, n)
			w.rolledOut()
			started = append(started, w.start(n, 0))
		}
		time.Sleep(29 * time.Minute)
		if s := w.execution("t2", "j2").Status; s != jobsvc.StatusInProgress {
			t.Errorf("before its deadline t2 is %s", s)
		}
		time.Sleep(time.Hour)
		for _, x := range started {
			w.timedOut(x)
			if s := w.status(x.JobID); s != jobsvc.JobCompleted {
				t.Errorf("job %s is %s", x.JobID, s)
			}
		}
	})
}

// TestWakes: a timer that is set while the scheduler sleeps for a later one.
func TestWakes(t *testing.T) {
	bubble(t, func(w *world) {
		defer w.run(scheduler.Options{})()
		w.things("a", "b")
		w.job("fw", 0, "a", "b")
		w.rolledOut()
		w.start("a", time.Hour)
		time.Sleep(time.Second)
		b := w.start("b", 5*time.Second)
		time.Sleep(10 * time.Second)
		w.timedOut(b)
		if s := w.execution("a", "fw").Status; s != jobsvc.StatusInProgress {
			t.Errorf("a is %s", s)
		}
		// One that is moved forward.
		w.start("a", 2*time.Second)
		a := w.execution("a", "fw")
		time.Sleep(5 * time.Second)
		w.timedOut(a)
	})
}

// TestGrace: timeouts that came due while nobody was there wait, so that a device that
// was done can still say so. Those that come due afterwards do not.
func TestGrace(t *testing.T) {
	bubble(t, func(w *world) {
		stop := w.run(scheduler.Options{})
		w.things("done", "gone", "later")
		w.job("fw", 0, "done", "gone", "later")
		w.rolledOut()
		w.start("done", time.Minute)
		w.start("gone", time.Minute)
		later := w.start("later", 10*time.Minute+10*time.Second)
		stop()
		time.Sleep(10 * time.Minute)

		w.restart()
		began := time.Now()
		defer w.run(scheduler.Options{TimeoutGrace: time.Minute})()
		time.Sleep(30 * time.Second)
		w.timedOut(later)
		for _, n := range []string{"done", "gone"} {
			if s := w.execution(n, "fw").Status; s != jobsvc.StatusInProgress {
				t.Errorf("within the grace %s is %s", n, s)
			}
		}
		_, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "done", JobID: "fw", JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusSucceeded}})
		w.must(err)
		time.Sleep(31 * time.Second)
		x := w.execution("gone", "fw")
		if at := x.LastUpdatedAt.Sub(began); x.Status != jobsvc.StatusTimedOut || at < time.Minute || at > 61*time.Second {
			t.Errorf("after the grace gone is %s, at %s", x.Status, at)
		}
		if s := w.status("fw"); s != jobsvc.JobCompleted {
			t.Errorf("the job is %s", s)
		}
	})
}

// TestGraceOfMany: a crowd of overdue timeouts, more than one look at the store takes in,
// holds up neither jobs nor the timeouts that come due in time.
func TestGraceOfMany(t *testing.T) {
	bubble(t, func(w *world) {
		stop := w.run(scheduler.Options{})
		crowd := w.fleet("fw", 400)
		w.things("later", "new")
		w.job("other", 0, "later")
		w.rolledOut()
		for _, n := range crowd {
			w.start(n, time.Minute)
		}
		later := w.start("later", 10*time.Minute+5*time.Second)
		stop()
		time.Sleep(10 * time.Minute)

		w.restart()
		defer w.run(scheduler.Options{TimeoutGrace: time.Minute})()
		synctest.Wait()
		w.job("urgent", 0, "new")
		synctest.Wait()
		if d := w.counts("urgent"); d.Queued != 1 {
			t.Errorf("a job made within the grace: %+v", d)
		}
		time.Sleep(10 * time.Second)
		w.timedOut(later)
		if d := w.counts("fw"); d.TimedOut != 0 || d.InProgress != 400 {
			t.Errorf("within the grace: %+v", d)
		}
		time.Sleep(time.Minute)
		if d := w.counts("fw"); d.TimedOut != 400 || w.status("fw") != jobsvc.JobCompleted {
			t.Errorf("after the grace: %+v", d)
		}
	})
}

// TestFailure: a timer that fails is tried again after growing pauses, and nobody waits
// for it.
func TestFailure(t *testing.T) {
	bubble(t, func(w *world) {
		defer w.run(scheduler.Options{})()
		w.things("bad", "good")
		w.job("fw", 0, "bad", "good")
		w.rolledOut()
		w.start("bad", time.Second)
		good := w.start("good", 10*time.Second)
		var mu sync.Mutex
		var tried []time.Time
		began := time.Now()
		w.db.set(func(s kv.Scope) error {
			if s != kv.Thing("bad") {
				return nil
			}
			time.Sleep(300 * time.Millisecond) // longer than the first pauses
			mu.Lock()
			defer mu.Unlock()
			tried = append(tried, time.Now())
			if time.Since(began) > 5*time.Minute {
				return nil
			}
			return kv.ErrUnavailable
		})
		time.Sleep(15 * time.Second)
		w.timedOut(good)
		time.Sleep(10 * time.Minute)
		if s := w.execution("bad", "fw").Status; s != jobsvc.StatusTimedOut {
			t.Errorf("when it works again bad is %s", s)
		}
		mu.Lock()
		defer mu.Unlock()
		for i := 1; i < len(tried); i++ {
			pause := tried[i].Sub(tried[i-1]) - 300*time.Millisecond
			want := min(100*time.Millisecond<<(i-1), 30*time.Second)
			if pause < want || pause > want+time.Second {
				t.Errorf("pause %d is %s, want %s", i, pause, want)
			}
		}
		if len(tried) < 10 || len(tried) > 25 {
			t.Errorf("tried %d times in five minutes", len(tried))
		}
	})
}

// TestFailures: a crowd of failing timeouts, more than one look takes in, does not hide
// the others.
func TestFailures(t *testing.T) {
	bubble(t, func(w *world) {
		defer w.run(scheduler.Options{})()
		crowd := w.fleet("fw", 400)
		w.things("good")
		w.job("other", 0, "good")
		w.rolledOut()
		for _, n := range crowd {
			w.start(n, time.Second)
		}
		good := w.start("good", time.Minute)
		w.db.set(func(s kv.Scope) error {
			if s.Kind == kv.KindThing && slices.Contains(crowd, s.ID) {
				return kv.ErrUnavailable
			}
			return nil
		})
		time.Sleep(2 * time.Minute)
		w.timedOut(good)
		w.db.set(nil)
		time.Sleep(2 * time.Minute)
		if d := w.counts("fw"); d.TimedOut != 400 {
			t.Errorf("when it works again: %+v", d)
		}
	})
}

// TestManyJobs: more rollouts under way than there are workers keep neither a timeout
// nor another job from their turn.
func TestManyJobs(t *testing.T) {
	bubble(t, func(w *world) {
		w.things("a", "b")
		w.job("quick", 0, "a")
		stop := w.run(scheduler.Options{})
		w.rolledOut()
		x := w.start("a", 5*time.Second)
		stop()
		for i := range 4 {
			w.fleet(fmt.Sprint("big", i), 1500)
		}
		w.job("last", 0, "b")
		// Every transaction of a fleet takes its time: the rollouts take a minute or more.
		w.db.set(func(s kv.Scope) error {
			if s.Kind == kv.KindThing && len(s.ID) > 3 {
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		})
		w.restart()
		defer w.run(scheduler.Options{Workers: 2})()
		time.Sleep(25 * time.Second)
		if d := w.counts("big3"); d.Queued == 1500 {
			t.Fatal("the rollouts are over already")
		}
		w.timedOut(x)
		time.Sleep(35 * time.Second)
		if d := w.counts("last"); d.Queued != 1 {
			t.Errorf("the last job after a minute: %+v", d)
		}
		time.Sleep(10 * time.Minute)
		for i := range 4 {
			if d := w.counts(fmt.Sprint("big", i)); d.Queued != 1500 {
				t.Errorf("big%d: %+v", i, d)
			}
		}
	})
}

// TestStop: Run comes back when the timers under way are done, not before.
func TestStop(t *testing.T) {
	bubble(t, func(w *world) {
		w.things("a")
		w.job("fw", 0, "a")
		ctx, cancel := context.WithCancel(w.ctx)
		release := make(chan struct{})
		begun := make(chan struct{}, 1)
		w.db.set(func(s kv.Scope) error {
			if s == kv.Thing("a") {
				begun <- struct{}{}
				<-release
			}
			return nil
		})
		stopped := make(chan struct{})
		s := scheduler.New(w.Engine, scheduler.Options{})
		go func() {
			defer close(stopped)
			w.soon(s.Run(ctx))
		}()
		<-begun
		cancel()
		synctest.Wait()
		select {
		case <-stopped:
			t.Fatal("Run came back with a timer under way")
		default:
		}
		close(release)
		<-stopped
		w.db.set(nil)
		// Nothing is lost: the next start goes on.
		w.restart()
		defer w.run(scheduler.Options{})()
		synctest.Wait()
		if d := w.counts("fw"); d.Queued != 1 || d.ProcessingTargets != nil {
			t.Errorf("after the next start: %+v", d)
		}
	})
}

// TestUnavailable: a store that cannot be read stops nothing for good.
func TestUnavailable(t *testing.T) {
	bubble(t, func(w *world) {
		w.things("a")
		w.job("fw", 0, "a")
		w.db.DB.Close()
		e := w.Engine
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.soon(scheduler.New(e, scheduler.Options{}).Run(ctx))
		}()
		time.Sleep(time.Minute)
		cancel()
		<-done
	})
}
