package engine_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

var account = jobsvc.Account{Partition: "aws", Region: "eu-west-1", ID: "111122223333"}

// world is an engine over a store in memory whose transactions all run twice, with a
// clock that the test moves.
type world struct {
	*engine.Engine
	t   *testing.T
	ctx context.Context
	db  kv.DB
	// reopen is what a restart of the process does to the store.
	reopen func(kv.DB) kv.DB
	now    time.Time
	slow   time.Duration    // how much longer every look at the clock takes
	rules  *jobsvc.JobRules // nil for the service's
	limits *jobsvc.Limits   // nil for the generous

	eventsOff bool

	mu    sync.Mutex
	hints []engine.Hint // guarded by mu
	docs  *documents
}

func (w *world) Notify(h []engine.Hint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hints = append(w.hints, h...)
}

// told gives the hints since the last call, as "thing/namespace".
func (w *world) told() []engine.Hint {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.hints
	w.hints = nil
	return h
}

// documents stands for presign: it can be made to refuse.
type documents struct {
	checkErr, syntaxErr, readyErr, verifyErr error
	fetched                                  []byte
	verified                                 int
	probed                                   *jobsvc.Document
}

func (d *documents) Check([]byte, *jobsvc.PresignedURLConfig) error { return d.checkErr }
func (d *documents) CheckSyntax([]byte) error                       { return d.syntaxErr }
func (d *documents) Ready(*jobsvc.Document) error                   { return d.readyErr }
func (d *documents) Fetch(context.Context, string) ([]byte, error)  { return d.fetched, nil }

func (d *documents) Verify(context.Context, []byte, *jobsvc.PresignedURLConfig) error {
	d.verified++
	return d.verifyErr
}

func (d *documents) Probe(_ context.Context, doc *jobsvc.Document) ([]jobsvc.PresignedURLCheck, error) {
	d.probed = doc
	return []jobsvc.PresignedURLCheck{{Method: "GET", Result: jobsvc.PresignedURLOK}}, nil
}

func newWorld(t *testing.T) *world {
	return newWorldOn(t, memkv.Open(memkv.Options{ScopeOf: store.ScopeOf, RunTwice: true}), func(db kv.DB) kv.DB { return db.(*memkv.DB).Reopen() })
}

func newWorldOn(t *testing.T, db kv.DB, reopen func(kv.DB) kv.DB) *world {
	w := &world{t: t, ctx: t.Context(), now: time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC), docs: &documents{}, db: db, reopen: reopen}
	w.open()
	return w
}

func (w *world) open() {
	s, err := store.Open(w.ctx, w.db)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Engine = engine.New(s, engine.Options{Account: account, Notifier: w, Documents: w.docs, Issuer: issuer{}, Rules: w.rules, Limits: w.limits, EventsOff: w.eventsOff, Now: w.tick})
}

// tick moves the clock a little with every look, as the store's does.
func (w *world) tick() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Microsecond + w.slow)
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
	w.runTimers()
}

// restart is what a kill leaves: the store, nothing else.
func (w *world) restart() {
	w.db = w.reopen(w.db)
	w.open()
}

// fireOne fires the first due timer and tells whether there was one.
func (w *world) fireOne() bool {
	w.t.Helper()
	timers, err := w.Timers(w.ctx, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	now := w.tick()
	for _, t := range timers {
		if t.Due.After(now) {
			continue
		}
		if err := w.Fire(w.ctx, t, now); err != nil {
			w.t.Fatal(err)
		}
		return true
	}
	return false
}

// runTimers fires what is due until nothing is, and settles the jobs.
func (w *world) runTimers() {
	w.t.Helper()
	for w.fireOne() {
	}
	if err := w.Settle(w.ctx); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) thing(names ...string) {
	w.t.Helper()
	for _, n := range names {
		if _, err := w.CreateThing(w.ctx, &jobsvc.CreateThingRequest{ThingName: n}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) group(name, parent string, things ...string) {
	w.t.Helper()
	if _, err := w.CreateThingGroup(w.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: name, ParentName: parent}); err != nil {
		w.t.Fatal(err)
	}
	for _, th := range things {
		if err := w.AddThingToThingGroup(w.ctx, name, th); err != nil {
			w.t.Fatal(err)
		}
	}
}

func thingARN(n string) string { return account.ARN(jobsvc.ARNThing, n) }
func groupARN(n string) string { return account.ARN(jobsvc.ARNThingGroup, n) }

// job creates a job; roll it out with runTimers.
func (w *world) job(id string, targets ...string) {
	w.t.Helper()
	doc := `{"op":"` + id + `"}`
	if _, err := w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{JobID: id, Targets: targets, Document: &doc}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) start(thing string) *jobsvc.JobExecution {
	w.t.Helper()
	r, err := w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: thing, Sign: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Execution
}

func (w *world) update(thing, job string, s jobsvc.JobExecutionStatus) error {
	_, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: thing, JobID: job, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: s}})
	return err
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) code(want jobsvc.Code, err error) {
	w.t.Helper()
	if got := jobsvc.ErrorCode(err); got != want {
		w.t.Fatalf("code %q, want %q (%v)", got, want, err)
	}
}

func (w *world) describe(id string) *jobsvc.JobDescription {
	w.t.Helper()
	d, err := w.DescribeJob(w.ctx, id)
	w.must(err)
	return d
}

// executions lists a job's executions through all pages.
func (w *world) executions(job string, status jobsvc.JobExecutionStatus, pageSize int) []jobsvc.JobExecution {
	w.t.Helper()
	var all []jobsvc.JobExecution
	for token := ""; ; {
		r, err := w.ListJobExecutionsForJob(w.ctx, &jobsvc.ListJobExecutionsForJobRequest{JobID: job, Status: status, Page: jobsvc.Page{MaxResults: pageSize, Token: token}})
		w.must(err)
		all = append(all, r.Executions...)
		if token = r.NextToken; token == "" {
			return all
		}
	}
}

// checkCounters holds the counters of a job against what listing shows.
func (w *world) checkCounters(job string) jobsvc.JobProcessDetails {
	w.t.Helper()
	var counted jobsvc.JobProcessDetails
	for _, x := range w.executions(job, "", 7) {
		*counted.Count(x.Status)++
	}
	got := w.describe(job).ProcessDetails
	for _, s := range jobsvc.JobExecutionStatuses() {
		if *got.Count(s) != *counted.Count(s) {
			w.t.Fatalf("job %s: counter of %s is %d, listing shows %d", job, s, *got.Count(s), *counted.Count(s))
		}
		if n := len(w.executions(job, s, 3)); int64(n) != *got.Count(s) {
			w.t.Fatalf("job %s: counter of %s is %d, listing with the filter shows %d", job, s, *got.Count(s), n)
		}
	}
	return got
}

func names(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf("t%04d", i)
	}
	return s
}

func TestMainJob(t *testing.T) {
	w := newWorld(t)
	things := names(5)
	w.thing(things...)
	w.group("pumps", "", things...)
	w.job("fw", groupARN("pumps"))
	if d := w.describe("fw"); d.Status != jobsvc.JobInProgress || !d.Concurrent || d.ProcessDetails.Pending() != 0 || !slices.Equal(d.ProcessDetails.ProcessingTargets, []string{groupARN("pumps")}) {
		t.Fatalf("before the rollout: %+v", d)
	}
	w.runTimers()
	d := w.describe("fw")
	if d.Concurrent || d.ProcessDetails.Queued != 5 || d.ProcessDetails.ProcessingTargets != nil {
		t.Fatalf("after the rollout: %+v", d)
	}
	if h := w.told(); len(h) != 5 {
		t.Fatalf("hints after the rollout: %v", h)
	}
	for i, th := range things {
		x := w.start(th)
		if x == nil || x.JobID != "fw" || x.Status != jobsvc.StatusInProgress || x.VersionNumber != 2 {
			t.Fatalf("start-next of %s: %+v", th, x)
		}
		if again := w.start(th); again.VersionNumber != 2 {
			t.Fatalf("start-next again: %+v", again)
		}
		if h := w.told(); h != nil {
			t.Fatalf("a start is announced: %v", h)
		}
		w.must(w.update(th, "fw", jobsvc.StatusInProgress))
		if w.describe("fw").Status != jobsvc.JobInProgress {
			t.Fatal("complete too early")
		}
		w.must(w.update(th, "fw", []jobsvc.JobExecutionStatus{jobsvc.StatusSucceeded, jobsvc.StatusFailed, jobsvc.StatusRejected}[i%3]))
		if h := w.told(); len(h) != 1 || h[0].ThingName != th {
			t.Fatalf("hints after the end: %v", h)
		}
		w.code(jobsvc.CodeInvalidStateTransition, w.update(th, "fw", jobsvc.StatusSucceeded))
		w.checkCounters("fw")
		w.must(w.Settle(w.ctx))
	}
	d = w.describe("fw")
	if d.Status != jobsvc.JobCompleted || d.CompletedAt.IsZero() || d.ProcessDetails.Succeeded != 2 || d.ProcessDetails.Failed != 2 || d.ProcessDetails.Rejected != 1 {
		t.Fatalf("at the end: %+v", d)
	}
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw"})
	w.code(jobsvc.CodeInvalidRequest, err)
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw"}))
	w.code(jobsvc.CodeInvalidStateTransition, w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw", Force: true}))
	doc := "{}"
	_, err = w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{JobID: "fw", Targets: []string{groupARN("pumps")}, Document: &doc})
	w.code(jobsvc.CodeAlreadyExists, err)
	w.code(jobsvc.CodeNotFound, w.update(things[0], "fw", jobsvc.StatusSucceeded))
	w.runTimers()
	_, err = w.DescribeJob(w.ctx, "fw")
	w.code(jobsvc.CodeNotFound, err)
	// The ID is free again, and numbers begin at 1.
	w.job("fw", groupARN("pumps"))
	w.runTimers()
	if x := w.start(things[0]); x.ExecutionNumber != 1 || x.VersionNumber != 2 {
		t.Fatalf("after deletion: %+v", x)
	}
}

// TestRestartInRollout restarts after every step of a rollout, with a chunk released
// twice, and expects what an undisturbed one leaves.
func TestRestartInRollout(t *testing.T) {
	w := newWorld(t)
	things := names(9500)
	w.thing(things...)
	w.group("root", "", things[:800]...)
	w.group("child", "root", things[800:]...)
	w.job("fw", thingARN(things[7]), groupARN("root"), thingARN(things[9]))
	steps := 0
	for w.fireOne() {
		steps++
		w.restart()
		// Devices do not wait for the rollout to end.
		if x := w.start(things[7]); x != nil && x.Status == jobsvc.StatusInProgress {
			w.must(w.update(things[7], "fw", jobsvc.StatusSucceeded))
		}
	}
	if steps < 3 {
		t.Errorf("only %d steps: the rollout is no chain", steps)
	}
	d := w.checkCounters("fw")
	if d.Queued != 9499 || d.Succeeded != 1 {
		t.Fatalf("counters: %+v", d)
	}
	w.restart()
	w.runFor()
	if w.describe("fw").Status != jobsvc.JobInProgress {
		t.Error("completed with executions pending")
	}
}

// TestCompletionAfterCrash: a crash between the last execution's end and the job's
// completion is made good when the engine starts.
func TestCompletionAfterCrash(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.job("fw", thingARN("a"))
	w.runTimers()
	w.start("a")
	w.must(w.update("a", "fw", jobsvc.StatusSucceeded))
	// The crash comes before Settle.
	if w.describe("fw").Status != jobsvc.JobInProgress {
		t.Fatal("nothing to make good")
	}
	w.runFor()
	if s := w.describe("fw").Status; s != jobsvc.JobCompleted {
		t.Fatalf("after the start the job is %s", s)
	}
}

// runFor restarts, and lets Run do what it has to do at a start.
func (w *world) runFor() {
	synctest.Test(w.t, func(t *testing.T) {
		w.restart() // its channels belong to the bubble
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		cancel()
		w.must(<-done)
	})
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	things := names(6)
	w.thing(things...)
	w.group("g", "", things...)
	w.job("fw", groupARN("g"))
	w.job("next", thingARN(things[0]), thingARN(things[5]))
	w.runTimers()
	w.start(things[0])
	w.start(things[1])
	w.told()

	reason, comment := "BAD_IMAGE", "checksum wrong"
	j, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw", ReasonCode: &reason, Comment: &comment})
	w.must(err)
	if j.Status != jobsvc.JobCanceled || j.ReasonCode != reason || j.ForceCanceled || !j.Concurrent {
		t.Fatalf("canceled: %+v", j)
	}
	// Before the sweep has come by, no device can begin it.
	if x := w.start(things[2]); x != nil {
		t.Fatalf("a canceled execution began: %+v", x)
	}
	w.code(jobsvc.CodeInvalidStateTransition, w.update(things[2], "fw", jobsvc.StatusInProgress))
	_, err = w.DescribePendingJobExecution(w.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: things[2], JobID: "fw"})
	w.code(jobsvc.CodeTerminalState, err)
	if x, err := w.DescribeJobExecution(w.ctx, things[2], "fw", nil); err != nil || x.Status != jobsvc.StatusCanceled || x.VersionNumber != 2 {
		t.Fatalf("control plane before the sweep: %+v, %v", x, err)
	}
	if x := w.start(things[5]); x.JobID != "next" {
		t.Fatalf("the job behind the canceled one: %+v", x)
	}
	if h := w.told(); len(h) != 1 || h[0].ThingName != things[5] {
		t.Fatalf("hints: %v", h)
	}
	w.runTimers()
	told := map[string]bool{}
	for _, h := range w.told() {
		told[h.ThingName] = true
	}
	if want := []string{things[2], things[3], things[4]}; !slices.Equal(slices.Sorted(maps.Keys(told)), want) {
		t.Fatalf("told after the sweep: %v, want %v", told, want)
	}
	d := w.checkCounters("fw")
	if d.Canceled != 4 || d.InProgress != 2 || w.describe("fw").Concurrent {
		t.Fatalf("after the sweep: %+v", d)
	}
	// What was begun may be finished.
	w.must(w.update(things[0], "fw", jobsvc.StatusSucceeded))
	w.runTimers()
	if s := w.describe("fw").Status; s != jobsvc.JobCanceled {
		t.Fatalf("a canceled job became %s", s)
	}
	// Once more with force, for what is left.
	_, err = w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw"})
	w.code(jobsvc.CodeInvalidRequest, err)
	_, err = w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw", Force: true})
	w.must(err)
	w.code(jobsvc.CodeInvalidStateTransition, w.update(things[1], "fw", jobsvc.StatusSucceeded))
	w.runTimers()
	d = w.checkCounters("fw")
	if d.Canceled != 5 || d.Succeeded != 1 || d.Pending() != 0 {
		t.Fatalf("after force: %+v", d)
	}
	if x, err := w.DescribeJobExecution(w.ctx, things[1], "fw", nil); err != nil || !x.ForceCanceled || x.Status != jobsvc.StatusCanceled {
		t.Fatalf("force canceled: %+v, %v", x, err)
	}
}

func TestCancelInRollout(t *testing.T) {
	w := newWorld(t)
	things := names(9200)
	w.thing(things...)
	w.group("g", "", things...)
	w.job("fw", groupARN("g"))
	w.fireOne()
	if d := w.describe("fw").ProcessDetails; d.Queued == 0 || d.Queued == int64(len(things)) {
		t.Fatalf("not in the middle of a rollout: %+v", d)
	}
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw"})
	w.must(err)
	w.restart()
	w.runTimers()
	d := w.checkCounters("fw")
	if d.Canceled == 0 || d.Canceled == int64(len(things)) || d.Pending() != 0 {
		t.Fatalf("canceled in the middle: %+v", d)
	}
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw"}))
	w.restart()
	w.runTimers()
	_, err = w.DescribeJob(w.ctx, "fw")
	w.code(jobsvc.CodeNotFound, err)
	// Nothing of it is left.
	r, err := w.ListJobExecutionsForThing(w.ctx, &jobsvc.ListJobExecutionsForThingRequest{ThingName: things[0]})
	w.must(err)
	if len(r.Executions) != 0 {
		t.Fatalf("left after deletion: %+v", r.Executions)
	}
	if timers, err := w.Timers(w.ctx, 10); err != nil || len(timers) != 0 {
		t.Fatalf("timers left: %v, %v", timers, err)
	}
}

func TestTimeouts(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b", "c")
	doc := "{}"
	_, err := w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{
		JobID: "fw", Targets: []string{thingARN("a"), thingARN("b"), thingARN("c")}, Document: &doc,
		TimeoutConfig: &jobsvc.TimeoutConfig{InProgress: 30 * time.Minute},
	})
	w.must(err)
	w.runTimers()
	w.start("a")
	r, err := w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: "b", StepTimeout: 5 * time.Minute})
	w.must(err)
	if left, ok := r.Execution.SecondsBeforeTimedOut(r.Time); !ok || left != 300 {
		t.Fatalf("seconds left: %d %v", left, ok)
	}
	w.advance(4 * time.Minute)
	_, err = w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "b", JobID: "fw", JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusInProgress, StepTimeout: 10 * time.Minute}})
	w.must(err)
	w.advance(9 * time.Minute) // 13: b would be over by its first timer
	if d := w.checkCounters("fw"); d.InProgress != 2 || d.TimedOut != 0 {
		t.Fatalf("minute 13: %+v", d)
	}
	w.restart()
	w.advance(90 * time.Second) // 14:30: b is over by its second
	if d := w.checkCounters("fw"); d.TimedOut != 1 || d.InProgress != 1 {
		t.Fatalf("minute 14: %+v", d)
	}
	w.code(jobsvc.CodeInvalidStateTransition, w.update("b", "fw", jobsvc.StatusSucceeded))
	w.advance(15 * time.Minute)
	if d := w.checkCounters("fw"); d.TimedOut != 1 {
		t.Fatalf("minute 29: %+v", d)
	}
	w.advance(time.Minute)
	d := w.checkCounters("fw")
	if d.TimedOut != 2 || d.Queued != 1 || w.describe("fw").Status != jobsvc.JobInProgress {
		t.Fatalf("minute 30: %+v", d)
	}
	w.must(w.update("c", "fw", jobsvc.StatusSucceeded))
	w.runTimers()
	if w.describe("fw").Status != jobsvc.JobCompleted {
		t.Fatal("not complete")
	}
	if timers, err := w.Timers(w.ctx, 10); err != nil || len(timers) != 0 {
		t.Fatalf("timers left: %v, %v", timers, err)
	}
}

func TestDeleteThing(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	w.group("g", "", "a", "b")
	w.job("fw", groupARN("g"))
	w.runTimers()
	w.start("a")
	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "a"}))
	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "a"})) // again: fine
	w.runTimers()
	if d := w.checkCounters("fw"); d.Removed != 1 || d.Queued != 1 {
		t.Fatalf("after deletion: %+v", d)
	}
	_, err := w.DescribeJobExecution(w.ctx, "a", "fw", nil)
	w.code(jobsvc.CodeNotFound, err)
	w.code(jobsvc.CodeNotFound, w.update("a", "fw", jobsvc.StatusSucceeded))
	// Another thing under the name inherits nothing.
	w.thing("a")
	if x := w.start("a"); x != nil {
		t.Fatalf("the new thing got %+v", x)
	}
	_, err = w.DescribeJobExecution(w.ctx, "a", "fw", nil)
	w.code(jobsvc.CodeNotFound, err)
	one := int64(1)
	for _, number := range []*int64{nil, &one} {
		_, err = w.DescribePendingJobExecution(w.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: "a", JobID: "fw", ExecutionNumber: number})
		w.code(jobsvc.CodeNotFound, err)
		_, err = w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "a", JobID: "fw", ExecutionNumber: number, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusSucceeded}})
		w.code(jobsvc.CodeNotFound, err)
	}
	r, err := w.ListThingsInThingGroup(w.ctx, &jobsvc.ListThingsInThingGroupRequest{ThingGroupName: "g"})
	w.must(err)
	if !slices.Equal(r.Names, []string{"b"}) {
		t.Fatalf("group: %v", r.Names)
	}
	w.must(w.update("b", "fw", jobsvc.StatusRejected))
	w.runTimers()
	if s := w.describe("fw").Status; s != jobsvc.JobCompleted {
		t.Fatalf("job is %s", s)
	}
}

// TestSnapshot: who joins after CreateJob, or is made again under a target's name, gets
// nothing.
func TestSnapshot(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b", "late", "again")
	w.group("g", "", "a", "b")
	w.job("fw", groupARN("g"), thingARN("again"))
	w.must(w.AddThingToThingGroup(w.ctx, "g", "late"))
	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "again"}))
	w.thing("again")
	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "b"}))
	w.runTimers()
	if x := w.executions("fw", "", 0); len(x) != 1 || x[0].ThingName != "a" {
		t.Fatalf("executions: %+v", x)
	}
}

func TestEmptyTargets(t *testing.T) {
	w := newWorld(t)
	w.group("g", "")
	w.job("fw", groupARN("g"))
	w.runTimers()
	if s := w.describe("fw").Status; s != jobsvc.JobCompleted {
		t.Fatalf("a job for nobody is %s", s)
	}
}

// TestUnsignable: nothing moves that cannot be delivered.
func TestUnsignable(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.job("fw", thingARN("a"))
	w.runTimers()
	w.told()
	w.docs.readyErr = jobsvc.Errorf(jobsvc.CodeInternal, "Cannot sign URLs with role r.")
	_, err := w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: "a", Sign: true})
	w.code(jobsvc.CodeInternal, err)
	_, err = w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "a", JobID: "fw", Sign: true, IncludeDocument: true, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusInProgress}})
	w.code(jobsvc.CodeInternal, err)
	_, err = w.DescribePendingJobExecution(w.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: "a", JobID: jobsvc.NextJobID, Sign: true, IncludeDocument: true})
	w.code(jobsvc.CodeInternal, err)
	x, err := w.DescribeJobExecution(w.ctx, "a", "fw", nil)
	w.must(err)
	if x.Status != jobsvc.StatusQueued || x.VersionNumber != 1 || w.told() != nil {
		t.Fatalf("it moved: %+v", x)
	}
	// Without the document there is nothing to sign.
	w.must(w.update("a", "fw", jobsvc.StatusInProgress))
	w.docs.readyErr = nil
	w.docs.checkErr = jobsvc.Errorf(jobsvc.CodeInvalidRequest, "no such placeholder")
	doc := "{}"
	_, err = w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{JobID: "bad", Targets: []string{thingARN("a")}, Document: &doc})
	w.code(jobsvc.CodeInvalidRequest, err)
	_, err = w.DescribeJob(w.ctx, "bad")
	w.code(jobsvc.CodeNotFound, err)
}

func TestNamespaces(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	ns, doc := "agent", "{}"
	_, err := w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{JobID: "hidden", Targets: []string{thingARN("a")}, Document: &doc, NamespaceID: &ns})
	w.must(err)
	w.job("plain", thingARN("a"))
	w.runTimers()
	p, err := w.GetPendingJobExecutions(w.ctx, "a")
	w.must(err)
	if len(p.Queued) != 1 || p.Queued[0].JobID != "plain" {
		t.Fatalf("plain queue: %+v", p)
	}
	tq, err := w.ThingQueue(w.ctx, "a", ns)
	w.must(err)
	if tq.Head == nil || tq.Head.JobID != "hidden" || tq.SetVersion != 1 || tq.HeadVersion != 1 || string(tq.Document.Text) != doc {
		t.Fatalf("queue of the namespace: %+v", tq)
	}
	w.code(jobsvc.CodeNotFound, w.update("a", "hidden", jobsvc.StatusInProgress))
	_, err = w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "a", JobID: "hidden", NamespaceID: ns, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusSucceeded}})
	w.must(err)
	other := "other"
	w.code(jobsvc.CodeNotFound, w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "hidden", Force: true, NamespaceID: &other}))
}

func TestDeviceErrors(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.job("fw", thingARN("a"))
	w.runTimers()
	_, err := w.GetPendingJobExecutions(w.ctx, "nobody")
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: "nobody"})
	w.code(jobsvc.CodeNotFound, err)
	w.code(jobsvc.CodeNotFound, w.update("nobody", "fw", jobsvc.StatusFailed))
	w.code(jobsvc.CodeNotFound, w.update("a", "none", jobsvc.StatusFailed))
	w.code(jobsvc.CodeInvalidRequest, w.update("a", "none", "DONE"))
	two := int64(2)
	_, err = w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "a", JobID: "fw", ExecutionNumber: &two, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusFailed}})
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "a", JobID: "fw", JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusFailed, ExpectedVersion: &two}})
	w.code(jobsvc.CodeVersionMismatch, err)
	_, err = w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "a", JobID: "fw", JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusFailed, StatusDetails: map[string]string{"": "x"}}})
	w.code(jobsvc.CodeInvalidRequest, err)
	if x, _ := w.DescribeJobExecution(w.ctx, "a", "fw", nil); x.VersionNumber != 1 || x.Status != jobsvc.StatusQueued {
		t.Fatalf("a refused request changed it: %+v", x)
	}
	w.must(w.update("a", "fw", jobsvc.StatusFailed)) // without ever starting
	_, err = w.DescribePendingJobExecution(w.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: "a", JobID: "fw"})
	w.code(jobsvc.CodeTerminalState, err)
	r, err := w.DescribePendingJobExecution(w.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: "a", JobID: jobsvc.NextJobID, IncludeDocument: true})
	w.must(err)
	if r.Execution != nil {
		t.Fatalf("$next of an empty queue: %+v", r.Execution)
	}
}

func TestCreateJobErrors(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.job("fw", thingARN("a"), thingARN("a"))
	if n := len(w.describe("fw").Targets); n != 1 {
		t.Errorf("%d targets, want the repeated one once", n)
	}
	doc := "{}"
	try := func(code jobsvc.Code, r *jobsvc.CreateJobRequest) error {
		t.Helper()
		if r.Document == nil {
			r.Document = &doc
		}
		_, err := w.CreateJob(w.ctx, r)
		w.code(code, err)
		return err
	}
	err := try(jobsvc.CodeAlreadyExists, &jobsvc.CreateJobRequest{JobID: "fw", Targets: []string{thingARN("a")}})
	if e := err.(*jobsvc.Error); e.ResourceID != "fw" || e.ResourceARN != account.ARN("job", "fw") {
		t.Errorf("what is in the way: %+v", e)
	}
	for _, target := range []string{thingARN("nobody"), groupARN("none"), "arn:aws:iot:eu-west-1:999999999999:thing/a", "arn:aws:iot:us-east-1:111122223333:thing/a", "a", account.ARN("job", "fw")} {
		try(jobsvc.CodeNotFound, &jobsvc.CreateJobRequest{JobID: "x", Targets: []string{thingARN("a"), target}})
	}
	broken := "{"
	try(jobsvc.CodeInvalidRequest, &jobsvc.CreateJobRequest{JobID: "x", Targets: []string{thingARN("a")}, Document: &broken})
	big := `"` + string(make([]byte, jobsvc.MaxDocumentBytes)) + `"`
	try(jobsvc.CodeInvalidRequest, &jobsvc.CreateJobRequest{JobID: "x", Targets: []string{thingARN("a")}, Document: &big})
	w.docs.fetched = []byte("no json")
	_, err = w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{JobID: "x", Targets: []string{thingARN("a")}, DocumentSource: "https://s3.amazonaws.com/b/k"})
	w.code(jobsvc.CodeInvalidRequest, err)
	w.docs.fetched = []byte(`{"from":"s3"}`)
	_, err = w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{JobID: "x", Targets: []string{thingARN("a")}, DocumentSource: "https://s3.amazonaws.com/b/k"})
	w.must(err)
	if d, err := w.GetJobDocument(w.ctx, "x", false); err != nil || string(d) != `{"from":"s3"}` {
		t.Errorf("document %q, %v", d, err)
	}
}

// TestEndedAtOnce: what a cancel with force, or a deletion, takes from a device is out of
// its queue before the sweep has come by, for whoever looks, and is told once.
func TestEndedAtOnce(t *testing.T) {
	for name, end := range map[string]func(w *world) error{
		"cancel with force": func(w *world) error {
			_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw", Force: true})
			return err
		},
		"deletion": func(w *world) error { return w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw", Force: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.thing("a")
			w.job("fw", thingARN("a"))
			w.runTimers()
			w.start("a")
			w.job("next", thingARN("a"))
			w.runTimers()
			w.told()
			w.must(end(w))
			p, err := w.GetPendingJobExecutions(w.ctx, "a")
			w.must(err)
			if len(p.InProgress) != 0 || len(p.Queued) != 1 || p.Queued[0].JobID != "next" {
				t.Fatalf("queue: %+v", p)
			}
			if x := w.start("a"); x.JobID != "next" {
				t.Fatalf("start-next: %+v", x)
			}
			if h := w.told(); len(h) != 1 || h[0].SetVersion != 3 || h[0].HeadVersion != 2 {
				t.Fatalf("hints before the sweep: %+v", h)
			}
			w.runTimers()
			if h := w.told(); len(h) != 0 {
				t.Fatalf("hints of the sweep: %+v", h)
			}
		})
	}
}

// TestFiredEarly: a timer that is not due yet does nothing, and is still there.
func TestFiredEarly(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.job("fw", thingARN("a"))
	w.runTimers()
	_, err := w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: "a", StepTimeout: time.Minute})
	w.must(err)
	timers, err := w.Timers(w.ctx, 10)
	w.must(err)
	w.must(w.Fire(w.ctx, timers[0], w.tick()))
	w.advance(2 * time.Minute)
	if d := w.checkCounters("fw"); d.TimedOut != 1 {
		t.Fatalf("after the deadline: %+v", d)
	}
}

// TestFullQueue: a device that fills its queue with details keeps nobody else from a
// rollout.
func TestFullQueue(t *testing.T) {
	w := newWorld(t)
	w.thing("hoarder", "other")
	w.group("g", "", "hoarder", "other")
	details := make(map[string]string)
	for i := range jobsvc.MaxStatusDetails {
		details[fmt.Sprint(i)] = strings.Repeat("\U0001F525", jobsvc.MaxStatusDetailValue)
	}
	refused := 0
	for i := range 20 {
		id := fmt.Sprint("j", i)
		w.job(id, thingARN("hoarder"))
		w.runTimers()
		_, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "hoarder", JobID: id, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusInProgress, StatusDetails: details}})
		if err != nil {
			w.code(jobsvc.CodeInvalidRequest, err)
			refused++
		}
	}
	if refused == 0 || refused > 16 {
		t.Errorf("%d of 20 were refused", refused)
	}
	_, err := w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: "hoarder", StatusDetails: details})
	w.must(err)
	w.must(w.update("hoarder", "j19", jobsvc.StatusInProgress)) // without details it goes on
	w.job("fw", groupARN("g"))
	w.runTimers()
	if d := w.checkCounters("fw"); d.Queued != 2 {
		t.Fatalf("rolled out: %+v", d)
	}
	// The end of one makes room.
	for i := range 5 {
		w.must(w.update("hoarder", fmt.Sprint("j", i), jobsvc.StatusSucceeded))
	}
	_, err = w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "hoarder", JobID: "j19", JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusInProgress, StatusDetails: details}})
	w.must(err)
}

// TestMaxPending: a thing that has more than enough to do keeps nobody else from theirs.
func TestMaxPending(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	for i := range jobsvc.MaxPending {
		w.job(fmt.Sprintf("j%04d", i), thingARN("a"))
		w.runTimers()
	}
	w.job("last", thingARN("a"), thingARN("b"))
	w.runTimers()
	if d := w.checkCounters("last"); d.Canceled != 1 || d.Queued != 1 {
		t.Fatalf("counters: %+v", d)
	}
	x, err := w.DescribeJobExecution(w.ctx, "a", "last", nil)
	w.must(err)
	if x.Status != jobsvc.StatusCanceled || x.StatusDetails["reason"] == "" {
		t.Errorf("the execution with no room: %+v", x)
	}
	w.must(w.update("b", "last", jobsvc.StatusSucceeded))
	w.runTimers()
	if s := w.describe("last").Status; s != jobsvc.JobCompleted {
		t.Errorf("the job is %s", s)
	}
}
