package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// A CONTINUOUS job follows its targets: a thing that enters their union gets an execution,
// one that leaves it loses the one it has not begun. Both happen in the transaction of the
// thing that changes its memberships, so nothing can be lost between the two. Which jobs
// to look at is told by lists, one for each target (see job_lists.go).
//
// What is due is read off the state, not off the kind of change: is the thing covered, and
// is its last execution Uncovered, that is, has the thing left since? An execution becomes
// so when its thing leaves, whatever its status. So doing it again is harmless, and the
// rollout, which does the same for one thing after the other, needs to know nothing of
// what came before.
//
// That nothing is lost and nothing done twice: transactions of one thing are serial, and
// each of them that concerns a job reads there what the thing has of it. What is left is
// which of them run. Call C the commit of a job, or of further targets; its rollout walks
// who is a member at the time it reads, which is after C.
//
//   - A thing joins before C: the walk finds it, as long as it stays. It was judged without
//     the job, since PeekJob did not give it.
//   - It joins after C: the job was on the lists before C, so the join sees it, and makes
//     the execution whether the walk has passed, is there, or is yet to come. Who comes
//     second finds it made. The same while a chunk is claimed.
//   - It leaves before C, or before the walk reads it: nothing has been made.
//   - It leaves after the walk read it: the transaction that is to make the execution looks
//     at the memberships once more (createCovered), and comes before the leave, which then
//     takes it back, or after it, and makes nothing.
//   - It moves, from where the walk is yet to come to where it has been: it was covered and
//     still is, but the walk will miss it. So whoever loses a membership, is still covered,
//     and never had an execution, gets it at once.
//   - It joins while the job is SCHEDULED: nothing is made. At the opening the walk goes
//     over all targets anew (walkAgain), and finds it like one that joined before C. It
//     leaves meanwhile: that is seen as ever.
//   - The job ends: executions are made under PeekJob of an active one alone, and the sweep
//     of a cancel finds what was made before it.

// follow does what a change of memberships means for CONTINUOUS jobs. It costs a read or a
// few where there are none.
func (e *Engine) follow(tx *store.Tx, t *jobsvc.Thing, m *memberships) error {
	up := &ancestry{tx: tx, known: map[string]*jobsvc.ThingGroup{}}
	after, err := up.all(slices.Concat(slices.Collect(maps.Keys(m.static)), slices.Collect(maps.Keys(m.dynamic))))
	if err != nil {
		return err
	}
	before, err := up.all(m.before)
	if err != nil {
		return err
	}
	// What the thing may have entered or left; who left something may have been missed where
	// it stays.
	look := map[string]bool{}
	whole := !m.replaced
	c := &m.change
	for _, g := range slices.Concat(c.Joined, c.Left) {
		names, _, err := up.above(g.Name) // of one that is gone the name; see m.above
		if err != nil {
			return err
		}
		add(look, names)
	}
	if m.above != "" {
		names, all, err := up.above(m.above)
		if err != nil {
			return err
		}
		add(look, names)
		whole = whole && all
	}
	if len(c.Left) > 0 {
		add(look, after)
	}
	var targets []store.Target
	for _, name := range slices.Sorted(maps.Keys(look)) {
		targets = append(targets, store.Target{Kind: jobsvc.ARNThingGroup, Name: name})
	}
	if m.new {
		targets = append(targets, store.Target{Kind: jobsvc.ARNThing, Name: t.Name})
	}
	jobs, err := jobsOn(tx, targets)
	if err != nil {
		return err
	}
	if !whole {
		if err := everyJobOf(tx, t.Name, jobs); err != nil {
			return err
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	f := &follower{e: e, tx: tx, thing: t, now: c.At}
	for _, id := range slices.Sorted(maps.Keys(jobs)) {
		job, err := tx.PeekJob(id)
		if err != nil {
			return err
		}
		if job == nil || !job.Follows() {
			continue
		}
		if !e.covers(job, t.Name, after) {
			err = f.leave(job)
		} else if !job.Stopped {
			was := !m.new && e.covers(job, t.Name, before)
			_, err = f.cover(job, !was, !was || len(c.Left) > 0)
		}
		if err != nil {
			return err
		}
	}
	return f.save()
}

func add(set map[string]bool, names []string) {
	for _, n := range names {
		set[n] = true
	}
}

// jobsOn gives the jobs that are on the lists of targets.
func jobsOn(tx *store.Tx, targets []store.Target) (map[string]bool, error) {
	lists, err := tx.PeekTargetJobs(targets)
	if err != nil {
		return nil, err
	}
	jobs := map[string]bool{}
	for _, l := range lists {
		add(jobs, l)
	}
	return jobs, nil
}

// everyJobOf adds all jobs that the thing has executions of. It is asked where a thing
// leaves a group that is gone, and what was above that group is not known any more: a
// group of the same name was made, or the one above is gone too.
func everyJobOf(tx *store.Tx, thing string, jobs map[string]bool) error {
	q, err := tx.Queue(thing)
	if err != nil {
		return err
	}
	for i := range q.Pending {
		jobs[q.Pending[i].JobID] = true
	}
	ended, err := tx.JobsOfEnded(thing)
	add(jobs, ended)
	return err
}

// covers tells whether a job covers a thing that is in groups, those above them included.
func (e *Engine) covers(job *jobsvc.Job, thing string, groups []string) bool {
	return e.anyCovers(job.Targets, thing, groups)
}

func (e *Engine) anyCovers(targets []string, thing string, groups []string) bool {
	for _, arn := range targets {
		switch kind, name, _ := e.opts.Account.Parse(arn); kind {
		case jobsvc.ARNThing:
			if name == thing {
				return true
			}
		case jobsvc.ARNThingGroup:
			if slices.Contains(groups, name) {
				return true
			}
		}
	}
	return false
}

// ancestry looks up what is above groups, each once.
type ancestry struct {
	tx    *store.Tx
	known map[string]*jobsvc.ThingGroup // nil: there is none of the name
}

// above gives a group with those above it. whole is false when one of them is gone: what
// was above that is not known.
func (a *ancestry) above(name string) (names []string, whole bool, err error) {
	for name != "" && !slices.Contains(names, name) {
		names = append(names, name)
		g, ok := a.known[name]
		if !ok {
			if g, err = a.tx.PeekThingGroup(name); err != nil {
				return nil, false, err
			}
			a.known[name] = g
		}
		if g == nil {
			return names, false, nil
		}
		name = g.Parent
	}
	return names, true, nil
}

// all gives groups with all above them.
func (a *ancestry) all(groups []string) ([]string, error) {
	set := map[string]bool{}
	for _, g := range groups {
		names, _, err := a.above(g)
		if err != nil {
			return nil, err
		}
		add(set, names)
	}
	return slices.Collect(maps.Keys(set)), nil
}

// follower makes and ends executions of one thing in one transaction, and writes its
// queue once.
type follower struct {
	e     *Engine
	tx    *store.Tx
	thing *jobsvc.Thing
	now   time.Time

	queue      *jobsvc.Queue // nil until it is looked at
	changed    bool
	namespaces []string // of what came to the queue or left it
}

func (f *follower) find(jobID string) (*jobsvc.JobExecution, error) {
	if f.queue == nil {
		q, err := f.tx.Queue(f.thing.Name)
		if err != nil {
			return nil, err
		}
		f.queue = q
	}
	return f.queue.Find(jobID), nil
}

func (f *follower) note(namespace string) {
	f.changed = true
	if !slices.Contains(f.namespaces, namespace) {
		f.namespaces = append(f.namespaces, namespace)
	}
}

// leave does what it means for a job that it does not cover the thing, or no more.
func (f *follower) leave(job *jobsvc.Job) error {
	x, err := f.find(job.ID)
	if err != nil {
		return err
	}
	if x == nil {
		last, err := f.tx.LastAttempt(f.thing.Name, job.ID)
		if err == nil && last.Number > 0 && !last.Left && last.Of(f.thing.ID) {
			f.tx.MarkLeft(f.thing.Name, job.ID, last)
		}
		return err
	}
	if x.Status != jobsvc.StatusQueued && !f.e.rules.RemoveInProgressOnLeave {
		f.changed = f.changed || !x.Uncovered
		x.Uncovered = true
		return nil
	}
	before := *x
	x.Uncovered = true
	x.Remove(f.now)
	f.e.saveChange(f.tx, &before, x)
	f.queue.Remove(job.ID) // x is gone
	f.tx.After(removedFrom{job.ID})
	f.note(job.NamespaceID)
	return nil
}

// cover does what it means for a job that it covers the thing. entered tells that it did
// not before. first asks for the thing's first execution; without it the rollout sees to
// that. It tells whether it made one.
func (f *follower) cover(job *jobsvc.Job, entered, first bool) (made bool, err error) {
	x, err := f.find(job.ID)
	if err != nil {
		return false, err
	}
	if x != nil {
		f.changed = x.Cover() || f.changed
		return false, nil
	}
	last, err := f.tx.LastAttempt(f.thing.Name, job.ID)
	if err != nil {
		return false, err
	}
	works := job.Status == jobsvc.JobInProgress
	switch {
	case last.Number == 0:
		if !first || !works {
			return false, nil
		}
	case !last.Of(f.thing.ID): // one made again has done nothing yet
		if !works {
			return false, nil
		}
	case !last.Left && !entered:
		return false, nil
	case !f.e.rules.RerunOnRejoin && (last.Execution == nil || last.Execution.Status != jobsvc.StatusRemoved):
		return false, nil
	case !works:
		if !last.Left { // it left a group whose deletion has not come to it yet
			f.tx.MarkLeft(f.thing.Name, job.ID, last)
		}
		return false, nil
	}
	f.make(job, last.Number+1)
	return true, nil
}

// make gives the thing an execution.
func (f *follower) make(job *jobsvc.Job, number int64) {
	x := jobsvc.NewJobExecution(job, f.thing, number, f.now)
	if full(f.queue) {
		f.e.refuse(f.tx, f.queue, &x, f.now)
		return
	}
	f.e.queueNew(f.tx, &x)
	f.queue.Pending = append(f.queue.Pending, x)
	f.note(job.NamespaceID)
}

// save writes the queue, and leaves a Hint for each namespace where devices are to be
// told.
func (f *follower) save() error {
	if !f.changed {
		return nil
	}
	var failed error
	var hints []Hint
	for _, ns := range f.namespaces {
		if f.queue.Refresh(ns, visibleIn(f.tx, &failed)) {
			n := f.queue.Notice(ns)
			hints = append(hints, Hint{ThingName: f.thing.Name, NamespaceID: ns, SetVersion: n.SetVersion, HeadVersion: n.HeadVersion})
		}
	}
	if failed != nil {
		return failed
	}
	f.tx.PutQueue(f.thing.Name, f.queue)
	for _, h := range hints {
		f.tx.After(h)
	}
	return nil
}

// full tells whether a thing has as many pending executions as it may have.
func full(q *jobsvc.Queue) bool { return len(q.Pending) >= jobsvc.MaxPending }

// refuse ends a new execution that there is no room for. Something is wrong with the
// thing, or with who makes its jobs. The operator sees it in the counts, and everyone
// else's rollout goes on.
func (e *Engine) refuse(tx *store.Tx, q *jobsvc.Queue, x *jobsvc.JobExecution, now time.Time) {
	x.StatusDetails = map[string]string{"reason": fmt.Sprintf("The thing has %d pending executions already.", len(q.Pending))}
	x.Cancel(false, now)
	tx.IndexExecution(x, "", x.Status)
	tx.PutEnded(x)
	e.executionEvent(tx, x)
}

// createCovered is createExecution for a CONTINUOUS job. Since the rollout read its name
// the thing may have left, or joined and got its execution. One that others of the targets
// cover, those in waiting, has its turn there: a further target does not hurry it.
func (e *Engine) createCovered(tx *store.Tx, job *jobsvc.Job, t *jobsvc.Thing, waiting []string, now time.Time) (made bool, err error) {
	if !job.Follows() || job.Stopped {
		return false, nil
	}
	m, err := e.memberships(tx, t, now)
	if err != nil {
		return false, err
	}
	up := &ancestry{tx: tx, known: map[string]*jobsvc.ThingGroup{}}
	groups, err := up.all(m.before)
	if err != nil || !e.covers(job, t.Name, groups) || e.anyCovers(waiting, t.Name, groups) {
		return false, err
	}
	f := &follower{e: e, tx: tx, thing: t, now: now}
	if made, err = f.cover(job, false, true); err != nil {
		return false, err
	}
	return made, f.save()
}

// walkAgain has a CONTINUOUS job that worked before, and stood still since, look at all
// its targets anew: who joined meanwhile gets an execution, who has one is passed over.
// The caller writes the job.
func walkAgain(tx *store.Tx, job *jobsvc.Job, now time.Time) error {
	r, err := tx.Rollout(job.ID)
	if err != nil {
		return err
	}
	if r == nil {
		r = anotherRollout(job, now)
	}
	r.Sources, r.Source, r.Done, r.Claimed, r.Again = nil, 0, "", "", true
	r.ClaimedAt, r.ChargedAt = time.Time{}, time.Time{}
	r.Steps++
	goOn(tx, job, r)
	return nil
}
