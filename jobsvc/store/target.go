package store

import (
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Target names what an ARN in a job's targets does: a thing or a thing group. Kind is
// that of the ARN.
type Target struct{ Kind, Name string }

// TargetScope is the scope of the list of jobs that follow a target.
func TargetScope(t Target) kv.Scope { return targetScope(t.Kind, t.Name) }

// targetJobs is the list of CONTINUOUS jobs that have a target. A job is on it before it
// is stored, and may be on it when it has ended or was never stored: who reads it looks at
// the jobs.
type targetJobs struct{ Jobs []string }

func decodeTargetJobs(b []byte) ([]string, error) {
	l, err := decodeJSON[targetJobs](b)
	if err != nil || l == nil {
		return nil, err
	}
	return l.Jobs, nil
}

// TargetJobs reads the list of the transaction's target; nil for none.
func (t *Tx) TargetJobs(target Target) ([]string, error) {
	b, err := t.get(newKey(tagTargetJobs, target.Kind, target.Name))
	if err != nil {
		return nil, err
	}
	return decodeTargetJobs(b)
}

// PeekTargetJobs reads the lists of several targets in one round trip.
func (t *Tx) PeekTargetJobs(targets []Target) ([][]string, error) {
	if len(targets) == 0 {
		return nil, nil
	}
	keys := make([][]byte, len(targets))
	for i, target := range targets {
		keys[i] = newKey(tagTargetJobs, target.Kind, target.Name)
	}
	items, err := t.tx.Peek(keys...)
	if err != nil {
		return nil, err
	}
	lists := make([][]string, len(targets))
	for i, it := range items {
		if lists[i], err = decodeTargetJobs(it.Value); err != nil {
			return nil, err
		}
	}
	return lists, nil
}

// PutTargetJobs writes the list of the transaction's target. An empty one is taken away.
func (t *Tx) PutTargetJobs(target Target, jobs []string) {
	k := newKey(tagTargetJobs, target.Kind, target.Name)
	if len(jobs) == 0 {
		t.tx.Delete(k)
		return
	}
	t.tx.Put(k, encodeJSON(targetJobs{jobs}))
}
