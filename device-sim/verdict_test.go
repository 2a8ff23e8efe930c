package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerdicts: a broker that does one thing wrong does not get away with it, and one that does
// nothing wrong is not blamed.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	progress := func(s seen) bool { return s.op == "update" && s.Status == statusInProgress }
	last := func(s seen) bool { return s.op == "update" && s.Status == statusSucceeded }
	start := func(s seen) bool { return s.op == "start-next" }
	for _, test := range []struct {
		name  string
		when  func(seen) bool
		fault fault
		check string // that fails; empty for none
		what  string
	}{
		{"nothing wrong", start, fault{}, "", ""},
		{"loses a progress report", progress, fault{forget: true}, checkVersions, "stayed at version"},
		{"loses the last report", last, fault{forget: true}, checkTerminal, "pending again"},
		{"skips a version", progress, fault{skip: true}, checkVersions, "jumped from version 2 to 4"},
		{"skips the last version", last, fault{skip: true}, checkVersions, "jumped from version"},
		{"answers start-next twice", start, fault{twice: true}, checkReplies, "reply 2 to start-next"},
		{"answers a report twice", last, fault{twice: true}, checkReplies, "sent 1 times"},
		{"announces before the reply", last, fault{early: true}, checkOrder, "came before the reply"},
		{"announces the head before the list", last, fault{swap: true}, checkOrder, "before notify did"},
		{"announces twice", last, fault{again: true}, checkRepeats, "twice"},
		{"announces nothing", func(s seen) bool { return last(s) && s.job == "fw-2" }, fault{quiet: true}, checkLost, "told was"},
		{"takes a terminal report twice", last, fault{then: func(b *testBroker) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.queues["dev-00"][0].status = statusInProgress
		}}, checkTerminal, "pending again"},
		{"answers a stranger's request", start, fault{then: func(b *testBroker) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.say("dev-00", "start-next/accepted", `{"clientToken":"whose?","timestamp":1}`)
		}}, checkReplies, "not ours"},
		{"goes back a version", start, fault{then: func(b *testBroker) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.queues["dev-00"][0].version = 0
		}}, checkVersions, "stayed at version"},
		{"refuses with the wrong token", start, fault{then: func(b *testBroker) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.say("dev-00", "fw/update/rejected", `{"code":"InvalidJson","message":"","timestamp":1}`)
		}}, checkReplies, "without a token"},
	} {
		for _, v := range []version{mqtt5, mqtt311} {
			t.Run(test.name+" "+string(v), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, 1, 1000)
				// Announced while the device listens, so that it knows the queue before it changes.
				created := false
				b.onEmpty = func(thing string) {
					if !created {
						created = true
						b.create(thing, "fw", b.store.document)
						b.create(thing, "fw-2", b.store.document)
					}
				}
				done := false
				b.fault = func(s seen) fault {
					if !done && created && test.when(s) {
						done = true
						return test.fault
					}
					return fault{}
				}
				res := b.run(t, "--mqtt", string(v), "--until-jobs", "2")
				if test.check == "" {
					res.wantStatus(t, exitOK)
				} else if res.status == exitOK {
					t.Errorf("exit status %d", res.status)
				}
				for _, got := range res.report.Verdicts {
					switch {
					case got.Name != test.check:
						if test.check == "" && (got.Failed > 0 || got.Checked == 0 && got.Name != checkRefusals) {
							t.Errorf("%v %q", got, got.Examples)
						}
					case got.Failed == 0:
						t.Errorf("%v", got)
					case !strings.Contains(strings.Join(got.Examples, "\n"), test.what):
						t.Errorf("%v %q, want %q", got, got.Examples, test.what)
					}
				}
			})
		}
	}
}

// TestLostOnly: the only notification of a connection is missed, too.
func TestLostOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 1000)
	b.create(b.things[0], "fw", b.store.document)
	b.fault = func(seen) fault { return fault{quiet: true} }
	res := b.run(t)
	res.wantStatus(t, exitVerdict)
	for _, v := range res.report.Verdicts {
		if (v.Failed > 0) != (v.Name == checkLost) || v.Failed > 0 && v.Failed != 2 {
			t.Errorf("%v %q", v, v.Examples)
		}
	}
}

// TestStyles: a fleet of each style, in both versions of MQTT, drains its queue.
func TestStyles(t *testing.T) {
	t.Parallel()
	for _, s := range styles {
		for _, v := range []version{mqtt5, mqtt311} {
			t.Run(string(s)+" "+string(v), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, 3, 1000)
				for _, thing := range b.things {
					b.create(thing, "a", b.store.document)
					b.create(thing, "b", b.store.document)
				}
				res := b.run(t, "--style", string(s), "--mqtt", string(v), "--until-jobs", "2", "--poll-every", "10ms")
				res.wantStatus(t, exitOK)
				if got := res.report.Executions[statusSucceeded]; got != 6 {
					t.Errorf("executions %v", res.report.Executions)
				}
				for _, thing := range b.things {
					for _, job := range []string{"a", "b"} {
						if e := b.execution(thing, job); e.begun != 1 || e.status != statusSucceeded {
							t.Errorf("%s %s: %+v", thing, job, e)
						}
					}
				}
				if n := len(b.received("start-next")); (n > 0) != (s == styleStartNext) {
					t.Errorf("%d start-next", n)
				}
			})
		}
	}
}

// TestCounters compares with a control plane that counts right and one that does not.
func TestCounters(t *testing.T) {
	for _, test := range []struct {
		name     string
		answer   string
		status   int
		examples string
	}{
		{"right", `{"job":{"jobProcessDetails":{"numberOfSucceededThings":2}}}`, exitOK, ""},
		{"wrong", `{"job":{"jobProcessDetails":{"numberOfSucceededThings":1}}}`, exitVerdict, "the server counts {Succeeded:1"},
		{"no answer", `{`, exitVerdict, "GET /jobs/fw"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/jobs/fw" || !strings.Contains(r.Header.Get("Authorization"), "Credential=operator/") {
					w.WriteHeader(http.StatusForbidden)
				}
				_, _ = w.Write([]byte(test.answer))
			}))
			defer server.Close()
			t.Setenv("AWS_ENDPOINT_URL_IOT", server.URL)
			t.Setenv("AWS_REGION", "us-east-1")
			t.Setenv("AWS_ACCESS_KEY_ID", "operator")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
			b := newBench(t, 2, 1000)
			for _, thing := range b.things {
				b.create(thing, "fw", b.store.document)
			}
			file := filepath.Join(t.TempDir(), "junit.xml")
			res := b.run(t, "--counters", "--junit", file)
			res.wantStatus(t, test.status)
			junit := string(must(os.ReadFile(file)))
			if test.examples != "" && !strings.Contains(junit, test.examples) || strings.Contains(junit, "<failure") != (test.status != exitOK) {
				t.Errorf("JUnit: %s", junit)
			}
		})
	}
}
