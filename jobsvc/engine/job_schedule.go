package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/schedule"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// openingsShown is how many openings of its windows DescribeJob shows of a job.
const openingsShown = 7

// firstStart checks the schedule of a new job and gives when it begins: not after now
// when it begins at once. Errors: CodeInvalidRequest.
func (e *Engine) firstStart(r *jobsvc.CreateJobRequest, now time.Time) (time.Time, error) {
	c := r.SchedulingConfig
	if c == nil {
		return now, nil
	}
	if err := c.Validate(r.TargetSelection, &e.rules, now); err != nil {
		return now, err
	}
	starts, err := startOf(c, now)
	if err == nil && starts.IsZero() {
		err = jobsvc.Errorf(jobsvc.CodeInvalidRequest, "schedulingConfig: no maintenance window opens while the job lasts.")
	}
	return starts, err
}

// startOf is when a job with a schedule may begin, from a point in time on: at its start
// time, and inside a window if it has any. Zero is never.
func startOf(c *jobsvc.SchedulingConfig, from time.Time) (time.Time, error) {
	starts, end, err := c.Times()
	if err != nil {
		return starts, err
	}
	if starts.Before(from) {
		starts = from
	}
	windows, err := schedule.NewWindows(c)
	if err != nil {
		return starts, err
	}
	if windows != nil && !windows.OpenAt(starts) {
		starts = windows.Next(starts)
	}
	if !end.IsZero() && !starts.Before(end) {
		return time.Time{}, nil
	}
	return starts, nil
}

// openings lists the next openings of the windows of a job that goes on.
func (e *Engine) openings(ctx context.Context, j *jobsvc.Job) ([]time.Time, error) {
	if !j.Active() {
		return nil, nil
	}
	windows, err := schedule.NewWindows(j.SchedulingConfig)
	if err != nil || windows == nil {
		return nil, err
	}
	start, end, err := j.SchedulingConfig.Times()
	if err != nil {
		return nil, err
	}
	from, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	if start.After(from) {
		from = start.Add(-1) // an opening at the start counts
	}
	return windows.NextN(from, end, openingsShown), nil
}

// beginRollout lets a job make executions from the next step of the timer on. Every job
// does so by a timer, also one that begins when it is created: there is one path.
func beginRollout(tx *store.Tx, job *jobsvc.Job) {
	tx.PutRollout(job.ID, &store.Rollout{})
	tx.SetTimer(store.JobTimer(store.TimerRollout, job.ID, job.CreatedAt))
}

// scheduleNew makes a new job wait for its start, or for the window it begins in to close,
// and for its end.
func scheduleNew(job *jobsvc.Job, starts time.Time) error {
	if job.SchedulingConfig == nil {
		return nil
	}
	_, end, err := job.SchedulingConfig.Times()
	if err != nil {
		return err
	}
	job.EndsAt = end
	if starts.After(job.CreatedAt) {
		job.Status = jobsvc.JobScheduled
		job.StartsAt = starts
		job.Concurrent = false
		return nil
	}
	windows, err := schedule.NewWindows(job.SchedulingConfig)
	if err == nil && windows != nil {
		openWindow(job, windows, job.CreatedAt)
	}
	return err
}

// openWindow notes that a window has opened, and when it closes.
func openWindow(job *jobsvc.Job, windows *schedule.Windows, now time.Time) {
	job.OpenedAt = now
	closesAt(job, windows.Closes(now))
}

// closesAt notes when the open window closes. One that reaches up to the job's end does not
// close: the end does what there is to do.
func closesAt(job *jobsvc.Job, closes time.Time) {
	job.ClosesAt = closes
	if !job.EndsAt.IsZero() && !job.ClosesAt.Before(job.EndsAt) {
		job.ClosesAt = time.Time{}
	}
}

// armSchedule sets the timers of what a job waits for.
func armSchedule(tx *store.Tx, job *jobsvc.Job) { scheduleTimers(job, tx.SetTimer) }

// clearSchedule takes all of them away: the job waits for nothing.
func clearSchedule(tx *store.Tx, job *jobsvc.Job) {
	scheduleTimers(job, tx.ClearTimer)
	job.StartsAt, job.ClosesAt, job.EndsAt, job.WindowSweepAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
}

func scheduleTimers(job *jobsvc.Job, do func(store.Timer)) {
	for _, t := range []store.Timer{
		{Kind: store.TimerStart, Due: job.StartsAt}, {Kind: store.TimerClose, Due: job.ClosesAt},
		{Kind: store.TimerEnd, Due: job.EndsAt}, {Kind: store.TimerWindow, Due: job.WindowSweepAt},
	} {
		if !t.Due.IsZero() {
			do(store.JobTimer(t.Kind, job.ID, t.Due))
		}
	}
}

// setTimer sets the timer of one of the points in time that a job waits for.
func setTimer(tx *store.Tx, job *jobsvc.Job, kind store.TimerKind, due time.Time) {
	if !due.IsZero() {
		tx.SetTimer(store.JobTimer(kind, job.ID, due))
	}
}

// stepSchedule runs a transaction for a timer of a job's schedule: fn changes the job if
// the timer is still the one it waits for.
func (e *Engine) stepSchedule(ctx context.Context, t store.Timer, current func(*jobsvc.Job) bool, fn func(tx *store.Tx, job *jobsvc.Job, now time.Time) error) error {
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, kv.Job(t.JobID), func(tx *store.Tx) error {
		tx.ClearTimer(t)
		job, err := tx.Job(t.JobID)
		if err != nil || job == nil || !current(job) {
			return err
		}
		if err := fn(tx, job, now); err != nil {
			return err
		}
		tx.PutJob(job)
		return nil
	})
	if err != nil {
		return e.failed(err, t.JobID)
	}
	poke(e.wake)
	e.unsettle(t.JobID) // it may have nothing left to do
	return nil
}

// quotaRetry is how long a job whose start finds the quota of concurrent jobs reached
// waits for the next look.
const quotaRetry = time.Second

// stepStart begins a SCHEDULED job, or lets it go on in another window. When the whole
// window has passed since, it waits for the next one; when there is none any more, the job
// is over.
func (e *Engine) stepStart(ctx context.Context, t store.Timer) error {
	full := e.checkQuota(ctx, e.limits.CheckConcurrent)
	if full != nil && jobsvc.ErrorCode(full) != jobsvc.CodeLimitExceeded {
		return full
	}
	current := func(job *jobsvc.Job) bool {
		return job.Status == jobsvc.JobScheduled && job.StartsAt.Equal(t.Due)
	}
	return e.stepSchedule(ctx, t, current, func(tx *store.Tx, job *jobsvc.Job, now time.Time) error {
		starts, err := startOf(job.SchedulingConfig, now)
		if err != nil {
			return err
		}
		job.StartsAt = time.Time{}
		switch {
		case starts.IsZero():
			return e.endSchedule(tx, job, now)
		case starts.After(now):
			job.StartsAt = starts
		case full == nil || !job.Waiting():
			return e.open(tx, job, now)
		case e.rules.CancelWhenQuotaFull:
			e.cancel(tx, job, false, now)
			job.ReasonCode = reasonQuota
		default:
			job.StartsAt = now.Add(quotaRetry)
		}
		setTimer(tx, job, store.TimerStart, job.StartsAt)
		return nil
	})
}

// open lets a SCHEDULED job work: for the first time, or where it stopped when the last
// window closed. Who is a member of its targets was decided the first time.
func (e *Engine) open(tx *store.Tx, job *jobsvc.Job, now time.Time) error {
	windows, err := schedule.NewWindows(job.SchedulingConfig)
	if err != nil {
		return err
	}
	first := job.Waiting()
	job.Status = jobsvc.JobInProgress
	job.LastUpdatedAt = now
	if windows != nil {
		openWindow(job, windows, now)
		setTimer(tx, job, store.TimerClose, job.ClosesAt)
	}
	if first {
		job.StartedAt = now
		job.Concurrent = true
		beginRollout(tx, job)
		return nil
	}
	sweepWindow(tx, job, now)
	if job.TargetSelection == jobsvc.TargetContinuous {
		return walkAgain(tx, job, now)
	}
	r, err := tx.Rollout(job.ID)
	if err == nil && r != nil {
		goOn(tx, job, r)
	}
	return err
}

// stepClose closes the window of a job: it is SCHEDULED until the next one opens. Its
// QUEUED executions are hidden from here on, those IN_PROGRESS go on. When there is no
// further window the job is over. A server that was down from one window into another
// finds it open.
func (e *Engine) stepClose(ctx context.Context, t store.Timer) error {
	current := func(job *jobsvc.Job) bool {
		return job.Status == jobsvc.JobInProgress && job.ClosesAt.Equal(t.Due)
	}
	return e.stepSchedule(ctx, t, current, func(tx *store.Tx, job *jobsvc.Job, now time.Time) error {
		windows, err := schedule.NewWindows(job.SchedulingConfig)
		if err != nil {
			return err
		}
		next, err := startOf(job.SchedulingConfig, now)
		if err != nil {
			return err
		}
		job.ClosesAt = time.Time{}
		switch {
		case next.IsZero(): // also when the end has come since: that has a timer of its own
			e.stopJob(tx, job, now)
		case next.After(now):
			return closeWindow(tx, job, next, now)
		case windows.Closes(t.Due).After(now): // others have opened before it closed
			closesAt(job, windows.Closes(t.Due))
		default:
			openWindow(job, windows, now)
		}
		setTimer(tx, job, store.TimerClose, job.ClosesAt)
		return nil
	})
}

// closeWindow makes a job wait for its next window. The rollout keeps its place. Steps that
// are under way are void from here on, also when the next window opens before they end: what
// they find SCHEDULED they leave out.
func closeWindow(tx *store.Tx, job *jobsvc.Job, next, now time.Time) error {
	r, err := tx.Rollout(job.ID)
	if err != nil {
		return err
	}
	if r != nil {
		tx.ClearTimer(r.Timer(job))
		r.Steps++
		tx.PutRollout(job.ID, r)
	}
	job.Status = jobsvc.JobScheduled
	job.Concurrent = false
	job.LastUpdatedAt = now
	job.StartsAt = next
	setTimer(tx, job, store.TimerStart, next)
	sweepWindow(tx, job, now)
	return nil
}

// stepEnd does what a job is to do at its end time.
func (e *Engine) stepEnd(ctx context.Context, t store.Timer) error {
	current := func(job *jobsvc.Job) bool { return job.Active() && job.EndsAt.Equal(t.Due) }
	return e.stepSchedule(ctx, t, current, func(tx *store.Tx, job *jobsvc.Job, now time.Time) error {
		job.EndsAt = time.Time{}
		e.reachEnd(tx, job, now)
		return nil
	})
}

const (
	// reasonEndTime is the reasonCode of a job that its end time canceled.
	reasonEndTime = "JOB_END_TIME_REACHED"
	// reasonQuota is that of one for which there was no room when it was to begin.
	reasonQuota = "CONCURRENT_JOBS_QUOTA_REACHED"
)

// endSchedule ends a job that may not work any more: its end time has come, or there are
// no further windows before it.
func (e *Engine) endSchedule(tx *store.Tx, job *jobsvc.Job, now time.Time) error {
	_, end, err := job.SchedulingConfig.Times()
	if err != nil {
		return err
	}
	if end.IsZero() || now.Before(end) {
		e.stopJob(tx, job, now)
	} else {
		e.reachEnd(tx, job, now)
	}
	return nil
}

// reachEnd does to a job what its end time is to do.
func (e *Engine) reachEnd(tx *store.Tx, job *jobsvc.Job, now time.Time) {
	switch b := job.SchedulingConfig.EndBehavior; b {
	case jobsvc.EndCancel, jobsvc.EndForceCancel:
		e.cancel(tx, job, b == jobsvc.EndForceCancel, now)
		job.ReasonCode = reasonEndTime
	default:
		e.stopJob(tx, job, now)
	}
}

// stopJob lets a job make no further executions. Those there are go on, but for QUEUED ones
// that only a maintenance window would let begin. One that never began is complete. The
// end time of a job whose last window closed before it is still to come: it may cancel.
func (e *Engine) stopJob(tx *store.Tx, job *jobsvc.Job, now time.Time) {
	if job.Stopped {
		return
	}
	if job.Waiting() {
		e.complete(tx, job, &jobsvc.JobProcessDetails{}, now) // it has made no execution
		job.Stopped, job.RolloutDone = true, true
		return
	}
	ends := job.EndsAt
	job.EndsAt = time.Time{}
	clearSchedule(tx, job)
	job.EndsAt = ends
	dropRollout(tx, job)
	if !job.RolloutDone { // else nothing of it has changed that is shown
		job.LastUpdatedAt = now
	}
	job.Stopped, job.RolloutDone, job.Concurrent = true, true, false
	if job.Expired() {
		tx.SetTimer(store.JobTimer(store.TimerCancel, job.ID, job.CreatedAt))
	}
}

// sweepWindow has the devices told of a window that opened or closed.
func sweepWindow(tx *store.Tx, job *jobsvc.Job, now time.Time) {
	if !job.WindowSweepAt.IsZero() { // it is overtaken
		tx.ClearTimer(store.JobTimer(store.TimerWindow, job.ID, job.WindowSweepAt))
	}
	job.WindowSweepAt = now
	setTimer(tx, job, store.TimerWindow, now)
}

// stepWindow goes over the things with QUEUED executions of a job whose window opened or
// closed, and tells those whose visible queue has changed. Begun again after a crash it
// finds those told before as they are to be. One that another has overtaken ends early.
func (e *Engine) stepWindow(ctx context.Context, t store.Timer) error {
	overtaken := func() (bool, error) {
		job, err := e.store.Job(ctx, t.JobID)
		return job == nil || !job.WindowSweepAt.Equal(t.Due), err
	}
	list := func(from store.ExecutionCursor) ([]store.ExecutionRef, error) {
		if over, err := overtaken(); over || err != nil {
			return nil, err
		}
		return e.store.ExecutionRefs(ctx, t.JobID, jobsvc.StatusQueued, from, sweepChunk)
	}
	err := e.sweepRefs(ctx, list, func(tx *store.Tx, ref store.ExecutionRef) error {
		q, err := tx.Queue(ref.Thing)
		if err != nil {
			return err
		}
		if x := q.Find(t.JobID); x != nil {
			_, err = refreshQueue(tx, ref.Thing, q, x.NamespaceID)
		}
		return err
	})
	if err != nil {
		return err
	}
	return e.dropTimer(ctx, t)
}

// catchUp does what is to be done before a job makes further executions, and tells whether
// there was any: its window is to close, or it is to end, and the timer has not come to it.
// After an outage that of the rollout may be first.
func (e *Engine) catchUp(ctx context.Context, job *jobsvc.Job, now time.Time) (bool, error) {
	switch {
	case !job.ClosesAt.IsZero() && !now.Before(job.ClosesAt): // it comes before the end
		return true, e.stepClose(ctx, store.JobTimer(store.TimerClose, job.ID, job.ClosesAt))
	case !job.EndsAt.IsZero() && !now.Before(job.EndsAt):
		return true, e.stepEnd(ctx, store.JobTimer(store.TimerEnd, job.ID, job.EndsAt))
	}
	return false, nil
}

// dropRolloutTimer takes the timer of a rollout away, unless the job goes on by it: since
// then, in another window.
func (e *Engine) dropRolloutTimer(ctx context.Context, t store.Timer) error {
	_, err := e.store.Update(ctx, t.Scope, func(tx *store.Tx) error {
		job, err := tx.Job(t.JobID)
		if err != nil {
			return err
		}
		r, err := tx.Rollout(t.JobID)
		if err != nil || job != nil && job.Status == jobsvc.JobInProgress && r != nil && r.Timer(job).Due.Equal(t.Due) {
			return err
		}
		tx.ClearTimer(t)
		return nil
	})
	return err
}
