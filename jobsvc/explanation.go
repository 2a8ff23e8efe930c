package jobsvc

import "time"

// ThingExplanation says what the queue of a thing holds, and why nothing else comes. AWS
// has no such operation.
type ThingExplanation struct {
	ThingName string
	At        time.Time
	// Connections are the client IDs that are connected for the thing now.
	Connections []string
	// Certificates are those attached to it.
	Certificates []CertificateExplanation
	// Executions are the pending ones: those its device is given first, in that order, then
	// those it is not given.
	Executions []ExecutionExplanation
	// Jobs are active jobs that have no pending execution for the thing, and concern it: their
	// targets cover it, or it is through with them.
	Jobs []JobExplanation
	// OtherJobs is how many more jobs are active: the thing is not in their targets.
	OtherJobs int
	// Findings are what is wrong with the thing itself, in sentences.
	Findings []string
}

// CertificateExplanation is a certificate with what it means for the thing.
type CertificateExplanation struct {
	ID       string
	Status   CertificateStatus
	NotAfter time.Time
	Finding  string // "" when a device can use it
}

// ExecutionExplanation is a pending execution with what it waits for.
type ExecutionExplanation struct {
	JobID           string
	NamespaceID     string
	ExecutionNumber int64
	Status          JobExecutionStatus
	QueuedAt        time.Time
	Reason          string
}

// JobExplanation is a job with why it has no execution for the thing.
type JobExplanation struct {
	JobID  string
	Status JobStatus
	Reason string
}
