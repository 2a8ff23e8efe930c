package badgerkv

import (
	"hash/maphash"
	"strings"
	"sync"
)

// recent holds the values of keys that were read lately, for readers outside of
// transactions: a device that asks for its queue costs no walk through Badger's
// tables. It never has anything but the last durable value. Two rules keep it so:
//
//   - The committer publishes what a batch wrote after readers of Badger see the batch,
//     and before its callers are released. So what is acknowledged is seen.
//   - A value read from Badger is entered only if nothing was published in the key's
//     shard since before it was read.
type recent struct {
	seed   maphash.Seed
	shards [recentShards]recentShard
	limit  int64 // bytes of a shard; 0: nothing is held
}

const recentShards = 64

type recentShard struct {
	mu        sync.RWMutex
	values    map[string][]byte // nil: the key does not exist; guarded by mu
	bytes     int64             // guarded by mu
	published uint64            // writes published in the shard ever; guarded by mu
	_         [64]byte          // the next shard is another core's
}

func newRecent(limit int64) *recent {
	return &recent{seed: maphash.MakeSeed(), limit: max(limit, 0) / recentShards}
}

func (r *recent) shard(key string) *recentShard {
	return &r.shards[maphash.String(r.seed, key)%recentShards]
}

// get gives the value of a key if it is held. mark is for learn.
func (r *recent) get(key string) (val []byte, mark uint64, ok bool) {
	s := r.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	val, ok = s.values[key]
	return val, s.published, ok
}

// learn enters a value that was read from Badger after get gave mark.
func (r *recent) learn(key string, val []byte, mark uint64) {
	size := recentSize(key, val)
	if size > r.limit/4 {
		return
	}
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.published != mark {
		return
	}
	if _, ok := s.values[key]; ok {
		return // another reader was as quick
	}
	if s.values == nil {
		s.values = make(map[string][]byte)
	}
	s.trim(r.limit - size)
	s.values[strings.Clone(key)] = val
	s.bytes += size
}

// trim throws values out until the rest has so many bytes at most. Whichever the map
// gives first go: about as good as the oldest, and for nothing. mu is held.
func (s *recentShard) trim(limit int64) {
	for k, v := range s.values {
		if s.bytes <= limit {
			return
		}
		delete(s.values, k)
		s.bytes -= recentSize(k, v)
	}
}

// publish makes the writes of a durable batch the values of the keys that are held.
func (r *recent) publish(writes []write) {
	if r.limit == 0 {
		return
	}
	for i := range writes {
		w := &writes[i]
		s := r.shard(w.key)
		s.mu.Lock()
		s.published++
		if old, ok := s.values[w.key]; ok {
			s.bytes += int64(len(w.val)) - int64(len(old))
			s.values[w.key] = w.val
			s.trim(r.limit)
		}
		s.mu.Unlock()
	}
}

func recentSize(key string, val []byte) int64 { return int64(len(key)+len(val)) + keyCost }
