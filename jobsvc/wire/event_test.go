package wire

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// TestEvents pins the messages of all events, byte for byte, and their topics.
func TestEvents(t *testing.T) {
	account := jobsvc.Account{Partition: "aws", Region: "eu-west-1", ID: "111122223333"}
	created, changed := time.UnixMilli(1773136800125), time.UnixMilli(1773140400020)
	job := func() *jobsvc.Job {
		return &jobsvc.Job{
			ID: "reboot-7", TargetSelection: jobsvc.TargetSnapshot, Targets: []string{account.ARN(jobsvc.ARNThingGroup, "pumps"), account.ARN(jobsvc.ARNThing, "pump-1")},
			Description: "Night \"reboot\"", CreatedAt: created, LastUpdatedAt: changed, CompletedAt: changed, Comment: "c", ReasonCode: "R", ForceCanceled: true,
		}
	}
	plain := &jobsvc.Job{ID: "reboot-7", TargetSelection: jobsvc.TargetContinuous, Targets: []string{"arn:x"}, CreatedAt: created, LastUpdatedAt: changed}
	counts := &jobsvc.JobProcessDetails{Queued: 1, InProgress: 2, Succeeded: 97, Failed: 3, TimedOut: 4, Rejected: 5, Removed: 6, Canceled: 7}
	ofJob := func(op jobsvc.EventOperation, j *jobsvc.Job) *jobsvc.Event {
		return &jobsvc.Event{ID: "2f0f9a4d-53a6-4e0d-8e3a-4a8bb2b7a0c1", Operation: op, At: changed, Job: jobsvc.NewJobEvent(op, j, counts)}
	}
	ofExecution := func(op jobsvc.EventOperation, s jobsvc.JobExecutionStatus, details map[string]string) *jobsvc.Event {
		x := &jobsvc.JobExecutionEvent{ThingName: "pump-17", JobID: "reboot-7", ExecutionNumber: 2, VersionNumber: 5, Status: s, StatusDetails: details}
		return &jobsvc.Event{ID: "b0c7c2f6-2a52-4c0e-9f60-1f8c6e6f8a55", Operation: op, At: changed, Execution: x}
	}
	const targets = `"targetSelection":"SNAPSHOT","targets":["arn:aws:iot:eu-west-1:111122223333:thinggroup/pumps","arn:aws:iot:eu-west-1:111122223333:thing/pump-1"],"description":"Night \"reboot\""`
	const head, headX = `{"eventType":"JOB","eventId":"2f0f9a4d-53a6-4e0d-8e3a-4a8bb2b7a0c1","timestamp":1773140400,"operation":`, `{"eventType":"JOB_EXECUTION","eventId":"b0c7c2f6-2a52-4c0e-9f60-1f8c6e6f8a55","timestamp":1773140400,"operation":`
	const thing = `"jobId":"reboot-7","thingArn":"arn:aws:iot:eu-west-1:111122223333:thing/pump-17"`
	for _, tc := range []struct {
		event  *jobsvc.Event
		strict bool
		topic  string
		want   string
	}{
		{ofJob(jobsvc.EventCompleted, job()), false, "job/reboot-7/completed", head + `"completed","jobId":"reboot-7","status":"COMPLETED",` + targets +
			`,"createdAt":1773136800125,"lastUpdatedAt":1773140400020,"completedAt":1773140400020,"jobProcessDetails":{"numberOfCanceledThings":7,"numberOfRejectedThings":5,"numberOfFailedThings":3,"numberOfRemovedThings":6,"numberOfSucceededThings":97,"numberOfTimedOutThings":4,"numberOfQueuedThings":1,"numberOfInProgressThings":2}}`},
		{ofJob(jobsvc.EventCompleted, job()), true, "job/reboot-7/completed", head + `"completed","jobId":"reboot-7","status":"COMPLETED",` + targets +
			`,"createdAt":1773136800125,"lastUpdatedAt":1773140400020,"completedAt":1773140400020,"jobProcessDetails":{"numberOfCanceledThings":7,"numberOfRejectedThings":5,"numberOfFailedThings":3,"numberOfRemovedThings":6,"numberOfSucceededThings":97}}`},
		{ofJob(jobsvc.EventCancellationInProgress, job()), false, "job/reboot-7/cancellation_in_progress", head + `"cancellation_in_progress","jobId":"reboot-7","status":"CANCELLATION_IN_PROGRESS",` + targets +
			`,"comment":"c","reasonCode":"R","forceCanceled":true,"createdAt":1773136800125,"lastUpdatedAt":1773140400020}`},
		{ofJob(jobsvc.EventCanceled, job()), true, "job/reboot-7/canceled", head + `"canceled","jobId":"reboot-7","status":"CANCELED",` + targets +
			`,"comment":"c","createdAt":1773136800125,"lastUpdatedAt":1773140400020}`},
		{ofJob(jobsvc.EventDeletionInProgress, plain), false, "job/reboot-7/deletion_in_progress", head + `"deletion_in_progress","jobId":"reboot-7","status":"DELETION_IN_PROGRESS","targetSelection":"CONTINUOUS","targets":["arn:x"],"createdAt":1773136800125,"lastUpdatedAt":1773140400020}`},
		{ofJob(jobsvc.EventDeleted, plain), false, "job/reboot-7/deleted", head + `"deleted","jobId":"reboot-7","status":"DELETED","targetSelection":"CONTINUOUS","targets":["arn:x"],"createdAt":1773136800125,"lastUpdatedAt":1773140400020}`},
		{ofExecution(jobsvc.EventTimedOut, jobsvc.StatusTimedOut, map[string]string{"step": "flash", "a": "é"}), false, "jobExecution/reboot-7/timed_out", headX + `"timed_out",` + thing + `,"status":"TIMED_OUT","statusDetails":{"a":"é","step":"flash"},"executionNumber":2,"versionNumber":5}`},
		{ofExecution(jobsvc.EventSucceeded, jobsvc.StatusSucceeded, nil), true, "jobExecution/reboot-7/succeeded", headX + `"succeeded",` + thing + `,"status":"SUCCEEDED"}`},
		{ofExecution(jobsvc.EventDeleted, jobsvc.StatusInProgress, nil), false, "jobExecution/reboot-7/deleted", headX + `"deleted",` + thing + `,"status":"IN_PROGRESS","executionNumber":2,"versionNumber":5}`},
	} {
		if got := EventTopic(tc.event); got != "$aws/events/"+tc.topic {
			t.Errorf("topic %s, want %s", got, tc.topic)
		}
		got := AppendEvent(nil, tc.event, account, tc.strict)
		if string(got) != tc.want {
			t.Errorf("%s is\n%s\nwant\n%s", tc.topic, got, tc.want)
		}
		if !json.Valid(got) {
			t.Errorf("%s is no JSON", tc.topic)
		}
	}
}

// TestEventOperations: each way to end has its event, and what goes on has none.
func TestEventOperations(t *testing.T) {
	want := map[jobsvc.JobExecutionStatus]string{
		jobsvc.StatusSucceeded: "succeeded", jobsvc.StatusFailed: "failed", jobsvc.StatusRejected: "rejected",
		jobsvc.StatusTimedOut: "timed_out", jobsvc.StatusRemoved: "removed", jobsvc.StatusCanceled: "canceled",
	}
	for _, s := range jobsvc.JobExecutionStatuses() {
		op, ok := jobsvc.EventOf(s)
		if ok != s.Terminal() || string(op) != want[s] {
			t.Errorf("%s has the event %q (%v)", s, op, ok)
		}
	}
}
