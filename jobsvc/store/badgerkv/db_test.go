package badgerkv

import (
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
)

func openWith(opt Options) kvtest.Open {
	return func(t *testing.T, dir string) kv.DB {
		t.Helper()
		return open(t, dir, opt)
	}
}

func open(t *testing.T, dir string, opt Options) *DB {
	t.Helper()
	opt.Dir, opt.ScopeOf, opt.MinFreeBytes = dir, kvtest.ScopeOf, -1
	opt.MemTableSize = 16 << 20
	db, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestConformance(t *testing.T) {
	kvtest.Run(t, openWith(Options{}))
}

// TestConformanceCold has nothing cached from one batch to the next.
func TestConformanceCold(t *testing.T) {
	kvtest.Run(t, openWith(Options{NoSync: true, CacheBytes: -1}))
}
