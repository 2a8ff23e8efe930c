package engine

import (
	"context"
	"reflect"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/rollout"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// reasonAborted is the reasonCode of a job that met a criterion of its abortConfig.
const reasonAborted = "JOB_ABORT_CRITERIA_MET"

// abort cancels an active job whose executions meet its abortConfig, and tells whether it
// is canceled, or no longer what was read: it is looked at before completion. The effect
// is that of CancelJob without force. The counters are read outside the transaction:
// what is counted later asks for another look.
func (e *Engine) abort(ctx context.Context, job *jobsvc.Job, counts *jobsvc.JobProcessDetails) (bool, error) {
	met := rollout.ShouldAbort(job.AbortConfig, counts)
	if met == nil {
		return false, nil
	}
	now, err := e.now(ctx)
	if err != nil {
		return false, err
	}
	_, err = e.store.Update(ctx, kv.Job(job.ID), func(tx *store.Tx) error {
		j, err := tx.Job(job.ID)
		// Of a configuration that was replaced since, another look is asked for.
		if err != nil || j == nil || !j.Active() || !j.CreatedAt.Equal(job.CreatedAt) || !reflect.DeepEqual(j.AbortConfig, job.AbortConfig) {
			return err
		}
		e.cancel(tx, j, false, now)
		j.ReasonCode = reasonAborted
		j.Comment = met.String()
		tx.PutJob(j)
		return nil
	})
	if err != nil {
		return false, err
	}
	e.log.Info("job aborted", "job", job.ID, "criterion", met.String())
	poke(e.wake)
	return true, nil
}
