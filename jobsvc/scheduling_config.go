package jobsvc

import (
	"strconv"
	"strings"
	"time"
)

// EndBehavior says what a job's end time does to its executions.
type EndBehavior string

// The end behaviors.
const (
	EndStopRollout EndBehavior = "STOP_ROLLOUT"
	EndCancel      EndBehavior = "CANCEL"
	EndForceCancel EndBehavior = "FORCE_CANCEL"
)

// SchedulingConfig says when a job begins, ends, and may work. AWS: SchedulingConfig.
type SchedulingConfig struct {
	// StartTime and EndTime are as the operator wrote them; "" when not given.
	StartTime          string              `json:",omitempty"`
	EndTime            string              `json:",omitempty"`
	EndBehavior        EndBehavior         `json:",omitempty"` // "" when not given
	MaintenanceWindows []MaintenanceWindow `json:",omitempty"`
	// TimeZone is that of times without an offset and of windows: the name of a zone
	// ("Europe/Berlin"), an offset ("+01:00"), or "" for UTC. AWS has no such member.
	TimeZone string `json:",omitempty"`
}

// MaintenanceWindow opens at the times of a cron expression, or once at a time. AWS:
// MaintenanceWindow.
type MaintenanceWindow struct {
	StartTime         string // "cron(0 2 ? * SAT *)", see package schedule, or "2026-03-14 02:00"
	DurationInMinutes int64  // 1 to 1,430
}

// JobRules are bounds of jobs that belong to an installation.
type JobRules struct {
	MinStartLead time.Duration // how long before its start a job is created at the latest; 0: a start in the past is now
	MaxStartLead time.Duration
	MinEndLead   time.Duration
	MaxEndLead   time.Duration // also from start to end
	MinSpan      time.Duration // from start to end

	// AllowSnapshotWindows lets SNAPSHOT jobs have maintenance windows.
	AllowSnapshotWindows bool
	// StrictWindow refuses to let a device begin or end a QUEUED execution that it names
	// itself while the job's maintenance windows are closed.
	StrictWindow bool
	// CancelWhenQuotaFull cancels a job that would begin when the quota of concurrent jobs
	// is reached. Otherwise it waits.
	CancelWhenQuotaFull bool
	// ForceAfterCancel lets a CANCELED job be canceled with force once more.
	ForceAfterCancel bool

	// DefaultInProgress is the TimeoutConfig of jobs that have none; 0 is no limit.
	DefaultInProgress time.Duration
	// QueuedTTL is how long an execution may be QUEUED before it is CANCELED; 0: for ever.
	QueuedTTL time.Duration
	// RetryDelay is how long a retry is not in its device's queue.
	RetryDelay time.Duration
	// AllowedStatuses are what devices may report besides IN_PROGRESS, SUCCEEDED, FAILED and
	// REJECTED: TIMED_OUT, CANCELED, REMOVED.
	AllowedStatuses []JobExecutionStatus
	// SmoothRollout spreads what a rate releases evenly over its minute.
	SmoothRollout bool
	// PaceAssociatedTargets has the things of targets that were associated later wait for the
	// rate of their job's rollout.
	PaceAssociatedTargets bool
	// RerunOnRejoin has a thing that comes back to the targets of a CONTINUOUS job run it
	// again, however it ended before. Otherwise only one that was REMOVED when it left does.
	RerunOnRejoin bool
	// RemoveInProgressOnLeave ends IN_PROGRESS executions of things that leave as REMOVED, as
	// it does QUEUED ones.
	RemoveInProgressOnLeave bool
}

// DefaultJobRules are those of the service, where it has them.
func DefaultJobRules() JobRules {
	const day = 24 * time.Hour
	return JobRules{
		MinStartLead: 30 * time.Minute, MaxStartLead: 366 * day,
		MinEndLead: 30 * time.Minute, MaxEndLead: 731 * day,
		MinSpan:          30 * time.Minute,
		ForceAfterCancel: true,
		RerunOnRejoin:    true,
	}
}

// Location is the zone of times without an offset. Errors: CodeInvalidRequest.
func (c *SchedulingConfig) Location() (*time.Location, error) {
	switch {
	case c.TimeZone == "":
		return time.UTC, nil
	case strings.ContainsAny(c.TimeZone[:1], "+-"):
		if t, err := time.Parse("-07:00", c.TimeZone); err == nil {
			return t.Location(), nil
		}
	case c.TimeZone != "Local":
		if loc, err := time.LoadLocation(c.TimeZone); err == nil {
			return loc, nil
		}
	}
	return nil, Errorf(CodeInvalidRequest, "schedulingConfig.timeZone %q is neither the name of a time zone nor an offset like +01:00.", clip(c.TimeZone))
}

// Times gives StartTime and EndTime as points in time, zero when not given. Errors:
// CodeInvalidRequest.
func (c *SchedulingConfig) Times() (start, end time.Time, err error) {
	loc, err := c.Location()
	if err != nil {
		return start, end, err
	}
	if start, err = parseScheduleTime("startTime", c.StartTime, loc); err != nil {
		return start, end, err
	}
	end, err = parseScheduleTime("endTime", c.EndTime, loc)
	return start, end, err
}

// The forms of a time, less what stands for the zone. T and a blank are the same.
var scheduleLayouts = []string{"2006-01-02T15:04:05", "2006-01-02T15:04"}

func parseScheduleTime(member, s string, loc *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, ok := ParseTime(s, loc); ok {
		return t, nil
	}
	return time.Time{}, Errorf(CodeInvalidRequest, "schedulingConfig.%s %q is not a time like 2026-03-12T22:00:00Z or 2026-03-12 22:00.", member, clip(s))
}

// ParseTime reads a time as schedules have them: RFC 3339, or a date and time with a blank
// or T between, seconds and offset or not. loc is the zone of one without an offset.
func ParseTime(s string, loc *time.Location) (t time.Time, ok bool) {
	text := s
	if len(text) > 10 && text[10] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	for _, layout := range scheduleLayouts {
		if t, err := time.Parse(layout+"Z07:00", text); err == nil {
			return t, true
		}
		if t, err := time.ParseInLocation(layout, text, loc); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// Validate checks the times against now and each other, and what windows may be given
// with. The cron expressions are checked by package schedule. Errors:
// CodeInvalidRequest.
func (c *SchedulingConfig) Validate(selection TargetSelection, rules *JobRules, now time.Time) error {
	start, end, err := c.Times()
	if err != nil {
		return err
	}
	if !start.IsZero() {
		if err := validLead("startTime", start.Sub(now), rules.MinStartLead, rules.MaxStartLead); err != nil {
			return err
		}
	}
	if !end.IsZero() {
		if err := validLead("endTime", end.Sub(now), rules.MinEndLead, rules.MaxEndLead); err != nil {
			return err
		}
		begin := start
		if begin.Before(now) {
			begin = now
		}
		if span := end.Sub(begin); span < rules.MinSpan || span <= 0 || span > rules.MaxEndLead {
			return Errorf(CodeInvalidRequest, "schedulingConfig.endTime must be %s to %s after the start of the job.", rules.MinSpan, days(rules.MaxEndLead))
		}
	}
	switch {
	case len(c.MaintenanceWindows) > 0 && selection != TargetContinuous && !rules.AllowSnapshotWindows:
		return Errorf(CodeInvalidRequest, "schedulingConfig.maintenanceWindows are for jobs with the targetSelection CONTINUOUS.")
	}
	return nil
}

// validLead checks how far a time is ahead. Without a minimum it may have passed.
func validLead(member string, lead, low, high time.Duration) error {
	if low > 0 && lead < low {
		return Errorf(CodeInvalidRequest, "schedulingConfig.%s must be at least %s from now.", member, low)
	}
	if lead > high {
		return Errorf(CodeInvalidRequest, "schedulingConfig.%s must be at most %s from now.", member, days(high))
	}
	return nil
}

// days shows whole days as such, which a Duration shows in hours.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d < day || d%day != 0 {
		return d.String()
	}
	return strconv.FormatInt(int64(d/day), 10) + " days"
}
