package badgerkv

import "sync"

// counted holds what Counters answered lately: whoever watches a job asks for the same
// few counters again and again. An answer is good until a batch changes a counter, any
// counter: while things only report progress, it stays.
type counted struct {
	mu      sync.RWMutex
	answers map[string]map[string]int64 // by prefix, as of at or later; guarded by mu
	at      uint64                      // the last commit that changed a counter; guarded by mu
}

// Bounds of what is held: so many answers, none with more counters. A job has eight.
const (
	maxCounted       = 256
	maxCountedLength = 64
)

// get gives the answer for a prefix if it is held. It is shared: not to be changed.
func (c *counted) get(prefix []byte) (map[string]int64, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	m, ok := c.answers[string(prefix)]
	return m, ok
}

// learn enters an answer that was read from the snapshot at.
func (c *counted) learn(prefix []byte, m map[string]int64, at uint64) {
	if len(m) > maxCountedLength {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at < c.at {
		return // a commit came in between
	}
	if c.answers == nil || len(c.answers) >= maxCounted {
		c.answers = make(map[string]map[string]int64)
	}
	c.answers[string(prefix)] = m
}

// changed drops all answers. The committer calls it with the timestamp of a batch that
// changes counters, before readers see any of the batch: who saw a write of it is not
// told the counters of before.
func (c *counted) changed(at uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
	c.answers = nil
}
