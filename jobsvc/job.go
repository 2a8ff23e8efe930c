package jobsvc

import "time"

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
// long a URL lives, from 60 s to Limits.PresignExpires, zero meaning 3,600 s. AWS: PresignedUrlConfig.
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
	RolloutConfig      *RolloutConfig    `json:",omitempty"`
	AbortConfig        *AbortConfig      `json:",omitempty"`
	RetryConfig        *RetryConfig      `json:",omitempty"`
	SchedulingConfig   *SchedulingConfig `json:",omitempty"`

	JobTemplateARN             string            `json:",omitempty"` // the template it was made from
	DocumentParameters         map[string]string `json:",omitempty"`
	DestinationPackageVersions []string          `json:",omitempty"` // ARNs; nothing looks at them

	ForceCanceled bool
	ReasonCode    string
	Comment       string

	CreatedAt     time.Time
	LastUpdatedAt time.Time
	CompletedAt   time.Time // zero unless COMPLETED
	// StartsAt is when a SCHEDULED job becomes IN_PROGRESS. StartedAt is when one did for
	// the first time; zero for jobs that were IN_PROGRESS from the beginning.
	StartsAt  time.Time `json:",omitzero"`
	StartedAt time.Time `json:",omitzero"`
	// OpenedAt is when a maintenance window opened last; zero for jobs without.
	OpenedAt time.Time `json:",omitzero"`
	// ClosesAt is when the open window closes, EndsAt when the end time comes: zero when
	// there is nothing of the kind ahead. WindowSweepAt names the sweep that tells devices
	// of the window that opened or closed last; it may be over.
	ClosesAt      time.Time `json:",omitzero"`
	EndsAt        time.Time `json:",omitzero"`
	WindowSweepAt time.Time `json:",omitzero"`

	// Concurrent: rolling out or canceling (AWS: isConcurrent).
	Concurrent bool
	// RolloutDone: every Thing of the targets has its execution or was skipped, or the job
	// is Stopped.
	RolloutDone bool
	// Retired: it is deleted since its retention is over. There are no events of its
	// executions.
	Retired bool `json:",omitempty"`
	// Pace is that of the rollout that is done: another goes on from there, for things that
	// joined between two maintenance windows or targets that were associated.
	Pace RolloutPace `json:",omitzero"`
	// Stopped: no execution is made any more, neither for Things that join the targets nor
	// as a retry. The end time came with STOP_ROLLOUT, or the last maintenance window
	// closed. The job is COMPLETED when all executions are terminal.
	Stopped bool `json:",omitempty"`
}

// RolloutPace is what the rate of a rollout goes by.
type RolloutPace struct {
	// WindowStart is when the window of a minute began that things are released in, Rate how
	// many may be, Left how many more.
	WindowStart time.Time `json:",omitzero"`
	Rate        int64     `json:",omitempty"`
	Left        int64     `json:",omitempty"`
	// Notified is how many things have had their first execution from the rollout, those
	// that joined not counted, and Increases how often the rate has grown.
	Notified  int64 `json:",omitempty"`
	Increases int64 `json:",omitempty"`
}

// Expired tells whether QUEUED executions of the Job can begin no more, since it is
// Stopped and no maintenance window opens again. They behave as CANCELED, and become so.
func (j *Job) Expired() bool {
	return j.Stopped && j.SchedulingConfig != nil && len(j.SchedulingConfig.MaintenanceWindows) > 0
}

// Waiting tells whether the Job is SCHEDULED and has not begun yet: it is not between two
// maintenance windows.
func (j *Job) Waiting() bool {
	return j.Status == JobScheduled && j.StartedAt.IsZero() && j.OpenedAt.IsZero()
}

// Active tells whether the Job may still change by itself: it is SCHEDULED or
// IN_PROGRESS.
func (j *Job) Active() bool { return j.Status == JobScheduled || j.Status == JobInProgress }

// Follows tells whether the Job goes by who is in its targets now: it is CONTINUOUS, and
// has not ended. When it is Stopped it goes by who leaves them alone.
func (j *Job) Follows() bool {
	return j.TargetSelection == TargetContinuous && j.Active()
}

// Begun is when the job's rollout began, which fixes who is a member of its targets.
func (j *Job) Begun() time.Time {
	if j.StartedAt.IsZero() {
		return j.CreatedAt
	}
	return j.StartedAt
}

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

// Validate checks the bounds of the members. Errors: CodeInvalidRequest.
func (c *PresignedURLConfig) Validate() error {
	if c.RoleARN != "" && (len(c.RoleARN) < 20 || len(c.RoleARN) > MaxARN) {
		return invalidValue("presignedUrlConfig.roleArn", c.RoleARN, "Member must have length between 20 and %d", MaxARN)
	}
	if c.RoleARN != "" && !IsRoleARN(c.RoleARN) {
		return invalidValue("presignedUrlConfig.roleArn", c.RoleARN, "Member must be the ARN of a role")
	}
	if c.Expires != 0 && (c.Expires < MinPresignExpires || c.Expires > MaxPresignExpires) {
		return invalidValue("presignedUrlConfig.expiresInSec", c.Expires.String(), "Member must be between %d and %d", int(MinPresignExpires.Seconds()), int(MaxPresignExpires.Seconds()))
	}
	return nil
}

// JobDescription is what DescribeJob tells.
type JobDescription struct {
	Job
	ProcessDetails JobProcessDetails
	// ScheduledRollouts are the next openings of the job's maintenance windows.
	ScheduledRollouts []time.Time
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
