package engine

import (
	"context"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/registry"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// rolloutChunk is how many things one step of a rollout takes on. Their transactions
// share physical commits, between which devices get their turn.
const rolloutChunk = 1000

// stepRollout does the next piece of a job's rollout. It is a chain that anyone can
// take up after a crash:
//
//  1. a transaction of the job claims a chunk of things: from the last one done to the
//     one named in Claimed;
//  2. a transaction for each thing makes its execution, or finds it made;
//  3. a transaction of the job closes the claim and claims the next chunk.
//
// A crash after 1 or within 2 repeats the chunk, which is harmless; a crash after 3
// repeats nothing. The timer stays until the last chunk is closed.
func (e *Engine) stepRollout(ctx context.Context, t store.Timer) error {
	job, err := e.store.Job(ctx, t.JobID)
	if err != nil {
		return err
	}
	r, err := e.store.Rollout(ctx, t.JobID)
	if err != nil {
		return err
	}
	if job == nil || r == nil || job.Status != jobsvc.JobInProgress {
		// Canceled or deleted since the timer was read: they cleared it.
		return e.dropTimer(ctx, t)
	}
	if r.Sources == nil {
		if r, err = e.beginRollout(ctx, job, r); err != nil || r == nil {
			return err
		}
	}
	if r.Claimed != "" {
		things, err := e.chunk(ctx, job, r, r.Claimed)
		if err != nil {
			return err
		}
		if err := e.release(ctx, job, things); err != nil {
			return err
		}
	}
	return e.claimNext(ctx, job, r)
}

// beginRollout resolves the targets to groups, once. It gives nil when another step
// came first.
func (e *Engine) beginRollout(ctx context.Context, job *jobsvc.Job, r *store.Rollout) (*store.Rollout, error) {
	next := *r
	next.Sources = []store.RolloutSource{}
	for _, arn := range job.Targets {
		kind, name, _ := e.opts.Account.Parse(arn)
		src := store.RolloutSource{ARN: arn}
		if kind == jobsvc.ARNThing {
			src.Thing = name
		} else {
			groups, err := registry.Descendants(ctx, e.store, name, job.CreatedAt)
			if err != nil {
				return nil, err
			}
			src.Groups = groups
		}
		next.Sources = append(next.Sources, src)
	}
	return e.putRollout(ctx, job.ID, r, &next, nil)
}

// putRollout replaces a rollout that is still the one that was read, in a transaction
// of the job; also, when not nil, changes the job with it. It gives nil when the
// rollout has moved on: whoever moved it goes on.
func (e *Engine) putRollout(ctx context.Context, id string, old, next *store.Rollout, also func(*store.Tx, *jobsvc.Job)) (*store.Rollout, error) {
	next.Steps = old.Steps + 1
	var current bool
	_, err := e.store.Update(ctx, kv.Job(id), func(tx *store.Tx) error {
		current = false
		job, err := tx.Job(id)
		if err != nil {
			return err
		}
		r, err := tx.Rollout(id)
		if err != nil {
			return err
		}
		if job == nil || job.Status != jobsvc.JobInProgress || r == nil || r.Steps != old.Steps {
			return nil
		}
		current = true
		if also != nil {
			also(tx, job)
			return nil
		}
		tx.PutRollout(id, next)
		return nil
	})
	if err != nil || !current {
		return nil, err
	}
	return next, nil
}

// member is a thing that is to get an execution. ID is "" when any thing of the name
// will do: a target that names the thing itself.
type member struct{ name, id string }

// chunk gives the things after r.Done, up to and including a name.
func (e *Engine) chunk(ctx context.Context, job *jobsvc.Job, r *store.Rollout, upTo string) ([]member, error) {
	src := r.Sources[r.Source]
	if src.Thing != "" {
		return []member{{name: src.Thing}}, nil
	}
	var things []member
	for after := r.Done; ; {
		list, ended, err := registry.Members(ctx, e.store, src.Groups, after, rolloutChunk, job.CreatedAt)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			if m.Thing > upTo {
				return things, nil
			}
			things = append(things, member{m.Thing, m.ThingID})
		}
		if ended || len(list) == 0 {
			return things, nil
		}
		after = list[len(list)-1].Thing
	}
}

// claimNext closes the claimed chunk and claims the one after it; after the last one
// it ends the rollout.
func (e *Engine) claimNext(ctx context.Context, job *jobsvc.Job, r *store.Rollout) error {
	next := *r
	if r.Claimed != "" {
		next.Done, next.Claimed = r.Claimed, ""
	}
	for ; next.Source < len(next.Sources); next.Source, next.Done = next.Source+1, "" {
		last, err := e.endOfChunk(ctx, job, &next)
		if err != nil {
			return err
		}
		if last != "" {
			next.Claimed = last
			_, err := e.putRollout(ctx, job.ID, r, &next, nil)
			return err
		}
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	ended, err := e.putRollout(ctx, job.ID, r, &next, func(tx *store.Tx, j *jobsvc.Job) {
		dropRollout(tx, j)
		j.RolloutDone = true
		j.Concurrent = false
		j.LastUpdatedAt = now
		tx.PutJob(j)
	})
	if err != nil || ended == nil {
		return err
	}
	e.unsettle(job.ID)
	return nil
}

// endOfChunk is the name of the last thing of the chunk after r.Done; "" when the
// source has no more.
func (e *Engine) endOfChunk(ctx context.Context, job *jobsvc.Job, r *store.Rollout) (string, error) {
	src := r.Sources[r.Source]
	if src.Thing != "" {
		if r.Done != "" {
			return "", nil
		}
		return src.Thing, nil
	}
	list, _, err := registry.Members(ctx, e.store, src.Groups, r.Done, rolloutChunk, job.CreatedAt)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[len(list)-1].Thing, nil
}

// release makes the executions of things, one transaction each, and tells the devices.
func (e *Engine) release(ctx context.Context, job *jobsvc.Job, things []member) error {
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	ops := make([]store.Op, len(things))
	for i, m := range things {
		ops[i] = store.Op{Scope: kv.Thing(m.name), Fn: func(tx *store.Tx) error { return e.createExecution(tx, job, m, now) }}
	}
	return e.updateMany(ctx, ops)
}

// updateMany runs a chunk of transactions and hands the hints they leave to the
// notifier. The first failure is the chunk's: it will be repeated, and what was done
// is found done.
func (e *Engine) updateMany(ctx context.Context, ops []store.Op) error {
	var failed error
	var hints []Hint
	for _, res := range e.store.UpdateMany(ctx, ops) {
		if res.Err != nil && failed == nil {
			failed = res.Err
		}
		for _, ev := range res.Events {
			if h, ok := ev.(Hint); ok {
				hints = append(hints, h)
			}
		}
	}
	e.notify(hints)
	return failed
}

// createExecution gives a thing its first execution of a job, unless it has one, is
// gone, or is not the thing that was meant any more.
func (e *Engine) createExecution(tx *store.Tx, claimed *jobsvc.Job, m member, now time.Time) error {
	thing, err := tx.Thing(m.name)
	if err != nil || thing == nil || m.id != "" && thing.ID != m.id {
		return err
	}
	// Peek: a cancel or delete that was committed before us is seen; their sweeps find
	// what was committed before them.
	job, err := tx.PeekJob(claimed.ID)
	if err != nil || job == nil || job.Status != jobsvc.JobInProgress || !job.CreatedAt.Equal(claimed.CreatedAt) {
		return err
	}
	if thing.CreatedAt.After(job.CreatedAt) { // made again under the name of a target
		return nil
	}
	q, err := tx.Queue(m.name)
	if err != nil || q.Find(job.ID) != nil {
		return err
	}
	// The first attempt may even have ended already, when a chunk is repeated.
	ended, err := tx.Ended(m.name, job.ID, 1)
	if err != nil || ended != nil {
		return err
	}
	x := jobsvc.NewJobExecution(job, thing, 1, now)
	q.Pending = append(q.Pending, x)
	tx.IndexExecution(&x, "", x.Status)
	return e.saveQueue(tx, m.name, q, x.NamespaceID)
}
