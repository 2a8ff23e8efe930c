package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestExplain asks the running broker why a device gets what it gets.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{})
	defer s.stop()
	arn := s.thing("pump-1")
	for _, job := range []string{"first", "second"} {
		s.createJob(job, "{}", arn)
		s.settled(job+" is rolled out", func() bool { _, counts := s.job(job); return counts.Queued == 1 })
	}

	run := func(args ...string) string {
		t.Helper()
		var out, errs string
		var status int
		s.settled("both jobs are explained", func() bool {
			out, errs, status = thingjobs(t, append([]string{"explain", "--data", string(s.dir)}, args...)...)
			return status != 0 || strings.Contains(out, "second")
		})
		if status != 0 {
			t.Fatalf("thingjobs explain %q: exit %d\n%s%s", args, status, out, errs)
		}
		return out
	}
	out := run("pump-1")
	for _, want := range []string{"No certificate is attached", "It is next", "It comes after job first.", "Connected"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	var x explanation
	if err := json.Unmarshal([]byte(run("--json", "pump-1")), &x); err != nil || len(x.Executions) != 2 || x.Executions[0].JobID != "first" {
		t.Errorf("%+v, %v", x, err)
	}
	if out, errs, status := thingjobs(t, "explain", "--data", string(s.dir), "nobody"); status != 1 || !strings.Contains(errs, "nobody") {
		t.Errorf("of a thing there is not: exit %d\n%s%s", status, out, errs)
	}
}
