package engine_test

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/badgerkv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

var (
	historySeed = flag.Uint64("history.seed", 0, "run the one random history of this seed")
	historyMany = flag.Int("history.n", 200, "how many random histories to run")
)

// TestHistories runs random histories of everything that can happen to jobs and checks,
// every few steps, what must hold whatever has happened. The seed of a failed one is in
// its name; -history.seed runs it alone.
func TestHistories(t *testing.T) {
	histories(t, *historyMany, newExactWorld)
}

// TestHistoriesOnBadger is the same on disk, restarts included.
func TestHistoriesOnBadger(t *testing.T) {
	if testing.Short() {
		t.Skip("writes to disk")
	}
	histories(t, 3, func(t *testing.T) *world {
		dir := t.TempDir()
		open := func() kv.DB {
			db, err := badgerkv.Open(badgerkv.Options{Dir: dir, ScopeOf: store.ScopeOf, NoSync: true, MinFreeBytes: -1, MemTableSize: 16 << 20})
			if err != nil {
				t.Fatal(err)
			}
			return db
		}
		w := newWorldOn(t, open(), func(old kv.DB) kv.DB {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return open()
		})
		t.Cleanup(func() { w.db.Close() })
		return w
	})
}

func histories(t *testing.T, n int, open func(*testing.T) *world) {
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
	}
	if *historySeed != 0 {
		seeds = []uint64{*historySeed}
	}
	for _, seed := range seeds {
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { newHistory(open(t), seed).run(120) }) {
			return
		}
	}
}

// history is a world with what the test knows of it.
type history struct {
	*world
	rng    *rand.Rand
	log    []string
	things map[string]string // ID of each that exists
	groups []string
	jobs   map[string]*knownJob
	gone   []string // IDs of jobs that were deleted, and are not in use again
	seen   map[attempt]jobsvc.JobExecution
	stale  []store.Timer // that were there once
	views  map[queueName]view
	made   int
}

type knownJob struct {
	id, namespace string
	created       time.Time
	targets       []string
	continuous    bool
	waits         bool // for its start
	windows, ends bool
	covered       map[string][]string // things by name, with the IDs they had when a target covered them
	deleted       map[attempt]bool    // executions
	timeout       time.Duration
}

// cover takes who belongs to targets now as covered.
func (h *history) cover(j *knownJob, targets ...string) {
	h.t.Helper()
	for _, arn := range targets {
		kind, name, _ := account.Parse(arn)
		names := []string{name}
		if kind == jobsvc.ARNThingGroup {
			res, err := h.ListThingsInThingGroup(h.ctx, &jobsvc.ListThingsInThingGroupRequest{ThingGroupName: name, Recursive: true, Page: jobsvc.Page{MaxResults: 250}})
			h.ok(err)
			names = res.Names
		}
		for _, n := range names {
			if id := h.things[n]; id != "" {
				j.covered[n] = append(j.covered[n], id)
			}
		}
	}
}

type attempt struct {
	job     string
	created time.Time // of the job: an ID may be used again
	thing   string
	number  int64
}

type queueName struct{ thing, namespace string }

// view is what a device is told: the set and the head as they were at the last hint.
type view struct {
	set         map[string]int64
	head        string
	number      int64
	setV, headV uint64
}

func newHistory(w *world, seed uint64) *history {
	w.rules = &jobsvc.JobRules{MaxStartLead: time.Hour, MaxEndLead: time.Hour, ForceAfterCancel: true, AllowSnapshotWindows: true}
	w.open()
	return &history{
		world: w, rng: rand.New(rand.NewPCG(seed, 0)), things: make(map[string]string), jobs: make(map[string]*knownJob),
		seen: make(map[attempt]jobsvc.JobExecution), views: make(map[queueName]view),
	}
}

func (h *history) did(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

func (h *history) fail(format string, args ...any) {
	h.t.Helper()
	for i, l := range h.log[max(0, len(h.log)-40):] {
		h.t.Logf("%3d %s", max(0, len(h.log)-40)+i, l)
	}
	h.t.Fatalf(format, args...)
}

func (h *history) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.fail("%v", err)
	}
}

// want expects a refusal, "" for none.
func (h *history) want(code jobsvc.Code, err error) {
	h.t.Helper()
	if got := jobsvc.ErrorCode(err); got != code {
		h.fail("code %q, want %q (%v)", got, code, err)
	}
}

func (h *history) chance(percent int) bool { return h.rng.IntN(100) < percent }

// pick gives one of a list, "" of an empty one.
func (h *history) pick(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[h.rng.IntN(len(list))]
}

func (h *history) anyThing() string {
	if h.chance(5) {
		return "nobody"
	}
	return cmp.Or(h.pick(slices.Sorted(maps.Keys(h.things))), "nobody")
}

func (h *history) anyJob() *knownJob {
	if id := h.pick(slices.Sorted(maps.Keys(h.jobs))); id != "" && !h.chance(4) {
		return h.jobs[id]
	}
	return &knownJob{id: "none"}
}

// run does a number of steps, then lets everything come to its end.
func (h *history) run(steps int) {
	for range 4 {
		h.createThing()
	}
	h.createGroup()
	for i := range steps {
		h.step()
		h.checkHints()
		if i%6 == 0 {
			h.check()
		}
	}
	h.check()
	h.pass(time.Hour) // all jobs begin, and those end that have an end
	h.settleAll()
	h.intoWindow()
	h.settleAll()
	// All devices finish what they have.
	for _, thing := range slices.Sorted(maps.Keys(h.things)) {
		for list := h.pendingOf(thing); len(list) > 0; list = h.pendingOf(thing) {
			h.update(thing, h.jobs[list[0].JobID], jobsvc.StatusSucceeded) // refused at times
			h.checkHints()
		}
	}
	h.settleAll()
	h.intoWindow() // in which a SNAPSHOT job is found complete
	h.settleAll()
	for _, j := range h.jobs {
		if j.continuous && h.describe(j.id).Active() {
			_, err := h.CancelJob(h.ctx, &jobsvc.CancelJobRequest{JobID: j.id})
			h.ok(err)
		}
	}
	h.settleAll()
	for _, id := range slices.Sorted(maps.Keys(h.jobs)) {
		d := h.describe(id)
		if d.ProcessDetails.Pending() != 0 || d.Concurrent || d.Active() {
			h.fail("at the end job %s is %+v", id, d)
		}
		h.did("delete %s at the end", id)
		h.ok(h.DeleteJob(h.ctx, &jobsvc.DeleteJobRequest{JobID: id}))
		h.forgetJob(id)
	}
	h.settleAll()
	if timers, err := h.Timers(h.ctx, 10); err != nil || len(timers) > 0 {
		h.fail("timers left at the end: %v, %v", timers, err)
	}
}

func (h *history) step() {
	switch n := h.rng.IntN(100); {
	case n < 4:
		h.createThing()
	case n < 7:
		h.deleteThing()
	case n < 9:
		h.createGroup()
	case n < 14:
		h.join()
	case n < 22:
		h.createJob()
	case n < 34:
		h.startNext()
	case n < 54:
		h.update(h.anyThing(), h.anyJob(), h.anyStatus())
	case n < 58:
		h.describeOne()
	case n < 62:
		h.cancel()
	case n < 65:
		h.deleteJob()
	case n < 68:
		h.pass(time.Duration(h.rng.IntN(600)) * time.Second)
	case n < 84:
		h.fireDue()
	case n < 86:
		h.associate()
	case n < 88:
		h.cancelExecution()
	case n < 90:
		h.deleteExecution()
	case n < 93:
		h.fireStale()
	case n < 95:
		h.did("restart")
		h.restart()
		h.UnsettleActive()
	case n < 97:
		h.settleAll()
	default:
		h.did("settle")
		h.ok(h.Settle(h.ctx))
	}
}

func (h *history) pass(d time.Duration) {
	h.did("%s pass", d)
	h.mu.Lock()
	h.now = h.now.Add(d)
	h.mu.Unlock()
}

// intoWindow passes the time to an opening of the windows.
func (h *history) intoWindow() {
	h.pass(h.now.Truncate(10 * time.Minute).Add(10 * time.Minute).Sub(h.now))
}

func (h *history) createThing() {
	n := fmt.Sprint("pump-", h.rng.IntN(12))
	h.did("create thing %s", n)
	th, err := h.CreateThing(h.ctx, &jobsvc.CreateThingRequest{ThingName: n})
	h.ok(err)
	if old, there := h.things[n]; there && old != th.ID {
		h.fail("%s is another thing now", n)
	}
	h.things[n] = th.ID
	h.follow()
}

// follow takes as covered whom the CONTINUOUS jobs that go on cover by now.
func (h *history) follow() {
	h.t.Helper()
	for _, j := range h.jobs {
		if j.continuous && !j.waits && h.describe(j.id).Status == jobsvc.JobInProgress {
			h.cover(j, j.targets...)
		}
	}
}

func (h *history) deleteThing() {
	n := h.anyThing()
	h.did("delete thing %s", n)
	h.ok(h.DeleteThing(h.ctx, &jobsvc.DeleteThingRequest{ThingName: n}))
	delete(h.things, n)
	maps.DeleteFunc(h.views, func(q queueName, _ view) bool { return q.thing == n })
}

func (h *history) createGroup() {
	n := fmt.Sprint("group-", len(h.groups))
	parent := ""
	if h.chance(60) {
		parent = h.pick(h.groups)
	}
	h.did("create group %s in %q", n, parent)
	_, err := h.CreateThingGroup(h.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: n, ParentName: parent})
	if jobsvc.ErrorCode(err) == jobsvc.CodeInvalidRequest {
		return // too deep
	}
	h.ok(err)
	h.groups = append(h.groups, n)
}

func (h *history) join() {
	g, n := h.pick(h.groups), h.anyThing()
	err := h.AddThingToThingGroup(h.ctx, g, n)
	h.did("%s joins %s: %v", n, g, err)
	switch {
	case h.things[n] == "":
		h.want(jobsvc.CodeNotFound, err)
	case jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest: // two of a hierarchy
		h.ok(err)
		h.follow()
	}
}

func (h *history) createJob() {
	id := fmt.Sprintf("Job%03dX", h.made)
	if len(h.gone) > 0 && h.chance(40) {
		id = h.gone[0]
	}
	if len(h.jobs) > 5 {
		return
	}
	j := &knownJob{id: id, covered: make(map[string][]string), deleted: make(map[attempt]bool)}
	doc := "{}"
	r := &jobsvc.CreateJobRequest{JobID: id, Document: &doc}
	if h.chance(30) {
		j.namespace = "agent"
		r.NamespaceID = &j.namespace
	}
	if h.chance(40) {
		j.timeout = time.Duration(1+h.rng.IntN(9)) * time.Minute
		r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: j.timeout}
	}
	if r.Targets = h.someTargets(); len(r.Targets) == 0 {
		return
	}
	if j.continuous = h.chance(40); j.continuous {
		r.TargetSelection = jobsvc.TargetContinuous
	}
	if j.waits = h.chance(25); j.waits {
		r.SchedulingConfig = &jobsvc.SchedulingConfig{StartTime: h.now.Add(time.Duration(1+h.rng.IntN(900)) * time.Second).Format(time.RFC3339Nano)}
	}
	if j.windows = h.chance(25); j.windows {
		r.SchedulingConfig = cmp.Or(r.SchedulingConfig, &jobsvc.SchedulingConfig{})
		r.SchedulingConfig.MaintenanceWindows = []jobsvc.MaintenanceWindow{{StartTime: "0/10 * * * ? *", DurationInMinutes: int64(1 + h.rng.IntN(7))}}
		j.waits = true
	}
	if j.ends = h.chance(25); j.ends {
		r.SchedulingConfig = cmp.Or(r.SchedulingConfig, &jobsvc.SchedulingConfig{})
		r.SchedulingConfig.EndTime = h.now.Add(time.Duration(1500+h.rng.IntN(900)) * time.Second).Format(time.RFC3339Nano)
		r.SchedulingConfig.EndBehavior = []jobsvc.EndBehavior{jobsvc.EndStopRollout, jobsvc.EndCancel, jobsvc.EndForceCancel}[h.rng.IntN(3)]
	}
	job, err := h.CreateJob(h.ctx, r)
	h.did("create job %s in %q, timeout %s, for %v: %v", id, j.namespace, j.timeout, r.Targets, err)
	if slices.Contains(h.gone, id) && jobsvc.ErrorCode(err) == jobsvc.CodeAlreadyExists {
		return // its deletion is not over yet
	}
	h.ok(err)
	h.made++
	h.gone = slices.DeleteFunc(h.gone, func(g string) bool { return g == id })
	j.created, j.targets = job.CreatedAt, job.Targets
	if j.windows && job.Status == jobsvc.JobInProgress { // it is open
		j.waits = false
	}
	if j.waits != (job.Status == jobsvc.JobScheduled) {
		h.fail("created: %+v", job)
	}
	if !j.waits {
		h.cover(j, j.targets...)
	}
	h.jobs[id] = j
}

// someTargets are 1 to 3 things and groups that exist; none when there is nothing.
func (h *history) someTargets() (targets []string) {
	for range 1 + h.rng.IntN(3) {
		if g := h.pick(h.groups); g != "" && h.chance(60) {
			targets = append(targets, groupARN(g))
		} else if n := h.pick(slices.Sorted(maps.Keys(h.things))); n != "" {
			targets = append(targets, thingARN(n))
		}
	}
	return targets
}

func (h *history) associate() {
	j, targets := h.anyJob(), h.someTargets()
	if len(targets) == 0 {
		return
	}
	r := &jobsvc.AssociateTargetsWithJobRequest{JobID: j.id, Targets: targets}
	if h.jobs[j.id] == nil {
		_, err := h.AssociateTargetsWithJob(h.ctx, r)
		h.want(jobsvc.CodeNotFound, err)
		return
	}
	before := h.describe(j.id)
	job, err := h.AssociateTargetsWithJob(h.ctx, r)
	h.did("%v become targets of %s: %v", targets, j.id, err)
	if !j.continuous || before.Status != jobsvc.JobInProgress || before.Stopped {
		h.want(jobsvc.CodeInvalidRequest, err)
		return
	}
	h.ok(err)
	if !slices.Equal(job.Targets[:len(j.targets)], j.targets) {
		h.fail("the targets were %v, they are %v", j.targets, job.Targets)
	}
	h.cover(j, job.Targets[len(j.targets):]...)
	j.targets = job.Targets
}

func (h *history) cancelExecution() {
	thing, j := h.anyThing(), h.anyJob()
	r := &jobsvc.CancelJobExecutionRequest{ThingName: thing, JobID: j.id, Force: h.chance(40)}
	before, err := h.DescribeJobExecution(h.ctx, thing, j.id, nil)
	var want jobsvc.Code
	switch {
	case err != nil:
		h.want(jobsvc.CodeNotFound, err)
		want = jobsvc.CodeNotFound
	case h.chance(30):
		v := before.VersionNumber + int64(h.rng.IntN(2))
		if r.ExpectedVersion = &v; v != before.VersionNumber {
			want = jobsvc.CodeVersionMismatch
		}
	}
	if want == "" && (before.Status.Terminal() || before.Status == jobsvc.StatusInProgress && !r.Force) {
		want = jobsvc.CodeInvalidStateTransition
	}
	err = h.CancelJobExecution(h.ctx, r)
	h.did("cancel %s of %s, force %v: %v", j.id, thing, r.Force, err)
	if h.want(want, err); err != nil {
		return
	}
	after, err := h.DescribeJobExecution(h.ctx, thing, j.id, nil)
	h.ok(err)
	if after.Status != jobsvc.StatusCanceled || after.VersionNumber != before.VersionNumber+1 || after.ForceCanceled != (before.Status == jobsvc.StatusInProgress) {
		h.fail("canceled it is %+v, before it was %+v", after, before)
	}
}

func (h *history) deleteExecution() {
	j := h.anyJob()
	if h.jobs[j.id] == nil {
		return
	}
	list := h.executions(j.id, "", 0)
	if len(list) == 0 {
		return
	}
	x := list[h.rng.IntN(len(list))]
	status := x.Status
	if seen, err := h.DescribeJobExecution(h.ctx, x.ThingName, j.id, &x.ExecutionNumber); err == nil {
		status = seen.Status // as its job's cancel leaves it
	}
	r := &jobsvc.DeleteJobExecutionRequest{ThingName: x.ThingName, JobID: j.id, ExecutionNumber: x.ExecutionNumber, Force: h.chance(50)}
	var want jobsvc.Code
	switch {
	case h.chance(10):
		r.ExecutionNumber += 5
		want = jobsvc.CodeNotFound
	case status == jobsvc.StatusInProgress && !r.Force:
		want = jobsvc.CodeInvalidStateTransition
	}
	err := h.DeleteJobExecution(h.ctx, r)
	h.did("delete execution %d of %s of %s, force %v: %v", r.ExecutionNumber, j.id, x.ThingName, r.Force, err)
	h.want(want, err)
	if err == nil {
		j.deleted[attempt{j.id, j.created, x.ThingName, x.ExecutionNumber}] = true
		h.want(jobsvc.CodeNotFound, h.DeleteJobExecution(h.ctx, r))
	}
}

// pendingOf lists what a thing has to do as its operator sees it.
func (h *history) pendingOf(thing string) []jobsvc.JobExecution {
	h.t.Helper()
	r, err := h.ListJobExecutionsForThing(h.ctx, &jobsvc.ListJobExecutionsForThingRequest{ThingName: thing, Page: jobsvc.Page{MaxResults: 250}})
	h.ok(err)
	return slices.DeleteFunc(r.Executions, func(x jobsvc.JobExecution) bool { return x.Status.Terminal() || h.jobs[x.JobID] == nil })
}

func (h *history) startNext() {
	thing := h.anyThing()
	var step time.Duration
	if h.chance(30) {
		step = time.Duration(1+h.rng.IntN(5)) * time.Minute
	}
	before, err := h.ThingQueue(h.ctx, thing, "")
	if h.things[thing] == "" {
		h.want(jobsvc.CodeNotFound, err)
		_, err = h.StartNextPendingJobExecution(h.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: thing})
		h.want(jobsvc.CodeNotFound, err)
		return
	}
	h.ok(err)
	r, err := h.StartNextPendingJobExecution(h.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: thing, StepTimeout: step})
	h.ok(err)
	h.did("%s starts %+v, step %s", thing, r.Execution, step)
	head := before.Head
	if head == nil || r.Execution == nil {
		if head != nil || r.Execution != nil {
			h.fail("start-next of %s gives %+v, the head is %+v", thing, r.Execution, head)
		}
		return
	}
	x := r.Execution
	version := head.VersionNumber
	if head.Status == jobsvc.StatusQueued {
		version++
	}
	if x.JobID != head.JobID || x.ExecutionNumber != head.ExecutionNumber || x.Status != jobsvc.StatusInProgress || x.VersionNumber != version || x.StartedAt.IsZero() {
		h.fail("start-next of %s gives %+v, the head was %+v", thing, x, head)
	}
	j := h.jobs[x.JobID]
	h.seen[attempt{j.id, j.created, thing, x.ExecutionNumber}] = *x // a new step timer does not show in the version
	if step > 0 && !x.StepDeadline.Equal(r.Time.Add(step)) || j.timeout > 0 && !x.InProgressDeadline.Equal(x.StartedAt.Add(j.timeout)) {
		h.fail("deadlines of %+v, step %s from %s, job %+v", x, step, r.Time, j)
	}
}

func (h *history) anyStatus() jobsvc.JobExecutionStatus {
	s := []jobsvc.JobExecutionStatus{
		jobsvc.StatusInProgress, jobsvc.StatusInProgress, jobsvc.StatusInProgress, jobsvc.StatusSucceeded, jobsvc.StatusFailed,
		jobsvc.StatusRejected, jobsvc.StatusCanceled, jobsvc.StatusQueued, "DONE",
	}
	return s[h.rng.IntN(len(s))]
}

// update reports a status, with a right, a wrong or no version, and expects what the
// state seen before allows.
func (h *history) update(thing string, j *knownJob, status jobsvc.JobExecutionStatus) {
	h.t.Helper()
	r := &jobsvc.UpdateJobExecutionRequest{ThingName: thing, JobID: j.id, NamespaceID: j.namespace, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: status}}
	before, err := h.DescribeJobExecution(h.ctx, thing, j.id, nil)
	if jobsvc.ErrorCode(err) == jobsvc.CodeNotFound {
		before = nil
	} else {
		h.ok(err)
	}
	var want jobsvc.Code
	if before != nil && h.chance(50) {
		v := before.VersionNumber
		if h.chance(30) {
			v += int64(1 - 2*h.rng.IntN(2))
		}
		r.ExpectedVersion = &v
	}
	if before != nil && h.chance(20) {
		n := before.ExecutionNumber
		r.ExecutionNumber = &n
	}
	if h.chance(5) {
		r.NamespaceID = "other"
	}
	if h.chance(30) {
		r.StatusDetails = map[string]string{"step": fmt.Sprint(len(h.log))}
	}
	if h.chance(10) {
		r.StepTimeout = time.Duration(h.rng.IntN(9)) * time.Minute
	}
	switch {
	case status == "DONE":
		want = jobsvc.CodeInvalidRequest
	case before == nil, r.NamespaceID != j.namespace, h.deleting(j.id):
		want = jobsvc.CodeNotFound
	case r.ExpectedVersion != nil && *r.ExpectedVersion != before.VersionNumber:
		want = jobsvc.CodeVersionMismatch
	case before.Status.Terminal(), status == jobsvc.StatusCanceled, status == jobsvc.StatusQueued:
		want = jobsvc.CodeInvalidStateTransition
	}
	res, err := h.UpdateJobExecution(h.ctx, r)
	h.did("%s reports %s for %s: %v", thing, status, j.id, err)
	h.want(want, err)
	if err != nil {
		var refused *jobsvc.Error
		if withState := want == jobsvc.CodeVersionMismatch || want == jobsvc.CodeInvalidStateTransition; withState && (!errors.As(err, &refused) || !reflect.DeepEqual(refused.State, before.State())) {
			h.fail("refused with state %+v, it is %+v", refused, before.State())
		}
		return
	}
	after, err := h.DescribeJobExecution(h.ctx, thing, j.id, nil)
	h.ok(err)
	if after.VersionNumber != before.VersionNumber+1 || after.Status != status || !reflect.DeepEqual(res.State, *after.State()) {
		h.fail("after the report it is %+v, before it was %+v, the answer %+v", after, before, res.State)
	}
}

func (h *history) deleting(job string) bool {
	d, err := h.DescribeJob(h.ctx, job)
	return err == nil && d.Status == jobsvc.JobDeletionInProgress
}

// describeOne holds what the device is told against what the operator is.
func (h *history) describeOne() {
	thing, j := h.anyThing(), h.anyJob()
	x, err := h.DescribeJobExecution(h.ctx, thing, j.id, nil)
	r, deviceErr := h.DescribePendingJobExecution(h.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: thing, JobID: j.id, NamespaceID: j.namespace, IncludeDocument: true})
	h.did("describe %s of %s: %v, %v", j.id, thing, err, deviceErr)
	switch {
	case err != nil || h.deleting(j.id):
		h.want(jobsvc.CodeNotFound, deviceErr)
	case x.Status.Terminal():
		h.want(jobsvc.CodeTerminalState, deviceErr)
	default:
		h.ok(deviceErr)
		if !reflect.DeepEqual(r.Execution, x) || string(r.Document.Text) != "{}" {
			h.fail("the device is told %+v, the operator %+v", r.Execution, x)
		}
	}
}

func (h *history) cancel() {
	j := h.anyJob()
	if h.chance(60) || h.jobs[j.id] == nil {
		return
	}
	before := h.describe(j.id)
	force := h.chance(40)
	_, err := h.CancelJob(h.ctx, &jobsvc.CancelJobRequest{JobID: j.id, Force: force})
	h.did("cancel %s, force %v: %v", j.id, force, err)
	if before.Active() || before.Status == jobsvc.JobCanceled && force && !before.ForceCanceled {
		h.ok(err)
	} else {
		h.want(jobsvc.CodeInvalidRequest, err)
	}
}

func (h *history) deleteJob() {
	j := h.anyJob()
	if h.jobs[j.id] == nil {
		return
	}
	before := h.describe(j.id)
	force := h.chance(50)
	err := h.DeleteJob(h.ctx, &jobsvc.DeleteJobRequest{JobID: j.id, Force: force})
	h.did("delete %s, force %v: %v", j.id, force, err)
	if before.Active() && !force {
		h.want(jobsvc.CodeInvalidStateTransition, err)
		return
	}
	h.ok(err)
	h.forgetJob(j.id)
}

func (h *history) forgetJob(id string) {
	delete(h.jobs, id)
	h.gone = append(h.gone, id)
}

// fireDue fires one due timer, or a few, at times one of them twice.
func (h *history) fireDue() {
	timers, err := h.Timers(h.ctx, 100)
	h.ok(err)
	h.stale = append(h.stale, timers...)
	now := h.tick()
	timers = slices.DeleteFunc(timers, func(t store.Timer) bool { return t.Due.After(now) })
	if len(timers) == 0 {
		return
	}
	t := timers[h.rng.IntN(len(timers))]
	h.fire(t, now)
	if h.chance(30) {
		h.fire(t, now)
	}
}

// fireStale fires a timer that was there once: it must do no harm.
func (h *history) fireStale() {
	if len(h.stale) > 0 {
		h.fire(h.stale[h.rng.IntN(len(h.stale))], h.tick())
	}
}

func (h *history) fire(t store.Timer, now time.Time) {
	h.did("fire %c of %s for %s, due %s", t.Kind, t.Scope, t.JobID, t.Due.Format(time.TimeOnly))
	h.ok(h.Fire(h.ctx, t, now))
	if j := h.jobs[t.JobID]; j != nil && j.waits && h.describe(j.id).Status == jobsvc.JobInProgress {
		j.waits = false
		h.cover(j, j.targets...)
	}
	h.follow() // it may have opened
	h.checkHints()
}

// settleAll lets everything happen that is due, and checks what then must be so.
func (h *history) settleAll() {
	h.did("all that is due")
	for {
		timers, err := h.Timers(h.ctx, 100)
		h.ok(err)
		now := h.tick()
		timers = slices.DeleteFunc(timers, func(t store.Timer) bool { return t.Due.After(now) })
		if len(timers) == 0 {
			break
		}
		h.fire(timers[0], now)
	}
	h.ok(h.Settle(h.ctx))
	h.check()
	h.checkHints()
	for _, j := range h.jobs {
		d := h.describe(j.id)
		if d.Status == jobsvc.JobInProgress && !j.continuous && d.ProcessDetails.Pending() == 0 {
			h.fail("job %s has nothing left to do: %+v", j.id, d)
		}
		switch {
		case d.Stopped && (d.Status == jobsvc.JobCanceled || d.ProcessDetails.Pending() > 0 && (!j.windows || d.ProcessDetails.Queued == 0)):
		case d.Stopped && d.Status != jobsvc.JobCompleted:
			h.fail("job %s was stopped, and is %+v", j.id, d)
		case d.Status == jobsvc.JobScheduled && (!j.waits && !j.windows || !d.StartsAt.After(h.now) || j.windows && h.inWindow(&d.Job)),
			d.Status == jobsvc.JobInProgress && j.windows && !h.inWindow(&d.Job),
			d.Active() && j.ends && !d.EndsAt.After(h.now),
			j.continuous && d.Status == jobsvc.JobCompleted && !d.Stopped:
			h.fail("job %s is %+v", j.id, d)
		}
		if d.Concurrent || d.Status == jobsvc.JobInProgress && !d.RolloutDone || d.Status == jobsvc.JobCanceled && (d.ProcessDetails.Queued > 0 || d.ForceCanceled && d.ProcessDetails.InProgress > 0) {
			h.fail("job %s is not done with: %+v", j.id, d)
		}
		if (d.Status == jobsvc.JobInProgress || d.Status == jobsvc.JobCompleted) && !d.Stopped {
			h.checkCoverage(j)
		}
	}
	for n := range h.things {
		for _, x := range h.pendingOf(n) {
			if dl := x.Deadline(); !dl.IsZero() && dl.Before(h.now) {
				h.fail("%+v is over its deadline", x)
			}
		}
		// Whatever a device should know, it was told.
		for _, ns := range []string{"", "agent"} {
			if now, told := h.view(n, ns), h.views[queueName{n, ns}]; !maps.Equal(now.set, told.set) || now.head != told.head || now.number != told.number {
				h.fail("%s/%s is %+v, and was told %+v", n, ns, now, told)
			}
		}
	}
	for _, id := range h.gone {
		if _, err := h.DescribeJob(h.ctx, id); jobsvc.ErrorCode(err) != jobsvc.CodeNotFound {
			h.fail("the deleted job %s: %v", id, err)
		}
		h.checkGone(id)
	}
}

// inWindow tells whether a job may work now: it has begun to, or may, and a window is open.
func (h *history) inWindow(j *jobsvc.Job) bool {
	start, _, err := j.SchedulingConfig.Times()
	h.ok(err)
	since := h.now.Sub(h.now.Truncate(10 * time.Minute))
	return !h.now.Before(start) && since < time.Duration(j.SchedulingConfig.MaintenanceWindows[0].DurationInMinutes)*time.Minute
}

// checkCoverage: everyone a rolled out job covered, and who is still there, has its execution.
func (h *history) checkCoverage(j *knownJob) {
	h.t.Helper()
	for n, ids := range j.covered {
		_, err := h.DescribeJobExecution(h.ctx, n, j.id, nil)
		if err == nil || !slices.Contains(ids, h.things[n]) {
			continue
		}
		deleted := false
		for k := range j.deleted {
			deleted = deleted || k.thing == n
		}
		if !deleted {
			h.fail("job %s was rolled out without %s: %v", j.id, n, err)
		}
	}
}

// checkGone finds what is left of a deleted job, in keys and in values.
func (h *history) checkGone(id string) {
	h.t.Helper()
	for r := (kv.Range{Start: []byte{1}, Limit: 1000}); r.Start != nil; {
		items, next, err := h.db.Scan(h.ctx, r)
		h.ok(err)
		for _, it := range items {
			if bytes.HasPrefix(it.Key, []byte("stokenKey")) {
				continue // random
			}
			if bytes.Contains(it.Key, []byte(id)) || bytes.Contains(it.Value, []byte(id)) {
				h.fail("left of job %s: key %q, value %q", id, it.Key, it.Value)
			}
		}
		r.Start = next
	}
	counters, err := h.db.Counters(h.ctx, []byte("c"))
	h.ok(err)
	for k, v := range counters {
		if bytes.Contains([]byte(k), []byte(id)) {
			h.fail("left of job %s: counter %q = %d", id, k, v)
		}
	}
}

// check holds everything that must be so at any time.
func (h *history) check() {
	h.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(h.jobs)) {
		h.checkJob(h.jobs[id])
	}
	for n := range h.things {
		h.checkQueue(n)
	}
}

func (h *history) checkJob(j *knownJob) {
	h.t.Helper()
	d := h.describe(j.id)
	list := h.executions(j.id, "", 1+h.rng.IntN(9))
	var counted jobsvc.JobProcessDetails
	pending := make(map[string]bool)
	for _, x := range list {
		*counted.Count(x.Status)++
		if j.deleted[attempt{j.id, j.created, x.ThingName, x.ExecutionNumber}] {
			h.fail("the deleted %+v is there again", x)
		}
		if !slices.Contains(j.covered[x.ThingName], x.ThingID) {
			h.fail("%s has an execution of %s, which did not cover it", x.ThingName, j.id)
		}
		if x.NamespaceID != j.namespace {
			h.fail("%+v is not of the namespace of its job, %q", x, j.namespace)
		}
		if !x.Status.Terminal() {
			if pending[x.ThingName] {
				h.fail("two executions of %s are pending on %s", j.id, x.ThingName)
			}
			pending[x.ThingName] = true
		}
		h.checkVersion(j, x)
	}
	for _, s := range jobsvc.JobExecutionStatuses() {
		if got, want := *d.ProcessDetails.Count(s), *counted.Count(s); got != want || got != int64(len(h.executions(j.id, s, 3))) {
			h.fail("job %s: counter of %s is %d, listing shows %d, with the filter %d", j.id, s, got, want, len(h.executions(j.id, s, 3)))
		}
	}
	if d.Status == jobsvc.JobCompleted && (d.ProcessDetails.Pending() > 0 || !d.RolloutDone || d.CompletedAt.IsZero()) {
		h.fail("completed: %+v", d)
	}
	if d.Status != jobsvc.JobCompleted && !d.CompletedAt.IsZero() {
		h.fail("not completed: %+v", d)
	}
}

// checkVersion: whatever changes in an execution, its version has grown, but for a new
// step timer; and one that has ended does not change.
func (h *history) checkVersion(j *knownJob, x jobsvc.JobExecution) {
	h.t.Helper()
	k := attempt{j.id, j.created, x.ThingName, x.ExecutionNumber}
	old, ok := h.seen[k]
	h.seen[k] = x
	if !ok {
		return
	}
	if old.Status.Terminal() && !reflect.DeepEqual(old, x) {
		h.fail("an ended execution changed from %+v to %+v", old, x)
	}
	same := old
	same.StepDeadline = x.StepDeadline
	if x.VersionNumber < old.VersionNumber || x.VersionNumber == old.VersionNumber && !reflect.DeepEqual(same, x) {
		h.fail("version %d of %+v is now %+v", old.VersionNumber, old, x)
	}
	if x.Status == jobsvc.StatusQueued && old.Status != jobsvc.StatusQueued {
		h.fail("%+v is QUEUED again", x)
	}
	if x.Status == jobsvc.StatusTimedOut && old.Status == jobsvc.StatusInProgress && x.VersionNumber == old.VersionNumber+1 && x.LastUpdatedAt.Before(old.Deadline()) {
		h.fail("%+v timed out before its deadline", old)
	}
}

// checkQueue: the queue of a device is its pending executions, those that it may not
// see left out, in order.
func (h *history) checkQueue(thing string) {
	h.t.Helper()
	pending := h.pendingOf(thing)
	for _, ns := range []string{"", "agent"} {
		var want []jobsvc.JobExecution
		for _, x := range pending {
			if x.NamespaceID != ns {
				continue
			}
			if seen, err := h.DescribeJobExecution(h.ctx, thing, x.JobID, nil); err != nil || seen.Status.Terminal() {
				continue // canceled, and the sweep has not come by
			}
			if x.Status == jobsvc.StatusQueued && h.describe(x.JobID).Status == jobsvc.JobScheduled {
				continue // between two windows
			}
			want = append(want, x)
		}
		slices.SortFunc(want, func(a, b jobsvc.JobExecution) int {
			inProgress := map[jobsvc.JobExecutionStatus]int{jobsvc.StatusQueued: 1}
			return cmp.Or(cmp.Compare(inProgress[a.Status], inProgress[b.Status]), a.QueuedAt.Compare(b.QueuedAt), cmp.Compare(a.JobID, b.JobID))
		})
		tq, err := h.ThingQueue(h.ctx, thing, ns)
		h.ok(err)
		if got := slices.Concat(tq.InProgress, tq.Queued); !slices.EqualFunc(got, want, func(a, b jobsvc.JobExecution) bool { return reflect.DeepEqual(a, b) }) {
			h.fail("%s/%s shows %+v, its executions are %+v", thing, ns, got, want)
		}
		if (tq.Head == nil) != (len(want) == 0) || tq.Head != nil && tq.Head.JobID != want[0].JobID {
			h.fail("%s/%s has head %+v, its executions are %+v", thing, ns, tq.Head, want)
		}
	}
}

// view reads what a device would be told now.
func (h *history) view(thing, ns string) view {
	h.t.Helper()
	tq, err := h.ThingQueue(h.ctx, thing, ns)
	h.ok(err)
	v := view{set: make(map[string]int64), setV: tq.SetVersion, headV: tq.HeadVersion}
	for _, x := range slices.Concat(tq.InProgress, tq.Queued) {
		v.set[x.JobID] = x.ExecutionNumber
	}
	if tq.Head != nil {
		v.head, v.number = tq.Head.JobID, tq.Head.ExecutionNumber
	}
	return v
}

// checkHints: a hint comes when what a device should know is not what it was at the last
// hint, says by its versions which of the two changed, and never comes otherwise.
func (h *history) checkHints() {
	h.t.Helper()
	hinted := make(map[queueName]bool)
	for _, hint := range h.told() {
		q := queueName{hint.ThingName, hint.NamespaceID}
		if hinted[q] {
			h.fail("two hints for %v from one step", q)
		}
		hinted[q] = true
		h.checkHint(q, hint)
	}
	for q, told := range h.views {
		if now := h.view(q.thing, q.namespace); now.setV != told.setV || now.headV != told.headV {
			h.fail("%v is at %+v without a hint since %+v", q, now, told)
		}
	}
}

func (h *history) checkHint(q queueName, hint engine.Hint) {
	h.t.Helper()
	now, told := h.view(q.thing, q.namespace), h.views[q]
	if now.setV != hint.SetVersion || now.headV != hint.HeadVersion {
		h.fail("hint %+v, the queue is at %+v", hint, now)
	}
	if set := !maps.Equal(now.set, told.set); set != (now.setV > told.setV) || now.setV > told.setV+1 {
		h.fail("%v: set was %+v, is %+v", q, told, now)
	}
	if head := now.head != told.head || now.number != told.number; head != (now.headV > told.headV) || now.headV > told.headV+1 {
		h.fail("%v: head was %+v, is %+v", q, told, now)
	}
	h.views[q] = now
}
