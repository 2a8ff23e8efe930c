package engine

import (
	"context"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// DescribeJob reads a job, in any status, with the counts of its executions. Errors:
// CodeInvalidRequest, CodeNotFound.
//
// AWS: DescribeJob.
func (e *Engine) DescribeJob(ctx context.Context, id string) (*jobsvc.JobDescription, error) {
	j, err := e.job(ctx, id)
	if err != nil {
		return nil, err
	}
	d := &jobsvc.JobDescription{Job: *j}
	if d.ProcessDetails, err = e.store.Counts(ctx, id); err != nil {
		return nil, storeError(err)
	}
	if j.Status == jobsvc.JobInProgress && !j.RolloutDone {
		r, err := e.store.Rollout(ctx, id)
		if err != nil {
			return nil, storeError(err)
		}
		d.ProcessDetails.ProcessingTargets = processing(j, r)
	}
	d.ScheduledRollouts, err = e.openings(ctx, j)
	return d, err
}

// processing lists the targets of a rollout whose last thing has not been reached.
func processing(j *jobsvc.Job, r *store.Rollout) []string {
	switch {
	case r == nil:
		return nil
	case r.Sources == nil:
		return slices.Clone(j.Targets)
	}
	var targets []string
	for i := range r.Sources {
		if src := &r.Sources[i]; !src.Ended {
			targets = append(targets, src.ARN)
		}
	}
	return targets
}

func (e *Engine) job(ctx context.Context, id string) (*jobsvc.Job, error) {
	if err := jobsvc.ValidateJobID(id); err != nil {
		return nil, err
	}
	j, err := e.store.Job(ctx, id)
	if err == nil && j == nil {
		err = jobNotFound(id)
	}
	return j, storeError(err)
}

// GetJobDocument reads the document of a job, byte for byte, its placeholders for
// presigned URLs untouched: those are for devices. beforeSubstitution asks for the text
// of a managed template as it was before the parameters went in; every other document
// is the same before and after. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: GetJobDocument.
func (e *Engine) GetJobDocument(ctx context.Context, id string, beforeSubstitution bool) ([]byte, error) {
	if err := jobsvc.ValidateJobID(id); err != nil {
		return nil, err
	}
	j, doc, err := e.store.JobAndDocument(ctx, id)
	if err == nil && j == nil {
		err = jobNotFound(id)
	}
	if err != nil {
		return nil, storeError(err)
	}
	if t, ok := e.managedTemplate(j.JobTemplateARN); ok && t != nil && beforeSubstitution {
		return []byte(t.Document), nil
	}
	return doc, nil
}

// ListJobs lists jobs, newest first. Errors: CodeInvalidRequest, CodeNotFound for an
// unknown group.
//
// AWS: ListJobs. Differs from AWS: SCHEDULED jobs are there too when filtering by
// group, and the order is by creation.
func (e *Engine) ListJobs(ctx context.Context, r *jobsvc.ListJobsRequest) (*jobsvc.ListJobsResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	if r.Status != "" && !r.Status.Valid() {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "status %q is not a status of a job.", r.Status)
	}
	switch r.TargetSelection {
	case "", jobsvc.TargetSnapshot, jobsvc.TargetContinuous:
	default:
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "targetSelection must be SNAPSHOT or CONTINUOUS, not %q.", r.TargetSelection)
	}
	res := &jobsvc.ListJobsResult{}
	target := ""
	if r.ThingGroupName != "" || r.ThingGroupID != "" {
		g, err := e.groupOfFilter(ctx, r.ThingGroupName, r.ThingGroupID)
		if err != nil {
			return nil, err
		}
		target = e.opts.Account.ARN(jobsvc.ARNThingGroup, g.Name)
		res.ThingGroupID = g.ID
	}
	filters := []any{"jobs", r.Status, r.TargetSelection, target, r.NamespaceID}
	var from store.JobCursor
	if err := e.decodeToken(r.Page.Token, filters, &from); err != nil {
		return nil, err
	}
	keep := func(j *jobsvc.Job) bool {
		return (r.Status == "" || j.Status == r.Status) &&
			(r.TargetSelection == "" || j.TargetSelection == r.TargetSelection) &&
			(r.NamespaceID == "" || j.NamespaceID == r.NamespaceID) &&
			(target == "" || slices.Contains(j.Targets, target))
	}
	jobs, more, err := e.store.ListJobs(ctx, from, r.Page.Size(), keep)
	if err != nil {
		return nil, storeError(err)
	}
	res.Jobs = jobs
	if more {
		last := jobs[len(jobs)-1]
		res.NextToken = e.encodeToken(filters, store.JobCursor{CreatedAt: last.CreatedAt, ID: last.ID})
	}
	return res, nil
}

// groupOfFilter finds the group a list is filtered by, by name, by ID, or both.
func (e *Engine) groupOfFilter(ctx context.Context, name, id string) (*jobsvc.ThingGroup, error) {
	if name != "" {
		g, err := e.thingGroup(ctx, name)
		if err == nil && id != "" && g.ID != id {
			err = jobsvc.Errorf(jobsvc.CodeInvalidRequest, "thingGroupName and thingGroupId are not of the same group.")
		}
		return g, err
	}
	g, err := e.store.ThingGroupWithID(ctx, id)
	if err == nil && g == nil {
		err = notFound("Thing group", id)
	}
	return g, storeError(err)
}

// CancelJob ends a job. From its commit on no device can begin an execution of it; the
// sweep that turns its QUEUED executions CANCELED (with Force those IN_PROGRESS too)
// follows. Without Force devices may finish what they have begun. A CANCELED job
// takes one more cancel with Force, to sweep what is left.
//
// Errors: CodeInvalidRequest, also for a job that is not SCHEDULED or IN_PROGRESS;
// CodeNotFound.
//
// AWS: CancelJob.
func (e *Engine) CancelJob(ctx context.Context, r *jobsvc.CancelJobRequest) (*jobsvc.Job, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	full := e.checkQuota(ctx, e.limits.CheckConcurrent)
	if full != nil && jobsvc.ErrorCode(full) != jobsvc.CodeLimitExceeded {
		return nil, full
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	var job *jobsvc.Job
	_, err = e.store.Update(ctx, kv.Job(r.JobID), func(tx *store.Tx) error {
		j, err := tx.Job(r.JobID)
		if err != nil {
			return err
		}
		if j == nil {
			return jobNotFound(r.JobID)
		}
		job = j
		leftovers := e.rules.ForceAfterCancel && job.Status == jobsvc.JobCanceled && r.Force && !job.ForceCanceled
		if !job.Active() && !leftovers {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Job %s is %s and cannot be canceled.", job.ID, job.Status)
		}
		if full != nil && !job.Concurrent { // a cancel makes it concurrent
			return full
		}
		e.cancel(tx, job, r.Force, now)
		if r.ReasonCode != nil {
			job.ReasonCode = *r.ReasonCode
		}
		if r.Comment != nil {
			job.Comment = *r.Comment
		}
		tx.PutJob(job)
		return nil
	})
	if err != nil {
		return nil, e.failed(err)
	}
	poke(e.wake)
	return job, nil
}

// cancel ends a job's rollout and sets the timer of its sweep; the caller writes the
// job.
func (e *Engine) cancel(tx *store.Tx, job *jobsvc.Job, force bool, now time.Time) {
	dropRollout(tx, job)
	job.Status = jobsvc.JobCanceled
	job.ForceCanceled = job.ForceCanceled || force
	job.Concurrent = true
	job.LastUpdatedAt = now
	tx.SetTimer(store.JobTimer(store.TimerCancel, job.ID, job.CreatedAt))
}

// dropRollout stops making executions: unreleased things never get one, and a SCHEDULED
// job does not begin.
func dropRollout(tx *store.Tx, job *jobsvc.Job) {
	clearStart(tx, job)
	if r, err := tx.Rollout(job.ID); err == nil && r != nil { // else the timer goes by itself when it is due
		tx.ClearTimer(r.Timer(job))
	}
	tx.DeleteRollout(job.ID)
	tx.ClearTimer(store.JobTimer(store.TimerRollout, job.ID, job.CreatedAt))
}

// DeleteJob deletes a job with its executions, in the background: it is
// DELETION_IN_PROGRESS, unknown to devices at once, and gone when the last execution
// is.
//
// Errors: CodeInvalidRequest; CodeNotFound, also for another namespace than the job's;
// CodeInvalidStateTransition for an active job without Force, and for one being deleted;
// CodeLimitExceeded for more than Limits.DeletingJobs at a time.
//
// AWS: DeleteJob.
func (e *Engine) DeleteJob(ctx context.Context, r *jobsvc.DeleteJobRequest) error {
	if err := jobsvc.ValidateJobID(r.JobID); err != nil {
		return err
	}
	full := e.checkQuota(ctx, e.limits.CheckDelete)
	if full != nil && jobsvc.ErrorCode(full) != jobsvc.CodeLimitExceeded {
		return full
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
		if job.Status == jobsvc.JobDeletionInProgress || job.Active() && !r.Force {
			return jobsvc.Errorf(jobsvc.CodeInvalidStateTransition, "Job %s is %s and cannot be deleted.", job.ID, job.Status)
		}
		if full != nil { // the job's own state is judged first
			return full
		}
		dropRollout(tx, job)
		tx.ClearTimer(store.JobTimer(store.TimerCancel, job.ID, job.CreatedAt))
		job.Status = jobsvc.JobDeletionInProgress
		job.Concurrent = false
		job.LastUpdatedAt = now
		tx.PutJob(job)
		tx.SetTimer(store.JobTimer(store.TimerDelete, job.ID, job.CreatedAt))
		return nil
	})
	if err != nil {
		return e.failed(err)
	}
	poke(e.wake)
	return nil
}

// jobIn reads the job of the transaction's scope, for an operation that may name its
// namespace: one that names another does not find it. Errors: CodeNotFound.
func jobIn(tx *store.Tx, id string, namespace *string) (*jobsvc.Job, error) {
	job, err := tx.Job(id)
	if err == nil && !inNamespace(job, namespace) {
		err = jobNotFound(id)
	}
	return job, err
}

func inNamespace(job *jobsvc.Job, namespace *string) bool {
	return job != nil && (namespace == nil || *namespace == job.NamespaceID)
}
