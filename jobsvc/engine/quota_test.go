package engine_test

import (
	"fmt"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// TestQuotas: the counts that quotas look at follow the jobs through all they become, and
// survive a restart.
func TestQuotas(t *testing.T) {
	w := newWorld(t)
	w.limits = new(jobsvc.AWSLimits())
	w.limits.ActiveSnapshotJobs, w.limits.ConcurrentJobs, w.limits.JobTemplates, w.limits.ActiveContinuousJobs = 3, 2, 1, 1
	w.limits.DeviceReadsPerSecond, w.limits.DeviceWritesPerSecond = 0, 0
	w.open()
	w.thing("a")
	w.job("one", thingARN("a"))
	w.job("two", thingARN("a"))
	create := func(id string, selection jobsvc.TargetSelection) error {
		doc := "{}"
		_, err := w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{JobID: id, Targets: []string{thingARN("a")}, Document: &doc, TargetSelection: selection})
		return err
	}
	w.code(jobsvc.CodeLimitExceeded, create("three", "")) // both are rolling out
	w.runTimers()
	w.must(create("three", ""))
	w.runTimers()
	w.restart()
	w.code(jobsvc.CodeLimitExceeded, create("four", "")) // three are active
	w.must(create("always", jobsvc.TargetContinuous))
	w.runTimers()
	w.code(jobsvc.CodeLimitExceeded, create("always-2", jobsvc.TargetContinuous))
	for _, id := range []string{"one", "two"} {
		_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: id})
		w.must(err)
	}
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "three"})
	w.code(jobsvc.CodeLimitExceeded, err) // a cancel makes a job concurrent
	w.runTimers()
	_, err = w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "three"})
	w.must(err)
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "one"}))
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "always", Force: true}))
	w.runTimers()
	for i := range 3 { // nothing is counted any more
		w.must(create(fmt.Sprint("again-", i), ""))
		w.runTimers()
	}
	w.must(create("always", jobsvc.TargetContinuous))
	w.code(jobsvc.CodeLimitExceeded, create("again-3", ""))

	template := func(id string) error {
		doc := "{}"
		_, err := w.CreateJobTemplate(w.ctx, &jobsvc.CreateJobTemplateRequest{ID: id, Description: "d", Document: &doc})
		return err
	}
	w.must(template("m"))
	w.code(jobsvc.CodeLimitExceeded, template("n"))
}

func TestThrottledDevices(t *testing.T) {
	w := newWorld(t)
	w.limits = new(jobsvc.GenerousLimits())
	w.limits.DeviceReadsPerSecond, w.limits.DeviceWritesPerSecond = 0.001, 0.001
	w.open()
	w.thing("a")
	_, err := w.GetPendingJobExecutions(w.ctx, "a")
	w.must(err)
	_, err = w.DescribePendingJobExecution(w.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: "a", JobID: jobsvc.NextJobID})
	w.code(jobsvc.CodeThrottled, err)
	_, err = w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: "a"})
	w.must(err)
	w.code(jobsvc.CodeThrottled, w.update("a", "fw", jobsvc.StatusSucceeded))
}
