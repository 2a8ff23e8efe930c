package jobsvc

import "time"

// CreateJobRequest is the input of CreateJob. Exactly one of Document and
// DocumentSource is wanted, unless a template has the document.
type CreateJobRequest struct {
	JobID              string
	Targets            []string
	Document           *string // JSON, at most MaxDocumentBytes bytes
	DocumentSource     string
	Description        *string
	TargetSelection    TargetSelection // "" means SNAPSHOT
	PresignedURLConfig *PresignedURLConfig
	TimeoutConfig      *TimeoutConfig
	RolloutConfig      *RolloutConfig
	AbortConfig        *AbortConfig
	RetryConfig        *RetryConfig
	SchedulingConfig   *SchedulingConfig
	NamespaceID        *string
	Tags               []Tag

	JobTemplateARN             string
	DocumentParameters         map[string]string
	DestinationPackageVersions []string
}

// Validate checks what can be said without looking anything up, in the order of
// the members. Errors: CodeInvalidRequest, CodeLimitExceeded. The document itself
// is checked by ValidateDocument, the schedule by SchedulingConfig.Validate, what an
// installation sets by Limits.
func (r *CreateJobRequest) Validate() error {
	if err := ValidateJobID(r.JobID); err != nil {
		return err
	}
	if err := validateTargets(r.Targets); err != nil {
		return err
	}
	switch r.TargetSelection {
	case "", TargetSnapshot, TargetContinuous:
	default:
		return invalidValue("targetSelection", string(r.TargetSelection), "Member must satisfy enum value set: [SNAPSHOT, CONTINUOUS]")
	}
	if err := r.validateSource(); err != nil {
		return err
	}
	if r.Description != nil {
		if err := validateText("description", *r.Description, MaxDescription); err != nil {
			return err
		}
	}
	if err := r.validateNamespace(); err != nil {
		return err
	}
	c := JobConfig{r.PresignedURLConfig, r.RolloutConfig, r.AbortConfig, r.TimeoutConfig, r.RetryConfig}
	if err := c.Validate(); err != nil {
		return err
	}
	if n := len(r.DestinationPackageVersions); n > MaxPackageVersions {
		return Errorf(CodeInvalidRequest, "A job may have at most %d destinationPackageVersions, not %d.", MaxPackageVersions, n)
	}
	if len(r.DocumentParameters) > 0 && r.JobTemplateARN == "" {
		return Errorf(CodeInvalidRequest, "documentParameters are for jobs made from a managed template: jobTemplateArn is missing.")
	}
	return ValidateTags(r.Tags)
}

func validateTargets(targets []string) error {
	switch {
	case len(targets) == 0:
		return invalid("targets", "Member must have length greater than or equal to 1")
	}
	for _, t := range targets {
		if len(t) > MaxARN {
			return invalid("targets", "Member must have length less than or equal to %d", MaxARN)
		}
	}
	return nil
}

func (r *CreateJobRequest) validateSource() error {
	switch {
	case r.Document != nil && r.DocumentSource != "":
		return Errorf(CodeInvalidRequest, "Only one of document and documentSource may be given.")
	case r.Document == nil && r.DocumentSource == "":
		return Errorf(CodeInvalidRequest, "One of document and documentSource is required.")
	case len(r.DocumentSource) > MaxDocumentSource:
		return invalid("documentSource", "Member must have length less than or equal to %d", MaxDocumentSource)
	}
	return nil
}

func (r *CreateJobRequest) validateNamespace() error {
	if r.NamespaceID == nil {
		return nil
	}
	if err := ValidateNamespaceID(*r.NamespaceID); err != nil {
		return err
	}
	// $aws/things/T/jobs/J/namespace-N/update/accepted must fit 256 bytes with the longest thing name.
	if len(r.JobID)+len(*r.NamespaceID) > maxJobAndNamespace {
		return Errorf(CodeInvalidRequest, "jobId and namespaceId together may have at most %d characters, or their topics would be too long.", maxJobAndNamespace)
	}
	return nil
}

// JobConfig are the configurations of a job that UpdateJob can change. Templates have
// them too.
type JobConfig struct {
	PresignedURLConfig *PresignedURLConfig
	RolloutConfig      *RolloutConfig
	AbortConfig        *AbortConfig
	TimeoutConfig      *TimeoutConfig
	RetryConfig        *RetryConfig
}

// Validate checks those that are given. Errors: CodeInvalidRequest.
func (c *JobConfig) Validate() error {
	if c.PresignedURLConfig != nil {
		if err := c.PresignedURLConfig.Validate(); err != nil {
			return err
		}
	}
	if c.RolloutConfig != nil {
		if err := c.RolloutConfig.Validate(); err != nil {
			return err
		}
	}
	if c.AbortConfig != nil {
		if err := c.AbortConfig.Validate(); err != nil {
			return err
		}
	}
	if c.TimeoutConfig != nil {
		if err := c.TimeoutConfig.Validate(); err != nil {
			return err
		}
	}
	if c.RetryConfig != nil {
		return c.RetryConfig.Validate()
	}
	return nil
}

// Validate checks the bounds. Errors: CodeInvalidRequest.
func (c *TimeoutConfig) Validate() error {
	if m := c.InProgress / time.Minute; c.InProgress != 0 && (m < 1 || m > MaxTimeoutMinutes || c.InProgress%time.Minute != 0) {
		return invalidValue("timeoutConfig.inProgressTimeoutInMinutes", c.InProgress.String(), "Member must be between 1 and %d", MaxTimeoutMinutes)
	}
	return nil
}
