package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Each target has a list of the CONTINUOUS jobs that have it, which changes of memberships
// go by. A job is put there before it is stored with the target, and the transaction that
// stores it sees to it that it is still there: from that commit on no change misses it. An
// entry of a job that has ended, or was never stored, is harmless. It goes when the job
// has ended, and else when another one is put there.

// maxFollowing is how many jobs a list may have: each change of a membership looks at all
// of them.
const maxFollowing = 1000

// errUnlisted comes from a transaction that finds its job not on the lists.
var errUnlisted = errors.New("engine: the job is not on the lists of its targets")

// storeTargets runs the transaction that stores a job with targets: of a CONTINUOUS one
// when it is on their lists. Errors: CodeLimitExceeded when there is no room.
func (e *Engine) storeTargets(ctx context.Context, job *jobsvc.Job, targets []string, fn func(*store.Tx) error) error {
	if job.TargetSelection != jobsvc.TargetContinuous {
		_, err := e.store.Update(ctx, kv.Job(job.ID), fn)
		return err
	}
	for {
		if err := e.changeLists(ctx, targets, job.ID); err != nil {
			return err
		}
		_, err := e.store.Update(ctx, kv.Job(job.ID), func(tx *store.Tx) error {
			// Whoever cleaned up a list before the job was there may have taken it off.
			if err := e.mustBeListed(tx, job.ID, targets); err != nil {
				return err
			}
			return fn(tx)
		})
		if err == errUnlisted {
			continue
		}
		if err != nil {
			if failed := e.changeLists(ctx, targets, ""); failed != nil {
				e.log.Warn("a job that was not stored stays on the lists of its targets", "job", job.ID, "err", failed)
			}
		}
		return err
	}
}

func (e *Engine) mustBeListed(tx *store.Tx, id string, targets []string) error {
	lists, err := tx.PeekTargetJobs(e.targetsOf(targets))
	if err != nil {
		return err
	}
	for _, l := range lists {
		if !slices.Contains(l, id) {
			return errUnlisted
		}
	}
	return nil
}

// unlist takes a job that has ended off the lists of its targets.
func (e *Engine) unlist(ctx context.Context, job *jobsvc.Job) error {
	if job.TargetSelection != jobsvc.TargetContinuous {
		return nil
	}
	return e.changeLists(ctx, job.Targets, "")
}

func (e *Engine) targetsOf(arns []string) []store.Target {
	targets := make([]store.Target, len(arns))
	for i, arn := range arns {
		targets[i].Kind, targets[i].Name, _ = e.opts.Account.Parse(arn)
	}
	return targets
}

// changeLists takes off the lists of targets what does not belong there, and adds a job
// unless that is "".
func (e *Engine) changeLists(ctx context.Context, arns []string, add string) error {
	ops := make([]store.Op, len(arns))
	for i, target := range e.targetsOf(arns) {
		ops[i] = store.Op{Scope: store.TargetScope(target), Fn: func(tx *store.Tx) error {
			jobs, err := tx.TargetJobs(target)
			if err != nil {
				return err
			}
			var kept []string
			for _, id := range jobs {
				job, err := tx.PeekJob(id)
				if err != nil {
					return err
				}
				if id == add || job != nil && job.Follows() && slices.Contains(job.Targets, arns[i]) {
					kept = append(kept, id)
				}
			}
			if add != "" && !slices.Contains(kept, add) {
				if len(kept) >= maxFollowing {
					return jobsvc.Errorf(jobsvc.CodeLimitExceeded, "%s is a target of %d CONTINUOUS jobs, which is as many as there may be.", arns[i], len(kept))
				}
				kept = append(kept, add)
			}
			if !slices.Equal(kept, jobs) {
				tx.PutTargetJobs(target, kept)
			}
			return nil
		}}
	}
	var failed error
	for _, res := range e.store.UpdateMany(ctx, ops) {
		failed = cmp.Or(failed, res.Err)
	}
	return failed
}
