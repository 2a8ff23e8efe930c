package badgerkv

import (
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
)

// TestAdviser finds the first write-ahead log, and the later ones too.
func TestAdviser(t *testing.T) {
	db := open(t, t.TempDir(), Options{NoSync: true})
	a := db.committer.advice
	if len(a.advised) != 1 {
		t.Errorf("%d write-ahead logs found, want 1", len(a.advised))
	}
	first := ""
	for id := range a.advised {
		_, first, _ = strings.Cut(id, "/")
	}
	for range 2 * upkeepCommits {
		_, err := db.Update(ctx, s, func(tx kv.Tx) error {
			tx.Put(kvtest.Key(s, "a"), make([]byte, kv.MaxValueBytes))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	later := 0
	for id, done := range a.advised {
		if _, path, _ := strings.Cut(id, "/"); path != first && done {
			later++
		}
	}
	if later == 0 {
		t.Errorf("no later log was advised: %v", a.advised)
	}
}
