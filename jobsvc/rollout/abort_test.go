package rollout_test

import (
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/rollout"
)

func abortIf(t jobsvc.FailureType, hundredths, least int64) jobsvc.AbortCriterion {
	return jobsvc.AbortCriterion{FailureType: t, Action: "CANCEL", ThresholdPercentage: hundredths, MinNumberOfExecutedThings: least}
}

func TestShouldAbort(t *testing.T) {
	failed20 := abortIf(jobsvc.FailureFailed, 2000, 10)
	for _, tc := range []struct {
		name     string
		criteria []jobsvc.AbortCriterion
		d        jobsvc.JobProcessDetails
		want     string // "": no abort
	}{
		{"nothing executed", []jobsvc.AbortCriterion{failed20}, jobsvc.JobProcessDetails{Queued: 5}, ""},
		{"fewer than the minimum", []jobsvc.AbortCriterion{failed20}, jobsvc.JobProcessDetails{Failed: 9}, ""},
		{"a success brings the minimum", []jobsvc.AbortCriterion{failed20}, jobsvc.JobProcessDetails{Failed: 9, Succeeded: 1}, "Abort criterion FAILED >= 20% met: 9 of 10 executed."},
		{"18.37 %", []jobsvc.AbortCriterion{failed20}, jobsvc.JobProcessDetails{Succeeded: 40, Failed: 9}, ""},
		{"equal is enough", []jobsvc.AbortCriterion{failed20}, jobsvc.JobProcessDetails{Succeeded: 40, Failed: 10}, "Abort criterion FAILED >= 20% met: 10 of 50 executed."},
		{"33.33 of a third", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureAll, 3333, 3)}, jobsvc.JobProcessDetails{Succeeded: 2, Rejected: 1}, "Abort criterion ALL >= 33.33% met: 1 of 3 executed."},
		{"33.34 of a third", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureAll, 3334, 3)}, jobsvc.JobProcessDetails{Succeeded: 2, Rejected: 1}, ""},
		{"canceled and removed do not count", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureFailed, 5000, 2)}, jobsvc.JobProcessDetails{Canceled: 5, Removed: 5, Failed: 1}, ""},
		{"pending ones do not count", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureFailed, 5000, 2)}, jobsvc.JobProcessDetails{Queued: 500, InProgress: 500, Failed: 1, Succeeded: 1}, "Abort criterion FAILED >= 50% met: 1 of 2 executed."},
		{"other failures do not count", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureTimedOut, 100, 1)}, jobsvc.JobProcessDetails{Failed: 50, Rejected: 50}, ""},
		{"but are executed", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureTimedOut, 5000, 1)}, jobsvc.JobProcessDetails{Failed: 2, Rejected: 2, TimedOut: 3}, ""},
		{"timeouts", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureTimedOut, 1, 1)}, jobsvc.JobProcessDetails{Succeeded: 9999, TimedOut: 1}, "Abort criterion TIMED_OUT >= 0.01% met: 1 of 10000 executed."},
		{"rejections", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureRejected, 10000, 1)}, jobsvc.JobProcessDetails{Rejected: 1}, "Abort criterion REJECTED >= 100% met: 1 of 1 executed."},
		{"the first that is met", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureTimedOut, 100, 1), abortIf(jobsvc.FailureFailed, 1250, 2), abortIf(jobsvc.FailureAll, 100, 1)},
			jobsvc.JobProcessDetails{Failed: 2}, "Abort criterion FAILED >= 12.5% met: 2 of 2 executed."},
		{"all", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureAll, 7500, 4)}, jobsvc.JobProcessDetails{Failed: 1, Rejected: 1, TimedOut: 1, Succeeded: 1}, "Abort criterion ALL >= 75% met: 3 of 4 executed."},
		{"large numbers", []jobsvc.AbortCriterion{abortIf(jobsvc.FailureAll, 5000, 1)}, jobsvc.JobProcessDetails{Failed: 1 << 60, Succeeded: 1<<60 + 1}, ""},
	} {
		got := ""
		if a := rollout.ShouldAbort(&jobsvc.AbortConfig{CriteriaList: tc.criteria}, &tc.d); a != nil {
			got = a.String()
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if a := rollout.ShouldAbort(nil, &jobsvc.JobProcessDetails{Failed: 100}); a != nil {
		t.Errorf("aborts without a configuration: %s", a)
	}
}
