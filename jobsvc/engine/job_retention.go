package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

const (
	// retirePause is how long Run waits between two looks for jobs to retire.
	retirePause = time.Hour
	// retireChunk is how many jobs one look reads before it lets others in.
	retireChunk = 500
)

// Retire deletes jobs that have been COMPLETED, or CANCELED with nothing left to cancel,
// for longer than Limits.JobRetention, as DeleteJob does: with their executions, in the
// background. It goes over all jobs; begun again it finds fewer.
//
// AWS: jobs and their executions are kept for 730 days after the job stopped being active.
func (e *Engine) Retire(ctx context.Context) error {
	if e.limits.JobRetention <= 0 {
		return nil
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	old := now.Add(-e.limits.JobRetention)
	retired := false
	for from, more := (store.JobCursor{}), true; more; {
		var jobs []jobsvc.Job
		jobs, more, err = e.store.ListJobs(ctx, from, retireChunk, func(j *jobsvc.Job) bool { return outlived(j, old) })
		if err != nil {
			return err
		}
		for i := range jobs {
			_, err := e.store.Update(ctx, kv.Job(jobs[i].ID), func(tx *store.Tx) error {
				j, err := tx.Job(jobs[i].ID)
				if err == nil && j != nil && outlived(j, old) {
					j.Retired = true
					e.beginDelete(tx, j, now)
				}
				return err
			})
			if err != nil {
				return err
			}
			from = store.JobCursor{CreatedAt: jobs[i].CreatedAt, ID: jobs[i].ID}
			retired = true
		}
	}
	if retired {
		poke(e.wake)
	}
	return nil
}

// outlived tells whether a job stopped being active before a time. Nothing changes one
// that has, but for a further cancel, so LastUpdatedAt says when that was.
func outlived(j *jobsvc.Job, old time.Time) bool {
	switch j.Status {
	case jobsvc.JobCompleted, jobsvc.JobCanceled:
		return !j.Concurrent && j.LastUpdatedAt.Before(old)
	}
	return false
}
