package engine_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func (m *model) createJob(r *jobsvc.CreateJobRequest) reply {
	j := &modelJob{highest: make(map[string]int64), given: make(map[*modelThing]bool), Job: jobsvc.Job{
		ID: r.JobID, Status: jobsvc.JobScheduled, TargetSelection: jobsvc.TargetSnapshot,
		TimeoutConfig: r.TimeoutConfig, RolloutConfig: r.RolloutConfig, AbortConfig: r.AbortConfig, RetryConfig: r.RetryConfig,
		SchedulingConfig: r.SchedulingConfig, CreatedAt: m.now, LastUpdatedAt: m.now,
	}}
	if r.TargetSelection != "" {
		j.TargetSelection = r.TargetSelection
	}
	if r.NamespaceID != nil {
		j.NamespaceID = *r.NamespaceID
	}
	if m.openingOf(j).IsZero() { // its windows never open while it lasts
		return refuse(jobsvc.CodeInvalidRequest)
	}
	if m.jobs[r.JobID] != nil {
		return refuse(jobsvc.CodeAlreadyExists)
	}
	var code jobsvc.Code
	if j.Targets, code = m.existing(nil, r.Targets); code != "" {
		return refuse(code)
	}
	m.jobs[j.ID] = j
	return reply{}
}

// existing adds ARNs to a list, each once, if all of them exist.
func (m *model) existing(list, arns []string) ([]string, jobsvc.Code) {
	for _, arn := range arns {
		group, isGroup := strings.CutPrefix(arn, groupARN(""))
		thing, isThing := strings.CutPrefix(arn, thingARN(""))
		_, groupThere := m.groups[group]
		if !(isGroup && groupThere) && !(isThing && m.things[thing] != nil) {
			return list, jobsvc.CodeNotFound
		}
		if !slices.Contains(list, arn) {
			list = append(list, arn)
		}
	}
	return list, ""
}

func (m *model) updateJob(r *jobsvc.UpdateJobRequest) reply {
	j := m.jobs[r.JobID]
	switch {
	case j == nil:
		return refuse(jobsvc.CodeNotFound)
	case !active(j):
		return refuse(jobsvc.CodeInvalidRequest)
	}
	j.LastUpdatedAt = m.now
	if r.TimeoutConfig != nil {
		j.TimeoutConfig = r.TimeoutConfig
	}
	if r.RolloutConfig != nil {
		j.RolloutConfig = r.RolloutConfig
		j.level = 0
	}
	if r.RetryConfig != nil {
		j.RetryConfig = r.RetryConfig
	}
	if r.AbortConfig != nil {
		j.AbortConfig = r.AbortConfig
		m.abort(j)
	}
	return reply{}
}

// associate adds targets: their things enter the union.
func (m *model) associate(r *jobsvc.AssociateTargetsWithJobRequest) reply {
	j := m.jobs[r.JobID]
	if j == nil {
		return refuse(jobsvc.CodeNotFound)
	}
	all, code := m.existing(j.Targets, r.Targets)
	switch {
	case code != "":
		return refuse(code)
	case j.TargetSelection != jobsvc.TargetContinuous, j.Status != jobsvc.JobInProgress, j.ended:
		return refuse(jobsvc.CodeInvalidRequest)
	}
	m.registry(func() { j.Targets = all })
	j.LastUpdatedAt = m.now
	if j.rollout != nil {
		j.rollout.look = m.now // who looks for the new ones looks at the others
	}
	return reply{}
}

func (m *model) cancelJob(r *jobsvc.CancelJobRequest) reply {
	j := m.jobs[r.JobID]
	switch {
	case j == nil:
		return refuse(jobsvc.CodeNotFound)
	case active(j), j.Status == jobsvc.JobCanceled && r.Force && !j.ForceCanceled:
	default:
		return refuse(jobsvc.CodeInvalidRequest)
	}
	if r.ReasonCode != nil {
		j.ReasonCode = *r.ReasonCode
	}
	if r.Comment != nil {
		j.Comment = *r.Comment
	}
	m.cancel(j, r.Force)
	return reply{}
}

// cancel makes a job CANCELED with its QUEUED executions, with force those IN_PROGRESS too.
func (m *model) cancel(j *modelJob, force bool) {
	j.Status, j.LastUpdatedAt = jobsvc.JobCanceled, m.now
	j.ForceCanceled = j.ForceCanceled || force
	j.rollout = nil
	m.jobEvent(j, "cancellation_in_progress")
	m.cancelExecutions(j, force)
	m.jobEvent(j, "canceled")
}

func (m *model) cancelExecutions(j *modelJob, force bool) {
	for _, status := range []jobsvc.JobExecutionStatus{jobsvc.StatusQueued, jobsvc.StatusInProgress} {
		for _, x := range j.listed() {
			if x.Status == status && (status == jobsvc.StatusQueued || force) {
				x.ForceCanceled = status == jobsvc.StatusInProgress
				m.end(x, jobsvc.StatusCanceled)
			}
		}
	}
}

func (m *model) deleteJob(id string, force bool) reply {
	j := m.jobs[id]
	switch {
	case j == nil:
		return refuse(jobsvc.CodeNotFound)
	case active(j) && !force:
		return refuse(jobsvc.CodeInvalidStateTransition)
	}
	m.jobEvent(j, "deletion_in_progress")
	for _, x := range j.listed() {
		m.executionEvent(x, "deleted")
	}
	m.jobEvent(j, "deleted")
	delete(m.jobs, id)
	return reply{}
}

// abort cancels an active job when one of its criteria is met, and tells whether it did.
func (m *model) abort(j *modelJob) bool {
	if j.AbortConfig == nil || !active(j) {
		return false
	}
	n := j.counts()
	failed, rejected, timedOut := n[jobsvc.StatusFailed], n[jobsvc.StatusRejected], n[jobsvc.StatusTimedOut]
	executed := n[jobsvc.StatusSucceeded] + failed + rejected + timedOut
	for _, c := range j.AbortConfig.CriteriaList {
		failures := map[jobsvc.FailureType]int64{
			jobsvc.FailureFailed: failed, jobsvc.FailureRejected: rejected, jobsvc.FailureTimedOut: timedOut,
			jobsvc.FailureAll: failed + rejected + timedOut,
		}[c.FailureType]
		if executed < c.MinNumberOfExecutedThings || failures*10000 < c.ThresholdPercentage*executed {
			continue
		}
		j.ReasonCode = "JOB_ABORT_CRITERIA_MET"
		percent := strconv.FormatFloat(float64(c.ThresholdPercentage)/100, 'f', -1, 64)
		j.Comment = fmt.Sprintf("Abort criterion %s >= %s%% met: %d of %d executed.", c.FailureType, percent, failures, executed)
		m.cancel(j, false)
		return true
	}
	return false
}

// complete makes a job COMPLETED when nothing is left to do: a SNAPSHOT one that is rolled
// out, or any after its end.
func (m *model) complete(j *modelJob) {
	rolledOut := j.TargetSelection == jobsvc.TargetSnapshot && j.Status == jobsvc.JobInProgress && j.begun && j.rollout == nil
	if !rolledOut && !(j.ended && active(j)) || j.pending() > 0 {
		return
	}
	j.Status, j.CompletedAt, j.LastUpdatedAt = jobsvc.JobCompleted, m.now, m.now
	m.jobEvent(j, "completed")
}
