package engine

import (
	"context"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// CreateJob stores a job and sets the timer that begins its rollout. It does not wait
// for the rollout: a million targets make it no slower.
//
// Errors: CodeInvalidRequest (a member out of bounds, a document that is not JSON or
// larger than jobsvc.MaxDocumentBytes, a placeholder that cannot be signed, a member
// this build cannot honour), CodeLimitExceeded for more than jobsvc.MaxTargets
// targets, CodeNotFound for a target that does not exist in this account,
// CodeAlreadyExists. A job ID is taken as long as its job is being deleted.
//
// AWS: CreateJob.
func (e *Engine) CreateJob(ctx context.Context, r *jobsvc.CreateJobRequest) (*jobsvc.Job, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	// What cannot change afterwards comes first: a repeated ID costs no fetch.
	existing, err := e.store.Job(ctx, r.JobID)
	if err != nil {
		return nil, storeError(err)
	}
	if existing != nil {
		return nil, e.jobExists(r.JobID)
	}
	targets, err := e.existingTargets(ctx, r.Targets)
	if err != nil {
		return nil, err
	}
	doc, err := e.document(ctx, r)
	if err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	job := &jobsvc.Job{
		ID:                 r.JobID,
		Status:             jobsvc.JobInProgress,
		TargetSelection:    jobsvc.TargetSnapshot,
		Targets:            targets,
		DocumentSource:     r.DocumentSource,
		PresignedURLConfig: r.PresignedURLConfig,
		TimeoutConfig:      r.TimeoutConfig,
		CreatedAt:          now,
		LastUpdatedAt:      now,
		Concurrent:         true,
	}
	if r.Description != nil {
		job.Description = *r.Description
	}
	if r.NamespaceID != nil {
		job.NamespaceID = *r.NamespaceID
	}
	_, err = e.store.Update(ctx, kv.Job(job.ID), func(tx *store.Tx) error {
		existing, err := tx.Job(job.ID)
		if err != nil {
			return err
		}
		if existing != nil {
			return e.jobExists(job.ID)
		}
		tx.CreateJob(job, doc)
		tx.PutRollout(job.ID, &store.Rollout{})
		// Every job starts by a timer, also one that starts now: there is one path.
		tx.SetTimer(store.JobTimer(store.TimerRollout, job.ID, now))
		return nil
	})
	if err != nil {
		return nil, e.failed(err)
	}
	poke(e.wake)
	return job, nil
}

func (e *Engine) jobExists(id string) error {
	return &jobsvc.Error{
		Code:        jobsvc.CodeAlreadyExists,
		Message:     "Job " + id + " already exists.",
		ResourceID:  id,
		ResourceARN: e.opts.Account.ARN(jobsvc.ARNJob, id),
	}
}

// existingTargets drops repeats and checks that every target is a thing or a thing
// group of this account.
func (e *Engine) existingTargets(ctx context.Context, arns []string) ([]string, error) {
	var targets []string
	for _, arn := range arns {
		if slices.Contains(targets, arn) {
			continue
		}
		kind, name, ok := e.opts.Account.Parse(arn)
		if ok {
			var err error
			if ok, err = e.targetExists(ctx, kind, name); err != nil {
				return nil, err
			}
		}
		if !ok {
			return nil, notFound("Target", arn)
		}
		targets = append(targets, arn)
	}
	return targets, nil
}

func (e *Engine) targetExists(ctx context.Context, kind, name string) (bool, error) {
	if !jobsvc.IsThingName(name) {
		return false, nil
	}
	switch kind {
	case jobsvc.ARNThing:
		return e.ThingExists(ctx, name)
	case jobsvc.ARNThingGroup:
		g, err := e.store.ThingGroup(ctx, name)
		return g != nil, storeError(err)
	}
	return false, nil
}

// document gets and checks the text of a new job's document.
func (e *Engine) document(ctx context.Context, r *jobsvc.CreateJobRequest) ([]byte, error) {
	var doc []byte
	switch {
	case r.Document != nil:
		doc = []byte(*r.Document)
	case e.opts.Documents == nil:
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "This server is not configured to fetch documentSource.")
	default:
		var err error
		if doc, err = e.opts.Documents.Fetch(ctx, r.DocumentSource); err != nil {
			return nil, err
		}
	}
	if err := jobsvc.ValidateDocument(doc); err != nil {
		return nil, err
	}
	if e.opts.Documents != nil {
		if err := e.opts.Documents.Check(doc, r.PresignedURLConfig); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

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
		if r != nil {
			d.ProcessDetails.ProcessingTargets = slices.Clone(j.Targets[min(r.Source, len(j.Targets)):])
		}
	}
	return d, nil
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

// GetJobDocument reads the document of a job as it was submitted, byte for byte, its
// placeholders untouched. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: GetJobDocument.
func (e *Engine) GetJobDocument(ctx context.Context, id string) ([]byte, error) {
	if err := jobsvc.ValidateJobID(id); err != nil {
		return nil, err
	}
	j, doc, err := e.store.JobAndDocument(ctx, id)
	if err == nil && j == nil {
		err = jobNotFound(id)
	}
	return doc, storeError(err)
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
	groups, _, err := e.store.ListThingGroups(ctx, "", "", 1, func(g *jobsvc.ThingGroup) bool { return g.ID == id })
	if err != nil {
		return nil, storeError(err)
	}
	if len(groups) == 0 {
		return nil, notFound("Thing group", id)
	}
	return &groups[0], nil
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
		leftovers := job.Status == jobsvc.JobCanceled && r.Force && !job.ForceCanceled
		if !job.Active() && !leftovers {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Job %s is %s and cannot be canceled.", job.ID, job.Status)
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

// dropRollout stops making executions: unreleased things never get one.
func dropRollout(tx *store.Tx, job *jobsvc.Job) {
	tx.DeleteRollout(job.ID)
	tx.ClearTimer(store.JobTimer(store.TimerRollout, job.ID, job.CreatedAt))
}

// DeleteJob deletes a job with its executions, in the background: it is
// DELETION_IN_PROGRESS, unknown to devices at once, and gone when the last execution
// is.
//
// Errors: CodeInvalidRequest; CodeNotFound, also for another namespace than the job's;
// CodeInvalidStateTransition for an active job without Force, and for one being deleted.
//
// AWS: DeleteJob.
func (e *Engine) DeleteJob(ctx context.Context, r *jobsvc.DeleteJobRequest) error {
	if err := jobsvc.ValidateJobID(r.JobID); err != nil {
		return err
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, kv.Job(r.JobID), func(tx *store.Tx) error {
		job, err := tx.Job(r.JobID)
		if err != nil {
			return err
		}
		if job == nil || r.NamespaceID != nil && *r.NamespaceID != job.NamespaceID {
			return jobNotFound(r.JobID)
		}
		if job.Status == jobsvc.JobDeletionInProgress || job.Active() && !r.Force {
			return jobsvc.Errorf(jobsvc.CodeInvalidStateTransition, "Job %s is %s and cannot be deleted.", job.ID, job.Status)
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
