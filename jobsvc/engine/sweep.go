package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// sweepChunk is how many executions one commit of a sweep takes on.
const sweepChunk = 1000

// stepCancel turns the executions a canceled job leaves CANCELED: the QUEUED ones,
// after a cancel with force those IN_PROGRESS too. An expired job leaves its QUEUED ones.
// Begun again after a crash it finds fewer of them.
func (e *Engine) stepCancel(ctx context.Context, t store.Timer) error {
	job, err := e.store.Job(ctx, t.JobID)
	if err != nil {
		return err
	}
	if job == nil || !(job.Status == jobsvc.JobCanceled && job.Concurrent) && !(job.Active() && job.Expired()) {
		// Swept already, or to be swept in another way.
		return e.dropTimer(ctx, t)
	}
	statuses := []jobsvc.JobExecutionStatus{jobsvc.StatusQueued}
	if job.ForceCanceled {
		statuses = append(statuses, jobsvc.StatusInProgress)
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	err = e.sweep(ctx, job.ID, statuses, func(tx *store.Tx, ref store.ExecutionRef) error {
		return e.changePending(tx, ref, job.ID, func(x *jobsvc.JobExecution) bool { return x.Cancel(job.ForceCanceled, now) })
	})
	if err != nil {
		return err
	}
	if err := e.unlist(ctx, job); err != nil {
		return err
	}
	_, err = e.store.Update(ctx, kv.Job(job.ID), func(tx *store.Tx) error {
		j, err := tx.Job(job.ID)
		// A cancel, or one with force, may have come since: its sweep is still to be done.
		if err != nil || j == nil || j.Status != job.Status || j.ForceCanceled != job.ForceCanceled {
			return err
		}
		tx.ClearTimer(t)
		if j.Status == jobsvc.JobCanceled {
			j.Concurrent = false
			j.LastUpdatedAt = now
			tx.PutJob(j)
			e.jobEvent(tx, jobsvc.EventCanceled, j, nil, now)
		}
		return nil
	})
	if job.Status != jobsvc.JobCanceled { // it may have nothing left to do
		e.unsettle(job.ID)
	}
	return err
}

// stepDelete deletes the executions of a job, then the job.
func (e *Engine) stepDelete(ctx context.Context, t store.Timer) error {
	job, err := e.store.Job(ctx, t.JobID)
	if err != nil {
		return err
	}
	if job == nil || job.Status != jobsvc.JobDeletionInProgress {
		return e.dropTimer(ctx, t)
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	err = e.sweep(ctx, job.ID, jobsvc.JobExecutionStatuses(), func(tx *store.Tx, ref store.ExecutionRef) error {
		return e.deleteExecution(tx, ref, job, now)
	})
	if err != nil {
		return err
	}
	marks := func(from store.ExecutionCursor) ([]store.ExecutionRef, error) {
		return e.store.DeletedRefs(ctx, job.ID, from, sweepChunk)
	}
	err = e.sweepRefs(ctx, marks, func(tx *store.Tx, ref store.ExecutionRef) error {
		tx.DeleteMark(job.ID, ref)
		return nil
	})
	if err != nil {
		return err
	}
	if err := e.unlist(ctx, job); err != nil {
		return err
	}
	_, err = e.store.Update(ctx, kv.Job(job.ID), func(tx *store.Tx) error {
		j, err := tx.Job(job.ID)
		if err != nil || j == nil || j.Status != jobsvc.JobDeletionInProgress {
			return err
		}
		tx.DeleteJob(j)
		e.jobEvent(tx, jobsvc.EventDeleted, j, nil, now)
		tx.ClearTimer(t)
		return nil
	})
	return err
}

// sweep runs a transaction for every execution of a job in one of the statuses, chunk
// by chunk, in the order of the index.
func (e *Engine) sweep(ctx context.Context, job string, statuses []jobsvc.JobExecutionStatus, fn func(*store.Tx, store.ExecutionRef) error) error {
	for _, status := range statuses {
		list := func(from store.ExecutionCursor) ([]store.ExecutionRef, error) {
			return e.store.ExecutionRefs(ctx, job, status, from, sweepChunk)
		}
		if err := e.sweepRefs(ctx, list, fn); err != nil {
			return err
		}
	}
	return nil
}

// sweepRefs runs a transaction for every row of a list, which gives a chunk at a time.
func (e *Engine) sweepRefs(ctx context.Context, list func(store.ExecutionCursor) ([]store.ExecutionRef, error), fn func(*store.Tx, store.ExecutionRef) error) error {
	for from := (store.ExecutionCursor{}); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		refs, err := list(from)
		if err != nil || len(refs) == 0 {
			return err
		}
		ops := make([]store.Op, len(refs))
		for i, ref := range refs {
			ops[i] = store.Op{Scope: kv.Thing(ref.Thing), Fn: func(tx *store.Tx) error { return fn(tx, ref) }, Reads: store.ReadsPending(ref.Thing)}
		}
		if err := e.updateMany(ctx, ops); err != nil {
			return err
		}
		from = refs[len(refs)-1].Cursor()
	}
}

// changePending applies a change to a pending execution, if it is still that one, and
// writes what follows from it.
func (e *Engine) changePending(tx *store.Tx, ref store.ExecutionRef, jobID string, change func(*jobsvc.JobExecution) bool) error {
	q, err := tx.Queue(ref.Thing)
	if err != nil {
		return err
	}
	x := q.Find(jobID)
	if x == nil || x.ExecutionNumber != ref.Number {
		return nil
	}
	before := *x
	if !change(x) {
		return nil
	}
	ns := x.NamespaceID
	e.saveChange(tx, &before, x)
	if x.Status.Terminal() {
		q.Remove(jobID)
	}
	return e.saveQueue(tx, ref.Thing, q, ns)
}

// deleteExecution takes one execution away, wherever it stands by now.
func (e *Engine) deleteExecution(tx *store.Tx, ref store.ExecutionRef, job *jobsvc.Job, now time.Time) error {
	tell := func(x *jobsvc.JobExecution) {
		if !job.Retired {
			e.deletedEvent(tx, x, now)
		}
	}
	q, err := tx.Queue(ref.Thing)
	if err != nil {
		return err
	}
	if x := q.Find(job.ID); x != nil && x.ExecutionNumber == ref.Number {
		before := *x
		q.Remove(job.ID)
		clearTimeout(tx, &before)
		tx.IndexExecution(&before, before.Status, "")
		tell(&before)
		return e.saveQueue(tx, ref.Thing, q, before.NamespaceID)
	}
	x, err := tx.Ended(ref.Thing, job.ID, ref.Number)
	if err != nil || x == nil {
		return err
	}
	tx.DeleteEnded(ref.Thing, job.ID, ref.Number)
	tx.IndexExecution(x, x.Status, "")
	tell(x)
	return nil
}

// stepTimeout ends an execution whose deadline has come. Guard is its number; a timer
// that finds a later deadline, or nothing to end, only goes away.
func (e *Engine) stepTimeout(ctx context.Context, t store.Timer, now time.Time) error {
	var ended bool
	events, err := e.updateWithCounts(ctx, t.Scope, t.JobID, func(tx *store.Tx, counts *jobsvc.JobProcessDetails) error {
		ended = false
		tx.ClearTimer(t)
		q, err := tx.Queue(t.Scope.ID)
		if err != nil {
			return err
		}
		x := q.Find(t.JobID)
		if x == nil || x.ExecutionNumber != int64(t.Guard) {
			return nil
		}
		before := *x
		canceled, shown := x.Wait(now)
		ended = canceled || x.TimeOut(now)
		if !ended && !shown {
			return nil
		}
		e.saveChange(tx, &before, x)
		if shown {
			return e.saveQueue(tx, t.Scope.ID, q, before.NamespaceID)
		}
		job, err := tx.PeekJob(t.JobID)
		if err != nil {
			return err
		}
		if err := e.endPending(tx, q, x, job, counts, now); err != nil {
			return err
		}
		return e.saveQueue(tx, t.Scope.ID, q, before.NamespaceID)
	})
	if err != nil {
		return e.failed(err, t.JobID)
	}
	e.notify(hintsOf(events))
	if ended {
		e.unsettle(t.JobID)
	}
	return nil
}
