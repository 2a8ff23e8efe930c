package badgerkv

import (
	"encoding/binary"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// counters folds what a batch adds into one write for each counter it touches,
// and remembers values. It belongs to the committer.
type counters struct {
	touched map[string]counter // by the batch
	values  map[string]int64   // durable ones
}

type counter struct {
	n       int64
	deleted bool
}

// maxCounters bounds the values remembered.
const maxCounters = 1 << 16

func newCounters() counters {
	return counters{touched: make(map[string]counter), values: make(map[string]int64)}
}

// load finds the value of a counter, so that add can go on from it. txn, the
// batch's, is asked when it is not known, so that a counter deleted earlier in
// the batch begins at 0.
func (c *counters) load(txn *badger.Txn, key string) error {
	if _, ok := c.touched[key]; ok {
		return nil
	}
	if _, ok := c.values[key]; ok {
		return nil
	}
	n, found, err := readCounter(txn, raw(key))
	if err == nil && found {
		c.values[strings.Clone(key)] = n
	}
	return err
}

// add changes a counter that was loaded.
func (c *counters) add(key string, delta int64) {
	t, ok := c.touched[key]
	if !ok {
		t.n = c.values[key]
	}
	c.touched[key] = counter{n: t.n + delta}
}

// reset takes a counter away, if there is one.
func (c *counters) reset(key string) {
	_, touched := c.touched[key]
	_, known := c.values[key]
	if touched || known {
		c.touched[key] = counter{deleted: true}
	}
}

// write puts the sums into the batch's transaction.
func (c *counters) write(txn *badger.Txn) error {
	for key, t := range c.touched {
		var err error
		if t.deleted {
			err = txn.Delete(raw(key))
		} else {
			val := binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(t.n))
			err = txn.SetEntry(&badger.Entry{Key: raw(key), Value: val, UserMeta: markCounter})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settle remembers what the batch wrote, once it is durable.
func (c *counters) settle() {
	if len(c.values) > maxCounters {
		clear(c.values)
	}
	for key, t := range c.touched {
		if t.deleted {
			delete(c.values, key)
		} else if _, ok := c.values[key]; ok {
			c.values[key] = t.n
		} else {
			c.values[strings.Clone(key)] = t.n
		}
	}
	clear(c.touched)
}

// drop forgets everything, after a commit that may not have happened.
func (c *counters) drop() {
	clear(c.touched)
	clear(c.values)
}

func readCounter(txn *badger.Txn, key []byte) (n int64, found bool, err error) {
	item, err := txn.Get(key)
	if err == badger.ErrKeyNotFound {
		return 0, false, nil
	}
	if err != nil || item.UserMeta() != markCounter {
		return 0, false, err
	}
	n, err = counterValue(item)
	return n, true, err
}
