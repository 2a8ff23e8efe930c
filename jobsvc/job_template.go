package jobsvc

import (
	"fmt"
	"time"
)

// JobTemplate is what jobs are made from (AWS: DescribeJobTemplate). It never changes.
type JobTemplate struct {
	ID             string
	Description    string
	DocumentSource string `json:",omitempty"`
	JobConfig
	MaintenanceWindows         []MaintenanceWindow `json:",omitempty"`
	DestinationPackageVersions []string            `json:",omitempty"`
	CreatedAt                  time.Time
}

// CreateJobTemplateRequest is the input of CreateJobTemplate. With JobARN it begins as a
// copy of that job, over which the members that are given go.
type CreateJobTemplateRequest struct {
	ID             string
	JobARN         string
	Document       *string
	DocumentSource string
	Description    string
	JobConfig
	MaintenanceWindows         []MaintenanceWindow
	DestinationPackageVersions []string
	Tags                       []Tag
}

// Validate checks what can be said without looking anything up. Errors:
// CodeInvalidRequest, CodeLimitExceeded.
func (r *CreateJobTemplateRequest) Validate() error {
	if err := validatePattern("jobTemplateId", r.ID, jobIDPattern); err != nil {
		return err
	}
	if err := validateText("description", r.Description, MaxDescription); err != nil {
		return err
	}
	switch {
	case r.Document != nil && r.DocumentSource != "":
		return Errorf(CodeInvalidRequest, "Only one of document and documentSource may be given.")
	case r.Document == nil && r.DocumentSource == "" && r.JobARN == "":
		return Errorf(CodeInvalidRequest, "One of jobArn, document and documentSource is required.")
	}
	if err := r.JobConfig.Validate(); err != nil {
		return err
	}
	if n := len(r.DestinationPackageVersions); n > MaxPackageVersions {
		return Errorf(CodeInvalidRequest, "A template may have at most %d destinationPackageVersions, not %d.", MaxPackageVersions, n)
	}
	return ValidateTags(r.Tags)
}

// Over gives the configurations of c, those of base where c has none.
func (c JobConfig) Over(base JobConfig) JobConfig {
	if c.PresignedURLConfig == nil {
		c.PresignedURLConfig = base.PresignedURLConfig
	}
	if c.RolloutConfig == nil {
		c.RolloutConfig = base.RolloutConfig
	}
	if c.AbortConfig == nil {
		c.AbortConfig = base.AbortConfig
	}
	if c.TimeoutConfig == nil {
		c.TimeoutConfig = base.TimeoutConfig
	}
	if c.RetryConfig == nil {
		c.RetryConfig = base.RetryConfig
	}
	return c
}

// Config gives the configurations of a job.
func (j *Job) Config() JobConfig {
	return JobConfig{j.PresignedURLConfig, j.RolloutConfig, j.AbortConfig, j.TimeoutConfig, j.RetryConfig}
}

// Config gives the configurations of a request.
func (r *CreateJobRequest) Config() JobConfig {
	return JobConfig{r.PresignedURLConfig, r.RolloutConfig, r.AbortConfig, r.TimeoutConfig, r.RetryConfig}
}

// SetConfig is the reverse of Config.
func (r *CreateJobRequest) SetConfig(c JobConfig) {
	r.PresignedURLConfig, r.RolloutConfig, r.AbortConfig, r.TimeoutConfig, r.RetryConfig =
		c.PresignedURLConfig, c.RolloutConfig, c.AbortConfig, c.TimeoutConfig, c.RetryConfig
}

// JobTemplateDescription is a template with its document.
type JobTemplateDescription struct {
	JobTemplate
	Document []byte
}

// ListJobTemplatesResult is a page of templates, newest first.
type ListJobTemplatesResult struct {
	Templates []JobTemplate
	NextToken string
}

// ListManagedJobTemplatesRequest is the input of ListManagedJobTemplates. TemplateName ""
// means all.
type ListManagedJobTemplatesRequest struct {
	TemplateName string
	Page         Page
}

// ListManagedJobTemplatesResult is a page of managed templates, by name.
type ListManagedJobTemplatesResult struct {
	Templates []*ManagedJobTemplate
	NextToken string
}

// ManagedARN is the ARN of a managed template: it belongs to no account.
func (a Account) ManagedARN(t *ManagedJobTemplate) string {
	return fmt.Sprintf("arn:%s:iot:%s::jobtemplate/%s:%s", a.Partition, a.Region, t.Name, t.Version)
}
