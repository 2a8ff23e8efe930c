package store

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Store is the typed face of a kv.DB. Its read methods see what is committed and
// durable; a record that does not exist is nil without an error.
type Store struct {
	db   kv.DB
	jobs jobCache
}

// Open takes a kv.DB into use: an empty one gets the layout's version, one of
// another version is refused.
func Open(ctx context.Context, db kv.DB) (*Store, error) {
	s := &Store{db: db}
	k := newKey(tagMeta, "version")
	_, err := db.Update(ctx, metaScope("version"), func(tx kv.Tx) error {
		items, err := tx.Get(k)
		if err != nil {
			return err
		}
		if !items[0].Exists() {
			tx.Put(k, strconv.AppendInt(nil, Version, 10))
			return nil
		}
		if v := string(items[0].Value); v != strconv.Itoa(Version) {
			return fmt.Errorf("store: the data has layout version %s, this program knows version %d", v, Version)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Now is the store's clock.
func (s *Store) Now(ctx context.Context) (time.Time, error) { return s.db.Now(ctx) }

// Op is one transaction of UpdateMany.
type Op struct {
	Scope kv.Scope
	Fn    func(*Tx) error
	Reads Reads
}

// Reads are what the transactions of a kind are likely to read, see kv.Op.
type Reads [][]byte

// ReadsNewExecution is for one that gives a thing its first execution of a job.
func ReadsNewExecution(thing, job string) Reads {
	return Reads{newKey(tagThing, thing), newKey(tagQueue, thing), endedKey(thing, job, 1)}
}

// ReadsPending is for one that changes a pending execution.
func ReadsPending(thing string) Reads { return Reads{newKey(tagQueue, thing)} }

// Update runs fn as one transaction, see kv.DB.
func (s *Store) Update(ctx context.Context, scope kv.Scope, fn func(*Tx) error) ([]kv.Event, error) {
	return s.db.Update(ctx, scope, func(tx kv.Tx) error { return fn(&Tx{tx, s}) })
}

// UpdateMany runs independent transactions, see kv.DB.
func (s *Store) UpdateMany(ctx context.Context, ops []Op) []kv.Result {
	raw := make([]kv.Op, len(ops))
	for i, op := range ops {
		raw[i] = kv.Op{Scope: op.Scope, Fn: func(tx kv.Tx) error { return op.Fn(&Tx{tx, s}) }, Reads: op.Reads}
	}
	return s.db.UpdateMany(ctx, raw)
}

func (s *Store) get(ctx context.Context, k key) ([]byte, error) {
	items, err := s.db.Get(ctx, k)
	if err != nil {
		return nil, err
	}
	return items[0].Value, nil
}

// jobCache spares decoding the same job record for every device that works on it.
// An entry is good for as long as the stored bytes are the ones it was made from.
type jobCache struct {
	mu      sync.RWMutex
	entries map[string]cachedJob // guarded by mu
}

type cachedJob struct {
	raw []byte
	job *jobsvc.Job
}

// jobCacheSize bounds the cache: few jobs are active at a time.
const jobCacheSize = 1024

// decode gives the job of a stored record. It is shared: not to be changed.
func (c *jobCache) decode(id string, raw []byte) (*jobsvc.Job, error) {
	if raw == nil {
		return nil, nil
	}
	c.mu.RLock()
	e, ok := c.entries[id]
	c.mu.RUnlock()
	if ok && bytes.Equal(e.raw, raw) {
		return e.job, nil
	}
	job, err := decodeJSON[jobsvc.Job](raw)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= jobCacheSize {
		c.entries = make(map[string]cachedJob)
	}
	c.entries[id] = cachedJob{raw: bytes.Clone(raw), job: job}
	return job, nil
}

// page reads the keys of a range in order until limit of them passed take, or the
// range ends; a negative limit reads them all. It tells whether the range ended.
func (s *Store) page(ctx context.Context, r kv.Range, limit int, take func(kv.Item) (bool, error)) (ended bool, err error) {
	for taken := 0; ; {
		items, next, err := s.db.Scan(ctx, r)
		if err != nil {
			return false, err
		}
		for i, it := range items {
			ok, err := take(it)
			if err != nil {
				return false, err
			}
			if !ok {
				continue
			}
			if taken++; taken == limit {
				return i == len(items)-1 && next == nil, nil
			}
		}
		if next == nil {
			return true, nil
		}
		r.Start = next
	}
}

// after is the range of the keys with a prefix that come after last; all of them
// when last is nil.
func after(prefix, last key, limit int) kv.Range {
	r := kv.Prefix(prefix, limit)
	if last != nil {
		r.Start = append(bytes.Clone(last), 0)
	}
	return r
}
