package engine

import (
	"context"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// CreateJob stores a job and sets the timer that begins its rollout. It does not wait
// for the rollout: a million targets make it no slower.
//
// Errors: CodeInvalidRequest (a member out of bounds, a document that is not JSON or
// larger than jobsvc.MaxDocumentBytes, a placeholder that cannot be signed, a schedule
// that never begins), CodeLimitExceeded for more than jobsvc.MaxTargets targets or
// jobsvc.MaxTags tags, CodeNotFound for a target that does not exist in this account,
// CodeAlreadyExists. A job ID is taken as long as its job is being deleted.
//
// AWS: CreateJob.
func (e *Engine) CreateJob(ctx context.Context, r *jobsvc.CreateJobRequest) (*jobsvc.Job, error) {
	r, err := e.withTemplate(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if err := e.checkJob(ctx, r); err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	starts, err := e.firstStart(r, now)
	if err != nil {
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
	if e.opts.Documents != nil {
		if err := e.opts.Documents.Check(doc, r.PresignedURLConfig); err != nil {
			return nil, err
		}
		if err := e.opts.Documents.Verify(ctx, doc, r.PresignedURLConfig); err != nil {
			return nil, err
		}
	}
	job := newJob(r, targets, now)
	if err := scheduleNew(job, starts); err != nil {
		return nil, err
	}
	err = e.storeTargets(ctx, job, targets, func(tx *store.Tx) error {
		existing, err := tx.Job(job.ID)
		if err != nil {
			return err
		}
		if existing != nil {
			return e.jobExists(job.ID)
		}
		tx.CreateJob(job, doc)
		tx.PutTags(store.Resource{Kind: jobsvc.ARNJob, Name: job.ID}, r.Tags)
		armSchedule(tx, job)
		if job.Status == jobsvc.JobInProgress {
			beginRollout(tx, job)
		}
		return nil
	})
	if err != nil {
		return nil, e.failed(err)
	}
	poke(e.wake)
	return job, nil
}

// checkJob checks a request for a job against the installation's limits.
func (e *Engine) checkJob(ctx context.Context, r *jobsvc.CreateJobRequest) error {
	if err := e.limits.CheckTargets(len(r.Targets)); err != nil {
		return err
	}
	if err := e.limits.CheckConfig(r.Config()); err != nil {
		return err
	}
	if r.SchedulingConfig != nil {
		if err := e.limits.CheckWindows(len(r.SchedulingConfig.MaintenanceWindows)); err != nil {
			return err
		}
	}
	return e.checkQuota(ctx, func(c jobsvc.JobCounts) error {
		return e.limits.CheckCreate(c, r.TargetSelection, r.SchedulingConfig == nil)
	})
}

// checkQuota checks a quota of jobs, if there is any.
func (e *Engine) checkQuota(ctx context.Context, check func(jobsvc.JobCounts) error) error {
	l := &e.limits
	if l.ActiveSnapshotJobs == 0 && l.ActiveContinuousJobs == 0 && l.ConcurrentJobs == 0 && l.DeletingJobs == 0 {
		return nil
	}
	counts, err := e.store.JobCounts(ctx)
	if err != nil {
		return storeError(err)
	}
	return check(counts)
}

// newJob is the job of a request, as one that begins at once.
func newJob(r *jobsvc.CreateJobRequest, targets []string, now time.Time) *jobsvc.Job {
	job := &jobsvc.Job{
		ID:                         r.JobID,
		Status:                     jobsvc.JobInProgress,
		TargetSelection:            r.TargetSelection,
		Targets:                    targets,
		DocumentSource:             r.DocumentSource,
		PresignedURLConfig:         r.PresignedURLConfig,
		TimeoutConfig:              r.TimeoutConfig,
		RolloutConfig:              r.RolloutConfig,
		AbortConfig:                r.AbortConfig,
		RetryConfig:                r.RetryConfig,
		SchedulingConfig:           r.SchedulingConfig,
		JobTemplateARN:             r.JobTemplateARN,
		DocumentParameters:         r.DocumentParameters,
		DestinationPackageVersions: r.DestinationPackageVersions,
		CreatedAt:                  now,
		LastUpdatedAt:              now,
		Concurrent:                 true,
	}
	if job.TargetSelection == "" {
		job.TargetSelection = jobsvc.TargetSnapshot
	}
	if r.Description != nil {
		job.Description = *r.Description
	}
	if r.NamespaceID != nil {
		job.NamespaceID = *r.NamespaceID
	}
	return job
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

// document gets the text of the document of a new job or template. Its placeholders are
// left to be checked.
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
	if err := e.limits.CheckDocument(doc); err != nil {
		return nil, err
	}
	return doc, nil
}
