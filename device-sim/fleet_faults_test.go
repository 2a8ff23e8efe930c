package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

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
