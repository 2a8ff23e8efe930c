package jobsvc

import "time"

// EventOperation says what an event tells of, the last level of its topic.
type EventOperation string

// The operations of events about jobs.
const (
	EventCompleted              EventOperation = "completed"
	EventCancellationInProgress EventOperation = "cancellation_in_progress"
	EventCanceled               EventOperation = "canceled" // of an execution too
	EventDeletionInProgress     EventOperation = "deletion_in_progress"
	EventDeleted                EventOperation = "deleted" // of an execution too
)

// The operations of events about executions, EventCanceled and EventDeleted besides.
const (
	EventSucceeded EventOperation = "succeeded"
	EventFailed    EventOperation = "failed"
	EventRejected  EventOperation = "rejected"
	EventTimedOut  EventOperation = "timed_out"
	EventRemoved   EventOperation = "removed"
)

// EventOf is the operation of the event that an execution ended with a status. ok is
// false for one that is not terminal: there is no event.
func EventOf(s JobExecutionStatus) (op EventOperation, ok bool) {
	switch s {
	case StatusSucceeded:
		return EventSucceeded, true
	case StatusFailed:
		return EventFailed, true
	case StatusRejected:
		return EventRejected, true
	case StatusTimedOut:
		return EventTimedOut, true
	case StatusRemoved:
		return EventRemoved, true
	case StatusCanceled:
		return EventCanceled, true
	}
	return "", false
}

// Event is a change that operators are told of, at least once. Either Job or Execution
// is set. AWS: Developer Guide "Jobs events".
type Event struct {
	// ID is a UUID, the same however often the event is told.
	ID string
	// Stamp orders events by the commits of what they tell. It is a time of the store's
	// clock in Unix nanoseconds; no two have the same.
	Stamp     int64
	Operation EventOperation
	At        time.Time // of the change
	Job       *JobEvent
	Execution *JobExecutionEvent
}

// JobID is that of the job it is about.
func (e *Event) JobID() string {
	if e.Job != nil {
		return e.Job.JobID
	}
	return e.Execution.JobID
}

// JobEvent is what an event tells of a job, as it was after the change.
type JobEvent struct {
	JobID           string
	TargetSelection TargetSelection
	Targets         []string
	Description     string `json:",omitempty"`
	Comment         string `json:",omitempty"` // "" for EventCompleted, as are the next two
	ReasonCode      string `json:",omitempty"`
	ForceCanceled   bool   `json:",omitempty"`
	CreatedAt       time.Time
	LastUpdatedAt   time.Time
	CompletedAt     time.Time `json:",omitzero"` // zero but for EventCompleted
	// ProcessDetails are the counts of its executions, for EventCompleted alone.
	ProcessDetails *JobProcessDetails `json:",omitempty"`
}

// NewJobEvent is what an event of that operation tells of a job. counts are asked for by
// EventCompleted alone.
func NewJobEvent(op EventOperation, j *Job, counts *JobProcessDetails) *JobEvent {
	ev := &JobEvent{
		JobID: j.ID, TargetSelection: j.TargetSelection, Targets: j.Targets, Description: j.Description,
		CreatedAt: j.CreatedAt, LastUpdatedAt: j.LastUpdatedAt,
	}
	if op == EventCompleted {
		ev.CompletedAt, ev.ProcessDetails = j.CompletedAt, counts
	} else {
		ev.Comment, ev.ReasonCode, ev.ForceCanceled = j.Comment, j.ReasonCode, j.ForceCanceled
	}
	return ev
}

// JobExecutionEvent is what an event tells of an execution. Status is that before the
// deletion for EventDeleted.
type JobExecutionEvent struct {
	ThingName       string
	JobID           string
	ExecutionNumber int64
	VersionNumber   int64
	Status          JobExecutionStatus
	StatusDetails   map[string]string // nil when empty
}
