package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
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

func TestHashMismatch(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 1000)
	b.create(b.things[0], "fw", func() string {
		return `{"url":"` + b.store.sign() + `","sha256":"` + strings.Repeat("ab", 32) + `"}`
	})
	res := b.run(t)
	res.wantStatus(t, exitFailure)
	e := b.execution(b.things[0], "fw")
	if e.status != statusFailed || !strings.Contains(e.details["reason"], "SHA-256 mismatch") {
		t.Errorf("reported %s %v", e.status, e.details)
	}
	if rep := res.report; rep.Unintended != 1 || rep.Verified != 0 || rep.Downloads != 1 || len(rep.Failures) != 1 {
		t.Errorf("report %+v", rep)
	}

	// An accident that ends as drawn is one nevertheless.
	b.create(b.things[0], "fw-gone", b.store.document)
	b.store.handle = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	b.run(t, "--fail", "100").wantStatus(t, exitFailure)
	if e := b.execution(b.things[0], "fw-gone"); e.status != statusFailed || !strings.Contains(e.details["reason"], "404 Not Found") {
		t.Errorf("reported %s %v", e.status, e.details)
	}

	// A bad document will not get better by trying again.
	b.create(b.things[0], "fw-bad", func() string { return `{"url":"ftp://x/","sha256":""}` })
	b.run(t).wantStatus(t, exitFailure)
	if e := b.execution(b.things[0], "fw-bad"); e.status != statusRejected {
		t.Errorf("a bad document was reported %s", e.status)
	}
}

// TestExpiredURL: a 403 makes the device ask for the document again.
func TestExpiredURL(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 200<<10)
	b.create(b.things[0], "fw", b.store.document)
	b.store.handle = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		switch n {
		case 1:
			b.store.half(w)
		case 2:
			b.store.expire()
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	res := b.run(t)
	res.wantStatus(t, exitOK)
	if rep := res.report; rep.FreshURLs != 1 || rep.RangeResumes != 1 || rep.Verified != 1 {
		t.Errorf("report %+v", rep)
	}
	gets := b.received("get") // the last is the audit
	if len(gets) != 2 || gets[0].job != "fw" || gets[0].ExecutionNumber != 1 {
		t.Errorf("get requests %+v", gets)
	}
}

// TestInterruptedDownload: what has come is not asked for again.
func TestInterruptedDownload(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 200<<10)
	b.create(b.things[0], "fw", b.store.document)
	b.store.handle = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			b.store.half(w)
		}
		if n == 2 { // trouble of the store is not trouble of the device
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	res := b.run(t)
	res.wantStatus(t, exitOK)
	if rep := res.report; rep.RangeResumes != 1 || rep.Verified != 1 || rep.Bytes != 200<<10 {
		t.Errorf("report %+v", rep)
	}
	if got, want := b.store.ranges(), []string{"", "bytes=102400-", "bytes=102400-"}; !slices.Equal(got, want) {
		t.Errorf("ranges %q, want %q", got, want)
	}
}

// TestConnectionCut: the work goes on while the connection is repaired, and is not begun twice.
func TestConnectionCut(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 200<<10)
	thing := b.things[0]
	b.create(thing, "fw", b.store.document)
	asked := make(chan struct{})
	b.fault = func(s seen) fault {
		if s.op == "start-next" && s.n == 2 {
			return fault{then: func(*testBroker) { close(asked) }}
		}
		return fault{}
	}
	b.store.handle = func(int, http.ResponseWriter, *http.Request) bool {
		b.cut(thing)
		<-asked
		return false
	}
	res := b.run(t)
	res.wantStatus(t, exitOK)
	if n := res.count(evStarted); n != 1 {
		t.Errorf("started %d times", n)
	}
	if e := b.execution(thing, "fw"); e.status != statusSucceeded || e.begun != 1 {
		t.Errorf("execution %+v", e)
	}
	if got := b.received("start-next"); len(got) != 2 || got[0].ClientToken == got[1].ClientToken {
		t.Errorf("start-next %+v, want two with different tokens", got)
	}
	if rep := res.report; rep.Connections != 2 || rep.Downloads != 1 {
		t.Errorf("report %+v", rep)
	}
}

// TestCutTerminalReport: the connection goes while the last report is on its way. The report is
// repeated with its token, and no execution is begun that nobody would finish.
func TestCutTerminalReport(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 1000)
	thing := b.things[0]
	b.create(thing, "fw", b.store.document)
	b.create(thing, "next", b.store.document)
	cut := false
	b.fault = func(s seen) fault {
		if s.Status == statusSucceeded && !cut {
			cut = true
			return fault{cut: true}
		}
		return fault{}
	}
	res := b.run(t)
	res.wantStatus(t, exitOK)
	wantSameReport(t, b, statusSucceeded, 2)
	if e := b.execution(thing, "next"); e.begun != 0 {
		t.Errorf("the next execution was begun: %+v", e)
	}
}

// wantSameReport checks that a terminal report was made n times with one token.
func wantSameReport(t *testing.T, b *bench, status string, n int) {
	t.Helper()
	tokens := make(map[string]int)
	for _, u := range b.received("update") {
		if u.Status == status {
			tokens[u.ClientToken]++
		}
	}
	if got := slices.Collect(maps.Values(tokens)); len(got) != 1 || got[0] != n {
		t.Errorf("reports by token %v, want one token %d times", tokens, n)
	}
}

// TestLostReplies: requests are repeated when the reply is lost or says that it may work later, and
// a report that had arrived is a success.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 1000)
	b.create(b.things[0], "fw", b.store.document)
	b.fault = func(s seen) fault {
		switch {
		case s.op == "start-next" && s.n == 1:
			return fault{lose: true}
		case s.op == "start-next" && s.n == 2:
			return fault{reject: codeRequestThrottled}
		case s.op == "start-next" && s.n == 3:
			return fault{reject: codeInternalError}
		case s.Status == statusSucceeded:
			b.mu.Lock()
			defer b.mu.Unlock()
			return fault{lose: b.find(s.thing, s.job).status == statusInProgress}
		}
		return fault{}
	}
	res := b.run(t, "--request-timeout", "40ms")
	res.wantStatus(t, exitOK)
	tokens := make(map[string]bool)
	for _, s := range b.received("start-next") {
		tokens[s.ClientToken] = true
	}
	if len(tokens) < 4 {
		t.Errorf("%d tokens for the repeated start-next, want a fresh one each", len(tokens))
	}
	if e := b.execution(b.things[0], "fw"); e.status != statusSucceeded || e.begun != 1 {
		t.Errorf("execution %+v", e)
	}
	if rep := res.report; rep.LostReplies < 2 || rep.Repeats < 4 {
		t.Errorf("report %+v", rep)
	}
}

// TestRefusedReport: what a refusal of the terminal report means depends on the state it tells.
func TestRefusedReport(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		code, state string
		status      int
		outcome     string
	}{
		{"arrived before", codeInvalidStateTransition, statusSucceeded, exitOK, statusSucceeded},
		{"canceled", codeInvalidStateTransition, "CANCELED", exitOK, outcomeCanceled},
		{"deleted", codeResourceNotFound, "", exitOK, outcomeCanceled},
		{"mistake", "InvalidRequest", "", exitFailure, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 1, 1000)
			b.create(b.things[0], "fw", b.store.document)
			b.create(b.things[0], "next", b.store.document)
			b.fault = func(s seen) fault {
				if s.job == "fw" && s.Status == statusSucceeded {
					return fault{reject: test.code, state: test.state, edit: func(e *scripted) { e.status = "CANCELED" }}
				}
				return fault{}
			}
			res := b.run(t)
			res.wantStatus(t, test.status)
			if test.outcome != "" && res.report.Executions[test.outcome] != 1 {
				t.Errorf("executions %v, want one %s", res.report.Executions, test.outcome)
			}
		})
	}
}

// TestCanceledAtWork: a refused progress report ends the work, and the device asks for the next.
func TestCanceledAtWork(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 1000)
	b.create(b.things[0], "fw", b.store.document)
	b.create(b.things[0], "next", b.store.document)
	b.fault = func(s seen) fault {
		return fault{edit: func(e *scripted) {
			if e.job == "fw" && s.op == "update" {
				e.status = "CANCELED"
			}
		}}
	}
	res := b.run(t)
	res.wantStatus(t, exitOK)
	if e := b.execution(b.things[0], "next"); e.status != statusSucceeded {
		t.Errorf("next: %+v", e)
	}
	if got := res.report.Executions; got[outcomeCanceled] != 1 || got[statusSucceeded] != 1 {
		t.Errorf("executions %v", got)
	}
}

// TestDuplicateReply: a second copy of a reply is counted and changes nothing.
func TestDuplicateReply(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 1000)
	b.create(b.things[0], "fw", b.store.document)
	b.fault = func(s seen) fault { return fault{twice: s.op == "start-next"} }
	res := b.run(t, "--no-verdicts")
	res.wantStatus(t, exitOK)
	if res.report.Unmatched != 1 || res.count(evStarted) != 1 {
		t.Errorf("unmatched %d, started %d", res.report.Unmatched, res.count(evStarted))
	}
}

// TestOfferedAgain: a server that hands out a finished execution again is caught.
func TestOfferedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 1000)
	b.create(b.things[0], "fw", b.store.document)
	b.fault = func(s seen) fault {
		return fault{then: func(b *testBroker) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.find(s.thing, "fw").status = statusInProgress
		}}
	}
	res := b.run(t, "--until-jobs", "2")
	res.wantStatus(t, exitFailure)
	if f := res.report.Failures; len(f) != 1 || !strings.Contains(f[0].Reason, "again") {
		t.Errorf("failures %v", f)
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

func wantFailure(t *testing.T, res result, reason string) {
	t.Helper()
	res.wantStatus(t, exitFailure)
	if f := res.report.Failures; len(f) != 1 || !strings.Contains(f[0].Reason, reason) {
		t.Errorf("failures %v, want %q", f, reason)
	}
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
