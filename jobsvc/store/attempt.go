package store

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// The mark of a deleted execution is in the place of its record: markByte, whether its
// thing has left the targets since, and the thing's ID. Those of earlier programs have no
// ID, and are empty or a single 1. Records of executions begin otherwise.
const markByte = 0xff

func encodeMark(left bool, thingID string) []byte {
	mark := []byte{markByte, 0}
	if left {
		mark[1] = 1
	}
	return append(mark, thingID...)
}

// isMark tells the mark of a deleted execution from a record. nil is neither.
func isMark(b []byte) bool { return b != nil && (len(b) <= 1 || b[0] == markByte) }

func decodeMark(b []byte) (left bool, thingID string) {
	if len(b) < 2 {
		return len(b) == 1, ""
	}
	return b[1] != 0, string(b[2:])
}

// Attempt is the last execution of a thing and a job that ended or was deleted.
type Attempt struct {
	Number    int64                // 0 when there is none
	Execution *jobsvc.JobExecution // nil when it was deleted
	ThingID   string               // "" when it is not known
	Left      bool                 // the thing has left the targets of the CONTINUOUS job since
}

// Of tells whether it was one of the thing with that ID, as far as it is known.
func (a *Attempt) Of(thingID string) bool { return a.ThingID == "" || a.ThingID == thingID }

func attempt(thing string, prefix int, it kv.Item) (a Attempt, err error) {
	c := cursor{it.Key[prefix:], true}
	a.Number = int64(c.uint())
	if !c.ok {
		return a, errDamaged(it.Key)
	}
	if isMark(it.Value) {
		a.Left, a.ThingID = decodeMark(it.Value)
		return a, nil
	}
	if a.Execution, err = decodeExecution(thing, it.Value); err != nil {
		return a, err
	}
	a.Left, a.ThingID = a.Execution.Uncovered, a.Execution.ThingID
	return a, nil
}

// LastAttempt reads the execution of a job with the highest number that is not pending.
func (t *Tx) LastAttempt(thing, job string) (Attempt, error) {
	r := lastEnded(thing, job)
	items, err := t.tx.Scan(r)
	if err != nil || len(items) == 0 {
		return Attempt{}, err
	}
	return attempt(thing, len(r.Start), items[0])
}

// MarkLeft notes of the last attempt that its thing has left the targets.
func (t *Tx) MarkLeft(thing, job string, a Attempt) {
	if a.Execution == nil {
		t.tx.Put(endedKey(thing, job, a.Number), encodeMark(true, a.ThingID))
		return
	}
	x := *a.Execution
	x.Uncovered = true
	t.PutEnded(&x)
}

// JobsOfEnded lists the jobs that a thing has ended or deleted executions of. It reads
// the keys of all of them.
func (t *Tx) JobsOfEnded(thing string) (jobs []string, err error) {
	prefix := newKey(tagEnded, thing)
	r := kv.Prefix(prefix, scanAll)
	r.KeysOnly = true
	items, err := t.tx.Scan(r)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		c := cursor{it.Key[len(prefix):], true}
		if job := c.name(); len(jobs) == 0 || jobs[len(jobs)-1] != job {
			jobs = append(jobs, job)
		}
	}
	return jobs, nil
}

// Served tells of things whether each has an execution of a job that goes on, or that
// ended without the thing having left the targets since. It takes one read, and another
// for each thing that has an ended one.
func (s *Store) Served(ctx context.Context, job string, things []GroupMember) ([]bool, error) {
	keys := make([][]byte, 0, 2*len(things))
	for _, m := range things {
		keys = append(keys, newKey(tagQueue, m.Thing), endedKey(m.Thing, job, 1))
	}
	if len(keys) == 0 {
		return nil, nil
	}
	items, err := s.db.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	served := make([]bool, len(things))
	for i, m := range things {
		n := m.Thing
		queue, first := items[2*i], items[2*i+1]
		if queue.Exists() {
			q, err := decodeQueue(n, queue.Value)
			if err != nil {
				return nil, err
			}
			if x := q.Find(job); x != nil {
				served[i] = !x.Uncovered
				continue
			}
		}
		if !first.Exists() {
			continue
		}
		r := lastEnded(n, job)
		last, _, err := s.db.Scan(ctx, r)
		if err != nil {
			return nil, err
		}
		if len(last) == 0 {
			continue
		}
		a, err := attempt(n, len(r.Start), last[0])
		if err != nil {
			return nil, err
		}
		served[i] = !a.Left && a.Of(m.ThingID)
	}
	return served, nil
}
