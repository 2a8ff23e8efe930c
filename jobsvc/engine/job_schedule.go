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

// clearStart takes away the timer of a job that waits for its start.
func clearStart(tx *store.Tx, job *jobsvc.Job) {
	if !job.StartsAt.IsZero() {
		tx.ClearTimer(store.JobTimer(store.TimerStart, job.ID, job.StartsAt))
		job.StartsAt = time.Time{}
	}
}

// stepStart begins a SCHEDULED job. When the whole window has passed since, it waits for
// the next one; when there is none any more, the job is over.
func (e *Engine) stepStart(ctx context.Context, t store.Timer) error {
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, kv.Job(t.JobID), func(tx *store.Tx) error {
		tx.ClearTimer(t)
		job, err := tx.Job(t.JobID)
		if err != nil || job == nil || job.Status != jobsvc.JobScheduled || !job.StartsAt.Equal(t.Due) {
			return err
		}
		starts, err := startOf(job.SchedulingConfig, now)
		if err != nil {
			return err
		}
		job.StartsAt = time.Time{}
		job.LastUpdatedAt = now
		switch {
		case starts.IsZero():
			e.endUnbegun(tx, job, now)
		case starts.After(now):
			job.StartsAt = starts
			tx.SetTimer(store.JobTimer(store.TimerStart, job.ID, starts))
		default:
			job.Status = jobsvc.JobInProgress
			job.StartedAt = now
			job.Concurrent = true
			beginRollout(tx, job)
		}
		tx.PutJob(job)
		return nil
	})
	if err != nil {
		return e.failed(err)
	}
	poke(e.wake)
	return nil
}

// reasonEndTime is the reasonCode of a job that its end time canceled.
const reasonEndTime = "JOB_END_TIME_REACHED"

// endUnbegun ends a job whose end came before it could begin.
func (e *Engine) endUnbegun(tx *store.Tx, job *jobsvc.Job, now time.Time) {
	switch job.SchedulingConfig.EndBehavior {
	case jobsvc.EndCancel, jobsvc.EndForceCancel:
		e.cancel(tx, job, job.SchedulingConfig.EndBehavior == jobsvc.EndForceCancel, now)
		job.ReasonCode = reasonEndTime
	default:
		job.Status = jobsvc.JobCompleted
		job.CompletedAt = now
		e.jobEvent(tx, jobsvc.EventCompleted, job, &jobsvc.JobProcessDetails{}, now) // it has made none
	}
}
