package jobsvc

import "time"

// EventConfigurations says which kinds of events are sent (AWS:
// DescribeEventConfigurations). A kind that is not named is off.
type EventConfigurations struct {
	Enabled   map[string]bool // by kind: EventJob …
	CreatedAt time.Time
	UpdatedAt time.Time
}

// The kinds of events that there are about jobs.
const (
	EventJob          = "JOB"
	EventJobExecution = "JOB_EXECUTION"
)

// EventKinds are all kinds of events of the service, in its order.
func EventKinds() []string {
	return []string{
		"THING", "THING_GROUP", "THING_TYPE", "THING_GROUP_MEMBERSHIP", "THING_GROUP_HIERARCHY", "THING_TYPE_ASSOCIATION",
		EventJob, EventJobExecution, "POLICY", "CERTIFICATE", "CA_CERTIFICATE",
	}
}
