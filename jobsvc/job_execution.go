package jobsvc

import (
	"slices"
	"time"
)

// JobExecutionStatus is where one attempt of one Thing stands.
type JobExecutionStatus string

// The statuses of a JobExecution. The state machine is drawn in doc.go.
const (
	StatusQueued     JobExecutionStatus = "QUEUED"
	StatusInProgress JobExecutionStatus = "IN_PROGRESS"
	StatusSucceeded  JobExecutionStatus = "SUCCEEDED"
	StatusFailed     JobExecutionStatus = "FAILED"
	StatusTimedOut   JobExecutionStatus = "TIMED_OUT"
	StatusRejected   JobExecutionStatus = "REJECTED"
	StatusRemoved    JobExecutionStatus = "REMOVED"
	StatusCanceled   JobExecutionStatus = "CANCELED"
)

// JobExecutionStatuses lists all of them, in the order of the state machine.
func JobExecutionStatuses() []JobExecutionStatus {
	return []JobExecutionStatus{
		StatusQueued, StatusInProgress, StatusSucceeded, StatusFailed,
		StatusTimedOut, StatusRejected, StatusRemoved, StatusCanceled,
	}
}

// Valid tells whether s is one of the statuses.
func (s JobExecutionStatus) Valid() bool {
	switch s {
	case StatusQueued, StatusInProgress, StatusSucceeded, StatusFailed,
		StatusTimedOut, StatusRejected, StatusRemoved, StatusCanceled:
		return true
	}
	return false
}

// Terminal tells whether nothing but deletion follows.
func (s JobExecutionStatus) Terminal() bool { return s != StatusQueued && s != StatusInProgress }

// Settable tells whether a device may ask for the status.
func (s JobExecutionStatus) Settable() bool {
	switch s {
	case StatusInProgress, StatusSucceeded, StatusFailed, StatusRejected:
		return true
	}
	return false
}

// JobExecution is one attempt of one Thing at one Job (AWS: JobExecution),
// keyed by thing, job and ExecutionNumber.
type JobExecution struct {
	ThingName       string
	ThingID         string // of the thing it was made for: one made again under the name is another
	JobID           string
	NamespaceID     string // the job's
	ExecutionNumber int64  // 1 for the first attempt; never used again while the job exists
	RetryAttempt    int    // 0 for the first attempt of a chain
	TimedOutRetries int    // how many of those retries followed a TIMED_OUT, the others a FAILED
	// Uncovered: its thing has left the targets of the CONTINUOUS job since this was made. An
	// IN_PROGRESS one goes on, but there will be no retry; after an ended one another is due
	// when the thing comes back.
	Uncovered bool

	Status        JobExecutionStatus
	StatusDetails map[string]string // nil when empty
	ForceCanceled bool
	VersionNumber int64 // 1 when QUEUED is made, +1 with every stored change

	QueuedAt      time.Time
	StartedAt     time.Time // zero before the first IN_PROGRESS
	LastUpdatedAt time.Time

	// InProgressDeadline and StepDeadline are zero when that timer does not run.
	InProgressDeadline time.Time
	StepDeadline       time.Time

	// HiddenUntil: a QUEUED retry is not in its device's queue before. Zero when it is.
	HiddenUntil time.Time
	// QueuedUntil is when a QUEUED execution is CANCELED. Zero for never.
	QueuedUntil time.Time
}

// JobExecutionState is the part of an execution that updates and refusals show.
type JobExecutionState struct {
	Status        JobExecutionStatus
	StatusDetails map[string]string
	VersionNumber int64
}

// State gives the execution's JobExecutionState.
func (e *JobExecution) State() *JobExecutionState {
	return &JobExecutionState{Status: e.Status, StatusDetails: e.StatusDetails, VersionNumber: e.VersionNumber}
}

// NewJobExecution is the QUEUED execution that rolling a job out to a thing makes.
func NewJobExecution(j *Job, thing *Thing, number int64, now time.Time) JobExecution {
	return JobExecution{
		ThingName:       thing.Name,
		ThingID:         thing.ID,
		JobID:           j.ID,
		NamespaceID:     j.NamespaceID,
		ExecutionNumber: number,
		Status:          StatusQueued,
		VersionNumber:   1,
		QueuedAt:        now,
		LastUpdatedAt:   now,
	}
}

// Deadline is when the execution times out: the earlier of its two timers, zero
// when none runs.
func (e *JobExecution) Deadline() time.Time {
	a, b := e.InProgressDeadline, e.StepDeadline
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// NextDue is when something becomes of the execution by itself: its Deadline, or what a
// QUEUED one waits for. Zero for never.
func (e *JobExecution) NextDue() time.Time {
	if e.Status != StatusQueued {
		return e.Deadline()
	}
	a, b := e.HiddenUntil, e.QueuedUntil
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// SecondsBeforeTimedOut is the time left in whole seconds, rounded up, at least 0.
// ok is false when no timer runs. AWS: approximateSecondsBeforeTimedOut.
func (e *JobExecution) SecondsBeforeTimedOut(now time.Time) (seconds int64, ok bool) {
	d := e.Deadline()
	if e.Status != StatusInProgress || d.IsZero() {
		return 0, false
	}
	return max(0, int64((d.Sub(now)+time.Second-1)/time.Second)), true
}

// JobExecutionUpdate is the change a device asks for. The execution keeps the map of
// details: it is not to be changed afterwards.
type JobExecutionUpdate struct {
	Status          JobExecutionStatus // required; as the device wrote it
	StatusDetails   map[string]string  // nil leaves the stored ones, empty clears them
	ExpectedVersion *int64             // nil is not checked
	// StepTimeout sets or replaces the step timer, CancelStepTimeout stops it, zero
	// leaves it. Whole minutes.
	StepTimeout time.Duration
	// Allowed are statuses that this installation lets devices ask for besides those that
	// are Settable. AWS: none.
	Allowed []JobExecutionStatus
}

// CancelStepTimeout as a StepTimeout stops the running step timer.
const CancelStepTimeout time.Duration = -1

// Update applies what a device reports. timeout is the job's in-progress timeout,
// which counts from the first entry into IN_PROGRESS.
//
// Errors, which change nothing: CodeInvalidRequest for a status there is not; with
// State: CodeVersionMismatch, CodeInvalidStateTransition (any update of a terminal
// execution, or a status only the service sets). The version is checked before the
// transition, so that a stale device learns the newer state.
//
// AWS: UpdateJobExecution; Developer Guide "Jobs and job execution states".
func (e *JobExecution) Update(u *JobExecutionUpdate, timeout time.Duration, now time.Time) error {
	if !u.Status.Valid() {
		return invalidValue("status", string(u.Status), "Member must satisfy enum value set: [IN_PROGRESS, SUCCEEDED, FAILED, REJECTED]")
	}
	if u.ExpectedVersion != nil && *u.ExpectedVersion != e.VersionNumber {
		err := Errorf(CodeVersionMismatch, "expectedVersion is %d but the execution is at version %d.", *u.ExpectedVersion, e.VersionNumber)
		err.State = e.State()
		return err
	}
	settable := u.Status.Settable() || slices.Contains(u.Allowed, u.Status)
	if e.Status.Terminal() || !settable {
		err := Errorf(CodeInvalidStateTransition, "An execution cannot go from %s to %s.", e.Status, u.Status)
		if !settable {
			err.Message = "The status " + string(u.Status) + " is set by the service alone. The execution is " + string(e.Status) + "."
		}
		err.State = e.State()
		return err
	}
	if u.Status == StatusInProgress {
		e.begin(timeout, now)
		e.setStepTimeout(u.StepTimeout, now)
	} else {
		e.end(u.Status)
	}
	if u.StatusDetails != nil {
		e.setDetails(u.StatusDetails)
	}
	e.touch(now)
	return nil
}

// StartNext is what start-next does to the head of the queue: a QUEUED execution
// begins; one IN_PROGRESS only gets a new step timer, if one is given. It tells
// whether anything is to be stored.
//
// AWS: StartNextPendingJobExecution.
func (e *JobExecution) StartNext(details map[string]string, step, timeout time.Duration, now time.Time) (changed bool) {
	if e.Status == StatusInProgress {
		if step == 0 {
			return false
		}
		e.setStepTimeout(step, now)
		return true
	}
	e.begin(timeout, now)
	e.setStepTimeout(step, now)
	if details != nil {
		e.setDetails(details)
	}
	e.touch(now)
	return true
}

// Cancel ends a QUEUED execution, with force one that is IN_PROGRESS too. It
// tells whether it did.
func (e *JobExecution) Cancel(force bool, now time.Time) bool {
	switch {
	case e.Status == StatusQueued:
	case e.Status == StatusInProgress && force:
		e.ForceCanceled = true
	default:
		return false
	}
	e.end(StatusCanceled)
	e.touch(now)
	return true
}

// TimeOut ends an execution whose deadline has come. It tells whether it did: a
// device that reported in time, or moved the deadline, wins.
func (e *JobExecution) TimeOut(now time.Time) bool {
	d := e.Deadline()
	if e.Status != StatusInProgress || d.IsZero() || now.Before(d) {
		return false
	}
	e.end(StatusTimedOut)
	e.touch(now)
	return true
}

// Wait is what the passing of time does to a QUEUED execution: it is CANCELED, or no longer
// hidden. Both are false for one that has begun, or that nothing is due for.
func (e *JobExecution) Wait(now time.Time) (canceled, shown bool) {
	past := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case e.Status != StatusQueued:
	case past(e.QueuedUntil):
		return e.Cancel(false, now), false
	case past(e.HiddenUntil):
		e.HiddenUntil = time.Time{}
		return false, true
	}
	return false, false
}

// Remove ends a pending execution whose thing was deleted or left the targets. It
// tells whether it did.
func (e *JobExecution) Remove(now time.Time) bool {
	if e.Status.Terminal() {
		return false
	}
	e.end(StatusRemoved)
	e.touch(now)
	return true
}

// Retry is the QUEUED execution that follows one which ended FAILED or TIMED_OUT, in the
// same chain: without its details, timers and times.
func (e *JobExecution) Retry(now time.Time) JobExecution {
	next := JobExecution{
		ThingName:       e.ThingName,
		ThingID:         e.ThingID,
		JobID:           e.JobID,
		NamespaceID:     e.NamespaceID,
		ExecutionNumber: e.ExecutionNumber + 1,
		RetryAttempt:    e.RetryAttempt + 1,
		TimedOutRetries: e.TimedOutRetries,
		Status:          StatusQueued,
		VersionNumber:   1,
		QueuedAt:        now,
		LastUpdatedAt:   now,
	}
	if e.Status == StatusTimedOut {
		next.TimedOutRetries++
	}
	return next
}

// Cover takes Uncovered back: the thing has come back to the targets while this was
// IN_PROGRESS. Its chain of attempts begins anew. It tells whether anything is to be
// stored.
func (e *JobExecution) Cover() bool {
	if !e.Uncovered {
		return false
	}
	e.Uncovered, e.RetryAttempt, e.TimedOutRetries = false, 0, 0
	return true
}

func (e *JobExecution) begin(timeout time.Duration, now time.Time) {
	if e.Status == StatusInProgress {
		return
	}
	e.Status = StatusInProgress
	e.StartedAt = now
	e.HiddenUntil, e.QueuedUntil = time.Time{}, time.Time{}
	if timeout > 0 {
		e.InProgressDeadline = now.Add(timeout)
	}
}

func (e *JobExecution) end(s JobExecutionStatus) {
	e.Status = s
	e.InProgressDeadline, e.StepDeadline = time.Time{}, time.Time{}
	e.HiddenUntil, e.QueuedUntil = time.Time{}, time.Time{}
}

func (e *JobExecution) setStepTimeout(step time.Duration, now time.Time) {
	switch {
	case step == CancelStepTimeout:
		e.StepDeadline = time.Time{}
	case step > 0:
		e.StepDeadline = now.Add(step)
	}
}

// setDetails replaces the whole map: the service does not merge. The map is kept.
func (e *JobExecution) setDetails(d map[string]string) {
	if len(d) == 0 {
		d = nil
	}
	e.StatusDetails = d
}

func (e *JobExecution) touch(now time.Time) {
	e.VersionNumber++
	e.LastUpdatedAt = now
}

// UpdateJobExecutionRequest is the input of UpdateJobExecution on the device plane.
type UpdateJobExecutionRequest struct {
	ThingName string
	JobID     string
	// NamespaceID is that of the topic. An execution of another one is not found.
	NamespaceID     string
	ExecutionNumber *int64 // nil: the latest
	JobExecutionUpdate
	IncludeDocument bool
	Sign            bool // the document will leave with signed URLs: refuse when that cannot be done
	ClientToken     string
}

// UpdateJobExecutionResult is its output: the state after the update, and the
// document as the operator wrote it when it was asked for.
type UpdateJobExecutionResult struct {
	State    JobExecutionState
	Document *Document
	Time     time.Time
}

// StartNextPendingJobExecutionRequest is the input of StartNextPendingJobExecution.
type StartNextPendingJobExecutionRequest struct {
	ThingName     string
	StatusDetails map[string]string // nil when not given
	StepTimeout   time.Duration     // zero when not given; whole minutes
	Sign          bool              // see UpdateJobExecutionRequest
}

// DescribeJobExecutionRequest is the input of DescribeJobExecution on the device
// plane. JobID may be NextJobID.
type DescribeJobExecutionRequest struct {
	ThingName       string
	JobID           string
	NamespaceID     string
	ExecutionNumber *int64
	IncludeDocument bool
	Sign            bool
}

// NextJobID addresses the head of a thing's queue.
const NextJobID = "$next"

// Document is a job document on its way to a device: the stored text, placeholders
// and all, with what presign needs to fill them. URLs for uploads name the execution.
type Document struct {
	Text               []byte
	PresignedURLConfig *PresignedURLConfig
	ThingName, JobID   string
	ExecutionNumber    int64
}

// NewDocument is the document of a job on its way to the thing of an execution.
func NewDocument(text []byte, j *Job, x *JobExecution) *Document {
	return &Document{
		Text: text, PresignedURLConfig: j.PresignedURLConfig,
		ThingName: x.ThingName, JobID: x.JobID, ExecutionNumber: x.ExecutionNumber,
	}
}

// DeviceExecution answers DescribeJobExecution and StartNextPendingJobExecution.
// Execution is nil when the queue is empty; Document when it was not asked for.
type DeviceExecution struct {
	Execution *JobExecution
	Document  *Document
	Time      time.Time
}

// PendingJobExecutions answers GetPendingJobExecutions: the front of the queue, at
// most PendingShown of each status, in queue order.
type PendingJobExecutions struct {
	InProgress []JobExecution
	Queued     []JobExecution
	Time       time.Time
}

// ThingQueue is what the notifications of one thing and namespace are made from.
// SetVersion grows when notify is due, HeadVersion when notify-next is.
type ThingQueue struct {
	PendingJobExecutions
	Head        *JobExecution // nil when the queue is empty
	Document    *Document     // the head's
	SetVersion  uint64
	HeadVersion uint64
}

// ListJobExecutionsForJobRequest is the input of ListJobExecutionsForJob.
type ListJobExecutionsForJobRequest struct {
	JobID  string
	Status JobExecutionStatus // "" for all
	Page   Page
}

// ListJobExecutionsForThingRequest is the input of ListJobExecutionsForThing.
type ListJobExecutionsForThingRequest struct {
	ThingName   string
	Status      JobExecutionStatus
	JobID       string
	NamespaceID string
	Page        Page
}

// ListJobExecutionsResult is a page of executions: those of a job by QueuedAt,
// thing and number; those of a thing newest first.
type ListJobExecutionsResult struct {
	Executions []JobExecution
	NextToken  string
}
