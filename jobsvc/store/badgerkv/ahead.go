package badgerkv

import (
	"bytes"
	"hash/maphash"

	"github.com/dgraph-io/badger/v4"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// A call of many operations has what it will read (kv.Op.Reads) read ahead, by its
// caller's goroutine, while the committer is at what came before: in order, with one
// iterator for many keys, where a transaction would look up each by itself.
//
// The committer takes such a value only if it must still be right: nothing has written
// to the operation's scope since the snapshot it was read from (stamps), and the cache,
// which is ahead of the disk, does not know the key.
const (
	// aheadPiece is how many operations are read for, then handed to the committer,
	// while the next are read for. For fewer than aheadMin it is not worth it.
	aheadPiece = 256
	aheadMin   = 16
	// What an iterator may step over before single reads are cheaper: so much, and so
	// much more for each key it was for.
	aheadSteps       = 64
	aheadStepsPerKey = 4
	// aheadArena is the size of the blocks that values are copied to.
	aheadArena = 16 << 10
)

// ahead is what was read for the operations of a call.
type ahead struct {
	at    uint64      // the timestamp of the snapshot
	items [][]kv.Item // of each operation; the Value of a key that does not exist is nil
}

// of gives what was read for an operation; nil when it may not be right any more.
func (a *ahead) of(op int, scope kv.Scope, s *stamps) []kv.Item {
	if a == nil || s.last(scope) > a.at {
		return nil
	}
	return a.items[op]
}

// readAhead reads what the operations say they will read. When it fails it gives nil:
// they will see for themselves.
func (db *DB) readAhead(ops []kv.Op) *ahead {
	columns, n := 0, 0
	for i := range ops {
		columns, n = max(columns, len(ops[i].Reads)), n+len(ops[i].Reads)
	}
	if n == 0 || len(ops) < aheadMin {
		return nil
	}
	s := db.snapshot()
	defer s.release()
	a := &ahead{at: s.txn.ReadTs(), items: make([][]kv.Item, len(ops))}
	all := make([]kv.Item, n)
	for i := range ops {
		k := len(ops[i].Reads)
		a.items[i], all = all[:k:k], all[k:]
	}
	var arena []byte
	for c := range columns {
		if !readColumn(s.txn, ops, a.items, c, &arena) {
			return nil
		}
	}
	return a
}

// readColumn reads the c-th key of each operation. They are of a kind, and mostly in
// order, as the operations are.
func readColumn(txn *badger.Txn, ops []kv.Op, items [][]kv.Item, c int, arena *[]byte) bool {
	opt := badger.DefaultIteratorOptions
	opt.PrefetchValues = false
	first := true
	for i := range ops {
		switch {
		case c >= len(ops[i].Reads):
		case first:
			opt.Prefix, first = ops[i].Reads[c], false
		default:
			opt.Prefix = commonPrefix(opt.Prefix, ops[i].Reads[c])
		}
	}
	r := orderedReader{txn: txn, it: txn.NewIterator(opt), arena: arena}
	defer r.it.Close()
	for i := range ops {
		if c >= len(ops[i].Reads) {
			continue
		}
		key := ops[i].Reads[c]
		val, err := r.get(key)
		if err != nil {
			return false
		}
		items[i][c] = kv.Item{Key: key, Value: val}
	}
	return true
}

// orderedReader reads keys that are mostly in order, and near each other.
type orderedReader struct {
	txn   *badger.Txn
	it    *badger.Iterator
	arena *[]byte
	keys  int    // how many the iterator was used for
	steps int    // how many it stepped over
	at    []byte // the last key it was used for: all before it are passed
}

func (r *orderedReader) get(key []byte) ([]byte, error) {
	if bytes.Compare(key, r.at) < 0 || r.steps > aheadSteps+aheadStepsPerKey*r.keys {
		return readValue(r.txn, key)
	}
	if r.keys == 0 {
		r.it.Seek(key)
	}
	r.keys++
	r.at = key
	for r.it.Valid() {
		item := r.it.Item()
		switch order := bytes.Compare(item.Key(), key); {
		case order > 0:
			return nil, nil
		case order == 0:
			return r.value(item)
		case r.steps > aheadSteps+aheadStepsPerKey*r.keys:
			return readValue(r.txn, key)
		}
		r.it.Next()
		r.steps++
	}
	return nil, nil
}

// value copies a value to the arena, which goes when the call does.
func (r *orderedReader) value(item *badger.Item) (val []byte, err error) {
	if item.UserMeta() != 0 {
		return nil, nil
	}
	err = item.Value(func(b []byte) error {
		if cap(*r.arena)-len(*r.arena) < len(b) {
			*r.arena = make([]byte, 0, max(aheadArena, len(b)))
		}
		from := len(*r.arena)
		*r.arena = append(*r.arena, b...)
		val = (*r.arena)[from:len(*r.arena):len(*r.arena)]
		return nil
	})
	if err == nil && val == nil {
		val = noBytes
	}
	return val, err
}

// stamps has for every scope the timestamp of the last batch that wrote to it, or a
// later one: scopes share places. It belongs to the committer.
type stamps struct {
	seed maphash.Seed
	at   []uint64
}

// stampPlaces: what is read ahead is a few thousand scopes before what is written, of
// which few then share a place.
const stampPlaces = 1 << 17

func newStamps() stamps {
	return stamps{seed: maphash.MakeSeed(), at: make([]uint64, stampPlaces)}
}

func (s *stamps) place(scope kv.Scope) *uint64 {
	return &s.at[maphash.String(s.seed, scope.ID)%stampPlaces]
}

func (s *stamps) last(scope kv.Scope) uint64 { return *s.place(scope) }

// wrote says that the batch with that timestamp writes to the scope.
func (s *stamps) wrote(scope kv.Scope, at uint64) { *s.place(scope) = at }
