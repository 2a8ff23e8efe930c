package engine

import (
	"cmp"
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// unsettle asks for a look at whether jobs are complete, or to be aborted. It is asked after the commit
// that may have made them so, off the path of the device that reported: a thousand
// executions that end at once cost one look.
func (e *Engine) unsettle(jobs ...string) {
	if len(jobs) == 0 {
		return
	}
	e.mu.Lock()
	for _, id := range jobs {
		e.unsettled[id] = struct{}{}
	}
	e.mu.Unlock()
	poke(e.settle)
}

// Settle looks at the jobs that were asked for, aborts those that failed and completes
// those that are complete, and judges things that came and went. Run calls it; tests do.
func (e *Engine) Settle(ctx context.Context) error {
	failedToJudge := e.judgeConnections(ctx)
	e.mu.Lock()
	jobs, active := e.unsettled, e.activeUnsettled
	e.unsettled, e.activeUnsettled = make(map[string]struct{}), false
	e.mu.Unlock()
	var failed error
	if active {
		failed = e.settleActive(ctx)
	}
	for id := range jobs {
		if err := e.settleJob(ctx, id); err != nil {
			failed = err
			e.unsettle(id)
		}
	}
	return cmp.Or(failed, failedToJudge)
}

// settleJob aborts a job of which too much has failed, or completes one with nothing left to
// do and no execution pending. The counters are read outside the transaction; once a
// rollout is done they cannot rise from zero again.
func (e *Engine) settleJob(ctx context.Context, id string) error {
	job, err := e.store.Job(ctx, id)
	if err != nil || job == nil {
		return err
	}
	if job.Status == jobsvc.JobCompleted { // by its schedule, or before a crash
		return e.unlist(ctx, job)
	}
	mayAbort := job.AbortConfig != nil && job.Active()
	mayComplete := completable(job)
	if !mayAbort && !mayComplete {
		return nil
	}
	counts, err := e.store.Counts(ctx, id)
	if err != nil {
		return err
	}
	if mayAbort {
		if aborted, err := e.abort(ctx, job, &counts); err != nil || aborted {
			return err
		}
	}
	if !mayComplete || counts.Pending() > 0 {
		return nil
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, kv.Job(id), func(tx *store.Tx) error {
		j, err := tx.Job(id)
		if err != nil || j == nil || !completable(j) || !j.CreatedAt.Equal(job.CreatedAt) {
			return err
		}
		e.complete(tx, j, &counts, now)
		tx.PutJob(j)
		return nil
	})
	return cmp.Or(err, e.unlist(ctx, job))
}

// completable tells whether a job makes no further executions: it is SNAPSHOT, inside its
// windows if it has any, and rolled out; or it was stopped. A CONTINUOUS one waits for
// further things.
func completable(j *jobsvc.Job) bool {
	if j.Stopped {
		return j.Active()
	}
	return j.TargetSelection == jobsvc.TargetSnapshot && j.Status == jobsvc.JobInProgress && j.RolloutDone
}

// complete ends a job that has nothing left to do; the caller writes it. counts are those
// of its executions.
func (e *Engine) complete(tx *store.Tx, job *jobsvc.Job, counts *jobsvc.JobProcessDetails, now time.Time) {
	clearSchedule(tx, job)
	job.Status = jobsvc.JobCompleted
	job.CompletedAt = now
	job.LastUpdatedAt = now
	e.jobEvent(tx, jobsvc.EventCompleted, job, counts, now)
}

const (
	// settleRetry is how long Run waits after a failure.
	settleRetry = time.Second
	// settlePause is how long it waits between two looks. Under load executions end all
	// the time, and reading counters that change all the time is not cheap.
	settlePause = 20 * time.Millisecond
)

// Run does the engine's work in the background until ctx ends: first a look at every
// active job, since a crash may have come between a change and what follows from it,
// then at those that are asked for. It also forgets memberships that ended,
// and deletes jobs that were kept long enough.
func (e *Engine) Run(ctx context.Context) error {
	e.unsettleActive()
	for {
		err := e.forgetConnections(ctx)
		if err == nil {
			break
		}
		e.log.Error("look for what a crash left", "err", err)
		if !wait(ctx, settleRetry) {
			return nil
		}
	}
	forget := time.NewTimer(forgetPause)
	defer forget.Stop()
	retire := time.NewTimer(forgetPause)
	defer retire.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-forget.C:
			more, err := e.Forget(ctx)
			if err != nil && ctx.Err() == nil {
				e.log.Error("forget memberships that ended", "err", err)
			}
			if more {
				forget.Reset(forgetMore)
			} else {
				forget.Reset(forgetPause)
			}
			continue
		case <-retire.C:
			if err := e.Retire(ctx); err != nil && ctx.Err() == nil {
				e.log.Error("delete jobs that were kept long enough", "err", err)
			}
			retire.Reset(retirePause)
			continue
		case <-e.settle:
		}
		pause := settlePause
		if err := e.Settle(ctx); err != nil && ctx.Err() == nil {
			e.log.Error("settle jobs", "err", err)
			pause = settleRetry
		}
		if !wait(ctx, pause) {
			return nil
		}
	}
}

// unsettleActive asks for a look at every active job.
func (e *Engine) unsettleActive() {
	e.mu.Lock()
	e.activeUnsettled = true
	e.mu.Unlock()
	poke(e.settle)
}

// settlePage is how many active jobs are listed at a time.
const settlePage = 100

// settleActive settles all active jobs. One that fails is asked for again by itself, all
// are when they could not be listed.
func (e *Engine) settleActive(ctx context.Context) error {
	var failed error
	for from := (store.JobCursor{}); ; {
		active, more, err := e.store.ListJobs(ctx, from, settlePage, (*jobsvc.Job).Active)
		if err = cmp.Or(err, ctx.Err()); err != nil {
			e.unsettleActive()
			return err
		}
		for i := range active {
			if err := e.settleJob(ctx, active[i].ID); err != nil {
				failed = err
				e.unsettle(active[i].ID)
			}
			from = store.JobCursor{CreatedAt: active[i].CreatedAt, ID: active[i].ID}
		}
		if !more {
			return failed
		}
	}
}

// wait tells whether the time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
