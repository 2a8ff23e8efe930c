package engine

import (
	"context"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// AssociateTargetsWithJob adds targets to a CONTINUOUS job that is IN_PROGRESS. Things
// that the job does not cover yet get an execution in the background, after those the
// job is rolling out to already. All targets are added, or none.
//
// Errors: CodeInvalidRequest, also for a job that is not such; CodeNotFound for the job,
// also in another namespace, and for a target; CodeLimitExceeded for more than
// jobsvc.MaxTargets targets in sum.
//
// AWS: AssociateTargetsWithJob. Differs from AWS: targets may be things, not groups alone.
func (e *Engine) AssociateTargetsWithJob(ctx context.Context, r *jobsvc.AssociateTargetsWithJobRequest) (*jobsvc.Job, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if err := e.limits.CheckTargets(len(r.Targets)); err != nil {
		return nil, err
	}
	if err := e.checkQuota(ctx, e.limits.CheckConcurrent); err != nil {
		return nil, err
	}
	found, err := e.store.Job(ctx, r.JobID)
	if err != nil {
		return nil, storeError(err)
	}
	if !inNamespace(found, r.NamespaceID) {
		return nil, jobNotFound(r.JobID)
	}
	targets, err := e.existingTargets(ctx, r.Targets)
	if err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	var job *jobsvc.Job
	_, err = e.store.Update(ctx, kv.Job(r.JobID), func(tx *store.Tx) error {
		var err error
		if job, err = jobIn(tx, r.JobID, r.NamespaceID); err != nil {
			return err
		}
		switch {
		case job.TargetSelection != jobsvc.TargetContinuous:
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Job %s is %s: only CONTINUOUS jobs take further targets.", job.ID, job.TargetSelection)
		case job.Status != jobsvc.JobInProgress:
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Job %s is %s and takes no further targets.", job.ID, job.Status)
		}
		added := slices.DeleteFunc(slices.Clone(targets), func(arn string) bool { return slices.Contains(job.Targets, arn) })
		if err := e.limits.CheckTargets(len(job.Targets) + len(added)); err != nil {
			return err
		}
		if len(added) > 0 {
			if err := extendRollout(tx, job, added, now); err != nil {
				return err
			}
			job.Targets = append(job.Targets, added...)
		}
		if r.Comment != nil {
			job.Comment = *r.Comment
		}
		job.LastUpdatedAt = now
		tx.PutJob(job)
		return nil
	})
	if err != nil {
		return nil, e.failed(err)
	}
	poke(e.wake)
	return job, nil
}

// extendRollout puts further targets behind those of the rollout under way, or begins one
// for them. Who is a member of them is decided by now.
func extendRollout(tx *store.Tx, job *jobsvc.Job, targets []string, now time.Time) error {
	r, err := tx.Rollout(job.ID)
	if err != nil {
		return err
	}
	if r == nil {
		// Its steps must not be taken for those of the one before.
		r = &store.Rollout{Sources: []store.RolloutSource{}, Steps: uint64(now.UnixNano())}
	}
	r.Sources = sourcesOf(job, r)
	for _, arn := range targets {
		r.Sources = append(r.Sources, store.RolloutSource{ARN: arn, AsOf: now, Joined: true})
	}
	r.Steps++
	tx.PutRollout(job.ID, r)
	tx.SetTimer(store.JobTimer(store.TimerRollout, job.ID, job.CreatedAt))
	job.RolloutDone = false
	job.Concurrent = true
	return nil
}

// sourcesOf copies the sources of a rollout; they are the targets of the job when it has
// not made its first step.
func sourcesOf(job *jobsvc.Job, r *store.Rollout) []store.RolloutSource {
	if r.Sources != nil {
		return slices.Clone(r.Sources)
	}
	sources := make([]store.RolloutSource, len(job.Targets))
	for i, arn := range job.Targets {
		sources[i].ARN = arn
	}
	return sources
}
