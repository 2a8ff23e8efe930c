package jobsvc

import "time"

// CancelJobExecutionRequest is the input of CancelJobExecution.
type CancelJobExecutionRequest struct {
	ThingName       string
	JobID           string
	Force           bool              // one that is IN_PROGRESS too
	ExpectedVersion *int64            // nil is not checked
	StatusDetails   map[string]string // nil leaves the stored ones, empty clears them
}

// Validate checks the members. Errors: CodeInvalidRequest.
func (r *CancelJobExecutionRequest) Validate() error {
	if err := ValidateName("thingName", r.ThingName); err != nil {
		return err
	}
	if err := ValidateJobID(r.JobID); err != nil {
		return err
	}
	return nil
}

// CancelRequested is what an operator's cancel does to an execution. Errors, which
// change nothing: CodeVersionMismatch, CodeInvalidStateTransition for an ended one and,
// without Force, for one that is IN_PROGRESS.
//
// AWS: CancelJobExecution.
func (e *JobExecution) CancelRequested(r *CancelJobExecutionRequest, now time.Time) error {
	if r.ExpectedVersion != nil && *r.ExpectedVersion != e.VersionNumber {
		return Errorf(CodeVersionMismatch, "expectedVersion is %d but the execution is at version %d.", *r.ExpectedVersion, e.VersionNumber)
	}
	if !e.Cancel(r.Force, now) {
		if e.Status == StatusInProgress {
			return Errorf(CodeInvalidStateTransition, "The execution of job %s is %s: it can be canceled with force only.", e.JobID, e.Status)
		}
		return Errorf(CodeInvalidStateTransition, "The execution of job %s is %s and cannot be canceled.", e.JobID, e.Status)
	}
	if r.StatusDetails != nil {
		e.setDetails(r.StatusDetails)
	}
	return nil
}

// DeleteJobExecutionRequest is the input of DeleteJobExecution.
type DeleteJobExecutionRequest struct {
	ThingName       string
	JobID           string
	ExecutionNumber int64
	Force           bool    // one that is IN_PROGRESS too
	NamespaceID     *string // see DeleteJobRequest
}

// Validate checks the members. Errors: CodeInvalidRequest.
func (r *DeleteJobExecutionRequest) Validate() error {
	if err := ValidateName("thingName", r.ThingName); err != nil {
		return err
	}
	return ValidateJobID(r.JobID)
}
