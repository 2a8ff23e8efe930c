package store

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Queue reads the queue of the transaction's thing; an empty one when it never had
// an execution. It is the caller's to change.
func (t *Tx) Queue(thing string) (*jobsvc.Queue, error) {
	b, err := t.get(newKey(tagQueue, thing))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return &jobsvc.Queue{}, nil
	}
	q, err := t.s.queues.decode(thing, b)
	if err != nil {
		return nil, err
	}
	return own(q), nil
}

// PutQueue writes the queue of a thing. It is not to be changed afterwards.
func (t *Tx) PutQueue(thing string, q *jobsvc.Queue) {
	b := encodeQueue(q)
	t.tx.Put(newKey(tagQueue, thing), b)
	t.s.queues.encoded(thing, b, q)
}

// DeleteQueue takes the queue of a thing away.
func (t *Tx) DeleteQueue(thing string) { t.tx.Delete(newKey(tagQueue, thing)) }

// IndexExecution moves an execution in the index by job and in the counters, from
// the status it had ("" for a new one) to the one it has ("" when it is deleted).
func (t *Tx) IndexExecution(e *jobsvc.JobExecution, from, to jobsvc.JobExecutionStatus) {
	if from == to {
		return
	}
	if from != "" {
		t.tx.Delete(executionKey(e.JobID, from, e.QueuedAt, e.ThingName, e.ExecutionNumber))
		t.count(e.JobID, from, -1)
	}
	if to != "" {
		t.tx.Put(executionKey(e.JobID, to, e.QueuedAt, e.ThingName, e.ExecutionNumber), []byte{})
		t.count(e.JobID, to, 1)
	}
}

// PutEnded writes an ended execution; the caller takes it out of the queue.
func (t *Tx) PutEnded(e *jobsvc.JobExecution) {
	t.tx.Put(endedKey(e.ThingName, e.JobID, e.ExecutionNumber), encodeExecution(e))
}

// DeleteEnded takes the record of an ended execution away, and the mark of a deleted
// one.
func (t *Tx) DeleteEnded(thing, job string, number int64) {
	t.tx.Delete(endedKey(thing, job, number))
}

// MarkDeleted leaves a mark where the record of an execution was or would have been, so
// that its number is not used again and the rollout does not make it anew, and that it is
// known whether its thing has left the targets since. The mark goes with the job:
// DeletedRefs finds it.
func (t *Tx) MarkDeleted(e *jobsvc.JobExecution) {
	t.tx.Put(endedKey(e.ThingName, e.JobID, e.ExecutionNumber), encodeMark(e.Uncovered, e.ThingID))
	t.tx.Put(indexKey(e.JobID, deletedByte, e.QueuedAt, e.ThingName, e.ExecutionNumber), []byte{})
}

// DeleteMark takes a mark away.
func (t *Tx) DeleteMark(job string, r ExecutionRef) {
	t.tx.Delete(endedKey(r.Thing, job, r.Number))
	t.tx.Delete(indexKey(job, deletedByte, r.QueuedAt, r.Thing, r.Number))
}

// Was tells whether an execution ended or was deleted.
func (t *Tx) Was(thing, job string, number int64) (bool, error) {
	b, err := t.get(endedKey(thing, job, number))
	return b != nil, err
}

// Ended reads an ended execution.
func (t *Tx) Ended(thing, job string, number int64) (*jobsvc.JobExecution, error) {
	b, err := t.get(endedKey(thing, job, number))
	return decodeEnded(thing, b, err)
}

// LastEnded reads the ended execution of a job with the highest number.
func (t *Tx) LastEnded(thing, job string) (*jobsvc.JobExecution, error) {
	r := lastEnded(thing, job)
	for {
		items, err := t.tx.Scan(r)
		if err != nil || len(items) == 0 {
			return nil, err
		}
		for _, it := range items {
			if x, err := decodeEnded(thing, it.Value, nil); x != nil || err != nil {
				return x, err
			}
		}
		if len(items) < r.Limit {
			return nil, nil
		}
		r.Limit = scanAll // marks of deleted ones are in front: rare
	}
}

func lastEnded(thing, job string) kv.Range {
	r := kv.Prefix(newKey(tagEnded, thing, job), 1)
	r.Reverse = true
	return r
}

// decodeEnded reads a record of an ended execution; nil for none and for the mark of a
// deleted one.
func decodeEnded(thing string, b []byte, err error) (*jobsvc.JobExecution, error) {
	if err != nil || b == nil || isMark(b) {
		return nil, err
	}
	return decodeExecution(thing, b)
}

// ThingAndQueue reads a thing's queue in one round trip with whether the thing is
// there at all; nil when it is not. It is shared: not to be changed.
func (s *Store) ThingAndQueue(ctx context.Context, thing string) (*jobsvc.Queue, error) {
	items, err := s.db.Get(ctx, newKey(tagThing, thing), newKey(tagQueue, thing))
	if err != nil || !items[0].Exists() {
		return nil, err
	}
	if !items[1].Exists() {
		return &jobsvc.Queue{}, nil
	}
	return s.queues.decode(thing, items[1].Value)
}

// Ended reads an ended execution.
func (s *Store) Ended(ctx context.Context, thing, job string, number int64) (*jobsvc.JobExecution, error) {
	b, err := s.get(ctx, endedKey(thing, job, number))
	return decodeEnded(thing, b, err)
}

// LastEnded reads the ended execution of a job with the highest number.
func (s *Store) LastEnded(ctx context.Context, thing, job string) (last *jobsvc.JobExecution, err error) {
	_, err = s.page(ctx, lastEnded(thing, job), 1, func(it kv.Item) (bool, error) {
		last, err = decodeEnded(thing, it.Value, nil)
		return last != nil, err
	})
	return last, err
}

// EndedOfThing reads all ended executions of a thing, those of jobID only unless it
// is empty.
func (s *Store) EndedOfThing(ctx context.Context, thing, jobID string) ([]jobsvc.JobExecution, error) {
	prefix := newKey(tagEnded, thing)
	if jobID != "" {
		prefix = prefix.name(jobID)
	}
	var list []jobsvc.JobExecution
	_, err := s.page(ctx, kv.Prefix(prefix, 1000), -1, func(it kv.Item) (bool, error) {
		e, err := decodeEnded(thing, it.Value, nil)
		if err != nil || e == nil {
			return false, err
		}
		list = append(list, *e)
		return true, nil
	})
	return list, err
}

// ExecutionRef is a row of the index of executions by job.
type ExecutionRef struct {
	Thing    string
	Number   int64
	Status   jobsvc.JobExecutionStatus
	QueuedAt time.Time
}

// ExecutionCursor is a place in a listing by job: after that row. The zero one is
// the beginning.
type ExecutionCursor struct {
	QueuedAt time.Time
	Thing    string
	Number   int64
}

// Cursor is the place after the row.
func (r *ExecutionRef) Cursor() ExecutionCursor {
	return ExecutionCursor{r.QueuedAt, r.Thing, r.Number}
}

// ExecutionRefs lists the rows of a job in one status by queuedAt, thing and number.
func (s *Store) ExecutionRefs(ctx context.Context, job string, status jobsvc.JobExecutionStatus, from ExecutionCursor, limit int) ([]ExecutionRef, error) {
	return s.refs(ctx, job, statusByte(status), status, from, limit)
}

// DeletedRefs lists the marks that MarkDeleted left for a job, as ExecutionRefs does;
// they have no Status.
func (s *Store) DeletedRefs(ctx context.Context, job string, from ExecutionCursor, limit int) ([]ExecutionRef, error) {
	return s.refs(ctx, job, deletedByte, "", from, limit)
}

func (s *Store) refs(ctx context.Context, job string, b byte, status jobsvc.JobExecutionStatus, from ExecutionCursor, limit int) ([]ExecutionRef, error) {
	prefix := newKey(tagExecution, job).byte(b)
	var last key
	if from != (ExecutionCursor{}) {
		last = indexKey(job, b, from.QueuedAt, from.Thing, from.Number)
	}
	r := after(prefix, last, limit)
	r.KeysOnly = true
	refs := make([]ExecutionRef, 0, limit)
	_, err := s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
		c := cursor{it.Key[len(prefix):], true}
		refs = append(refs, ExecutionRef{
			Status:   status,
			QueuedAt: c.time(),
			Thing:    c.name(),
			Number:   int64(c.uint()),
		})
		return true, nil
	})
	return refs, err
}

// Counts reads the counters of a job's executions, in one snapshot.
func (s *Store) Counts(ctx context.Context, job string) (jobsvc.JobProcessDetails, error) {
	var d jobsvc.JobProcessDetails
	counters, err := s.db.Counters(ctx, newKey(tagCounter, job))
	if err != nil {
		return d, err
	}
	for k, v := range counters {
		if status, ok := statusOf(k[len(k)-1]); ok {
			*d.Count(status) = v
		}
	}
	return d, nil
}

// TimerKind says what a timer is for.
type TimerKind byte

// The kinds of timers. The values are on disk.
const (
	TimerStart   TimerKind = 's' // a SCHEDULED job begins, or its next window opens
	TimerClose   TimerKind = 'o' // the maintenance window of an IN_PROGRESS job closes
	TimerEnd     TimerKind = 'e' // the end time of a job
	TimerWindow  TimerKind = 'w' // the sweep that tells devices of a window that opened or closed
	TimerRollout TimerKind = 'r' // the next step of a job's rollout
	TimerCancel  TimerKind = 'c' // the sweep of a canceled job
	TimerDelete  TimerKind = 'd' // the sweep of a job being deleted
	TimerTimeout TimerKind = 't' // the deadline of an execution
	TimerGroup   TimerKind = 'g' // the sweep of a deleted thing group
	TimerDynamic TimerKind = 'y' // the next step of the search for a dynamic group's members
)

// Timer is a stored point in time at which the engine has something to do. Guard
// tells a timer of an earlier state from the current one: firing twice is harmless.
type Timer struct {
	Due   time.Time
	Kind  TimerKind
	Scope kv.Scope
	JobID string
	Guard uint64
}

// SetTimer writes a timer of the transaction's scope.
func (t *Tx) SetTimer(timer Timer) {
	t.tx.Put(timerKey(timer), binary.AppendUvarint(nil, timer.Guard))
}

// ClearTimer takes a timer away; Guard does not matter.
func (t *Tx) ClearTimer(timer Timer) { t.tx.Delete(timerKey(timer)) }

// Timers lists the stored timers of jobs and those of executions, each by due time and
// at most limit of them; of executions only those that are due at from or later.
func (s *Store) Timers(ctx context.Context, from time.Time, limit int) ([]Timer, error) {
	var timers []Timer
	for _, bucket := range []byte{bucketJobs, bucketExecutions} {
		prefix := newKey(tagTimer).byte(bucket)
		r := kv.Prefix(prefix, limit)
		if bucket == bucketExecutions {
			r.Start = prefix.time(from)
		}
		_, err := s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
			t, err := decodeTimer(it)
			timers = append(timers, t)
			return true, err
		})
		if err != nil {
			return nil, err
		}
	}
	return timers, nil
}

func decodeTimer(it kv.Item) (Timer, error) {
	c := parse(it.Key)
	c.byte()
	t := Timer{
		Due:   c.time(),
		Kind:  TimerKind(c.byte()),
		Scope: kv.Scope{Kind: kv.ScopeKind(c.byte()), ID: c.name()},
		JobID: c.name(),
	}
	guard, n := binary.Uvarint(it.Value)
	if !c.ok || n <= 0 {
		return t, errDamaged(it.Key)
	}
	t.Guard = guard
	return t, nil
}

// MergeRefs merges rows of several statuses into listing order and cuts them at limit. A
// row that moved while the lists were read may be in two of them: it is listed once.
func MergeRefs(limit int, lists ...[]ExecutionRef) []ExecutionRef {
	lists = slices.DeleteFunc(lists, func(l []ExecutionRef) bool { return len(l) == 0 })
	if len(lists) == 1 {
		return lists[0][:min(limit, len(lists[0]))]
	}
	all := slices.Concat(lists...)
	slices.SortFunc(all, compareRefs)
	all = slices.CompactFunc(all, func(a, b ExecutionRef) bool { return compareRefs(a, b) == 0 })
	return all[:min(limit, len(all))]
}
