package wire

import (
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// DecodeControlDescribeJobExecution reads GET /things/{thingName}/jobs/{jobId} of the
// control plane. number is nil for the latest execution.
func DecodeControlDescribeJobExecution(in *ControlInput) (thing, jobID string, number *int64, err error) {
	d := &controlDecoder{in: in}
	number = d.queryInt64("executionNumber")
	return d.path("thingName"), d.path("jobId"), number, d.result()
}

// DecodeCancelJobExecution reads PUT /things/{thingName}/jobs/{jobId}/cancel. force is a
// query parameter, accepted in the body too; expectedVersion may be quoted.
func DecodeCancelJobExecution(in *ControlInput) (*jobsvc.CancelJobExecutionRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	r := &jobsvc.CancelJobExecutionRequest{
		ThingName:       d.path("thingName"),
		JobID:           d.path("jobId"),
		Force:           isTrue(d.queryBool("force")),
		ExpectedVersion: o.int64("expectedVersion"),
		StatusDetails:   o.stringMap("statusDetails"),
	}
	if r.StatusDetails == nil && o.members["statusDetails"] != nil {
		r.StatusDetails = map[string]string{} // clears them
	}
	return r, d.result()
}

// DecodeDeleteJobExecution reads
// DELETE /things/{thingName}/jobs/{jobId}/executionNumber/{executionNumber}.
func DecodeDeleteJobExecution(in *ControlInput) (*jobsvc.DeleteJobExecutionRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.DeleteJobExecutionRequest{
		ThingName:       d.path("thingName"),
		JobID:           d.path("jobId"),
		ExecutionNumber: d.pathInt64("executionNumber"),
		Force:           isTrue(d.queryBool("force")),
		NamespaceID:     d.queryString("namespaceId"),
	}, d.result()
}

// DecodeListJobExecutionsForJob reads GET /jobs/{jobId}/things.
func DecodeListJobExecutionsForJob(in *ControlInput) (*jobsvc.ListJobExecutionsForJobRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.ListJobExecutionsForJobRequest{
		JobID:  d.path("jobId"),
		Status: jobsvc.JobExecutionStatus(d.queryText("status")),
		Page:   d.page("maxResults", "nextToken"),
	}, d.result()
}

// DecodeListJobExecutionsForThing reads GET /things/{thingName}/jobs of the
// control plane.
func DecodeListJobExecutionsForThing(in *ControlInput) (*jobsvc.ListJobExecutionsForThingRequest, error) {
	d := &controlDecoder{in: in}
	return &jobsvc.ListJobExecutionsForThingRequest{
		ThingName:   d.path("thingName"),
		Status:      jobsvc.JobExecutionStatus(d.queryText("status")),
		JobID:       d.queryText("jobId"),
		NamespaceID: d.queryText("namespaceId"),
		Page:        d.page("maxResults", "nextToken"),
	}, d.result()
}

// controlDetails nests the details, as the control plane does and the device
// plane does not: {} when there are none.
type controlDetails struct {
	DetailsMap map[string]string `json:"detailsMap,omitempty"`
}

type controlExecution struct {
	JobID                            string                    `json:"jobId"`
	Status                           jobsvc.JobExecutionStatus `json:"status"`
	ForceCanceled                    bool                      `json:"forceCanceled,omitempty"`
	StatusDetails                    controlDetails            `json:"statusDetails"`
	ThingARN                         string                    `json:"thingArn"`
	QueuedAt                         controlTime               `json:"queuedAt"`
	StartedAt                        controlTime               `json:"startedAt,omitzero"`
	LastUpdatedAt                    controlTime               `json:"lastUpdatedAt"`
	ExecutionNumber                  int64                     `json:"executionNumber"`
	VersionNumber                    int64                     `json:"versionNumber"`
	ApproximateSecondsBeforeTimedOut *int64                    `json:"approximateSecondsBeforeTimedOut,omitempty"`
}

// EncodeDescribeJobExecution answers DescribeJobExecution of the control plane.
// now is what the remaining seconds are counted from.
func EncodeDescribeJobExecution(a jobsvc.Account, e *jobsvc.JobExecution, now time.Time) []byte {
	out := controlExecution{
		JobID:           e.JobID,
		Status:          e.Status,
		ForceCanceled:   e.ForceCanceled,
		StatusDetails:   controlDetails{e.StatusDetails},
		ThingARN:        a.ARN(jobsvc.ARNThing, e.ThingName),
		QueuedAt:        controlTime(e.QueuedAt),
		StartedAt:       controlTime(e.StartedAt),
		LastUpdatedAt:   controlTime(e.LastUpdatedAt),
		ExecutionNumber: e.ExecutionNumber,
		VersionNumber:   e.VersionNumber,
	}
	if s, ok := e.SecondsBeforeTimedOut(now); ok {
		out.ApproximateSecondsBeforeTimedOut = &s
	}
	return encode(struct {
		Execution controlExecution `json:"execution"`
	}{out})
}

type controlExecutionSummary struct {
	Status          jobsvc.JobExecutionStatus `json:"status"`
	QueuedAt        controlTime               `json:"queuedAt"`
	StartedAt       controlTime               `json:"startedAt,omitzero"`
	LastUpdatedAt   controlTime               `json:"lastUpdatedAt"`
	ExecutionNumber int64                     `json:"executionNumber"`
	RetryAttempt    int                       `json:"retryAttempt"`
}

// executionElement has the job or the thing, whichever the list is not about.
type executionElement struct {
	ThingARN            string                  `json:"thingArn,omitempty"`
	JobID               string                  `json:"jobId,omitempty"`
	JobExecutionSummary controlExecutionSummary `json:"jobExecutionSummary"`
}

// EncodeJobExecutionsForJob answers ListJobExecutionsForJob.
func EncodeJobExecutionsForJob(a jobsvc.Account, r *jobsvc.ListJobExecutionsResult) []byte {
	return encodeExecutions(r, func(e *jobsvc.JobExecution) executionElement {
		return executionElement{ThingARN: a.ARN(jobsvc.ARNThing, e.ThingName)}
	})
}

// EncodeJobExecutionsForThing answers ListJobExecutionsForThing.
func EncodeJobExecutionsForThing(r *jobsvc.ListJobExecutionsResult) []byte {
	return encodeExecutions(r, func(e *jobsvc.JobExecution) executionElement {
		return executionElement{JobID: e.JobID}
	})
}

func encodeExecutions(r *jobsvc.ListJobExecutionsResult, element func(*jobsvc.JobExecution) executionElement) []byte {
	list := make([]executionElement, 0, len(r.Executions))
	for i := range r.Executions {
		e := &r.Executions[i]
		el := element(e)
		el.JobExecutionSummary = controlExecutionSummary{
			Status:          e.Status,
			QueuedAt:        controlTime(e.QueuedAt),
			StartedAt:       controlTime(e.StartedAt),
			LastUpdatedAt:   controlTime(e.LastUpdatedAt),
			ExecutionNumber: e.ExecutionNumber,
			RetryAttempt:    e.RetryAttempt,
		}
		list = append(list, el)
	}
	return encode(struct {
		ExecutionSummaries []executionElement `json:"executionSummaries"`
		NextToken          string             `json:"nextToken,omitempty"`
	}{list, r.NextToken})
}
