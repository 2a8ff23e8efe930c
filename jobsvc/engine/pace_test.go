package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

func perMinute(n int64) *jobsvc.RolloutConfig { return &jobsvc.RolloutConfig{MaximumPerMinute: n} }

func exponentialRate(base, factor, notified, succeeded, limit int64) *jobsvc.RolloutConfig {
	return &jobsvc.RolloutConfig{MaximumPerMinute: limit, ExponentialRate: &jobsvc.ExponentialRate{
		BaseRatePerMinute: base, IncrementFactor: factor,
		RateIncreaseCriteria: jobsvc.RateIncreaseCriteria{NumberOfNotifiedThings: notified, NumberOfSucceededThings: succeeded},
	}}
}

// createWith makes job fw with what change does to it.
func (w *world) createWith(change func(*jobsvc.CreateJobRequest), targets ...string) *jobsvc.Job {
	w.t.Helper()
	doc := "{}"
	r := &jobsvc.CreateJobRequest{JobID: "fw", Targets: targets, Document: &doc}
	change(r)
	j, err := w.CreateJob(w.ctx, r)
	w.must(err)
	return j
}

// paced makes job fw on a group g of so many things.
func (w *world) paced(things int, c *jobsvc.RolloutConfig) *jobsvc.Job {
	w.t.Helper()
	w.thing(names(things)...)
	w.group("g", "", names(things)...)
	return w.createWith(func(r *jobsvc.CreateJobRequest) { r.RolloutConfig = c }, groupARN("g"))
}

// releases counts the first executions of job fw by the window they were made in.
func (w *world) releases(from time.Time) []int {
	w.t.Helper()
	var n []int
	for _, x := range w.executions("fw", "", 250) {
		if x.ExecutionNumber != 1 {
			continue
		}
		i := int(x.QueuedAt.Sub(from) / time.Minute)
		for len(n) <= i {
			n = append(n, 0)
		}
		n[i]++
	}
	return n
}

// TestConstantRollout is the worked example of a constant rate.
func TestConstantRollout(t *testing.T) {
	w := newWorld(t)
	j := w.paced(120, perMinute(50))
	w.runTimers()
	if d := w.describe("fw"); d.ProcessDetails.Queued != 50 || !d.Concurrent {
		t.Fatalf("at the start: %+v", d)
	}
	w.advance(50 * time.Second)
	if d := w.describe("fw"); d.ProcessDetails.Queued != 50 {
		t.Fatalf("in the first window: %+v", d)
	}
	w.advance(11 * time.Second)
	if d := w.describe("fw"); d.ProcessDetails.Queued != 100 || !d.Concurrent || !slices.Equal(d.ProcessDetails.ProcessingTargets, []string{groupARN("g")}) {
		t.Fatalf("after 61 s: %+v", d)
	}
	w.advance(time.Minute)
	d := w.describe("fw")
	if d.ProcessDetails.Queued != 120 || d.Concurrent || d.ProcessDetails.ProcessingTargets != nil || !d.LastUpdatedAt.After(j.CreatedAt.Add(2*time.Minute)) {
		t.Fatalf("after 121 s: %+v", d)
	}
	if got := w.releases(j.CreatedAt); !slices.Equal(got, []int{50, 50, 20}) {
		t.Errorf("releases %v", got)
	}
	w.noTimers()
}

// TestRolloutEndsWithItsLastThing: an allowance that is used up by the last thing does not
// keep the rollout open for another window.
func TestRolloutEndsWithItsLastThing(t *testing.T) {
	w := newWorld(t)
	w.paced(100, perMinute(50))
	w.runTimers()
	if d := w.describe("fw"); !d.Concurrent {
		t.Fatalf("over after the first window: %+v", d)
	}
	w.advance(time.Minute)
	if d := w.describe("fw"); d.Concurrent || !d.RolloutDone || d.ProcessDetails.Queued != 100 {
		t.Fatalf("after the second: %+v", d)
	}
}

func (w *world) noTimers() {
	w.t.Helper()
	if timers, err := w.Timers(w.ctx, 10); err != nil || len(timers) != 0 {
		w.t.Fatalf("timers left: %v, %v", timers, err)
	}
}

// TestExponentialRollout are the worked examples of exponential rates.
func TestExponentialRollout(t *testing.T) {
	c := slices.Concat(slices.Repeat([]int{50}, 20), slices.Repeat([]int{100}, 10), slices.Repeat([]int{200}, 5),
		slices.Repeat([]int{400}, 3), []int{800}, slices.Repeat([]int{1000}, 4))
	for _, tc := range []struct {
		name   string
		config *jobsvc.RolloutConfig
		things int
		after  int // in how many windows a thing succeeds
		want   []int
	}{
		{"by notified things", exponentialRate(20, 15, 50, 0, 100), 300, 0, []int{20, 20, 20, 30, 30, 45, 67, 68}},
		{"by succeeded things", exponentialRate(10, 20, 0, 20, 200), 200, 3, []int{10, 10, 10, 10, 20, 20, 40, 80}},
		{"by both", exponentialRate(50, 20, 1000, 1000, 0), 9000, 0, c},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			j := w.paced(tc.things, tc.config)
			w.runTimers()
			for n := range tc.want {
				if tc.after > 0 {
					// At the end of the window before the one in which their successes count.
					for _, x := range w.executions("fw", jobsvc.StatusQueued, 250) {
						if int(x.QueuedAt.Sub(j.CreatedAt)/time.Minute) == n+1-tc.after {
							w.must(w.update(x.ThingName, "fw", jobsvc.StatusSucceeded))
						}
					}
				}
				w.advance(time.Minute)
			}
			if got := w.releases(j.CreatedAt); !slices.Equal(got, tc.want) {
				t.Errorf("releases %v, want %v", got, tc.want)
			}
			if d := w.describe("fw"); d.Concurrent {
				t.Errorf("not done: %+v", d)
			}
		})
	}
}

// TestLargePacedRollout: 100,000 things, 50 in the first minute, as many as are allowed
// in the end.
func TestLargePacedRollout(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const things = 100_000
	ctx := t.Context()
	db := memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})
	s, err := store.Open(ctx, db)
	must(t, err)
	now := time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)
	limits := jobsvc.GenerousLimits()
	limits.RolloutPerMinute = 20_000
	e := engine.New(s, engine.Options{Account: account, Limits: &limits, Now: func() time.Time { now = now.Add(time.Microsecond); return now }})
	g, err := e.CreateThingGroup(ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: "g"})
	must(t, err)
	joined := now
	ops := make([]store.Op, things)
	for i := range ops {
		th := &jobsvc.Thing{Name: fmt.Sprintf("t%06d", i), ID: fmt.Sprint(i), Version: 1, CreatedAt: joined}
		ops[i] = store.Op{Scope: kv.Thing(th.Name), Fn: func(tx *store.Tx) error {
			tx.PutThing(th)
			tx.PutMembership(th.Name, g.Name, &store.Membership{ThingID: th.ID, GroupID: g.ID, JoinedAt: joined})
			return nil
		}}
	}
	for _, r := range s.UpdateMany(ctx, ops) {
		must(t, r.Err)
	}
	doc := "{}"
	_, err = e.CreateJob(ctx, &jobsvc.CreateJobRequest{JobID: "fw", Targets: []string{groupARN("g")}, Document: &doc, RolloutConfig: exponentialRate(50, 15, 100, 0, 20_000)})
	must(t, err)
	var released []int64
	for last := int64(0); last < things; now = now.Add(time.Minute) {
		for {
			timers, err := e.Timers(ctx, 1)
			must(t, err)
			if len(timers) == 0 || timers[0].Due.After(now) {
				break
			}
			must(t, e.Fire(ctx, timers[0], now))
		}
		counts, err := s.Counts(ctx, "fw")
		must(t, err)
		released = append(released, counts.Queued-last)
		last = counts.Queued
	}
	// By the definition, with an increase for every 100 things.
	if want := []int64{50, 50, 75, 75, 112, 168, 379, 1922, 20000, 20000, 20000, 20000, 17169}; !slices.Equal(released, want) {
		t.Errorf("released %v, want %v", released, want)
	}
	d, err := e.DescribeJob(ctx, "fw")
	must(t, err)
	if d.ProcessDetails.Queued != things || d.Concurrent {
		t.Fatalf("at the end: %+v", d)
	}
}

// TestDefaultRate: the profile aws paces jobs that do not ask for it.
func TestDefaultRate(t *testing.T) {
	w := newWorld(t)
	limits := jobsvc.AWSLimits()
	limits.ControlPerSecond = 0
	limits.GroupsPerThing = 10
	w.limits = &limits
	w.open()
	j := w.paced(2300, nil)
	w.runTimers()
	w.advance(time.Minute)
	w.advance(time.Minute)
	if got := w.releases(j.CreatedAt); !slices.Equal(got, []int{1000, 1000, 300}) {
		t.Errorf("releases %v", got)
	}
}

// TestAllowanceIsGivenBack: what is gone, or had its execution, does not use up a window.
func TestAllowanceIsGivenBack(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b", "c", "d", "e", "f")
	w.group("g", "", "a", "c", "e", "f")
	j := w.createWith(func(r *jobsvc.CreateJobRequest) { r.RolloutConfig = perMinute(2) },
		thingARN("a"), thingARN("b"), thingARN("c"), thingARN("d"), groupARN("g"))
	for _, n := range []string{"a", "b"} {
		w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: n}))
	}
	w.runTimers()
	w.restart()
	w.advance(time.Minute)
	if got := w.releases(j.CreatedAt); !slices.Equal(got, []int{2, 2}) { // c, d; c again costs nothing, e, f
		t.Errorf("releases %v", got)
	}
	if d := w.checkCounters("fw"); d.Queued != 4 || w.describe("fw").Concurrent {
		t.Errorf("at the end: %+v", d)
	}
}

// TestMissedWindows: windows in which nothing ran are not made up for.
func TestMissedWindows(t *testing.T) {
	w := newWorld(t)
	j := w.paced(30, perMinute(5))
	w.runTimers()
	w.restart()
	w.advance(10*time.Minute + 30*time.Second)
	w.advance(20 * time.Second) // the same window
	w.advance(time.Minute)
	if got := w.releases(j.CreatedAt); !slices.Equal(got, []int{5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 5}) {
		t.Errorf("releases %v", got)
	}
}

// TestUpdateJobInRollout: the next window goes by the new configuration.
func TestUpdateJobInRollout(t *testing.T) {
	set := func(c *jobsvc.RolloutConfig) func(*world) {
		return func(w *world) {
			w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{RolloutConfig: c}}))
		}
	}
	for _, tc := range []struct {
		name   string
		from   *jobsvc.RolloutConfig
		change func(*world) // in the third window
		want   []int
	}{
		{"faster", perMinute(10), set(perMinute(40)), []int{10, 10, 10, 40, 30}},
		{"slower", perMinute(20), set(perMinute(5)), []int{20, 20, 20, 5, 5, 5}},
		{"not at all", perMinute(10), set(&jobsvc.RolloutConfig{}), []int{10, 10, 10, 70}},
		// 30 notified: twice over the threshold of 15.
		{"exponential", perMinute(10), set(exponentialRate(10, 20, 15, 0, 100)), []int{10, 10, 10, 40, 30}},
		// Twice over 15, but once over 25: the rate is found anew.
		{"other thresholds", exponentialRate(10, 20, 15, 0, 100), set(exponentialRate(10, 20, 25, 0, 100)), []int{10, 10, 20, 20, 40}},
		{"nothing about the rate", perMinute(10), func(w *world) {
			w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", Description: new("other")}))
		}, []int{10, 10, 10, 10, 10, 10}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			j := w.paced(100, tc.from)
			w.runTimers()
			w.advance(time.Minute)
			w.advance(time.Minute)
			before := w.releases(j.CreatedAt)
			tc.change(w)
			w.runTimers()
			if after := w.releases(j.CreatedAt); !slices.Equal(after, before) {
				t.Fatalf("in the window of the change it goes from %v to %v", before, after)
			}
			for range len(tc.want) - 3 {
				w.advance(time.Minute)
			}
			if got := w.releases(j.CreatedAt); !slices.Equal(got, tc.want) {
				t.Errorf("releases %v, want %v", got, tc.want)
			}
		})
	}
}

// TestRateNeverFalls: successes that are deleted do not slow a rollout down.
func TestRateNeverFalls(t *testing.T) {
	w := newWorld(t)
	j := w.paced(60, exponentialRate(5, 20, 0, 5, 100))
	w.runTimers()
	for _, n := range names(5) {
		w.must(w.update(n, "fw", jobsvc.StatusSucceeded))
	}
	w.advance(time.Minute) // 10
	for _, n := range names(5) {
		w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: n, JobID: "fw", ExecutionNumber: 1}))
	}
	w.restart()
	w.advance(time.Minute)
	if got := w.releases(j.CreatedAt); !slices.Equal(got, []int{0, 10, 10}) { // the first are deleted
		t.Errorf("releases %v", got)
	}
}

// TestAssociatedTargetsArePaced or not, as the configuration says.
func TestAssociatedTargetsArePaced(t *testing.T) {
	for pace, want := range map[bool][]int{false: {10, 16, 10, 4}, true: {10, 10, 10, 10}} {
		t.Run(fmt.Sprint(pace), func(t *testing.T) {
			w := newWorld(t)
			rules := jobsvc.DefaultJobRules()
			rules.PaceAssociatedTargets = pace
			w.rules = &rules
			w.open()
			things := names(40)
			w.thing(things...)
			w.group("g", "", things[:34]...)
			w.group("later", "", things[34:]...)
			j := w.createWith(func(r *jobsvc.CreateJobRequest) {
				r.RolloutConfig = perMinute(10)
				r.TargetSelection = jobsvc.TargetContinuous
			}, groupARN("g"))
			w.runTimers()
			w.advance(61 * time.Second)
			_, err := w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{groupARN("later")}})
			w.must(err)
			w.runTimers()
			w.restart()
			if d := w.describe("fw"); pace != slices.Contains(d.ProcessDetails.ProcessingTargets, groupARN("later")) {
				t.Errorf("processing targets %v", d.ProcessDetails.ProcessingTargets)
			}
			w.advance(time.Minute)
			w.advance(time.Minute)
			if got := w.releases(j.CreatedAt); !slices.Equal(got, want) {
				t.Errorf("releases %v, want %v", got, want)
			}
			if d := w.describe("fw"); d.Concurrent || d.Status != jobsvc.JobInProgress {
				t.Errorf("at the end: %+v", d)
			}
			w.noTimers()
		})
	}
}

// TestEndsOfPacedRollout: what ends a job leaves no timer of its rollout.
func TestEndsOfPacedRollout(t *testing.T) {
	for name, end := range map[string]func(*world) error{
		"cancel": func(w *world) error {
			_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw"})
			return err
		},
		"deletion": func(w *world) error {
			return w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw", Force: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.paced(30, perMinute(10))
			w.runTimers()
			w.advance(time.Minute)
			w.must(end(w))
			w.runTimers()
			w.noTimers()
			w.advance(time.Minute)
			if name == "cancel" {
				if d := w.checkCounters("fw"); d.Canceled != 20 || d.Queued != 0 {
					t.Errorf("at the end: %+v", d)
				}
			}
		})
	}
}

// TestKillInPacedRollout kills the process after every single transaction of a rollout
// with a rate, written or not, and goes on in the same window or a later one: no window
// has more than its rate, and everyone gets an execution once.
func TestKillInPacedRollout(t *testing.T) {
	const things, rate = 17, 5
	prepare := func() (*faultyWorld, *jobsvc.Job) {
		db := &faultyDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf, RunTwice: true})}
		w := &faultyWorld{newWorldOn(t, db, func(db kv.DB) kv.DB { return db }), db}
		w.thing(names(things)...)
		w.thing("gone")
		w.group("g", "", names(things)...)
		j := w.createWith(func(r *jobsvc.CreateJobRequest) { r.RolloutConfig = perMinute(rate) }, thingARN("t0003"), thingARN("gone"), groupARN("g"))
		w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "gone"}))
		db.calls = 0
		return w, j
	}
	rollOut := func(w *faultyWorld) error {
		for range 12 {
			for {
				timers, err := w.Timers(w.ctx, 1)
				w.must(err)
				now := w.tick()
				if len(timers) == 0 || timers[0].Due.After(now) {
					break
				}
				if err := w.Fire(w.ctx, timers[0], now); err != nil {
					return err
				}
			}
			w.advanceClock(time.Minute)
		}
		return nil
	}
	w, j := prepare()
	w.must(rollOut(w))
	if got := w.releases(j.CreatedAt); !slices.Equal(got, []int{5, 5, 5, 2}) {
		t.Fatalf("undisturbed: %v", got)
	}
	calls := w.faulty.calls
	for call := 1; call <= calls; call++ {
		for last, name := range map[fault]string{unavailable: "before", applied: "after"} {
			for _, pause := range []time.Duration{0, 10 * time.Second, time.Minute, 150 * time.Second} {
				w, j := prepare()
				w.faulty.fault = func(n int) fault {
					switch {
					case n < call:
						return none
					case n == call:
						return last
					}
					return unavailable
				}
				if err := rollOut(w); err == nil {
					t.Fatalf("killed %s transaction %d, and nobody noticed", name, call)
				}
				w.faulty.fault = nil
				w.advanceClock(pause)
				w.restart()
				w.must(rollOut(w))
				got := w.releases(j.CreatedAt)
				if slices.Max(got) > rate {
					t.Errorf("killed %s transaction %d, %s: releases %v", name, call, pause, got)
				}
				d := w.checkCounters("fw")
				seen := map[string]int{}
				for _, x := range w.executions("fw", "", 0) {
					seen[x.ThingName]++
				}
				if d.Queued != things || !slices.Equal(slices.Sorted(maps.Keys(seen)), names(things)) || w.describe("fw").Concurrent {
					t.Errorf("killed %s transaction %d, %s: %+v, %v", name, call, pause, d, seen)
				}
				w.noTimers()
			}
		}
	}
}

// TestLoweredRateAndClaimLeftOpen: a claim that a crash left is not larger than what the
// window allows in which it is taken up.
func TestLoweredRateAndClaimLeftOpen(t *testing.T) {
	db := &faultyDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf, RunTwice: true})}
	w := newWorldOn(t, db, func(db kv.DB) kv.DB { return db })
	j := w.paced(30, perMinute(20))
	db.calls = 0
	db.fault = func(n int) fault { // after the window, the claim and 4 things
		if n > 6 {
			return unavailable
		}
		return none
	}
	timers, err := w.Timers(w.ctx, 1)
	w.must(err)
	if err := w.Fire(w.ctx, timers[0], w.tick()); err == nil {
		t.Fatal("not killed")
	}
	db.fault = nil
	w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{RolloutConfig: perMinute(6)}}))
	w.restart()
	for range 8 {
		w.advance(time.Minute)
	}
	got := w.releases(j.CreatedAt)
	if got[0] != 4 || slices.Max(got[1:]) > 6 || w.checkCounters("fw").Queued != 30 || w.describe("fw").Concurrent {
		t.Errorf("releases %v, %+v", got, w.describe("fw"))
	}
}
