package engine_test

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// model is the service as its specification has it, and written from nothing else: small,
// slow, in memory, each rule once and nothing kept that can be counted. What takes the
// engine a chain of steps happens here at once. It uses the records of package jobsvc to
// hold its values, none of their methods.
//
// It lives at now. act does what is due then; next is when something is due again.
type model struct {
	now    time.Time
	things map[string]*modelThing
	groups map[string]string // the parent of each, "" for none
	// dynamic are the groups, of those, that have the things with an attribute: "site:north".
	dynamic map[string]string
	jobs    map[string]*modelJob
	events  []modelEvent // since they were taken

	// foundOver tells, where the specification leaves it open, whether the service has found
	// a rollout to be over.
	foundOver func(job string) bool
}

func newModel() *model {
	return &model{things: make(map[string]*modelThing), groups: make(map[string]string), dynamic: make(map[string]string), jobs: make(map[string]*modelJob)}
}

type modelJob struct {
	jobsvc.Job
	executions []*modelExecution
	highest    map[string]int64     // the highest number ever given to a thing of that name
	given      map[*modelThing]bool // who ever had an execution
	begun      bool                 // its rollout has begun
	closes     time.Time            // when its open windows are over, zero for never
	atEnd      bool                 // its end time has passed
	ended      bool                 // its end time, or last window, has passed
	rollout    *modelRollout        // nil when there is none, or none any more
	notified   int64                // things that its rollout gave an execution
	level      int64                // how often the rate was raised
}

type modelExecution struct {
	jobsvc.JobExecution
	retries map[jobsvc.FailureType]int64 // of its chain so far, by the criterion that allowed them
}

// reply is what a command gives. Members that do not belong to it are empty.
type reply struct {
	Code      jobsvc.Code
	State     *jobsvc.JobExecutionState // with refusals of updates, and with updates
	Execution *jobsvc.JobExecution
	Queue     []jobsvc.JobExecution
}

func refuse(code jobsvc.Code) reply { return reply{Code: code} }

// do carries out a command. IDs of things are the engine's: idOf finds them.
func (m *model) do(c command, idOf func(thing string) string) reply {
	switch c.verb {
	case "thing":
		for _, n := range c.args {
			m.createThing(n, idOf(n))
		}
	case "delete-thing":
		m.deleteThing(c.arg(0))
	case "group":
		return m.createGroup(c)
	case "delete-group":
		return m.deleteGroup(c.arg(0))
	case "join":
		return m.moveThing(c.arg(0), "", c.arg(1))
	case "leave":
		return m.moveThing(c.arg(0), c.arg(1), "")
	case "move":
		return m.moveThing(c.arg(0), c.arg(1), c.arg(2))
	case "set":
		return m.setAttributes(c.arg(0), attrs(c.args[1:]))
	case "dynamic-group":
		m.createDynamicGroup(c.arg(0), c.arg(1))
	case "create-job":
		return m.createJob(c.createJob(m.now))
	case "update-job":
		return m.updateJob(c.updateJob())
	case "cancel-job":
		return m.cancelJob(c.cancelJob())
	case "delete-job":
		return m.deleteJob(c.arg(0), c.has("force"))
	case "associate":
		return m.associate(c.associate())
	case "cancel-execution":
		return m.cancelExecution(c.cancelExecution())
	case "delete-execution":
		return m.deleteExecution(c.deleteExecution())
	case "start-next":
		return m.startNext(c.startNext())
	case "update":
		return m.update(c.update())
	case "describe":
		return m.describe(c.describe())
	case "get-pending":
		return m.getPending(c.thing)
	}
	return reply{}
}

// sorted gives the values of a map by their keys.
func sorted[V any](byName map[string]V) []V {
	var list []V
	for _, k := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, byName[k])
	}
	return list
}

// act does all that is due by now, in the order of the moments at which it was.
func (m *model) act() {
	for {
		at, do := m.due()
		if do == nil || at.After(m.now) {
			return
		}
		do()
	}
}

// next is when something is due again; zero for never.
func (m *model) next() time.Time {
	at, _ := m.due()
	return at
}

// due finds what is due first: of one moment the end of jobs and windows, then their
// beginnings, then deadlines, then what rollouts release.
func (m *model) due() (first time.Time, do func()) {
	consider := func(at time.Time, f func()) {
		if !at.IsZero() && (do == nil || at.Before(first)) {
			first, do = at, f
		}
	}
	for _, j := range sorted(m.jobs) {
		consider(m.endOf(j), func() { m.reachEnd(j) })
		consider(m.closingOf(j), func() { m.close(j) })
	}
	for _, j := range sorted(m.jobs) {
		consider(m.openingOf(j), func() { m.open(j) })
	}
	for _, j := range sorted(m.jobs) {
		for _, x := range j.executions {
			consider(deadlineOf(x), func() { m.timeOut(j, x) })
		}
	}
	for _, j := range sorted(m.jobs) {
		if j.rollout == nil || j.Status != jobsvc.JobInProgress {
			continue
		}
		consider(j.rollout.look, func() { m.look(j) })
		// After an outage, nobody is released after the end.
		switch {
		case m.passed(m.closingOf(j)):
			consider(j.rollout.next, func() { m.close(j) })
		case m.passed(m.endOf(j)):
			consider(j.rollout.next, func() { m.reachEnd(j) })
		default:
			consider(j.rollout.next, func() { m.release(j) })
		}
	}
	return first, do
}

// passed tells whether a moment is now, or was while nobody was there.
func (m *model) passed(at time.Time) bool { return !at.IsZero() && !at.After(m.now) }

// counts are those of jobProcessDetails.
func (j *modelJob) counts() map[jobsvc.JobExecutionStatus]int64 {
	n := make(map[jobsvc.JobExecutionStatus]int64)
	for _, x := range j.executions {
		n[x.Status]++
	}
	return n
}

func (j *modelJob) pending() int64 {
	n := j.counts()
	return n[jobsvc.StatusQueued] + n[jobsvc.StatusInProgress]
}

// listed are the executions as ListJobExecutionsForJob has them.
func (j *modelJob) listed() []*modelExecution {
	list := slices.Clone(j.executions)
	slices.SortFunc(list, func(a, b *modelExecution) int {
		return cmp.Or(a.QueuedAt.Compare(b.QueuedAt), cmp.Compare(a.ThingName, b.ThingName), cmp.Compare(a.ExecutionNumber, b.ExecutionNumber))
	})
	return list
}

// latest is the execution of a thing with the highest number.
func (j *modelJob) latest(t *modelThing) *modelExecution {
	var last *modelExecution
	for _, x := range j.executions {
		if x.ThingID == t.id && (last == nil || x.ExecutionNumber > last.ExecutionNumber) {
			last = x
		}
	}
	return last
}

func (j *modelJob) numbered(thingID string, number int64) *modelExecution {
	for _, x := range j.executions {
		if x.ThingID == thingID && x.ExecutionNumber == number {
			return x
		}
	}
	return nil
}

// queue is what a device of the namespace sees: IN_PROGRESS first, then QUEUED, each by
// queuedAt and job, without QUEUED executions of jobs that are not IN_PROGRESS.
func (m *model) queue(thing, namespace string) []*modelExecution {
	t := m.things[thing]
	if t == nil {
		return nil
	}
	var list []*modelExecution
	for _, j := range sorted(m.jobs) {
		x := j.latest(t)
		if x == nil || j.NamespaceID != namespace {
			continue
		}
		if x.Status == jobsvc.StatusInProgress || x.Status == jobsvc.StatusQueued && j.Status == jobsvc.JobInProgress {
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b *modelExecution) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), a.QueuedAt.Compare(b.QueuedAt), cmp.Compare(a.JobID, b.JobID))
	})
	return list
}

// modelEvent is a message on $aws/events; operation and status are its own.
type modelEvent struct {
	Job       string
	Thing     string // "" for an event of the job
	Number    int64
	Operation string
}

func (m *model) jobEvent(j *modelJob, operation string) {
	m.events = append(m.events, modelEvent{Job: j.ID, Operation: operation})
}

func (m *model) executionEvent(x *modelExecution, operation string) {
	m.events = append(m.events, modelEvent{Job: x.JobID, Thing: x.ThingName, Number: x.ExecutionNumber, Operation: operation})
}
