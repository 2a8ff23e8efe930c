package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// moment reads a time of a test, in UTC.
func moment(t *testing.T, s string) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if v, err := time.Parse(layout, s); err == nil {
			return v
		}
	}
	t.Fatalf("no time: %s", s)
	return time.Time{}
}

// setClock moves the clock and fires nothing.
func (w *world) setClock(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

// at lets everything happen that is due at a time.
func (w *world) at(s string) {
	w.t.Helper()
	w.setClock(moment(w.t, s))
	w.runTimers()
}

// queueOf is the queue a thing is shown, as "job/number status".
func (w *world) queueOf(thing string) string {
	w.t.Helper()
	p, err := w.GetPendingJobExecutions(w.ctx, thing)
	w.must(err)
	var s []string
	for _, x := range slices.Concat(p.InProgress, p.Queued) {
		s = append(s, fmt.Sprintf("%s/%d %s", x.JobID, x.ExecutionNumber, x.Status))
	}
	return strings.Join(s, ", ")
}

// toldThings are those there were hints for since the last look, in order. One that is
// told twice is there twice.
func (w *world) toldThings() string {
	var s []string
	for _, h := range w.told() {
		s = append(s, h.ThingName)
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

// statuses are those of a job's executions by thing, as the operator is shown them.
func (w *world) statuses(job string) string {
	w.t.Helper()
	var s []string
	for _, x := range w.executions(job, "", 0) {
		s = append(s, x.ThingName+" "+string(x.Status))
	}
	slices.Sort(s)
	return strings.Join(s, ", ")
}

func nightly(end string, b jobsvc.EndBehavior) jobsvc.SchedulingConfig {
	return jobsvc.SchedulingConfig{EndTime: end, EndBehavior: b, MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(0 2 * * ? *)", DurationInMinutes: 180}}}
}

// TestNightlyWindow: three weeks of nights. One device begins each night, and is done the
// next noon; nobody else sees anything of the job by day.
func TestNightlyWindow(t *testing.T) {
	w := newWorld(t)
	things := names(23)
	w.thing(things...)
	w.group("g", "", things...)
	w.mustCreate("fw", scheduled(nightly("", "")), groupARN("g"))
	w.job("other", thingARN(things[22])) // it has something to do by day
	w.runTimers()
	w.told()
	if d := w.describe("fw"); d.Status != jobsvc.JobScheduled || total(&d.ProcessDetails) != 0 {
		t.Fatalf("created: %+v", d)
	}
	day := moment(t, "2026-03-11 00:00")
	for night := range 22 {
		waiting := things[night:]
		w.setClock(day.Add(2*time.Hour - time.Second))
		w.runTimers()
		if d := w.describe("fw"); d.Status != jobsvc.JobScheduled || w.toldThings() != "" || w.start(things[night]) != nil {
			t.Fatalf("night %d, before the window: %+v", night, d)
		}
		w.setClock(day.Add(2 * time.Hour))
		w.runTimers()
		d := w.describe("fw")
		if d.Status != jobsvc.JobInProgress || !d.OpenedAt.After(day.Add(2*time.Hour)) || d.LastUpdatedAt.Before(d.OpenedAt) || !d.ClosesAt.Equal(day.Add(5*time.Hour)) || d.Concurrent {
			t.Fatalf("night %d, in the window: %+v", night, d.Job)
		}
		if !d.StartedAt.Equal(d.Begun()) || !d.StartedAt.Before(moment(t, "2026-03-11 02:01")) {
			t.Fatalf("night %d, it began %s", night, d.StartedAt)
		}
		if got := w.toldThings(); got != strings.Join(waiting, " ") {
			t.Fatalf("night %d, at the opening %s were told, not %s", night, got, waiting)
		}
		for _, n := range waiting[1 : 22-night] {
			if got := w.queueOf(n); got != "fw/1 QUEUED" {
				t.Fatalf("night %d, %s sees %q", night, n, got)
			}
		}
		if got := w.queueOf(things[22]); got != "other/1 QUEUED, fw/1 QUEUED" {
			t.Fatalf("night %d, the one with another job sees %q", night, got)
		}
		if x := w.start(things[night]); x == nil || x.JobID != "fw" {
			t.Fatalf("night %d: %s begins %+v", night, things[night], x)
		}
		w.setClock(day.Add(5*time.Hour - time.Second))
		w.runTimers()
		if w.describe("fw").Status != jobsvc.JobInProgress || w.toldThings() != "" {
			t.Fatalf("night %d, the window has closed too early", night)
		}
		w.setClock(day.Add(5 * time.Hour))
		w.runTimers()
		d = w.describe("fw")
		if next := day.Add(26 * time.Hour); d.Status != jobsvc.JobScheduled || !d.StartsAt.Equal(next) || !d.ScheduledRollouts[0].Equal(next) || !d.LastUpdatedAt.After(day.Add(5*time.Hour)) {
			t.Fatalf("night %d, closed: %+v", night, d)
		}
		if got := w.toldThings(); got != strings.Join(waiting[1:], " ") {
			t.Fatalf("night %d, at the closing %s were told, not %s", night, got, waiting[1:])
		}
		if got := w.queueOf(things[night]); got != "fw/1 IN_PROGRESS" {
			t.Fatalf("night %d, %s sees %q", night, things[night], got)
		}
		if night%3 == 0 {
			w.restart()
		}
		w.setClock(day.Add(12 * time.Hour))
		w.runTimers()
		if x := w.start(things[night+1]); things[night+1] != things[22] && x != nil {
			t.Fatalf("night %d, by day %s begins %+v", night, things[night+1], x)
		}
		if got := w.queueOf(things[22]); !strings.HasPrefix(got, "other/1") || strings.Contains(got, "fw") {
			t.Fatalf("night %d, by day the one with another job sees %q", night, got)
		}
		w.must(w.update(things[night], "fw", jobsvc.StatusInProgress))
		w.must(w.update(things[night], "fw", jobsvc.StatusSucceeded))
		if got := w.toldThings(); got != things[night] {
			t.Fatalf("night %d, by day %s were told", night, got)
		}
		if c := w.checkCounters("fw"); c.Succeeded != int64(night)+1 || c.Queued != int64(22-night) {
			t.Fatalf("night %d: %+v", night, c)
		}
		day = day.AddDate(0, 0, 1)
	}
	// What is in front of it by day is behind it by night no more.
	w.must(w.update(things[22], "other", jobsvc.StatusSucceeded))
	w.told()
	w.setClock(day.Add(2 * time.Hour))
	w.runTimers()
	if got := w.queueOf(things[22]); got != "fw/1 QUEUED" || w.toldThings() != things[22] {
		t.Errorf("at last it sees %q", got)
	}
	if s := w.describe("fw").Status; s != jobsvc.JobInProgress {
		t.Errorf("at the end it is %s", s)
	}
}

// hookedDB runs a function before, another after a chunk of transactions.
type hookedDB struct {
	kv.DB
	mu            sync.Mutex
	many          int // guarded by mu
	at            int // 0: never
	before, after func()
}

func (h *hookedDB) UpdateMany(ctx context.Context, ops []kv.Op) []kv.Result {
	h.mu.Lock()
	h.many++
	hit := h.at != 0 && h.many == h.at
	h.mu.Unlock()
	if hit && h.before != nil {
		h.before()
	}
	res := h.DB.UpdateMany(ctx, ops)
	if hit && h.after != nil {
		h.after()
	}
	return res
}

// TestCloseInRollout closes the window in the middle of a chunk, at every one of its parts,
// and opens the next one before the chunk is through or long after. The rollout goes on
// with who was a member at the start.
func TestCloseInRollout(t *testing.T) {
	things := names(5000)
	for _, early := range []bool{false, true} {
		for part := 1; part <= 5; part++ {
			t.Run(fmt.Sprintf("part %d, early %v", part, early), func(t *testing.T) {
				db := &hookedDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}
				w := newWorldOn(t, db, nil)
				w.rules = new(jobsvc.DefaultJobRules())
				w.rules.AllowSnapshotWindows = true
				w.open()
				w.thing(things...)
				w.group("g", "", things...)
				w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) { r.SchedulingConfig = new(nightly("", "")) }, groupARN("g"))
				fire := func(kind store.TimerKind, s string) {
					w.setClock(moment(t, s))
					timers, err := w.Timers(w.ctx, 100)
					w.must(err)
					i := slices.IndexFunc(timers, func(t store.Timer) bool { return t.Kind == kind })
					if i < 0 {
						t.Fatalf("no timer %c in %v", kind, timers)
					}
					w.must(w.Fire(w.ctx, timers[i], w.tick()))
				}
				db.mu.Lock()
				db.many, db.at = 0, part
				db.mu.Unlock()
				db.before = func() {
					fire(store.TimerClose, "2026-03-11 05:00")
					if d := w.describe("fw"); d.Status != jobsvc.JobScheduled || d.Concurrent {
						t.Errorf("closed: %+v", d.Job)
					}
				}
				if early {
					db.after = func() { fire(store.TimerStart, "2026-03-12 02:00") }
				}
				w.setClock(moment(t, "2026-03-11 02:00"))
				for range 3 { // the start, and the first steps
					w.fireOne()
				}
				if !early {
					w.runTimers()
					d := w.describe("fw")
					if d.Status != jobsvc.JobScheduled || d.Concurrent || d.RolloutDone || !slices.Equal(d.ProcessDetails.ProcessingTargets, []string{groupARN("g")}) {
						t.Fatalf("by day: %+v", d)
					}
					if n := w.checkCounters("fw").Queued; n >= 5000 || n != total(&d.ProcessDetails) {
						t.Fatalf("by day there are %d", n)
					}
					w.thing("late")
					w.must(w.AddThingToThingGroup(w.ctx, "g", "late"))
					w.must(w.RemoveThingFromThingGroup(w.ctx, "g", things[4999]))
					w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: things[4998]}))
					if more, err := w.Forget(w.ctx); more || err != nil {
						t.Fatal(more, err)
					}
				}
				w.at("2026-03-12 02:00:01")
				d := w.describe("fw")
				if d.Status != jobsvc.JobInProgress || d.Concurrent || !d.RolloutDone {
					t.Fatalf("the next night: %+v", d)
				}
				if c := w.checkCounters("fw"); early && c.Queued != 5000 || !early && (c.Queued != 4999 || w.queueOf(things[4999]) != "fw/1 QUEUED" || w.queueOf("late") != "") {
					t.Fatalf("the next night: %+v", c)
				}
				if got := w.queueOf(things[0]); got != "fw/1 QUEUED" {
					t.Errorf("the first sees %q", got)
				}
			})
		}
	}
}

// TestEndTime has every end behavior for executions in every status, with windows and
// without, the end inside a window and between two.
func TestEndTime(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config jobsvc.SchedulingConfig
		start  string
		before jobsvc.JobStatus
		want   map[jobsvc.EndBehavior]string // of the QUEUED and the IN_PROGRESS thing
	}{
		{"no windows", jobsvc.SchedulingConfig{StartTime: "2026-03-11 02:00", EndTime: "2026-03-12 04:00"}, "2026-03-11 02:00", jobsvc.JobInProgress, map[jobsvc.EndBehavior]string{
			"": "QUEUED IN_PROGRESS", jobsvc.EndStopRollout: "QUEUED IN_PROGRESS", jobsvc.EndCancel: "CANCELED IN_PROGRESS", jobsvc.EndForceCancel: "CANCELED CANCELED"}},
		{"inside a window", nightly("2026-03-12 04:00", ""), "2026-03-11 02:00", jobsvc.JobInProgress, map[jobsvc.EndBehavior]string{
			"": "CANCELED IN_PROGRESS", jobsvc.EndStopRollout: "CANCELED IN_PROGRESS", jobsvc.EndCancel: "CANCELED IN_PROGRESS", jobsvc.EndForceCancel: "CANCELED CANCELED"}},
		{"as a window closes", nightly("2026-03-12 05:00", ""), "2026-03-11 02:00", jobsvc.JobInProgress, map[jobsvc.EndBehavior]string{
			"": "CANCELED IN_PROGRESS", jobsvc.EndCancel: "CANCELED IN_PROGRESS", jobsvc.EndForceCancel: "CANCELED CANCELED"}},
		{"as a window opens", nightly("2026-03-13 02:00", ""), "2026-03-11 02:00", jobsvc.JobInProgress, map[jobsvc.EndBehavior]string{
			jobsvc.EndStopRollout: "CANCELED IN_PROGRESS", jobsvc.EndForceCancel: "CANCELED CANCELED"}},
		{"after the last window", nightly("2026-03-12 12:00", ""), "2026-03-11 02:00", jobsvc.JobInProgress, map[jobsvc.EndBehavior]string{
			"": "CANCELED IN_PROGRESS", jobsvc.EndCancel: "CANCELED IN_PROGRESS", jobsvc.EndForceCancel: "CANCELED CANCELED"}},
	} {
		for behavior, want := range tc.want {
			for _, selection := range []jobsvc.TargetSelection{jobsvc.TargetSnapshot, jobsvc.TargetContinuous} {
				t.Run(fmt.Sprintf("%s, %q, %s", tc.name, behavior, selection), func(t *testing.T) {
					testEndTime(t, tc.config, behavior, selection, tc.start, want)
				})
			}
		}
	}
}

func testEndTime(t *testing.T, c jobsvc.SchedulingConfig, behavior jobsvc.EndBehavior, selection jobsvc.TargetSelection, start, want string) {
	w := newWorld(t)
	w.rules = new(jobsvc.DefaultJobRules())
	w.rules.AllowSnapshotWindows = true
	w.open()
	w.thing("queued", "working", "done", "failed")
	w.group("g", "", "queued", "working", "done", "failed")
	c.EndBehavior = behavior
	w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
		r.SchedulingConfig = &c
		r.TargetSelection = selection
		r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: 7 * 24 * time.Hour}
	}, groupARN("g"))
	w.at(start)
	w.start("working")
	w.must(w.update("done", "fw", jobsvc.StatusSucceeded))
	w.must(w.update("failed", "fw", jobsvc.StatusFailed))
	_, end, err := c.Times()
	w.must(err)
	w.setClock(end.Add(-2 * time.Hour))
	w.runTimers()
	w.told()
	w.setClock(end.Add(-time.Millisecond))
	w.runTimers()
	w.told()
	canceled := behavior == jobsvc.EndCancel || behavior == jobsvc.EndForceCancel
	if d := w.describe("fw"); !d.Active() || d.ReasonCode != "" {
		t.Fatalf("before the end: %+v", d)
	}

	w.setClock(end)
	for w.describe("fw").EndsAt.Equal(end) { // up to the transaction that ends it
		if !w.fireOne() {
			t.Fatal("nothing ends it")
		}
	}
	queued, working, _ := strings.Cut(want, " ")
	is := func(thing string) string {
		x, err := w.DescribeJobExecution(w.ctx, thing, "fw", nil)
		w.must(err)
		return string(x.Status)
	}
	check := func(when string) {
		t.Helper()
		if q, i := is("queued"), is("working"); q != queued || i != working || is("done") != "SUCCEEDED" || is("failed") != "FAILED" {
			t.Fatalf("%s: %s %s", when, q, i)
		}
		visible := map[string]string{"QUEUED": "fw/1 QUEUED", "IN_PROGRESS": "fw/1 IN_PROGRESS", "CANCELED": ""}
		if q, i := w.queueOf("queued"), w.queueOf("working"); q != visible[queued] || i != visible[working] {
			t.Fatalf("%s the queues are %q, %q", when, q, i)
		}
	}
	check("at the end")
	w.runTimers()
	check("after the sweep")
	w.checkCounters("fw")
	d := w.describe("fw")
	if canceled != (d.Status == jobsvc.JobCanceled) || canceled != (d.ReasonCode == "JOB_END_TIME_REACHED") || d.ForceCanceled != (behavior == jobsvc.EndForceCancel) ||
		d.Concurrent || !canceled && (!d.Stopped || !d.RolloutDone || !d.Active()) {
		t.Fatalf("ended: %+v", d.Job)
	}
	_, err = w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{thingARN("done")}})
	w.code(jobsvc.CodeInvalidRequest, err)
	if working == "IN_PROGRESS" {
		w.must(w.update("working", "fw", jobsvc.StatusSucceeded))
	} else {
		w.code(jobsvc.CodeInvalidStateTransition, w.update("working", "fw", jobsvc.StatusSucceeded))
	}
	w.runTimers()
	if queued == "QUEUED" {
		if s := w.describe("fw").Status; s != jobsvc.JobInProgress {
			t.Fatalf("with one execution QUEUED: %s", s)
		}
		w.start("queued")
		w.must(w.update("queued", "fw", jobsvc.StatusRejected))
		w.runTimers()
	}
	d = w.describe("fw")
	if wantStatus := map[bool]jobsvc.JobStatus{true: jobsvc.JobCanceled, false: jobsvc.JobCompleted}[canceled]; d.Status != wantStatus || d.CompletedAt.IsZero() != canceled || d.ProcessDetails.Pending() != 0 {
		t.Fatalf("at last: %+v", d)
	}
	w.noTimers()
}

// TestEndedBefore: what ends a job before its end time leaves no timer of it.
func TestEndedBefore(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	for _, id := range []string{"done", "canceled", "forced", "deleted"} {
		w.mustCreate(id, scheduled(jobsvc.SchedulingConfig{EndTime: "2026-03-12 00:00", EndBehavior: jobsvc.EndForceCancel}), thingARN("a"))
	}
	w.runTimers()
	if timers, err := w.Timers(w.ctx, 10); err != nil || len(timers) != 4 {
		t.Fatalf("timers %v, %v", timers, err)
	}
	w.must(w.update("a", "done", jobsvc.StatusSucceeded))
	for id, force := range map[string]bool{"canceled": false, "forced": true} {
		_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: id, Force: force})
		w.must(err)
	}
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "deleted", Force: true}))
	w.runTimers()
	w.noTimers()
	w.at("2026-03-12 00:00")
	for id, want := range map[string]jobsvc.JobStatus{"done": jobsvc.JobCompleted, "canceled": jobsvc.JobCanceled, "forced": jobsvc.JobCanceled} {
		if d := w.describe(id); d.Status != want || d.ReasonCode != "" {
			t.Errorf("%s: %+v", id, d.Job)
		}
	}
}

// TestStoppedInRollout: the end time drops what is not rolled out yet.
func TestStoppedInRollout(t *testing.T) {
	things := names(5000)
	db := &hookedDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}
	w := newWorldOn(t, db, nil)
	w.thing(things...)
	w.group("g", "", things...)
	w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
		continuous(r)
		r.SchedulingConfig = &jobsvc.SchedulingConfig{EndTime: "2026-03-10 12:00"}
	}, groupARN("g"))
	db.many, db.at = 0, 3
	db.before = func() {
		w.setClock(moment(t, "2026-03-10 12:00"))
		timers, err := w.Timers(w.ctx, 10)
		w.must(err)
		i := slices.IndexFunc(timers, func(t store.Timer) bool { return t.Kind == store.TimerEnd })
		w.must(w.Fire(w.ctx, timers[i], w.tick()))
	}
	w.runTimers()
	d := w.describe("fw")
	made := w.checkCounters("fw").Queued
	if made == 0 || made >= 5000 || d.Status != jobsvc.JobInProgress || !d.Stopped || !d.RolloutDone || d.Concurrent || d.ProcessDetails.ProcessingTargets != nil {
		t.Fatalf("%d made: %+v", made, d)
	}
	for _, x := range w.executions("fw", "", 250) {
		w.must(w.update(x.ThingName, "fw", jobsvc.StatusSucceeded))
	}
	w.runTimers()
	if d := w.describe("fw"); d.Status != jobsvc.JobCompleted || d.ProcessDetails.Succeeded != made {
		t.Errorf("at the end: %+v", d)
	}
	w.noTimers()
}

// TestLastWindow: after its last window a job is stopped, and its end time still cancels.
func TestLastWindow(t *testing.T) {
	last := jobsvc.SchedulingConfig{MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(0 2 11,12 3 ? 2026)", DurationInMinutes: 60}}}
	for _, tc := range []struct {
		end      string
		behavior jobsvc.EndBehavior
		down     bool // from before the last window on
		working  bool
		want     jobsvc.JobStatus // on the 13th
		then     jobsvc.JobStatus // on the 15th
	}{
		{"", "", false, true, jobsvc.JobInProgress, jobsvc.JobInProgress},
		{"", "", false, false, jobsvc.JobCompleted, jobsvc.JobCompleted},
		{"", "", true, true, jobsvc.JobScheduled, jobsvc.JobScheduled},
		{"", "", true, false, jobsvc.JobCompleted, jobsvc.JobCompleted},
		{"2026-03-14 00:00", "", false, true, jobsvc.JobInProgress, jobsvc.JobInProgress},
		{"2026-03-14 00:00", jobsvc.EndCancel, true, true, jobsvc.JobScheduled, jobsvc.JobCanceled},
		{"2026-03-14 00:00", jobsvc.EndForceCancel, false, true, jobsvc.JobInProgress, jobsvc.JobCanceled},
		{"2026-03-14 00:00", jobsvc.EndForceCancel, false, false, jobsvc.JobCompleted, jobsvc.JobCompleted},
	} {
		w := newWorld(t)
		w.thing("a", "b")
		c := last
		c.EndTime, c.EndBehavior = tc.end, tc.behavior
		w.mustCreate("fw", scheduled(c), thingARN("a"), thingARN("b"))
		w.at("2026-03-11 02:30")
		w.start("a")
		if !tc.working {
			w.must(w.update("a", "fw", jobsvc.StatusSucceeded))
		}
		w.at("2026-03-11 03:00")
		if s := w.describe("fw").Status; s != jobsvc.JobScheduled {
			t.Fatalf("%+v: between the two it is %s", tc, s)
		}
		if !tc.down {
			w.at("2026-03-12 02:30")
			w.at("2026-03-12 03:00")
		}
		w.at("2026-03-13 00:00")
		d := w.describe("fw")
		if d.Status != tc.want || !d.Stopped || d.ProcessDetails.Canceled != 1 || w.queueOf("b") != "" || d.ScheduledRollouts != nil {
			t.Fatalf("%+v: after the last it is %+v", tc, d)
		}
		w.at("2026-03-15 00:00")
		d = w.describe("fw")
		if d.Status != tc.then || d.ProcessDetails.Canceled == 2 != (tc.working && tc.behavior == jobsvc.EndForceCancel) {
			t.Fatalf("%+v: after the end it is %+v", tc, d)
		}
		if d.ProcessDetails.InProgress == 1 {
			w.must(w.update("a", "fw", jobsvc.StatusSucceeded))
			w.runTimers()
			if s := w.describe("fw").Status; s != jobsvc.JobCompleted && s != jobsvc.JobCanceled {
				t.Fatalf("%+v: at last it is %s", tc, s)
			}
		}
		w.noTimers()
	}
}

// TestDownInWindows: a server that was down opens late, loses windows that have passed, and
// closes late.
func TestDownInWindows(t *testing.T) {
	for _, tc := range []struct {
		name, up string
		want     jobsvc.JobStatus
		queue    string
		told     string
		opened   string // at or after, that day
	}{
		{"up again before the next", "2026-03-11 12:00", jobsvc.JobScheduled, "", "b", "2026-03-11 02"},
		{"during an opening", "2026-03-12 03:00", jobsvc.JobInProgress, "fw/1 QUEUED", "", "2026-03-12 03"}, // it had not closed
		{"a whole window and more", "2026-03-13 12:00", jobsvc.JobScheduled, "", "b", "2026-03-11 02"},
		{"a week, and into a window", "2026-03-18 04:59", jobsvc.JobInProgress, "fw/1 QUEUED", "", "2026-03-18 04"},
		{"over the end", "2026-03-21 03:00", jobsvc.JobInProgress, "", "b", "2026-03-11 02"},
	} {
		w := newWorld(t)
		w.thing("a", "b")
		w.mustCreate("fw", scheduled(nightly("2026-03-20 12:00", "")), thingARN("a"), thingARN("b"))
		w.at("2026-03-11 02:00")
		w.start("a")
		w.told()
		w.restart()
		w.at(tc.up)
		d := w.describe("fw")
		if got := d.OpenedAt.Format("2006-01-02 15"); d.Status != tc.want || w.queueOf("b") != tc.queue || got != tc.opened {
			t.Errorf("%s: %q, opened %s, %+v", tc.name, w.queueOf("b"), got, d.Job)
		}
		if got := w.toldThings(); got != tc.told {
			t.Errorf("%s: told %q", tc.name, got)
		}
		if got := w.queueOf("a"); got != "fw/1 IN_PROGRESS" {
			t.Errorf("%s: the other sees %q", tc.name, got)
		}
	}

	// Down over the first opening: it begins late, or in the next window.
	for up, begins := range map[string]bool{"2026-03-11 04:00": true, "2026-03-11 05:00": false} {
		w := newWorld(t)
		w.thing("a")
		w.mustCreate("fw", scheduled(nightly("", "")), thingARN("a"))
		w.restart()
		w.at(up)
		if d := w.describe("fw"); d.StartedAt.IsZero() == begins || (d.Status == jobsvc.JobInProgress) != begins {
			t.Errorf("up at %s: %+v", up, d.Job)
		}
		w.at("2026-03-12 02:00")
		if got := w.queueOf("a"); got != "fw/1 QUEUED" {
			t.Errorf("up at %s: the next night it sees %q", up, got)
		}
	}

	// Down over the whole time of a job that never began.
	w := newWorld(t)
	w.thing("a")
	w.mustCreate("fw", scheduled(nightly("2026-03-12 00:00", "")), thingARN("a"))
	w.mustCreate("once", scheduled(jobsvc.SchedulingConfig{EndBehavior: jobsvc.EndCancel, EndTime: "2026-04-01 00:00", MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(0 2 11 3 ? 2026)", DurationInMinutes: 60}}}), thingARN("a"))
	w.at("2026-03-13 00:00")
	for _, id := range []string{"fw", "once"} {
		if d := w.describe(id); d.Status != jobsvc.JobCompleted || total(&d.ProcessDetails) != 0 {
			t.Errorf("never begun: %+v", d)
		}
	}
	w.noTimers()
}

// TestBetweenWindows: what devices and operators may do while the windows are closed.
func TestBetweenWindows(t *testing.T) {
	for _, strict := range []bool{false, true} {
		w := newWorld(t)
		w.rules = new(jobsvc.DefaultJobRules())
		w.rules.StrictWindow = strict
		w.open()
		things := []string{"a", "b", "c", "d", "e"}
		w.thing(things...)
		w.group("g", "", things...)
		w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
			scheduled(nightly("2026-04-01 00:00", jobsvc.EndCancel))(r)
			r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: 10 * time.Hour}
		}, groupARN("g"))
		w.at("2026-03-11 04:00")
		w.start("a")
		w.at("2026-03-11 05:00")
		w.told()

		// One that goes on is timed as ever.
		w.must(w.update("a", "fw", jobsvc.StatusInProgress))
		w.at("2026-03-11 14:00:01")
		if got := w.statuses("fw"); !strings.HasPrefix(got, "a TIMED_OUT, b QUEUED") || w.toldThings() != "a" {
			t.Errorf("by day: %s", got)
		}

		// One that waits is hidden, and can be asked for by its job.
		r, err := w.DescribePendingJobExecution(w.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: "b", JobID: "fw"})
		if w.must(err); r.Execution.Status != jobsvc.StatusQueued {
			t.Errorf("described by its job: %+v", r.Execution)
		}
		if r, err = w.DescribePendingJobExecution(w.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: "b", JobID: "$next"}); err != nil || r.Execution != nil {
			t.Errorf("described as the next: %+v, %v", r.Execution, err)
		}
		version := func(n int64) error {
			_, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "b", JobID: "fw", JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusInProgress, ExpectedVersion: &n}})
			return err
		}
		w.code(jobsvc.CodeVersionMismatch, version(7))
		if strict {
			err := version(1)
			w.code(jobsvc.CodeInvalidStateTransition, err)
			if state := err.(*jobsvc.Error).State; state == nil || state.Status != jobsvc.StatusQueued {
				t.Errorf("refused with %+v", state)
			}
			w.code(jobsvc.CodeInvalidStateTransition, w.update("c", "fw", jobsvc.StatusSucceeded))
			w.code(jobsvc.CodeInvalidRequest, w.update("c", "fw", "DONE"))
			if got := w.toldThings(); got != "" {
				t.Errorf("refused, and told %s", got)
			}
		} else {
			w.must(version(1))
			w.must(w.update("c", "fw", jobsvc.StatusSucceeded))
			if got := w.toldThings(); got != "b" || w.queueOf("b") != "fw/1 IN_PROGRESS" {
				t.Errorf("told %s; b sees %q", got, w.queueOf("b"))
			}
			w.must(w.update("b", "fw", jobsvc.StatusSucceeded))
		}

		text := "changed"
		w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", Description: &text}))
		_, err = w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{thingARN("a")}})
		w.code(jobsvc.CodeInvalidRequest, err)
		w.must(w.CancelJobExecution(w.ctx, &jobsvc.CancelJobExecutionRequest{ThingName: "d", JobID: "fw"}))
		w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "e", JobID: "fw", ExecutionNumber: 1}))
		w.code(jobsvc.CodeInvalidStateTransition, w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw"}))
		w.runTimers()
		if c := w.checkCounters("fw"); c.Canceled != 1 || total(&c) != 4 {
			t.Errorf("counters %+v", c)
		}
		w.toldThings()
		w.at("2026-03-12 02:00")
		if d := w.describe("fw"); d.Status != jobsvc.JobInProgress || d.Description != text {
			t.Errorf("the next night: %+v", d)
		}
		if got, want := w.toldThings(), map[bool]string{true: "b c", false: ""}[strict]; got != want {
			t.Errorf("the next night %q are told", got)
		}
		w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw", Force: true}))
		w.runTimers()
		w.noTimers()
	}
}

// TestEndBetweenWindows: an operator ends a job between its windows, before the devices
// were told of the closing and after.
func TestEndBetweenWindows(t *testing.T) {
	for _, swept := range []bool{false, true} {
		for _, how := range []string{"cancel", "force", "delete"} {
			w := newWorld(t)
			w.thing("a", "b")
			w.mustCreate("fw", scheduled(nightly("2026-04-01 00:00", "")), thingARN("a"), thingARN("b"))
			w.at("2026-03-11 02:00")
			w.start("a")
			w.told()
			if w.setClock(moment(t, "2026-03-11 05:00")); swept {
				w.runTimers()
			} else {
				w.fireOne()
			}
			if s := w.describe("fw").Status; s != jobsvc.JobScheduled || w.queueOf("b") != "" || (w.toldThings() == "b") != swept {
				t.Fatalf("closed: %s", s)
			}
			if how == "delete" {
				w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw", Force: true}))
			} else {
				_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw", Force: how == "force"})
				w.must(err)
			}
			w.runTimers()
			var want []string
			if how != "cancel" {
				want = append(want, "a")
			}
			if !swept {
				want = append(want, "b")
			}
			if got := w.toldThings(); got != strings.Join(want, " ") {
				t.Errorf("%s, swept %v: told %q, not %q", how, swept, got, want)
			}
			w.noTimers()
			w.at("2026-03-12 02:00")
			if w.queueOf("b") != "" || w.toldThings() != "" {
				t.Errorf("%s, swept %v: the next night b sees %q", how, swept, w.queueOf("b"))
			}
		}
	}
}

// TestSnapshotWindows: a SNAPSHOT job whose last execution ends by day is complete when the
// next window opens.
func TestSnapshotWindows(t *testing.T) {
	w := newWorld(t)
	w.rules = new(jobsvc.DefaultJobRules())
	w.rules.AllowSnapshotWindows = true
	w.open()
	w.thing("a")
	w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) { r.SchedulingConfig = new(nightly("2026-03-20 00:00", "")) }, thingARN("a"))
	w.at("2026-03-11 02:00")
	w.start("a")
	w.at("2026-03-11 05:00")
	w.must(w.update("a", "fw", jobsvc.StatusSucceeded))
	w.UnsettleActive()
	w.runTimers()
	if s := w.describe("fw").Status; s != jobsvc.JobScheduled {
		t.Fatalf("by day it is %s", s)
	}
	w.at("2026-03-12 02:00")
	if d := w.describe("fw"); d.Status != jobsvc.JobCompleted {
		t.Errorf("the next night: %+v", d)
	}
	w.noTimers()
}

// TestTouchingWindows: windows that overlap or touch are one, which closes once.
func TestTouchingWindows(t *testing.T) {
	w := newWorld(t) // Tuesday, 10:00
	w.thing("a", "b")
	window := func(s string, minutes int64) jobsvc.MaintenanceWindow {
		return jobsvc.MaintenanceWindow{StartTime: s, DurationInMinutes: minutes}
	}
	w.mustCreate("fw", scheduled(jobsvc.SchedulingConfig{MaintenanceWindows: []jobsvc.MaintenanceWindow{
		window("cron(0 9 ? * * *)", 120), window("cron(30 10 ? * * *)", 60), window("cron(30 11 ? * TUE *)", 30),
	}}), thingARN("a"))
	w.mustCreate("always", scheduled(jobsvc.SchedulingConfig{MaintenanceWindows: []jobsvc.MaintenanceWindow{window("* * * * *", 5)}}), thingARN("b"))
	w.runTimers()
	opened := w.describe("fw").OpenedAt
	w.told()
	for _, s := range []string{"2026-03-10 11:00", "2026-03-10 11:30", "2026-03-10 11:59"} {
		w.at(s)
		if d := w.describe("fw"); d.Status != jobsvc.JobInProgress || !d.OpenedAt.Equal(opened) || w.toldThings() != "" {
			t.Errorf("%s: %+v", s, d.Job)
		}
	}
	w.at("2026-03-10 12:00")
	if d := w.describe("fw"); d.Status != jobsvc.JobScheduled || w.toldThings() != "a" || d.StartsAt.Format("02 15:04") != "11 09:00" {
		t.Errorf("closed: %+v", d.Job)
	}
	opened = w.describe("always").OpenedAt
	for range 10 {
		w.advance(200 * time.Minute)
		if d := w.describe("always"); d.Status != jobsvc.JobInProgress || !d.OpenedAt.Equal(opened) || w.queueOf("b") != "always/1 QUEUED" {
			t.Fatalf("one that never closes: %+v", d.Job)
		}
	}
	if got := strings.ReplaceAll(w.toldThings(), "a", ""); strings.TrimSpace(got) != "" {
		t.Errorf("told %q", got)
	}
}

// TestWindowZone: openings and closings in a zone that moves its clocks, as events of the
// job: 02:30 in Berlin, for an hour.
func TestWindowZone(t *testing.T) {
	for _, tc := range []struct{ from, want string }{
		// 02:30 is skipped on the 29th: at the end of the gap, 03:00 there.
		{"2026-03-27 12:00", "28 01:30-28 02:30, 29 01:00-29 02:00, 30 00:30-30 01:30"},
		// 02:30 comes twice on the 25th: the first.
		{"2026-10-23 12:00", "24 00:30-24 01:30, 25 00:30-25 01:30, 26 01:30-26 02:30"},
	} {
		w := newWorld(t)
		w.setClock(moment(t, tc.from))
		w.thing("a")
		w.mustCreate("fw", scheduled(jobsvc.SchedulingConfig{TimeZone: "Europe/Berlin", MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(30 2 * * ? *)", DurationInMinutes: 60}}}), thingARN("a"))
		var got []string
		was := jobsvc.JobScheduled
		for at := moment(t, tc.from); at.Before(moment(t, tc.from).Add(63 * time.Hour)); at = at.Add(10 * time.Minute) {
			w.setClock(at)
			w.runTimers()
			switch is := w.describe("fw").Status; {
			case is == was:
				continue
			case is == jobsvc.JobInProgress:
				got = append(got, at.Format("02 15:04"))
			default:
				got[len(got)-1] += at.Format("-02 15:04")
			}
			was = w.describe("fw").Status
			if visible := w.queueOf("a") != ""; visible != (was == jobsvc.JobInProgress) {
				t.Errorf("%s it is %s, and a sees %q", at, was, w.queueOf("a"))
			}
		}
		if s := strings.Join(got, ", "); s != tc.want {
			t.Errorf("from %s: %s, want %s", tc.from, s, tc.want)
		}
	}
}

// TestQuotaAtStart: a job whose start finds too many concurrent jobs waits, within its
// window; or it is canceled, as the service does.
func TestQuotaAtStart(t *testing.T) {
	for _, cancel := range []bool{false, true} {
		w := newWorld(t)
		w.rules = new(jobsvc.DefaultJobRules())
		w.rules.CancelWhenQuotaFull = cancel
		w.open()
		w.thing("a")
		w.mustCreate("fw", scheduled(nightly("", "")), thingARN("a"))
		w.at("2026-03-11 01:00")
		w.job("first", thingARN("a")) // and its rollout is not fired
		w.limits = new(jobsvc.GenerousLimits())
		w.limits.ConcurrentJobs = 1
		w.open()
		fire := func(kind store.TimerKind, s string) {
			t.Helper()
			w.setClock(moment(t, s))
			timers, err := w.Timers(w.ctx, 10)
			w.must(err)
			i := slices.IndexFunc(timers, func(t store.Timer) bool { return t.Kind == kind })
			w.must(w.Fire(w.ctx, timers[i], w.tick()))
		}
		fire(store.TimerStart, "2026-03-11 02:00")
		d := w.describe("fw")
		if cancel {
			w.runTimers()
			if d := w.describe("fw"); d.Status != jobsvc.JobCanceled || d.ReasonCode != "CONCURRENT_JOBS_QUOTA_REACHED" {
				t.Errorf("canceled: %+v", d.Job)
			}
			w.noTimers()
			continue
		}
		if wait := d.StartsAt.Sub(moment(t, "2026-03-11 02:00")); d.Status != jobsvc.JobScheduled || wait < time.Second || wait > 2*time.Second || !d.LastUpdatedAt.Before(moment(t, "2026-03-11 00:00")) {
			t.Fatalf("waiting: %+v", d.Job)
		}
		// Not outside its window.
		fire(store.TimerStart, "2026-03-11 05:00")
		if d := w.describe("fw"); d.Status != jobsvc.JobScheduled || d.StartsAt.Format("02 15:04") != "12 02:00" {
			t.Fatalf("its window is over: %+v", d.Job)
		}
		fire(store.TimerStart, "2026-03-12 02:00")
		w.runTimers() // the other rolls out
		w.at("2026-03-12 02:00:03")
		if d := w.describe("fw"); d.Status != jobsvc.JobInProgress || d.ProcessDetails.Queued != 1 {
			t.Errorf("there is room: %+v", d.Job)
		}
		// One that has begun goes on however many there are.
		w.at("2026-03-12 05:00")
		w.job("second", thingARN("a"))
		fire(store.TimerStart, "2026-03-13 02:00")
		if s := w.describe("fw").Status; s != jobsvc.JobInProgress {
			t.Errorf("the next night it is %s", s)
		}
	}
}

// TestSweepsOvertaken: a window opens again before the sweep of its closing is through, and
// the other way round. Each device is told what is so at the end, or nothing.
func TestSweepsOvertaken(t *testing.T) {
	things := names(2500) // three chunks
	for chunk := 1; chunk <= 4; chunk++ {
		db := &hookedDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}
		w := newWorldOn(t, db, nil)
		w.thing(things...)
		w.group("g", "", things...)
		w.mustCreate("fw", scheduled(nightly("", "")), groupARN("g"))
		w.at("2026-03-11 02:00")
		w.told()
		told := make(map[string]int)
		turn := func(s string) {
			w.setClock(moment(t, s))
			timers, err := w.Timers(w.ctx, 10)
			w.must(err)
			for _, timer := range timers {
				if timer.Kind == store.TimerStart || timer.Kind == store.TimerClose {
					w.must(w.Fire(w.ctx, timer, w.tick()))
				}
			}
		}
		db.many, db.at = 0, chunk
		db.before = func() { turn("2026-03-12 02:00") }
		turn("2026-03-11 05:00")
		w.runTimers()
		if chunk == 4 { // it was not overtaken
			if s := w.describe("fw").Status; s != jobsvc.JobScheduled {
				t.Fatalf("it is %s", s)
			}
			if db.many != 3 {
				t.Fatalf("%d chunks", db.many)
			}
			continue
		}
		for _, h := range w.told() {
			told[h.ThingName]++
			if h.SetVersion == 0 || h.HeadVersion == 0 {
				t.Fatalf("hint %+v", h)
			}
		}
		for n, times := range told {
			if times != 2 {
				t.Fatalf("chunk %d: %s was told %d times", chunk, n, times)
			}
		}
		if len(told) != 1000*(chunk-1) {
			t.Errorf("chunk %d: %d were told", chunk, len(told))
		}
		for _, n := range things {
			tq, err := w.ThingQueue(w.ctx, n, "")
			w.must(err)
			if want := uint64(1 + told[n]); tq.SetVersion != want || tq.HeadVersion != want || len(tq.Queued) != 1 {
				t.Fatalf("chunk %d: %s is at %+v", chunk, n, tq)
			}
		}
		w.noOverdue()
	}
}

// noOverdue: nothing is due any more.
func (w *world) noOverdue() {
	w.t.Helper()
	timers, err := w.Timers(w.ctx, 100)
	w.must(err)
	for _, t := range timers {
		if !t.Due.After(w.now) {
			w.t.Errorf("overdue: %v", t)
		}
	}
}

// TestRestartInWindows restarts after every step of two weeks of nights, fires every timer
// twice and those that were there before once more, and expects what an undisturbed time
// leaves.
func TestRestartInWindows(t *testing.T) {
	run := func(disturbed bool) string {
		w := newWorld(t)
		things := names(40)
		w.thing(things...)
		w.group("g", "", things...)
		w.mustCreate("fw", scheduled(nightly("2026-03-20 03:00", "")), groupARN("g"))
		w.mustCreate("canceled", scheduled(nightly("2026-03-19 12:00", jobsvc.EndCancel)), groupARN("g"))
		w.mustCreate("stopped", scheduled(jobsvc.SchedulingConfig{EndTime: "2026-03-15 12:00"}), groupARN("g"))
		var past []store.Timer
		told := make(map[string]engine.Hint)
		var log strings.Builder
		for at := moment(t, "2026-03-10 11:00"); at.Before(moment(t, "2026-03-22 00:00")); at = at.Add(time.Hour) {
			w.setClock(at)
			for {
				timers, err := w.Timers(w.ctx, 100)
				w.must(err)
				if i := slices.IndexFunc(timers, func(t store.Timer) bool { return !t.Due.After(at) || t.Due.Sub(at) < time.Second }); i < 0 {
					break
				} else if disturbed {
					w.must(w.Fire(w.ctx, timers[i], w.tick()))
					w.must(w.Fire(w.ctx, timers[i], w.tick()))
					w.restart()
					for _, p := range past {
						w.must(w.Fire(w.ctx, p, w.tick()))
					}
					past = append(past[max(0, len(past)-20):], timers[i])
				} else {
					w.must(w.Fire(w.ctx, timers[i], w.tick()))
				}
			}
			w.UnsettleActive()
			w.must(w.Settle(w.ctx))
			n := things[at.Hour()%len(things)]
			if x := w.start(n); x != nil && at.Day()%2 == 0 {
				w.must(w.update(n, x.JobID, jobsvc.StatusSucceeded))
			}
			for _, h := range w.told() {
				told[h.ThingName] = h
			}
			for _, id := range []string{"fw", "canceled", "stopped"} {
				d := w.describe(id)
				fmt.Fprintf(&log, "%s %s %s %v %+v\n", at.Format("02 15"), id, d.Status, d.Concurrent, w.checkCounters(id))
			}
			for _, n := range things[:8] {
				tq, err := w.ThingQueue(w.ctx, n, "")
				if w.must(err); tq.SetVersion != told[n].SetVersion || tq.HeadVersion != told[n].HeadVersion {
					t.Fatalf("%s: %s was told %+v, and its queue is at %+v", at, n, told[n], tq)
				}
				fmt.Fprintf(&log, "%s sees %s\n", n, w.queueOf(n))
			}
		}
		for _, id := range []string{"fw", "canceled", "stopped"} {
			fmt.Fprintln(&log, w.statuses(id))
		}
		return log.String()
	}
	want, got := strings.Split(run(false), "\n"), strings.Split(run(true), "\n")
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("line %d is\n%s\nundisturbed\n%s", i, got[i], want[i])
		}
	}
}
