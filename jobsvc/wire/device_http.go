package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// The device plane over HTTP: the answers of MQTT without timestamp and clientToken,
// and with the job document as a string, the text as it is stored.
//
// spec: device-plane 8.1.

// DecodeHTTPDescribeJobExecution reads GET /things/{thingName}/jobs/{jobId} of the service
// iot-jobs-data. jobId may be $next.
func DecodeHTTPDescribeJobExecution(in *ControlInput) (*jobsvc.DescribeJobExecutionRequest, error) {
	d := &controlDecoder{in: in}
	r := &jobsvc.DescribeJobExecutionRequest{
		ThingName:       d.path("thingName"),
		JobID:           d.path("jobId"),
		ExecutionNumber: d.queryInt64("executionNumber"),
		IncludeDocument: true,
	}
	if include := d.queryBool("includeJobDocument"); include != nil {
		r.IncludeDocument = *include
	}
	if err := d.result(); err != nil {
		return nil, err
	}
	if r.JobID == jobsvc.NextJobID {
		return r, nil
	}
	return r, jobsvc.ValidateJobID(r.JobID)
}

// EncodePendingJobExecutions answers GetPendingJobExecutions.
func EncodePendingJobExecutions(p *jobsvc.PendingJobExecutions) []byte {
	dst := appendSummaries([]byte(`{"inProgressJobs":`), p.InProgress)
	dst = appendSummaries(append(dst, `,"queuedJobs":`...), p.Queued)
	return append(dst, '}')
}

// EncodeDeviceExecution answers StartNextPendingJobExecution and DescribeJobExecution of the
// device plane: {} for an empty queue.
func EncodeDeviceExecution(x *jobsvc.DeviceExecution) []byte {
	e := x.Execution
	if e == nil {
		return []byte("{}")
	}
	dst := appendString([]byte(`{"execution":{"jobId":`), e.JobID)
	dst = appendString(append(dst, `,"thingName":`...), e.ThingName)
	dst = appendString(append(dst, `,"status":`...), string(e.Status))
	dst = appendTimes(appendDetails(dst, e.StatusDetails), e)
	if seconds, ok := e.SecondsBeforeTimedOut(x.Time); ok {
		dst = appendInt(dst, `,"approximateSecondsBeforeTimedOut":`, seconds)
	}
	dst = appendInt(dst, `,"versionNumber":`, e.VersionNumber)
	dst = appendInt(dst, `,"executionNumber":`, e.ExecutionNumber)
	return append(appendDocumentText(dst, x.Document), '}', '}')
}

// EncodeJobExecutionUpdate answers UpdateJobExecution with what was asked for.
func EncodeJobExecutionUpdate(u *jobsvc.UpdateJobExecutionResult, includeState bool) []byte {
	dst := []byte{}
	if includeState {
		dst = appendState(append(dst, `,"executionState":`...), &u.State)
	}
	dst = append(appendDocumentText(dst, u.Document), '}')
	if dst[0] == ',' {
		dst[0] = '{'
		return dst
	}
	return []byte("{}")
}

func appendDocumentText(dst []byte, doc *jobsvc.Document) []byte {
	if doc == nil {
		return dst
	}
	return appendString(append(dst, `,"jobDocument":`...), string(doc.Text))
}
