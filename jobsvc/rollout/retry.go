package rollout

import (
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// ShouldRetry tells whether an execution that ended FAILED or TIMED_OUT is followed by
// another of its chain: while its job is active and not at its end time, its thing is
// covered, and the budget of the criterion is not used up. Retries after FAILED and after
// TIMED_OUT have budgets of their own; ALL is one for both.
//
// AWS: JobExecutionsRetryConfig.
func ShouldRetry(j *jobsvc.Job, x *jobsvc.JobExecution, now time.Time) (bool, error) {
	if j == nil || j.RetryConfig == nil || !j.Active() || x.Uncovered || budget(j.RetryConfig, x) <= 0 {
		return false, nil
	}
	if j.SchedulingConfig == nil || j.SchedulingConfig.EndTime == "" {
		return true, nil
	}
	_, end, err := j.SchedulingConfig.Times()
	return now.Before(end), err
}

// budget is how many retries are left to the chain of an ended execution.
func budget(c *jobsvc.RetryConfig, x *jobsvc.JobExecution) int64 {
	var used int
	var kind jobsvc.FailureType
	switch x.Status {
	case jobsvc.StatusFailed:
		kind, used = jobsvc.FailureFailed, x.RetryAttempt-x.TimedOutRetries
	case jobsvc.StatusTimedOut:
		kind, used = jobsvc.FailureTimedOut, x.TimedOutRetries
	default:
		return 0
	}
	for _, r := range c.CriteriaList {
		switch r.FailureType {
		case kind:
			return r.NumberOfRetries - int64(used)
		case jobsvc.FailureAll:
			return r.NumberOfRetries - int64(x.RetryAttempt)
		}
	}
	return 0
}
