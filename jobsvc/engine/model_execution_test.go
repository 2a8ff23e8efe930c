package engine_test

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func ended(x *modelExecution) bool {
	return x.Status != jobsvc.StatusQueued && x.Status != jobsvc.StatusInProgress
}

// queueExecution gives a thing its next execution of a job.
func (m *model) queueExecution(j *modelJob, t *modelThing) *modelExecution {
	j.highest[t.name]++
	j.given[t] = true
	x := &modelExecution{JobExecution: jobsvc.JobExecution{
		ThingName: t.name, ThingID: t.id, JobID: j.ID, NamespaceID: j.NamespaceID, ExecutionNumber: j.highest[t.name],
		Status: jobsvc.StatusQueued, VersionNumber: 1, QueuedAt: m.now, LastUpdatedAt: m.now,
	}}
	j.executions = append(j.executions, x)
	return x
}

// touch is what every stored change does.
func (m *model) touch(x *modelExecution) {
	x.VersionNumber++
	x.LastUpdatedAt = m.now
}

func (m *model) start(j *modelJob, x *modelExecution) {
	x.Status, x.StartedAt = jobsvc.StatusInProgress, m.now
	if c := j.TimeoutConfig; c != nil && c.InProgress > 0 {
		x.InProgressDeadline = m.now.Add(c.InProgress)
	}
}

func (m *model) end(x *modelExecution, status jobsvc.JobExecutionStatus) {
	x.Status = status
	x.InProgressDeadline, x.StepDeadline = time.Time{}, time.Time{}
	m.touch(x)
	m.executionEvent(x, strings.ToLower(string(status)))
}

// afterEnd is what follows for the job from the end of an execution: first it may abort,
// then the execution may be tried again, then the job may be complete.
func (m *model) afterEnd(j *modelJob, x *modelExecution) {
	executed := x.Status != jobsvc.StatusCanceled && x.Status != jobsvc.StatusRemoved
	if !executed || !m.abort(j) {
		m.retry(j, x)
	}
	m.complete(j)
}

func (m *model) retry(j *modelJob, x *modelExecution) {
	t := m.things[x.ThingName]
	if j.RetryConfig == nil || !active(j) || j.ended || t == nil || t.id != x.ThingID {
		return
	}
	if _, end := times(j); m.passed(end) {
		return
	}
	if j.TargetSelection == jobsvc.TargetContinuous && !m.covers(j, t) {
		return
	}
	for _, c := range j.RetryConfig.CriteriaList {
		failed := x.Status == jobsvc.StatusFailed || x.Status == jobsvc.StatusTimedOut
		meant := string(c.FailureType) == string(x.Status) || c.FailureType == jobsvc.FailureAll && failed
		if !meant || x.retries[c.FailureType] >= c.NumberOfRetries {
			continue
		}
		again := m.queueExecution(j, t)
		again.RetryAttempt = x.RetryAttempt + 1
		again.retries = maps.Clone(x.retries)
		if again.retries == nil {
			again.retries = make(map[jobsvc.FailureType]int64)
		}
		again.retries[c.FailureType]++
		return
	}
}

// deadlineOf is when an execution times out; zero for never.
func deadlineOf(x *modelExecution) time.Time {
	a, b := x.InProgressDeadline, x.StepDeadline
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// secondsLeft is approximateSecondsBeforeTimedOut; -1 when there is none.
func (m *model) secondsLeft(x *modelExecution) int64 {
	d := deadlineOf(x)
	if d.IsZero() {
		return -1
	}
	left := int64(0)
	for at := m.now; at.Before(d); at = at.Add(time.Second) {
		left++
	}
	return left
}

func (m *model) timeOut(j *modelJob, x *modelExecution) {
	m.end(x, jobsvc.StatusTimedOut)
	m.afterEnd(j, x)
}

func (m *model) startNext(r *jobsvc.StartNextPendingJobExecutionRequest) reply {
	if m.things[r.ThingName] == nil {
		return refuse(jobsvc.CodeNotFound)
	}
	q := m.queue(r.ThingName, "")
	if len(q) == 0 {
		return reply{}
	}
	x := q[0]
	if x.Status == jobsvc.StatusQueued {
		m.start(m.jobs[x.JobID], x)
		m.report(x, r.StatusDetails)
		m.touch(x)
	}
	m.stepTimer(x, r.StepTimeout)
	return reply{Execution: copyOf(x)}
}

// report replaces the status details, if there are any.
func (m *model) report(x *modelExecution, details map[string]string) {
	if details != nil {
		x.StatusDetails = nil
		if len(details) > 0 {
			x.StatusDetails = details
		}
	}
}

func (m *model) stepTimer(x *modelExecution, step time.Duration) {
	switch {
	case step == jobsvc.CancelStepTimeout:
		x.StepDeadline = time.Time{}
	case step != 0:
		x.StepDeadline = m.now.Add(step)
	}
}

func copyOf(x *modelExecution) *jobsvc.JobExecution {
	c := x.JobExecution
	return &c
}

func stateOf(x *modelExecution) *jobsvc.JobExecutionState {
	return &jobsvc.JobExecutionState{Status: x.Status, StatusDetails: x.StatusDetails, VersionNumber: x.VersionNumber}
}

// addressed finds the execution a device means.
func (m *model) addressed(thing, job, namespace string, number *int64) (*modelJob, *modelExecution) {
	t, j := m.things[thing], m.jobs[job]
	if t == nil || j == nil || j.NamespaceID != namespace {
		return nil, nil
	}
	if number != nil {
		return j, j.numbered(t.id, *number)
	}
	return j, j.latest(t)
}

func (m *model) update(r *jobsvc.UpdateJobExecutionRequest) reply {
	if !slices.Contains(jobsvc.JobExecutionStatuses(), r.Status) {
		return refuse(jobsvc.CodeInvalidRequest)
	}
	j, x := m.addressed(r.ThingName, r.JobID, r.NamespaceID, r.ExecutionNumber)
	if x == nil {
		return refuse(jobsvc.CodeNotFound)
	}
	switch {
	case r.ExpectedVersion != nil && *r.ExpectedVersion != x.VersionNumber:
		return reply{Code: jobsvc.CodeVersionMismatch, State: stateOf(x)}
	case ended(x):
		return reply{Code: jobsvc.CodeInvalidStateTransition, State: stateOf(x)}
	}
	switch r.Status {
	case jobsvc.StatusInProgress:
		if x.Status == jobsvc.StatusQueued {
			m.start(j, x)
		}
		m.report(x, r.StatusDetails)
		m.stepTimer(x, r.StepTimeout)
		m.touch(x)
	case jobsvc.StatusSucceeded, jobsvc.StatusFailed, jobsvc.StatusRejected:
		m.report(x, r.StatusDetails)
		m.end(x, r.Status)
		m.afterEnd(j, x)
	default:
		return reply{Code: jobsvc.CodeInvalidStateTransition, State: stateOf(x)}
	}
	return reply{State: stateOf(x)}
}

func (m *model) describe(r *jobsvc.DescribeJobExecutionRequest) reply {
	if r.JobID == "$next" && m.things[r.ThingName] != nil {
		if q := m.queue(r.ThingName, r.NamespaceID); len(q) > 0 {
			return reply{Execution: copyOf(q[0])}
		}
		return reply{}
	}
	_, x := m.addressed(r.ThingName, r.JobID, r.NamespaceID, r.ExecutionNumber)
	switch {
	case x == nil:
		return refuse(jobsvc.CodeNotFound)
	case ended(x):
		return reply{Code: jobsvc.CodeTerminalState, State: stateOf(x)}
	}
	return reply{Execution: copyOf(x)}
}

func (m *model) getPending(thing string) reply {
	if m.things[thing] == nil {
		return refuse(jobsvc.CodeNotFound)
	}
	var q []jobsvc.JobExecution
	for _, x := range m.queue(thing, "") {
		q = append(q, x.JobExecution)
	}
	return reply{Queue: q}
}

func (m *model) cancelExecution(r *jobsvc.CancelJobExecutionRequest) reply {
	t, j := m.things[r.ThingName], m.jobs[r.JobID]
	if t == nil || j == nil || j.latest(t) == nil {
		return refuse(jobsvc.CodeNotFound)
	}
	x := j.latest(t)
	switch {
	case r.ExpectedVersion != nil && *r.ExpectedVersion != x.VersionNumber:
		return refuse(jobsvc.CodeVersionMismatch)
	case ended(x), x.Status == jobsvc.StatusInProgress && !r.Force:
		return refuse(jobsvc.CodeInvalidStateTransition)
	}
	x.ForceCanceled = x.Status == jobsvc.StatusInProgress
	m.report(x, r.StatusDetails)
	m.end(x, jobsvc.StatusCanceled)
	m.afterEnd(j, x)
	return reply{}
}

// deleteExecution takes the execution's number for good, and its share of the counters.
func (m *model) deleteExecution(r *jobsvc.DeleteJobExecutionRequest) reply {
	j := m.jobs[r.JobID]
	if j == nil {
		return refuse(jobsvc.CodeNotFound)
	}
	i := slices.IndexFunc(j.executions, func(x *modelExecution) bool {
		return x.ThingName == r.ThingName && x.ExecutionNumber == r.ExecutionNumber
	})
	if i < 0 {
		return refuse(jobsvc.CodeNotFound)
	}
	x := j.executions[i]
	if x.Status == jobsvc.StatusInProgress && !r.Force {
		return refuse(jobsvc.CodeInvalidStateTransition)
	}
	j.executions = slices.Delete(j.executions, i, i+1)
	m.executionEvent(x, "deleted")
	m.abort(j)
	m.complete(j)
	return reply{}
}
