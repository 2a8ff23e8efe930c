package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

func (w *world) join(thing string, groups ...string)  { w.t.Helper(); w.move(thing, groups, nil) }
func (w *world) leave(thing string, groups ...string) { w.t.Helper(); w.move(thing, nil, groups) }

func (w *world) move(thing string, to, from []string) {
	w.t.Helper()
	w.must(w.UpdateThingGroupsForThing(w.ctx, &jobsvc.UpdateThingGroupsForThingRequest{ThingName: thing, Add: to, Remove: from}))
}

func (w *world) follows(id string, targets ...string) {
	w.t.Helper()
	w.mustCreate(id, continuous, targets...)
}

// has checks all that a thing has of a job, by number: "REMOVED QUEUED".
func (w *world) has(thing, job, want string) {
	w.t.Helper()
	var got []string
	for _, x := range w.executions(job, "", 100) {
		if x.ThingName == thing {
			got = append(got, string(x.Status))
			if x.ExecutionNumber != int64(len(got)) {
				w.t.Errorf("%s, number %d of %s, should be %d", thing, x.ExecutionNumber, job, len(got))
			}
		}
	}
	if s := strings.Join(got, " "); s != want {
		w.t.Errorf("%s has of %s %q, want %q", thing, job, s, want)
	}
}

// latest is the last execution a thing has of a job.
func (w *world) latest(thing, job string) *jobsvc.JobExecution {
	w.t.Helper()
	x, err := w.DescribeJobExecution(w.ctx, thing, job, nil)
	w.must(err)
	return x
}

// TestContinuousGroups is the worked example of job-lifecycle 17.6.
func TestContinuousGroups(t *testing.T) {
	w := newWorld(t)
	w.thing("T")
	w.group("A", "", "T")
	w.group("B", "")
	w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
		r.TargetSelection = jobsvc.TargetContinuous
		r.RetryConfig = &jobsvc.RetryConfig{CriteriaList: []jobsvc.RetryCriterion{{FailureType: "FAILED", NumberOfRetries: 3}}}
	}, groupARN("A"), groupARN("B"))
	steps := []struct {
		name string
		do   func()
		want string
		told int // hints: each is one notify, and one notify-next with it
	}{
		{"create job", func() { w.runTimers() }, "QUEUED", 1},
		{"T joins B", func() { w.join("T", "B") }, "QUEUED", 0},
		{"T leaves A", func() { w.leave("T", "A") }, "QUEUED", 0},
		{"T leaves B", func() { w.leave("T", "B") }, "REMOVED", 1},
		{"T joins A", func() { w.join("T", "A") }, "REMOVED QUEUED", 1},
		{"T starts 2, leaves A", func() { w.start("T"); w.told(); w.leave("T", "A") }, "REMOVED IN_PROGRESS", 0},
		{"T reports FAILED", func() { w.must(w.update("T", "fw", jobsvc.StatusFailed)) }, "REMOVED FAILED", 1},
		{"T joins B", func() { w.join("T", "B") }, "REMOVED FAILED QUEUED", 1},
		{"T succeeds", func() { w.must(w.update("T", "fw", jobsvc.StatusSucceeded)) }, "REMOVED FAILED SUCCEEDED", 1},
		{"leaves, joins A", func() { w.leave("T", "B"); w.join("T", "A") }, "REMOVED FAILED SUCCEEDED QUEUED", 1},
		{"DeleteThing T", func() { w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "T"})) }, "REMOVED FAILED SUCCEEDED REMOVED", 0},
	}
	for _, step := range steps {
		t.Log(step.name)
		w.told()
		step.do()
		w.has("T", "fw", step.want)
		if h := w.told(); len(h) != step.told {
			t.Errorf("told %+v, want %d", h, step.told)
		}
		w.runTimers()
		w.checkCounters("fw")
	}
	if d := w.describe("fw").ProcessDetails; d.Removed != 2 || d.Failed != 1 || d.Succeeded != 1 || d.Pending() != 0 {
		t.Errorf("at the end %+v", d)
	}
	if d := w.describe("fw"); d.Status != jobsvc.JobInProgress || d.Concurrent {
		t.Errorf("the job is %+v", d)
	}
}

// TestContinuousOptions: what rerunOnRejoin and removeInProgressOnLeave change.
func TestContinuousOptions(t *testing.T) {
	for _, tc := range []struct {
		rerun, remove bool
		ended         string // after SUCCEEDED, left and back
		begun         string // IN_PROGRESS, left
		back          string // and back
	}{
		{true, false, "SUCCEEDED QUEUED", "IN_PROGRESS", "IN_PROGRESS"},
		{false, false, "SUCCEEDED", "IN_PROGRESS", "IN_PROGRESS"},
		{true, true, "SUCCEEDED QUEUED", "REMOVED", "REMOVED QUEUED"},
		{false, true, "SUCCEEDED", "REMOVED", "REMOVED QUEUED"},
	} {
		w := newWorld(t)
		rules := jobsvc.DefaultJobRules()
		rules.RerunOnRejoin, rules.RemoveInProgressOnLeave = tc.rerun, tc.remove
		w.rules = &rules
		w.open()
		w.thing("ended", "begun", "queued")
		w.group("g", "", "ended", "begun", "queued")
		w.follows("fw", groupARN("g"))
		w.runTimers()
		w.must(w.update("ended", "fw", jobsvc.StatusSucceeded))
		version := w.start("begun").VersionNumber
		for _, n := range []string{"ended", "begun", "queued"} {
			w.leave(n, "g")
		}
		w.has("ended", "fw", "SUCCEEDED")
		w.has("begun", "fw", tc.begun)
		w.has("queued", "fw", "REMOVED")
		if x := w.latest("begun", "fw"); !x.Uncovered || !tc.remove && x.VersionNumber != version {
			t.Errorf("left while IN_PROGRESS: %+v", x)
		}
		for _, n := range []string{"ended", "begun", "queued"} {
			w.join(n, "g")
		}
		w.has("ended", "fw", tc.ended)
		w.has("begun", "fw", tc.back)
		w.has("queued", "fw", "REMOVED QUEUED")
		if x := w.latest("begun", "fw"); x.Uncovered || x.RetryAttempt != 0 {
			t.Errorf("back: %+v", x)
		}
		w.checkCounters("fw")
	}
}

// A thing that comes back while IN_PROGRESS has its retries anew.
func TestContinuousFreshBudget(t *testing.T) {
	x := jobsvc.JobExecution{RetryAttempt: 3, TimedOutRetries: 2, VersionNumber: 7, Uncovered: true}
	if !x.Cover() || x.RetryAttempt != 0 || x.TimedOutRetries != 0 || x.Uncovered || x.VersionNumber != 7 {
		t.Errorf("covered again: %+v", x)
	}
	x.RetryAttempt = 1
	if x.Cover() || x.RetryAttempt != 1 {
		t.Errorf("covered all the time: %+v", x)
	}
}

// TestContinuousHierarchy: a target covers what is below it, and a move below it is no
// move for the job.
func TestContinuousHierarchy(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	w.group("plant", "")
	w.group("hall", "plant")
	w.group("cell", "hall", "a")
	w.group("other", "")
	w.follows("fw", groupARN("plant"))
	w.follows("hall-only", groupARN("hall"))
	w.runTimers()
	w.has("a", "fw", "QUEUED")
	w.move("a", []string{"plant"}, []string{"cell"})
	w.has("a", "fw", "QUEUED")
	w.has("a", "hall-only", "REMOVED")
	w.group("new", "hall")
	w.move("a", []string{"new"}, []string{"plant"})
	w.has("a", "fw", "QUEUED")
	w.has("a", "hall-only", "REMOVED QUEUED")
	w.join("b", "new")
	w.has("b", "fw", "QUEUED")
	w.has("b", "hall-only", "QUEUED")
	// Two jobs, one transaction, one hint.
	w.told()
	w.move("b", []string{"other"}, []string{"new"})
	w.has("b", "fw", "REMOVED")
	if h := w.told(); len(h) != 1 {
		t.Errorf("told %+v", h)
	}
	w.join("b", "new")
	// Groups go one after the other before their sweeps have come to anyone: what was above
	// is not to be seen any more.
	w.must(w.update("a", "fw", jobsvc.StatusSucceeded))
	w.leave("b", "new")
	for _, g := range []string{"cell", "new", "hall", "plant"} {
		w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: g}))
	}
	w.runTimers()
	w.has("a", "fw", "SUCCEEDED")
	w.has("a", "hall-only", "REMOVED REMOVED")
	w.group("plant", "", "a")
	w.has("a", "fw", "SUCCEEDED QUEUED")
	w.checkCounters("fw")
}

// TestContinuousGroupMadeAgain: a group of the same name is a target like the old one,
// also for who joins it before the sweep of the old one has come.
func TestContinuousGroupMadeAgain(t *testing.T) {
	for _, parent := range []string{"", "plant"} {
		w := newWorld(t)
		w.thing("a", "b", "c")
		w.group("plant", "")
		w.group("g", "plant", "a", "b", "c")
		w.follows("fw", groupARN("plant"))
		w.runTimers()
		w.must(w.update("b", "fw", jobsvc.StatusSucceeded))
		w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "g"}))
		w.group("g", parent, "a", "b")
		w.runTimers()
		if parent == "" {
			w.has("a", "fw", "REMOVED")
			w.has("b", "fw", "SUCCEEDED")
			w.join("a", "plant")
			w.join("b", "plant")
			w.has("a", "fw", "REMOVED QUEUED")
		} else {
			w.has("a", "fw", "QUEUED")
		}
		w.has("b", "fw", "SUCCEEDED QUEUED")
		w.has("c", "fw", "REMOVED")
		w.checkCounters("fw")
	}
}

// TestContinuousDynamic: members of dynamic groups come and go with what a query asks, and
// with the query.
func TestContinuousDynamic(t *testing.T) {
	w := newWorld(t)
	w.attributed("a", "kind=pump", "site=1")
	w.attributed("b", "kind=pump", "site=2")
	w.dynamic("pumps", "attributes.kind:pump")
	w.follows("fw", groupARN("pumps"))
	w.runTimers()
	w.told()
	w.attributed("c", "kind=pump")
	w.set("a", "kind=fan", "site=1")
	if h := w.told(); len(h) != 2 {
		t.Errorf("told %+v", h)
	}
	w.has("c", "fw", "QUEUED")
	w.has("a", "fw", "REMOVED")
	w.query("pumps", "attributes.site:1")
	w.runTimers()
	w.has("a", "fw", "REMOVED QUEUED")
	w.has("b", "fw", "REMOVED")
	w.has("c", "fw", "REMOVED")
	w.must(w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "pumps"}))
	w.runTimers()
	w.has("a", "fw", "REMOVED REMOVED")
	w.checkCounters("fw")
}

// TestContinuousThing: a target that is a thing covers whichever thing has the name.
func TestContinuousThing(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	w.group("g", "", "b")
	w.follows("fw", thingARN("a"), groupARN("g"))
	w.runTimers()
	w.join("a", "g")
	w.leave("a", "g")
	w.has("a", "fw", "QUEUED")
	w.must(w.update("a", "fw", jobsvc.StatusSucceeded))
	for _, n := range []string{"a", "b"} {
		w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: n}))
	}
	w.told()
	w.thing("a", "b")
	w.thing("a") // again: it is there
	if h := w.told(); len(h) != 1 {
		t.Errorf("told %+v", h)
	}
	w.has("a", "fw", "SUCCEEDED QUEUED")
	w.has("b", "fw", "REMOVED")
	w.join("b", "g")
	w.has("b", "fw", "REMOVED QUEUED")
	// One whose execution was deleted is not made it anew by the rollout, only by coming back.
	w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "b", JobID: "fw", ExecutionNumber: 2}))
	_, err := w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{thingARN("b")}})
	w.must(err)
	w.runTimers()
	w.has("b", "fw", "REMOVED")
	w.checkCounters("fw")
}

// TestContinuousWindows: while a job is SCHEDULED leaves act at once, and joins at the
// opening, after which nobody has anything twice.
func TestContinuousWindows(t *testing.T) {
	w := newWorld(t)
	w.thing("stays", "leaves", "begun", "returns", "new", "deleted", "remade", "back")
	w.group("g", "", "stays", "leaves", "begun", "returns", "deleted", "remade", "back")
	w.group("h", "", "back")
	w.follows("fw", groupARN("g"))
	w.runTimers()
	w.start("begun")
	for _, n := range []string{"returns", "stays", "deleted", "back"} {
		w.must(w.update(n, "fw", jobsvc.StatusSucceeded))
	}
	w.setWindow("fw", false)
	w.leave("leaves", "g")
	w.has("leaves", "fw", "REMOVED")
	w.leave("begun", "g")
	w.leave("returns", "g")
	w.join("returns", "g")
	w.join("new", "g")
	w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "deleted", JobID: "fw", ExecutionNumber: 1}))
	w.leave("deleted", "g")
	w.join("deleted", "g")
	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "remade"}))
	w.thing("remade")
	w.join("remade", "g")
	if x := w.latest("begun", "fw"); !x.Uncovered {
		t.Errorf("left: %+v", x)
	}
	w.join("begun", "g")
	if x := w.latest("begun", "fw"); x.Uncovered {
		t.Errorf("back: %+v", x)
	}
	w.runTimers()
	w.has("new", "fw", "")
	w.has("returns", "fw", "SUCCEEDED")
	if d := w.checkCounters("fw"); d.Queued != 0 || d.InProgress != 1 {
		t.Errorf("while it is closed %+v", d)
	}
	w.restart()
	check := func() {
		t.Helper()
		w.runTimers()
		w.has("stays", "fw", "SUCCEEDED")
		w.has("back", "fw", "SUCCEEDED")
		w.has("leaves", "fw", "REMOVED")
		w.has("begun", "fw", "IN_PROGRESS")
		w.has("returns", "fw", "SUCCEEDED QUEUED")
		w.has("new", "fw", "QUEUED")
		w.has("remade", "fw", "REMOVED QUEUED")
		if x := w.latest("deleted", "fw"); x.ExecutionNumber != 2 || x.Status != jobsvc.StatusQueued {
			t.Errorf("whose execution was deleted has %+v", x)
		}
		if d := w.describe("fw"); d.Concurrent || !d.RolloutDone {
			t.Errorf("rolled out: %+v", d)
		}
		w.checkCounters("fw")
	}
	w.setWindow("fw", true)
	if d := w.describe("fw"); !d.Concurrent || !slices.Equal(d.ProcessDetails.ProcessingTargets, []string{groupARN("g")}) {
		t.Errorf("opened: %+v", d)
	}
	check()
	// Another window, for nothing.
	w.setWindow("fw", false)
	w.setWindow("fw", true)
	check()
	// Who leaves one target for another, the first of which is gone and not swept yet, while
	// the window is closed, has left.
	w.setWindow("fw", false)
	w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "g"}))
	w.group("g", "")
	w.join("stays", "g")
	w.setWindow("fw", true)
	w.runTimers()
	w.has("stays", "fw", "SUCCEEDED QUEUED")
	w.has("new", "fw", "REMOVED")
	w.checkCounters("fw")
}

// TestContinuousStopped: at the end of its schedule a job makes no further executions. Who
// leaves still loses one that has not begun, and the job is complete with the last one.
func TestContinuousStopped(t *testing.T) {
	w := newWorld(t)
	w.rules = &jobsvc.JobRules{MaxEndLead: time.Hour}
	w.open()
	w.thing("in", "begun", "out")
	w.group("g", "", "in", "begun")
	w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
		r.TargetSelection = jobsvc.TargetContinuous
		r.RetryConfig = &jobsvc.RetryConfig{CriteriaList: []jobsvc.RetryCriterion{{FailureType: jobsvc.FailureFailed, NumberOfRetries: 3}}}
		r.SchedulingConfig = &jobsvc.SchedulingConfig{EndTime: w.now.Add(time.Minute).Format(time.RFC3339), EndBehavior: jobsvc.EndStopRollout}
	}, groupARN("g"))
	w.runTimers()
	w.start("begun")
	w.advance(time.Minute)
	w.join("out", "g")
	w.has("out", "fw", "")
	w.leave("in", "g")
	w.has("in", "fw", "REMOVED")
	w.join("in", "g")
	w.has("in", "fw", "REMOVED")
	w.must(w.update("begun", "fw", jobsvc.StatusFailed))
	w.must(w.Settle(w.ctx))
	w.has("begun", "fw", "FAILED")
	if d := w.describe("fw"); d.Status != jobsvc.JobCompleted {
		t.Errorf("with nothing left the job is %+v", d)
	}
}

// TestContinuousEnded: a job that has ended does not follow.
func TestContinuousEnded(t *testing.T) {
	for name, end := range map[string]func(*world){
		"canceled":  func(w *world) { _, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw"}); w.must(err) },
		"completed": func(w *world) { w.changeJob("fw", func(j *jobsvc.Job) { j.Status = jobsvc.JobCompleted }) },
		"deleted": func(w *world) {
			w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw", Force: true}))
		},
	} {
		for _, swept := range []bool{false, true} {
			w := newWorld(t)
			w.thing("in", "begun", "out")
			w.group("g", "", "in", "begun")
			w.follows("fw", groupARN("g"))
			w.runTimers()
			w.start("begun")
			end(w)
			if swept {
				w.runTimers()
			}
			before := w.dump()
			w.leave("in", "g")
			w.leave("begun", "g")
			w.join("in", "g")
			w.join("begun", "g")
			w.join("out", "g")
			if after := w.dump(); after != before {
				t.Errorf("%s, swept %v: executions and lists were\n%s\nthey are\n%s", name, swept, before, after)
			}
			w.runTimers()
			if name != "deleted" {
				w.has("out", "fw", "")
				w.checkCounters("fw")
			}
			if list := w.followers("g"); swept && (name == "canceled" || name == "deleted") && list != nil {
				t.Errorf("%s: still on the list: %q", name, list)
			}
			w.follows("next", groupARN("g")) // which cleans up
			if list := w.followers("g"); swept && !slices.Equal(list, []string{"next"}) {
				t.Errorf("%s: the list is %q", name, list)
			}
		}
	}
}

func (w *world) changeJob(id string, change func(*jobsvc.Job)) {
	w.t.Helper()
	s, err := store.Open(w.ctx, w.db)
	w.must(err)
	_, err = s.Update(w.ctx, kv.Job(id), func(tx *store.Tx) error {
		job, err := tx.Job(id)
		if err == nil {
			change(job)
			tx.PutJob(job)
		}
		return err
	})
	w.must(err)
}

// followers reads the list of a target group.
func (w *world) followers(group string) (jobs []string) {
	w.t.Helper()
	s, err := store.Open(w.ctx, w.db)
	w.must(err)
	target := store.Target{Kind: jobsvc.ARNThingGroup, Name: group}
	_, err = s.Update(w.ctx, store.TargetScope(target), func(tx *store.Tx) error {
		jobs, err = tx.TargetJobs(target)
		return err
	})
	w.must(err)
	return jobs
}

// dump gives what is stored of executions and lists, byte for byte.
func (w *world) dump() string {
	w.t.Helper()
	var b strings.Builder
	for _, tag := range "qhxJ" {
		items, _, err := w.db.Scan(w.ctx, kv.Prefix([]byte{byte(tag)}, 1000))
		w.must(err)
		for _, it := range items {
			fmt.Fprintf(&b, "%q %q\n", it.Key, it.Value)
		}
	}
	return b.String()
}

// TestContinuousCost: where no job follows a group, joining and leaving reads little and
// writes what it did before.
func TestContinuousCost(t *testing.T) {
	w := newWorld(t)
	count := &countingDB{DB: w.db}
	w.db = count
	w.open()
	w.thing("a")
	w.group("north", "")
	w.group("hall", "north")
	w.join("a", "north") // what is read once is read
	w.leave("a", "north")
	for _, do := range []func(){func() { w.join("a", "hall") }, func() { w.leave("a", "hall") }} {
		*count = countingDB{DB: count.DB}
		do()
		// Memory and disk are not told apart here: RunTwice runs each transaction twice.
		if count.peeks > 2*8 || count.scans > 2*1 || count.writes > 2*4 {
			t.Errorf("%+v", count)
		}
	}
}

// countingDB counts what transactions do.
type countingDB struct {
	kv.DB
	peeks, scans, writes int
}

type countingTx struct {
	kv.Tx
	db *countingDB
}

func (d *countingDB) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	return d.DB.Update(ctx, s, func(tx kv.Tx) error { return fn(countingTx{tx, d}) })
}

func (t countingTx) Peek(keys ...[]byte) ([]kv.Item, error) {
	t.db.peeks++
	return t.Tx.Peek(keys...)
}

func (t countingTx) Scan(r kv.Range) ([]kv.Item, error) {
	t.db.scans++
	return t.Tx.Scan(r)
}

func (t countingTx) Put(k, v []byte) {
	t.db.writes++
	t.Tx.Put(k, v)
}

func (t countingTx) Delete(k []byte) {
	t.db.writes++
	t.Tx.Delete(k)
}

// TestContinuousLists: a list has so many jobs, and those that ended make room.
func TestContinuousLists(t *testing.T) {
	w := newWorld(t)
	w.group("g", "")
	for i := range engine.MaxFollowing {
		w.follows(fmt.Sprint("job-", i), groupARN("g"))
	}
	_, err := w.create("one-more", continuous, groupARN("g"))
	w.code(jobsvc.CodeLimitExceeded, err)
	w.changeJob("job-7", func(j *jobsvc.Job) { j.Status = jobsvc.JobCompleted })
	w.follows("one-more", groupARN("g"))
	if list := w.followers("g"); len(list) != engine.MaxFollowing || slices.Contains(list, "job-7") || !slices.Contains(list, "one-more") {
		t.Errorf("the list has %d jobs", len(list))
	}
}

// meanwhile lets something happen before chosen transactions, or has them fail.
type meanwhile struct {
	kv.DB
	before func(kv.Scope) error // nil: nothing
}

func (m *meanwhile) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	if before := m.before; before != nil {
		if err := before(s); err != nil {
			return nil, err
		}
	}
	return m.DB.Update(ctx, s, fn)
}

func (m *meanwhile) UpdateMany(ctx context.Context, ops []kv.Op) []kv.Result {
	results := make([]kv.Result, len(ops))
	for i, op := range ops {
		results[i].Events, results[i].Err = m.Update(ctx, op.Scope, op.Fn)
	}
	return results
}

// once has something happen before the first transaction of a scope.
func (m *meanwhile) once(s kv.Scope, do func() error) {
	m.before = func(at kv.Scope) error {
		if at != s {
			return nil
		}
		m.before = nil
		return do()
	}
}

// TestContinuousInterleavings drives what a thing does between the steps of a job: in each
// it has exactly the execution it should have, whether the step that was under way is then
// repeated, as after a crash, or not.
func TestContinuousInterleavings(t *testing.T) {
	list := store.TargetScope(store.Target{Kind: jobsvc.ARNThingGroup, Name: "A"})
	job, thing := kv.Job("fw"), kv.Thing("T")
	in := func(groups ...string) func(*world) {
		return func(w *world) { w.join("T", groups...) }
	}
	out := func(groups ...string) func(*world) {
		return func(w *world) { w.leave("T", groups...) }
	}
	moves := func(to, from string) func(*world) {
		return func(w *world) { w.move("T", []string{to}, []string{from}) }
	}
	both := func(a, b func(*world)) func(*world) { return func(w *world) { a(w); b(w) } }
	remake := func(w *world) {
		w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "T"}))
		w.thing("T")
	}
	drop := func(g string) func(*world) {
		return func(w *world) {
			w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: g}))
		}
	}
	type where int
	const (
		beforeList   where = iota // the job is on no list
		beforeCommit              // it is on the lists
		beforeWalk                // it is stored
		beforeMake                // the walk has read who is there
		halfWay                   // the first two targets are walked, the others are not
		afterWalk
	)
	for _, tc := range []struct {
		name string
		at   where
		from []string // groups of T before all
		do   func(*world)
		want string
	}{
		{"joins before the lists", beforeList, nil, in("A"), "QUEUED"},
		{"joins before the commit", beforeCommit, nil, in("A"), "QUEUED"},
		{"joins before the walk", beforeWalk, nil, in("A"), "QUEUED"},
		{"joins while others are made", beforeMake, nil, in("A"), "QUEUED"},
		{"joins what was walked", halfWay, nil, in("A"), "QUEUED"},
		{"joins what is to be walked", halfWay, nil, in("D"), "QUEUED"},
		{"joins after all", afterWalk, nil, in("A"), "QUEUED"},

		{"leaves before the lists", beforeList, []string{"A"}, out("A"), ""},
		{"leaves before the commit", beforeCommit, []string{"A"}, out("A"), ""},
		{"leaves before the walk", beforeWalk, []string{"A"}, out("A"), ""},
		{"leaves after it was read", beforeMake, []string{"A"}, out("A"), ""},
		{"leaves after it was made", halfWay, []string{"A"}, out("A"), "REMOVED"},
		{"leaves what is to be walked", halfWay, []string{"D"}, out("D"), ""},
		{"leaves after all", afterWalk, []string{"D"}, out("D"), "REMOVED"},

		{"moves before the commit", beforeCommit, []string{"D"}, moves("A", "D"), "QUEUED"},
		{"moves before the walk", beforeWalk, []string{"D"}, moves("A", "D"), "QUEUED"},
		{"moves to what was walked", halfWay, []string{"D"}, moves("A", "D"), "QUEUED"},
		{"moves to what is to be walked", halfWay, []string{"A"}, moves("D", "A"), "QUEUED"},
		{"moves in two steps to what was walked", halfWay, []string{"D"}, both(in("A"), out("D")), "QUEUED"},
		{"moves in the hierarchy to what was walked", halfWay, []string{"D2"}, moves("D1", "D2"), "QUEUED"},
		{"loses the group to be walked, and is in one that was", halfWay, []string{"C"}, both(in("A"), drop("C")), "QUEUED"},
		{"moves after it was read", beforeMake, []string{"A"}, moves("B", "A"), "QUEUED"},
		{"leaves and comes back after it was read", beforeMake, []string{"A"}, both(out("A"), in("A")), "QUEUED"},
		{"leaves and comes back after it was made", halfWay, []string{"A"}, both(out("A"), in("A")), "REMOVED QUEUED"},
		{"joins and leaves while others are made", beforeMake, nil, both(in("A"), out("A")), "REMOVED"},
		{"joins a second target", halfWay, []string{"A"}, in("D"), "QUEUED"},

		{"is made again after it was read", beforeMake, []string{"A"}, remake, ""},
		{"is made again and joins after it was read", beforeMake, []string{"A"}, both(remake, in("A")), "QUEUED"},
		{"its group is deleted after it was read", beforeMake, []string{"A"}, drop("A"), ""},
		{"its group is deleted after it was made", halfWay, []string{"A"}, drop("A"), "REMOVED"},
		{"its group is deleted before the walk", beforeWalk, []string{"A"}, drop("A"), ""},
	} {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, crash %v", tc.name, crash), func(t *testing.T) {
				w := newWorld(t)
				m := &meanwhile{DB: w.db}
				w.db = m
				w.reopen = func(kv.DB) kv.DB { return m }
				w.open()
				w.thing("T", "a", "z")
				for _, g := range []string{"A", "B", "C", "D"} {
					w.group(g, "", "a", "z")
				}
				w.group("D1", "D")
				w.group("D2", "D")
				w.group("none", "")
				if len(tc.from) > 0 {
					w.join("T", tc.from...)
				}
				do := func() error {
					tc.do(w)
					if crash && tc.at != afterWalk {
						return errCrash
					}
					return nil
				}
				switch tc.at {
				case beforeList:
					m.once(list, do)
				case beforeCommit:
					m.once(job, do)
				}
				create := func() error {
					_, err := w.create("fw", continuous, groupARN("A"), groupARN("B"), groupARN("C"), groupARN("D"))
					return err
				}
				if err := create(); errors.Is(err, errCrash) {
					w.restart()
					w.must(create())
				} else {
					w.must(err)
				}
				switch tc.at {
				case beforeWalk:
					tc.do(w)
				case beforeMake:
					m.once(thing, do)
					if len(tc.from) == 0 {
						m.once(kv.Thing("z"), do)
					}
				case halfWay:
					w.fireOne()
					if d := w.describe("fw"); !slices.Equal(d.ProcessDetails.ProcessingTargets, []string{groupARN("B"), groupARN("C"), groupARN("D")}) {
						t.Fatalf("half way: %+v", d)
					}
					tc.do(w)
				case afterWalk:
					w.runTimers()
					tc.do(w)
				}
				for w.fires() {
				}
				w.must(w.Settle(w.ctx))
				if m.before != nil {
					t.Fatal("it did not come to it")
				}
				w.has("T", "fw", tc.want)
				w.has("a", "fw", "QUEUED")
				w.has("z", "fw", "QUEUED")
				w.checkCounters("fw")
				if timers, err := w.Timers(w.ctx, 10); err != nil || slices.ContainsFunc(timers, func(t store.Timer) bool { return t.Kind == store.TimerRollout }) {
					t.Errorf("timers %+v, %v", timers, err)
				}
			})
		}
	}
}

var errCrash = errors.New("the process was killed")

// fires fires the first due timer, starts anew when it is killed there, and tells whether
// there was one.
func (w *world) fires() bool {
	w.t.Helper()
	timers, err := w.Timers(w.ctx, 100)
	w.must(err)
	now := w.tick()
	for _, t := range timers {
		if t.Due.After(now) {
			continue
		}
		if err := w.Fire(w.ctx, t, now); errors.Is(err, errCrash) {
			w.restart()
		} else {
			w.must(err)
		}
		return true
	}
	return false
}

// TestContinuousTakenOff: whoever cleans up a list while a job is between the list and its
// commit takes it off, and the job is put there again.
func TestContinuousTakenOff(t *testing.T) {
	w := newWorld(t)
	m := &meanwhile{DB: w.db}
	w.db = m
	w.open()
	w.thing("T")
	w.group("A", "")
	w.group("B", "")
	m.once(kv.Job("fw"), func() error {
		w.follows("other", groupARN("A"))
		if list := w.followers("A"); !slices.Equal(list, []string{"other"}) {
			t.Errorf("the list is %q", list)
		}
		return nil
	})
	w.follows("fw", groupARN("A"))
	m.once(kv.Job("fw"), func() error {
		w.follows("another", groupARN("B"))
		return nil
	})
	_, err := w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{groupARN("B")}})
	w.must(err)
	for _, g := range []string{"A", "B"} {
		if list := w.followers(g); len(list) != 2 || !slices.Contains(list, "fw") {
			t.Errorf("the list of %s is %q", g, list)
		}
	}
	w.runTimers()
	w.join("T", "B")
	w.has("T", "fw", "QUEUED")
	w.has("T", "another", "QUEUED")
	// What was refused is on no list.
	_, err = w.create("refused", continuous, groupARN("none"))
	w.code(jobsvc.CodeNotFound, err)
	m.once(kv.Job("late"), func() error {
		w.follows("late", groupARN("A"))
		return nil
	})
	_, err = w.create("late", continuous, groupARN("B"))
	w.code(jobsvc.CodeAlreadyExists, err)
	if list := w.followers("B"); slices.Contains(list, "late") {
		t.Errorf("the list of B is %q", list)
	}
}

// TestContinuousFull: a thing that has as many pending executions as it may have gets one
// that is CANCELED, also when it joins.
func TestContinuousFull(t *testing.T) {
	w := newWorld(t)
	w.thing("T")
	w.group("g", "")
	w.follows("fw", groupARN("g"))
	w.runTimers()
	s, err := store.Open(w.ctx, w.db)
	w.must(err)
	_, err = s.Update(w.ctx, kv.Thing("T"), func(tx *store.Tx) error {
		q := &jobsvc.Queue{}
		for i := range jobsvc.MaxPending {
			q.Pending = append(q.Pending, jobsvc.JobExecution{ThingName: "T", JobID: fmt.Sprint("old-", i), Status: jobsvc.StatusQueued, ExecutionNumber: 1})
		}
		tx.PutQueue("T", q)
		return nil
	})
	w.must(err)
	w.join("T", "g")
	if x := w.executions("fw", "", 10); len(x) != 1 || x[0].Status != jobsvc.StatusCanceled || x[0].StatusDetails["reason"] == "" {
		t.Errorf("executions %+v", x)
	}
	w.checkCounters("fw")
}

// TestContinuousCreatedWhileJoining has things join while jobs for their group are made,
// all at once.
func TestContinuousCreatedWhileJoining(t *testing.T) {
	w := newWorld(t)
	const jobs = 6
	w.group("g", "")
	all := names(300)
	w.thing(all...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		each(t, all, func(n string) error { return w.AddThingToThingGroup(w.ctx, "g", n) })
	}()
	for i := range jobs {
		w.follows(fmt.Sprint("job-", i), groupARN("g"))
		w.fireOne()
	}
	<-done
	w.runTimers()
	for i := range jobs {
		id := fmt.Sprint("job-", i)
		if d := w.checkCounters(id); d.Queued != int64(len(all)) || total(&d) != int64(len(all)) {
			t.Errorf("%s: %+v", id, d)
		}
	}
}

// TestDeletedExecutionOfAnother: that an execution of a thing was deleted says nothing of
// another thing that was made under its name: a target that covers it has it work, at once
// or by the next walk.
func TestDeletedExecutionOfAnother(t *testing.T) {
	for _, first := range []string{"execution", "thing"} {
		w := newExactWorld(t)
		w.thing("a")
		w.group("g", "", "a")
		w.group("later", "")
		w.follows("fw", groupARN("g"))
		w.runTimers()
		deleteExecution := func() {
			w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "a", JobID: "fw", ExecutionNumber: 1, Force: true}))
		}
		if first == "execution" {
			deleteExecution()
		}
		w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "a"}))
		w.thing("a")
		if first == "thing" {
			deleteExecution()
		}
		w.join("a", "later")
		w.has("a", "fw", "")
		_, err := w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{groupARN("later")}})
		w.must(err)
		w.runTimers()
		if got := w.queueOf("a"); got != "fw/2 QUEUED" {
			t.Errorf("the %s was deleted first: it sees %q", first, got)
		}
	}
}
