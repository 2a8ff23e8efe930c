package engine_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func abortIf(t jobsvc.FailureType, hundredths, least int64) *jobsvc.AbortConfig {
	return &jobsvc.AbortConfig{CriteriaList: []jobsvc.AbortCriterion{{FailureType: t, Action: "CANCEL", ThresholdPercentage: hundredths, MinNumberOfExecutedThings: least}}}
}

func retryIf(list ...jobsvc.RetryCriterion) *jobsvc.RetryConfig {
	return &jobsvc.RetryConfig{CriteriaList: list}
}

// withThings makes job fw on so many things, and rolls it out.
func (w *world) withThings(n int, change func(*jobsvc.CreateJobRequest)) []string {
	w.t.Helper()
	things := names(n)
	w.thing(things...)
	w.group("g", "", things...)
	w.createWith(change, groupARN("g"))
	w.runTimers()
	return things
}

func (w *world) report(things []string, s jobsvc.JobExecutionStatus) {
	w.t.Helper()
	for _, n := range things {
		w.must(w.update(n, "fw", s))
	}
	w.must(w.Settle(w.ctx))
}

func (w *world) jobIs(want jobsvc.JobStatus) {
	w.t.Helper()
	if d := w.describe("fw"); d.Status != want {
		w.t.Fatalf("the job is %s, want %s: %+v", d.Status, want, d)
	}
}

// TestAbortExamples are the worked examples of aborts.
func TestAbortExamples(t *testing.T) {
	failed20 := func(r *jobsvc.CreateJobRequest) { r.AbortConfig = abortIf(jobsvc.FailureFailed, 2000, 10) }
	t.Run("a success brings the minimum", func(t *testing.T) {
		w := newWorld(t)
		things := w.withThings(20, failed20)
		w.report(things[:9], jobsvc.StatusFailed)
		w.jobIs(jobsvc.JobInProgress)
		w.report(things[9:10], jobsvc.StatusSucceeded)
		w.jobIs(jobsvc.JobCanceled)
	})
	t.Run("equal is enough", func(t *testing.T) {
		w := newWorld(t)
		things := w.withThings(60, failed20)
		w.report(things[:40], jobsvc.StatusSucceeded)
		w.report(things[40:49], jobsvc.StatusFailed)
		w.jobIs(jobsvc.JobInProgress)
		w.report(things[49:50], jobsvc.StatusFailed)
		w.jobIs(jobsvc.JobCanceled)
		if d := w.describe("fw"); d.Comment != "Abort criterion FAILED >= 20% met: 10 of 50 executed." {
			t.Errorf("comment %q", d.Comment)
		}
	})
	for hundredths, want := range map[int64]jobsvc.JobStatus{3333: jobsvc.JobCanceled, 3334: jobsvc.JobInProgress} {
		t.Run("a third of all", func(t *testing.T) {
			w := newWorld(t)
			things := w.withThings(4, func(r *jobsvc.CreateJobRequest) { r.AbortConfig = abortIf(jobsvc.FailureAll, hundredths, 3) })
			w.report(things[:2], jobsvc.StatusSucceeded)
			w.report(things[2:3], jobsvc.StatusRejected)
			w.jobIs(want)
		})
	}
	t.Run("canceled ones do not count", func(t *testing.T) {
		w := newWorld(t)
		things := w.withThings(7, func(r *jobsvc.CreateJobRequest) { r.AbortConfig = abortIf(jobsvc.FailureFailed, 5000, 2) })
		for _, n := range things[:5] {
			w.must(w.CancelJobExecution(w.ctx, &jobsvc.CancelJobExecutionRequest{ThingName: n, JobID: "fw"}))
		}
		w.report(things[5:6], jobsvc.StatusFailed)
		w.jobIs(jobsvc.JobInProgress)
	})
	t.Run("what an abort does", func(t *testing.T) {
		w := newWorld(t)
		things := w.withThings(6, func(r *jobsvc.CreateJobRequest) {
			r.AbortConfig = abortIf(jobsvc.FailureFailed, 5000, 1)
			r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureAll, NumberOfRetries: 5})
		})
		w.start(things[0])
		w.start(things[1])
		w.told()
		w.report(things[5:], jobsvc.StatusFailed)
		d := w.describe("fw")
		if d.Status != jobsvc.JobCanceled || !d.Concurrent || d.ForceCanceled || d.ReasonCode != "JOB_ABORT_CRITERIA_MET" || d.ProcessDetails.Failed != 1 || d.ProcessDetails.Queued != 3 {
			t.Fatalf("aborted: %+v", d)
		}
		if x := w.start(things[2]); x != nil {
			t.Fatalf("begun after the abort: %+v", x)
		}
		w.runTimers()
		if d := w.checkCounters("fw"); d.Canceled != 3 || d.InProgress != 2 || d.Failed != 1 || w.describe("fw").Concurrent {
			t.Fatalf("after the sweep: %+v", d)
		}
		before := w.describe("fw").Job
		w.report(things[:1], jobsvc.StatusFailed)
		w.runTimers()
		if d := w.checkCounters("fw"); d.Failed != 2 || d.Queued != 0 {
			t.Fatalf("after a late failure: %+v", d)
		}
		if after := w.describe("fw").Job; !after.LastUpdatedAt.Equal(before.LastUpdatedAt) || after.Comment != before.Comment {
			t.Errorf("a late failure changes the job to %+v", after)
		}
	})
}

// TestAbortInRollout: nobody gets an execution any more, and the timer goes.
func TestAbortInRollout(t *testing.T) {
	w := newWorld(t)
	things := w.withThings(100, func(r *jobsvc.CreateJobRequest) {
		r.RolloutConfig = perMinute(10)
		r.AbortConfig = abortIf(jobsvc.FailureFailed, 2000, 10)
	})
	w.report(things[:8], jobsvc.StatusSucceeded)
	w.advance(time.Minute)
	w.report(things[8:9], jobsvc.StatusFailed)
	w.jobIs(jobsvc.JobInProgress)
	w.restart()
	w.report(things[9:11], jobsvc.StatusFailed)
	w.jobIs(jobsvc.JobCanceled)
	w.runTimers()
	w.noTimers()
	for range 10 {
		w.advance(time.Minute)
	}
	if d := w.checkCounters("fw"); d.Succeeded != 8 || d.Failed != 3 || d.Canceled != 9 || d.Pending() != 0 {
		t.Errorf("at the end: %+v", d)
	}
}

// TestAbortBeforeCompletion: the last failure cancels a job, it does not complete it.
func TestAbortBeforeCompletion(t *testing.T) {
	w := newWorld(t)
	things := w.withThings(4, func(r *jobsvc.CreateJobRequest) { r.AbortConfig = abortIf(jobsvc.FailureFailed, 5000, 4) })
	w.report(things[:2], jobsvc.StatusSucceeded)
	for _, n := range things[2:] {
		w.must(w.update(n, "fw", jobsvc.StatusFailed))
	}
	w.runFor() // the crash comes before anyone looked
	w.jobIs(jobsvc.JobCanceled)
	if d := w.describe("fw"); !d.CompletedAt.IsZero() {
		t.Errorf("completed at %s", d.CompletedAt)
	}
}

// TestAbortByTimeout: a deadline is a failure like others.
func TestAbortByTimeout(t *testing.T) {
	w := newWorld(t)
	things := w.withThings(10, func(r *jobsvc.CreateJobRequest) {
		r.AbortConfig = abortIf(jobsvc.FailureTimedOut, 10000, 2)
		r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: time.Minute}
	})
	w.start(things[0])
	w.start(things[1])
	w.advance(50 * time.Second)
	w.jobIs(jobsvc.JobInProgress)
	w.advance(11 * time.Second)
	w.jobIs(jobsvc.JobCanceled)
	w.runTimers()
	if d := w.checkCounters("fw"); d.TimedOut != 2 || d.Canceled != 8 {
		t.Errorf("at the end: %+v", d)
	}
}

// TestAbortByAnotherCount: deleting an execution, and another configuration, are looked at
// as well.
func TestAbortByAnotherCount(t *testing.T) {
	w := newWorld(t)
	things := w.withThings(10, func(r *jobsvc.CreateJobRequest) {
		r.TargetSelection = jobsvc.TargetContinuous
		r.AbortConfig = abortIf(jobsvc.FailureRejected, 5000, 3)
	})
	w.report(things[:3], jobsvc.StatusSucceeded)
	w.report(things[3:5], jobsvc.StatusRejected)
	w.jobIs(jobsvc.JobInProgress) // 2 of 5
	w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{AbortConfig: abortIf(jobsvc.FailureRejected, 4500, 3)}}))
	w.must(w.Settle(w.ctx))
	w.jobIs(jobsvc.JobInProgress)
	w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: things[0], JobID: "fw", ExecutionNumber: 1}))
	w.must(w.Settle(w.ctx)) // 2 of 4
	w.jobIs(jobsvc.JobCanceled)

	w = newWorld(t)
	things = w.withThings(5, func(*jobsvc.CreateJobRequest) {})
	w.report(things[:3], jobsvc.StatusFailed)
	w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{AbortConfig: abortIf(jobsvc.FailureFailed, 10000, 3)}}))
	w.must(w.Settle(w.ctx))
	w.jobIs(jobsvc.JobCanceled)
}

// TestAbortAndRetryRace has many devices fail at the same moment: whatever retries slip
// past the abort are canceled, and counters are what listing shows.
func TestAbortAndRetryRace(t *testing.T) {
	for round := range 8 {
		w := newWorld(t)
		things := w.withThings(40, func(r *jobsvc.CreateJobRequest) {
			r.AbortConfig = abortIf(jobsvc.FailureFailed, 5000, int64(5+round))
			r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed, NumberOfRetries: 10})
		})
		var wg sync.WaitGroup
		for part := range slices.Chunk(things, 10) {
			wg.Go(func() {
				for _, n := range part {
					for range 3 {
						err := w.update(n, "fw", jobsvc.StatusFailed)
						if code := jobsvc.ErrorCode(err); err != nil && code != jobsvc.CodeInvalidStateTransition {
							t.Errorf("%s: %v", n, err)
						}
					}
				}
			})
		}
		wg.Go(func() {
			for range 20 {
				if err := w.Settle(w.ctx); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		w.runTimers()
		w.runTimers()
		w.jobIs(jobsvc.JobCanceled)
		if d := w.checkCounters("fw"); d.Pending() != 0 || d.Failed < int64(5+round) {
			t.Errorf("at the end: %+v", d)
		}
		w.checkChains("fw", 10, 0)
	}
}
