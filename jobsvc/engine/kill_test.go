package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/scheduler"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/badgerkv"
)

const (
	killDirEnv = "ENGINE_KILL_DIR"
	killThings = 10_000
	killKills  = 3
)

func TestMain(m *testing.M) {
	if now := os.Getenv(killNowEnv); now != "" {
		killLifeChild(os.Getenv(killDirEnv), now)
	}
	if dir := os.Getenv(killDirEnv); dir != "" {
		killChild(dir)
	}
	os.Exit(m.Run())
}

// TestKillInRollout kills a process again and again in the middle of a rollout, while
// devices work, and expects that nothing it acknowledged is lost and that the rollout
// ends as if nothing had happened.
func TestKillInRollout(t *testing.T) {
	if testing.Short() {
		t.Skip("writes to disk for some seconds")
	}
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	e, closeDB := openKilled(t, dir, true)
	things := names(killThings)
	_, err := e.CreateThingGroup(t.Context(), &jobsvc.CreateThingGroupRequest{ThingGroupName: "g"})
	must(t, err)
	each(t, things, func(n string) error {
		if _, err := e.CreateThing(t.Context(), &jobsvc.CreateThingRequest{ThingName: n}); err != nil {
			return err
		}
		return e.AddThingToThingGroup(t.Context(), "g", n)
	})
	doc := "{}"
	_, err = e.CreateJob(t.Context(), &jobsvc.CreateJobRequest{JobID: "fw", Targets: []string{e.Account().ARN(jobsvc.ARNThingGroup, "g")}, Document: &doc})
	must(t, err)
	closeDB()

	acked := make(map[string]acknowledged)
	for range killKills {
		runAndKill(t, dir, rng, acked)
		e, closeDB := openKilled(t, dir, true)
		d, err := e.DescribeJob(t.Context(), "fw")
		must(t, err)
		t.Logf("killed with %d of %d rolled out, %d acknowledged", total(&d.ProcessDetails), killThings, len(acked))
		checkAcknowledged(t, e, acked)
		closeDB()
	}

	e, closeDB = openKilled(t, dir, true)
	defer closeDB()
	fireAll(t, e)
	d, err := e.DescribeJob(t.Context(), "fw")
	must(t, err)
	if d.Concurrent || !d.RolloutDone || total(&d.ProcessDetails) != killThings {
		t.Fatalf("after the rollout: %+v", d)
	}
	checkAcknowledged(t, e, acked)
	checkListing(t, e, d)
	// The devices that have not come to it yet finish.
	each(t, things, func(n string) error {
		r, err := e.StartNextPendingJobExecution(t.Context(), &jobsvc.StartNextPendingJobExecutionRequest{ThingName: n})
		if err != nil || r.Execution == nil {
			return err
		}
		_, err = e.UpdateJobExecution(t.Context(), &jobsvc.UpdateJobExecutionRequest{ThingName: n, JobID: "fw", JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusSucceeded}})
		return err
	})
	fireAll(t, e)
	d, err = e.DescribeJob(t.Context(), "fw")
	must(t, err)
	if d.Status != jobsvc.JobCompleted || total(&d.ProcessDetails) != killThings {
		t.Fatalf("at the end: %+v", d)
	}
}

// acknowledged is what a device was last told of its execution.
type acknowledged struct {
	version int64
	status  jobsvc.JobExecutionStatus
}

func checkAcknowledged(t *testing.T, e *engine.Engine, acked map[string]acknowledged) {
	t.Helper()
	for n, a := range acked {
		x, err := e.DescribeJobExecution(t.Context(), n, "fw", nil)
		must(t, err)
		if x.VersionNumber < a.version || x.VersionNumber == a.version && x.Status != a.status || a.status.Terminal() && x.VersionNumber != a.version {
			t.Fatalf("%s was told version %d, %s, and it is %+v", n, a.version, a.status, x)
		}
	}
}

func checkListing(t *testing.T, e *engine.Engine, d *jobsvc.JobDescription) {
	t.Helper()
	var counted jobsvc.JobProcessDetails
	seen := make(map[string]bool)
	for token := ""; ; {
		r, err := e.ListJobExecutionsForJob(t.Context(), &jobsvc.ListJobExecutionsForJobRequest{JobID: "fw", Page: jobsvc.Page{MaxResults: 250, Token: token}})
		must(t, err)
		for _, x := range r.Executions {
			*counted.Count(x.Status)++
			if seen[x.ThingName] || x.ExecutionNumber != 1 {
				t.Fatalf("a second execution: %+v", x)
			}
			seen[x.ThingName] = true
		}
		if token = r.NextToken; token == "" {
			break
		}
	}
	for _, s := range jobsvc.JobExecutionStatuses() {
		if *counted.Count(s) != *d.ProcessDetails.Count(s) {
			t.Errorf("counter of %s is %d, listing shows %d", s, *d.ProcessDetails.Count(s), *counted.Count(s))
		}
	}
}

func total(d *jobsvc.JobProcessDetails) (n int64) {
	for _, s := range jobsvc.JobExecutionStatuses() {
		n += *d.Count(s)
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// each calls for all names, many at a time, so that they share commits.
func each(t *testing.T, names []string, call func(string) error) {
	t.Helper()
	var wg sync.WaitGroup
	const many = 64
	for i := range many {
		wg.Go(func() {
			for j := i; j < len(names); j += many {
				if err := call(names[j]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// fireAll fires what is due until nothing is, then settles, as a start does.
func fireAll(t *testing.T, e *engine.Engine) {
	t.Helper()
	for {
		timers, err := e.Timers(t.Context(), 10)
		must(t, err)
		if len(timers) == 0 {
			break
		}
		now, err := e.Now(t.Context())
		must(t, err)
		must(t, e.Fire(t.Context(), timers[0], now))
	}
	e.UnsettleActive()
	must(t, e.Settle(t.Context()))
}

func openKilled(t *testing.T, dir string, noSync bool) (*engine.Engine, func()) {
	t.Helper()
	db, err := badgerkv.Open(badgerkv.Options{Dir: dir, ScopeOf: store.ScopeOf, NoSync: noSync, MemTableSize: 16 << 20, MinFreeBytes: -1})
	must(t, err)
	s, err := store.Open(t.Context(), db)
	must(t, err)
	return engine.New(s, engine.Options{}), func() { must(t, db.Close()) }
}

// runAndKill runs the child for a random time from its first acknowledgement, and notes
// what it acknowledged.
func runAndKill(t *testing.T, dir string, rng *rand.Rand, acked map[string]acknowledged) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	child := exec.Command(exe, "-test.run=^$")
	child.Env = append(os.Environ(), killDirEnv+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	var alarm *time.Timer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if alarm == nil {
			alarm = time.AfterFunc(time.Duration(5+rng.IntN(150))*time.Millisecond, func() { _ = child.Process.Kill() })
		}
		var n string
		var a acknowledged
		if _, err := fmt.Sscan(lines.Text(), &n, &a.version, &a.status); err != nil {
			t.Fatalf("the child says %q", lines.Text())
		}
		if a.version > acked[n].version {
			acked[n] = a
		}
	}
	if err := child.Wait(); err == nil || alarm == nil {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

// killChild rolls out, and lets devices work, until it is killed. It prints what it
// acknowledges, one line a time.
func killChild(dir string) {
	ctx := context.Background()
	db, err := badgerkv.Open(badgerkv.Options{Dir: dir, ScopeOf: store.ScopeOf, MemTableSize: 16 << 20, MinFreeBytes: -1})
	if err != nil {
		killFailed(err)
	}
	s, err := store.Open(ctx, db)
	if err != nil {
		killFailed(err)
	}
	devices := make(chan string, 1000)
	e := engine.New(s, engine.Options{Notifier: deviceList(devices)})
	go func() { killFailed(e.Run(ctx)) }()
	for i := range 16 {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(i), uint64(os.Getpid())))
			for n := range devices {
				if err := killDevice(ctx, e, n, rng); err != nil {
					killFailed(err)
				}
			}
		}()
	}
	// Devices of an earlier life ask again, as devices do when they connect.
	go func() {
		for _, n := range names(killThings) {
			devices <- n
		}
	}()
	killFailed(scheduler.New(e, scheduler.Options{}).Run(ctx))
}

func killFailed(err error) {
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(1)
}

// deviceList is told of the things that have something to do. What there is no room for
// it forgets: it must not block.
type deviceList chan string

func (d deviceList) Notify(hints []engine.Hint) {
	for _, h := range hints {
		select {
		case d <- h.ThingName:
		default:
		}
	}
}

// killDevice does a part of a device's work.
func killDevice(ctx context.Context, e *engine.Engine, n string, rng *rand.Rand) error {
	r, err := e.StartNextPendingJobExecution(ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: n})
	if err != nil || r.Execution == nil {
		return err
	}
	fmt.Println(n, r.Execution.VersionNumber, r.Execution.Status)
	for range rng.IntN(4) {
		status := []jobsvc.JobExecutionStatus{jobsvc.StatusInProgress, jobsvc.StatusInProgress, jobsvc.StatusSucceeded, jobsvc.StatusFailed}[rng.IntN(4)]
		u, err := e.UpdateJobExecution(ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: n, JobID: "fw", JobExecutionUpdate: jobsvc.JobExecutionUpdate{
			Status: status, StatusDetails: map[string]string{"step": fmt.Sprint(rng.IntN(100))},
		}})
		if jobsvc.ErrorCode(err) == jobsvc.CodeInvalidStateTransition {
			return nil // another worker was given the same device, and it ended
		}
		if err != nil {
			return err
		}
		fmt.Println(n, u.State.VersionNumber, u.State.Status)
	}
	return nil
}
