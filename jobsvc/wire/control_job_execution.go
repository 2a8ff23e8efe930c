package wire

import (
	"slices"
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

// AppendJobExecutionsForJob appends the answer to ListJobExecutionsForJob to dst: the
// largest that tools ask for often, so it is written by hand.
func AppendJobExecutionsForJob(dst []byte, a jobsvc.Account, r *jobsvc.ListJobExecutionsResult) []byte {
	thing := appendString([]byte(`{"thingArn":`), a.ARN(jobsvc.ARNThing, ""))
	thing = thing[:len(thing)-1] // the quote after it
	return appendExecutions(dst, r, func(dst []byte, e *jobsvc.JobExecution) []byte {
		dst = append(dst, thing...)
		from := len(dst)
		dst = appendString(dst, e.ThingName)
		return append(dst[:from], dst[from+1:]...)
	})
}

// EncodeJobExecutionsForThing answers ListJobExecutionsForThing.
func EncodeJobExecutionsForThing(r *jobsvc.ListJobExecutionsResult) []byte {
	return appendExecutions(nil, r, func(dst []byte, e *jobsvc.JobExecution) []byte {
		return appendString(append(dst, `{"jobId":`...), e.JobID)
	})
}

// appendExecutions writes a page of summaries. name begins an element with the job or
// the thing, whichever the list is not about.
func appendExecutions(dst []byte, r *jobsvc.ListJobExecutionsResult, name func([]byte, *jobsvc.JobExecution) []byte) []byte {
	dst = slices.Grow(dst, 128+256*len(r.Executions))
	dst = append(dst, `{"executionSummaries":[`...)
	for i := range r.Executions {
		e := &r.Executions[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(name(dst, e), `,"jobExecutionSummary":{"status":`...)
		dst = appendString(dst, string(e.Status))
		dst = appendControlTime(append(dst, `,"queuedAt":`...), e.QueuedAt)
		if !e.StartedAt.IsZero() {
			dst = appendControlTime(append(dst, `,"startedAt":`...), e.StartedAt)
		}
		dst = appendControlTime(append(dst, `,"lastUpdatedAt":`...), e.LastUpdatedAt)
		dst = appendInt(dst, `,"executionNumber":`, e.ExecutionNumber)
		dst = appendInt(dst, `,"retryAttempt":`, int64(e.RetryAttempt))
		dst = append(dst, "}}"...)
	}
	dst = append(dst, ']')
	if r.NextToken != "" {
		dst = appendString(append(dst, `,"nextToken":`...), r.NextToken)
	}
	return append(dst, '}')
}
