package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// The outbox holds the events that are to be published: rows in the order of the commits
// that they are part of, each in the scope of what changed. A row has what it takes to
// make the message, not the message.

// A row begins with its form.
const (
	eventOfExecution = 1
	eventOfJob       = 2
)

// flagDeleted is that of an event that tells of a deletion.
const flagDeleted = 1

func eventKey(stamp int64, scope kv.Scope) key {
	return newKey(tagEvent).uint(uint64(stamp)).byte(byte(scope.Kind)).name(scope.ID)
}

// PutExecutionEvent writes the event that an execution ended, or was deleted, in the
// transaction of its thing. One that is pending, and not deleted, has none.
func (t *Tx) PutExecutionEvent(x *jobsvc.JobExecution, deleted bool, at time.Time) {
	if !deleted && !x.Status.Terminal() {
		return
	}
	t.putEvent(kv.Thing(x.ThingName), encodeExecutionEvent(x, deleted, at))
}

// PutJobEvent writes an event about a job in its transaction. counts may be nil but for
// EventCompleted.
func (t *Tx) PutJobEvent(op jobsvc.EventOperation, job *jobsvc.Job, counts *jobsvc.JobProcessDetails, at time.Time) {
	t.putEvent(kv.Job(job.ID), encodeJobEvent(op, job, counts, at))
}

func (t *Tx) putEvent(scope kv.Scope, row []byte) {
	t.tx.Put(eventKey(t.tx.Stamp(), scope), row)
	t.stored.Store(true)
}

func encodeExecutionEvent(x *jobsvc.JobExecution, deleted bool, at time.Time) []byte {
	e := make(encoder, 2, 64+len(x.JobID))
	e[0] = eventOfExecution
	e[1] = statusByte(x.Status)
	var flags uint64
	if deleted {
		flags |= flagDeleted
	}
	e.uint(flags)
	e.string(x.JobID)
	e.int(x.ExecutionNumber)
	e.int(x.VersionNumber)
	e.time(at)
	e.details(x.StatusDetails)
	return e
}

// jobEventRow is the JSON of an event about a job.
type jobEventRow struct {
	Operation jobsvc.EventOperation
	At        time.Time
	Job       *jobsvc.JobEvent
}

func encodeJobEvent(op jobsvc.EventOperation, job *jobsvc.Job, counts *jobsvc.JobProcessDetails, at time.Time) []byte {
	return append([]byte{eventOfJob}, encodeJSON(jobEventRow{op, at, jobsvc.NewJobEvent(op, job, counts)})...)
}

// decodeEvent reads a row of the scope.
func decodeEvent(scope kv.Scope, b []byte) (*jobsvc.Event, error) {
	d := decoder{b: b}
	switch form := d.byte(); form {
	case eventOfExecution:
		status, ok := statusOf(d.byte())
		flags := d.uint()
		if !ok || flags&^flagDeleted != 0 {
			d.fail()
		}
		x := &jobsvc.JobExecutionEvent{ThingName: scope.ID, Status: status, JobID: d.string(), ExecutionNumber: d.int(), VersionNumber: d.int()}
		ev := &jobsvc.Event{At: d.time(), Execution: x}
		x.StatusDetails = d.details()
		if ev.Operation, ok = jobsvc.EventOf(status); flags&flagDeleted != 0 {
			ev.Operation = jobsvc.EventDeleted
		} else if !ok {
			d.fail()
		}
		return ev, d.end()
	case eventOfJob:
		row, err := decodeJSON[jobEventRow](d.b)
		if err == nil && row.Job == nil {
			d.fail()
			err = d.err
		}
		if err != nil {
			return nil, err
		}
		return &jobsvc.Event{Operation: row.Operation, At: row.At, Job: row.Job}, nil
	default:
		return nil, fmt.Errorf("store: event of form %d", form)
	}
}

// eventID is the UUID of a row: there is one of its key in this installation, and nobody
// can tell the UUIDs of another's rows.
func (s *Store) eventID(k []byte) string {
	mac := hmac.New(sha256.New, s.tokenKey)
	mac.Write([]byte("event"))
	mac.Write(k)
	id := mac.Sum(nil)[:16]
	id[6] = id[6]&0x0F | 0x80 // version 8: of our own making
	id[8] = id[8]&0x3F | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Events lists the rows of the outbox with a higher stamp than after, in their order, at
// most limit of them.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]jobsvc.Event, error) {
	r := kv.Prefix(newKey(tagEvent), limit)
	r.Start = newKey(tagEvent).uint(uint64(after) + 1)
	events := make([]jobsvc.Event, 0, min(limit, 64))
	_, err := s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
		stamp, scope, err := parseEventKey(it.Key)
		if err != nil {
			return false, err
		}
		ev, err := decodeEvent(scope, it.Value)
		if err != nil {
			return false, fmt.Errorf("event %q: %w", it.Key, err)
		}
		ev.Stamp, ev.ID = stamp, s.eventID(it.Key)
		events = append(events, *ev)
		return true, nil
	})
	return events, err
}

func parseEventKey(k []byte) (stamp int64, scope kv.Scope, err error) {
	c := parse(k)
	stamp = int64(c.uint())
	scope = kv.Scope{Kind: kv.ScopeKind(c.byte()), ID: c.name()}
	if !c.ok {
		err = errDamaged(k)
	}
	return stamp, scope, err
}

// RemoveEvents takes away rows of the outbox with a higher stamp than after and none
// higher than to, at most limit of them, the lowest first. last is the highest stamp that
// was taken away, to when there are no more.
func (s *Store) RemoveEvents(ctx context.Context, after, to int64, limit int) (last int64, err error) {
	r := kv.Range{Start: newKey(tagEvent).uint(uint64(after) + 1), End: newKey(tagEvent).uint(uint64(to) + 1), Limit: limit, KeysOnly: true}
	var ops []kv.Op
	ended, err := s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
		stamp, scope, err := parseEventKey(it.Key)
		last = stamp
		ops = append(ops, kv.Op{Scope: scope, Fn: func(tx kv.Tx) error { tx.Delete(it.Key); return nil }})
		return true, err
	})
	if err != nil {
		return after, err
	}
	if len(ops) > 0 {
		for _, res := range s.db.UpdateMany(ctx, ops) {
			if res.Err != nil {
				return after, res.Err
			}
		}
	}
	if ended {
		last = to
	}
	return last, nil
}

// EventsStored tells, by a value, that rows may have been added to the outbox.
func (s *Store) EventsStored() <-chan struct{} { return s.events }

// tellEvents is called after a transaction.
func (s *Store) tellEvents(stored *atomic.Bool) {
	if stored.Load() {
		select {
		case s.events <- struct{}{}:
		default:
		}
	}
}

const eventPlacesName = "eventPlaces"

// PutEventPlaces remembers up to which stamp subscribers, by their client IDs, have all
// events. None takes the record away.
func (s *Store) PutEventPlaces(ctx context.Context, places map[string]int64) error {
	k := newKey(tagMeta, eventPlacesName)
	_, err := s.db.Update(ctx, metaScope(eventPlacesName), func(tx kv.Tx) error {
		if len(places) == 0 {
			tx.Delete(k)
		} else {
			tx.Put(k, encodeJSON(places))
		}
		return nil
	})
	return err
}

// EventPlaces gives what PutEventPlaces was given last.
func (s *Store) EventPlaces(ctx context.Context) (map[string]int64, error) {
	b, err := s.get(ctx, newKey(tagMeta, eventPlacesName))
	if err != nil || b == nil {
		return nil, err
	}
	places, err := decodeJSON[map[string]int64](b)
	if err != nil {
		return nil, err
	}
	return *places, nil
}
