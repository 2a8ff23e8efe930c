package engine_test

import (
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// held gives the lengths of all maps, slices, strings and channels that a value of ours
// holds, whether exported or not, by the path to them. The store below is not ours.
func held(v any) map[string]int {
	sizes := map[string]int{}
	seen := map[uintptr]bool{}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if v.IsNil() || seen[v.Pointer()] {
				return
			}
			seen[v.Pointer()] = true
			walk(path, v.Elem())
		case reflect.Struct:
			if !strings.Contains(v.Type().PkgPath(), "thingjobs/jobsvc") {
				return
			}
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Array:
			for i := range v.Len() {
				walk(path, v.Index(i))
			}
		case reflect.Map, reflect.Slice, reflect.String, reflect.Chan:
			sizes[path] += v.Len()
		}
	}
	walk("engine", reflect.ValueOf(v))
	return sizes
}

// TestNothingGrows runs jobs of all kinds through their whole lives, and more and more of
// them, on things and groups that come and go: what the engine holds in memory stays the
// same, but for caches, which have a bound.
func TestNothingGrows(t *testing.T) {
	w := newWorldOn(t, memkv.Open(memkv.Options{ScopeOf: store.ScopeOf}), func(db kv.DB) kv.DB { return db.(*memkv.DB).Reopen() })
	w.WantEvents(true)
	w.dynamic("hot", "attributes.hot:yes")
	lives := 0
	live := func() {
		lives++
		things := make([]string, 4)
		for i := range things {
			things[i] = fmt.Sprintf("life-%d-%d", lives, i)
		}
		w.thing(things...)
		group, job := fmt.Sprint("group-", lives), fmt.Sprint("job-", lives)
		w.group(group, "", things[:3]...)
		doc := "{}"
		r := &jobsvc.CreateJobRequest{
			JobID: job, Targets: []string{groupARN(group), thingARN(things[3])}, Document: &doc,
			TimeoutConfig: &jobsvc.TimeoutConfig{InProgress: 10 * time.Minute}, RolloutConfig: perMinute(2),
			RetryConfig: retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureAll, NumberOfRetries: 1}),
		}
		switch lives % 4 {
		case 1:
			r.TargetSelection = jobsvc.TargetContinuous
			r.Targets = append(r.Targets, groupARN("hot"))
		case 2:
			r.AbortConfig = abortIf(jobsvc.FailureFailed, 5000, 2)
		case 3:
			r.TargetSelection = jobsvc.TargetContinuous
			r.SchedulingConfig = &jobsvc.SchedulingConfig{MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(*/20 * * * ? *)", DurationInMinutes: 10}}}
		}
		_, err := w.CreateJob(w.ctx, r)
		w.must(err)
		for range 4 {
			w.advance(10 * time.Minute)
			for i, n := range things {
				w.ThingConnected(n, true, w.now)
				if x := w.start(n); x != nil && i < 3 { // the last one times out
					w.must(w.update(n, job, []jobsvc.JobExecutionStatus{jobsvc.StatusSucceeded, jobsvc.StatusFailed, jobsvc.StatusFailed}[i]))
				}
			}
		}
		w.advance(time.Hour)
		for _, n := range things {
			w.ThingConnected(n, false, w.now)
			w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: n}))
		}
		w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: group}))
		if lives%3 == 0 {
			_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: job})
			if jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest { // it has ended
				w.must(err)
			}
		}
		w.UnsettleActive()
		w.runTimers()
		if lives%5 != 0 { // some stay for ever
			w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: job, Force: true}))
		}
		w.runTimers()
		w.told()
	}
	measure := func() map[string]int {
		sizes := held(w.Engine)
		maps.DeleteFunc(sizes, func(path string, n int) bool {
			if strings.HasSuffix(path, ".entries") { // of a cache
				if n > 64*1024 {
					t.Errorf("%s has %d", path, n)
				}
				return true
			}
			return strings.Contains(path, ".queues.shards.bytes")
		})
		return sizes
	}
	for range 20 {
		live()
	}
	before, routines := measure(), runtime.NumGoroutine()
	if len(before) < 5 || before["engine.settle"] > 1 {
		t.Fatalf("what is looked at is %v", before)
	}
	if _, ok := before["engine.unsettled"]; !ok {
		t.Fatalf("what is looked at is %v", before)
	}
	for range 180 {
		live()
	}
	after := measure()
	delete(before, "engine.settle") // words, one at most
	delete(before, "engine.wake")
	for path, n := range before {
		if after[path] != n {
			t.Errorf("%s had %d after 20 jobs, %d after 200", path, n, after[path])
		}
	}
	if n := runtime.NumGoroutine(); n > routines {
		t.Errorf("%d goroutines after 20 jobs, %d after 200", routines, n)
	}
	// Jobs that go on forever are looked at without a list of them.
	for i := range 250 {
		_, err := w.create(fmt.Sprint("forever-", i), continuous, groupARN("hot"))
		w.must(err)
	}
	w.runTimers()
	w.UnsettleActive()
	if n := held(w.Engine)["engine.unsettled"]; n != 0 {
		t.Errorf("%d jobs are noted", n)
	}
	w.must(w.Settle(w.ctx))
}

// TestManyLeftByACrash: however many jobs a crash left to be completed, the first look
// completes all.
func TestManyLeftByACrash(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	const jobs = 250
	for i := range jobs {
		w.job(fmt.Sprint("job-", i), thingARN("a"))
		for w.fireOne() { // and nothing is settled
		}
		w.must(w.update("a", fmt.Sprint("job-", i), jobsvc.StatusSucceeded))
	}
	w.restart()
	w.UnsettleActive()
	w.must(w.Settle(w.ctx))
	for i := range jobs {
		if s := w.describe(fmt.Sprint("job-", i)).Status; s != jobsvc.JobCompleted {
			t.Fatalf("job %d is %s", i, s)
		}
	}
}
