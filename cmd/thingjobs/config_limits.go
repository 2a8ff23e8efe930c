package main

import (
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// LimitsConfig is what the service limits. The profile gives every value; a key that is
// set overrides it.
type LimitsConfig struct {
	Profile string `yaml:"profile" name:"profile" default:"generous" enum:"generous,aws" help:"generous: the bounds of the formats and nothing else. aws: also the quotas and rates of an AWS account, to rehearse them. Keys below override single values; null is the profile's value, and 0 of a quota means none."`

	DocumentBytes           *int   `yaml:"documentBytes" name:"document-bytes" help:"Size of a job document, 32768 at most."`
	TargetsPerJob           *int   `yaml:"targetsPerJob" name:"targets-per-job" help:"Targets of a job, with those associated later."`
	RolloutMaxPerMinute     *int64 `yaml:"rolloutMaxPerMinute" name:"rollout-max-per-minute" help:"Highest rate a job may ask for."`
	RolloutDefaultPerMinute *int64 `yaml:"rolloutDefaultPerMinute" name:"rollout-default-per-minute" help:"Rate of a job without jobExecutionsRolloutConfig. 0: as fast as the store commits."`
	Retries                 *int64 `yaml:"retries" name:"retries" help:"Retries of a job, all criteria together."`
	MaintenanceWindows      *int   `yaml:"maintenanceWindows" name:"maintenance-windows" help:"Maintenance windows of a job."`
	StatusDetailsPairs      *int   `yaml:"statusDetailsPairs" name:"status-details-pairs" help:"Pairs in statusDetails."`
	StatusDetailsValueChars *int   `yaml:"statusDetailsValueChars" name:"status-details-value-chars" help:"Characters of a value in statusDetails."`
	PendingShown            *int   `yaml:"pendingShown" name:"pending-shown" help:"Executions per status in the lists a device is shown."`

	ActiveSnapshotJobs   *int `yaml:"activeSnapshotJobs" name:"active-snapshot-jobs" help:"SNAPSHOT jobs that are SCHEDULED or IN_PROGRESS."`
	ActiveContinuousJobs *int `yaml:"activeContinuousJobs" name:"active-continuous-jobs" help:"CONTINUOUS jobs that are SCHEDULED or IN_PROGRESS."`
	ConcurrentJobs       *int `yaml:"concurrentJobs" name:"concurrent-jobs" help:"Jobs that are rolling out or being canceled."`
	DeletingJobs         *int `yaml:"deletingJobs" name:"deleting-jobs" help:"Jobs in DELETION_IN_PROGRESS."`
	JobTemplates         *int `yaml:"jobTemplates" name:"job-templates" help:"Job templates."`
}

// RegistryConfig bounds the registry.
type RegistryConfig struct {
	MaxAttributesWithoutType        *int           `yaml:"maxAttributesWithoutType" name:"max-attributes-without-type" help:"Attributes of a thing without a type."`
	MaxGroupsPerThing               *int           `yaml:"maxGroupsPerThing" name:"max-groups-per-thing" help:"Groups that a thing is a direct member of."`
	MaxGroupDepth                   *int           `yaml:"maxGroupDepth" name:"max-group-depth" help:"Levels of groups, the root included."`
	MaxGroupChildren                *int           `yaml:"maxGroupChildren" name:"max-group-children" help:"Direct children of a group."`
	MaxGroupAttributes              *int           `yaml:"maxGroupAttributes" name:"max-group-attributes" help:"Attributes of a group."`
	MaxDynamicGroups                *int           `yaml:"maxDynamicGroups" name:"max-dynamic-groups" help:"Dynamic groups. Every change of a thing looks at all of them."`
	ThingTypeDeleteDelay            *time.Duration `yaml:"thingTypeDeleteDelay" name:"thing-type-delete-delay" help:"How long a thing type must have been deprecated before it can be deleted."`
	AllowMultipleGroupsPerHierarchy bool           `yaml:"allowMultipleGroupsPerHierarchy" name:"allow-multiple-groups-per-hierarchy" help:"Let a thing be in several groups below one root."`
}

// PoliciesConfig bounds policies.
type PoliciesConfig struct {
	MaxVersions       *int `yaml:"maxVersions" name:"max-versions" help:"Versions of a policy."`
	MaxPerCertificate *int `yaml:"maxPerCertificate" name:"max-per-certificate" help:"Policies attached to a certificate."`
	MaxPerGroup       *int `yaml:"maxPerGroup" name:"max-per-group" help:"Policies attached to a thing group."`
	MaxDocumentChars  *int `yaml:"maxDocumentChars" name:"max-document-chars" help:"Characters of a policy document, white space not counted. 404600 at most; an AWS account has 2048."`
}

// ThrottleConfig limits rates, in requests a second.
type ThrottleConfig struct {
	Control     *float64 `yaml:"control" name:"control" help:"Requests for each operation on jobs. 0: any number."`
	DeviceRead  *float64 `yaml:"deviceRead" name:"device-read" help:"get, $next/get and the list of pending executions, of all devices together, over MQTT and HTTP. 0: any number."`
	DeviceWrite *float64 `yaml:"deviceWrite" name:"device-write" help:"start-next and update, likewise. 0: any number."`
}

// set overrides a value that is configured.
func set[T any](to *T, v *T) {
	if v != nil {
		*to = *v
	}
}

// limits gives the profile with what overrides it.
func (c *Config) limits() *jobsvc.Limits {
	l := jobsvc.GenerousLimits()
	if c.Limits.Profile == "aws" {
		l = jobsvc.AWSLimits()
	}
	set(&l.DocumentBytes, c.Limits.DocumentBytes)
	set(&l.TargetsPerJob, c.Limits.TargetsPerJob)
	set(&l.RolloutPerMinute, c.Limits.RolloutMaxPerMinute)
	set(&l.RolloutDefault, c.Limits.RolloutDefaultPerMinute)
	set(&l.Retries, c.Limits.Retries)
	set(&l.MaintenanceWindows, c.Limits.MaintenanceWindows)
	set(&l.StatusDetailsPairs, c.Limits.StatusDetailsPairs)
	set(&l.StatusDetailsChars, c.Limits.StatusDetailsValueChars)
	set(&l.PendingShown, c.Limits.PendingShown)
	set(&l.ActiveSnapshotJobs, c.Limits.ActiveSnapshotJobs)
	set(&l.ActiveContinuousJobs, c.Limits.ActiveContinuousJobs)
	set(&l.ConcurrentJobs, c.Limits.ConcurrentJobs)
	set(&l.DeletingJobs, c.Limits.DeletingJobs)
	set(&l.JobTemplates, c.Limits.JobTemplates)
	set(&l.AttributesWithoutType, c.Registry.MaxAttributesWithoutType)
	set(&l.GroupsPerThing, c.Registry.MaxGroupsPerThing)
	set(&l.GroupDepth, c.Registry.MaxGroupDepth)
	set(&l.GroupChildren, c.Registry.MaxGroupChildren)
	set(&l.GroupAttributes, c.Registry.MaxGroupAttributes)
	set(&l.DynamicGroups, c.Registry.MaxDynamicGroups)
	set(&l.ThingTypeDeleteDelay, c.Registry.ThingTypeDeleteDelay)
	l.MultipleGroupsPerHierarchy = c.Registry.AllowMultipleGroupsPerHierarchy
	set(&l.PolicyVersions, c.Policies.MaxVersions)
	set(&l.PoliciesPerCertificate, c.Policies.MaxPerCertificate)
	set(&l.PoliciesPerGroup, c.Policies.MaxPerGroup)
	set(&l.PolicyDocumentChars, c.Policies.MaxDocumentChars)
	set(&l.ControlPerSecond, c.Throttle.Control)
	set(&l.DeviceReadsPerSecond, c.Throttle.DeviceRead)
	set(&l.DeviceWritesPerSecond, c.Throttle.DeviceWrite)
	return &l
}

func (c *Config) validateLimits(bad func(key, format string, args ...any)) {
	l := c.limits()
	for key, n := range map[string]int64{
		"limits.documentBytes": int64(l.DocumentBytes), "limits.targetsPerJob": int64(l.TargetsPerJob), "limits.rolloutMaxPerMinute": l.RolloutPerMinute,
		"limits.pendingShown": int64(l.PendingShown), "registry.maxGroupsPerThing": int64(l.GroupsPerThing), "registry.maxGroupDepth": int64(l.GroupDepth),
		"policies.maxVersions": int64(l.PolicyVersions), "policies.maxPerCertificate": int64(l.PoliciesPerCertificate), "policies.maxPerGroup": int64(l.PoliciesPerGroup),
		"policies.maxDocumentChars": int64(l.PolicyDocumentChars),
		"limits.statusDetailsPairs": int64(l.StatusDetailsPairs), "limits.statusDetailsValueChars": int64(l.StatusDetailsChars),
	} {
		if n < 1 {
			bad(key, "%d is less than 1", n)
		}
	}
	for key, n := range map[string]int64{
		"limits.rolloutDefaultPerMinute": l.RolloutDefault, "limits.retries": l.Retries, "limits.maintenanceWindows": int64(l.MaintenanceWindows), "limits.activeSnapshotJobs": int64(l.ActiveSnapshotJobs),
		"limits.activeContinuousJobs": int64(l.ActiveContinuousJobs), "limits.concurrentJobs": int64(l.ConcurrentJobs), "limits.deletingJobs": int64(l.DeletingJobs),
		"limits.jobTemplates": int64(l.JobTemplates), "registry.maxAttributesWithoutType": int64(l.AttributesWithoutType),
		"registry.maxGroupChildren": int64(l.GroupChildren), "registry.maxGroupAttributes": int64(l.GroupAttributes), "registry.maxDynamicGroups": int64(l.DynamicGroups),
	} {
		if n < 0 {
			bad(key, "%d is negative", n)
		}
	}
	if l.DocumentBytes > jobsvc.MaxDocumentBytes {
		bad("limits.documentBytes", "%d is more than %d, which messages have room for", l.DocumentBytes, jobsvc.MaxDocumentBytes)
	}
	if l.ThingTypeDeleteDelay < 0 {
		bad("registry.thingTypeDeleteDelay", "%s is negative", l.ThingTypeDeleteDelay)
	}
	if l.ControlPerSecond < 0 || l.DeviceReadsPerSecond < 0 || l.DeviceWritesPerSecond < 0 {
		bad("throttle", "rates are not negative")
	}
}
