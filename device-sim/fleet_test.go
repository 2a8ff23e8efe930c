package main

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFleet is the ordinary run: idle devices are notified of a job, and all of them finish it.
func TestFleet(t *testing.T) {
	t.Parallel()
	b := newBench(t, 20, 300<<10)
	var first sync.Map
	b.onEmpty = func(thing string) {
		if _, again := first.LoadOrStore(thing, true); !again {
			b.create(thing, "fw-1", b.store.document)
		}
	}
	keep := t.TempDir()
	res := b.run(t, "--keep", keep)
	res.wantStatus(t, exitOK)

	want := map[string]int{statusSucceeded: 20}
	rep := res.report
	if !maps.Equal(rep.Executions, want) || rep.OK != 20 || rep.Verified != 20 || rep.Bytes != 20*300<<10 ||
		rep.Notifications != 40 || rep.Unmatched != 0 || rep.Errors != 0 || rep.Seed != 1 {
		t.Errorf("report %+v", rep)
	}
	for _, name := range []string{"connect", "start-next", "update", "download"} {
		if q := rep.Latency[name]; q.Count < 20 || q.P50 <= 0 || q.P50 > q.Max {
			t.Errorf("latency of %s: %+v", name, q)
		}
	}
	for _, thing := range b.things {
		e := b.execution(thing, "fw-1")
		if e.status != statusSucceeded || e.begun != 1 {
			t.Errorf("%s: status %s, begun %d times", thing, e.status, e.begun)
		}
		names := slices.DeleteFunc(res.of(thing), func(n string) bool { return n == evProgress }) // several
		if i := slices.Index(names, evNotified) + 1; i > 0 {                                      // the one that the queue is empty may come before finished or after it
			names = slices.Concat(names[:i], slices.DeleteFunc(names[i:], func(n string) bool { return n == evNotified }))
		}
		order := []string{evConnected, evNotified, evStarted, evDownloaded, evFinished, evEnded}
		if !slices.Equal(names, order) {
			t.Errorf("%s: events %v, want %v", thing, names, order)
		}
		data, err := os.ReadFile(filepath.Join(keep, thing, "fw-1-1"))
		if err != nil || !bytes.Equal(data, b.store.data) {
			t.Errorf("%s kept %d bytes, %v", thing, len(data), err)
		}
	}
	if got := b.received("start-next"); len(got) != 40 {
		t.Errorf("%d start-next, want two for each device", len(got))
	}
	for _, u := range b.received("update") {
		if u.ExecutionNumber != 1 || u.ClientToken == "" {
			t.Errorf("update without number or token: %+v", u)
		}
	}
	b.wantGoodbyes(20)
}

// TestQueue drains a queue of several jobs, one after the other.
func TestQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 1000)
	for _, thing := range b.things {
		for _, job := range []string{"a", "b", "c"} {
			b.create(thing, job, func() string { return `{"operation":"reboot"}` })
		}
	}
	res := b.run(t, "--until-jobs", "3")
	res.wantStatus(t, exitOK)
	if rep := res.report; rep.Executions[statusSucceeded] != 6 || rep.NoArtefact != 6 || rep.Downloads != 0 {
		t.Errorf("report %+v", rep)
	}
}

// TestOutcomes: --fail and --reject are drawn from the seed alone.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	b := newBench(t, 12, 1000)
	for _, seed := range []int64{7, 8} {
		b.mu.Lock()
		clear(b.queues)
		b.mu.Unlock()
		want := make(map[string]int)
		drawn := make(map[string]string)
		for _, thing := range b.things {
			b.create(thing, "fw-2", b.store.document)
			d := decide(seed, thing, executionKey{"fw-2", 1}, odds{fail: 40, reject: 30}, time.Millisecond)
			drawn[thing] = d.status
			want[d.status]++
		}
		res := b.run(t, "--fail", "40", "--reject", "30", "--seed", map[int64]string{7: "7", 8: "8"}[seed])
		res.wantStatus(t, exitOK) // they ended as drawn
		if !maps.Equal(res.report.Executions, want) {
			t.Errorf("seed %d: executions %v, want %v", seed, res.report.Executions, want)
		}
		for thing, status := range drawn {
			e := b.execution(thing, "fw-2")
			if e.status != status || (e.details["reason"] == "") != (status == statusSucceeded) {
				t.Errorf("seed %d, %s: %s %v, drawn %s", seed, thing, e.status, e.details, status)
			}
		}
	}
}

// TestRefused: what cannot get better ends the device at once.
func TestRefused(t *testing.T) {
	t.Parallel()
	t.Run("subscription", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 1, 0)
		b.deny = func(topic string) bool { return strings.HasSuffix(topic, notifyNext) }
		wantFailure(t, b.run(t), "subscription to notify-next refused (0x87)")
	})
	t.Run("publish", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 1, 0)
		b.deny = func(topic string) bool { return strings.HasSuffix(topic, "start-next") }
		wantFailure(t, b.run(t), "publish start-next refused (0x87)")
	})
	t.Run("server certificate", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 1, 0)
		other := newAuthority(t)
		if err := os.WriteFile(filepath.Join(b.dir, b.things[0], "ca.pem"), other.pem, 0o600); err != nil {
			t.Fatal(err)
		}
		wantFailure(t, b.run(t), "the broker's certificate")
	})
	t.Run("connection", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 1, 0)
		b.stranger = true
		wantFailure(t, b.run(t), "connection refused (0x86)")
	})
	t.Run("takeover", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 1, 0)
		idle := make(chan string, 2)
		b.onEmpty = func(thing string) { idle <- thing }
		var first result
		var wait sync.WaitGroup
		wait.Go(func() { first = b.run(t) })
		<-idle
		ctx, stop := context.WithCancel(t.Context())
		wait.Go(func() { <-idle; stop() }) // the second is up
		second := b.runContext(ctx, t, nil, "--duration", "1m")
		wait.Wait()
		wantFailure(t, first, "same client ID")
		second.wantStatus(t, exitOK)
	})
	t.Run("request", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, 1, 0)
		b.fault = func(seen) fault { return fault{reject: codeResourceNotFound} }
		wantFailure(t, b.run(t), "ResourceNotFound")
	})
}

// TestTimeout: a device that gets no job is a failure, and --duration without a target is not.
func TestTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 0)
	res := b.run(t, "--timeout", "300ms")
	res.wantStatus(t, exitFailure)
	if f := res.report.Failures; len(f) != 2 || f[0].Reason != "out of time with 0 of 1 executions finished" {
		t.Errorf("failures %v", f)
	}
	b.run(t, "--duration", "2s").wantStatus(t, exitOK)
}

// TestInterruptAtWork: a fleet that is told to stop says goodbye to the broker and leaves its
// executions in progress, as devices do that are switched off.
func TestInterruptAtWork(t *testing.T) {
	t.Parallel()
	b := newBench(t, 3, 1000)
	for _, thing := range b.things {
		b.create(thing, "fw", b.store.document)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	b.store.handle = func(n int, _ http.ResponseWriter, r *http.Request) bool {
		if n == 3 {
			interrupt()
		}
		<-r.Context().Done()
		return true
	}
	res := b.runContext(ctx, t, nil)
	res.wantStatus(t, exitFailure)
	if f := res.report.Failures; len(f) != 3 || f[0].Reason != "interrupted in the middle of fw/1" {
		t.Errorf("failures %v", f)
	}
	for _, thing := range b.things {
		if e := b.execution(thing, "fw"); e.status != statusInProgress {
			t.Errorf("%s: %s", thing, e.status)
		}
	}
	b.wantGoodbyes(3)
}

// TestSignal runs the program as a process and interrupts it.
func TestSignal(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 0)
	idle := make(chan string, 2)
	b.onEmpty = func(thing string) { idle <- thing }
	cmd := exec.CommandContext(t.Context(), must(os.Executable()), b.args(t)...)
	cmd.Env = append(os.Environ(), "DEVICE_SIM_TEST_MAIN=1")
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var res result
	var reader sync.WaitGroup
	reader.Go(func() { res.events, res.report = readEvents(t, out, nil) })
	<-idle
	<-idle
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	reader.Wait()
	err := cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != exitFailure {
		t.Errorf("exit status %d (%v), want %d", got, err, exitFailure)
	}
	if f := res.report.Failures; len(f) != 2 || f[0].Reason != "interrupted with 0 of 1 executions finished" {
		t.Errorf("failures %v", f)
	}
}
