package engine

import (
	"context"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/rollout"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// A paced rollout releases things in windows of a minute, counted from its start or the
// last opening of its job. What a window may release is charged by the transaction that
// claims a chunk, before anything is made: whatever crashes when, no window has more than
// its rate. What turns out not to use it up (a thing that is gone, or had its execution
// before) is given back when the claim is closed. A window that was missed is not made up
// for.

func (e *Engine) rates() rollout.Rates {
	return rollout.Rates{Default: e.limits.RolloutDefault, Limit: e.limits.RolloutPerMinute}
}

// paced tells whether a rate holds a job back.
func (e *Engine) paced(j *jobsvc.Job) bool {
	_, paced := e.rates().PerMinute(j.RolloutConfig, 0)
	return paced
}

// ofRollout tells whether things of a source are those of the rollout itself, which a
// rate is about, and not such that joined later.
func (e *Engine) ofRollout(src *store.RolloutSource) bool {
	return !src.Joined || e.rules.PaceAssociatedTargets
}

// enterWindow gives a rollout in the window of now: as it is while its window lasts. A
// claim that somebody left open has used up what it was charged for in an earlier window,
// or may have: the new one is charged for all of it, and what there is no room for is not
// claimed any more. claimed are its things. The rollout is nil when it has moved on.
func (e *Engine) enterWindow(ctx context.Context, job *jobsvc.Job, r *store.Rollout, claimed []member) (*store.Rollout, []member, error) {
	now, err := e.now(ctx)
	if err != nil {
		return nil, nil, err
	}
	start := rollout.WindowStart(rollout.Origin(job), now)
	if !start.After(r.WindowStart) {
		return r, claimed, nil
	}
	var succeeded int64
	if x := job.RolloutConfig; x != nil && x.ExponentialRate != nil && x.ExponentialRate.RateIncreaseCriteria.NumberOfSucceededThings > 0 {
		counts, err := e.store.Counts(ctx, job.ID)
		if err != nil {
			return nil, nil, err
		}
		succeeded = counts.Succeeded
	}
	next := *r
	next.WindowStart = start
	next.Increases = max(r.Increases, rollout.Increases(job.RolloutConfig, r.Notified, succeeded))
	next.Rate, _ = e.rates().PerMinute(job.RolloutConfig, next.Increases)
	next.Left = next.Rate
	if len(claimed) > 0 && e.ofRollout(&r.Sources[r.Source]) {
		claimed = claimed[:min(int64(len(claimed)), next.Left)]
		next.Claimed = claimed[len(claimed)-1].name
		next.Left -= int64(len(claimed))
		next.ChargedAt = now
	}
	entered, err := e.putRollout(ctx, job.ID, r, &next, nil)
	return entered, claimed, err
}

// room is how many things a rollout may release now: what its window has left, or where
// releases are spread over the window, what of that has come by now.
func (e *Engine) room(r *store.Rollout, now time.Time) int64 {
	if !e.rules.SmoothRollout {
		return r.Left
	}
	return min(r.Left, rollout.Slots(r.Rate, now.Sub(r.WindowStart))-(r.Rate-r.Left))
}

// nextRoom is when there is room again.
func (e *Engine) nextRoom(r *store.Rollout) time.Time {
	if !e.rules.SmoothRollout || r.Left <= 0 {
		return r.WindowStart.Add(rollout.Window)
	}
	return r.WindowStart.Add(rollout.Slot(r.Rate, r.Rate-r.Left))
}

// awaitWindow moves the timer of a rollout to when there is room again: at the start of the
// next window, mostly.
func (e *Engine) awaitWindow(ctx context.Context, t store.Timer, job *jobsvc.Job, r, next *store.Rollout) error {
	next.Due = e.nextRoom(next)
	_, err := e.putRollout(ctx, job.ID, r, next, func(tx *store.Tx, j *jobsvc.Job) {
		tx.ClearTimer(t)
		tx.ClearTimer(r.Timer(j))
		tx.SetTimer(next.Timer(j))
		tx.PutRollout(job.ID, next)
	})
	return err
}

// closeClaim gives a rollout whose claimed chunk is done.
func closeClaim(r *store.Rollout) *store.Rollout {
	closed := *r
	closed.Sources = slices.Clone(r.Sources)
	if r.Claimed != "" {
		closed.Done, closed.Claimed = r.Claimed, ""
		closed.ClaimedAt, closed.ChargedAt = time.Time{}, time.Time{}
	}
	return &closed
}

// turn takes up the next source: those that joined first, since they do not wait. It
// tells whether there is one.
func (w *walk) turn(r *store.Rollout) bool {
	next := -1
	for i := range r.Sources {
		if src := &r.Sources[i]; !src.Ended && (next < 0 || !w.e.ofRollout(src) && w.e.ofRollout(&r.Sources[next])) {
			next = i
		}
	}
	if next < 0 {
		return false
	}
	if next != r.Source {
		if r.Source < len(r.Sources) {
			r.Sources[r.Source].Done = r.Done
		}
		r.Source, r.Done = next, r.Sources[next].Done
	}
	return true
}

// unused is left, as an event, by the transaction of a thing that did not use up what its
// window was charged for.
type unused struct {
	// notified: it had its execution from the same claim, in an earlier window.
	notified bool
}

// released counts what became of a chunk.
type released struct {
	notified int64 // things that have their first execution from the rollout
	unused   int64 // what the window was charged too much for
}

// count enters what became of the claimed chunk.
func (e *Engine) count(r *store.Rollout, n released) {
	if e.ofRollout(&r.Sources[r.Source]) {
		r.Notified += n.notified
		r.Left += n.unused
	}
}

// claim is what making the executions of a chunk goes by.
type claim struct {
	// When it was claimed, and when its window was charged for it: what was made from then
	// on may have been made by it.
	claimedAt, chargedAt time.Time
	// The targets that are yet to be walked by a rate, when this chunk is of one that was
	// associated later and does not wait for it.
	waiting []string
}

// claimOf is the open claim of a rollout. Who claimed it just now says so by 1: nothing was
// made by it yet, at that very time neither.
func (e *Engine) claimOf(job *jobsvc.Job, r *store.Rollout, fresh time.Duration) claim {
	c := claim{claimedAt: r.ClaimedAt.Add(fresh), chargedAt: r.ChargedAt.Add(fresh)}
	if e.paced(job) && !e.ofRollout(&r.Sources[r.Source]) {
		for i := range r.Sources {
			if src := &r.Sources[i]; !src.Ended && e.ofRollout(src) {
				c.waiting = append(c.waiting, src.ARN)
			}
		}
	}
	return c
}

// checkUsed looks, for a thing that got no execution now, whether the claim made one
// before. Nothing is given back that may have been used: one that was deleted
// meanwhile was. In a CONTINUOUS job, where a thing may have come back, it is the latest
// that tells, in others the first.
func (c claim) checkUsed(tx *store.Tx, thing string, job *jobsvc.Job) error {
	q, err := tx.Queue(thing)
	if err != nil {
		return err
	}
	made := q.Find(job.ID)
	switch {
	case job.TargetSelection == jobsvc.TargetContinuous:
		if made != nil {
			break
		}
		last, err := tx.LastAttempt(thing, job.ID)
		if err != nil || last.Number > 0 && last.Execution == nil {
			return err
		}
		made = last.Execution
	case made == nil || made.ExecutionNumber != 1:
		if made, err = tx.Ended(thing, job.ID, 1); err != nil {
			return err
		}
		if made == nil {
			if was, err := tx.Was(thing, job.ID, 1); err != nil || was {
				return err
			}
		}
	}
	if made == nil {
		tx.After(unused{})
	} else if at := made.QueuedAt; at.Before(c.chargedAt) {
		tx.After(unused{notified: !at.Before(c.claimedAt)})
	}
	return nil
}

// rateChanged lets the next window of a rollout go by the new configuration of its job:
// how often the rate has grown is found anew. A step under way is void. The caller writes
// the job.
func rateChanged(tx *store.Tx, job *jobsvc.Job) error {
	job.Pace.Increases = 0
	r, err := tx.Rollout(job.ID)
	if err != nil || r == nil {
		return err
	}
	r.Increases = 0
	r.Steps++
	tx.PutRollout(job.ID, r)
	return nil
}
