package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Store is the typed face of a kv.DB. Its read methods see what is committed and
// durable; a record that does not exist is nil without an error.
type Store struct {
	db         kv.DB
	jobs       recordCache[jobsvc.Job]
	accessKeys recordCache[jobsvc.AccessKey]
	queues     *queueCache
	eventsOn   recordCache[jobsvc.EventConfigurations]
	tokenKey   []byte
	events     chan struct{} // has room for one word that there are new ones
}

// Open takes a kv.DB into use: an empty one gets the layout's version, one of
// another version is refused.
func Open(ctx context.Context, db kv.DB) (*Store, error) {
	s := &Store{db: db, queues: newQueueCache(), events: make(chan struct{}, 1)}
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
	s.tokenKey, err = s.meta(ctx, "tokenKey", func() []byte {
		k := make([]byte, 32)
		rand.Read(k) // never fails
		return k
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// meta gives an installation-wide setting, which is made once.
func (s *Store) meta(ctx context.Context, name string, first func() []byte) (value []byte, err error) {
	k, made := newKey(tagMeta, name), first()
	_, err = s.db.Update(ctx, metaScope(name), func(tx kv.Tx) error {
		items, err := tx.Get(k)
		if err != nil {
			return err
		}
		if value = bytes.Clone(items[0].Value); value == nil {
			value = made
			tx.Put(k, made)
		}
		return nil
	})
	return value, err
}

// TokenKey is the secret that page tokens are authenticated with, the same for the life
// of the store.
func (s *Store) TokenKey() []byte { return s.tokenKey }

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
	var stored atomic.Bool
	events, err := s.db.Update(ctx, scope, func(tx kv.Tx) error { return (&Tx{tx: tx, s: s, stored: &stored}).run(fn) })
	s.tellEvents(&stored)
	return events, err
}

// UpdateMany runs independent transactions, see kv.DB.
func (s *Store) UpdateMany(ctx context.Context, ops []Op) []kv.Result {
	raw := make([]kv.Op, len(ops))
	var stored atomic.Bool
	for i, op := range ops {
		raw[i] = kv.Op{Scope: op.Scope, Fn: func(tx kv.Tx) error { return (&Tx{tx: tx, s: s, stored: &stored}).run(op.Fn) }, Reads: op.Reads}
	}
	results := s.db.UpdateMany(ctx, raw)
	s.tellEvents(&stored)
	return results
}

func (s *Store) get(ctx context.Context, k key) ([]byte, error) {
	items, err := s.db.Get(ctx, k)
	if err != nil {
		return nil, err
	}
	return items[0].Value, nil
}

// recordCache spares decoding the same record again and again: a job for every device
// that works on it, an access key for every request. An entry is good for as long as the
// stored bytes are the ones it was made from.
type recordCache[T any] struct {
	mu      sync.RWMutex
	entries map[string]cachedRecord[T] // guarded by mu
}

type cachedRecord[T any] struct {
	raw    []byte
	record *T
}

// recordCacheSize bounds each cache: few jobs are active at a time.
const recordCacheSize = 1024

// decode gives the stored record of that name, nil for none. It is shared: not to be
// changed.
func (c *recordCache[T]) decode(name string, raw []byte) (*T, error) {
	if raw == nil {
		return nil, nil
	}
	c.mu.RLock()
	e, ok := c.entries[name]
	c.mu.RUnlock()
	if ok && bytes.Equal(e.raw, raw) {
		return e.record, nil
	}
	record, err := decodeJSON[T](raw)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil || len(c.entries) >= recordCacheSize {
		c.entries = make(map[string]cachedRecord[T])
	}
	c.entries[strings.Clone(name)] = cachedRecord[T]{raw: bytes.Clone(raw), record: record}
	return record, nil
}

// pageScan is how many records are read at a time where many are looked at for few.
const pageScan = 500

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
		r.Limit = max(r.Limit, pageScan) // what was asked for was not enough
		switch {
		case next == nil:
			return true, nil
		case r.Reverse:
			r.End = next
		default:
			r.Start = next
		}
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
