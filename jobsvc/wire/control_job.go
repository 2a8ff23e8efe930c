package wire

import (
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// DecodeCreateJob reads PUT /jobs/{jobId}.
func DecodeCreateJob(in *ControlInput) (*jobsvc.CreateJobRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	c := o.jobConfig()
	return &jobsvc.CreateJobRequest{
		JobID:                      d.path("jobId"),
		Targets:                    o.strings("targets"),
		Document:                   o.string("document"),
		DocumentSource:             o.text("documentSource"),
		Description:                o.string("description"),
		TargetSelection:            jobsvc.TargetSelection(o.text("targetSelection")),
		PresignedURLConfig:         c.PresignedURLConfig,
		TimeoutConfig:              c.TimeoutConfig,
		RolloutConfig:              c.RolloutConfig,
		AbortConfig:                c.AbortConfig,
		RetryConfig:                c.RetryConfig,
		SchedulingConfig:           o.schedulingConfig(),
		NamespaceID:                o.string("namespaceId"),
		Tags:                       o.tags("tags"),
		JobTemplateARN:             o.text("jobTemplateArn"),
		DocumentParameters:         o.stringMap("documentParameters"),
		DestinationPackageVersions: noneNil(o.strings("destinationPackageVersions")),
	}, d.result()
}

// noneNil takes an empty list as none.
func noneNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// DecodeCancelJob reads PUT /jobs/{jobId}/cancel. force is a query parameter.
func DecodeCancelJob(in *ControlInput) (*jobsvc.CancelJobRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return &jobsvc.CancelJobRequest{
		JobID:      d.path("jobId"),
		Force:      isTrue(d.queryBool("force")),
		ReasonCode: o.string("reasonCode"),
		Comment:    o.string("comment"),
	}, d.result()
}

// DecodeDeleteJob reads DELETE /jobs/{jobId}. It has no body.
func DecodeDeleteJob(in *ControlInput) (*jobsvc.DeleteJobRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.DeleteJobRequest{
		JobID:       d.path("jobId"),
		Force:       isTrue(d.queryBool("force")),
		NamespaceID: d.queryString("namespaceId"),
	}, d.result()
}

// DecodeGetJobDocument reads GET /jobs/{jobId}/job-document.
func DecodeGetJobDocument(in *ControlInput) (jobID string, beforeSubstitution bool, err error) {
	d := &controlDecoder{in: in}
	return d.path("jobId"), isTrue(d.queryBool("beforeSubstitution")), d.result()
}

// DecodeDescribeJob reads GET /jobs/{jobId}.
// Both have beforeSubstitution in the model. It changes nothing here: this build
// substitutes nothing before a document leaves over MQTT.
func DecodeDescribeJob(in *ControlInput) (jobID string, err error) {
	d := &controlDecoder{in: in}
	d.queryBool("beforeSubstitution")
	return d.path("jobId"), d.result()
}

// DecodeUpdateJob reads PATCH /jobs/{jobId}.
// A configuration that is {} takes the job's away.
func DecodeUpdateJob(in *ControlInput) (*jobsvc.UpdateJobRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	r := &jobsvc.UpdateJobRequest{
		JobID:       d.path("jobId"),
		NamespaceID: d.queryString("namespaceId"),
		Description: o.string("description"),
		JobConfig:   o.jobConfig(),
	}
	orEmptyConfig(o, "presignedUrlConfig", &r.PresignedURLConfig)
	orEmptyConfig(o, "jobExecutionsRolloutConfig", &r.RolloutConfig)
	orEmptyConfig(o, "timeoutConfig", &r.TimeoutConfig)
	return r, d.result()
}

func orEmptyConfig[T any](o *object, member string, c **T) {
	if *c == nil && o.members[member] != nil {
		*c = new(T)
	}
}

// DecodeAssociateTargetsWithJob reads POST /jobs/{jobId}/targets.
func DecodeAssociateTargetsWithJob(in *ControlInput) (*jobsvc.AssociateTargetsWithJobRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return &jobsvc.AssociateTargetsWithJobRequest{
		JobID:       d.path("jobId"),
		NamespaceID: d.queryString("namespaceId"),
		Targets:     o.strings("targets"),
		Comment:     o.string("comment"),
	}, d.result()
}

// DecodeListJobs reads GET /jobs.
func DecodeListJobs(in *ControlInput) (*jobsvc.ListJobsRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.ListJobsRequest{
		Status:          jobsvc.JobStatus(d.queryText("status")),
		TargetSelection: jobsvc.TargetSelection(d.queryText("targetSelection")),
		ThingGroupName:  d.queryText("thingGroupName"),
		ThingGroupID:    d.queryText("thingGroupId"),
		NamespaceID:     d.queryText("namespaceId"),
		Page:            d.page("maxResults", "nextToken"),
	}, d.result()
}

type jobIdentity struct {
	JobARN      string `json:"jobArn"`
	JobID       string `json:"jobId"`
	Description string `json:"description,omitempty"`
}

// EncodeJobIdentity answers CreateJob, CancelJob and AssociateTargetsWithJob.
func EncodeJobIdentity(a jobsvc.Account, j *jobsvc.Job) []byte {
	return encode(jobIdentity{a.ARN(jobsvc.ARNJob, j.ID), j.ID, j.Description})
}

type jobProcessDetails struct {
	ProcessingTargets        []string `json:"processingTargets,omitempty"`
	NumberOfCanceledThings   int64    `json:"numberOfCanceledThings"`
	NumberOfSucceededThings  int64    `json:"numberOfSucceededThings"`
	NumberOfFailedThings     int64    `json:"numberOfFailedThings"`
	NumberOfRejectedThings   int64    `json:"numberOfRejectedThings"`
	NumberOfQueuedThings     int64    `json:"numberOfQueuedThings"`
	NumberOfInProgressThings int64    `json:"numberOfInProgressThings"`
	NumberOfRemovedThings    int64    `json:"numberOfRemovedThings"`
	NumberOfTimedOutThings   int64    `json:"numberOfTimedOutThings"`
}

// job is the member of DescribeJob.
type job struct {
	JobARN                     string                 `json:"jobArn"`
	JobID                      string                 `json:"jobId"`
	TargetSelection            jobsvc.TargetSelection `json:"targetSelection"`
	Status                     jobsvc.JobStatus       `json:"status"`
	ForceCanceled              bool                   `json:"forceCanceled,omitempty"`
	ReasonCode                 string                 `json:"reasonCode,omitempty"`
	Comment                    string                 `json:"comment,omitempty"`
	Targets                    []string               `json:"targets"`
	Description                string                 `json:"description,omitempty"`
	CreatedAt                  controlTime            `json:"createdAt"`
	LastUpdatedAt              controlTime            `json:"lastUpdatedAt"`
	CompletedAt                controlTime            `json:"completedAt,omitzero"`
	JobProcessDetails          jobProcessDetails      `json:"jobProcessDetails"`
	NamespaceID                string                 `json:"namespaceId,omitempty"`
	IsConcurrent               bool                   `json:"isConcurrent"`
	SchedulingConfig           *schedulingConfig      `json:"schedulingConfig,omitempty"`
	ScheduledJobRollouts       []scheduledJobRollout  `json:"scheduledJobRollouts,omitempty"`
	JobTemplateARN             string                 `json:"jobTemplateArn,omitempty"`
	DocumentParameters         map[string]string      `json:"documentParameters,omitempty"`
	DestinationPackageVersions []string               `json:"destinationPackageVersions,omitempty"`
	jobConfig
}

// EncodeDescribeJob answers DescribeJob.
func EncodeDescribeJob(a jobsvc.Account, j *jobsvc.JobDescription) []byte {
	out := job{
		JobARN:          a.ARN(jobsvc.ARNJob, j.ID),
		JobID:           j.ID,
		TargetSelection: j.TargetSelection,
		Status:          j.Status,
		ForceCanceled:   j.ForceCanceled,
		ReasonCode:      j.ReasonCode,
		Comment:         j.Comment,
		Targets:         orEmpty(j.Targets),
		Description:     j.Description,
		CreatedAt:       controlTime(j.CreatedAt),
		LastUpdatedAt:   controlTime(j.LastUpdatedAt),
		CompletedAt:     controlTime(j.CompletedAt),
		JobProcessDetails: jobProcessDetails{
			ProcessingTargets:        j.ProcessDetails.ProcessingTargets,
			NumberOfCanceledThings:   j.ProcessDetails.Canceled,
			NumberOfSucceededThings:  j.ProcessDetails.Succeeded,
			NumberOfFailedThings:     j.ProcessDetails.Failed,
			NumberOfRejectedThings:   j.ProcessDetails.Rejected,
			NumberOfQueuedThings:     j.ProcessDetails.Queued,
			NumberOfInProgressThings: j.ProcessDetails.InProgress,
			NumberOfRemovedThings:    j.ProcessDetails.Removed,
			NumberOfTimedOutThings:   j.ProcessDetails.TimedOut,
		},
		NamespaceID:                j.NamespaceID,
		IsConcurrent:               j.Concurrent,
		SchedulingConfig:           encodeSchedulingConfig(j.SchedulingConfig),
		JobTemplateARN:             j.JobTemplateARN,
		DocumentParameters:         j.DocumentParameters,
		DestinationPackageVersions: j.DestinationPackageVersions,
		jobConfig:                  encodeJobConfig(&jobsvc.JobConfig{PresignedURLConfig: j.PresignedURLConfig, RolloutConfig: j.RolloutConfig, AbortConfig: j.AbortConfig, TimeoutConfig: j.TimeoutConfig, RetryConfig: j.RetryConfig}),
	}
	for _, t := range j.ScheduledRollouts {
		out.ScheduledJobRollouts = append(out.ScheduledJobRollouts, scheduledJobRollout{t.UTC().Format(time.RFC3339)})
	}
	return encode(struct {
		DocumentSource string `json:"documentSource,omitempty"`
		Job            job    `json:"job"`
	}{j.DocumentSource, out})
}

// EncodeJobDocument answers GetJobDocument: the text as it was submitted, as a
// JSON string.
func EncodeJobDocument(doc []byte) []byte {
	return encode(struct {
		Document string `json:"document"`
	}{string(doc)})
}

type jobSummary struct {
	JobARN          string                 `json:"jobArn"`
	JobID           string                 `json:"jobId"`
	ThingGroupID    string                 `json:"thingGroupId,omitempty"`
	TargetSelection jobsvc.TargetSelection `json:"targetSelection"`
	Status          jobsvc.JobStatus       `json:"status"`
	CreatedAt       controlTime            `json:"createdAt"`
	LastUpdatedAt   controlTime            `json:"lastUpdatedAt"`
	CompletedAt     controlTime            `json:"completedAt,omitzero"`
	IsConcurrent    bool                   `json:"isConcurrent"`
}

// EncodeListJobs answers ListJobs.
func EncodeListJobs(a jobsvc.Account, r *jobsvc.ListJobsResult) []byte {
	jobs := make([]jobSummary, 0, len(r.Jobs))
	for i := range r.Jobs {
		j := &r.Jobs[i]
		jobs = append(jobs, jobSummary{
			JobARN:          a.ARN(jobsvc.ARNJob, j.ID),
			JobID:           j.ID,
			ThingGroupID:    r.ThingGroupID,
			TargetSelection: j.TargetSelection,
			Status:          j.Status,
			CreatedAt:       controlTime(j.CreatedAt),
			LastUpdatedAt:   controlTime(j.LastUpdatedAt),
			CompletedAt:     controlTime(j.CompletedAt),
			IsConcurrent:    j.Concurrent,
		})
	}
	return encode(struct {
		Jobs      []jobSummary `json:"jobs"`
		NextToken string       `json:"nextToken,omitempty"`
	}{jobs, r.NextToken})
}
