package engine_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// counters writes queued/inProgress/failed/timedOut/succeeded.
func (w *world) counters() string {
	w.t.Helper()
	d := w.checkCounters("fw")
	return fmt.Sprintf("%d/%d/%d/%d/%d", d.Queued, d.InProgress, d.Failed, d.TimedOut, d.Succeeded)
}

func (w *world) wantCounters(want string) {
	w.t.Helper()
	if got := w.counters(); got != want {
		w.t.Fatalf("counters %s, want %s", got, want)
	}
}

// checkChains holds the executions of a job without re-joins against the rules of chains:
// numbers and attempts go up by one, a retry follows a FAILED or TIMED_OUT, in its moment,
// and no budget is overdrawn.
func (w *world) checkChains(job string, failed, timedOut int) {
	w.t.Helper()
	chains := map[string][]jobsvc.JobExecution{}
	for _, x := range w.executions(job, "", 250) {
		chains[x.ThingID] = append(chains[x.ThingID], x)
	}
	for _, chain := range chains {
		slices.SortFunc(chain, func(a, b jobsvc.JobExecution) int { return cmp.Compare(a.ExecutionNumber, b.ExecutionNumber) })
		after := map[jobsvc.JobExecutionStatus]int{}
		for i, x := range chain {
			if x.ExecutionNumber != int64(i+1) || x.RetryAttempt != i || x.TimedOutRetries != after[jobsvc.StatusTimedOut] {
				w.t.Fatalf("chain %+v", chain)
			}
			if x.Status == jobsvc.StatusQueued && (x.VersionNumber != 1 || x.StatusDetails != nil || !x.QueuedAt.Equal(x.LastUpdatedAt)) {
				w.t.Fatalf("a fresh attempt is %+v", x)
			}
			if i == len(chain)-1 {
				break
			}
			if s := x.Status; s != jobsvc.StatusFailed && s != jobsvc.StatusTimedOut {
				w.t.Fatalf("a retry after %s: %+v", s, chain)
			}
			if !chain[i+1].QueuedAt.Equal(x.LastUpdatedAt) {
				w.t.Fatalf("a retry queued at %s: %+v", chain[i+1].QueuedAt, x)
			}
			after[x.Status]++
		}
		if after[jobsvc.StatusFailed] > failed || after[jobsvc.StatusTimedOut] > timedOut {
			w.t.Fatalf("more retries than %d after FAILED and %d after TIMED_OUT: %+v", failed, timedOut, chain)
		}
	}
}

func failedAndTimedOut(r *jobsvc.CreateJobRequest) {
	r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed, NumberOfRetries: 2}, jobsvc.RetryCriterion{FailureType: jobsvc.FailureTimedOut, NumberOfRetries: 1})
	r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: 10 * time.Minute}
}

// TestRetryExample is the worked example of a chain, and its variant.
func TestRetryExample(t *testing.T) {
	for _, variant := range []bool{false, true} {
		w := newWorld(t)
		w.withThings(1, failedAndTimedOut)
		thing := "t0000"
		w.wantCounters("1/0/0/0/0")
		w.start(thing)
		w.report([]string{thing}, jobsvc.StatusFailed)
		w.wantCounters("1/0/1/0/0")
		if x := w.start(thing); x.ExecutionNumber != 2 || x.RetryAttempt != 1 || x.VersionNumber != 2 {
			t.Fatalf("second attempt %+v", x)
		}
		w.advance(10 * time.Minute)
		w.wantCounters("1/0/1/1/0")
		if x := w.start(thing); x.ExecutionNumber != 3 || x.RetryAttempt != 2 || x.TimedOutRetries != 1 {
			t.Fatalf("third attempt %+v", x)
		}
		if variant {
			w.report([]string{thing}, jobsvc.StatusFailed)
			w.wantCounters("1/0/2/1/0")
			w.restart()
			if x := w.start(thing); x.ExecutionNumber != 4 || x.RetryAttempt != 3 {
				t.Fatalf("fourth attempt %+v", x)
			}
			w.jobIs(jobsvc.JobInProgress)
			w.report([]string{thing}, jobsvc.StatusSucceeded)
			w.wantCounters("0/0/2/1/1")
			if n := len(w.executions("fw", "", 0)); n != 4 {
				t.Errorf("%d executions are listed", n)
			}
		} else {
			w.advance(10 * time.Minute)
			w.wantCounters("0/0/1/2/0")
		}
		w.jobIs(jobsvc.JobCompleted)
		w.checkChains("fw", 2, 1)
		w.noTimers()
	}
}

// TestRetryToExhaustion: all attempts of all things fail, in every way.
func TestRetryToExhaustion(t *testing.T) {
	w := newWorld(t)
	things := w.withThings(5, func(r *jobsvc.CreateJobRequest) {
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureAll, NumberOfRetries: 10})
	})
	for attempt := range 11 {
		w.jobIs(jobsvc.JobInProgress)
		for i, n := range things {
			switch (attempt + i) % 3 {
			case 0:
				w.must(w.update(n, "fw", jobsvc.StatusFailed)) // from QUEUED
			case 1:
				w.start(n)
				w.must(w.update(n, "fw", jobsvc.StatusFailed))
			default: // a step timer, of a job without timeoutConfig
				_, err := w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: n, StepTimeout: time.Minute})
				w.must(err)
			}
		}
		w.advance(time.Minute)
		w.restart()
		w.UnsettleActive()
		w.must(w.Settle(w.ctx))
	}
	w.jobIs(jobsvc.JobCompleted)
	if d := w.checkCounters("fw"); d.Failed+d.TimedOut != 55 || d.TimedOut == 0 || d.Pending() != 0 {
		t.Errorf("at the end: %+v", d)
	}
	w.checkChains("fw", 10, 10)
	w.noTimers()
}

// TestRetryIsAnnouncedOnce: the end of an attempt and the next one are one change of the
// queue. The retry goes behind what was queued before.
func TestRetryIsAnnouncedOnce(t *testing.T) {
	w := newWorld(t)
	w.withThings(1, failedAndTimedOut)
	w.told()
	before, err := w.ThingQueue(w.ctx, "t0000", "")
	w.must(err)
	w.report([]string{"t0000"}, jobsvc.StatusFailed)
	if h := w.told(); len(h) != 1 || h[0].SetVersion != before.SetVersion+1 || h[0].HeadVersion != before.HeadVersion+1 {
		t.Fatalf("hints %+v, the queue was at %d, %d", h, before.SetVersion, before.HeadVersion)
	}
	w.job("next", thingARN("t0000"))
	w.runTimers()
	w.start("t0000")
	w.told()
	w.advance(10 * time.Minute)
	h := w.told()
	q, err := w.ThingQueue(w.ctx, "t0000", "")
	w.must(err)
	if len(h) != 1 || len(q.Queued) != 2 || q.Head.JobID != "next" || q.Queued[1].ExecutionNumber != 3 {
		t.Fatalf("hints %+v, queue %+v", h, q)
	}
}

// TestNoRetry is what ends a chain.
func TestNoRetry(t *testing.T) {
	one := []string{"t0000"}
	for name, end := range map[string]func(*world){
		"success":   func(w *world) { w.report(one, jobsvc.StatusSucceeded) },
		"rejection": func(w *world) { w.report(one, jobsvc.StatusRejected) },
		"CancelJobExecution": func(w *world) {
			w.must(w.CancelJobExecution(w.ctx, &jobsvc.CancelJobExecutionRequest{ThingName: "t0000", JobID: "fw"}))
		},
		"DeleteJobExecution": func(w *world) {
			w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "t0000", JobID: "fw", ExecutionNumber: 2}))
		},
		"DeleteThing": func(w *world) {
			w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "t0000"}))
		},
		"retries switched off": func(w *world) {
			w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{
				RetryConfig: retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed}, jobsvc.RetryCriterion{FailureType: jobsvc.FailureTimedOut})}}))
			w.wantCounters("1/0/1/0/0") // what is queued stays
			w.report(one, jobsvc.StatusFailed)
		},
		"cancel with force": func(w *world) {
			w.start("t0000")
			_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw", Force: true})
			w.must(err)
		},
		"timeout of a canceled job": func(w *world) {
			w.start("t0000")
			_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw"})
			w.must(err)
			w.advance(10 * time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.withThings(1, failedAndTimedOut)
			w.report(one, jobsvc.StatusFailed)
			end(w)
			w.runTimers()
			w.checkCounters("fw")
			if d := w.describe("fw"); d.Active() || d.ProcessDetails.Pending() != 0 {
				t.Fatalf("at the end: %+v", d)
			}
			for _, x := range w.executions("fw", "", 0) {
				if x.ExecutionNumber > 2 {
					t.Errorf("another attempt: %+v", x)
				}
			}
		})
	}
}

// TestRetryAndEndTime: at its end time a job retries no more.
func TestRetryAndEndTime(t *testing.T) {
	w := newWorld(t)
	things := w.withThings(2, func(r *jobsvc.CreateJobRequest) {
		failedAndTimedOut(r)
		r.SchedulingConfig = &jobsvc.SchedulingConfig{EndTime: "2026-03-10T11:00:00Z"}
	})
	w.advance(59 * time.Minute)
	w.must(w.update(things[0], "fw", jobsvc.StatusFailed))
	w.wantCounters("2/0/1/0/0")
	w.mu.Lock()
	w.now = w.now.Add(2 * time.Minute)
	w.mu.Unlock()
	w.must(w.update(things[1], "fw", jobsvc.StatusFailed))
	w.wantCounters("1/0/2/0/0")
}

// TestAbortBeforeRetry: the failure that meets the abortConfig is not retried, those
// before it are; a chain counts attempt by attempt.
func TestAbortBeforeRetry(t *testing.T) {
	w := newWorld(t)
	things := w.withThings(3, func(r *jobsvc.CreateJobRequest) {
		r.AbortConfig = abortIf(jobsvc.FailureFailed, 7500, 4)
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed, NumberOfRetries: 10})
	})
	w.report(things[:1], jobsvc.StatusSucceeded)
	w.report(things[1:2], jobsvc.StatusFailed)
	w.report(things[1:2], jobsvc.StatusFailed)
	w.jobIs(jobsvc.JobInProgress)
	w.must(w.update(things[1], "fw", jobsvc.StatusFailed))
	// Nobody has looked at the job yet: the failure itself knew.
	if d := w.checkCounters("fw"); d.Failed != 3 || d.Queued != 1 {
		t.Fatalf("after the last failure: %+v", d)
	}
	w.must(w.Settle(w.ctx))
	w.jobIs(jobsvc.JobCanceled)
}

// TestFailuresAtOnce: of failures that do not know of each other each is retried, and the
// abort cancels the retries.
func TestFailuresAtOnce(t *testing.T) {
	w := newWorld(t)
	things := w.withThings(3, func(r *jobsvc.CreateJobRequest) {
		failedAndTimedOut(r)
		r.AbortConfig = abortIf(jobsvc.FailureTimedOut, 10000, 3)
	})
	for _, n := range things {
		w.start(n)
	}
	// The sweep of timeouts comes before anyone looks at the job.
	w.mu.Lock()
	w.now = w.now.Add(10 * time.Minute)
	w.mu.Unlock()
	for w.fireOne() {
	}
	if d := w.checkCounters("fw"); d.TimedOut != 3 || d.Queued != 2 {
		t.Fatalf("after the deadlines: %+v", d)
	}
	w.restart()
	w.UnsettleActive()
	w.must(w.Settle(w.ctx))
	w.runTimers()
	w.jobIs(jobsvc.JobCanceled)
	if d := w.checkCounters("fw"); d.Canceled != 2 || d.Pending() != 0 {
		t.Errorf("at the end: %+v", d)
	}
}

// TestDefaultInProgressTimeout is for jobs that have no timeoutConfig.
func TestDefaultInProgressTimeout(t *testing.T) {
	w := newWorld(t)
	rules := jobsvc.DefaultJobRules()
	rules.DefaultInProgress = 20 * time.Minute
	w.rules = &rules
	w.open()
	things := w.withThings(2, func(*jobsvc.CreateJobRequest) {})
	if x := w.start(things[0]); !x.InProgressDeadline.Equal(x.StartedAt.Add(20 * time.Minute)) {
		t.Fatalf("started: %+v", x)
	}
	if d := w.describe("fw"); d.TimeoutConfig != nil {
		t.Errorf("shown: %+v", d.TimeoutConfig)
	}
	w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{TimeoutConfig: &jobsvc.TimeoutConfig{InProgress: time.Hour}}}))
	w.must(w.update(things[1], "fw", jobsvc.StatusInProgress))
	w.advance(21 * time.Minute)
	w.wantCounters("0/1/0/1/0")
	w.advance(40 * time.Minute)
	w.wantCounters("0/0/0/2/0")
}

// TestTimeoutExample is the worked example of two timers, through the engine.
func TestTimeoutExample(t *testing.T) {
	w := newWorld(t)
	w.withThings(1, func(r *jobsvc.CreateJobRequest) {
		r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: 30 * time.Minute}
	})
	began := w.start("t0000").StartedAt
	for _, step := range []struct {
		minute int
		step   time.Duration
		want   int64
	}{
		{10, 5 * time.Minute, 300}, {12, 10 * time.Minute, 600}, {14, 0, 480}, {20, 60 * time.Minute, 600}, {25, jobsvc.CancelStepTimeout, 300},
	} {
		w.mu.Lock()
		w.now = began.Add(time.Duration(step.minute) * time.Minute)
		w.mu.Unlock()
		w.runTimers()
		_, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: "t0000", JobID: "fw", JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusInProgress, StepTimeout: step.step}})
		w.must(err)
		x, err := w.DescribeJobExecution(w.ctx, "t0000", "fw", nil)
		w.must(err)
		if left, ok := x.SecondsBeforeTimedOut(w.now); !ok || left != step.want {
			t.Errorf("minute %d: %d s, want %d", step.minute, left, step.want)
		}
	}
	w.mu.Lock()
	w.now = began.Add(30*time.Minute - time.Second)
	w.mu.Unlock()
	w.runTimers()
	w.jobIs(jobsvc.JobInProgress)
	w.advance(time.Second)
	w.jobIs(jobsvc.JobCompleted)
	w.wantCounters("0/0/0/1/0")
}
