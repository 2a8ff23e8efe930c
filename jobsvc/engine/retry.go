package engine

import (
	"context"
	"errors"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/rollout"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// errCountsWanted comes from a transaction that has to know the counters of a job, which
// none can read.
var errCountsWanted = errors.New("engine: the transaction needs the counts of the job")

// updateWithCounts runs a transaction of a thing that may need to know how the executions
// of a job stand: fn gets nil, and may return errCountsWanted to be run with the counters
// read. Only jobs that both abort and retry cost that.
func (e *Engine) updateWithCounts(ctx context.Context, scope kv.Scope, jobID string, fn func(*store.Tx, *jobsvc.JobProcessDetails) error) ([]kv.Event, error) {
	events, err := e.store.Update(ctx, scope, func(tx *store.Tx) error { return fn(tx, nil) })
	if err != errCountsWanted {
		return events, err
	}
	counts, err := e.store.Counts(ctx, jobID)
	if err != nil {
		return nil, err
	}
	return e.store.Update(ctx, scope, func(tx *store.Tx) error { return fn(tx, &counts) })
}

// endPending takes an execution that just ended, and was saved, out of the queue. If its
// job retries, the next attempt takes its place. The caller saves the queue. x is not to
// be used any more.
//
// A failure that makes its job meet the abortConfig is not retried: counts is what there
// was before it. A retry that two failures at once let through is canceled by the sweep
// of the abort.
func (e *Engine) endPending(tx *store.Tx, q *jobsvc.Queue, x *jobsvc.JobExecution, job *jobsvc.Job, counts *jobsvc.JobProcessDetails, now time.Time) error {
	retried, err := rollout.ShouldRetry(job, x, now)
	if err != nil {
		return err
	}
	if retried && job.AbortConfig != nil {
		if counts == nil {
			return errCountsWanted
		}
		with := *counts
		*with.Count(x.Status)++
		retried = rollout.ShouldAbort(job.AbortConfig, &with) == nil
	}
	if !retried {
		q.Remove(x.JobID)
		return nil
	}
	*x = x.Retry(now)
	if e.rules.RetryDelay > 0 {
		x.HiddenUntil = now.Add(e.rules.RetryDelay)
	}
	e.queueNew(tx, x)
	return nil
}
