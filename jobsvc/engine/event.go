package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// Events tell operators what became of jobs and executions. What it takes to publish one
// is a row of the store's outbox, written in the transaction of the change, and gone when
// it was published: a kill between the two publishes it again, with the same ID. As long
// as nobody could get an event no row is written, and nothing is read for it.

// WantEvents tells whether anybody may get events. It takes effect at once.
func (e *Engine) WantEvents(wanted bool) { e.eventsWanted.Store(wanted) }

// SaveEventPlaces stores over restarts up to which stamp subscribers, by their client IDs,
// have all events.
func (e *Engine) SaveEventPlaces(ctx context.Context, places map[string]int64) error {
	return e.store.PutEventPlaces(ctx, places)
}

// EventPlaces gives what SaveEventPlaces was given last.
func (e *Engine) EventPlaces(ctx context.Context) (map[string]int64, error) {
	return e.store.EventPlaces(ctx)
}

// EventsStored tells, by a value, that there may be new events.
func (e *Engine) EventsStored() <-chan struct{} { return e.store.EventsStored() }

// EventStamp is a stamp higher than those of all events of changes that are committed,
// and lower than those of changes that begin later.
func (e *Engine) EventStamp(ctx context.Context) (int64, error) {
	now, err := e.store.Now(ctx)
	return now.UnixNano(), err
}

// Events lists stored events with a higher stamp than after, in the order of the commits
// of what they tell, at most limit of them.
func (e *Engine) Events(ctx context.Context, after int64, limit int) ([]jobsvc.Event, error) {
	return e.store.Events(ctx, after, limit)
}

// eventsRemoved is how many rows one commit takes away at most.
const eventsRemoved = 1000

// RemoveEvents takes away stored events that were published: those with a higher stamp
// than after, and none higher than to.
func (e *Engine) RemoveEvents(ctx context.Context, after, to int64) error {
	for after < to {
		last, err := e.store.RemoveEvents(ctx, after, to, eventsRemoved)
		if err != nil {
			return err
		}
		after = last
	}
	return nil
}

// eventsOn tells whether events of a kind are sent.
func (e *Engine) eventsOn(tx *store.Tx, kind string) (bool, error) {
	c, err := tx.PeekEventConfigurations()
	if err != nil {
		return false, err
	}
	return e.orDefaultEvents(c).Enabled[kind], nil
}

// executionEvent writes the event that an execution ended, if it did.
func (e *Engine) executionEvent(tx *store.Tx, x *jobsvc.JobExecution) {
	if x.Status.Terminal() {
		e.putExecutionEvent(tx, x, false, x.LastUpdatedAt)
	}
}

// deletedEvent writes the event that an execution was deleted.
func (e *Engine) deletedEvent(tx *store.Tx, x *jobsvc.JobExecution, now time.Time) {
	e.putExecutionEvent(tx, x, true, now)
}

func (e *Engine) putExecutionEvent(tx *store.Tx, x *jobsvc.JobExecution, deleted bool, at time.Time) {
	if !e.eventsWanted.Load() {
		return
	}
	is := *x // the queue may be changed yet
	tx.AtEnd(func() error {
		on, err := e.eventsOn(tx, jobsvc.EventJobExecution)
		if on {
			tx.PutExecutionEvent(&is, deleted, at)
		}
		return err
	})
}

// jobEvent writes an event about a job, with the job as it is at the end of the
// transaction. counts are those of its executions, for EventCompleted.
func (e *Engine) jobEvent(tx *store.Tx, op jobsvc.EventOperation, job *jobsvc.Job, counts *jobsvc.JobProcessDetails, now time.Time) {
	if !e.eventsWanted.Load() {
		return
	}
	tx.AtEnd(func() error {
		on, err := e.eventsOn(tx, jobsvc.EventJob)
		if on {
			tx.PutJobEvent(op, job, counts, now)
		}
		return err
	})
}
