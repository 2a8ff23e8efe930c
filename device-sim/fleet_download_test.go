package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

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
