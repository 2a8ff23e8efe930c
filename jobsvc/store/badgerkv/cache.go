package badgerkv

import (
	"container/list"
	"strings"
	"unsafe"

	"github.com/tidwall/btree"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// cache holds the scopes transactions used last. It belongs to the committer.
//
// All that a batch writes is in it, ahead of the disk, until the batch is
// durable: that is how later transactions of a batch see the earlier ones.
// Entries are therefore only thrown out between batches (trim), and those a
// failed commit leaves ahead of the disk are dropped.
type cache struct {
	limit  int64
	bytes  int64
	scopes map[kv.Scope]*scopeCache
	recent *list.List // of *scopeCache, the last used in front
	// spare are entries to be used again: a rollout needs a thousand for each batch.
	spare []*scopeCache
}

// scopeCache is what is known about the keys of one scope.
type scopeCache struct {
	scope kv.Scope
	keys  btree.Map[string, cached]
	// known are the ranges all of whose keys are in keys: a key in one of them,
	// but not in keys, does not exist.
	known []span
	bytes int64
	batch uint64 // the last batch that wrote to it
	place *list.Element
}

// cached is what is known about one key.
type cached struct {
	val []byte // nil: it does not exist
	// blind: written without having been read before. Nothing says it will be
	// read soon, so it goes once it is durable.
	blind bool
}

type span struct{ start, end string }

const (
	// scopeCost and keyCost are about what the structures take beside the bytes
	// of keys and values.
	scopeCost = 400
	keyCost   = 64
	maxSpans  = 16
	// maxSpare is how many entries a full batch may need.
	maxSpare = batchTxs
)

// endOfKeys is after all keys there can be.
var endOfKeys = strings.Repeat("\xff", kv.MaxKeyBytes+1)

func newCache(limit int64) cache {
	return cache{limit: limit, scopes: make(map[kv.Scope]*scopeCache), recent: list.New()}
}

// scope gives the entry of a scope, a new one when there is none.
func (c *cache) scope(s kv.Scope) *scopeCache {
	if e := c.scopes[s]; e != nil {
		c.recent.MoveToFront(e.place)
		return e
	}
	e := c.unused()
	e.scope, e.bytes = s, scopeCost+int64(len(s.ID))
	// The scope may have been cut out of a caller's key.
	e.scope.ID = strings.Clone(s.ID)
	e.place = c.recent.PushFront(e)
	c.scopes[e.scope] = e
	c.bytes += e.bytes
	return e
}

func (c *cache) unused() *scopeCache {
	n := len(c.spare)
	if n == 0 {
		return &scopeCache{}
	}
	e := c.spare[n-1]
	c.spare = c.spare[:n-1]
	return e
}

// dropEmpty throws an entry out that nothing is known from. Nobody may have it any more.
func (c *cache) dropEmpty(e *scopeCache) {
	if e.keys.Len() > 0 || len(e.known) > 0 || c.scopes[e.scope] != e {
		return
	}
	c.drop(e)
	if len(c.spare) < maxSpare {
		*e = scopeCache{}
		c.spare = append(c.spare, e)
	}
}

// trim throws out what was not used for longest until the rest is within the
// limit. All batches must be durable.
func (c *cache) trim() {
	for c.bytes > c.limit && len(c.scopes) > 0 {
		c.drop(c.recent.Back().Value.(*scopeCache))
	}
}

func (c *cache) drop(e *scopeCache) {
	if c.scopes[e.scope] == e {
		delete(c.scopes, e.scope)
		c.recent.Remove(e.place)
		c.bytes -= e.bytes
	}
}

// set makes v what is known about the key and gives what was before.
func (c *cache) set(e *scopeCache, key string, v cached) (old cached, had bool) {
	old, had = e.keys.Set(key, v)
	grown := int64(len(v.val))
	if had {
		grown -= int64(len(old.val))
	} else {
		grown += int64(len(key)) + keyCost
	}
	e.bytes += grown
	c.bytes += grown
	return old, had
}

// forget makes the key unknown, or known not to exist when it is in a known
// range.
func (c *cache) forget(e *scopeCache, key string) {
	if old, had := e.keys.Delete(key); had {
		size := int64(len(key)) + int64(len(old.val)) + keyCost
		e.bytes -= size
		c.bytes -= size
	}
}

// settle forgets a key that was written, now that it is durable, unless it is
// worth keeping.
func (c *cache) settle(e *scopeCache, key string) {
	v, ok := e.keys.Get(key)
	if !ok {
		return
	}
	// A range may have become known after the blind write. Then the key must
	// stay if it exists, and need not if it does not.
	if covered := e.covers(key); covered && v.val == nil || !covered && v.blind {
		c.forget(e, key)
	}
}

// covers tells whether the key is in a known range.
func (e *scopeCache) covers(key string) bool {
	_, ok := e.spanFrom(key)
	return ok
}

// spanFrom gives the known range with key in it.
func (e *scopeCache) spanFrom(key string) (span, bool) {
	for _, s := range e.known {
		if s.start <= key && key < s.end {
			return s, true
		}
	}
	return span{}, false
}

// spanBefore gives the known range that holds the keys just before key.
func (e *scopeCache) spanBefore(key string) (span, bool) {
	for _, s := range e.known {
		if s.start < key && key <= s.end {
			return s, true
		}
	}
	return span{}, false
}

// learn adds a known range, joined with those it touches.
func (e *scopeCache) learn(s span) {
	rest := e.known[:0]
	for _, o := range e.known {
		if o.end < s.start || s.end < o.start {
			rest = append(rest, o)
		} else {
			s.start, s.end = min(s.start, o.start), max(s.end, o.end)
		}
	}
	if len(rest) == maxSpans {
		rest = append(rest[:0], rest[1:]...)
	}
	e.known = append(rest, s)
}

// str and raw look at the same memory as the other type. Keys are not changed
// once they are in the store's hands, nor are those it hands out.
func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
func raw(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
