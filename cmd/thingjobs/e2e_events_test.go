package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestEvents follows jobs with mosquitto_sub and an operator's certificate. One subscriber
// is away when the broker is killed: what was committed comes to it afterwards, with the
// event IDs that another one saw.
func TestEvents(t *testing.T) {
	t.Parallel()
	sub := tool(t, "mosquitto_sub")
	s := startServer(t, serveOptions{})
	data := string(s.dir)
	dirs := s.enroll("pump-1", "pump-2")
	out, errs, status := thingjobs(t, "operator", "--data", data, "certificate", "console")
	id := strings.TrimSpace(out)
	if status != 0 || len(id) != 64 || !strings.Contains(errs, "operatorCertificates: ["+id+"]") {
		t.Fatalf("operator certificate: %d %s%s", status, out, errs)
	}
	if again, _, _ := thingjobs(t, "operator", "--data", data, "certificate", "console"); strings.TrimSpace(again) != id {
		t.Errorf("made again it is %s, not %s", again, id)
	}
	if _, errs, status := thingjobs(t, "operator", "--data", data, "certificate", "../console"); status == 0 {
		t.Errorf("a name that leaves the folder: %s", errs)
	}
	s.stop()
	s = startServer(t, serveOptions{data: data, args: []string{"--auth-operator-certificates", id}})

	folder := filepath.Join(data, "operators", "console")
	listen := func(clientID string, more ...string) *background {
		t.Helper()
		e, err := s.dir.endpoints()
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"-oL", sub, "-h", "localhost", "-p", mqttPort(e.MQTTS), "-q", "1", "-i", clientID, "-d", "-v", "-t", "$aws/events/job/#", "-t", "$aws/events/jobExecution/#",
			"--cafile", filepath.Join(folder, "ca.pem"), "--cert", filepath.Join(folder, "operator.pem.crt"), "--key", filepath.Join(folder, "operator.key")}
		return startBackground(t, tool(t, "stdbuf"), append(args, more...)...)
	}
	had := make(map[*background]map[string]bool)
	// events takes events off a listener and gives their IDs. Those that it had are passed
	// over: a kill costs repetition.
	events := func(l *background, want ...string) (ids []string) {
		t.Helper()
		if had[l] == nil {
			had[l] = make(map[string]bool)
		}
		for i := 0; i < len(want); {
			topic, line := want[i], ""
			for !strings.HasPrefix(line, "$aws/events/") {
				line = l.line("$aws/events/")
			}
			got, payload, _ := strings.Cut(strings.TrimPrefix(line, "$aws/events/"), " ")
			var ev struct{ EventID, Operation string }
			if json.Unmarshal([]byte(payload), &ev) == nil && had[l][ev.EventID] {
				continue
			}
			if err := json.Unmarshal([]byte(payload), &ev); err != nil || got != topic || !strings.HasSuffix(got, "/"+ev.Operation) || len(ev.EventID) != 36 {
				t.Fatalf("got %s, want %s", line, topic)
			}
			ids = append(ids, ev.EventID)
			had[l][ev.EventID] = true
			i++
		}
		return ids
	}
	console, witness := listen("console", "-c"), listen("witness")
	console.line("Subscribed (mid")
	witness.line("Subscribed (mid")

	device := s.device(4, dirs[0])
	finish := func(job string) {
		t.Helper()
		if outcome, _, payload, err := device.tryRequest("pump-1", "start-next", `{}`); err != nil || outcome != "accepted" {
			t.Fatalf("start-next: %s %s %v", outcome, payload, err)
		}
		if outcome, _, payload, err := device.tryRequest("pump-1", job+"/update", `{"status":"SUCCEEDED"}`); err != nil || outcome != "accepted" {
			t.Fatalf("update: %s %s %v", outcome, payload, err)
		}
	}
	pump1, pump2 := s.thing("pump-1"), s.thing("pump-2")
	rolledOut := func(job string, things int) {
		t.Helper()
		s.settled(job+" is rolled out", func() bool { _, counts := s.job(job); return counts.total() == things })
	}
	s.createJob("one", `{}`, pump1)
	rolledOut("one", 1)
	finish("one")
	s.createJob("two", `{}`, pump1, pump2)
	rolledOut("two", 2)
	// The end of a job follows by itself; the next step must not overtake it.
	want := []string{"jobExecution/one/succeeded", "job/one/completed"}
	events(console, want...)
	events(witness, want...)
	s.api("PUT", "/jobs/two/cancel", struct{}{}, nil)
	want = []string{"job/two/cancellation_in_progress", "jobExecution/two/canceled", "jobExecution/two/canceled", "job/two/canceled"}
	events(console, want...)
	events(witness, want...)
	s.api("DELETE", "/jobs/two", nil, nil)
	want = []string{"job/two/deletion_in_progress", "jobExecution/two/deleted", "jobExecution/two/deleted", "job/two/deleted"}
	if a, b := events(console, want...), events(witness, want...); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("console saw %v, witness %v", a, b)
	}

	_ = console.cmd.Process.Kill()
	for range console.lines { // to its end
	}
	s.createJob("three", `{}`, pump1)
	rolledOut("three", 1)
	finish("three")
	seen := events(witness, "jobExecution/three/succeeded", "job/three/completed")
	s.kill()
	s = startServer(t, serveOptions{data: data, args: []string{"--auth-operator-certificates", id}})
	before := had[console]
	console = listen("console", "-c") // its session is still there, and does not wait for SUBSCRIBE
	had[console] = before
	if got := events(console, "jobExecution/three/succeeded", "job/three/completed"); fmt.Sprint(got) != fmt.Sprint(seen) {
		t.Errorf("after the kill the events are %v, before it they were %v", got, seen)
	}
	s.stop()
}
