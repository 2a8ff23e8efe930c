package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

func errDamaged(k []byte) error { return fmt.Errorf("store: record %q is damaged", k) }

func compareRefs(a, b ExecutionRef) int {
	return cmp.Or(a.QueuedAt.Compare(b.QueuedAt), cmp.Compare(a.Thing, b.Thing), cmp.Compare(a.Number, b.Number))
}

// Job reads the job of the transaction's scope. It is the caller's to change.
func (t *Tx) Job(id string) (*jobsvc.Job, error) {
	b, err := t.get(newKey(tagJob, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.Job](b)
}

// PeekJob reads a job from the transaction of a thing. It is shared: not to be
// changed.
func (t *Tx) PeekJob(id string) (*jobsvc.Job, error) {
	b, err := t.peek(newKey(tagJob, id))
	if err != nil {
		return nil, err
	}
	return t.s.jobs.decode(id, b)
}

// PeekDocument reads the document of a job from the transaction of a thing.
func (t *Tx) PeekDocument(id string) ([]byte, error) { return t.peek(newKey(tagDocument, id)) }

// CreateJob writes a new job with its document.
func (t *Tx) CreateJob(j *jobsvc.Job, document []byte) {
	t.PutJob(j)
	t.tx.Put(newKey(tagDocument, j.ID), document)
	t.tx.Put(newKey(tagJobByTime).newest(j.CreatedAt).name(j.ID), []byte{})
}

// PutJob writes a job and keeps the counts that quotas look at.
func (t *Tx) PutJob(j *jobsvc.Job) {
	t.countJob(j.ID, j)
	t.tx.Put(newKey(tagJob, j.ID), encodeJSON(j))
}

// The classes of jobs that are counted.
const (
	countActiveSnapshot byte = iota + 1
	countActiveContinuous
	countConcurrent
	countDeleting
)

func jobClasses(j *jobsvc.Job) (in [5]int64) {
	if j == nil {
		return in
	}
	switch {
	case j.Status == jobsvc.JobDeletionInProgress:
		in[countDeleting] = 1
	case j.Active() && j.TargetSelection == jobsvc.TargetContinuous:
		in[countActiveContinuous] = 1
	case j.Active():
		in[countActiveSnapshot] = 1
	}
	if j.Concurrent {
		in[countConcurrent] = 1
	}
	return in
}

// countJob counts a job out of what it was and into what it is to be, nil for gone. When
// what it was cannot be read the transaction fails for that by itself.
func (t *Tx) countJob(id string, is *jobsvc.Job) {
	was, err := t.Job(id)
	if err != nil {
		return
	}
	before, after := jobClasses(was), jobClasses(is)
	for class := countActiveSnapshot; class <= countDeleting; class++ {
		if d := after[class] - before[class]; d != 0 {
			t.tx.Add(newKey(tagJobCount).byte(class), d)
		}
	}
}

// JobCounts reads how many jobs there are that quotas are about.
func (s *Store) JobCounts(ctx context.Context) (c jobsvc.JobCounts, err error) {
	counts, err := s.db.Counters(ctx, newKey(tagJobCount))
	if err != nil {
		return c, err
	}
	n := func(class byte) int64 { return counts[string(newKey(tagJobCount).byte(class))] }
	return jobsvc.JobCounts{
		ActiveSnapshot: n(countActiveSnapshot), ActiveContinuous: n(countActiveContinuous),
		Concurrent: n(countConcurrent), Deleting: n(countDeleting),
	}, nil
}

// DeleteJob takes a job away with all that belongs to it but its executions.
func (t *Tx) DeleteJob(j *jobsvc.Job) {
	t.countJob(j.ID, nil)
	t.tx.Delete(newKey(tagJob, j.ID))
	t.tx.Delete(newKey(tagDocument, j.ID))
	t.tx.Delete(newKey(tagRollout, j.ID))
	t.DeleteTags(Resource{jobsvc.ARNJob, j.ID})
	t.tx.Delete(newKey(tagJobByTime).newest(j.CreatedAt).name(j.ID))
	for _, s := range jobsvc.JobExecutionStatuses() {
		t.tx.Delete(counterKey(j.ID, s))
	}
}

// Job reads a job. It is shared: not to be changed.
func (s *Store) Job(ctx context.Context, id string) (*jobsvc.Job, error) {
	b, err := s.get(ctx, newKey(tagJob, id))
	if err != nil {
		return nil, err
	}
	return s.jobs.decode(id, b)
}

// Jobs reads many jobs in one round trip; a missing one is nil. With document the
// document of that job comes along. They are shared: not to be changed.
func (s *Store) Jobs(ctx context.Context, ids []string, document string) ([]*jobsvc.Job, []byte, error) {
	keys := make([][]byte, len(ids), len(ids)+1)
	for i, id := range ids {
		keys[i] = newKey(tagJob, id)
	}
	if document != "" {
		keys = append(keys, newKey(tagDocument, document))
	}
	if len(keys) == 0 {
		return nil, nil, nil
	}
	items, err := s.db.Get(ctx, keys...)
	if err != nil {
		return nil, nil, err
	}
	jobs := make([]*jobsvc.Job, len(ids))
	for i, id := range ids {
		if jobs[i], err = s.jobs.decode(id, items[i].Value); err != nil {
			return nil, nil, err
		}
	}
	if document == "" {
		return jobs, nil, nil
	}
	return jobs, items[len(ids)].Value, nil
}

// JobAndDocument reads a job with its document in one round trip.
func (s *Store) JobAndDocument(ctx context.Context, id string) (*jobsvc.Job, []byte, error) {
	jobs, doc, err := s.Jobs(ctx, []string{id}, id)
	if err != nil {
		return nil, nil, err
	}
	return jobs[0], doc, nil
}

// JobCursor is a place in the list of jobs: after that job. The zero one is the
// beginning.
type JobCursor struct {
	CreatedAt time.Time
	ID        string
}

// ListJobs lists jobs, newest first, those that keep lets through, at most limit.
// more tells whether there may be others after the last.
func (s *Store) ListJobs(ctx context.Context, from JobCursor, limit int, keep func(*jobsvc.Job) bool) (jobs []jobsvc.Job, more bool, err error) {
	prefix := newKey(tagJobByTime)
	var last key
	if from != (JobCursor{}) {
		last = newKey(tagJobByTime).newest(from.CreatedAt).name(from.ID)
	}
	r := after(prefix, last, 256)
	r.KeysOnly = true
	for {
		items, next, err := s.db.Scan(ctx, r)
		if err != nil {
			return nil, false, err
		}
		ids := make([]string, len(items))
		for i, it := range items {
			c := parse(it.Key)
			c.uint()
			ids[i] = c.name()
		}
		page, _, err := s.Jobs(ctx, ids, "")
		if err != nil {
			return nil, false, err
		}
		for _, j := range page {
			if j == nil || !keep(j) { // nil: deleted since
				continue
			}
			if len(jobs) == limit {
				return jobs, true, nil
			}
			jobs = append(jobs, *j)
		}
		if next == nil {
			return jobs, false, nil
		}
		r.Start = next
	}
}

// Rollout is how far a job has come in making executions for what its targets
// cover. A chunk of things is claimed before they are touched and closed after, so
// that whoever comes next goes on where the last one stopped.
type Rollout struct {
	// Sources are the targets in order. Filled at the first step.
	Sources []RolloutSource
	// Source is the index of the one being worked on.
	Source int
	// Done is the name of the last thing of it that has its execution. For the others it
	// is in the source.
	Done string
	// Claimed, when not "", is the name of the last thing of the chunk under way.
	Claimed string
	// ClaimedAt is when the chunk was claimed, ChargedAt when the window was charged for it:
	// later when a crash left the claim to another window.
	ClaimedAt time.Time `json:",omitzero"`
	ChargedAt time.Time `json:",omitzero"`
	// Steps counts the transactions on this record; a step on an older state is void.
	Steps uint64

	// WindowStart is when the window began that things are released in, Left how many more
	// may be; both only where a rate limits them.
	WindowStart time.Time `json:",omitzero"`
	Left        int64     `json:",omitempty"`
	// Notified is how many things have had their first execution from here, those that
	// joined not counted, and Increases how often the rate has grown.
	Notified  int64 `json:",omitempty"`
	Increases int64 `json:",omitempty"`
	// Due is when the timer is set to; zero means the creation of the job, that is at once.
	Due time.Time `json:",omitzero"`
}

// Timer is the timer that a rollout of a job goes on by.
func (r *Rollout) Timer(j *jobsvc.Job) Timer {
	due := r.Due
	if due.IsZero() {
		due = j.CreatedAt
	}
	return JobTimer(TimerRollout, j.ID, due)
}

// RolloutSource is one target.
type RolloutSource struct {
	ARN string
	// AsOf is the time that says who is a member; zero for the beginning of the job.
	AsOf time.Time `json:",omitzero"`
	// Joined: it came later. Its things do not wait for those of the beginning.
	Joined bool `json:",omitempty"`
	// Done is as in Rollout, of one that another had to go before; Ended: none is left.
	Done  string `json:",omitempty"`
	Ended bool   `json:",omitempty"`
}

// Rollout reads the rollout of the transaction's job; nil when there is none.
func (t *Tx) Rollout(id string) (*Rollout, error) {
	b, err := t.get(newKey(tagRollout, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[Rollout](b)
}

// PutRollout writes the rollout of a job.
func (t *Tx) PutRollout(id string, r *Rollout) { t.tx.Put(newKey(tagRollout, id), encodeJSON(r)) }

// DeleteRollout drops it: the job rolls out no further.
func (t *Tx) DeleteRollout(id string) { t.tx.Delete(newKey(tagRollout, id)) }

// Rollouts lists the jobs that have a rollout: those that roll out. next is "" at the end.
func (s *Store) Rollouts(ctx context.Context, afterJob string, limit int) (jobs []string, next string, err error) {
	return listKeys(ctx, s, newKey(tagRollout), afterJob, limit)
}

// Rollout reads the rollout of a job; nil when there is none.
func (s *Store) Rollout(ctx context.Context, id string) (*Rollout, error) {
	b, err := s.get(ctx, newKey(tagRollout, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[Rollout](b)
}

// JobTimer is a timer of a job.
func JobTimer(kind TimerKind, id string, due time.Time) Timer {
	return Timer{Due: due, Kind: kind, Scope: kv.Job(id), JobID: id}
}
