package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// Timers lists the stored timers of jobs, then those of executions, each by due time
// and at most limit of them.
func (e *Engine) Timers(ctx context.Context, limit int) ([]store.Timer, error) {
	return e.store.Timers(ctx, time.Time{}, limit)
}

// TimersFrom is Timers without the executions' timers that are due before from.
func (e *Engine) TimersFrom(ctx context.Context, from time.Time, limit int) ([]store.Timer, error) {
	return e.store.Timers(ctx, from, limit)
}

// Now is the time the engine decides by.
func (e *Engine) Now(ctx context.Context) (time.Time, error) { return e.now(ctx) }

// Fire does what a due timer is for. What is then left to do has a timer again (the
// same one, for the next step of a rollout), so firing until no timer is due does
// everything. Firing a timer twice, too early, or when it is there no more, is harmless.
func (e *Engine) Fire(ctx context.Context, t store.Timer, now time.Time) error {
	if now.Before(t.Due) {
		return nil
	}
	var err error
	switch t.Kind {
	case store.TimerStart:
		err = e.stepStart(ctx, t)
	case store.TimerClose:
		err = e.stepClose(ctx, t)
	case store.TimerEnd:
		err = e.stepEnd(ctx, t)
	case store.TimerWindow:
		err = e.stepWindow(ctx, t)
	case store.TimerRollout:
		err = e.stepRollout(ctx, t)
	case store.TimerCancel:
		err = e.stepCancel(ctx, t)
	case store.TimerDelete:
		err = e.stepDelete(ctx, t)
	case store.TimerGroup:
		err = e.stepGroup(ctx, t)
	case store.TimerDynamic:
		err = e.stepDynamic(ctx, t)
	case store.TimerTimeout:
		err = e.stepTimeout(ctx, t, now)
	default:
		err = fmt.Errorf("a kind of timer this program does not know")
	}
	if err != nil {
		return fmt.Errorf("fire timer %c of %s for job %s: %w", t.Kind, t.Scope, t.JobID, err)
	}
	return nil
}

// dropTimer takes away a timer that has nothing to do any more.
func (e *Engine) dropTimer(ctx context.Context, t store.Timer) error {
	_, err := e.store.Update(ctx, t.Scope, func(tx *store.Tx) error {
		tx.ClearTimer(t)
		return nil
	})
	return err
}
