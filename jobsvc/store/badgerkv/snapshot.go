package badgerkv

import (
	"bytes"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// snapshots gives readers the last durable state, and knows from which
// timestamp on versions are still being read: Badger may throw away older ones.
//
// Readers count themselves into one of two generations, by turns. Once the older
// one is empty, all readers there are began in the newer one, whose start is
// therefore safe to discard to, and a new generation takes the empty place.
type snapshots struct {
	durable    atomic.Uint64 // timestamp of the last durable commit
	generation atomic.Uint64
	readers    [2]atomic.Int64

	starts [2]uint64 // owned by the committer
}

// start is called once, before anything else.
func (s *snapshots) start(durable uint64) {
	s.durable.Store(durable)
	s.starts = [2]uint64{durable, durable}
}

// snapshot is a reader's view of the store. It must be released.
type snapshot struct {
	txn   *badger.Txn
	count *atomic.Int64
}

func (db *DB) snapshot() snapshot {
	s := &db.snapshots
	for {
		g := s.generation.Load()
		count := &s.readers[g&1]
		count.Add(1)
		if s.generation.Load() == g {
			// Loaded only now, so it is not before the generation's start.
			return snapshot{db.badger.NewTransactionAt(s.durable.Load(), false), count}
		}
		count.Add(-1)
	}
}

func (s snapshot) release() {
	if s.txn == nil {
		return
	}
	s.txn.Discard()
	s.count.Add(-1)
}

// discardable is the timestamp no reader is before. Called by the committer.
func (s *snapshots) discardable() uint64 {
	g := s.generation.Load()
	current, other := g&1, (g+1)&1
	if s.readers[other].Load() > 0 {
		return min(s.starts[0], s.starts[1])
	}
	ts := s.starts[current]
	s.starts[other] = s.durable.Load()
	s.generation.Store(g + 1)
	return ts
}

// rangeIterator walks [start, end) in either direction.
type rangeIterator struct {
	*badger.Iterator
	start, end []byte
	reverse    bool
}

func newRangeIterator(txn *badger.Txn, start, end []byte, reverse bool) rangeIterator {
	opt := badger.DefaultIteratorOptions
	opt.PrefetchValues = false // it starts a goroutine for each value
	opt.Reverse = reverse
	// All keys of the range begin with it, which spares Badger tables. So does
	// end, where the iterator must be able to stand when reverse.
	opt.Prefix = commonPrefix(start, end)
	it := rangeIterator{txn.NewIterator(opt), start, end, reverse}
	switch {
	case !reverse:
		it.Seek(start)
	case end == nil:
		it.Rewind()
	default:
		if it.Seek(end); it.Valid() && bytes.Equal(it.Item().Key(), end) {
			it.Next()
		}
	}
	return it
}

func (it rangeIterator) valid() bool {
	if !it.Valid() {
		return false
	}
	if it.reverse {
		return bytes.Compare(it.Item().Key(), it.start) >= 0
	}
	return it.end == nil || bytes.Compare(it.Item().Key(), it.end) < 0
}

func (it rangeIterator) next()              { it.Next() }
func (it rangeIterator) item() *badger.Item { return it.Item() }

func commonPrefix(a, b []byte) []byte {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}
