package store

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// queueCache spares decoding a thing's queue for each of its requests. It only remembers
// what bytes mean: an entry is good for a record with the very bytes it was made from or
// encoded to, whoever asks and from whichever state. So a transaction that failed or ran
// twice leaves nothing wrong behind, just an entry that fits no record.
type queueCache struct {
	seed   maphash.Seed
	shards [queueShards]queueShard
}

const (
	queueShards = 64
	// queueCacheBytes bounds the cache, roughly.
	queueCacheBytes = 32 << 20
	shardBytes      = queueCacheBytes / queueShards
)

type queueShard struct {
	mu      sync.RWMutex
	entries map[string]cachedQueue // by thing; guarded by mu
	bytes   int                    // guarded by mu
	_       [64]byte               // the next shard is another core's
}

type cachedQueue struct {
	raw []byte
	q   *jobsvc.Queue // shared: not to be changed
}

func newQueueCache() *queueCache { return &queueCache{seed: maphash.MakeSeed()} }

func (c *queueCache) shard(thing string) *queueShard {
	return &c.shards[maphash.String(c.seed, thing)%queueShards]
}

// decode gives the queue of a stored record. It is shared: not to be changed.
func (c *queueCache) decode(thing string, raw []byte) (*jobsvc.Queue, error) {
	s := c.shard(thing)
	s.mu.RLock()
	e := s.entries[thing]
	s.mu.RUnlock()
	if e.q != nil && bytes.Equal(e.raw, raw) {
		if checkShared {
			e.check(thing)
		}
		return e.q, nil
	}
	q, err := decodeQueue(thing, raw)
	if err != nil {
		return nil, err
	}
	s.put(thing, cachedQueue{raw, q})
	return q, nil
}

// encoded notes what a thing's queue was just encoded to, if the queue is held: a thing
// that asks for nothing, in a rollout, need not be. q is shared from here on.
func (c *queueCache) encoded(thing string, raw []byte, q *jobsvc.Queue) {
	s := c.shard(thing)
	s.mu.RLock()
	_, held := s.entries[thing]
	s.mu.RUnlock()
	if held {
		asDecoded(thing, q)
		s.put(thing, cachedQueue{raw, q})
	}
}

// asDecoded gives a queue the form it has when it comes from a record.
func asDecoded(thing string, q *jobsvc.Queue) {
	if len(q.Pending) == 0 {
		q.Pending = nil
	}
	if len(q.Notices) == 0 {
		q.Notices = nil
	}
	for i := range q.Pending {
		x := &q.Pending[i]
		x.ThingName = thing
		if len(x.StatusDetails) == 0 {
			x.StatusDetails = nil
		}
		x.QueuedAt = fromNanos(nanos(x.QueuedAt))
		x.StartedAt = fromNanos(nanos(x.StartedAt))
		x.LastUpdatedAt = fromNanos(nanos(x.LastUpdatedAt))
		x.InProgressDeadline = fromNanos(nanos(x.InProgressDeadline))
		x.StepDeadline = fromNanos(nanos(x.StepDeadline))
	}
}

// put enters a queue, unless it is so large that it would take the place of many.
func (s *queueShard) put(thing string, e cachedQueue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.entries[thing]; ok {
		s.bytes -= old.size()
		delete(s.entries, thing)
	}
	size := e.size()
	if size > shardBytes/4 {
		return
	}
	// Whichever the map gives first go: about as good as the oldest, and for nothing.
	for other, o := range s.entries {
		if s.bytes+size <= shardBytes {
			break
		}
		s.bytes -= o.size()
		delete(s.entries, other)
	}
	if s.entries == nil {
		s.entries = make(map[string]cachedQueue)
	}
	s.entries[strings.Clone(thing)] = e
	s.bytes += size
}

// size is about what an entry keeps in memory: the strings of its executions may look at
// records before its own.
func (e cachedQueue) size() int {
	const perEntry, perDetails = 200, 350
	n := perEntry + 2*len(e.raw) + len(e.q.Pending)*int(unsafe.Sizeof(jobsvc.JobExecution{}))
	for i := range e.q.Pending {
		if e.q.Pending[i].StatusDetails != nil {
			n += perDetails
		}
	}
	return n
}

// check stops the program when somebody changed what is shared.
func (e cachedQueue) check(thing string) {
	if q, err := decodeQueue(thing, e.raw); err != nil || !reflect.DeepEqual(q, e.q) {
		panic(fmt.Sprintf("store: the queue of %s was changed after it was shared: %+v, stored %+v, %v", thing, e.q, q, err))
	}
}

// own gives a copy of a shared queue that may be changed. Maps of details are replaced,
// never changed, and stay shared.
func own(q *jobsvc.Queue) *jobsvc.Queue {
	o := &jobsvc.Queue{Notices: slices.Clone(q.Notices)}
	if len(q.Pending) > 0 {
		o.Pending = append(make([]jobsvc.JobExecution, 0, len(q.Pending)+1), q.Pending...)
	}
	return o
}
