package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/presign/s3server"
)

// TestFleet has the simulator's devices end as its seed says, and the job's counters too.
func TestFleet(t *testing.T) {
	t.Parallel()
	s3, config, secret := startS3(t)
	firmware := strings.Repeat("firmware ", 5000)
	put(t, s3, "pump.bin", firmware)
	s := startServer(t, serveOptions{config: config})
	s.secrets = append(s.secrets, secret)
	var things, targets []string
	for i := range 20 {
		things = append(things, fmt.Sprintf("pump-%02d", i))
	}
	s.enroll(things...)
	for _, thing := range things {
		targets = append(targets, s.thing(thing))
	}
	sim := startBackground(t, program(t, "device-sim"), "--json", "--devices", s.dir.devices(), "--fail", "20", "--reject", "10",
		"--seed", "7", "--work", "20ms", "--timeout", patience.String())
	for range things {
		sim.line(`"event":"connected"`)
	}
	s.api("PUT", "/jobs/fw-7", map[string]any{
		"targets": targets, "presignedUrlConfig": map[string]any{"roleArn": s3Role},
		"document": fmt.Sprintf(`{"url":"${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/firmware/pump.bin}","sha256":"%x","size":%d}`,
			sha256.Sum256([]byte(firmware)), len(firmware)),
	}, nil)

	var report struct {
		fleetReport
		Unintended, Unmatched int
	}
	if err := json.Unmarshal([]byte(sim.line(`"event":"report"`)), &report); err != nil {
		t.Fatal(err)
	}
	for range sim.lines { // to its end
	}
	if err := sim.cmd.Wait(); err != nil {
		t.Errorf("device-sim: %v %s", err, &sim.errs)
	}
	// What seed 7 draws for these things and this job.
	want := map[string]int{"SUCCEEDED": 13, "FAILED": 6, "REJECTED": 1}
	if !maps.Equal(report.Executions, want) || report.Devices != 20 || report.DevicesNotOK != 0 || report.Unintended != 0 || report.Unmatched != 0 {
		t.Errorf("the fleet reports %+v, want %v", report, want)
	}
	if report.VerifiedDownloads != 20-want["REJECTED"] {
		t.Errorf("%d downloads verified", report.VerifiedDownloads)
	}
	s.settled("the job is complete", func() bool { status, _ := s.job("fw-7"); return status == "COMPLETED" })
	if _, counts := s.job("fw-7"); counts != (jobCounts{Succeeded: want["SUCCEEDED"], Failed: want["FAILED"], Rejected: want["REJECTED"]}) {
		t.Errorf("the job counts %+v, want %v", counts, want)
	}
	s.stop()
}

// TestDemo runs what `make run` runs, with fewer devices.
func TestDemo(t *testing.T) {
	t.Parallel()
	s3, err := s3server.Find()
	if err != nil {
		missing(t, "%v", err)
	}
	data := filepath.Join(t.TempDir(), "data")
	out, errs, status := thingjobs(t, "demo", "--data", data, "--devices", "5", "--size", "65536", "--s3", s3)
	if status != 0 || !strings.Contains(out, "COMPLETED on 5 devices, 5 downloads verified") {
		t.Errorf("demo: exit %d\n%s%s", status, out, errs)
	}
	for _, want := range []string{"CreateJob to notify-next", "start-next request to reply", "aws iot list-jobs", "mosquitto_sub"} {
		if !strings.Contains(out, want) {
			t.Errorf("demo does not show %q:\n%s", want, out)
		}
	}
	// And once more on the same data, with fewer devices than are known by now.
	if out, errs, status := thingjobs(t, "demo", "--data", data, "--devices", "2", "--size", "1024", "--s3", s3, "--reject", "100"); status != 0 {
		t.Errorf("demo again: exit %d\n%s%s", status, out, errs)
	}
}
