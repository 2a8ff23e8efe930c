package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// ReconnectGrace is how long members that were connected before a start have.
const ReconnectGrace = reconnectGrace

// ForgetConnections is what Run begins with.
func (e *Engine) ForgetConnections(ctx context.Context) error { return e.forgetConnections(ctx) }

// UnsettleActive comes next.
func (e *Engine) UnsettleActive() { e.unsettleActive() }

// CloseWindow closes the maintenance window of a job, as its timer does. The next one is
// far away.
func CloseWindow(tx *store.Tx, job *jobsvc.Job, now time.Time) error {
	job.OpenedAt = now // it has begun
	return closeWindow(tx, job, now.AddDate(1, 0, 0), now)
}

// OpenWindow opens the next one.
func (e *Engine) OpenWindow(tx *store.Tx, job *jobsvc.Job, now time.Time) error {
	tx.ClearTimer(store.JobTimer(store.TimerStart, job.ID, job.StartsAt))
	job.StartsAt = time.Time{}
	return e.open(tx, job, now)
}

// MaxFollowing is how many jobs may follow a target.
const MaxFollowing = maxFollowing

// MaxCompiledPolicies bounds the policies kept ready to be evaluated.
const MaxCompiledPolicies = maxCompiledPolicies

// CompiledPolicies is how many are.
func (e *Engine) CompiledPolicies() int {
	e.compiledPolicies.mu.Lock()
	defer e.compiledPolicies.mu.Unlock()
	return len(e.compiledPolicies.docs)
}
