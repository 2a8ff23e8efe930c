package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestMain lets a test run this program itself, as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("DEVICE_SIM_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// bench is a broker, a store and n devices.
type bench struct {
	*testBroker
	store  *testStore
	things []string
}

func newBench(t *testing.T, devices, size int) *bench {
	t.Helper()
	b := newTestBroker(t)
	return &bench{b, newTestStore(t, b.authority, size), b.enroll(devices)}
}

// result is what a run left behind.
type result struct {
	status int
	events []event
	report report
	stderr string
}

// run runs device-sim on the bench and reads its event stream.
func (b *bench) run(t *testing.T, args ...string) result {
	t.Helper()
	return b.runContext(t.Context(), t, nil, args...)
}

func (b *bench) args(t *testing.T, more ...string) []string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "store.pem")
	if err := os.WriteFile(ca, b.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{"--devices", b.dir, "--ca", ca, "--json", "--work", "1ms", "--report-every", "0s",
		"--request-timeout", "5s", "--reconnect-delay", "1ms", "--timeout", "30s", "--grace", "300ms"}, more...)
}

func (b *bench) runContext(ctx context.Context, t *testing.T, on func(event), args ...string) result {
	t.Helper()
	var (
		res    result
		stderr bytes.Buffer
		reader sync.WaitGroup
		r, w   = io.Pipe()
	)
	reader.Go(func() { res.events, res.report = readEvents(t, r, on) })
	res.status = command(ctx, b.args(t, args...), w, &stderr)
	_ = w.Close()
	reader.Wait()
	res.stderr = stderr.String()
	t.Logf("exit status %d %s, failures %v", res.status, res.stderr, res.report.Failures)
	return res
}

// readEvents reads a whole event stream; on is called for each event as it comes.
func readEvents(t *testing.T, r io.Reader, on func(event)) (events []event, rep report) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("line %q: %v", lines.Text(), err)
			continue
		}
		if rep.Event != "" {
			t.Errorf("a line after the report: %s", lines.Text())
		}
		if e.Event == "report" {
			if err := json.Unmarshal(lines.Bytes(), &rep); err != nil {
				t.Errorf("report %q: %v", lines.Text(), err)
			}
			continue
		}
		if e.Event == evError {
			t.Logf("%s: %s", e.Thing, e.Reason)
		}
		if on != nil {
			on(e)
		}
		events = append(events, e)
	}
	return events, rep
}

// of returns the events of a thing, their names only.
func (r result) of(thing string) []string {
	var names []string
	for _, e := range r.events {
		if e.Thing == thing {
			names = append(names, e.Event)
		}
	}
	return names
}

func (r result) count(name string) (n int) {
	for _, e := range r.events {
		if e.Event == name {
			n++
		}
	}
	return n
}

func (r result) wantStatus(t *testing.T, want int) {
	t.Helper()
	if r.status != want {
		t.Fatalf("exit status %d, want %d; failures: %v; stderr: %s", r.status, want, r.report.Failures, r.stderr)
	}
}

func wantFailure(t *testing.T, res result, reason string) {
	t.Helper()
	res.wantStatus(t, exitFailure)
	if f := res.report.Failures; len(f) != 1 || !strings.Contains(f[0].Reason, reason) {
		t.Errorf("failures %v, want %q", f, reason)
	}
}
