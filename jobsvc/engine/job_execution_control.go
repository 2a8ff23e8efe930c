package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// DescribeJobExecution is that of the control plane: one execution of a thing in any
// status; number nil means the latest. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: DescribeJobExecution.
func (e *Engine) DescribeJobExecution(ctx context.Context, thing, jobID string, number *int64) (*jobsvc.JobExecution, error) {
	if err := jobsvc.ValidateName("thingName", thing); err != nil {
		return nil, err
	}
	job, err := e.job(ctx, jobID)
	if err != nil {
		return nil, err
	}
	t, err := e.DescribeThing(ctx, thing)
	if err != nil {
		return nil, err
	}
	q, err := e.store.ThingAndQueue(ctx, thing)
	if err != nil {
		return nil, storeError(err)
	}
	if q != nil {
		if x := q.Find(jobID); x != nil && (number == nil || *number == x.ExecutionNumber) {
			return asSwept(x, job), nil
		}
	}
	x, err := e.ended(ctx, thing, jobID, number)
	if err != nil {
		return nil, err
	}
	// A thing made again under an old name has not done what the old one did.
	if x == nil || x.ThingID != t.ID {
		return nil, executionNotFound(thing, jobID)
	}
	return x, nil
}

// ListJobExecutionsForJob lists the executions of a job, attempts one by one, by
// QueuedAt, thing and number. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: ListJobExecutionsForJob.
func (e *Engine) ListJobExecutionsForJob(ctx context.Context, r *jobsvc.ListJobExecutionsForJobRequest) (*jobsvc.ListJobExecutionsResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	if err := validStatusFilter(r.Status); err != nil {
		return nil, err
	}
	filters := []any{"executions", r.JobID, r.Status}
	var from store.ExecutionCursor
	if err := e.decodeToken(r.Page.Token, filters, &from); err != nil {
		return nil, err
	}
	if _, err := e.job(ctx, r.JobID); err != nil {
		return nil, err
	}
	size := r.Page.Size()
	// One more than the page tells whether there is another.
	refs, err := e.executionRefs(ctx, r.JobID, r.Status, from, size+1)
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListJobExecutionsResult{}
	if len(refs) > size {
		refs = refs[:size]
		res.NextToken = e.encodeToken(filters, refs[size-1].Cursor())
	}
	res.Executions, err = e.store.Executions(ctx, r.JobID, refs)
	return res, storeError(err)
}

// executionRefs lists rows of a job, of all statuses when status is "". Those that the
// counters have nothing of are not looked at. An execution may leave one that was not
// yet read for one that had none: so the counters are asked again, until they know of
// nothing that was not read.
func (e *Engine) executionRefs(ctx context.Context, job string, status jobsvc.JobExecutionStatus, from store.ExecutionCursor, limit int) ([]store.ExecutionRef, error) {
	if status != "" {
		return e.store.ExecutionRefs(ctx, job, status, from, limit)
	}
	statuses := jobsvc.JobExecutionStatuses()
	var lists [][]store.ExecutionRef
	for {
		counts, err := e.store.Counts(ctx, job)
		if err != nil {
			return nil, err
		}
		var unread []jobsvc.JobExecutionStatus
		statuses = slices.DeleteFunc(statuses, func(s jobsvc.JobExecutionStatus) bool {
			if *counts.Count(s) == 0 {
				return false
			}
			unread = append(unread, s)
			return true
		})
		if len(unread) == 0 {
			return store.MergeRefs(limit, lists...), nil
		}
		for _, s := range unread {
			list, err := e.store.ExecutionRefs(ctx, job, s, from, limit)
			if err != nil {
				return nil, err
			}
			lists = append(lists, list)
		}
	}
}

func validStatusFilter(s jobsvc.JobExecutionStatus) error {
	if s != "" && !s.Valid() {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "status %q is not a status of an execution.", s)
	}
	return nil
}

// ListJobExecutionsForThing lists the executions of a thing, newest first. Errors:
// CodeInvalidRequest, CodeNotFound.
//
// AWS: ListJobExecutionsForThing.
func (e *Engine) ListJobExecutionsForThing(ctx context.Context, r *jobsvc.ListJobExecutionsForThingRequest) (*jobsvc.ListJobExecutionsResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	if err := validStatusFilter(r.Status); err != nil {
		return nil, err
	}
	if r.JobID != "" {
		if err := jobsvc.ValidateJobID(r.JobID); err != nil {
			return nil, err
		}
	}
	t, err := e.DescribeThing(ctx, r.ThingName)
	if err != nil {
		return nil, err
	}
	filters := []any{"thing-executions", r.ThingName, r.Status, r.JobID, r.NamespaceID}
	var from *thingPlace
	if err := e.decodeToken(r.Page.Token, filters, &from); err != nil {
		return nil, err
	}
	q, err := e.store.ThingAndQueue(ctx, r.ThingName)
	if err != nil {
		return nil, storeError(err)
	}
	list, err := e.store.EndedOfThing(ctx, r.ThingName, r.JobID)
	if err != nil {
		return nil, storeError(err)
	}
	if q != nil {
		list = append(list, q.Pending...)
	}
	list = slices.DeleteFunc(list, func(x jobsvc.JobExecution) bool {
		return x.ThingID != t.ID || r.Status != "" && x.Status != r.Status || r.JobID != "" && x.JobID != r.JobID ||
			r.NamespaceID != "" && x.NamespaceID != r.NamespaceID || from != nil && placeOf(&x).compare(*from) <= 0
	})
	slices.SortFunc(list, func(a, b jobsvc.JobExecution) int { return placeOf(&a).compare(placeOf(&b)) })
	res := &jobsvc.ListJobExecutionsResult{Executions: list}
	if size := r.Page.Size(); len(list) > size {
		res.Executions = list[:size]
		res.NextToken = e.encodeToken(filters, placeOf(&list[size-1]))
	}
	return res, nil
}

// thingPlace is a place in the list of a thing's executions: newest first, then by job
// and number.
type thingPlace struct {
	QueuedAt time.Time
	JobID    string
	Number   int64
}

func placeOf(x *jobsvc.JobExecution) thingPlace {
	return thingPlace{x.QueuedAt, x.JobID, x.ExecutionNumber}
}

func (p thingPlace) compare(o thingPlace) int {
	return cmp.Or(o.QueuedAt.Compare(p.QueuedAt), cmp.Compare(p.JobID, o.JobID), cmp.Compare(p.Number, o.Number))
}
