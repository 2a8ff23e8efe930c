package engine_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// TestLifecycleHistories runs random histories of jobs that pace, abort and retry, and
// checks after every single step that counters are what listing shows, that chains keep
// to their budgets and windows to their rates, and that hints are exact. -history.seed
// runs one of them.
func TestLifecycleHistories(t *testing.T) {
	seeds := make([]uint64, *historyMany/2)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
	}
	if *historySeed != 0 {
		seeds = []uint64{*historySeed}
	}
	ends := make(map[jobsvc.JobStatus]int)
	aborted := 0
	for _, seed := range seeds {
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			l := newLifecycle(newExactWorld(t), seed)
			l.run(150)
			for status, n := range l.ends {
				ends[status] += n
			}
			aborted += l.aborted
		}) {
			return
		}
	}
	if *historySeed == 0 && (ends[jobsvc.JobCompleted] == 0 || ends[jobsvc.JobCanceled] == 0 || aborted == 0) {
		t.Errorf("the histories end so: %v, %d aborts", ends, aborted)
	}
}

// lifecycle is a history of few things and jobs with configurations.
type lifecycle struct {
	*history
	lives   map[string]*life
	ends    map[jobsvc.JobStatus]int
	aborted int
}

// life is what is known of a job.
type life struct {
	created  time.Time
	rate     int64 // of its fastest window; 0: there was one without a limit
	budgets  map[jobsvc.JobExecutionStatus]int64
	shared   int64 // of all retries
	abort    *jobsvc.AbortConfig
	releases map[int]int // first executions by window, deleted ones included
	counted  map[attempt]bool
	deleted  map[string]map[int64]bool // thing ID, numbers of executions
}

func newLifecycle(w *world, seed uint64) *lifecycle {
	return &lifecycle{history: newHistory(w, seed), lives: make(map[string]*life), ends: make(map[jobsvc.JobStatus]int)}
}

func (l *lifecycle) run(steps int) {
	for range 8 {
		l.createThing()
	}
	l.createGroup()
	for range 10 {
		l.join()
	}
	for range steps {
		l.step()
		l.checkHints()
		l.checkLives()
	}
	// Let it all come to its end.
	for round := 0; ; round++ {
		l.pass(10 * time.Minute)
		l.fireAll()
		l.ok(l.Settle(l.ctx))
		busy := false
		for _, n := range slices.Sorted(maps.Keys(l.things)) {
			for _, x := range l.pendingOf(n) {
				busy = true
				l.report1(n, x.JobID, jobsvc.StatusSucceeded)
				l.checkHints()
			}
		}
		l.checkHints()
		l.checkLives()
		if !busy && !l.rollingOut() {
			break
		}
		if round == 200 {
			l.fail("the jobs do not end")
		}
	}
	l.fireAll()
	l.ok(l.Settle(l.ctx))
	for _, id := range slices.Sorted(maps.Keys(l.lives)) {
		d := l.describe(id)
		l.ends[d.Status]++
		if d.ReasonCode == "JOB_ABORT_CRITERIA_MET" {
			l.aborted++
		}
		if d.Active() || d.Concurrent || d.ProcessDetails.Pending() != 0 {
			l.fail("at the end %s is %+v", id, d)
		}
	}
	if timers, err := l.Timers(l.ctx, 10); err != nil || len(timers) > 0 {
		l.fail("timers left at the end: %v, %v", timers, err)
	}
}

func (l *lifecycle) rollingOut() bool {
	for id := range l.lives {
		if d := l.describe(id); d.Concurrent {
			return true
		}
	}
	return false
}

func (l *lifecycle) step() {
	switch n := l.rng.IntN(100); {
	case n < 6:
		l.createLife()
	case n < 20:
		thing := l.anyThing()
		r, err := l.StartNextPendingJobExecution(l.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: thing, StepTimeout: time.Duration(l.rng.IntN(3)) * time.Minute})
		l.did("%s starts: %+v, %v", thing, r, err)
		if l.things[thing] == "" {
			l.want(jobsvc.CodeNotFound, err)
		} else {
			l.ok(err)
		}
	case n < 60:
		s := []jobsvc.JobExecutionStatus{jobsvc.StatusFailed, jobsvc.StatusFailed, jobsvc.StatusFailed, jobsvc.StatusSucceeded, jobsvc.StatusRejected, jobsvc.StatusInProgress}
		l.report1(l.anyThing(), l.anyLife(), s[l.rng.IntN(len(s))])
	case n < 76:
		l.fireLives()
	case n < 84:
		l.pass(time.Duration(l.rng.IntN(100)) * time.Second)
	case n < 88:
		l.did("settle")
		l.ok(l.Settle(l.ctx))
	case n < 90:
		l.did("restart")
		l.restart()
		l.UnsettleActive()
	case n < 93:
		l.updateLife()
	case n < 95:
		l.cancelOne()
	case n < 97:
		l.deleteOne()
	case n < 98:
		l.deleteThing()
	case n < 99:
		l.fireStale()
	default:
		if id := l.anyLife(); l.lives[id] != nil && l.describe(id).Active() {
			_, err := l.CancelJob(l.ctx, &jobsvc.CancelJobRequest{JobID: id, Force: l.chance(50)})
			l.did("cancel %s: %v", id, err)
			l.ok(err)
		}
	}
}

func (l *lifecycle) anyLife() string {
	return cmp.Or(l.pick(slices.Sorted(maps.Keys(l.lives))), "none")
}

// report1 reports a status; a refusal for the state is fine.
func (l *lifecycle) report1(thing, job string, s jobsvc.JobExecutionStatus) {
	l.t.Helper()
	err := l.world.update(thing, job, s)
	l.did("%s reports %s for %s: %v", thing, s, job, err)
	switch jobsvc.ErrorCode(err) {
	case "", jobsvc.CodeInvalidStateTransition, jobsvc.CodeNotFound:
	default:
		l.fail("%v", err)
	}
}

func (l *lifecycle) fireLives() {
	timers, err := l.Timers(l.ctx, 100)
	l.ok(err)
	l.stale = append(l.stale, timers...)
	now := l.tick()
	timers = slices.DeleteFunc(timers, func(t store.Timer) bool { return t.Due.After(now) })
	if len(timers) == 0 {
		return
	}
	t := timers[l.rng.IntN(len(timers))]
	l.fire(t, now)
	if l.chance(20) {
		l.fire(t, now)
	}
}

func (l *lifecycle) fireAll() {
	for {
		timers, err := l.Timers(l.ctx, 100)
		l.ok(err)
		now := l.tick()
		timers = slices.DeleteFunc(timers, func(t store.Timer) bool { return t.Due.After(now) })
		if len(timers) == 0 {
			return
		}
		l.fire(timers[0], now)
	}
}

func (l *lifecycle) someRate() *jobsvc.RolloutConfig {
	switch l.rng.IntN(3) {
	case 0:
		return perMinute(int64(1 + l.rng.IntN(4)))
	case 1:
		return exponentialRate(1, int64(11+l.rng.IntN(40)), int64(1+l.rng.IntN(4)), int64(l.rng.IntN(3)), int64(2+l.rng.IntN(5)))
	}
	return &jobsvc.RolloutConfig{}
}

func (l *lifecycle) someAbort() *jobsvc.AbortConfig {
	c := &jobsvc.AbortConfig{}
	for range 1 + l.rng.IntN(2) {
		kind := []jobsvc.FailureType{jobsvc.FailureFailed, jobsvc.FailureTimedOut, jobsvc.FailureRejected, jobsvc.FailureAll}[l.rng.IntN(4)]
		c.CriteriaList = append(c.CriteriaList, abortIf(kind, int64(2000+l.rng.IntN(8000)), int64(2+l.rng.IntN(8))).CriteriaList...)
	}
	return c
}

// createLife makes a SNAPSHOT job on a group and things.
func (l *lifecycle) createLife() {
	if len(l.lives) >= 5 {
		return
	}
	id := fmt.Sprintf("Job%03dX", l.made)
	doc := "{}"
	r := &jobsvc.CreateJobRequest{JobID: id, Document: &doc, Targets: l.someTargets(), RolloutConfig: l.someRate()}
	if len(r.Targets) == 0 {
		return
	}
	v := &life{budgets: make(map[jobsvc.JobExecutionStatus]int64), releases: make(map[int]int), counted: make(map[attempt]bool), deleted: make(map[string]map[int64]bool)}
	v.rate = r.RolloutConfig.MaximumPerMinute
	if l.chance(60) {
		r.AbortConfig = l.someAbort()
		v.abort = r.AbortConfig
	}
	switch n := int64(l.rng.IntN(4)); l.rng.IntN(4) {
	case 0:
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureAll, NumberOfRetries: n})
		v.shared = n
		v.budgets[jobsvc.StatusFailed], v.budgets[jobsvc.StatusTimedOut] = n, n
	case 1, 2:
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed, NumberOfRetries: n}, jobsvc.RetryCriterion{FailureType: jobsvc.FailureTimedOut, NumberOfRetries: 2})
		v.shared = n + 2
		v.budgets[jobsvc.StatusFailed], v.budgets[jobsvc.StatusTimedOut] = n, 2
	}
	if l.chance(50) {
		r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: time.Duration(1+l.rng.IntN(3)) * time.Minute}
	}
	j, err := l.CreateJob(l.ctx, r)
	l.did("create %s for %v, rate %+v, abort %+v, retry %+v: %v", id, r.Targets, r.RolloutConfig, r.AbortConfig, r.RetryConfig, err)
	l.ok(err)
	l.made++
	v.created = j.CreatedAt
	l.lives[id] = v
	// What history wants to know.
	l.jobs[id] = &knownJob{id: id, created: j.CreatedAt, targets: j.Targets, covered: make(map[string][]string), deleted: make(map[attempt]bool)}
}

func (l *lifecycle) updateLife() {
	id := l.anyLife()
	v := l.lives[id]
	if v == nil || !l.describe(id).Active() {
		return
	}
	r := &jobsvc.UpdateJobRequest{JobID: id}
	if l.chance(60) {
		r.RolloutConfig = l.someRate()
		if v.rate == 0 || r.RolloutConfig.MaximumPerMinute == 0 {
			v.rate = 0 // some window has no limit
		} else {
			v.rate = max(v.rate, r.RolloutConfig.MaximumPerMinute)
		}
	}
	if l.chance(40) {
		r.AbortConfig = l.someAbort()
		v.abort = r.AbortConfig
	}
	err := l.UpdateJob(l.ctx, r)
	l.did("update %s, rate %+v, abort %+v: %v", id, r.RolloutConfig, r.AbortConfig, err)
	l.ok(err)
}

func (l *lifecycle) cancelOne() {
	thing, id := l.anyThing(), l.anyLife()
	err := l.CancelJobExecution(l.ctx, &jobsvc.CancelJobExecutionRequest{ThingName: thing, JobID: id, Force: l.chance(50)})
	l.did("cancel the execution of %s of %s: %v", id, thing, err)
	if code := jobsvc.ErrorCode(err); err != nil && code != jobsvc.CodeNotFound && code != jobsvc.CodeInvalidStateTransition {
		l.fail("%v", err)
	}
}

func (l *lifecycle) deleteOne() {
	id := l.anyLife()
	if l.lives[id] == nil {
		return
	}
	list := l.executions(id, "", 0)
	if len(list) == 0 {
		return
	}
	x := list[l.rng.IntN(len(list))]
	err := l.DeleteJobExecution(l.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: x.ThingName, JobID: id, ExecutionNumber: x.ExecutionNumber, Force: true})
	l.did("delete execution %d of %s of %s: %v", x.ExecutionNumber, id, x.ThingName, err)
	l.ok(err)
	v := l.lives[id]
	if v.deleted[x.ThingID] == nil {
		v.deleted[x.ThingID] = make(map[int64]bool)
	}
	v.deleted[x.ThingID][x.ExecutionNumber] = true
}

// checkLives holds what must be so after every step.
func (l *lifecycle) checkLives() {
	l.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(l.lives)) {
		v := l.lives[id]
		d := l.describe(id)
		var counted jobsvc.JobProcessDetails
		chains := make(map[string][]jobsvc.JobExecution)
		for _, x := range l.executions(id, "", 250) {
			*counted.Count(x.Status)++
			chains[x.ThingID] = append(chains[x.ThingID], x)
			l.checkVersion(l.jobs[id], x)
			k := attempt{id, v.created, x.ThingID, 1}
			if x.ExecutionNumber == 1 && !v.counted[k] {
				v.counted[k] = true
				w := int(x.QueuedAt.Sub(v.created) / time.Minute)
				v.releases[w]++
				if v.rate > 0 && int64(v.releases[w]) > v.rate {
					l.fail("%s released %d in window %d, the rate is %d", id, v.releases[w], w, v.rate)
				}
			}
		}
		for _, s := range jobsvc.JobExecutionStatuses() {
			if *counted.Count(s) != *d.ProcessDetails.Count(s) {
				l.fail("%s: the counter of %s is %d, listing shows %d", id, s, *d.ProcessDetails.Count(s), *counted.Count(s))
			}
		}
		for thing, chain := range chains {
			l.checkChain(id, v, chain, v.deleted[thing])
		}
	}
	for n := range l.things {
		l.checkQueue(n)
	}
}

func (l *lifecycle) checkChain(id string, v *life, chain []jobsvc.JobExecution, deleted map[int64]bool) {
	l.t.Helper()
	slices.SortFunc(chain, func(a, b jobsvc.JobExecution) int { return cmp.Compare(a.ExecutionNumber, b.ExecutionNumber) })
	number := int64(0)
	after := make(map[jobsvc.JobExecutionStatus]int64)
	for i, x := range chain {
		for number++; deleted[number]; number++ { // nobody knows what they were
		}
		if x.ExecutionNumber != number || x.RetryAttempt != int(number-1) || int64(x.RetryAttempt) > v.shared {
			l.fail("%s: chain %+v, %d is expected", id, chain, number)
		}
		if int64(x.TimedOutRetries) > v.budgets[jobsvc.StatusTimedOut] || int64(x.RetryAttempt-x.TimedOutRetries) > v.budgets[jobsvc.StatusFailed] {
			l.fail("%s: over its budget: %+v", id, x)
		}
		if len(deleted) == 0 {
			if int64(x.TimedOutRetries) != after[jobsvc.StatusTimedOut] {
				l.fail("%s: chain %+v counts its timeouts wrong", id, chain)
			}
			after[x.Status]++
		}
		if i < len(chain)-1 && x.Status != jobsvc.StatusFailed && x.Status != jobsvc.StatusTimedOut {
			l.fail("%s: a retry after %s: %+v", id, x.Status, chain)
		}
	}
}
