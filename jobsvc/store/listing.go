package store

import (
	"context"
	"fmt"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Executions reads the records behind rows of the index, in their order, leaving out
// those that are gone since.
func (s *Store) Executions(ctx context.Context, job string, refs []ExecutionRef) ([]jobsvc.JobExecution, error) {
	// A row's status says where its record was when the row was read. One that is not
	// there has ended since, and is looked for where it then is.
	list := make([]jobsvc.JobExecution, len(refs))
	missing, err := s.executionsAt(ctx, job, refs, list, jobsvc.JobExecutionStatus.Terminal)
	if err != nil || missing == 0 {
		return list, err
	}
	ended := func(jobsvc.JobExecutionStatus) bool { return true }
	if _, err := s.executionsAt(ctx, job, refs, list, ended); err != nil {
		return nil, err
	}
	kept := list[:0]
	for i := range list {
		if list[i].Status != "" {
			kept = append(kept, list[i])
		}
	}
	return kept, nil
}

// executionsAt fills the gaps in list, elements without a status, with one read: from the
// ended executions where ended says so of the row's status, else from the queues. It
// tells how many gaps are left.
func (s *Store) executionsAt(ctx context.Context, job string, refs []ExecutionRef, list []jobsvc.JobExecution, ended func(jobsvc.JobExecutionStatus) bool) (missing int, err error) {
	keys := make([][]byte, 0, len(refs))
	arena := make(key, 0, len(refs)*48) // where it is too small, keys stay in what it was
	for i, r := range refs {
		if list[i].Status != "" {
			continue
		}
		from := len(arena)
		if ended(r.Status) {
			arena = arena.byte(tagEnded).name(r.Thing).name(job).uint(uint64(r.Number))
		} else {
			arena = arena.byte(tagQueue).name(r.Thing)
		}
		keys = append(keys, arena[from:len(arena):len(arena)])
	}
	items, err := s.db.Get(ctx, keys...)
	if err != nil {
		return 0, err
	}
	next := 0
	for i, r := range refs {
		x := &list[i]
		if x.Status != "" {
			continue
		}
		b := items[next].Value
		next++
		switch {
		case b == nil, isMark(b): // gone, or deleted
		case ended(r.Status):
			err = readEnded(b, r.Thing, x)
		default:
			err = decodePending(b, r.Thing, job, r.Number, x)
		}
		if err != nil {
			return 0, err
		}
		if x.Status == "" {
			missing++
		}
	}
	return missing, nil
}

// readEnded reads an execution's record into x.
func readEnded(b []byte, thing string, x *jobsvc.JobExecution) error {
	d := decoder{b: b}
	if v := d.byte(); v != codecVersion {
		return fmt.Errorf("store: execution record of version %d", v)
	}
	*x = d.execution(thing)
	return d.end()
}

// decodePending reads one execution of a queue's record into x, if it is there. The
// others are passed over: a page has an execution of each of 250 queues.
func decodePending(b []byte, thing, job string, number int64, x *jobsvc.JobExecution) error {
	d := decoder{b: b}
	if v := d.byte(); v != codecVersion {
		return fmt.Errorf("store: queue record of version %d", v)
	}
	for range d.count(minNotice) {
		d.string()
		d.uint()
		d.uint()
		d.uint()
		d.string()
		d.int()
	}
	for range d.count(minExecution) {
		e := d.executionHead(thing)
		if e.JobID == job && e.ExecutionNumber == number {
			e.StatusDetails = d.details()
			*x = e
			return d.err
		}
		for range d.count(minDetail) {
			d.string()
			d.string()
		}
	}
	return d.err
}
