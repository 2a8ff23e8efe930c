package wire

import (
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// The statuses that exist in events alone.
const (
	statusCancellationInProgress = "CANCELLATION_IN_PROGRESS"
	statusDeleted                = "DELETED"
)

// EventTopic is where an event is published.
func EventTopic(e *jobsvc.Event) string {
	kind := "jobExecution/"
	if e.Job != nil {
		kind = "job/"
	}
	return EventTopics + kind + e.JobID() + "/" + string(e.Operation)
}

// EventTopics is how the topics of all events begin.
const EventTopics = "$aws/events/"

// AppendEvent is the message of an event. Its time is in whole seconds; createdAt,
// lastUpdatedAt and completedAt of a job are in milliseconds, here alone. strict leaves
// out what the service's samples do not have: executionNumber, versionNumber, reasonCode,
// forceCanceled, and three of the counters.
//
// AWS: Developer Guide "Jobs events".
func AppendEvent(dst []byte, e *jobsvc.Event, account jobsvc.Account, strict bool) []byte {
	kind := "JOB_EXECUTION"
	if e.Job != nil {
		kind = "JOB"
	}
	dst = append(dst, `{"eventType":"`...)
	dst = append(append(dst, kind...), `","eventId":`...)
	dst = appendString(dst, e.ID)
	dst = appendTime(dst, `,"timestamp":`, e.At)
	dst = append(dst, `,"operation":`...)
	dst = appendString(dst, string(e.Operation))
	dst = append(dst, `,"jobId":`...)
	dst = appendString(dst, e.JobID())
	if e.Job != nil {
		dst = appendJobEvent(dst, e, strict)
	} else {
		dst = appendExecutionEvent(dst, e.Execution, account, strict)
	}
	return append(dst, '}')
}

func appendExecutionEvent(dst []byte, x *jobsvc.JobExecutionEvent, account jobsvc.Account, strict bool) []byte {
	dst = append(dst, `,"thingArn":`...)
	dst = appendString(dst, account.ARN(jobsvc.ARNThing, x.ThingName))
	dst = append(dst, `,"status":`...)
	dst = appendString(dst, string(x.Status))
	dst = appendDetails(dst, x.StatusDetails)
	if !strict {
		dst = appendInt(dst, `,"executionNumber":`, x.ExecutionNumber)
		dst = appendInt(dst, `,"versionNumber":`, x.VersionNumber)
	}
	return dst
}

func appendJobEvent(dst []byte, e *jobsvc.Event, strict bool) []byte {
	j := e.Job
	dst = append(dst, `,"status":`...)
	dst = appendString(dst, jobEventStatus(e.Operation))
	dst = append(dst, `,"targetSelection":`...)
	dst = appendString(dst, string(j.TargetSelection))
	dst = append(dst, `,"targets":[`...)
	for i, target := range j.Targets {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, target)
	}
	dst = append(dst, ']')
	text := func(name, value string) {
		if value != "" {
			dst = appendString(append(dst, name...), value)
		}
	}
	text(`,"description":`, j.Description)
	text(`,"comment":`, j.Comment)
	if !strict {
		text(`,"reasonCode":`, j.ReasonCode)
		if j.ForceCanceled {
			dst = append(dst, `,"forceCanceled":true`...)
		}
	}
	dst = appendMillis(dst, `,"createdAt":`, j.CreatedAt)
	dst = appendMillis(dst, `,"lastUpdatedAt":`, j.LastUpdatedAt)
	if !j.CompletedAt.IsZero() {
		dst = appendMillis(dst, `,"completedAt":`, j.CompletedAt)
	}
	if d := j.ProcessDetails; d != nil {
		dst = appendInt(dst, `,"jobProcessDetails":{"numberOfCanceledThings":`, d.Canceled)
		dst = appendInt(dst, `,"numberOfRejectedThings":`, d.Rejected)
		dst = appendInt(dst, `,"numberOfFailedThings":`, d.Failed)
		dst = appendInt(dst, `,"numberOfRemovedThings":`, d.Removed)
		dst = appendInt(dst, `,"numberOfSucceededThings":`, d.Succeeded)
		if !strict {
			dst = appendInt(dst, `,"numberOfTimedOutThings":`, d.TimedOut)
			dst = appendInt(dst, `,"numberOfQueuedThings":`, d.Queued)
			dst = appendInt(dst, `,"numberOfInProgressThings":`, d.InProgress)
		}
		dst = append(dst, '}')
	}
	return dst
}

func appendMillis(dst []byte, name string, t time.Time) []byte {
	return appendInt(dst, name, t.UnixMilli())
}

func jobEventStatus(op jobsvc.EventOperation) string {
	switch op {
	case jobsvc.EventCompleted:
		return string(jobsvc.JobCompleted)
	case jobsvc.EventCancellationInProgress:
		return statusCancellationInProgress
	case jobsvc.EventCanceled:
		return string(jobsvc.JobCanceled)
	case jobsvc.EventDeletionInProgress:
		return string(jobsvc.JobDeletionInProgress)
	}
	return statusDeleted
}
