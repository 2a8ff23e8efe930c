//go:build unix

package engine_test

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/badgerkv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// BenchmarkFirstRollout rolls a job out over b.N things that never had one, in a store
// that was just opened. An operation is one execution.
func BenchmarkFirstRollout(b *testing.B) {
	dir := b.TempDir()
	seedThings(b, dir, b.N)
	db, s := openStore(b, badgerkv.Options{Dir: dir, ScopeOf: store.ScopeOf})
	defer db.Close()
	e := engine.New(s, engine.Options{Account: account})
	debug.FreeOSMemory()
	// The most that is resident is from here on, where the system knows that.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime()
	benchJob(b, e, "j")
	b.StopTimer()
	b.ReportMetric(float64(processorTime()-before)/1e3/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "executions/s")
	for name, kb := range residentKB(b) {
		b.ReportMetric(float64(kb)/1024, name+"-MiB")
	}
	counts, err := s.Counts(b.Context(), "j")
	if err != nil || counts.Pending() != int64(b.N) {
		b.Fatal(counts, err)
	}
}

func openStore(b *testing.B, o badgerkv.Options) (*badgerkv.DB, *store.Store) {
	b.Helper()
	db, err := badgerkv.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	s, err := store.Open(context.Background(), db)
	if err != nil {
		b.Fatal(err)
	}
	return db, s
}

// seedThings makes a store with n things in the group "g".
func seedThings(b *testing.B, dir string, n int) {
	b.Helper()
	db, s := openStore(b, badgerkv.Options{Dir: dir, ScopeOf: store.ScopeOf, NoSync: true})
	defer db.Close()
	g, err := engine.New(s, engine.Options{Account: account}).CreateThingGroup(b.Context(), &jobsvc.CreateThingGroupRequest{ThingGroupName: "g"})
	if err != nil {
		b.Fatal(err)
	}
	now, err := s.Now(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	const chunk = 10_000
	for from := 0; from < n; from += chunk {
		ops := make([]store.Op, min(chunk, n-from))
		for i := range ops {
			t := &jobsvc.Thing{Name: fmt.Sprintf("dev-%07d", from+i), ID: fmt.Sprintf("7f7f6f1c-7b1f-4b1e-9d52-%012d", from+i), Version: 1, CreatedAt: now}
			ops[i] = store.Op{Scope: kv.Thing(t.Name), Fn: func(tx *store.Tx) error {
				tx.PutThing(t)
				tx.PutMembership(t.Name, g.Name, &store.Membership{ThingID: t.ID, GroupID: g.ID, JoinedAt: now})
				return nil
			}}
		}
		for _, r := range s.UpdateMany(b.Context(), ops) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentKB is what the process has resident, of its own and mapped from files.
func residentKB(b *testing.B) map[string]int64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil // not Linux
	}
	m := make(map[string]int64)
	for line := range strings.Lines(string(status)) {
		if name, rest, ok := strings.Cut(line, ":"); ok && (name == "RssAnon" || name == "RssFile" || name == "VmHWM") {
			m[name], _ = strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return m
}
