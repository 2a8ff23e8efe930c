package engine

import (
	"context"
	"errors"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// MembershipChange is what one transaction changed in the direct memberships of a thing.
// A move from one group to another is one change, so that whoever looks at what a job
// covers compares before and after, and sees no leaving that was none. A transaction that
// changes any leaves exactly one, as an event (see kv.Tx).
//
// An event may be lost in a crash. What it tells is stored: memberships with the time
// they began, those that ended with both times (store.EndMembership). What must follow
// from a change without fail is done in record, in the transaction itself: all changes
// of things that there are afterwards come by there, and its scope is the thing.
type MembershipChange struct {
	ThingName, ThingID string
	Joined, Left       []GroupRef
	At                 time.Time
}

// GroupRef names a group. One that was deleted and made again has another ID.
type GroupRef struct{ Name, ID string }

// join stores a membership that begins.
func (c *MembershipChange) join(tx *store.Tx, group string, m *store.Membership) {
	tx.PutMembership(c.ThingName, group, m)
	c.Joined = append(c.Joined, GroupRef{group, m.GroupID})
}

// leave ends a membership. Rollouts of the members of an earlier time still find it.
func (c *MembershipChange) leave(tx *store.Tx, group string, m *store.Membership) {
	c.leaveAt(tx, group, m, c.At)
}

// leaveAt is leave for a membership that ended before: with its group.
func (c *MembershipChange) leaveAt(tx *store.Tx, group string, m *store.Membership, at time.Time) {
	tx.EndMembership(c.ThingName, group, m, at)
	c.Left = append(c.Left, GroupRef{group, m.GroupID})
}

// remove ends a membership of a thing that is gone, for which nobody looks any more.
func (c *MembershipChange) remove(tx *store.Tx, group string, m *store.Membership) {
	tx.DeleteMembership(c.ThingName, group)
	c.Left = append(c.Left, GroupRef{group, m.GroupID})
}

// announce closes the change.
func (c *MembershipChange) announce(tx *store.Tx) {
	if len(c.Joined) > 0 || len(c.Left) > 0 {
		tx.After(*c)
	}
}

// record closes what a transaction changed in the memberships of a thing, and does what
// follows from it.
func (e *Engine) record(tx *store.Tx, t *jobsvc.Thing, m *memberships) error {
	m.change.announce(tx)
	if len(m.change.Joined) == 0 && len(m.change.Left) == 0 && !m.new {
		return nil
	}
	return e.follow(tx, t, m)
}

// removedFrom tells, when a transaction is committed, of a job that an execution was
// REMOVED of: it may have nothing left to do.
type removedFrom struct{ job string }

// changed does what follows, off the path of the caller, from transactions that may have
// changed memberships. Of one whose commit is in doubt nothing is known: then each job may
// have nothing left to do.
func (e *Engine) changed(ctx context.Context, events []kv.Event, err error) {
	for _, ev := range events {
		switch ev := ev.(type) {
		case leftOut:
			e.log.Info("a thing is in as many groups as it may be, and stays out of younger dynamic groups", "thing", ev.thing, "groups", ev.groups)
		case removedFrom:
			e.unsettle(ev.job)
		}
	}
	e.waits()
	if errors.Is(err, kv.ErrUnknown) {
		e.unsettleActive()
	}
}
