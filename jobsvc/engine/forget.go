package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

const (
	// forgetAfter is how long a membership that ended is remembered at least: a job may be
	// about to be stored whose time is earlier than now.
	forgetAfter = time.Minute
	// forgetPause is how long Run waits between two looks when there is no more to forget,
	// forgetMore when there is.
	forgetPause = time.Minute
	forgetMore  = 100 * time.Millisecond
)

// Forget takes away what is remembered of memberships that ended, as far as no unfinished
// rollout goes by members of a time before: a chunk, and more tells whether there may be
// others. The records are in the order in which they can go, so this needs no memory of
// its own and is harmless at any time. Run calls it; tests do.
func (e *Engine) Forget(ctx context.Context) (more bool, err error) {
	now, err := e.now(ctx)
	if err != nil {
		return false, err
	}
	left, err := e.store.LeftBefore(ctx, now.Add(-forgetAfter), sweepChunk)
	if err != nil || len(left) == 0 {
		return false, err
	}
	oldest, err := e.oldestRollout(ctx, now)
	if err != nil {
		return false, err
	}
	var ops []store.Op
	for _, l := range left {
		if l.At.Before(oldest) {
			ops = append(ops, store.Op{Scope: kv.Thing(l.Thing), Fn: func(tx *store.Tx) error { tx.ForgetLeft(l); return nil }})
		}
	}
	return len(ops) == sweepChunk, e.updateMany(ctx, ops)
}

// oldestRollout is the time whose members the oldest unfinished rollout goes by, at most
// forgetAfter before now: of what ended earlier, nothing need be remembered.
func (e *Engine) oldestRollout(ctx context.Context, now time.Time) (time.Time, error) {
	oldest := now.Add(-forgetAfter)
	for after := ""; ; {
		ids, next, err := e.store.Rollouts(ctx, after, jobsvc.MaxPageSize)
		if err != nil {
			return time.Time{}, err
		}
		jobs, _, err := e.store.Jobs(ctx, ids, "")
		if err != nil {
			return time.Time{}, err
		}
		for _, j := range jobs {
			if j != nil && j.Begun().Before(oldest) {
				oldest = j.Begun()
			}
		}
		if after = next; after == "" {
			return oldest, nil
		}
	}
}

// stepGroup ends the memberships in a deleted group, then takes away what remembers the
// group itself, when no rollout is left that began before. Begun again after a crash it
// finds fewer memberships.
func (e *Engine) stepGroup(ctx context.Context, t store.Timer) error {
	group := t.DeletedGroup()
	if t.Due.Equal(group.At) { // else that is done
		if err := e.delist(ctx, group.Name); err != nil {
			return err
		}
		if err := e.sweepMembers(ctx, group); err != nil {
			return err
		}
		if err := e.detachPolicies(ctx, group.Name); err != nil {
			return err
		}
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	oldest, err := e.oldestRollout(ctx, now)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, t.Scope, func(tx *store.Tx) error {
		tx.ClearTimer(t)
		if oldest.After(group.At) {
			tx.ForgetGroup(group)
			return nil
		}
		again := t
		again.Due = now.Add(forgetPause)
		tx.SetTimer(again)
		return nil
	})
	return err
}

// sweepMembers ends all memberships in a group that is gone, at the time it went.
func (e *Engine) sweepMembers(ctx context.Context, group store.DeletedGroup) error {
	for after := ""; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		members, err := e.store.GroupMembers(ctx, group.Name, after, sweepChunk)
		if err != nil || len(members) == 0 {
			return err
		}
		now, err := e.now(ctx)
		if err != nil {
			return err
		}
		var ops []store.Op
		for _, m := range members {
			if m.GroupID == group.ID {
				ops = append(ops, store.Op{Scope: kv.Thing(m.Thing), Fn: func(tx *store.Tx) error { return e.leaveDeleted(tx, m.Thing, group, now) }})
			}
		}
		if err := e.updateMany(ctx, ops); err != nil {
			return err
		}
		after = members[len(members)-1].Thing
	}
}

// leaveDeleted has a thing leave a group that is gone, unless it has left it. Queries may
// have asked for the group, and there is room for another.
func (e *Engine) leaveDeleted(tx *store.Tx, thing string, group store.DeletedGroup, now time.Time) error {
	t, err := tx.Thing(thing)
	if err != nil || t == nil {
		return err
	}
	m, err := e.memberships(tx, t, now)
	if err != nil {
		return err
	}
	is, ok := m.all[group.Name]
	if !ok || is.GroupID != group.ID {
		return nil
	}
	m.change.leaveAt(tx, group.Name, &is, group.At)
	delete(m.all, group.Name)
	m.above = group.Parent
	if err := e.placeIn(tx, t, m); err != nil {
		return err
	}
	return e.record(tx, t, m)
}
