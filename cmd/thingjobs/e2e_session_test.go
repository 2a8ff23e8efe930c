package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// resume connects the device of a folder for a session of an hour that is kept, and tells
// whether there was one.
func (s *server) resume(version byte, dir string) (d *mqttDevice, present bool) {
	s.t.Helper()
	d, err := s.dial(version, folderTLS(s.t, dir))
	if err != nil {
		s.t.Fatal(err)
	}
	body := append(mqttString("MQTT"), version, 0, 0, 60)
	if version == 5 {
		body = append(body, 5, 0x11, 0, 0, 0x0E, 0x10)
	}
	d.send(0x10, append(body, mqttString(filepath.Base(dir))...))
	p, err := d.read()
	if err != nil || p.kind != 2 || len(p.body) < 2 || p.body[1] != 0 {
		s.t.Fatalf("CONNECT: %v %v", p, err)
	}
	return d, p.body[0] == 1
}

// metric gives the value of a metric, by its name and labels as they are written.
func (s *server) metric(name string) (v float64) {
	s.t.Helper()
	e, err := s.dir.endpoints()
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.Get("http://" + e.Admin + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			fmt.Sscan(rest, &v)
			return v
		}
	}
	s.t.Fatalf("no %s in\n%s", name, text)
	return 0
}

// TestSessions: devices and the broker are killed, jobs come, the broker starts again and
// the devices resume: each gets the newest notifications without subscribing, and only
// those, and can go on with them. Both versions of the protocol.
func TestSessions(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{})
	data := string(s.dir)
	things := []string{"pump-4", "pump-5", "pump-6"}
	dirs := s.enroll(things...)
	version := map[string]byte{"pump-4": 4, "pump-5": 5, "pump-6": 5}
	jobs := func(thing string) string { return "$aws/things/" + thing + "/jobs/" }
	var targets []string
	devices := make(map[string]*mqttDevice)
	for i, thing := range things {
		targets = append(targets, s.thing(thing))
		d, present := s.resume(version[thing], dirs[i])
		if present {
			t.Errorf("%s has a session at first", thing)
		}
		for _, filter := range []string{"notify", "notify-next"} {
			if code := d.subscribe(jobs(thing) + filter); code != 1 {
				t.Fatalf("%s: SUBACK %#x", thing, code)
			}
		}
		devices[thing] = d
	}
	s.createJob("before", `{"op":"before"}`, targets...)
	for _, d := range devices {
		d.mustNext("/notify")
		d.mustNext("/notify-next")
	}
	// pump-6 says goodbye and is away before the broker is; the others and it are killed
	// while jobs are made.
	devices["pump-6"].send(0xE0, nil)
	devices["pump-6"].ended()
	for _, job := range []string{"one", "two", "three"} {
		s.createJob(job, `{"op":"`+job+`"}`, targets...)
		// Jobs roll out side by side; a queue has the order in which they came to the thing.
		s.settled(job+" is rolled out", func() bool { _, counts := s.job(job); return counts.Queued == len(things) })
	}
	if n := s.metric("thingjobs_mqtt_sessions"); n != 3 {
		t.Errorf("%v sessions", n)
	}
	s.kill()
	for _, d := range devices {
		d.conn.Close()
	}

	s = startServer(t, serveOptions{data: data})
	s.settled("the sessions are counted", func() bool { return s.metric("thingjobs_mqtt_sessions") == 3 })
	for i, thing := range things {
		d, present := s.resume(version[thing], dirs[i])
		if !present {
			t.Fatalf("%s has no session after the kill", thing)
		}
		m := d.mustNext("/notify")
		for _, job := range []string{"before", "one", "two", "three"} {
			if !bytes.Contains(m.payload, []byte(`"jobId":"`+job+`"`)) {
				t.Errorf("%s: no %s in %s", thing, job, m.payload)
			}
		}
		if thing != "pump-6" { // killed: told again
			if m = d.mustNext("/notify-next"); !bytes.Contains(m.payload, []byte(`"jobDocument":{"op":"before"}`)) {
				t.Errorf("%s got %s", thing, m.payload)
			}
		}
		// It takes the jobs, and is notified of the next, as if nothing had been.
		if outcome, r, raw := d.request(thing, "start-next", `{}`); outcome != "accepted" || r.Execution == nil || r.Execution.JobID != "before" {
			t.Fatalf("%s: start-next %s %s", thing, outcome, raw)
		}
		if outcome, _, raw := d.request(thing, "before/update", `{"status":"SUCCEEDED"}`); outcome != "accepted" {
			t.Fatalf("%s: update %s %s", thing, outcome, raw)
		}
		d.mustNext("/notify")
		if m = d.mustNext("/notify-next"); !bytes.Contains(m.payload, []byte(`"jobId":"one"`)) {
			t.Errorf("%s got %s", thing, m.payload)
		}
		d.request(thing, "get", "") // answered behind the acknowledgements
		devices[thing] = d
	}
	if n := s.metric("thingjobs_mqtt_sessions_resumed_total"); n != 3 {
		t.Errorf("%v resumed", n)
	}
	// An orderly stop: who had all of it is told nothing.
	s.stop()
	s = startServer(t, serveOptions{data: data})
	for i, thing := range things {
		d, present := s.resume(version[thing], dirs[i])
		if !present {
			t.Fatalf("%s has no session after the stop", thing)
		}
		if outcome, _, _, err := d.tryFirst(thing, "get"); err != nil || outcome != jobs(thing)+"get/accepted" {
			t.Errorf("%s: first came %s, %v", thing, outcome, err)
		}
		d.conn.Close()
	}
	// A clean session ends it.
	s.device(version[things[0]], dirs[0]).conn.Close()
	if _, present := s.resume(version[things[0]], dirs[0]); present {
		t.Error("a session after a clean one")
	}
	s.stop()
}

// tryFirst asks and gives the topic of the first message that comes.
func (d *mqttDevice) tryFirst(thing, op string) (topic string, payload []byte, id uint16, err error) {
	d.publish("$aws/things/"+thing+"/jobs/"+op, nil)
	m, err := d.next()
	return m.topic, m.payload, d.id, err
}

// TestSessionsManyKills kills the broker again and again while a job is made in each round
// and the device comes and goes: it never misses the newest.
func TestSessionsManyKills(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{})
	data := string(s.dir)
	dir := s.enroll("pump-1")[0]
	target := s.thing("pump-1")
	d, _ := s.resume(5, dir)
	d.subscribe("$aws/things/pump-1/jobs/notify")
	for round := range 6 {
		if round%2 == 0 {
			d.conn.Close()
		}
		job := fmt.Sprintf("job-%d", round)
		s.createJob(job, `{}`, target)
		s.settled(job+" is rolled out", func() bool { _, counts := s.job(job); return counts.Queued == 1 })
		s.kill()
		d.conn.Close()
		s = startServer(t, serveOptions{data: data})
		var present bool
		if d, present = s.resume(5, dir); !present {
			t.Fatalf("round %d: no session", round)
		}
		if m := d.mustNext("/notify"); !bytes.Contains(m.payload, []byte(`"jobId":"`+job+`"`)) {
			t.Fatalf("round %d: %s", round, m.payload)
		}
	}
	s.stop()
}
