package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// withRules gives a world with rules that are not the service's.
func withRules(t *testing.T, r jobsvc.JobRules) *world {
	t.Helper()
	w := newWorld(t)
	w.rules = &r
	w.open()
	return w
}

// TestRetryDelay: a retry is there at once, and its job is not complete; its device sees it
// after the delay.
func TestRetryDelay(t *testing.T) {
	w := withRules(t, jobsvc.JobRules{RetryDelay: time.Minute})
	w.withThings(1, func(r *jobsvc.CreateJobRequest) {
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed, NumberOfRetries: 2})
	})
	const thing = "t0000"
	w.told()
	for attempt := int64(2); attempt <= 3; attempt++ {
		w.start(thing)
		w.told()
		w.must(w.update(thing, "fw", jobsvc.StatusFailed))
		w.runTimers()
		if x := w.latest(thing, "fw"); x.ExecutionNumber != attempt || x.Status != jobsvc.StatusQueued || x.VersionNumber != 1 {
			t.Fatalf("after the failure %+v", x)
		}
		if w.toldThings() != thing || w.queueOf(thing) != "" || w.start(thing) != nil {
			t.Fatalf("before the delay is over the device sees %q", w.queueOf(thing))
		}
		w.jobIs(jobsvc.JobInProgress)
		w.advance(59 * time.Second)
		w.restart()
		if w.toldThings() != "" || w.start(thing) != nil {
			t.Fatal("the delay is too short")
		}
		w.advance(2 * time.Second)
		if got := w.queueOf(thing); w.toldThings() != thing || got == "" {
			t.Fatalf("after the delay the device sees %q", got)
		}
	}
	w.must(w.update(thing, "fw", jobsvc.StatusFailed)) // the last there is
	w.runTimers()
	w.jobIs(jobsvc.JobCompleted)
	w.noTimers()
}

// TestRetryThatIsHiddenBegins: a device that names a hidden retry may have it.
func TestRetryThatIsHiddenBegins(t *testing.T) {
	w := withRules(t, jobsvc.JobRules{RetryDelay: time.Minute, QueuedTTL: time.Hour})
	w.withThings(1, func(r *jobsvc.CreateJobRequest) {
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed, NumberOfRetries: 1})
	})
	const thing = "t0000"
	w.must(w.update(thing, "fw", jobsvc.StatusFailed))
	w.must(w.update(thing, "fw", jobsvc.StatusInProgress))
	w.noTimers()
	if got := w.queueOf(thing); got != "fw/2 IN_PROGRESS" {
		t.Errorf("the device sees %q", got)
	}
	w.advance(2 * time.Hour)
	w.must(w.update(thing, "fw", jobsvc.StatusSucceeded))
	w.runTimers()
	w.jobIs(jobsvc.JobCompleted)
}

// TestQueuedTTL: executions that nobody begins are CANCELED in time, retries and those of
// things that join too. Those that began are not.
func TestQueuedTTL(t *testing.T) {
	w := withRules(t, jobsvc.JobRules{QueuedTTL: time.Hour})
	w.thing("gone", "begins", "fails", "joins")
	w.group("g", "", "gone", "begins", "fails")
	w.createWith(func(r *jobsvc.CreateJobRequest) {
		r.TargetSelection = jobsvc.TargetContinuous
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed, NumberOfRetries: 1})
	}, groupARN("g"))
	w.runTimers()
	w.start("begins")
	w.advance(30 * time.Minute)
	w.must(w.update("fails", "fw", jobsvc.StatusFailed))
	w.join("joins", "g")
	w.advance(29 * time.Minute)
	w.has("gone", "fw", "QUEUED")
	w.advance(2 * time.Minute)
	w.has("gone", "fw", "CANCELED")
	w.has("fails", "fw", "FAILED QUEUED")
	w.has("joins", "fw", "QUEUED")
	w.restart()
	w.advance(30 * time.Minute)
	w.has("fails", "fw", "FAILED CANCELED")
	w.has("joins", "fw", "CANCELED")
	w.has("begins", "fw", "IN_PROGRESS")
	if x := w.latest("gone", "fw"); x.VersionNumber != 2 || x.ForceCanceled {
		t.Errorf("canceled: %+v", x)
	}
	w.checkCounters("fw")
	w.noTimers()
}

// TestQueuedTTLCompletes: the job is complete with the last one that was waited for.
func TestQueuedTTLCompletes(t *testing.T) {
	w := withRules(t, jobsvc.JobRules{QueuedTTL: time.Hour})
	w.withThings(3, func(*jobsvc.CreateJobRequest) {})
	w.advance(time.Hour)
	w.jobIs(jobsvc.JobCompleted)
	if d := w.describe("fw"); d.ProcessDetails.Canceled != 3 {
		t.Errorf("%+v", d)
	}
}

// TestAllowedStatuses: an installation may let its devices report what the service keeps
// for itself.
func TestAllowedStatuses(t *testing.T) {
	w := newWorld(t)
	w.withThings(2, func(r *jobsvc.CreateJobRequest) {
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureTimedOut, NumberOfRetries: 1})
	})
	w.code(jobsvc.CodeInvalidStateTransition, w.update("t0000", "fw", jobsvc.StatusTimedOut))
	w.rules = &jobsvc.JobRules{AllowedStatuses: []jobsvc.JobExecutionStatus{jobsvc.StatusTimedOut, jobsvc.StatusCanceled}}
	w.open()
	w.must(w.update("t0000", "fw", jobsvc.StatusTimedOut))
	w.has("t0000", "fw", "TIMED_OUT QUEUED")
	w.must(w.update("t0001", "fw", jobsvc.StatusCanceled))
	w.has("t0001", "fw", "CANCELED")
	w.code(jobsvc.CodeInvalidStateTransition, w.update("t0000", "fw", jobsvc.StatusRemoved))
}

// TestSmoothRollout: what a minute has room for is spread over it, and a rate is what it is
// all the same.
func TestSmoothRollout(t *testing.T) {
	w := withRules(t, jobsvc.JobRules{SmoothRollout: true})
	j := w.paced(25, perMinute(10))
	w.runTimers()
	for second := 0; second <= 150; second++ {
		want := min(25, 1+second/6)
		if d := w.describe("fw"); d.ProcessDetails.Queued != int64(want) {
			t.Fatalf("after %d s %d are released, want %d", second, d.ProcessDetails.Queued, want)
		}
		if second%40 == 7 {
			w.restart()
		}
		w.setClock(j.CreatedAt.Add(time.Duration(second+1)*time.Second + time.Millisecond))
		w.runTimers()
	}
	if got := w.releases(j.CreatedAt); !slices.Equal(got, []int{10, 10, 5}) {
		t.Errorf("releases %v", got)
	}
	w.noTimers()
}

// TestSmoothRolloutAfterAnOutage: slots that passed in the window of now are made up for,
// those of windows that passed are not.
func TestSmoothRolloutAfterAnOutage(t *testing.T) {
	w := withRules(t, jobsvc.JobRules{SmoothRollout: true})
	j := w.paced(100, perMinute(10))
	w.runTimers()
	w.setClock(j.CreatedAt.Add(3*time.Minute + 30*time.Second + time.Millisecond))
	w.restart()
	w.runTimers()
	if got := w.releases(j.CreatedAt); !slices.Equal(got, []int{1, 0, 0, 6}) {
		t.Errorf("releases %v", got)
	}
}
