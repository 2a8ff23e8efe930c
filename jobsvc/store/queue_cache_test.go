package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

func queueOf(thing string, jobs ...string) *jobsvc.Queue {
	q := &jobsvc.Queue{Notices: []jobsvc.QueueNotice{{SetVersion: 1, HeadVersion: 1, SetHash: 7, HeadJobID: jobs[0], HeadNumber: 1}}}
	for i, id := range jobs {
		// Local time, with a reading of the monotonic clock, and no name: as no record has it.
		now := time.Now()
		q.Pending = append(q.Pending, jobsvc.JobExecution{
			JobID: id, ThingID: "id-" + thing, ExecutionNumber: int64(i + 1), Status: jobsvc.StatusQueued, VersionNumber: 1,
			StatusDetails: map[string]string{"step": id}, QueuedAt: now, LastUpdatedAt: now,
		})
	}
	return q
}

// What the cache says is what the record says, also after transactions that failed.
func TestQueueCacheFollowsTheRecord(t *testing.T) {
	ctx := t.Context()
	s, _ := newStore(t)
	check := func(want string) {
		t.Helper()
		_, err := s.Update(ctx, kv.Thing("pump"), func(tx *Tx) error {
			items, err := tx.tx.Get(newKey(tagQueue, "pump"))
			if err != nil {
				return err
			}
			stored, err := decodeQueue("pump", items[0].Value)
			if err != nil {
				return err
			}
			for range 2 {
				q, err := tx.Queue("pump")
				if err != nil {
					return err
				}
				if !reflect.DeepEqual(q, stored) || q.Pending[0].StatusDetails["step"] != want {
					t.Errorf("got  %+v\nwant %+v (%s)", q, stored, want)
				}
				q.Pending[0].VersionNumber = 99 // a copy: harmless
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	put := func(job string, fail error) {
		t.Helper()
		_, err := s.Update(ctx, kv.Thing("pump"), func(tx *Tx) error {
			tx.PutQueue("pump", queueOf("pump", job, "other"))
			return fail
		})
		if !errors.Is(err, fail) {
			t.Errorf("got %v, want %v", err, fail)
		}
	}
	put("a", nil)
	check("a")
	put("b", errors.New("no"))
	check("a")
	put("b", nil)
	check("b")
	put("c", errors.New("no"))
	check("b")
}

func TestQueueCacheIsBounded(t *testing.T) {
	c := newQueueCache()
	for i := range 40_000 {
		thing := fmt.Sprintf("t%06d", i)
		if _, err := c.decode(thing, encodeQueue(queueOf(thing, "a", "b"))); err != nil {
			t.Fatal(err)
		}
	}
	total, entries := 0, 0
	for i := range c.shards {
		sum := 0
		for _, e := range c.shards[i].entries {
			sum += e.size()
		}
		if sum != c.shards[i].bytes || sum > shardBytes {
			t.Fatalf("a shard counts %d bytes and has %d of %d", c.shards[i].bytes, sum, shardBytes)
		}
		total += sum
		entries += len(c.shards[i].entries)
	}
	if total < queueCacheBytes/2 || entries < 1000 {
		t.Errorf("%d bytes in %d entries: less than the cache may have", total, entries)
	}
	// One that is too large is decoded each time, and leaves nothing older behind.
	big := queueOf("t", strings.Repeat("x", shardBytes/4))
	raw := encodeQueue(big)
	if q, err := c.decode("t", raw); err != nil || q.Pending[0].JobID != big.Pending[0].JobID {
		t.Error("the large queue was not decoded:", err)
	}
	if _, ok := c.shard("t").entries["t"]; ok {
		t.Error("the large queue was entered")
	}
}

func TestQueueCacheFindsChanges(t *testing.T) {
	raw := encodeQueue(queueOf("pump", "a"))
	q, err := decodeQueue("pump", raw)
	if err != nil {
		t.Fatal(err)
	}
	e := cachedQueue{raw, q}
	e.check("pump")
	q.Pending[0].VersionNumber++
	defer func() {
		if recover() == nil {
			t.Error("a changed queue was not found out")
		}
	}()
	e.check("pump")
}
