package wire

import (
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// The encoders append one JSON object to dst. Members come in the order of the
// live service, so that a buffer cut short loses the least; those without a value
// are left out; &, < and > stay as they are, because parsers on microcontrollers
// hand out strings without resolving escapes; times are whole seconds.
//
// doc is a job document after substitution, embedded byte for byte; nil leaves
// the member out.

// AppendPendingAccepted is the answer to get.
func AppendPendingAccepted(dst []byte, t ClientToken, p *jobsvc.PendingJobExecutions) []byte {
	dst = appendHead(dst, t, p.Time)
	dst = append(dst, `,"inProgressJobs":`...)
	dst = appendSummaries(dst, p.InProgress)
	dst = append(dst, `,"queuedJobs":`...)
	dst = appendSummaries(dst, p.Queued)
	return append(dst, '}')
}

// AppendExecutionAccepted is the answer to start-next and to get of one job. An
// empty queue has no execution.
func AppendExecutionAccepted(dst []byte, t ClientToken, x *jobsvc.DeviceExecution, doc []byte) []byte {
	dst = appendHead(dst, t, x.Time)
	if e := x.Execution; e != nil {
		seconds, ok := e.SecondsBeforeTimedOut(x.Time)
		if !ok {
			seconds = -1
		}
		dst = append(dst, `,"execution":`...)
		dst = appendExecution(dst, e, seconds, doc)
	}
	return append(dst, '}')
}

// AppendUpdateAccepted is the answer to update. state is nil unless asked for.
func AppendUpdateAccepted(dst []byte, t ClientToken, now time.Time, state *jobsvc.JobExecutionState, doc []byte) []byte {
	dst = appendHead(dst, t, now)
	if state != nil {
		dst = append(dst, `,"executionState":`...)
		dst = appendState(dst, state)
	}
	return append(appendDocument(dst, doc), '}')
}

// AppendRejected is the answer to a request that failed with err. Of an error
// that is no *jobsvc.Error the device learns only that it is internal.
func AppendRejected(dst []byte, t ClientToken, now time.Time, err error) []byte {
	code, message := jobsvc.CodeInternal, "The service could not handle the request. Try again."
	var state *jobsvc.JobExecutionState
	if e := (*jobsvc.Error)(nil); errors.As(err, &e) {
		code, message = e.Code, e.Message
		switch code {
		case jobsvc.CodeVersionMismatch, jobsvc.CodeInvalidStateTransition, jobsvc.CodeTerminalState:
			state = e.State
		}
	}
	dst = append(dst, `{"code":`...)
	dst = appendString(dst, MQTTCode(code))
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, message)
	if t.Given {
		dst = append(dst, `,"clientToken":`...)
		dst = appendString(dst, t.Value)
	}
	dst = appendTime(dst, `,"timestamp":`, now)
	if state != nil {
		dst = append(dst, `,"executionState":`...)
		dst = appendState(dst, state)
	}
	return append(dst, '}')
}

// AppendNotify is the message on notify: the front of the queue by status.
func AppendNotify(dst []byte, p *jobsvc.PendingJobExecutions) []byte {
	dst = appendTime(dst, `{"timestamp":`, p.Time)
	dst = append(dst, `,"jobs":{`...)
	if len(p.InProgress) > 0 {
		dst = append(dst, `"IN_PROGRESS":`...)
		dst = appendSummaries(dst, p.InProgress)
	}
	if len(p.Queued) > 0 {
		if len(p.InProgress) > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `"QUEUED":`...)
		dst = appendSummaries(dst, p.Queued)
	}
	return append(dst, `}}`...)
}

// AppendNotifyNext is the message on notify-next: the head of the queue with its
// document, without the time left, which would be stale on arrival.
func AppendNotifyNext(dst []byte, now time.Time, head *jobsvc.JobExecution, doc []byte) []byte {
	dst = appendTime(dst, `{"timestamp":`, now)
	if head != nil {
		dst = append(dst, `,"execution":`...)
		dst = appendExecution(dst, head, -1, doc)
	}
	return append(dst, '}')
}

func appendHead(dst []byte, t ClientToken, now time.Time) []byte {
	if !t.Given {
		return appendTime(dst, `{"timestamp":`, now)
	}
	dst = append(dst, `{"clientToken":`...)
	dst = appendString(dst, t.Value)
	return appendTime(dst, `,"timestamp":`, now)
}

func appendTime(dst []byte, name string, t time.Time) []byte {
	return strconv.AppendInt(append(dst, name...), t.Unix(), 10)
}

func appendInt(dst []byte, name string, n int64) []byte {
	return strconv.AppendInt(append(dst, name...), n, 10)
}

func appendTimes(dst []byte, e *jobsvc.JobExecution) []byte {
	dst = appendTime(dst, `,"queuedAt":`, e.QueuedAt)
	if !e.StartedAt.IsZero() {
		dst = appendTime(dst, `,"startedAt":`, e.StartedAt)
	}
	return appendTime(dst, `,"lastUpdatedAt":`, e.LastUpdatedAt)
}

func appendSummaries(dst []byte, list []jobsvc.JobExecution) []byte {
	dst = append(dst, '[')
	for i := range list {
		e := &list[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"jobId":`...)
		dst = appendString(dst, e.JobID)
		dst = appendTimes(dst, e)
		dst = appendInt(dst, `,"versionNumber":`, e.VersionNumber)
		dst = appendInt(dst, `,"executionNumber":`, e.ExecutionNumber)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendExecution leaves the time left out when seconds is negative.
func appendExecution(dst []byte, e *jobsvc.JobExecution, seconds int64, doc []byte) []byte {
	dst = append(dst, `{"jobId":`...)
	dst = appendString(dst, e.JobID)
	dst = append(dst, `,"status":`...)
	dst = appendString(dst, string(e.Status))
	dst = appendDetails(dst, e.StatusDetails)
	dst = appendTimes(dst, e)
	if seconds >= 0 {
		dst = appendInt(dst, `,"approximateSecondsBeforeTimedOut":`, seconds)
	}
	dst = appendInt(dst, `,"versionNumber":`, e.VersionNumber)
	dst = appendInt(dst, `,"executionNumber":`, e.ExecutionNumber)
	return append(appendDocument(dst, doc), '}')
}

func appendState(dst []byte, s *jobsvc.JobExecutionState) []byte {
	dst = append(dst, `{"status":`...)
	dst = appendString(dst, string(s.Status))
	dst = appendDetails(dst, s.StatusDetails)
	return append(appendInt(dst, `,"versionNumber":`, s.VersionNumber), '}')
}

func appendDocument(dst, doc []byte) []byte {
	if doc == nil {
		return dst
	}
	return append(append(dst, `,"jobDocument":`...), doc...)
}

// appendDetails sorts, so that asking twice gives the same bytes.
func appendDetails(dst []byte, d map[string]string) []byte {
	if len(d) == 0 {
		return dst
	}
	var array [jobsvc.MaxStatusDetails]string
	keys := array[:0]
	for k := range d {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, `,"statusDetails":{`...)
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, k)
		dst = append(dst, ':')
		dst = appendString(dst, d[k])
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// appendString escapes what JSON demands and nothing else.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + n
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
