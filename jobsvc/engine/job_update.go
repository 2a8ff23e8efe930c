package engine

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// UpdateJob changes the description and configurations of an active job. A new timeout
// is for executions that begin afterwards.
//
// Errors: CodeInvalidRequest, also for a job that is not SCHEDULED or IN_PROGRESS, and
// for a configuration the job's document cannot be signed with; CodeNotFound, also for
// another namespace than the job's.
//
// AWS: UpdateJob.
func (e *Engine) UpdateJob(ctx context.Context, r *jobsvc.UpdateJobRequest) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if err := e.limits.CheckConfig(r.JobConfig); err != nil {
		return err
	}
	if err := e.checkPresign(ctx, r); err != nil {
		return err
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, kv.Job(r.JobID), func(tx *store.Tx) error {
		job, err := jobIn(tx, r.JobID, r.NamespaceID)
		if err != nil {
			return err
		}
		if !job.Active() {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Job %s is %s and cannot be updated.", job.ID, job.Status)
		}
		r.Apply(job)
		if r.RolloutConfig != nil {
			if err := rateChanged(tx, job); err != nil {
				return err
			}
		}
		job.LastUpdatedAt = now
		tx.PutJob(job)
		return nil
	})
	if err != nil {
		return e.failed(err, r.JobID)
	}
	if r.AbortConfig != nil { // what has happened may meet the new criteria
		e.unsettle(r.JobID)
	}
	return nil
}

// checkPresign checks the document of a job, which never changes, against the
// configuration it is to be signed with.
func (e *Engine) checkPresign(ctx context.Context, r *jobsvc.UpdateJobRequest) error {
	if r.PresignedURLConfig == nil || e.opts.Documents == nil {
		return nil
	}
	job, doc, err := e.store.JobAndDocument(ctx, r.JobID)
	if err != nil {
		return storeError(err)
	}
	if !inNamespace(job, r.NamespaceID) {
		return jobNotFound(r.JobID)
	}
	return e.opts.Documents.Check(doc, r.PresignedURLConfig)
}
