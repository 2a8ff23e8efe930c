package jobsvc

import "time"

// Limits are the numbers of an installation that AWS gives an account. Of the quotas and
// the rates zero means no limit.
type Limits struct {
	// Bounds of a request.
	DocumentBytes      int   // of a job document
	TargetsPerJob      int   // in sum, with those associated later
	RolloutPerMinute   int64 // the highest rate a job may ask for
	RolloutDefault     int64 // the rate, a minute, of a job that asks for none; 0: as fast as can be
	Retries            int64 // of all criteria of a job together
	MaintenanceWindows int   // of a job
	StatusDetailsPairs int
	StatusDetailsChars int // of one value
	PendingShown       int // executions per status in the lists a device is shown

	// Of the registry.
	AttributesWithoutType      int // of a thing; with a type MaxTypedAttributes
	GroupsPerThing             int
	GroupDepth                 int // levels, the root included
	GroupChildren              int
	GroupAttributes            int
	DynamicGroups              int           // every change of a thing looks at all of them
	ThingTypeDeleteDelay       time.Duration // from the deprecation of a thing type on
	MultipleGroupsPerHierarchy bool          // a thing may be in several groups below one root

	// Of policies.
	PolicyVersions         int
	PoliciesPerCertificate int
	PoliciesPerGroup       int
	PolicyDocumentChars    int // of a document, white space not counted

	// Quotas. Those of jobs are checked against counts that other requests may be about to
	// change: a few more may get through at once.
	ActiveSnapshotJobs   int // SCHEDULED and IN_PROGRESS
	ActiveContinuousJobs int
	ConcurrentJobs       int
	DeletingJobs         int // DELETION_IN_PROGRESS
	JobTemplates         int

	// Rates, in requests per second.
	ControlPerSecond      float64            // of each operation on jobs
	DeviceReadsPerSecond  float64            // of all devices together
	DeviceWritesPerSecond float64            // start-next and update
	OperationPerSecond    map[string]float64 // of operations of the registry and of certificates
}

// GenerousLimits are those of the formats, and no quotas: the machine is the operator's.
func GenerousLimits() Limits {
	return Limits{
		DocumentBytes:      MaxDocumentBytes,
		TargetsPerJob:      MaxTargets,
		RolloutPerMinute:   MaxRolloutPerMinute,
		Retries:            MaxRetries,
		MaintenanceWindows: MaxMaintenanceWindows,
		StatusDetailsPairs: MaxStatusDetails,
		StatusDetailsChars: MaxStatusDetailValue,
		PendingShown:       PendingShown,

		AttributesWithoutType: MaxAttributes,
		GroupsPerThing:        MaxGroupsPerThing,
		GroupDepth:            MaxGroupDepth,
		GroupChildren:         MaxGroupChildren,
		GroupAttributes:       MaxGroupAttributes,
		DynamicGroups:         MaxDynamicGroups,

		PolicyVersions:         5,
		PoliciesPerCertificate: 10,
		PoliciesPerGroup:       2,
		PolicyDocumentChars:    MaxPolicyDocumentChars,
	}
}

// AWSLimits are the service's own, to rehearse what it would say.
func AWSLimits() Limits {
	l := GenerousLimits()
	l.MaintenanceWindows = 1
	l.RolloutDefault = MaxRolloutPerMinute
	l.ThingTypeDeleteDelay = 5 * time.Minute
	l.PolicyDocumentChars = 2048
	l.ActiveSnapshotJobs = 100
	l.ActiveContinuousJobs = 100
	l.ConcurrentJobs = 500
	l.DeletingJobs = 10
	l.JobTemplates = 100
	l.ControlPerSecond = 10
	l.DeviceReadsPerSecond = 200
	l.DeviceWritesPerSecond = 200
	l.OperationPerSecond = map[string]float64{
		"CreateThing": 15, "DescribeThing": 350, "UpdateThing": 10, "DeleteThing": 15, "ListThings": 10,
		"CreateThingGroup": 25, "DescribeThingGroup": 100, "AddThingToThingGroup": 60, "ListThingsInThingGroup": 25,
		"CreateKeysAndCertificate": 10, "CreateCertificateFromCsr": 15, "DescribeCertificate": 10, "UpdateCertificate": 10,
		"DeleteCertificate": 10, "ListCertificates": 10, "RegisterCertificate": 10, "RegisterCertificateWithoutCA": 10,
		"AttachThingPrincipal": 15, "DetachThingPrincipal": 15, "CreatePolicy": 10, "GetPolicy": 10, "ListPolicies": 10,
		"AttachPolicy": 15, "DetachPolicy": 15,
	}
	return l
}

// jobOperations are those that ControlPerSecond is about.
var jobOperations = map[string]bool{
	"AssociateTargetsWithJob": true, "CancelJob": true, "CancelJobExecution": true, "CreateJob": true, "CreateJobTemplate": true,
	"DeleteJob": true, "DeleteJobExecution": true, "DeleteJobTemplate": true, "DescribeJob": true, "DescribeJobExecution": true,
	"DescribeJobTemplate": true, "GetJobDocument": true, "ListJobExecutionsForJob": true, "ListJobExecutionsForThing": true,
	"ListJobs": true, "ListJobTemplates": true, "UpdateJob": true,
}

// PerSecond is how many requests for an operation of the control plane are taken in a
// second; zero is any number.
func (l *Limits) PerSecond(operation string) float64 {
	if jobOperations[operation] {
		return l.ControlPerSecond
	}
	return l.OperationPerSecond[operation]
}

// CheckTargets checks how many targets a job is to have. Errors: CodeLimitExceeded.
func (l *Limits) CheckTargets(n int) error {
	if n > l.TargetsPerJob {
		return Errorf(CodeLimitExceeded, "A job may have at most %d targets, not %d.", l.TargetsPerJob, n)
	}
	return nil
}

// CheckConfig checks rates and retries. Errors: CodeInvalidRequest.
func (l *Limits) CheckConfig(c JobConfig) error {
	if r := c.RolloutConfig; r != nil {
		if r.MaximumPerMinute > l.RolloutPerMinute {
			return invalid("jobExecutionsRolloutConfig.maximumPerMinute", "Member must have value less than or equal to %d", l.RolloutPerMinute)
		}
		if x := r.ExponentialRate; x != nil && x.BaseRatePerMinute > l.RolloutPerMinute {
			return invalid("jobExecutionsRolloutConfig.exponentialRate.baseRatePerMinute", "Member must have value less than or equal to %d", l.RolloutPerMinute)
		}
	}
	if c.RetryConfig == nil {
		return nil
	}
	sum := int64(0)
	for _, x := range c.RetryConfig.CriteriaList {
		sum += x.NumberOfRetries
	}
	if sum > l.Retries {
		return Errorf(CodeInvalidRequest, "jobExecutionsRetryConfig.criteriaList may have %d retries in sum, not %d: numberOfRetries is too large.", l.Retries, sum)
	}
	return nil
}

// CheckWindows checks how many maintenance windows a job or a template is to have.
// Errors: CodeInvalidRequest.
func (l *Limits) CheckWindows(n int) error {
	if n > l.MaintenanceWindows {
		return Errorf(CodeInvalidRequest, "At most %d maintenanceWindows are allowed, not %d.", l.MaintenanceWindows, n)
	}
	return nil
}

// CheckDocument is ValidateDocument within the configured size. Errors:
// CodeInvalidRequest.
func (l *Limits) CheckDocument(doc []byte) error {
	if len(doc) > l.DocumentBytes {
		return Errorf(CodeInvalidRequest, "The job document has %d bytes, more than the %d allowed.", len(doc), l.DocumentBytes)
	}
	return ValidateDocument(doc)
}

// JobCounts are how many jobs there are that quotas are about.
type JobCounts struct {
	ActiveSnapshot, ActiveContinuous, Concurrent, Deleting int64
}

// CheckCreate tells whether another job may be made. Errors: CodeLimitExceeded.
func (l *Limits) CheckCreate(c JobCounts, selection TargetSelection, concurrent bool) error {
	if selection == TargetContinuous {
		if err := quota("active continuous jobs", c.ActiveContinuous, l.ActiveContinuousJobs); err != nil {
			return err
		}
	} else if err := quota("active snapshot jobs", c.ActiveSnapshot, l.ActiveSnapshotJobs); err != nil {
		return err
	}
	if !concurrent {
		return nil
	}
	return l.CheckConcurrent(c)
}

// CheckConcurrent tells whether another job may become concurrent. Errors:
// CodeLimitExceeded.
func (l *Limits) CheckConcurrent(c JobCounts) error {
	return quota("concurrent jobs", c.Concurrent, l.ConcurrentJobs)
}

// CheckDelete tells whether another job may be deleted now. Errors: CodeLimitExceeded.
func (l *Limits) CheckDelete(c JobCounts) error {
	return quota("jobs with the status DELETION_IN_PROGRESS", c.Deleting, l.DeletingJobs)
}

func quota(what string, n int64, limit int) error {
	if limit > 0 && n >= int64(limit) {
		return Errorf(CodeLimitExceeded, "The quota of %d %s is reached. Try again when there are fewer.", limit, what)
	}
	return nil
}
