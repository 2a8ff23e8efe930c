package wire

import (
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// DecodeCreateJob reads PUT /jobs/{jobId}. Configuration that this build does not
// honour goes by name into Unsupported, unless it is empty.
func DecodeCreateJob(in *ControlInput) (*jobsvc.CreateJobRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return &jobsvc.CreateJobRequest{
		JobID:              d.path("jobId"),
		Targets:            o.strings("targets"),
		Document:           o.string("document"),
		DocumentSource:     o.text("documentSource"),
		Description:        o.string("description"),
		TargetSelection:    jobsvc.TargetSelection(o.text("targetSelection")),
		PresignedURLConfig: o.presignedURLConfig(),
		TimeoutConfig:      o.timeoutConfig(),
		NamespaceID:        o.string("namespaceId"),
		Unsupported: o.unsupported(map[string]kind{
			"abortConfig":                aMap,
			"destinationPackageVersions": aList,
			"documentParameters":         aMap,
			"jobExecutionsRetryConfig":   aMap,
			"jobExecutionsRolloutConfig": aMap,
			"jobTemplateArn":             aString,
			"schedulingConfig":           aMap,
			"tags":                       aList,
		}),
	}, d.result()
}

func (o *object) presignedURLConfig() *jobsvc.PresignedURLConfig {
	c := o.object("presignedUrlConfig")
	if c.empty() {
		return nil
	}
	seconds := o.d.notZero("presignedUrlConfig.expiresInSec", c.int64("expiresInSec"),
		int64(jobsvc.MinPresignExpires/time.Second), int64(jobsvc.MaxPresignExpires/time.Second))
	return &jobsvc.PresignedURLConfig{RoleARN: c.text("roleArn"), Expires: duration(seconds, time.Second)}
}

func (o *object) timeoutConfig() *jobsvc.TimeoutConfig {
	c := o.object("timeoutConfig")
	if c.empty() {
		return nil
	}
	minutes := o.d.notZero("timeoutConfig.inProgressTimeoutInMinutes", c.int64("inProgressTimeoutInMinutes"), 1, jobsvc.MaxTimeoutMinutes)
	return &jobsvc.TimeoutConfig{InProgress: duration(minutes, time.Minute)}
}

// duration keeps a number of units that no Duration holds at the largest one that
// it does, which is out of every range of the service.
func duration(n int64, unit time.Duration) time.Duration {
	return time.Duration(clamp(n, int64((1<<62)/unit))) * unit
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

// DecodeDescribeJob reads GET /jobs/{jobId} and GET /jobs/{jobId}/job-document.
// Both have beforeSubstitution in the model. It changes nothing here: this build
// substitutes nothing before a document leaves over MQTT.
func DecodeDescribeJob(in *ControlInput) (jobID string, err error) {
	d := &controlDecoder{in: in}
	d.queryBool("beforeSubstitution")
	return d.path("jobId"), d.result()
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

// EncodeJobIdentity answers CreateJob and CancelJob.
func EncodeJobIdentity(a jobsvc.Account, j *jobsvc.Job) []byte {
	return encode(jobIdentity{a.ARN(jobsvc.ARNJob, j.ID), j.ID, j.Description})
}

type presignedURLConfig struct {
	RoleARN      string `json:"roleArn,omitempty"`
	ExpiresInSec int64  `json:"expiresInSec,omitempty"`
}

type timeoutConfig struct {
	InProgressTimeoutInMinutes int64 `json:"inProgressTimeoutInMinutes,omitempty"`
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

// job is the member of DescribeJob. The three configurations without omitempty
// are {} when not configured.
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
	PresignedURLConfig         presignedURLConfig     `json:"presignedUrlConfig"`
	JobExecutionsRolloutConfig struct{}               `json:"jobExecutionsRolloutConfig"`
	CreatedAt                  controlTime            `json:"createdAt"`
	LastUpdatedAt              controlTime            `json:"lastUpdatedAt"`
	CompletedAt                controlTime            `json:"completedAt,omitzero"`
	JobProcessDetails          jobProcessDetails      `json:"jobProcessDetails"`
	TimeoutConfig              timeoutConfig          `json:"timeoutConfig"`
	NamespaceID                string                 `json:"namespaceId,omitempty"`
	IsConcurrent               bool                   `json:"isConcurrent"`
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
		NamespaceID:  j.NamespaceID,
		IsConcurrent: j.Concurrent,
	}
	if c := j.PresignedURLConfig; c != nil {
		out.PresignedURLConfig = presignedURLConfig{c.RoleARN, int64(c.Expires / time.Second)}
	}
	if c := j.TimeoutConfig; c != nil {
		out.TimeoutConfig = timeoutConfig{int64(c.InProgress / time.Minute)}
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
