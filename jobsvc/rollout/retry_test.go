package rollout_test

import (
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/rollout"
)

func retryIf(t jobsvc.FailureType, n int64) jobsvc.RetryCriterion {
	return jobsvc.RetryCriterion{FailureType: t, NumberOfRetries: n}
}

func TestShouldRetry(t *testing.T) {
	now := time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)
	both := []jobsvc.RetryCriterion{retryIf(jobsvc.FailureFailed, 2), retryIf(jobsvc.FailureTimedOut, 1)}
	all := []jobsvc.RetryCriterion{retryIf(jobsvc.FailureAll, 3)}
	for _, tc := range []struct {
		name              string
		criteria          []jobsvc.RetryCriterion
		status            jobsvc.JobExecutionStatus
		attempt, timeouts int
		change            func(*jobsvc.Job, *jobsvc.JobExecution)
		want              bool
	}{
		{"first failure", both, jobsvc.StatusFailed, 0, 0, nil, true},
		{"second", both, jobsvc.StatusFailed, 1, 0, nil, true},
		{"third", both, jobsvc.StatusFailed, 2, 0, nil, false},
		{"first timeout after two failures", both, jobsvc.StatusTimedOut, 2, 0, nil, true},
		{"second timeout", both, jobsvc.StatusTimedOut, 2, 1, nil, false},
		{"second failure after a timeout", both, jobsvc.StatusFailed, 2, 1, nil, true},
		{"the fourth attempt fails", both, jobsvc.StatusFailed, 3, 1, nil, false},
		{"the fourth attempt times out", both, jobsvc.StatusTimedOut, 3, 1, nil, false},
		{"all, third", all, jobsvc.StatusTimedOut, 2, 1, nil, true},
		{"all, fourth", all, jobsvc.StatusFailed, 3, 1, nil, false},
		{"all, used up by timeouts", all, jobsvc.StatusFailed, 3, 3, nil, false},
		{"a type there is no criterion for", both[:1], jobsvc.StatusTimedOut, 0, 0, nil, false},
		{"zero retries", []jobsvc.RetryCriterion{retryIf(jobsvc.FailureFailed, 0)}, jobsvc.StatusFailed, 0, 0, nil, false},
		{"success", all, jobsvc.StatusSucceeded, 0, 0, nil, false},
		{"rejection", all, jobsvc.StatusRejected, 0, 0, nil, false},
		{"canceled", all, jobsvc.StatusCanceled, 0, 0, nil, false},
		{"removed", all, jobsvc.StatusRemoved, 0, 0, nil, false},
		{"in progress", all, jobsvc.StatusInProgress, 0, 0, nil, false},
		{"between windows", all, jobsvc.StatusFailed, 0, 0, func(j *jobsvc.Job, _ *jobsvc.JobExecution) { j.Status = jobsvc.JobScheduled }, true},
		{"canceled job", all, jobsvc.StatusFailed, 0, 0, func(j *jobsvc.Job, _ *jobsvc.JobExecution) { j.Status = jobsvc.JobCanceled }, false},
		{"job being deleted", all, jobsvc.StatusFailed, 0, 0, func(j *jobsvc.Job, _ *jobsvc.JobExecution) { j.Status = jobsvc.JobDeletionInProgress }, false},
		{"left the targets", all, jobsvc.StatusFailed, 0, 0, func(_ *jobsvc.Job, x *jobsvc.JobExecution) { x.Uncovered = true }, false},
		{"before the end time", all, jobsvc.StatusFailed, 0, 0, func(j *jobsvc.Job, _ *jobsvc.JobExecution) {
			j.SchedulingConfig = &jobsvc.SchedulingConfig{EndTime: "2026-03-10T10:00:01Z"}
		}, true},
		{"at the end time", all, jobsvc.StatusFailed, 0, 0, func(j *jobsvc.Job, _ *jobsvc.JobExecution) {
			j.SchedulingConfig = &jobsvc.SchedulingConfig{EndTime: "2026-03-10T10:00:00Z"}
		}, false},
		{"a schedule without an end", all, jobsvc.StatusFailed, 0, 0, func(j *jobsvc.Job, _ *jobsvc.JobExecution) {
			j.SchedulingConfig = &jobsvc.SchedulingConfig{StartTime: "2026-03-10T09:00:00Z"}
		}, true},
	} {
		j := &jobsvc.Job{Status: jobsvc.JobInProgress, RetryConfig: &jobsvc.RetryConfig{CriteriaList: tc.criteria}}
		x := &jobsvc.JobExecution{Status: tc.status, RetryAttempt: tc.attempt, TimedOutRetries: tc.timeouts}
		if tc.change != nil {
			tc.change(j, x)
		}
		if got, err := rollout.ShouldRetry(j, x, now); err != nil || got != tc.want {
			t.Errorf("%s: %v, %v, want %v", tc.name, got, err, tc.want)
		}
	}
	if got, err := rollout.ShouldRetry(&jobsvc.Job{Status: jobsvc.JobInProgress}, &jobsvc.JobExecution{Status: jobsvc.StatusFailed}, now); got || err != nil {
		t.Errorf("retries without a configuration: %v, %v", got, err)
	}
}
