package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// CancelJobExecution ends a thing's latest execution of a job: one that is QUEUED, with
// Force one that is IN_PROGRESS too.
//
// Errors: CodeInvalidRequest, CodeNotFound, CodeVersionMismatch,
// CodeInvalidStateTransition.
//
// AWS: CancelJobExecution.
func (e *Engine) CancelJobExecution(ctx context.Context, r *jobsvc.CancelJobExecutionRequest) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if err := e.limits.CheckStatusDetails(r.StatusDetails); err != nil {
		return err
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	events, err := e.store.Update(ctx, kv.Thing(r.ThingName), func(tx *store.Tx) error {
		q, err := tx.Queue(r.ThingName)
		if err != nil {
			return err
		}
		x, err := latest(tx, q, r.ThingName, r.JobID)
		if err != nil {
			return err
		}
		before := *x
		if err := x.CancelRequested(r, now); err != nil {
			return err
		}
		ended := *x
		e.saveChange(tx, &before, &ended)
		q.Remove(r.JobID)
		return e.saveQueue(tx, r.ThingName, q, ended.NamespaceID)
	})
	if err != nil {
		return e.failed(err, r.JobID)
	}
	e.notify(hintsOf(events))
	e.unsettle(r.JobID)
	return nil
}

// latest finds the latest execution a thing has of a job: the one in its queue, or a copy
// of the last ended one. Errors: CodeNotFound.
func latest(tx *store.Tx, q *jobsvc.Queue, name, jobID string) (*jobsvc.JobExecution, error) {
	job, err := tx.PeekJob(jobID)
	if err != nil {
		return nil, err
	}
	if job == nil || job.Status == jobsvc.JobDeletionInProgress {
		return nil, jobNotFound(jobID)
	}
	if x := q.Find(jobID); x != nil {
		return asSwept(x, job), nil
	}
	thing, err := tx.Thing(name)
	if err != nil {
		return nil, err
	}
	if thing == nil {
		return nil, thingNotFound(name)
	}
	x, err := tx.LastEnded(name, jobID)
	// A thing made again under an old name has not done what the old one did.
	if err == nil && (x == nil || x.ThingID != thing.ID) {
		err = executionNotFound(name, jobID)
	}
	return x, err
}

// DeleteJobExecution deletes one execution: in any status with Force, else one that is
// not IN_PROGRESS. It leaves the counters and the device's queue, and can complete its
// job. Its number is not used again as long as the job is there.
//
// Errors: CodeInvalidRequest; CodeNotFound, also for another namespace than the job's;
// CodeInvalidStateTransition.
//
// AWS: DeleteJobExecution.
func (e *Engine) DeleteJobExecution(ctx context.Context, r *jobsvc.DeleteJobExecutionRequest) error {
	if err := r.Validate(); err != nil {
		return err
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	events, err := e.store.Update(ctx, kv.Thing(r.ThingName), func(tx *store.Tx) error {
		// Peek: a delete of the job that was committed before us is seen; its sweep finds
		// the mark that was committed before it.
		job, err := tx.PeekJob(r.JobID)
		if err != nil {
			return err
		}
		if !inNamespace(job, r.NamespaceID) || job.Status == jobsvc.JobDeletionInProgress {
			return jobNotFound(r.JobID)
		}
		q, err := tx.Queue(r.ThingName)
		if err != nil {
			return err
		}
		if x := q.Find(r.JobID); x != nil && x.ExecutionNumber == r.ExecutionNumber {
			return e.deletePending(tx, q, x, job, r.Force, now)
		}
		x, err := tx.Ended(r.ThingName, r.JobID, r.ExecutionNumber)
		if err != nil {
			return err
		}
		if x == nil {
			return jobsvc.Errorf(jobsvc.CodeNotFound, "Thing %s has no execution %d of job %s.", r.ThingName, r.ExecutionNumber, r.JobID)
		}
		tx.IndexExecution(x, x.Status, "")
		tx.MarkDeleted(x)
		e.deletedEvent(tx, x, now)
		return nil
	})
	if err != nil {
		return e.failed(err, r.JobID)
	}
	e.notify(hintsOf(events))
	e.unsettle(r.JobID)
	return nil
}

func (e *Engine) deletePending(tx *store.Tx, q *jobsvc.Queue, x *jobsvc.JobExecution, job *jobsvc.Job, force bool, now time.Time) error {
	if s := asSwept(x, job).Status; s == jobsvc.StatusInProgress && !force {
		return jobsvc.Errorf(jobsvc.CodeInvalidStateTransition, "The execution of job %s is %s: it can be deleted with force only.", x.JobID, s)
	}
	before := *x
	q.Remove(x.JobID)
	clearTimeout(tx, &before)
	tx.IndexExecution(&before, before.Status, "")
	tx.MarkDeleted(&before)
	e.deletedEvent(tx, &before, now)
	return e.saveQueue(tx, before.ThingName, q, before.NamespaceID)
}
