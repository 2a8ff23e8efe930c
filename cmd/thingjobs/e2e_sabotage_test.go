package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sabotageVariable tells a test build what to do wrong, once.
const sabotageVariable = "THINGJOBS_SABOTAGE"

// TestSabotage: the simulator passes this broker, and fails a build of it that loses one
// update, repeats one notification or skips one version.
func TestSabotage(t *testing.T) {
	t.Parallel()
	broker := filepath.Join(t.TempDir(), "thingjobs-sabotage")
	if out, err := exec.Command("go", "build", "-tags", "sabotage", "-o", broker, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, c := range []struct{ sabotage, verdict string }{
		{"", ""},
		{"lose-update", "terminal"},
		{"repeat-notification", "repeats"},
		{"skip-version", "versions"},
	} {
		t.Run(cmp.Or(c.sabotage, "none"), func(t *testing.T) {
			t.Parallel()
			s := startServer(t, serveOptions{broker: broker, env: []string{sabotageVariable + "=" + c.sabotage}})
			status, failed := s.mixedFleet()
			if c.verdict == "" && (status != 0 || len(failed) > 0) {
				t.Errorf("device-sim ended with %d, failed verdicts %q", status, failed)
			}
			if c.verdict != "" && (status == 0 || !slices.Contains(failed, c.verdict)) {
				t.Errorf("device-sim ended with %d, failed verdicts %q, want %s among them", status, failed, c.verdict)
			}
		})
	}
}

// TestNoSabotage: what is built without the tag cannot do any of it.
func TestNoSabotage(t *testing.T) {
	t.Parallel()
	built, err := os.ReadFile(program(t, "thingjobs"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(built, []byte(sabotageVariable)) {
		t.Errorf("the ordinary build knows %s", sabotageVariable)
	}
}

// mixedFleet runs a fleet of all manners through a job, and gives the exit status of
// device-sim and the verdicts that failed.
func (s *server) mixedFleet() (status int, failed []string) {
	s.t.Helper()
	var things []string
	for i := range 80 {
		things = append(things, fmt.Sprintf("pump-%02d", i))
	}
	s.enroll(things...)
	out, errs, status := runCommand(s.t, s.shellEnv(), program(s.t, "device-sim"), "--json", "--devices", s.dir.devices(),
		"--scenario", "../../configs/scenarios/mixed.yaml", "--create-jobs", "--timeout", "50s")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var report struct {
		Event    string
		Verdicts []struct {
			Name     string
			Checked  int
			Failed   int
			Examples []string
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &report); err != nil || report.Event != "report" {
		s.t.Fatalf("device-sim: %d, %v %s\n%s", status, err, lines[len(lines)-1], errs)
	}
	for _, v := range report.Verdicts {
		if v.Checked == 0 {
			s.t.Errorf("%s: nothing was judged", v.Name)
		}
		if v.Failed > 0 {
			failed = append(failed, v.Name)
			s.t.Logf("%s: %q", v.Name, v.Examples)
		}
	}
	return status, failed
}
