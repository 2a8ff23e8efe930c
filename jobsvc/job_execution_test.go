package jobsvc

import (
	"errors"
	"testing"
	"time"
)

var t0 = time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)

// TestUpdateMatrix walks every pair of stored and requested status: the table of the
// service's documentation.
func TestUpdateMatrix(t *testing.T) {
	allowed := map[JobExecutionStatus]bool{StatusInProgress: true, StatusSucceeded: true, StatusFailed: true, StatusRejected: true}
	for _, from := range JobExecutionStatuses() {
		for _, to := range append(JobExecutionStatuses(), "SUCCESS", "succeeded", "") {
			e := JobExecution{JobID: "j", Status: from, VersionNumber: 3, QueuedAt: t0, LastUpdatedAt: t0}
			if from != StatusQueued {
				e.StartedAt = t0
			}
			before := e
			err := e.Update(&JobExecutionUpdate{Status: to}, 0, t0.Add(time.Minute))
			var want Code
			switch {
			case !to.Valid():
				want = CodeInvalidRequest
			case from.Terminal() || !allowed[to]:
				want = CodeInvalidStateTransition
			}
			if got := ErrorCode(err); got != want {
				t.Errorf("%s to %q: code %q, want %q", from, to, got, want)
				continue
			}
			if err != nil {
				if e.Status != before.Status || e.VersionNumber != before.VersionNumber || !e.LastUpdatedAt.Equal(t0) {
					t.Errorf("%s to %q was refused but changed the execution: %+v", from, to, e)
				}
				var refusal *Error
				if errors.As(err, &refusal); want == CodeInvalidStateTransition && (refusal.State == nil || refusal.State.Status != from) {
					t.Errorf("%s to %q: the refusal does not carry the state", from, to)
				}
				continue
			}
			if e.Status != to || e.VersionNumber != 4 || !e.LastUpdatedAt.Equal(t0.Add(time.Minute)) {
				t.Errorf("%s to %s: %+v", from, to, e)
			}
			// A jump from QUEUED to the end never started.
			if started := to == StatusInProgress || from == StatusInProgress; started == e.StartedAt.IsZero() {
				t.Errorf("%s to %s: startedAt %v", from, to, e.StartedAt)
			}
		}
	}
}

// TestVersions is the worked sequence of the service: 17.5 of the lifecycle.
func TestVersions(t *testing.T) {
	e := NewJobExecution(&Job{ID: "j"}, &Thing{Name: "t"}, 1, t0)
	version := func(want int64) {
		t.Helper()
		if e.VersionNumber != want {
			t.Fatalf("version %d, want %d", e.VersionNumber, want)
		}
	}
	version(1)
	if !e.StartNext(nil, 0, 0, t0) {
		t.Fatal("start-next changed nothing")
	}
	version(2)
	if e.StartNext(map[string]string{"ignored": "x"}, 0, 0, t0) {
		t.Fatal("start-next of an IN_PROGRESS execution asks to be stored")
	}
	version(2)
	if e.StatusDetails != nil {
		t.Fatal("start-next of an IN_PROGRESS execution changed its details")
	}
	two := int64(2)
	if err := e.Update(&JobExecutionUpdate{Status: StatusInProgress, ExpectedVersion: &two}, 0, t0); err != nil {
		t.Fatal(err)
	}
	version(3)
	err := e.Update(&JobExecutionUpdate{Status: StatusInProgress, ExpectedVersion: &two}, 0, t0)
	if ErrorCode(err) != CodeVersionMismatch {
		t.Fatalf("stale version: %v", err)
	}
	version(3)
	if e.Cancel(false, t0) {
		t.Fatal("a cancel without force ended an IN_PROGRESS execution")
	}
	if !e.Cancel(true, t0) || !e.ForceCanceled || e.Status != StatusCanceled {
		t.Fatalf("cancel with force: %+v", e)
	}
	version(4)
	err = e.Update(&JobExecutionUpdate{Status: StatusSucceeded}, 0, t0)
	if ErrorCode(err) != CodeInvalidStateTransition {
		t.Fatalf("update of a canceled execution: %v", err)
	}
	// The version is checked before the state: a stale device learns the newer state.
	err = e.Update(&JobExecutionUpdate{Status: StatusSucceeded, ExpectedVersion: &two}, 0, t0)
	if ErrorCode(err) != CodeVersionMismatch {
		t.Fatalf("stale update of a canceled execution: %v", err)
	}
	version(4)
}

// TestStatusDetails: replaced whole, kept when absent, cleared by {}.
func TestStatusDetails(t *testing.T) {
	e := JobExecution{Status: StatusInProgress, VersionNumber: 2}
	for _, step := range []struct{ give, want map[string]string }{
		{map[string]string{"a": "1"}, map[string]string{"a": "1"}},
		{map[string]string{"b": "2"}, map[string]string{"b": "2"}},
		{nil, map[string]string{"b": "2"}},
		{map[string]string{}, nil},
	} {
		if err := e.Update(&JobExecutionUpdate{Status: StatusInProgress, StatusDetails: step.give}, 0, t0); err != nil {
			t.Fatal(err)
		}
		if len(e.StatusDetails) != len(step.want) || e.StatusDetails["a"] != step.want["a"] || e.StatusDetails["b"] != step.want["b"] {
			t.Errorf("after %v: %v, want %v", step.give, e.StatusDetails, step.want)
		}
	}
	if e.VersionNumber != 6 {
		t.Errorf("version %d after four updates of version 2", e.VersionNumber)
	}
}

// TestTimers is the worked example of two timers: a step timer moves the deadline, but
// never past the in-progress timer.
func TestTimers(t *testing.T) {
	at := func(m int) time.Time { return t0.Add(time.Duration(m) * time.Minute) }
	e := NewJobExecution(&Job{ID: "j"}, &Thing{Name: "t"}, 1, at(-5))
	e.StartNext(nil, 0, 30*time.Minute, at(0))
	steps := []struct {
		minute   int
		step     time.Duration
		deadline int
		left     int64
	}{
		{10, 5 * time.Minute, 15, 300},
		{12, 10 * time.Minute, 22, 600},
		{14, 0, 22, 480},
		{20, 60 * time.Minute, 30, 600},
		{25, CancelStepTimeout, 30, 300},
	}
	if left, ok := e.SecondsBeforeTimedOut(at(0)); !ok || left != 1800 {
		t.Errorf("at the start: %d %v", left, ok)
	}
	for _, s := range steps {
		if err := e.Update(&JobExecutionUpdate{Status: StatusInProgress, StepTimeout: s.step}, 30*time.Minute, at(s.minute)); err != nil {
			t.Fatal(err)
		}
		if !e.Deadline().Equal(at(s.deadline)) {
			t.Errorf("minute %d: deadline %v, want minute %d", s.minute, e.Deadline(), s.deadline)
		}
		if left, ok := e.SecondsBeforeTimedOut(at(s.minute)); !ok || left != s.left {
			t.Errorf("minute %d: %d s left, want %d", s.minute, left, s.left)
		}
	}
	if e.TimeOut(at(30).Add(-time.Nanosecond)) {
		t.Error("timed out early")
	}
	if !e.TimeOut(at(30)) || e.Status != StatusTimedOut || !e.Deadline().IsZero() {
		t.Errorf("at the deadline: %+v", e)
	}
}

// queueStory drives a Queue and tells which notifications are due.
type queueStory struct {
	t *testing.T
	q Queue
	n int
}

func (s *queueStory) add(job string) {
	s.n++
	s.q.Pending = append(s.q.Pending, NewJobExecution(&Job{ID: job}, &Thing{Name: "t"}, 1, t0.Add(time.Duration(s.n)*time.Second)))
}

func (s *queueStory) due(wantSet, wantHead bool, head string, what string) {
	s.t.Helper()
	before := s.q.Notice("")
	s.q.Refresh("", AllVisible)
	after := s.q.Notice("")
	if set := after.SetVersion != before.SetVersion; set != wantSet {
		s.t.Errorf("%s: notify %v, want %v", what, set, wantSet)
	}
	if next := after.HeadVersion != before.HeadVersion; next != wantHead {
		s.t.Errorf("%s: notify-next %v, want %v", what, next, wantHead)
	}
	if after.HeadJobID != head {
		s.t.Errorf("%s: head %q, want %q", what, after.HeadJobID, head)
	}
}

// TestNotifyRule is the table of device-plane 7.2.
func TestNotifyRule(t *testing.T) {
	s := &queueStory{t: t}
	set := func(job string, status JobExecutionStatus) {
		t.Helper()
		if err := s.q.Find(job).Update(&JobExecutionUpdate{Status: status}, 0, t0); err != nil {
			t.Fatal(err)
		}
		if status.Terminal() {
			s.q.Remove(job)
		}
	}
	s.add("A")
	s.due(true, true, "A", "A queued in an empty queue")
	s.add("B")
	s.due(true, false, "A", "B queued")
	set("A", StatusInProgress)
	s.due(false, false, "A", "A started")
	set("A", StatusInProgress)
	s.due(false, false, "A", "progress of A")
	s.add("C")
	s.due(true, false, "A", "C queued")
	set("A", StatusSucceeded)
	s.due(true, true, "B", "A succeeded")
	set("C", StatusInProgress)
	s.due(false, true, "C", "C set IN_PROGRESS while B is head")
	set("B", StatusRejected)
	s.due(true, false, "C", "B rejected while C is head")
	s.q.Remove("C")
	s.due(true, true, "", "C deleted, queue empty")
	s.add("D")
	s.add("E")
	s.due(true, true, "D", "two executions in one commit")
	s.q.Find("E").Cancel(false, t0)
	s.q.Remove("E")
	set("D", StatusSucceeded)
	s.due(true, true, "", "D succeeded and E canceled in one step")
	s.due(false, false, "", "nothing happened")
}

// TestNotifyHidden: a change hidden behind a canceled job is due once, whoever touches
// the record first.
func TestNotifyHidden(t *testing.T) {
	s := &queueStory{t: t}
	s.add("A")
	s.add("B")
	s.due(true, true, "A", "A and B queued")
	hideA := func(e *JobExecution) bool { return e.JobID != "A" }
	before := s.q.Notice("")
	s.q.Find("B").StartNext(nil, 0, 0, t0)
	if !s.q.Refresh("", hideA) {
		t.Fatal("the device begins B: A is gone from the visible queue, and nobody is told")
	}
	after := s.q.Notice("")
	if after.SetVersion != before.SetVersion+1 || after.HeadVersion != before.HeadVersion+1 || after.HeadJobID != "B" {
		t.Errorf("after B began: %+v", after)
	}
	s.q.Remove("A")
	if s.q.Refresh("", AllVisible) {
		t.Error("the sweep took A away and it is told twice")
	}
}

// TestQueueOrder: IN_PROGRESS first, then the older, then by job ID; the head is that of
// the namespace.
func TestQueueOrder(t *testing.T) {
	q := Queue{Pending: []JobExecution{
		{JobID: "b", Status: StatusQueued, QueuedAt: t0},
		{JobID: "a", Status: StatusQueued, QueuedAt: t0},
		{JobID: "n", Status: StatusQueued, QueuedAt: t0.Add(-time.Hour), NamespaceID: "ns"},
		{JobID: "c", Status: StatusInProgress, QueuedAt: t0.Add(time.Hour)},
		{JobID: "d", Status: StatusInProgress, QueuedAt: t0.Add(time.Minute)},
	}}
	var got string
	for _, e := range q.List("", AllVisible) {
		got += e.JobID
	}
	if got != "dcab" {
		t.Errorf("order %q, want dcab", got)
	}
	if h := q.Head("ns", AllVisible); h == nil || h.JobID != "n" {
		t.Errorf("head of ns: %+v", h)
	}
	if h := q.Head("ns", func(*JobExecution) bool { return false }); h != nil {
		t.Errorf("hidden head: %+v", h)
	}
}
