package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// metricsOf are gauges as a server has them: memory in MiB.
func metricsOf(resident, heap, goroutines float64) map[string]float64 {
	return map[string]float64{"process_resident_memory_bytes": resident * (1 << 20), "go_memstats_next_gc_bytes": heap * (1 << 20), "go_goroutines": goroutines}
}

// TestSteadiness judges runs whose last quarter differs from the first.
func TestSteadiness(t *testing.T) {
	for _, c := range []struct {
		name       string
		memory     float64
		heap       float64
		goroutines float64
		latency    time.Duration
		broken     []string
	}{
		{"the same", 100, 50, 1000, 10 * time.Millisecond, nil},
		{"less", 50, 20, 500, time.Millisecond, nil},
		{"a little more", 140, 60, 1060, 19 * time.Millisecond, nil},
		{"more memory", 160, 50, 1000, 10 * time.Millisecond, []string{checkMemory}},
		{"more heap", 100, 95, 1000, 10 * time.Millisecond, []string{checkMemory}},
		{"more goroutines", 100, 50, 1100, 10 * time.Millisecond, []string{checkGoroutines}},
		{"slower", 100, 50, 1000, 21 * time.Millisecond, []string{checkDrift}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSteadiness("")
			begin := time.Unix(1000, 0)
			s.start(begin, 4*time.Minute)
			s.sampled(begin.Add(-time.Second), metricsOf(1, 1, 1), nil) // before it counts
			s.sampled(begin.Add(time.Second), metricsOf(100, 50, 1000), nil)
			s.sampled(begin.Add(2*time.Minute), metricsOf(900, 900, 9000), nil) // in the middle it may be what it likes
			s.sampled(begin.Add(239*time.Second), metricsOf(c.memory, c.heap, c.goroutines), nil)
			for range driftCount {
				s.observe(begin.Add(time.Second), "update", 10*time.Millisecond)
				s.observe(begin.Add(2*time.Minute), "update", time.Minute)
				s.observe(begin.Add(239*time.Second), "update", c.latency)
			}
			s.observe(begin.Add(239*time.Second), "get", time.Minute) // too few to be judged
			v := &verdicts{}
			if n := len(s.judge(v)); n != 4 {
				t.Errorf("%d trends, want 4", n)
			}
			var broken []string
			for _, v := range v.list() {
				if v.broken() {
					broken = append(broken, v.Name)
				}
			}
			if !slices.Equal(broken, c.broken) {
				t.Errorf("broken %v, want %v: %+v", broken, c.broken, v.list())
			}
		})
	}
}

// TestSteadinessOfNothing: what could not be seen does not pass.
func TestSteadinessOfNothing(t *testing.T) {
	t.Parallel()
	s := newSteadiness("http://server/metrics")
	s.start(time.Unix(1000, 0), time.Minute)
	s.sampled(time.Unix(1001, 0), nil, errors.New("no such server"))
	v := &verdicts{}
	s.judge(v)
	for _, v := range v.list() {
		if !v.broken() {
			t.Errorf("%v", v)
		}
	}
	if text := fmt.Sprint(v.list()[0].Examples); len(v.list()) != 3 || !strings.Contains(text, "no such server") {
		t.Errorf("%v", v.list())
	}
}

// TestLoadSteady has the load mode judge a server whose goroutines grow.
func TestLoadSteady(t *testing.T) {
	t.Parallel()
	var goroutines atomic.Int64
	goroutines.Store(100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE go_goroutines gauge\ngo_goroutines %d\nprocess_resident_memory_bytes 1e8\nother{a=\"b\"} 1\n", goroutines.Add(100))
	}))
	defer server.Close()
	b := newBench(t, 4, 0)
	for _, thing := range b.things {
		b.create(thing, "fw", b.store.document)
	}
	rep, status, stderr := b.load(t, "--rate", "1200", "--arrivals", "even", "--duration", "2s", "--server-metrics", server.URL)
	if status != exitVerdict || len(rep.Steady) != 3 {
		t.Fatalf("exit status %d %s, %+v", status, stderr, rep)
	}
	for _, v := range rep.Verdicts {
		if v.Name == checkGoroutines && !v.broken() || v.Name == checkMemory && v.broken() {
			t.Errorf("%v %v", v, v.Examples)
		}
	}
}
