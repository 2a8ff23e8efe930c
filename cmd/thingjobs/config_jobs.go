package main

import (
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
}

// CancelConfig is about CancelJob.
type CancelConfig struct {
	AllowForceAfterCancel bool `yaml:"allowForceAfterCancel" name:"allow-force-after-cancel" default:"true" negatable:"" help:"Let a CANCELED job be canceled with force once more, for executions that are still IN_PROGRESS."`
}

func (c *Config) validateJobs(bad func(key, format string, args ...any)) {
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
		ForceAfterCancel:     c.Cancel.AllowForceAfterCancel,

		DefaultInProgress:     time.Duration(c.Timeout.DefaultInProgressMinutes) * time.Minute,
		PaceAssociatedTargets: c.Rollout.PaceAssociatedTargets,
	}
}
