package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
)

// acknowledged is what a device was told of an execution that it updated.
type acknowledged struct {
	thing, job string
	status     string
	version    int64
	n          int // its last statusDetails
}

// work takes jobs and reports on them, ten times each, until the connection ends or the
// queue is empty. It gives the last that was accepted of each, and the number of updates.
func work(d *mqttDevice, thing string) (acks []acknowledged, updates int) {
	for {
		_, started, _, err := d.tryRequest(thing, "start-next", `{}`)
		if err != nil || started.Execution == nil {
			return acks, updates
		}
		a := acknowledged{thing: thing, job: started.Execution.JobID, status: "IN_PROGRESS", version: started.Execution.VersionNumber}
		for n := 1; n <= 10; n++ {
			status := "IN_PROGRESS"
			if n == 10 {
				status = "SUCCEEDED"
			}
			outcome, _, _, err := d.tryRequest(thing, a.job+"/update", fmt.Sprintf(`{"status":%q,"statusDetails":{"n":"%d"}}`, status, n))
			if err != nil {
				return append(acks, a), updates
			}
			if outcome == "accepted" {
				a.status, a.version, a.n = status, a.version+1, n
				updates++
			}
		}
		acks = append(acks, a)
	}
}

// workers starts work on devices; the function returned waits for its end.
func workers(devices map[string]*mqttDevice) func() (acks []acknowledged, updates int) {
	type result struct {
		acks    []acknowledged
		updates int
	}
	results := make(chan result, len(devices))
	for thing, d := range devices {
		go func() {
			acks, updates := work(d, thing)
			results <- result{acks, updates}
		}()
	}
	return func() (acks []acknowledged, updates int) {
		for range devices {
			r := <-results
			acks, updates = append(acks, r.acks...), updates+r.updates
		}
		return acks, updates
	}
}

// has checks that everything acknowledged is there. One update more may be: the answer
// to it was under way.
func (s *server) has(acks []acknowledged) {
	s.t.Helper()
	for _, a := range acks {
		x := s.executionOf(a.thing, a.job)
		n := 0
		fmt.Sscan(x.StatusDetails.DetailsMap["n"], &n)
		if x.VersionNumber < a.version || x.VersionNumber > a.version+1 || n < a.n || a.status == "SUCCEEDED" && x.Status != a.status {
			s.t.Errorf("acknowledged was %+v, there is %+v", a, x)
		}
	}
}

// TestKillInRollout kills the broker in the middle of a rollout to 10,000 things, while
// devices report, and starts it again.
func TestKillInRollout(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds and much disk: not with -short")
	}
	t.Parallel()
	const things, busy, early = 10_000, 6, 500
	name := func(i int) string { return fmt.Sprintf("pump-%05d", i) }
	dir := dataDir(filepath.Join(t.TempDir(), "data"))
	seed(t, dir, nil, func(ctx context.Context, e *engine.Engine) error {
		if _, err := e.CreateThingGroup(ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: "pumps"}); err != nil {
			return err
		}
		return inParallel(things, 200, func(i int) error {
			if _, err := e.CreateThing(ctx, &jobsvc.CreateThingRequest{ThingName: name(i)}); err != nil {
				return err
			}
			return e.AddThingToThingGroup(ctx, "pumps", name(i))
		})
	})
	s := startServer(t, serveOptions{data: string(dir)})
	names := []string{name(early)}
	for i := range busy {
		names = append(names, name(i))
	}
	dirs := s.enroll(names...)
	watcher := s.device(4, dirs[0])
	if code := watcher.subscribe("$aws/things/" + name(early) + "/jobs/notify-next"); code != 1 {
		t.Fatalf("subscribed with %d", code)
	}
	devices := make(map[string]*mqttDevice)
	var targets []string
	for i, thing := range names[1:] {
		devices[thing] = s.device(4, dirs[i+1])
		targets = append(targets, jobsvc.DefaultAccount.ARN("thing", thing))
	}
	for i := range 6 {
		s.createJob(fmt.Sprintf("warm-%02d", i), `{"op":"warm up"}`, targets...)
	}
	s.settled("the jobs before are rolled out", func() bool { _, counts := s.job("warm-05"); return counts.Queued == busy })

	wait := workers(devices)
	s.createJob("big", `{"op":"big"}`, jobsvc.DefaultAccount.ARN("thinggroup", "pumps"))
	watcher.mustNext("/notify-next")
	s.kill()
	acks, updates := wait()
	t.Logf("%d updates of %d executions were acknowledged before the kill", updates, len(acks))
	if updates == 0 {
		t.Error("no device reported: the test shows less than it should")
	}
	// A look at a copy, so that the broker itself finds what the kill left.
	remains := dataDir(filepath.Join(t.TempDir(), "copy"))
	if err := os.CopyFS(string(remains), os.DirFS(string(dir))); err != nil {
		t.Fatal(err)
	}
	seed(t, remains, nil, func(ctx context.Context, e *engine.Engine) error {
		d, err := e.DescribeJob(ctx, "big")
		if err != nil {
			return err
		}
		if n := d.ProcessDetails.Queued; n == 0 || n >= things-busy {
			t.Errorf("the kill came with %d executions: not in the middle", n)
		} else {
			t.Logf("%d executions before the kill", n)
		}
		return nil
	})

	s = startServer(t, serveOptions{data: string(dir)})
	s.has(acks)
	s.settled("the rollout is complete", func() bool { _, counts := s.job("big"); return counts.total() == things })
	// Devices come back, and do what is left to do.
	for i, thing := range names[1:] {
		devices[thing] = s.device(4, dirs[i+1])
	}
	acks, _ = workers(devices)()
	s.has(acks)
	for _, job := range []string{"warm-00", "warm-05"} {
		s.settled(job+" is complete", func() bool { status, counts := s.job(job); return status == "COMPLETED" && counts.Succeeded == busy })
	}
	status, counts := s.job("big")
	if status != "IN_PROGRESS" || counts != (jobCounts{Queued: things - busy, Succeeded: busy}) {
		t.Errorf("the big job is %s %+v", status, counts)
	}
	listed, unique := s.listed("big")
	if listed != counts || unique != things {
		t.Errorf("listing shows %+v of %d things, the job counts %+v", listed, unique, counts)
	}
	s.stop()
}

// listed counts a job's executions by listing them all.
func (s *server) listed(job string) (counts jobCounts, things int) {
	s.t.Helper()
	seen := make(map[string]bool)
	for token := ""; ; {
		var page struct {
			ExecutionSummaries []struct {
				ThingARN            string
				JobExecutionSummary struct{ Status string }
			}
			NextToken string
		}
		s.api("GET", "/jobs/"+job+"/things?maxResults=250&nextToken="+url.QueryEscape(token), nil, &page)
		for _, x := range page.ExecutionSummaries {
			seen[x.ThingARN] = true
			switch x.JobExecutionSummary.Status {
			case "QUEUED":
				counts.Queued++
			case "IN_PROGRESS":
				counts.InProgress++
			case "SUCCEEDED":
				counts.Succeeded++
			case "FAILED":
				counts.Failed++
			default:
				s.t.Errorf("%s is %s", x.ThingARN, x.JobExecutionSummary.Status)
			}
		}
		if token = page.NextToken; token == "" {
			return counts, len(seen)
		}
	}
}

// TestRestart stops the broker while devices report and starts it again.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{})
	things := []string{"pump-1", "pump-2", "pump-3", "pump-4"}
	dirs := s.enroll(things...)
	var targets []string
	devices := make(map[string]*mqttDevice)
	for i, thing := range things {
		targets = append(targets, s.thing(thing))
		devices[thing] = s.device(byte(4+i%2), dirs[i])
	}
	for i := range 12 {
		s.createJob(fmt.Sprintf("job-%02d", i), `{"op":"hello"}`, targets...)
	}
	s.settled("the jobs are rolled out", func() bool { _, counts := s.job("job-11"); return counts.Queued == len(things) })
	identity := func() (files [4]string) {
		t.Helper()
		for i, name := range []string{"ca.pem", "ca.key", "credentials.json", "server.pem"} {
			b, err := os.ReadFile(filepath.Join(string(s.dir), name))
			if err != nil {
				t.Fatal(err)
			}
			files[i] = string(b)
		}
		return files
	}
	before := identity()

	watch := s.device(4, s.enroll("watcher")[0]) // it ends with the drain
	wait := workers(devices)
	s.settled("devices are at work", func() bool { _, counts := s.job("job-00"); return counts.Succeeded > 0 })
	began := time.Now()
	s.terminate()
	watch.ended()
	if code := s.exit(); code != 0 {
		t.Errorf("the stop ended with %d", code)
	}
	took := time.Since(began)
	if took > 10*time.Second {
		t.Errorf("the stop took %s, longer than the drain", took)
	}
	acks, updates := wait()
	t.Logf("%d updates were acknowledged; the stop took %s", updates, took)

	s.stopped()
	s = startServer(t, serveOptions{data: string(s.dir)})
	if after := identity(); after != before {
		t.Error("CA, credentials or server certificate are not those of the first start")
	}
	s.has(acks)
	// The same devices, with the certificates they have.
	for i, thing := range things {
		devices[thing] = s.device(byte(4+i%2), dirs[i])
	}
	workers(devices)()
	s.settled("all is done", func() bool {
		status, counts := s.job("job-11")
		return status == "COMPLETED" && counts.Succeeded == len(things)
	})
	s.stop()
}

// TestSecondServe: two brokers on one directory would ruin it.
func TestSecondServe(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{})
	second := launch(t, serveOptions{data: string(s.dir)})
	code := second.exit()
	if log := second.logged(); code != 1 || !strings.Contains(log, string(s.dir)) || !strings.Contains(log, "in use") {
		t.Errorf("exit %d: %s", code, log)
	}
	s.thing("pump-1") // the first one serves on
	if out, errs, status := thingjobs(t, "env", "--data", string(s.dir)); status != 0 || !strings.Contains(out, "AWS_ENDPOINT_URL_IOT=") {
		t.Errorf("env: %d %s %s", status, out, errs)
	}
	s.stop()
	if out, errs, status := thingjobs(t, "env", "--data", string(s.dir)); status != 1 || !strings.Contains(errs, "thingjobs serve") {
		t.Errorf("env without a broker: %d %s %s", status, out, errs)
	}
}
