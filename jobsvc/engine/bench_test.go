package engine_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/badgerkv"
)

// benchDevices is how many devices work at once, each with one request under way.
const benchDevices = 200

// benchEngine is an engine over Badger, synced, with things in the group "g".
func benchEngine(b *testing.B, things int) *engine.Engine {
	b.Helper()
	ctx := context.Background()
	db, err := badgerkv.Open(badgerkv.Options{Dir: b.TempDir(), ScopeOf: store.ScopeOf})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	s, err := store.Open(ctx, db)
	if err != nil {
		b.Fatal(err)
	}
	e := engine.New(s, engine.Options{Account: account})
	if _, err := e.CreateThingGroup(ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: "g"}); err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(things); i = next.Add(1) - 1 {
				name := fmt.Sprintf("t%07d", i)
				if _, err := e.CreateThing(ctx, &jobsvc.CreateThingRequest{ThingName: name}); err != nil {
					b.Error(err)
				}
				if err := e.AddThingToThingGroup(ctx, "g", name); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return e
}

// benchJob rolls a job out to the group.
func benchJob(b *testing.B, e *engine.Engine, id string) {
	b.Helper()
	ctx := context.Background()
	doc := `{"op":"bench"}`
	if _, err := e.CreateJob(ctx, &jobsvc.CreateJobRequest{JobID: id, Targets: []string{groupARN("g")}, Document: &doc}); err != nil {
		b.Fatal(err)
	}
	for {
		timers, err := e.Timers(ctx, 10)
		if err != nil {
			b.Fatal(err)
		}
		if len(timers) == 0 {
			return
		}
		if err := e.Fire(ctx, timers[0], time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

// byDevice runs b.N operations from benchDevices goroutines, each for its own thing.
func byDevice(b *testing.B, op func(thing string) error) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for d := range benchDevices {
		thing := fmt.Sprintf("t%07d", d)
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := op(thing); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func BenchmarkProgress(b *testing.B) {
	e := benchEngine(b, benchDevices)
	benchJob(b, e, "j")
	byDevice(b, func(thing string) error {
		_, err := e.UpdateJobExecution(b.Context(), &jobsvc.UpdateJobExecutionRequest{
			ThingName: thing, JobID: "j",
			JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusInProgress, StatusDetails: map[string]string{"step": "download", "percent": "40"}},
		})
		return err
	})
}

// BenchmarkStatusChange starts and ends jobs, in waves that find a few of them queued.
func BenchmarkStatusChange(b *testing.B) {
	e := benchEngine(b, benchDevices)
	const jobs = 5
	b.ReportAllocs()
	b.ResetTimer()
	done := 0
	for wave := 0; done < b.N; wave++ {
		b.StopTimer()
		for j := range jobs {
			benchJob(b, e, fmt.Sprintf("w%05d-%d", wave, j))
		}
		b.StartTimer()
		var wg sync.WaitGroup
		for d := range benchDevices {
			thing := fmt.Sprintf("t%07d", d)
			wg.Go(func() {
				for range jobs {
					r, err := e.StartNextPendingJobExecution(b.Context(), &jobsvc.StartNextPendingJobExecutionRequest{ThingName: thing})
					if err == nil {
						_, err = e.UpdateJobExecution(b.Context(), &jobsvc.UpdateJobExecutionRequest{
							ThingName: thing, JobID: r.Execution.JobID, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusSucceeded},
						})
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		done += 2 * jobs * benchDevices
	}
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "ops/s")
}

func BenchmarkDescribeNext(b *testing.B) {
	e := benchEngine(b, benchDevices)
	benchJob(b, e, "j")
	byDevice(b, func(thing string) error {
		_, err := e.DescribePendingJobExecution(b.Context(), &jobsvc.DescribeJobExecutionRequest{ThingName: thing, JobID: jobsvc.NextJobID, IncludeDocument: true})
		return err
	})
}

// BenchmarkRollout makes the executions of one job after the other: an operation is one
// execution.
func BenchmarkRollout(b *testing.B) {
	const things = 20_000
	e := benchEngine(b, things)
	b.ReportAllocs()
	b.ResetTimer()
	made := 0
	for i := 0; made < b.N; i++ {
		benchJob(b, e, fmt.Sprintf("j%05d", i))
		made += things
	}
	b.ReportMetric(float64(made)/b.Elapsed().Seconds(), "executions/s")
}

// BenchmarkListJobExecutionsForJob reads pages of 250 of a job that has more.
func BenchmarkListJobExecutionsForJob(b *testing.B) {
	e := benchEngine(b, 300)
	benchJob(b, e, "j")
	b.ReportAllocs()
	for b.Loop() {
		r, err := e.ListJobExecutionsForJob(b.Context(), &jobsvc.ListJobExecutionsForJobRequest{JobID: "j", Page: jobsvc.Page{MaxResults: 250}})
		if err != nil || len(r.Executions) != 250 || r.NextToken == "" {
			b.Fatal(err)
		}
	}
}

func BenchmarkDescribeJob(b *testing.B) {
	e := benchEngine(b, 10)
	benchJob(b, e, "j")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.DescribeJob(b.Context(), "j"); err != nil {
			b.Fatal(err)
		}
	}
}
