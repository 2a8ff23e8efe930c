package engine_test

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
)

// lockstep carries commands out on the engine and on the model, and holds the one against
// the other after each, in all that can be observed.
type lockstep struct {
	t       failer
	script  *script
	s       *subject
	m       *model
	names   map[string]bool // of all things there ever were
	jobIDs  map[string]bool
	views   map[queueName]lockView
	told    []jobsvc.Event // the events of the last moment
	disturb func() disturbance
	// seen, when not nil, is called after every moment at which something may have
	// happened, with the reply to the command if it was that of one.
	seen func(r *reply)
}

// lockView is the queue of a device as it was told.
type lockView struct {
	set         []string
	head        string
	setV, headV uint64
}

var namespaces = []string{"", "agent"}

// script is a failer that says which commands led there.
type script struct {
	failer
	lines []string
}

func (s *script) Fatalf(format string, args ...any) {
	s.Helper()
	s.failer.Fatalf("%s\nafter\n%s", fmt.Sprintf(format, args...), strings.Join(s.lines, "\n"))
}

func newLockstep(t failer) *lockstep {
	said := &script{failer: t}
	t = said
	l := &lockstep{
		t: t, script: said, s: newSubject(t), m: newModel(), names: make(map[string]bool), jobIDs: make(map[string]bool), views: make(map[queueName]lockView),
		disturb: func() disturbance { return calm },
	}
	l.m.foundOver = func(job string) bool {
		d, err := l.s.DescribeJob(l.s.ctx, job)
		return err == nil && !d.Concurrent
	}
	l.set(time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC))
	return l
}

func (l *lockstep) set(now time.Time) {
	l.s.set(now)
	l.m.now = now
}

// line carries out a command.
func (l *lockstep) line(line string) reply {
	l.t.Helper()
	l.script.lines = append(l.script.lines, line)
	c, err := parseCommand(line)
	if err != nil {
		l.t.Fatalf("%v", err)
	}
	switch c.verb {
	case "advance":
		l.advance(l.m.now.Add(mustDuration(c.arg(0))))
		return reply{}
	case "outage":
		l.set(l.m.now.Add(mustDuration(c.arg(0))))
		l.s.restart()
		l.moment(nil)
		return reply{}
	case "restart":
		l.s.restart()
		l.moment(nil)
		return reply{}
	}
	l.remember(c)
	got := l.s.do(c)
	want := l.m.do(c, l.s.idOf)
	if l.plain(&got); !reflect.DeepEqual(got, l.plainModel(want)) {
		l.t.Fatalf("%s\n gives %s,\nwanted %s", line, got, want)
	}
	l.moment(&got)
	return got
}

// remember keeps the names in a command: what is gone is looked for, too.
func (l *lockstep) remember(c command) {
	switch c.verb {
	case "thing":
		for _, n := range c.args {
			l.names[n] = true
		}
	case "create-job":
		l.jobIDs[c.arg(0)] = true
	}
}

// advance lets time pass, from one moment at which something is due to the next.
func (l *lockstep) advance(to time.Time) {
	l.t.Helper()
	for {
		next := to
		for _, at := range []time.Time{l.m.next(), l.s.next()} {
			if at.After(l.m.now) && at.Before(next) {
				next = at
			}
		}
		l.set(next)
		l.moment(nil)
		if next.Equal(to) {
			return
		}
	}
}

// moment lets everything happen that is due, and compares.
func (l *lockstep) moment(r *reply) {
	l.t.Helper()
	l.s.run(l.disturb())
	l.m.act()
	l.compare()
	if l.seen != nil {
		l.seen(r)
	}
}

// plain takes out of an engine's reply what nobody sees: how it counts retries.
func (l *lockstep) plain(r *reply) {
	if r.Execution != nil {
		*r.Execution = observable(*r.Execution)
	}
	for i := range r.Queue {
		r.Queue[i] = observable(r.Queue[i])
	}
}

func (l *lockstep) plainModel(r reply) reply {
	r.Queue = slices.Clone(r.Queue)
	l.plain(&r)
	return r
}

func observable(x jobsvc.JobExecution) jobsvc.JobExecution {
	x.TimedOutRetries, x.Uncovered = 0, false
	return x
}

func (l *lockstep) compare() {
	l.t.Helper()
	if err := l.s.db.err(); err != nil {
		l.t.Fatalf("%v", err)
	}
	for id := range l.jobIDs {
		l.compareJob(id)
	}
	l.compareJobList()
	l.compareEvents()
	hints := l.s.takeHints()
	for n := range l.names {
		l.compareThing(n)
		for _, ns := range namespaces {
			l.compareQueue(queueName{n, ns}, hints)
		}
	}
}

// compareEvents compares what operators are told of each job, in its order; that of the
// executions between two events of the job is nobody's.
func (l *lockstep) compareEvents() {
	l.t.Helper()
	want := l.m.events
	l.m.events = nil
	l.told = l.s.takeEvents()
	got := make([]modelEvent, len(l.told))
	for i, e := range l.told {
		got[i] = modelEvent{Job: e.JobID(), Operation: string(e.Operation)}
		if x := e.Execution; x != nil {
			got[i].Thing, got[i].Number = x.ThingName, x.ExecutionNumber
		}
	}
	if g, w := byJob(got), byJob(want); !slices.Equal(g, w) {
		l.t.Fatalf("the events are\n%+v\nwanted\n%+v", g, w)
	}
}

// byJob sorts events by job, and those of executions that follow one another.
func byJob(list []modelEvent) []modelEvent {
	since := make(map[string]int)
	type place struct {
		modelEvent
		after int
	}
	var all []place
	for _, e := range list {
		if e.Thing == "" {
			since[e.Job]++
		}
		all = append(all, place{e, since[e.Job]})
	}
	slices.SortStableFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.after, b.after), cmp.Compare(a.Thing, b.Thing), cmp.Compare(a.Number, b.Number))
	})
	sorted := make([]modelEvent, len(all))
	for i, p := range all {
		sorted[i] = p.modelEvent
	}
	return sorted
}

func (l *lockstep) compareJob(id string) {
	l.t.Helper()
	j := l.m.jobs[id]
	d, err := l.s.DescribeJob(l.s.ctx, id)
	if j == nil {
		if jobsvc.ErrorCode(err) != jobsvc.CodeNotFound {
			l.t.Fatalf("job %s should be gone: %+v, %v", id, d, err)
		}
		return
	}
	l.s.must(err)
	got := fmt.Sprintf("%s %s for %v, forced %v, because %q %q, created %s, updated %s, completed %s", d.Status, d.TargetSelection, d.Targets, d.ForceCanceled, d.ReasonCode, d.Comment, clock(d.CreatedAt), clock(d.LastUpdatedAt), clock(d.CompletedAt))
	want := fmt.Sprintf("%s %s for %v, forced %v, because %q %q, created %s, updated %s, completed %s", j.Status, j.TargetSelection, j.Targets, j.ForceCanceled, j.ReasonCode, j.Comment, clock(j.CreatedAt), clock(j.LastUpdatedAt), clock(j.CompletedAt))
	if got != want {
		l.t.Fatalf("job %s is  %s,\nshould be %s", id, got, want)
	}
	counts := j.counts()
	for _, s := range jobsvc.JobExecutionStatuses() {
		if got, want := *d.ProcessDetails.Count(s), counts[s]; got != want {
			l.t.Fatalf("job %s has %d executions %s, not %d", id, got, s, want)
		}
	}
	l.compareRollout(j, d)
	l.compareExecutions(j)
}

// compareRollout: a job is concurrent while things of its targets wait for their
// execution, and shows at least the targets they are of.
func (l *lockstep) compareRollout(j *modelJob, d *jobsvc.JobDescription) {
	l.t.Helper()
	unfinished := j.Status == jobsvc.JobInProgress && j.rollout != nil
	if j.Status == jobsvc.JobScheduled && j.begun {
		if d.Concurrent {
			l.t.Fatalf("job %s is concurrent between two windows", j.ID)
		}
		return // whether it shows the targets it goes on with is open
	}
	if d.Concurrent != unfinished || (len(d.ProcessDetails.ProcessingTargets) > 0) != unfinished {
		l.t.Fatalf("job %s is concurrent %v with the targets %v, unfinished should be %v", j.ID, d.Concurrent, d.ProcessDetails.ProcessingTargets, unfinished)
	}
	if !unfinished {
		return
	}
	for _, left := range j.rollout.left {
		if !l.m.skipped(j, left) && !slices.Contains(d.ProcessDetails.ProcessingTargets, left.target) {
			l.t.Fatalf("job %s shows the targets %v, but %s waits in %s", j.ID, d.ProcessDetails.ProcessingTargets, left.thing.name, left.target)
		}
	}
}

func (l *lockstep) compareExecutions(j *modelJob) {
	l.t.Helper()
	for _, status := range append(jobsvc.JobExecutionStatuses(), "") {
		got := l.s.executionsOf(j.ID, status, 3)
		var want []jobsvc.JobExecution
		for _, x := range j.listed() {
			if status == "" || x.Status == status {
				want = append(want, x.JobExecution)
			}
		}
		l.same(fmt.Sprintf("executions of job %s in status %q", j.ID, status), got, want)
	}
}

// same compares lists of executions.
func (l *lockstep) same(what string, got, want []jobsvc.JobExecution) {
	l.t.Helper()
	if len(got) != len(want) {
		l.t.Fatalf("%s: %s,\nwanted %s", what, showAll(got), showAll(want))
	}
	for i := range got {
		if !reflect.DeepEqual(observable(got[i]), observable(want[i])) {
			l.t.Fatalf("%s, %d.: %s,\nwanted %s", what, i+1, show(got[i]), show(want[i]))
		}
	}
}

func (l *lockstep) compareJobList() {
	l.t.Helper()
	r, err := l.s.ListJobs(l.s.ctx, &jobsvc.ListJobsRequest{})
	l.s.must(err)
	want := sorted(l.m.jobs)
	slices.SortStableFunc(want, func(a, b *modelJob) int { return b.CreatedAt.Compare(a.CreatedAt) })
	if !slices.EqualFunc(r.Jobs, want, func(a jobsvc.Job, b *modelJob) bool { return a.ID == b.ID && a.Status == b.Status }) {
		l.t.Fatalf("ListJobs gives %+v, wanted %+v", r.Jobs, want)
	}
}

func (l *lockstep) compareThing(name string) {
	l.t.Helper()
	t := l.m.things[name]
	list, err := l.s.ListJobExecutionsForThing(l.s.ctx, &jobsvc.ListJobExecutionsForThingRequest{ThingName: name, Page: jobsvc.Page{MaxResults: 250}})
	if t == nil {
		if jobsvc.ErrorCode(err) != jobsvc.CodeNotFound {
			l.t.Fatalf("thing %s should be gone: %+v, %v", name, list, err)
		}
		return
	}
	l.s.must(err)
	var want []jobsvc.JobExecution
	for _, j := range sorted(l.m.jobs) {
		for _, x := range j.executions {
			if x.ThingID == t.id {
				want = append(want, x.JobExecution)
			}
		}
		l.compareLatest(j, t)
	}
	slices.SortStableFunc(want, func(a, b jobsvc.JobExecution) int { return b.QueuedAt.Compare(a.QueuedAt) })
	l.same("executions of "+name, list.Executions, want)
}

// compareLatest: DescribeJobExecution gives the latest, with the time it has left.
func (l *lockstep) compareLatest(j *modelJob, t *modelThing) {
	l.t.Helper()
	got, err := l.s.DescribeJobExecution(l.s.ctx, t.name, j.ID, nil)
	want := j.latest(t)
	if want == nil {
		if jobsvc.ErrorCode(err) != jobsvc.CodeNotFound {
			l.t.Fatalf("%s should have no execution of %s: %+v, %v", t.name, j.ID, got, err)
		}
		return
	}
	if err != nil {
		l.t.Fatalf("execution of %s on %s: %v", j.ID, t.name, err)
	}
	l.same("latest execution of "+j.ID+" on "+t.name, []jobsvc.JobExecution{*got}, []jobsvc.JobExecution{want.JobExecution})
	left, ok := got.SecondsBeforeTimedOut(l.m.now)
	if !ok {
		left = -1
	}
	if left != l.m.secondsLeft(want) {
		l.t.Fatalf("execution of %s on %s has %d seconds left, not %d", j.ID, t.name, left, l.m.secondsLeft(want))
	}
}

// compareQueue compares what a device of a namespace sees. The versions of the set and of
// the head have grown exactly when these have changed, and then there was a hint.
func (l *lockstep) compareQueue(name queueName, all []engine.Hint) {
	l.t.Helper()
	if l.m.things[name.thing] == nil {
		delete(l.views, name)
		return
	}
	tq, err := l.s.ThingQueue(l.s.ctx, name.thing, name.namespace)
	l.s.must(err)
	var want []jobsvc.JobExecution
	now := lockView{setV: tq.SetVersion, headV: tq.HeadVersion}
	for _, x := range l.m.queue(name.thing, name.namespace) {
		want = append(want, x.JobExecution)
		now.set = append(now.set, fmt.Sprint(x.JobID, "#", x.ExecutionNumber))
	}
	if len(now.set) > 0 {
		now.head = now.set[0]
	}
	slices.Sort(now.set)
	l.same(fmt.Sprint("queue of ", name), slices.Concat(tq.InProgress, tq.Queued), want)
	if (tq.Head == nil) != (now.head == "") || tq.Head != nil && fmt.Sprint(tq.Head.JobID, "#", tq.Head.ExecutionNumber) != now.head {
		l.t.Fatalf("queue of %v has head %+v, not %s", name, tq.Head, now.head)
	}
	was := l.views[name]
	l.views[name] = now
	set, head := !slices.Equal(was.set, now.set), was.head != now.head
	if l.cameAndWent(name) { // the versions may have grown all the same
		set, head = was.setV != now.setV, was.headV != now.headV
	}
	if (was.setV != now.setV) != set || (was.headV != now.headV) != head || now.setV < was.setV || now.headV < was.headV {
		l.t.Fatalf("queue of %v went from %+v to %+v", name, was, now)
	}
	hints := slices.DeleteFunc(slices.Clone(all), func(h engine.Hint) bool { return h.ThingName != name.thing || h.NamespaceID != name.namespace })
	if (len(hints) > 0) != (set || head) {
		l.t.Fatalf("queue of %v went from %+v to %+v with the hints %+v", name, was, now, hints)
	}
	if len(hints) > 0 {
		newest := slices.MaxFunc(hints, func(a, b engine.Hint) int { return int(a.SetVersion+a.HeadVersion) - int(b.SetVersion+b.HeadVersion) })
		if newest.SetVersion != now.setV || newest.HeadVersion != now.headV {
			l.t.Fatalf("queue of %v is %+v, the newest hint %+v", name, now, newest)
		}
	}
}

// cameAndWent tells whether an execution was made for a queue and ended at this moment.
func (l *lockstep) cameAndWent(name queueName) bool {
	for _, j := range l.m.jobs {
		for _, x := range j.executions {
			if x.ThingName == name.thing && j.NamespaceID == name.namespace && x.QueuedAt.Equal(l.m.now) && ended(x) {
				return true
			}
		}
	}
	return false
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("15:04:05.000")
}

func show(x jobsvc.JobExecution) string {
	return fmt.Sprintf("%s#%d on %s %s v%d %v, attempt %d, forced %v, queued %s, started %s, updated %s, deadlines %s %s", x.JobID, x.ExecutionNumber, x.ThingName, x.Status, x.VersionNumber,
		x.StatusDetails, x.RetryAttempt, x.ForceCanceled, clock(x.QueuedAt), clock(x.StartedAt), clock(x.LastUpdatedAt), clock(x.InProgressDeadline), clock(x.StepDeadline))
}

func showAll(list []jobsvc.JobExecution) string {
	s := ""
	for _, x := range list {
		s += "\n\t" + show(x)
	}
	return s
}

func (r reply) String() string {
	s := string(r.Code)
	if r.State != nil {
		s += fmt.Sprintf(" state %+v", *r.State)
	}
	if r.Execution != nil {
		s += " " + show(*r.Execution)
	}
	return s + showAll(r.Queue)
}
