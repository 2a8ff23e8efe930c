package wire

import (
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// ClientToken is the clientToken of a request, which its answer repeats. An empty
// one is repeated too.
type ClientToken struct {
	Value string
	Given bool
}

// DecodeGetPendingJobExecutions reads the payload of get.
//
// An empty payload is {}. The token is what could be read of it, also when the
// request is refused for another member. Errors: CodeInvalidJSON, CodeInvalidRequest.
// The same holds for the other decoders.
//
// AWS: GetPendingJobExecutions.
func DecodeGetPendingJobExecutions(payload []byte) (ClientToken, error) {
	d, err := newDecoder(payload)
	if err != nil {
		return ClientToken{}, err
	}
	t := d.clientToken()
	return t, d.err
}

// DecodeStartNextPendingJobExecution reads the payload of start-next into r,
// whose other fields it leaves alone.
//
// AWS: StartNextPendingJobExecution.
func DecodeStartNextPendingJobExecution(payload []byte, r *jobsvc.StartNextPendingJobExecutionRequest) (ClientToken, error) {
	d, err := newDecoder(payload)
	if err != nil {
		return ClientToken{}, err
	}
	t := d.clientToken()
	r.StatusDetails = d.statusDetails()
	r.StepTimeout = d.stepTimeout(false)
	return t, d.err
}

// DecodeDescribeJobExecution reads the payload of {jobId}/get into r, whose other
// fields it leaves alone. The document is included unless the request says no.
//
// AWS: DescribeJobExecution.
func DecodeDescribeJobExecution(payload []byte, r *jobsvc.DescribeJobExecutionRequest) (ClientToken, error) {
	d, err := newDecoder(payload)
	if err != nil {
		return ClientToken{}, err
	}
	t := d.clientToken()
	r.ExecutionNumber = d.integer(memberExecutionNumber)
	r.IncludeDocument = d.boolean(memberIncludeDocument, true)
	return t, d.err
}

// DecodeUpdateJobExecution reads the payload of {jobId}/update into r, whose other
// fields it leaves alone. includeState asks for executionState in the answer.
//
// AWS: UpdateJobExecution.
func DecodeUpdateJobExecution(payload []byte, r *jobsvc.UpdateJobExecutionRequest) (t ClientToken, includeState bool, err error) {
	d, err := newDecoder(payload)
	if err != nil {
		return ClientToken{}, false, err
	}
	t = d.clientToken()
	r.ClientToken = t.Value
	r.Status = d.status()
	r.StatusDetails = d.statusDetails()
	r.ExpectedVersion = d.integer(memberExpectedVersion)
	r.ExecutionNumber = d.integer(memberExecutionNumber)
	r.StepTimeout = d.stepTimeout(true)
	includeState = d.boolean(memberIncludeState, false)
	r.IncludeDocument = d.boolean(memberIncludeDocument, false)
	return t, includeState, d.err
}

// decoder reads members one by one and keeps the first thing that is wrong.
type decoder struct {
	members
	err error
}

func newDecoder(payload []byte) (*decoder, error) {
	m, err := scan(payload)
	if err != nil {
		return nil, err
	}
	return &decoder{members: m}, nil
}

func (d *decoder) refuse(format string, args ...any) {
	if d.err == nil {
		d.err = jobsvc.Errorf(jobsvc.CodeInvalidRequest, format, args...)
	}
}

func (d *decoder) clientToken() ClientToken {
	raw := d.members[memberClientToken]
	switch {
	case raw == nil:
		return ClientToken{}
	case raw[0] != '"':
		d.refuse("clientToken must be a string.")
		return ClientToken{}
	}
	t := unquote(raw)
	if len(t) > jobsvc.MaxClientTokenBytes {
		d.refuse("clientToken has %d bytes, more than the %d allowed.", len(t), jobsvc.MaxClientTokenBytes)
		return ClientToken{}
	}
	return ClientToken{Value: t, Given: true}
}

// status must be there in every update. Which words it may be is for the domain to say.
func (d *decoder) status() jobsvc.JobExecutionStatus {
	raw := d.members[memberStatus]
	switch {
	case raw == nil:
		d.refuse("status is required.")
		return ""
	case raw[0] != '"':
		d.refuse("status must be a string.")
		return ""
	}
	return jobsvc.JobExecutionStatus(unquote(raw))
}

func (d *decoder) statusDetails() map[string]string {
	raw := d.members[memberStatusDetails]
	if raw == nil {
		return nil
	}
	m, ok := stringMap(raw)
	if !ok {
		d.refuse("statusDetails must be an object whose values are strings.")
		return nil
	}
	return m
}

func (d *decoder) integer(m member) *int64 {
	raw := d.members[m]
	if raw == nil {
		return nil
	}
	n, ok := integer(raw)
	if !ok {
		d.refuse("%s must be an integer.", memberNames[m])
		return nil
	}
	return &n
}

func (d *decoder) boolean(m member, absent bool) bool {
	switch string(d.members[m]) {
	case "":
		return absent
	case "true":
		return true
	case "false":
		return false
	}
	d.refuse("%s must be true or false.", memberNames[m])
	return absent
}

// stepTimeout gives zero when the member is absent. -1 stops the running timer,
// where there may be one.
func (d *decoder) stepTimeout(mayCancel bool) time.Duration {
	raw := d.members[memberStepTimeout]
	if raw == nil {
		return 0
	}
	n, ok := integer(raw)
	switch {
	case ok && 1 <= n && n <= jobsvc.MaxTimeoutMinutes:
		return time.Duration(n) * time.Minute
	case ok && n == -1 && mayCancel:
		return jobsvc.CancelStepTimeout
	case mayCancel:
		d.refuse("stepTimeoutInMinutes must be an integer from 1 to %d, or -1.", jobsvc.MaxTimeoutMinutes)
	default:
		d.refuse("stepTimeoutInMinutes must be an integer from 1 to %d.", jobsvc.MaxTimeoutMinutes)
	}
	return 0
}
