package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func (b *bench) load(t *testing.T, args ...string) (rep loadReport, status int, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = command(t.Context(), append([]string{"load", "--devices", b.dir, "--json", "--request-timeout", "5s"}, args...), &out, &errs)
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
			t.Error(err)
		}
	}
	return rep, status, errs.String()
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, v := range []version{mqtt5, mqtt311} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 4, 1000)
			for _, thing := range b.things[1:] {
				b.create(thing, "fw", b.store.document)
			}
			rep, status, stderr := b.load(t, "--rate", "500", "--duration", "400ms", "--warmup", "100ms", "--arrivals", "even",
				"--mqtt", string(v), "--source", "127.0.0.0/8", "--sources", "3")
			if status != exitOK || rep.Devices != 3 || rep.Connected != 4 || rep.Sent != 200 || rep.Answered != 200 {
				t.Errorf("exit status %d %s, report %+v", status, stderr, rep)
			}
			if l := rep.Latency; l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max {
				t.Errorf("latency %+v", l)
			}
			if n := len(b.received("update")); n != 250 {
				t.Errorf("%d updates, want 250", n)
			}
		})
	}
}

// TestCoordinatedOmission: one stall of the broker is in the latency of all requests that were due
// in it, not of one.
func TestCoordinatedOmission(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 1000)
	b.create(b.things[0], "fw", b.store.document)
	b.fault = func(s seen) fault {
		if s.op == "update" && s.n == 20 {
			<-time.After(300 * time.Millisecond)
		}
		return fault{}
	}
	rep, status, stderr := b.load(t, "--rate", "200", "--duration", "500ms", "--arrivals", "even", "--mqtt", "3.1.1")
	if status != exitOK || rep.Latency.P50 < 30 {
		t.Errorf("exit status %d %s, p50 %v ms: the stall is missing", status, stderr, rep.Latency.P50)
	}
}

func TestLoadMistakes(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 0)
	if _, status, stderr := b.load(t, "--rate", "10", "--duration", "1s"); status != exitUsage || !strings.Contains(stderr, "create a job") {
		t.Errorf("no execution: %d %s", status, stderr)
	}
	if _, status, stderr := b.load(t, "--rate", "10", "--sources", "3"); status != exitUsage || !strings.Contains(stderr, "--sources needs --source") {
		t.Errorf("sources: %d %s", status, stderr)
	}
	if rep, status, stderr := b.load(t, "--rate", "100", "--duration", "100ms", "--request", "get"); status != exitOK || rep.Answered == 0 {
		t.Errorf("get: %d %s", status, stderr)
	}
	b.create(b.things[0], "fw", b.store.document)
	b.fault = func(s seen) fault { return fault{lose: s.op == "update" && s.n == 3} }
	if rep, status, _ := b.load(t, "--rate", "100", "--duration", "100ms", "--arrivals", "even", "--request-timeout", "100ms"); status != exitFailure || rep.Unanswered != 1 {
		t.Errorf("a lost reply: %d %+v", status, rep)
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	next, again := schedule(1000, "poisson", 5), schedule(1000, "poisson", 5)
	var at time.Duration
	for range 5000 {
		was := at
		if at = next(); at != again() || at < was {
			t.Fatalf("%v after %v, or not the same again", at, was)
		}
	}
	if at < 4*time.Second || at > 6*time.Second {
		t.Errorf("5000 arrivals at 1000/s took %v", at)
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	if err := checkPorts(28000, 1, 28000); err != nil {
		t.Error(err)
	}
	if err := checkPorts(90000, 3, 28000); err == nil || !strings.Contains(err.Error(), "--sources 4") {
		t.Errorf("no advice: %v", err)
	}
	if _, err := newSources("127.0.0.0/30", 9); err == nil {
		t.Error("9 addresses of a /30")
	}
	s, err := newSources("127.0.0.0/8", 2)
	if err != nil || s.next().String() != "127.0.0.1:0" || s.next().String() != "127.0.0.2:0" || s.next().String() != "127.0.0.1:0" {
		t.Errorf("%v %v", s, err)
	}
}
