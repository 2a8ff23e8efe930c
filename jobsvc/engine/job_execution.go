package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// visible says whether a pending execution of a job in that state is in its device's
// queue: QUEUED while the job lets it run, IN_PROGRESS until the job is canceled with
// force or deleted. A cancel, a delete or the end of a maintenance window takes effect
// here at once, before its sweep has come by.
func visible(x *jobsvc.JobExecution, j *jobsvc.Job) bool {
	switch {
	case j == nil || j.Status == jobsvc.JobDeletionInProgress:
		return false
	case x.Status == jobsvc.StatusInProgress:
		return j.Status != jobsvc.JobCanceled || !j.ForceCanceled
	}
	return j.Status == jobsvc.JobInProgress && !j.Expired() && x.HiddenUntil.IsZero()
}

// visibleIn asks the jobs as the transaction sees them. failed gets the first error.
func visibleIn(tx *store.Tx, failed *error) jobsvc.Visible {
	return func(x *jobsvc.JobExecution) bool {
		j, err := tx.PeekJob(x.JobID)
		if err != nil {
			*failed = cmp.Or(*failed, err)
			return false
		}
		return visible(x, j)
	}
}

// saveQueue writes a thing's queue, and leaves a Hint when what the namespace's
// devices should know has changed.
func (e *Engine) saveQueue(tx *store.Tx, thing string, q *jobsvc.Queue, namespace string) error {
	changed, err := refreshQueue(tx, thing, q, namespace)
	if err != nil || changed {
		return err
	}
	tx.PutQueue(thing, q)
	return nil
}

// refreshQueue is saveQueue where nothing but what is visible may have changed: it writes
// only if so, and tells.
func refreshQueue(tx *store.Tx, thing string, q *jobsvc.Queue, namespace string) (changed bool, err error) {
	changed = q.Refresh(namespace, visibleIn(tx, &err))
	if err != nil || !changed {
		return false, err
	}
	tx.PutQueue(thing, q)
	n := q.Notice(namespace)
	tx.After(Hint{ThingName: thing, NamespaceID: namespace, SetVersion: n.SetVersion, HeadVersion: n.HeadVersion})
	return true, nil
}

// saveChange writes what follows from a change of an execution outside its queue: the
// index and counters when the status moved, the record of an ended one, the timer.
func (e *Engine) saveChange(tx *store.Tx, before, x *jobsvc.JobExecution) {
	tx.IndexExecution(x, before.Status, x.Status)
	if x.Status.Terminal() {
		tx.PutEnded(x)
		e.executionEvent(tx, x)
	}
	if old, due := before.NextDue(), x.NextDue(); !old.Equal(due) {
		clearTimeout(tx, before)
		if !due.IsZero() {
			tx.SetTimer(timeoutTimer(x, due))
		}
	}
}

func clearTimeout(tx *store.Tx, x *jobsvc.JobExecution) {
	if d := x.NextDue(); !d.IsZero() {
		tx.ClearTimer(timeoutTimer(x, d))
	}
}

// queueNew writes, of a new QUEUED execution, what goes beside its queue: the index and the
// counter, and the timer of what it waits for; after the commit waits tells the scheduler.
// The caller puts it into the queue.
func (e *Engine) queueNew(tx *store.Tx, x *jobsvc.JobExecution) {
	if e.rules.QueuedTTL > 0 {
		x.QueuedUntil = x.QueuedAt.Add(e.rules.QueuedTTL)
	}
	tx.IndexExecution(x, "", x.Status)
	if due := x.NextDue(); !due.IsZero() {
		tx.SetTimer(timeoutTimer(x, due))
	}
}

// waits tells the scheduler that QUEUED executions may have timers.
func (e *Engine) waits() {
	if e.rules.QueuedTTL > 0 || e.rules.RetryDelay > 0 {
		poke(e.wake)
	}
}

func timeoutTimer(x *jobsvc.JobExecution, due time.Time) store.Timer {
	return store.Timer{Due: due, Kind: store.TimerTimeout, Scope: kv.Thing(x.ThingName), JobID: x.JobID, Guard: uint64(x.ExecutionNumber)}
}

func hintsOf(events []kv.Event) []Hint {
	var hints []Hint
	for _, ev := range events {
		if h, ok := ev.(Hint); ok {
			hints = append(hints, h)
		}
	}
	return hints
}

// ready refuses a document that would have to leave with signed URLs when they cannot
// be made now: nothing may move that cannot be delivered.
func (e *Engine) ready(sign bool, doc *jobsvc.Document) error {
	if !sign || e.opts.Documents == nil {
		return nil
	}
	return e.opts.Documents.Ready(doc)
}

// GetPendingJobExecutions lists the front of a thing's queue. Errors: CodeNotFound.
//
// AWS: GetPendingJobExecutions.
func (e *Engine) GetPendingJobExecutions(ctx context.Context, thing string) (*jobsvc.PendingJobExecutions, error) {
	if err := throttle(e.reads); err != nil {
		return nil, err
	}
	tq, err := e.readQueue(ctx, thing, "", false)
	if err != nil {
		return nil, err
	}
	return &tq.PendingJobExecutions, nil
}

// ThingQueue reads what notify and notify-next of one thing and namespace say. Errors:
// CodeNotFound.
func (e *Engine) ThingQueue(ctx context.Context, thing, namespace string) (*jobsvc.ThingQueue, error) {
	return e.readQueue(ctx, thing, namespace, true)
}

// readQueue takes two reads at most: the queue, then the jobs in it.
func (e *Engine) readQueue(ctx context.Context, thing, namespace string, document bool) (*jobsvc.ThingQueue, error) {
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	q, err := e.store.ThingAndQueue(ctx, thing)
	if err != nil {
		return nil, storeError(err)
	}
	if q == nil {
		return nil, thingNotFound(thing)
	}
	n := q.Notice(namespace)
	tq := &jobsvc.ThingQueue{SetVersion: n.SetVersion, HeadVersion: n.HeadVersion}
	tq.Time = now
	list, jobs, doc, err := e.visibleQueue(ctx, q, namespace, document)
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		switch {
		case x.Status == jobsvc.StatusInProgress && len(tq.InProgress) < e.limits.PendingShown:
			tq.InProgress = append(tq.InProgress, *x)
		case x.Status == jobsvc.StatusQueued && len(tq.Queued) < e.limits.PendingShown:
			tq.Queued = append(tq.Queued, *x)
		}
	}
	if len(list) > 0 {
		tq.Head = list[0]
		if document {
			tq.Document = jobsvc.NewDocument(doc, jobs[tq.Head.JobID], tq.Head)
		}
	}
	return tq, nil
}

// visibleQueue gives the visible queue in order, with the jobs of the executions in
// it and, if wanted, the document of the head.
func (e *Engine) visibleQueue(ctx context.Context, q *jobsvc.Queue, namespace string, document bool) ([]*jobsvc.JobExecution, map[string]*jobsvc.Job, []byte, error) {
	list := q.List(namespace, jobsvc.AllVisible)
	if len(list) == 0 {
		return nil, nil, nil, nil
	}
	ids := make([]string, len(list))
	for i, x := range list {
		ids[i] = x.JobID
	}
	// The first is the head unless its job was just canceled.
	head := ""
	if document {
		head = list[0].JobID
	}
	read, doc, err := e.store.Jobs(ctx, ids, head)
	if err != nil {
		return nil, nil, nil, storeError(err)
	}
	jobs := make(map[string]*jobsvc.Job, len(ids))
	for i, id := range ids {
		jobs[id] = read[i]
	}
	list = slices.DeleteFunc(list, func(x *jobsvc.JobExecution) bool { return !visible(x, jobs[x.JobID]) })
	if document && len(list) > 0 && list[0].JobID != head {
		if _, doc, err = e.store.JobAndDocument(ctx, list[0].JobID); err != nil {
			return nil, nil, nil, storeError(err)
		}
	}
	return list, jobs, doc, nil
}

// StartNextPendingJobExecution begins the head of a thing's queue and returns it with
// its document; one that is IN_PROGRESS already comes back unchanged, but for a new
// step timer. An empty queue gives no execution.
//
// Errors: CodeInvalidRequest; CodeNotFound; CodeInternal when the document cannot be
// signed now, in which case nothing has moved.
//
// AWS: StartNextPendingJobExecution.
func (e *Engine) StartNextPendingJobExecution(ctx context.Context, r *jobsvc.StartNextPendingJobExecutionRequest) (*jobsvc.DeviceExecution, error) {
	if err := throttle(e.writes); err != nil {
		return nil, err
	}
	if err := e.limits.CheckStatusDetails(r.StatusDetails); err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	var res *jobsvc.DeviceExecution
	events, err := e.store.Update(ctx, kv.Thing(r.ThingName), func(tx *store.Tx) error {
		res = &jobsvc.DeviceExecution{Time: now}
		q, err := tx.Queue(r.ThingName)
		if err != nil {
			return err
		}
		x, job, err := headIn(tx, q, "")
		if err != nil {
			return err
		}
		if x == nil {
			return mustExist(tx, r.ThingName)
		}
		text, err := tx.PeekDocument(x.JobID)
		if err != nil {
			return err
		}
		doc := jobsvc.NewDocument(text, job, x)
		if err := e.ready(r.Sign, doc); err != nil {
			return err
		}
		before := *x
		if x.StartNext(r.StatusDetails, r.StepTimeout, e.timeoutOf(job), now) {
			if len(r.StatusDetails) > 0 {
				if err := roomForDetails(q); err != nil {
					return err
				}
			}
			e.saveChange(tx, &before, x)
			if err := e.saveQueue(tx, r.ThingName, q, ""); err != nil {
				return err
			}
		}
		started := *x
		res.Execution, res.Document = &started, doc
		return nil
	})
	if err != nil {
		return nil, e.failed(err)
	}
	e.notify(hintsOf(events))
	if res.Execution != nil {
		e.wakeFor(res.Execution.Deadline())
	}
	return res, nil
}

// maxPendingDetails bounds the status details of all pending executions of a thing, in
// bytes: about half of what a record may hold, so that there is room for what else is in
// a queue. One execution may have about 42,000.
const maxPendingDetails = kv.MaxValueBytes / 2

// roomForDetails refuses details that would leave no room in the queue: the thing could
// then be given no other job, and the rollouts of those it is a target of would wait for
// it for ever.
func roomForDetails(q *jobsvc.Queue) error {
	n := 0
	for i := range q.Pending {
		for k, v := range q.Pending[i].StatusDetails {
			n += len(k) + len(v)
		}
	}
	if n > maxPendingDetails {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The statusDetails of this thing's pending executions may have %d bytes together, not %d.", maxPendingDetails, n)
	}
	return nil
}

// timeoutOf is how long an execution may be IN_PROGRESS that begins now; 0 for ever.
func (e *Engine) timeoutOf(j *jobsvc.Job) time.Duration {
	if j.TimeoutConfig == nil || j.TimeoutConfig.InProgress == 0 {
		return e.rules.DefaultInProgress
	}
	return j.TimeoutConfig.InProgress
}

// headIn is the head of the visible queue with its job.
func headIn(tx *store.Tx, q *jobsvc.Queue, namespace string) (*jobsvc.JobExecution, *jobsvc.Job, error) {
	for _, x := range q.List(namespace, jobsvc.AllVisible) {
		j, err := tx.PeekJob(x.JobID)
		if err != nil {
			return nil, nil, err
		}
		if visible(x, j) {
			return x, j, nil
		}
	}
	return nil, nil, nil
}

// mustExist is asked where an empty answer could also mean that there is no such thing.
func mustExist(tx *store.Tx, thing string) error {
	t, err := tx.Thing(thing)
	if err == nil && t == nil {
		err = thingNotFound(thing)
	}
	return err
}

// wakeFor tells the scheduler of an execution's deadline, if it has one.
func (e *Engine) wakeFor(deadline time.Time) {
	if !deadline.IsZero() {
		poke(e.wake)
	}
}

// DescribePendingJobExecution is DescribeJobExecution of the device plane: the head of
// the queue for NextJobID (no execution when it is empty), else the execution of a job.
//
// Errors: CodeNotFound; CodeTerminalState, with State, for an ended execution;
// CodeInternal when the document cannot be signed now.
//
// AWS: DescribeJobExecution of the jobs data plane.
func (e *Engine) DescribePendingJobExecution(ctx context.Context, r *jobsvc.DescribeJobExecutionRequest) (*jobsvc.DeviceExecution, error) {
	if err := throttle(e.reads); err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	q, err := e.store.ThingAndQueue(ctx, r.ThingName)
	if err != nil {
		return nil, storeError(err)
	}
	if q == nil {
		return nil, thingNotFound(r.ThingName)
	}
	res := &jobsvc.DeviceExecution{Time: now}
	var job *jobsvc.Job
	var text []byte
	if r.JobID == jobsvc.NextJobID {
		list, jobs, doc, err := e.visibleQueue(ctx, q, r.NamespaceID, r.IncludeDocument)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return res, nil
		}
		res.Execution, job, text = list[0], jobs[list[0].JobID], doc
	} else {
		if res.Execution, job, text, err = e.pendingOf(ctx, q, r); err != nil {
			return nil, err
		}
	}
	if r.IncludeDocument {
		res.Document = jobsvc.NewDocument(text, job, res.Execution)
		if err := e.ready(r.Sign, res.Document); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// pendingOf finds the pending execution a device names by its job.
func (e *Engine) pendingOf(ctx context.Context, q *jobsvc.Queue, r *jobsvc.DescribeJobExecutionRequest) (*jobsvc.JobExecution, *jobsvc.Job, []byte, error) {
	missing := executionNotFound(r.ThingName, r.JobID)
	job, text, err := e.store.JobAndDocument(ctx, r.JobID)
	if err != nil {
		return nil, nil, nil, storeError(err)
	}
	if job == nil || job.Status == jobsvc.JobDeletionInProgress || job.NamespaceID != r.NamespaceID {
		return nil, nil, nil, missing
	}
	x := q.Find(r.JobID)
	if x == nil || r.ExecutionNumber != nil && *r.ExecutionNumber != x.ExecutionNumber {
		ended, err := e.ended(ctx, r.ThingName, r.JobID, r.ExecutionNumber)
		if err != nil {
			return nil, nil, nil, err
		}
		if ended == nil {
			return nil, nil, nil, missing
		}
		thing, err := e.store.Thing(ctx, r.ThingName)
		if err != nil {
			return nil, nil, nil, storeError(err)
		}
		if thing == nil || ended.ThingID != thing.ID { // see updatable
			return nil, nil, nil, missing
		}
		return nil, nil, nil, terminal(ended)
	}
	if canceled := asSwept(x, job); canceled != x {
		return nil, nil, nil, terminal(canceled)
	}
	return x, job, text, nil
}

func terminal(x *jobsvc.JobExecution) error {
	err := jobsvc.Errorf(jobsvc.CodeTerminalState, "The execution of job %s is %s.", x.JobID, x.Status)
	err.State = x.State()
	return err
}

// asSwept shows an execution as the sweep of its canceled or expired job will leave it, so
// that no reader can tell whether the sweep has come by.
func asSwept(x *jobsvc.JobExecution, job *jobsvc.Job) *jobsvc.JobExecution {
	if job.Status != jobsvc.JobCanceled && !job.Expired() || x.Status.Terminal() {
		return x
	}
	swept := *x
	if !swept.Cancel(job.ForceCanceled, job.LastUpdatedAt) {
		return x
	}
	return &swept
}

// ended reads an ended execution: that number, or the highest.
func (e *Engine) ended(ctx context.Context, thing, job string, number *int64) (*jobsvc.JobExecution, error) {
	if number != nil {
		x, err := e.store.Ended(ctx, thing, job, *number)
		return x, storeError(err)
	}
	x, err := e.store.LastEnded(ctx, thing, job)
	return x, storeError(err)
}

// UpdateJobExecution records the status a thing reports for one execution and returns
// its state after the change.
//
// A nil StatusDetails leaves the stored ones unchanged; a nil ExpectedVersion is not
// checked; a nil ExecutionNumber means the latest. The step timer is a whole number of
// minutes, or jobsvc.CancelStepTimeout; with a terminal status it does not matter. A
// failure that its job retries leaves the next attempt QUEUED.
//
// Errors: CodeInvalidRequest, CodeNotFound; with State: CodeVersionMismatch,
// CodeInvalidStateTransition; CodeInternal when a document was asked for that cannot be
// signed now. None of them changes anything.
//
// AWS: UpdateJobExecution; Developer Guide "Jobs device MQTT and HTTPS API operations".
func (e *Engine) UpdateJobExecution(ctx context.Context, r *jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error) {
	if err := throttle(e.writes); err != nil {
		return nil, err
	}
	if err := e.limits.CheckStatusDetails(r.StatusDetails); err != nil {
		return nil, err
	}
	if !r.Status.Valid() {
		// Found out here, since a bad member comes before what does not exist.
		return nil, (&jobsvc.JobExecution{}).Update(&r.JobExecutionUpdate, 0, time.Time{})
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	var res *jobsvc.UpdateJobExecutionResult
	var ended bool
	var deadline time.Time
	events, err := e.updateWithCounts(ctx, kv.Thing(r.ThingName), r.JobID, func(tx *store.Tx, counts *jobsvc.JobProcessDetails) error {
		res, ended, deadline = &jobsvc.UpdateJobExecutionResult{Time: now}, false, time.Time{}
		q, err := tx.Queue(r.ThingName)
		if err != nil {
			return err
		}
		x, job, err := e.updatable(tx, q, r)
		if err != nil {
			return err
		}
		if r.IncludeDocument {
			text, err := tx.PeekDocument(r.JobID)
			if err != nil {
				return err
			}
			res.Document = jobsvc.NewDocument(text, job, x)
			if err := e.ready(r.Sign, res.Document); err != nil {
				return err
			}
		}
		before := *x
		if err := e.outsideWindow(x, job, r); err != nil {
			return err
		}
		r.Allowed = e.rules.AllowedStatuses
		if err := x.Update(&r.JobExecutionUpdate, e.timeoutOf(job), now); err != nil {
			return err
		}
		if len(r.StatusDetails) > 0 && !x.Status.Terminal() {
			if err := roomForDetails(q); err != nil {
				return err
			}
		}
		if err := sabotage(r, x, res); err != nil {
			return err
		}
		ended, deadline = x.Status.Terminal(), x.Deadline()
		res.State = *x.State()
		e.saveChange(tx, &before, x)
		if before.Status == x.Status {
			tx.PutQueue(r.ThingName, q)
			return nil
		}
		if ended {
			if err := e.endPending(tx, q, x, job, counts, now); err != nil {
				return err
			}
		}
		return e.saveQueue(tx, r.ThingName, q, before.NamespaceID)
	})
	if err != nil && err != errNotKept {
		return nil, e.failed(err, r.JobID)
	}
	e.notify(hintsOf(events))
	e.wakeFor(deadline)
	if ended {
		e.waits() // its retry may
		e.unsettle(r.JobID)
	}
	return res, nil
}

// outsideWindow refuses, where the installation is strict, an update of a QUEUED execution
// whose job waits for a maintenance window. A wrong version is found first, by others.
func (e *Engine) outsideWindow(x *jobsvc.JobExecution, job *jobsvc.Job, r *jobsvc.UpdateJobExecutionRequest) error {
	if !e.rules.StrictWindow || job.Status != jobsvc.JobScheduled || x.Status != jobsvc.StatusQueued ||
		r.ExpectedVersion != nil && *r.ExpectedVersion != x.VersionNumber {
		return nil
	}
	err := jobsvc.Errorf(jobsvc.CodeInvalidStateTransition, "No maintenance window of job %s is open: its QUEUED executions wait.", job.ID)
	err.State = x.State()
	return err
}

// updatable finds the execution an update is for. An ended one comes back as a copy:
// the update is refused with its state.
func (e *Engine) updatable(tx *store.Tx, q *jobsvc.Queue, r *jobsvc.UpdateJobExecutionRequest) (*jobsvc.JobExecution, *jobsvc.Job, error) {
	job, err := tx.PeekJob(r.JobID)
	if err != nil {
		return nil, nil, err
	}
	if job == nil || job.Status == jobsvc.JobDeletionInProgress || job.NamespaceID != r.NamespaceID {
		return nil, nil, executionNotFound(r.ThingName, r.JobID)
	}
	x := q.Find(r.JobID)
	if x != nil && (r.ExecutionNumber == nil || *r.ExecutionNumber == x.ExecutionNumber) {
		// A QUEUED execution of a canceled job behaves as canceled, swept or not.
		return asSwept(x, job), job, nil
	}
	thing, err := tx.Thing(r.ThingName)
	if err != nil {
		return nil, nil, err
	}
	if thing == nil {
		return nil, nil, thingNotFound(r.ThingName)
	}
	if r.ExecutionNumber != nil {
		x, err = tx.Ended(r.ThingName, r.JobID, *r.ExecutionNumber)
	} else {
		x, err = tx.LastEnded(r.ThingName, r.JobID)
	}
	// A thing made again under an old name has not done what the old one did.
	if err == nil && (x == nil || x.ThingID != thing.ID) {
		err = executionNotFound(r.ThingName, r.JobID)
	}
	return x, job, err
}
