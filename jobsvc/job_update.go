package jobsvc

// UpdateJobRequest is the input of UpdateJob. What is nil stays as it is; a
// configuration with nothing in it takes the job's away.
type UpdateJobRequest struct {
	JobID       string
	NamespaceID *string // see DeleteJobRequest
	Description *string
	JobConfig
}

// Validate checks what can be said without the job. Errors: CodeInvalidRequest.
func (r *UpdateJobRequest) Validate() error {
	if err := ValidateJobID(r.JobID); err != nil {
		return err
	}
	if r.Description != nil {
		if err := validateText("description", *r.Description, MaxDescription); err != nil {
			return err
		}
	}
	if r.RetryConfig != nil && !r.RetryConfig.Off() {
		return Errorf(CodeInvalidRequest, "jobExecutionsRetryConfig can only be switched off after creation: every numberOfRetries must be 0.")
	}
	return r.JobConfig.Validate()
}

// Apply changes a job as the request asks.
func (r *UpdateJobRequest) Apply(j *Job) {
	if r.Description != nil {
		j.Description = *r.Description
	}
	replace(&j.PresignedURLConfig, r.PresignedURLConfig)
	replace(&j.RolloutConfig, r.RolloutConfig)
	replace(&j.TimeoutConfig, r.TimeoutConfig)
	if r.AbortConfig != nil {
		j.AbortConfig = r.AbortConfig
	}
	if r.RetryConfig != nil {
		j.RetryConfig = r.RetryConfig
	}
}

func replace[T comparable](to **T, by *T) {
	switch {
	case by == nil:
	case *by == *new(T):
		*to = nil
	default:
		*to = by
	}
}

// AssociateTargetsWithJobRequest is the input of AssociateTargetsWithJob.
type AssociateTargetsWithJobRequest struct {
	JobID       string
	NamespaceID *string // see DeleteJobRequest
	Targets     []string
	Comment     *string
}

// Validate checks what can be said without the job. Errors: CodeInvalidRequest,
// CodeLimitExceeded.
func (r *AssociateTargetsWithJobRequest) Validate() error {
	if err := ValidateJobID(r.JobID); err != nil {
		return err
	}
	if err := validateTargets(r.Targets); err != nil {
		return err
	}
	if r.Comment != nil {
		return validateText("comment", *r.Comment, MaxDescription)
	}
	return nil
}
