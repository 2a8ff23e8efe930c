package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// fails has a thing report FAILED for an attempt that it names: repeated, the report must
// not be one of the next attempt.
func (w *faultyWorld) fails(thing string, number int64) {
	w.t.Helper()
	err := w.again(func() error {
		_, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{
			ThingName: thing, JobID: "fw", ExecutionNumber: &number, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusFailed},
		})
		return err
	})
	var refused *jobsvc.Error
	if errors.As(err, &refused) && refused.Code == jobsvc.CodeInvalidStateTransition && refused.State.Status == jobsvc.StatusFailed {
		return
	}
	w.must(err)
}

func (w *faultyWorld) configured(change func(*jobsvc.CreateJobRequest)) {
	w.t.Helper()
	doc := "{}"
	r := &jobsvc.CreateJobRequest{JobID: "fw", Targets: []string{groupARN("g"), thingARN("t0004")}, Document: &doc}
	change(r)
	err := w.again(func() error {
		_, err := w.CreateJob(w.ctx, r)
		return err
	})
	if jobsvc.ErrorCode(err) != jobsvc.CodeAlreadyExists {
		w.must(err)
	}
}

// TestLifecycleFaults is TestFaults for rates, aborts and retries.
func TestLifecycleFaults(t *testing.T) {
	testScenarios(t, map[string]func(*faultyWorld){
		"rollout with a rate": func(w *faultyWorld) {
			w.configured(func(r *jobsvc.CreateJobRequest) { r.RolloutConfig = exponentialRate(1, 20, 1, 0, 10) })
			for range 5 {
				w.background()
				w.advanceClock(time.Minute)
			}
		},
		"rollout with a rate that changes, and further targets": func(w *faultyWorld) {
			w.configured(func(r *jobsvc.CreateJobRequest) {
				r.RolloutConfig = perMinute(1)
				r.TargetSelection = jobsvc.TargetContinuous
				r.Targets = []string{groupARN("g")}
			})
			w.background()
			w.must(w.again(func() error {
				return w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{RolloutConfig: perMinute(2)}})
			}))
			w.must(w.again(func() error {
				_, err := w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{thingARN("t0004")}})
				return err
			}))
			for range 4 {
				w.background()
				w.advanceClock(time.Minute)
			}
		},
		"retries to the end": func(w *faultyWorld) {
			w.configured(func(r *jobsvc.CreateJobRequest) {
				failedAndTimedOut(r)
				r.AbortConfig = abortIf(jobsvc.FailureRejected, 10000, 1)
			})
			w.background()
			for attempt := int64(1); attempt <= 3; attempt++ {
				for _, n := range names(4) {
					w.fails(n, attempt)
				}
				w.begin("t0004")
				w.advanceClock(10 * time.Minute)
				w.background()
			}
		},
		"abort among retries": func(w *faultyWorld) {
			w.configured(func(r *jobsvc.CreateJobRequest) {
				failedAndTimedOut(r)
				r.RolloutConfig = perMinute(4)
				r.AbortConfig = abortIf(jobsvc.FailureFailed, 5000, 4)
			})
			w.background()
			w.begin("t0003")
			for _, n := range names(3) {
				w.fails(n, 1)
			}
			w.background()
			w.fails("t0001", 2)
			w.background()
			w.advanceClock(time.Minute)
			w.background()
			w.fails("t0003", 1)
			w.background()
		},
		"abort by another configuration": func(w *faultyWorld) {
			w.create("fw")
			w.background()
			w.report("t0001", jobsvc.StatusRejected)
			w.must(w.again(func() error {
				return w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{AbortConfig: abortIf(jobsvc.FailureAll, 10000, 1)}})
			}))
			w.background()
		},
	})
}
