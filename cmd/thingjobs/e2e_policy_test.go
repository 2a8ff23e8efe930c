package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestPolicies: enrolled devices are under the policy that enroll attaches. What they are
// refused an operator finds with thingjobs denials, and changes take effect at once.
func TestPolicies(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{args: []string{"--auth-mode", "policy"}})
	dirs := s.enroll("pump-1", "pump-2")
	d, other := s.device(5, dirs[0]), s.device(4, dirs[1])
	for _, x := range []struct {
		d     *mqttDevice
		thing string
	}{{d, "pump-1"}, {other, "pump-2"}} {
		if code := x.d.subscribe("$aws/things/" + x.thing + "/jobs/notify-next"); code != 1 {
			t.Errorf("SUBACK %#x", code)
		}
		if outcome, _, raw := x.d.request(x.thing, "start-next", `{}`); outcome != "accepted" {
			t.Errorf("start-next: %s", raw)
		}
	}
	d.publish("$aws/things/pump-1/job/start-next", nil)
	p, err := d.read()
	if err != nil || p.kind != 4 || p.body[2] != 0x87 || !strings.Contains(string(p.body), "did you mean $aws/things/pump-1/jobs/start-next?") {
		t.Fatalf("a mistyped topic: %v %q, %v", p.kind, p.body, err)
	}
	if stranger, code := s.connect(5, folderTLS(t, dirs[0]), "pump-2"); code != 0x87 {
		t.Errorf("as another thing: CONNACK %#x", code)
	} else {
		stranger.ended()
	}

	list := func(args ...string) (list []denied) {
		t.Helper()
		out, errs, status := thingjobs(t, append([]string{"denials", "--data", string(s.dir), "--json"}, args...)...)
		if status != 0 || json.Unmarshal([]byte(out), &list) != nil {
			t.Fatalf("denials: exit %d\n%s%s", status, out, errs)
		}
		return list
	}
	all := list()
	if len(all) != 2 || all[0].What != "connect" || all[0].ClientID != "pump-2" || !strings.Contains(all[0].Reason, "no statement of the policy thingjobs-device allows iot:Connect on client/pump-2") {
		t.Errorf("denials: %+v", all)
	}
	if mine := list("--client-id", "pump-1"); len(mine) != 1 || mine[0].Topic != "$aws/things/pump-1/job/start-next" || mine[0].Suggestion == "" {
		t.Errorf("denials of pump-1: %+v", mine)
	}
	out, errs, status := thingjobs(t, "denials", "--data", string(s.dir))
	if status != 0 || !strings.Contains(out, "TOPIC") || !strings.Contains(out, "did you mean") {
		t.Errorf("denials: exit %d\n%s%s", status, out, errs)
	}
	e, err := s.dir.endpoints()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + e.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(text), `thingjobs_mqtt_denied_total{what="publish"} 1`) {
		t.Error("the refusal is not counted")
	}
	if !strings.Contains(s.logged(), `"suggestion":"did you mean $aws/things/pump-1/jobs/start-next?"`) {
		t.Error("the refusal is not logged")
	}

	// Detached from the certificates, the policy leaves no rights.
	var targets struct{ Targets []string }
	s.api("POST", "/policy-targets/"+devicePolicy, nil, &targets)
	for _, target := range targets.Targets {
		s.api("POST", "/target-policies/"+devicePolicy, map[string]string{"target": target}, nil)
	}
	if reason := d.ended(); reason != 0x87 {
		t.Errorf("DISCONNECT %#x", reason)
	}
	other.ended()
	s.stop()
}
