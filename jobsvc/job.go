package jobsvc

import (
	"strings"
	"time"
)

// JobStatus is where a Job stands (AWS: JobStatus).
type JobStatus string

// The statuses of a Job. The state machine is drawn in doc.go.
const (
	JobScheduled          JobStatus = "SCHEDULED"
	JobInProgress         JobStatus = "IN_PROGRESS"
	JobCompleted          JobStatus = "COMPLETED"
	JobCanceled           JobStatus = "CANCELED"
	JobDeletionInProgress JobStatus = "DELETION_IN_PROGRESS"
)

// Valid tells whether s is one of the statuses.
func (s JobStatus) Valid() bool {
	switch s {
	case JobScheduled, JobInProgress, JobCompleted, JobCanceled, JobDeletionInProgress:
		return true
	}
	return false
}

// TargetSelection says whether a Job goes on as Things join its targets.
type TargetSelection string

// The target selections.
const (
	TargetSnapshot   TargetSelection = "SNAPSHOT"
	TargetContinuous TargetSelection = "CONTINUOUS"
)

// PresignedURLConfig says how placeholders in the document become presigned S3
// URLs. RoleARN names a credential source of the configuration; Expires is how
// long a URL lives, 60 s to 3,600 s, zero meaning 3,600 s. AWS: PresignedUrlConfig.
type PresignedURLConfig struct {
	RoleARN string
	Expires time.Duration
}

// TimeoutConfig limits the time an execution may stay IN_PROGRESS, counted from
// its start: whole minutes, 1 to 10,080. Zero means no limit. AWS: TimeoutConfig.
type TimeoutConfig struct {
	InProgress time.Duration
}

// Job is one remote operation on the Things its targets cover (AWS: Job). The
// document is kept beside it, not in it.
type Job struct {
	ID                 string
	Status             JobStatus
	TargetSelection    TargetSelection
	Targets            []string // ARNs of things and thing groups, in request order, without repeats
	Description        string
	DocumentSource     string // the URL the document came from, if it did
	NamespaceID        string // "" for the plain topics
	PresignedURLConfig *PresignedURLConfig
	TimeoutConfig      *TimeoutConfig

	ForceCanceled bool
	ReasonCode    string
	Comment       string

	CreatedAt     time.Time
	LastUpdatedAt time.Time
	CompletedAt   time.Time // zero unless COMPLETED

	// Concurrent: rolling out or canceling (AWS: isConcurrent).
	Concurrent bool
	// RolloutDone: every Thing of the targets has its execution or was skipped.
	RolloutDone bool
}

// Active tells whether the Job may still change by itself: it is SCHEDULED or
// IN_PROGRESS.
func (j *Job) Active() bool { return j.Status == JobScheduled || j.Status == JobInProgress }

// JobProcessDetails counts the existing execution records of a Job by status:
// attempts, in spite of the names AWS gives the members. AWS: JobProcessDetails.
type JobProcessDetails struct {
	Queued, InProgress, Succeeded, Failed, TimedOut, Rejected, Removed, Canceled int64
	ProcessingTargets                                                            []string
}

// Pending is the number of executions that are not terminal.
func (d *JobProcessDetails) Pending() int64 { return d.Queued + d.InProgress }

// Count is a pointer to the counter of a status; nil for an unknown one.
func (d *JobProcessDetails) Count(s JobExecutionStatus) *int64 {
	switch s {
	case StatusQueued:
		return &d.Queued
	case StatusInProgress:
		return &d.InProgress
	case StatusSucceeded:
		return &d.Succeeded
	case StatusFailed:
		return &d.Failed
	case StatusTimedOut:
		return &d.TimedOut
	case StatusRejected:
		return &d.Rejected
	case StatusRemoved:
		return &d.Removed
	case StatusCanceled:
		return &d.Canceled
	}
	return nil
}

// CreateJobRequest is the input of CreateJob. Exactly one of Document and
// DocumentSource is wanted.
type CreateJobRequest struct {
	JobID              string
	Targets            []string
	Document           *string // JSON, at most MaxDocumentBytes bytes
	DocumentSource     string
	Description        *string
	TargetSelection    TargetSelection // "" means SNAPSHOT
	PresignedURLConfig *PresignedURLConfig
	TimeoutConfig      *TimeoutConfig
	NamespaceID        *string
	// Unsupported names the members the request set to something that this build
	// cannot honour; CreateJob refuses them by name rather than ignore them.
	Unsupported []string
}

// Validate checks what can be said without looking anything up, in the order of
// the members. Errors: CodeInvalidRequest, CodeLimitExceeded. The document itself
// is checked by ValidateDocument.
func (r *CreateJobRequest) Validate() error {
	if err := ValidateJobID(r.JobID); err != nil {
		return err
	}
	switch {
	case len(r.Targets) == 0:
		return invalid("targets", "Member must have length greater than or equal to 1")
	case len(r.Targets) > MaxTargets:
		return Errorf(CodeLimitExceeded, "A job may have at most %d targets, not %d.", MaxTargets, len(r.Targets))
	}
	for _, t := range r.Targets {
		if len(t) > MaxARN {
			return invalid("targets", "Member must have length less than or equal to %d", MaxARN)
		}
	}
	switch r.TargetSelection {
	case "", TargetSnapshot:
	case TargetContinuous:
		return Errorf(CodeInvalidRequest, "targetSelection CONTINUOUS is not supported by this version yet.")
	default:
		return invalidValue("targetSelection", string(r.TargetSelection), "Member must satisfy enum value set: [SNAPSHOT, CONTINUOUS]")
	}
	if r.Document != nil && r.DocumentSource != "" {
		return Errorf(CodeInvalidRequest, "Only one of document and documentSource may be given.")
	}
	if r.Document == nil && r.DocumentSource == "" {
		return Errorf(CodeInvalidRequest, "One of document and documentSource is required.")
	}
	if len(r.DocumentSource) > MaxDocumentSource {
		return invalid("documentSource", "Member must have length less than or equal to %d", MaxDocumentSource)
	}
	if r.Description != nil {
		if err := validateText("description", *r.Description, MaxDescription); err != nil {
			return err
		}
	}
	if r.NamespaceID != nil {
		if err := ValidateNamespaceID(*r.NamespaceID); err != nil {
			return err
		}
		// $aws/things/T/jobs/J/namespace-N/update/accepted must fit 256 bytes with the longest thing name.
		if len(r.JobID)+len(*r.NamespaceID) > maxJobAndNamespace {
			return Errorf(CodeInvalidRequest, "jobId and namespaceId together may have at most %d characters, or their topics would be too long.", maxJobAndNamespace)
		}
	}
	if c := r.PresignedURLConfig; c != nil {
		if err := c.Validate(); err != nil {
			return err
		}
	}
	if c := r.TimeoutConfig; c != nil {
		if m := c.InProgress / time.Minute; c.InProgress != 0 && (m < 1 || m > MaxTimeoutMinutes || c.InProgress%time.Minute != 0) {
			return invalidValue("timeoutConfig.inProgressTimeoutInMinutes", c.InProgress.String(), "Member must be between 1 and %d", MaxTimeoutMinutes)
		}
	}
	if len(r.Unsupported) > 0 {
		return Errorf(CodeInvalidRequest, "Not supported by this version yet: %s.", strings.Join(r.Unsupported, ", "))
	}
	return nil
}

// Validate checks the bounds of the members. Errors: CodeInvalidRequest.
func (c *PresignedURLConfig) Validate() error {
	if c.RoleARN != "" && (len(c.RoleARN) < 20 || len(c.RoleARN) > MaxARN) {
		return invalidValue("presignedUrlConfig.roleArn", c.RoleARN, "Member must have length between 20 and %d", MaxARN)
	}
	if c.RoleARN != "" && !IsRoleARN(c.RoleARN) {
		return invalidValue("presignedUrlConfig.roleArn", c.RoleARN, "Member must be the ARN of a role")
	}
	if c.Expires != 0 && (c.Expires < MinPresignExpires || c.Expires > MaxPresignExpires) {
		return invalidValue("presignedUrlConfig.expiresInSec", c.Expires.String(), "Member must be between 60 and 3600")
	}
	return nil
}

// JobDescription is what DescribeJob tells.
type JobDescription struct {
	Job
	ProcessDetails JobProcessDetails
}

// ListJobsRequest is the input of ListJobs. Empty members do not filter.
type ListJobsRequest struct {
	Status          JobStatus
	TargetSelection TargetSelection
	ThingGroupName  string // jobs with this group as a direct target
	ThingGroupID    string
	NamespaceID     string
	Page            Page
}

// ListJobsResult is a page of jobs, newest first. ThingGroupID is set when the
// request filtered by group.
type ListJobsResult struct {
	Jobs         []Job
	ThingGroupID string
	NextToken    string
}

// CancelJobRequest is the input of CancelJob.
type CancelJobRequest struct {
	JobID      string
	Force      bool // IN_PROGRESS executions too
	ReasonCode *string
	Comment    *string
}

// Validate checks the members. Errors: CodeInvalidRequest.
func (r *CancelJobRequest) Validate() error {
	if err := ValidateJobID(r.JobID); err != nil {
		return err
	}
	if r.ReasonCode != nil && !reasonCodePattern.MatchString(*r.ReasonCode) {
		return invalidValue("reasonCode", *r.ReasonCode, "Member must satisfy regular expression pattern: [A-Z0-9_]+ and have at most 128 characters")
	}
	if r.Comment != nil {
		return validateText("comment", *r.Comment, MaxDescription)
	}
	return nil
}

// DeleteJobRequest is the input of DeleteJob. A NamespaceID that is not the job's
// makes it "not found"; nil does not ask.
type DeleteJobRequest struct {
	JobID       string
	Force       bool
	NamespaceID *string
}

// Page asks for a part of a list: MaxResults 1 to 250, zero meaning 100, and the
// token the previous page ended with.
type Page struct {
	MaxResults int
	Token      string
}

// Size is the number of results wanted.
func (p Page) Size() int {
	if p.MaxResults == 0 {
		return DefaultPageSize
	}
	return p.MaxResults
}

// Validate checks the bounds. Errors: CodeInvalidRequest.
func (p Page) Validate() error {
	if p.MaxResults < 0 || p.MaxResults > MaxPageSize {
		return Errorf(CodeInvalidRequest, "1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must be between 1 and %d", p.MaxResults, MaxPageSize)
	}
	return nil
}
