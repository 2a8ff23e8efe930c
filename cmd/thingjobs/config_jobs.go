package main

import (
	"slices"
	"time"
	_ "time/tzdata" // for schedulingConfig.timeZone on machines without a zone database

	"github.com/thingjobs/thingjobs/jobsvc"
)

// ScheduleConfig bounds schedulingConfig of jobs.
type ScheduleConfig struct {
	MinStartLead time.Duration `yaml:"minStartLead" name:"min-start-lead" default:"30m" help:"How long before its startTime a job is created at the latest. 0: a startTime in the past means now."`
	MaxStartLead time.Duration `yaml:"maxStartLead" name:"max-start-lead" default:"8784h" help:"How far ahead a startTime may be."`
	MinEndLead   time.Duration `yaml:"minEndLead" name:"min-end-lead" default:"30m" help:"How long before its endTime a job is created at the latest."`
	MaxEndLead   time.Duration `yaml:"maxEndLead" name:"max-end-lead" default:"17544h" help:"How far ahead an endTime may be, and how long a job may be."`
	MinSpan      time.Duration `yaml:"minSpan" name:"min-span" default:"30m" help:"The least time from the start of a job to its endTime."`

	AllowSnapshotWindows bool `yaml:"allowSnapshotWindows" name:"allow-snapshot-windows" help:"Let SNAPSHOT jobs have maintenanceWindows, which AWS allows for CONTINUOUS jobs."`
	StrictWindow         bool `yaml:"strictWindow" name:"strict-window" help:"While no maintenance window of its job is open, refuse updates of a QUEUED execution that name the job. It is not in the device's queue then in any case."`
	CancelWhenQuotaFull  bool `yaml:"cancelWhenQuotaFull" name:"cancel-when-quota-full" help:"Cancel a SCHEDULED job that is to begin when limits.concurrentJobs is reached, as AWS does. Otherwise it waits for its turn."`
}

// CancelConfig is about CancelJob.
type CancelConfig struct {
	AllowForceAfterCancel bool `yaml:"allowForceAfterCancel" name:"allow-force-after-cancel" default:"true" negatable:"" help:"Let a CANCELED job be canceled with force once more, for executions that are still IN_PROGRESS."`
}

// ContinuousConfig is about CONTINUOUS jobs.
type ContinuousConfig struct {
	RerunOnRejoin           bool `yaml:"rerunOnRejoin" name:"rerun-on-rejoin" default:"true" negatable:"" help:"Let a thing that comes back to the targets of a CONTINUOUS job run it again, however it ended before. Otherwise only executions that were REMOVED when the thing left are made anew."`
	RemoveInProgressOnLeave bool `yaml:"removeInProgressOnLeave" name:"remove-in-progress-on-leave" help:"When a thing leaves the targets of a CONTINUOUS job, end its execution as REMOVED also if it is IN_PROGRESS. Otherwise the thing may finish it."`
}

// RetryConfig is about retries.
type RetryConfig struct {
	DelaySeconds int64 `yaml:"delaySeconds" name:"delay-seconds" help:"How long the retry of a failed execution waits before its device sees it, in seconds. AWS: 0."`
}

// QueuedConfig is about executions that no device begins.
type QueuedConfig struct {
	TTLMinutes int64 `yaml:"ttlMinutes" name:"ttl-minutes" help:"How long an execution may be QUEUED before it is CANCELED, in minutes, so that devices that are gone do not keep a job open. 0: for ever. It is for executions that are made afterwards."`
}

// DeviceConfig is about what devices may do.
type DeviceConfig struct {
	AllowedStatuses []string `yaml:"allowedStatuses" name:"allowed-statuses" default:"IN_PROGRESS,SUCCEEDED,FAILED,REJECTED" help:"The statuses that a device may report. TIMED_OUT, CANCELED and REMOVED, which AWS keeps for itself, can be added for firmware that reports them."`
}

// maxDelay bounds both, in seconds: a year.
const maxDelay = 366 * 24 * 60 * 60

func (c *Config) validateWaits(bad func(key, format string, args ...any)) {
	if n := c.Retry.DelaySeconds; n < 0 || n > maxDelay {
		bad("retry.delaySeconds", "%d is not between 0 and %d", n, maxDelay)
	}
	if n := c.Queued.TTLMinutes; n < 0 || n > maxDelay/60 {
		bad("queued.ttlMinutes", "%d is not between 0 and %d", n, maxDelay/60)
	}
	for _, s := range c.Device.AllowedStatuses {
		if !jobsvc.JobExecutionStatus(s).Valid() || s == string(jobsvc.StatusQueued) {
			bad("device.allowedStatuses", "%q is no status a device can report", s)
		}
	}
	for _, s := range jobsvc.JobExecutionStatuses() {
		if s.Settable() && !slices.Contains(c.Device.AllowedStatuses, string(s)) {
			bad("device.allowedStatuses", "%s is missing: devices of AWS IoT Jobs report it", s)
		}
	}
}

// allowedStatuses are those beside what every device may report.
func (c *Config) allowedStatuses() (more []jobsvc.JobExecutionStatus) {
	for _, s := range c.Device.AllowedStatuses {
		if s := jobsvc.JobExecutionStatus(s); !s.Settable() {
			more = append(more, s)
		}
	}
	return more
}

func (c *Config) validateJobs(bad func(key, format string, args ...any)) {
	c.validateWaits(bad)
	s := &c.Schedule
	if s.MinStartLead < 0 || s.MinEndLead < 0 || s.MinSpan < 0 {
		bad("schedule", "durations are not negative")
	}
	if n := c.Timeout.DefaultInProgressMinutes; n < 0 || n > jobsvc.MaxTimeoutMinutes {
		bad("timeout.defaultInProgressMinutes", "%d is not between 0 and %d", n, jobsvc.MaxTimeoutMinutes)
	}
	if s.MaxStartLead <= s.MinStartLead {
		bad("schedule.maxStartLead", "%s is not more than minStartLead", s.MaxStartLead)
	}
	if s.MaxEndLead <= s.MinEndLead || s.MaxEndLead <= s.MinSpan {
		bad("schedule.maxEndLead", "%s is not more than minEndLead and minSpan", s.MaxEndLead)
	}
}

func (c *Config) jobRules() *jobsvc.JobRules {
	s := &c.Schedule
	return &jobsvc.JobRules{
		MinStartLead: s.MinStartLead, MaxStartLead: s.MaxStartLead,
		MinEndLead: s.MinEndLead, MaxEndLead: s.MaxEndLead,
		MinSpan:              s.MinSpan,
		AllowSnapshotWindows: s.AllowSnapshotWindows,
		StrictWindow:         s.StrictWindow,
		CancelWhenQuotaFull:  s.CancelWhenQuotaFull,
		ForceAfterCancel:     c.Cancel.AllowForceAfterCancel,

		DefaultInProgress:       time.Duration(c.Timeout.DefaultInProgressMinutes) * time.Minute,
		QueuedTTL:               time.Duration(c.Queued.TTLMinutes) * time.Minute,
		RetryDelay:              time.Duration(c.Retry.DelaySeconds) * time.Second,
		AllowedStatuses:         c.allowedStatuses(),
		SmoothRollout:           c.Rollout.Smooth,
		PaceAssociatedTargets:   c.Rollout.PaceAssociatedTargets,
		RerunOnRejoin:           c.Continuous.RerunOnRejoin,
		RemoveInProgressOnLeave: c.Continuous.RemoveInProgressOnLeave,
	}
}
