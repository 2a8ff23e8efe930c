package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/badgerkv"
)

const (
	killNowEnv    = "ENGINE_KILL_NOW"
	killLifeMany  = 2500 // things
	killLifeKills = 2    // of each phase at most
)

// killLifeClock begins at a time and moves a little with every look.
func killLifeClock(now time.Time) func() time.Time {
	var mu sync.Mutex
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Microsecond)
		return now
	}
}

func openKillLife(ctx context.Context, dir string, noSync bool, now time.Time) (*engine.Engine, *store.Store, func() error, error) {
	db, err := badgerkv.Open(badgerkv.Options{Dir: dir, ScopeOf: store.ScopeOf, NoSync: noSync, MemTableSize: 16 << 20, MinFreeBytes: -1})
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := store.Open(ctx, db)
	if err != nil {
		return nil, nil, nil, err
	}
	rules := jobsvc.DefaultJobRules()
	rules.MinStartLead, rules.MinEndLead, rules.MinSpan = 0, 0, 0
	return engine.New(s, engine.Options{Account: account, Rules: &rules, Now: killLifeClock(now)}), s, db.Close, nil
}

// runKillLife does everything that is due, as a start does.
func runKillLife(ctx context.Context, e *engine.Engine) error {
	e.UnsettleActive()
	for {
		timers, err := e.Timers(ctx, 10)
		if err != nil {
			return err
		}
		now, err := e.Now(ctx)
		if err != nil {
			return err
		}
		timers = slices.DeleteFunc(timers, func(t store.Timer) bool { return t.Due.After(now) })
		if len(timers) == 0 {
			return e.Settle(ctx)
		}
		if err := e.Fire(ctx, timers[0], now); err != nil {
			return err
		}
	}
}

// killLifeChild does what is due, until it is killed or nothing is.
func killLifeChild(dir, now string) {
	ctx := context.Background()
	at, err := time.Parse(time.RFC3339Nano, now)
	if err != nil {
		killFailed(err)
	}
	e, _, closeDB, err := openKillLife(ctx, dir, false, at)
	if err != nil {
		killFailed(err)
	}
	fmt.Println("up")
	if err := runKillLife(ctx, e); err != nil {
		killFailed(err)
	}
	if err := closeDB(); err != nil {
		killFailed(err)
	}
	fmt.Println("done")
	os.Exit(0)
}

// killLife goes through the lives of some jobs, phase by phase: what operators and devices
// do, and then what is due at that time.
type killLife struct {
	t      *testing.T
	dir    string
	things []string
	rng    *rand.Rand // nil: nobody is killed
	kills  int
}

type killPhase struct {
	name string
	at   string
	do   func(l *killLife, e *engine.Engine)
}

func (l *killLife) run(phases []killPhase) {
	l.t.Helper()
	for i, p := range phases {
		at := moment(l.t, p.at)
		e, _, closeDB, err := openKillLife(l.t.Context(), l.dir, true, at)
		must(l.t, err)
		if p.do != nil {
			p.do(l, e)
		}
		if l.rng == nil {
			must(l.t, runKillLife(l.t.Context(), e))
		}
		must(l.t, closeDB())
		if l.rng == nil || i == 0 {
			continue
		}
		for try := 1; ; try++ {
			at := at.Add(time.Duration(try) * 100 * time.Millisecond)
			if l.child(at, try <= killLifeKills) {
				break
			}
			l.kills++
			l.check(p.name, at)
		}
	}
}

// child runs a process and tells whether it came to the end of its work.
func (l *killLife) child(now time.Time, kill bool) (done bool) {
	l.t.Helper()
	exe, err := os.Executable()
	must(l.t, err)
	child := exec.Command(exe, "-test.run=^$")
	child.Env = append(os.Environ(), killDirEnv+"="+l.dir, killNowEnv+"="+now.Format(time.RFC3339Nano))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(l.t, err)
	must(l.t, child.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch {
		case lines.Text() == "done":
			done = true
		case kill:
			time.AfterFunc(time.Duration(l.rng.IntN(60_000))*time.Microsecond, func() { _ = child.Process.Kill() })
		}
	}
	if err := child.Wait(); err != nil && !kill {
		l.t.Fatal(err)
	}
	return done
}

// check holds the counters against the listings as a kill left them.
func (l *killLife) check(phase string, at time.Time) {
	l.t.Helper()
	_, s, closeDB, err := openKillLife(l.t.Context(), l.dir, true, at)
	must(l.t, err)
	defer func() { must(l.t, closeDB()) }()
	for _, job := range []string{"plain", "paced", "nightly", "deleted"} {
		counts, err := s.Counts(l.t.Context(), job)
		must(l.t, err)
		for _, status := range jobsvc.JobExecutionStatuses() {
			refs, err := s.ExecutionRefs(l.t.Context(), job, status, store.ExecutionCursor{}, 2*killLifeMany)
			must(l.t, err)
			if int64(len(refs)) != *counts.Count(status) {
				l.t.Fatalf("killed in %q: the counter of %s of %s is %d, %d are listed", phase, status, job, *counts.Count(status), len(refs))
			}
		}
	}
}

// outcome is what is left at the end, but for versions and what is less than a minute.
func (l *killLife) outcome(at string) string {
	l.t.Helper()
	e, s, closeDB, err := openKillLife(l.t.Context(), l.dir, true, moment(l.t, at))
	must(l.t, err)
	defer func() { must(l.t, closeDB()) }()
	var out []string
	for _, job := range []string{"plain", "paced", "nightly", "deleted"} {
		d, err := e.DescribeJob(l.t.Context(), job)
		if jobsvc.ErrorCode(err) == jobsvc.CodeNotFound {
			out = append(out, job+" is gone")
			continue
		}
		must(l.t, err)
		out = append(out, fmt.Sprintf("%s %s concurrent=%v done=%v force=%v %q %+v", job, d.Status, d.Concurrent, d.RolloutDone, d.ForceCanceled, d.ReasonCode, d.ProcessDetails))
		for _, status := range jobsvc.JobExecutionStatuses() {
			refs, err := s.ExecutionRefs(l.t.Context(), job, status, store.ExecutionCursor{}, 2*killLifeMany)
			must(l.t, err)
			for _, r := range refs {
				out = append(out, fmt.Sprintf("%s of %s/%d queued %s is %s", job, r.Thing, r.Number, r.QueuedAt.Format("02 15:04"), status))
			}
		}
	}
	timers, err := e.Timers(l.t.Context(), 100)
	must(l.t, err)
	for _, t := range timers {
		out = append(out, fmt.Sprintf("timer %c of %s at %s", t.Kind, t.JobID, t.Due.Format("02 15:04")))
	}
	for _, n := range l.things[:50] {
		q, err := e.GetPendingJobExecutions(l.t.Context(), n)
		must(l.t, err)
		for _, x := range slices.Concat(q.InProgress, q.Queued) {
			out = append(out, fmt.Sprintf("%s sees %s/%d %s", n, x.JobID, x.ExecutionNumber, x.Status))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// TestKillInLifecycle kills the process at random moments of a rollout, with a rate and
// without, of a cancel, with force and without, of a delete, and of a maintenance window
// that opens, closes and opens again. What is left in the end is what a process leaves that
// was never killed.
func TestKillInLifecycle(t *testing.T) {
	if testing.Short() {
		t.Skip("writes to disk for some seconds")
	}
	things := names(killLifeMany)
	create := func(l *killLife, e *engine.Engine, id string, change func(*jobsvc.CreateJobRequest)) {
		doc := "{}"
		r := &jobsvc.CreateJobRequest{JobID: id, Targets: []string{groupARN("g")}, Document: &doc}
		if change != nil {
			change(r)
		}
		_, err := e.CreateJob(l.t.Context(), r)
		must(l.t, err)
	}
	// report has a tenth of the things report on a job, as far as they have it.
	report := func(l *killLife, e *engine.Engine, id string, digit int, status jobsvc.JobExecutionStatus) {
		for i := digit; i < len(things); i += 10 {
			_, err := e.UpdateJobExecution(l.t.Context(), &jobsvc.UpdateJobExecutionRequest{ThingName: things[i], JobID: id, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: status}})
			if jobsvc.ErrorCode(err) != jobsvc.CodeNotFound {
				must(l.t, err)
			}
		}
	}
	cancel := func(l *killLife, e *engine.Engine, id string, force bool) {
		_, err := e.CancelJob(l.t.Context(), &jobsvc.CancelJobRequest{JobID: id, Force: force})
		must(l.t, err)
	}
	phases := []killPhase{
		{"the registry", "2026-03-10 22:00", func(l *killLife, e *engine.Engine) {
			_, err := e.CreateThingGroup(l.t.Context(), &jobsvc.CreateThingGroupRequest{ThingGroupName: "g"})
			must(l.t, err)
			each(l.t, things, func(n string) error {
				if _, err := e.CreateThing(l.t.Context(), &jobsvc.CreateThingRequest{ThingName: n}); err != nil {
					return err
				}
				return e.AddThingToThingGroup(l.t.Context(), "g", n)
			})
		}},
		{"a rollout", "2026-03-10 22:10", func(l *killLife, e *engine.Engine) {
			create(l, e, "plain", nil)
			create(l, e, "nightly", func(r *jobsvc.CreateJobRequest) {
				continuous(r)
				r.SchedulingConfig = &jobsvc.SchedulingConfig{MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(0 2 * * ? *)", DurationInMinutes: 60}}}
			})
		}},
		{"a rollout with a rate", "2026-03-10 22:20", func(l *killLife, e *engine.Engine) {
			create(l, e, "paced", func(r *jobsvc.CreateJobRequest) { r.RolloutConfig = perMinute(900) })
		}},
		{"its second minute", "2026-03-10 22:21:30", nil},
		{"a cancel", "2026-03-10 22:30", func(l *killLife, e *engine.Engine) {
			report(l, e, "plain", 0, jobsvc.StatusInProgress)
			report(l, e, "plain", 1, jobsvc.StatusSucceeded)
			cancel(l, e, "plain", false)
		}},
		{"a cancel with force", "2026-03-10 22:40", func(l *killLife, e *engine.Engine) {
			report(l, e, "paced", 2, jobsvc.StatusInProgress)
			report(l, e, "paced", 3, jobsvc.StatusFailed)
			cancel(l, e, "paced", true)
		}},
		{"a window that opens", "2026-03-11 02:00:01", nil},
		{"a window that closes", "2026-03-11 03:00:01", func(l *killLife, e *engine.Engine) {
			report(l, e, "nightly", 4, jobsvc.StatusInProgress)
			report(l, e, "nightly", 5, jobsvc.StatusSucceeded)
		}},
		{"a window that opens again", "2026-03-12 02:00:01", func(l *killLife, e *engine.Engine) {
			for i := 6; i < 100; i += 10 { // they come back by day
				must(l.t, e.RemoveThingFromThingGroup(l.t.Context(), "g", things[i]))
				must(l.t, e.AddThingToThingGroup(l.t.Context(), "g", things[i]))
			}
		}},
		{"a window that closes again", "2026-03-12 03:00:01", nil},
		{"another rollout", "2026-03-12 12:00", func(l *killLife, e *engine.Engine) { create(l, e, "deleted", nil) }},
		{"a delete", "2026-03-12 13:00", func(l *killLife, e *engine.Engine) {
			report(l, e, "deleted", 7, jobsvc.StatusInProgress)
			report(l, e, "deleted", 8, jobsvc.StatusSucceeded)
			must(l.t, e.DeleteJob(l.t.Context(), &jobsvc.DeleteJobRequest{JobID: "deleted", Force: true}))
		}},
	}
	calm := &killLife{t: t, dir: t.TempDir(), things: things}
	calm.run(phases)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	killed := &killLife{t: t, dir: t.TempDir(), things: things, rng: rand.New(rand.NewPCG(seed, 0))}
	killed.run(phases)
	t.Logf("%d kills", killed.kills)
	if killed.kills == 0 {
		t.Error("nobody was killed")
	}
	want, got := strings.Split(calm.outcome("2026-03-12 14:00"), "\n"), strings.Split(killed.outcome("2026-03-12 14:00"), "\n")
	if len(want) < 2*killLifeMany {
		t.Fatalf("an undisturbed run leaves %s", strings.Join(want, "\n"))
	}
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("line %d of what is left is\n%s\nundisturbed\n%s", i, got[min(i, len(got)-1)], want[min(i, len(want)-1)])
		}
	}
}
