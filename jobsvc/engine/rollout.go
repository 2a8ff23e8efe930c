package engine

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/registry"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

const (
	// rolloutChunk is how many things are claimed at a time.
	rolloutChunk = 4000
	// The store gets so many of their transactions at once, and the next ones while
	// these are being committed, so that it need not wait for what they read. Devices
	// are told, and get their turn, between them.
	releaseChunk  = 1000
	releaseAtOnce = 2
	// One firing of the timer does so many chunks, or as many as stepTime has room for;
	// then other jobs get their turn.
	chunksPerStep = 2
	stepTime      = 200 * time.Millisecond
)

// stepRollout does the next piece of a job's rollout. It is a chain that anyone can
// take up after a crash:
//
//  1. a transaction of the job claims a chunk of things: from the last one done to the
//     one named in Claimed;
//  2. a transaction for each thing makes its execution, or finds it made;
//  3. a transaction of the job closes the claim, and claims the next chunk with it.
//
// A crash after 1 or within 2 repeats the chunk, which is harmless; a crash after 3
// repeats nothing. The timer stays until the last chunk is closed; where a rate holds the
// job back (see pace.go) it moves from window to window.
func (e *Engine) stepRollout(ctx context.Context, t store.Timer) error {
	began, err := e.now(ctx)
	if err != nil {
		return err
	}
	// In this order: a configuration that changes after the first read voids this step.
	r, err := e.store.Rollout(ctx, t.JobID)
	if err != nil {
		return err
	}
	job, err := e.store.Job(ctx, t.JobID)
	if err != nil {
		return err
	}
	if job == nil || r == nil || job.Status != jobsvc.JobInProgress || !r.Timer(job).Due.Equal(t.Due) {
		// Canceled, deleted or closed since the timer was read, or moved: they cleared it.
		return e.dropRolloutTimer(ctx, t)
	}
	if overdue, err := e.catchUp(ctx, job, began); overdue || err != nil {
		return err
	}
	r.Sources = sourcesOf(job, r)
	w := &walk{e: e, job: job}
	paced := e.paced(job)
	if r.Claimed != "" { // whoever claimed it did not come to close it
		things, err := w.claimed(ctx, r)
		if err != nil {
			return err
		}
		if paced {
			if r, things, err = e.enterWindow(ctx, job, r, things); err != nil || r == nil {
				return err
			}
		}
		n, err := e.release(ctx, job, things, e.claimOf(job, r, 0))
		if err != nil {
			return err
		}
		e.count(r, n)
	}
	var next *chunk
	for left := chunksPerStep - 1; left >= 0; left-- {
		if paced {
			if r, _, err = e.enterWindow(ctx, job, closeClaim(r), nil); err != nil || r == nil {
				return err
			}
		}
		if next == nil {
			next = w.nextChunk(ctx, r)
		}
		switch {
		case next.err != nil:
			return next.err
		case next.waits:
			return e.awaitWindow(ctx, t, job, r, next.rollout)
		case len(next.things) == 0:
			return e.endRollout(ctx, job, r, next.rollout)
		}
		now, err := e.now(ctx)
		if err != nil {
			return err
		}
		next.rollout.ClaimedAt, next.rollout.ChargedAt = now, now
		if r, err = e.putRollout(ctx, job.ID, r, next.rollout, nil); err != nil || r == nil {
			return err
		}
		var reading sync.WaitGroup
		things := next.things
		next = nil
		if left > 0 && !paced { // with a rate it matters what this one uses up
			reading.Go(func() { next = w.nextChunk(ctx, r) })
		}
		n, err := e.release(ctx, job, things, e.claimOf(job, r, 1))
		reading.Wait()
		if err != nil {
			return err
		}
		e.count(r, n)
		if next != nil && next.rollout != nil {
			next.rollout.Notified, next.rollout.Left = r.Notified, r.Left
		}
		if now, err = e.now(ctx); err != nil {
			return err
		}
		if now.Sub(began) >= stepTime {
			break
		}
	}
	_, err = e.putRollout(ctx, job.ID, r, closeClaim(r), nil)
	return err
}

// asOf is the time that says who is a member of a target; zero, which is always now, when
// the job follows its targets.
func asOf(job *jobsvc.Job, src *store.RolloutSource) time.Time {
	if job.TargetSelection == jobsvc.TargetContinuous {
		return time.Time{}
	}
	if src.AsOf.IsZero() {
		return job.Begun()
	}
	return src.AsOf
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
// will do that was there at asOf: a target that names the thing itself.
type member struct {
	name, id string
	asOf     time.Time
}

// walk goes over the things of a rollout for as long as a step lasts.
type walk struct {
	e   *Engine
	job *jobsvc.Job

	// The groups of the source looked at last, by its ARN. They are found anew in each
	// step, which costs what reading the members of one chunk does: there may be more of
	// them than a record holds, and as of one time they are always the same.
	resolved string
	groups   []string
}

// groupsOf gives a target group with those below it.
func (w *walk) groupsOf(ctx context.Context, src *store.RolloutSource, name string, at time.Time) ([]string, error) {
	if w.resolved != src.ARN {
		groups, err := registry.Descendants(ctx, w.e.store, name, at)
		if err != nil {
			return nil, err
		}
		w.resolved, w.groups = src.ARN, groups
	}
	return w.groups, nil
}

// members gives the first things of the source being worked on that come after r.Done,
// limit of them at most. ended tells that there are no others.
func (w *walk) members(ctx context.Context, r *store.Rollout, limit int) (things []member, ended bool, err error) {
	src := &r.Sources[r.Source]
	at := asOf(w.job, src)
	kind, name, _ := w.e.opts.Account.Parse(src.ARN)
	if kind == jobsvc.ARNThing {
		if r.Done != "" {
			return nil, true, nil
		}
		// One that is gone must not have the rollout wait for another window.
		t, err := w.e.store.Thing(ctx, name)
		if err != nil || t == nil {
			return nil, true, err
		}
		things, err = w.unserved(ctx, r, []store.GroupMember{{Thing: name, Membership: store.Membership{ThingID: t.ID}}}, at)
		for i := range things {
			things[i].id = "" // whichever has the name by then
		}
		return things, true, err
	}
	groups, err := w.groupsOf(ctx, src, name, at)
	if err != nil {
		return nil, false, err
	}
	page := limit
	if r.Again { // most are passed over
		page = rolloutChunk
	}
	for after := r.Done; ; {
		list, ended, err := registry.Members(ctx, w.e.store, groups, after, page, at)
		if err != nil {
			return nil, false, err
		}
		if things, err = w.unserved(ctx, r, list, at); err != nil {
			return nil, false, err
		}
		if ended = ended || len(list) == 0; ended || len(things) > 0 {
			return things[:min(limit, len(things))], ended && len(things) <= limit, nil
		}
		after = list[len(list)-1].Thing
	}
}

// unserved leaves out, in a walk over targets that were walked before, who has its
// execution. Each looks again when its turn comes.
func (w *walk) unserved(ctx context.Context, r *store.Rollout, list []store.GroupMember, at time.Time) ([]member, error) {
	var served []bool
	if r.Again {
		var err error
		if served, err = w.e.store.Served(ctx, w.job.ID, list); err != nil {
			return nil, err
		}
	}
	things := make([]member, 0, len(list))
	for i, m := range list {
		if served == nil || !served[i] {
			things = append(things, member{m.Thing, m.ThingID, at})
		}
	}
	return things, nil
}

// claimed gives the things of a chunk that was claimed before: those after r.Done, up to
// and including the one named.
func (w *walk) claimed(ctx context.Context, r *store.Rollout) ([]member, error) {
	var all []member
	for from := *r; ; {
		things, ended, err := w.members(ctx, &from, rolloutChunk)
		if err != nil {
			return nil, err
		}
		for _, m := range things {
			if m.name > r.Claimed {
				return all, nil
			}
			all = append(all, m)
		}
		if ended {
			return all, nil
		}
		from.Done = things[len(things)-1].name
	}
}

// chunk is what a rollout does next: things, none at the end, and the rollout with them
// claimed. With waits there are things, but not in this window.
type chunk struct {
	things  []member
	rollout *store.Rollout
	waits   bool
	err     error
}

// nextChunk gives the things after the claimed chunk, of the next source when this one
// is through.
func (w *walk) nextChunk(ctx context.Context, r *store.Rollout) *chunk {
	next := closeClaim(r)
	for w.turn(next) {
		src, limit := &next.Sources[next.Source], int64(rolloutChunk)
		charged := w.e.paced(w.job) && w.e.ofRollout(src)
		var room int64
		if charged {
			now, err := w.e.now(ctx)
			if err != nil {
				return &chunk{err: err}
			}
			room = w.e.room(next, now)
			limit = min(limit, max(1, room)) // one more, to see whether it is the end
		}
		things, _, err := w.members(ctx, next, int(limit))
		switch {
		case err != nil:
			return &chunk{err: err}
		case len(things) == 0:
			src.Ended = true
			continue
		case charged && room <= 0:
			return &chunk{rollout: next, waits: true}
		case charged:
			next.Left -= int64(len(things))
		}
		next.Claimed = things[len(things)-1].name
		return &chunk{things: things, rollout: next}
	}
	return &chunk{rollout: next}
}

// endRollout closes the last chunk and the rollout with it.
func (e *Engine) endRollout(ctx context.Context, job *jobsvc.Job, r, next *store.Rollout) error {
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	ended, err := e.putRollout(ctx, job.ID, r, next, func(tx *store.Tx, j *jobsvc.Job) {
		dropRollout(tx, j)
		j.RolloutDone = true
		j.Pace = next.RolloutPace
		j.Concurrent = false
		j.LastUpdatedAt = now
		tx.PutJob(j)
	})
	if err != nil {
		return e.failed(err, job.ID)
	}
	if ended == nil {
		return nil
	}
	e.unsettle(job.ID)
	return nil
}

// release makes the executions of the things of a claim, one transaction each, and tells
// the devices. It comes back when all are made, or after a failure when nothing is under
// way any more.
func (e *Engine) release(ctx context.Context, job *jobsvc.Job, things []member, c claim) (released, error) {
	now, err := e.now(ctx)
	if err != nil {
		return released{}, err
	}
	n := (len(things) + releaseChunk - 1) / releaseChunk
	errs, counts := make([]error, n), make([]released, n)
	room := make(chan struct{}, releaseAtOnce)
	var wg sync.WaitGroup
	i := 0
	for part := range slices.Chunk(things, releaseChunk) {
		failed, count := &errs[i], &counts[i]
		i++
		room <- struct{}{}
		wg.Go(func() {
			*count, *failed = e.releasePart(ctx, job, part, c, now)
			<-room
		})
	}
	wg.Wait()
	var sum released
	for _, c := range counts {
		sum.notified += c.notified
		sum.unused += c.unused
	}
	return sum, cmp.Or(errs...)
}

func (e *Engine) releasePart(ctx context.Context, job *jobsvc.Job, things []member, c claim, now time.Time) (released, error) {
	ops := make([]store.Op, len(things))
	for i, m := range things {
		ops[i] = store.Op{Scope: kv.Thing(m.name), Fn: func(tx *store.Tx) error {
			made, err := e.createExecution(tx, job, m, c, now)
			if err != nil || made {
				return err
			}
			return c.checkUsed(tx, m.name, job)
		}, Reads: store.ReadsNewExecution(m.name, job.ID)}
	}
	n := released{notified: int64(len(things))}
	err := e.updateManyAnd(ctx, ops, func(ev kv.Event) {
		if u, ok := ev.(unused); ok {
			n.unused++
			if !u.notified {
				n.notified--
			}
		}
	})
	return n, err
}

// updateMany runs a chunk of transactions and hands the hints they leave to the
// notifier. The first failure is the chunk's: it will be repeated, and what was done
// is found done.
func (e *Engine) updateMany(ctx context.Context, ops []store.Op) error {
	return e.updateManyAnd(ctx, ops, func(kv.Event) {})
}

// updateManyAnd is updateMany, and shows every event.
func (e *Engine) updateManyAnd(ctx context.Context, ops []store.Op, see func(kv.Event)) error {
	var failed error
	var hints []Hint
	for _, res := range e.store.UpdateMany(ctx, ops) {
		if res.Err != nil && failed == nil {
			failed = res.Err
		}
		for _, ev := range res.Events {
			see(ev)
			if h, ok := ev.(Hint); ok {
				hints = append(hints, h)
			}
		}
		e.changed(ctx, res.Events, res.Err)
	}
	e.notify(hints)
	return failed
}

// createExecution gives a thing its first execution of a job, unless it has one, is
// gone, or is not the thing that was meant any more. It tells whether it did.
func (e *Engine) createExecution(tx *store.Tx, claimed *jobsvc.Job, m member, c claim, now time.Time) (made bool, err error) {
	thing, err := tx.Thing(m.name)
	if err != nil || thing == nil || m.id != "" && thing.ID != m.id {
		return false, err
	}
	// Peek: a cancel or delete that was committed before us is seen; their sweeps find
	// what was committed before them.
	job, err := tx.PeekJob(claimed.ID)
	if err != nil || job == nil || job.Status != jobsvc.JobInProgress || job.Stopped || !job.CreatedAt.Equal(claimed.CreatedAt) {
		return false, err
	}
	if job.TargetSelection == jobsvc.TargetContinuous {
		return e.createCovered(tx, job, thing, c.waiting, now)
	}
	if thing.CreatedAt.After(m.asOf) { // made again under the name of a target
		return false, nil
	}
	q, err := tx.Queue(m.name)
	if err != nil || q.Find(job.ID) != nil {
		return false, err
	}
	// It may even have ended, or been deleted, when a chunk is repeated.
	was, err := tx.Was(m.name, job.ID, 1)
	if err != nil || was {
		return false, err
	}
	x := jobsvc.NewJobExecution(job, thing, 1, now)
	if full(q) {
		e.refuse(tx, q, &x, now)
		return true, nil
	}
	e.queueNew(tx, &x)
	q.Pending = append(q.Pending, x)
	return true, e.saveQueue(tx, m.name, q, x.NamespaceID)
}
