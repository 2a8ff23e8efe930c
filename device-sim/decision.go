package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"time"
)

// The statuses of an execution that a device has to do with.
const (
	statusQueued     = "QUEUED"
	statusInProgress = "IN_PROGRESS"
	statusSucceeded  = "SUCCEEDED"
	statusFailed     = "FAILED"
	statusRejected   = "REJECTED"
)

// executionKey identifies an execution of one thing. Not the document: its URLs differ between
// deliveries.
type executionKey struct {
	job    string
	number int64
}

func (k executionKey) String() string { return fmt.Sprintf("%s/%d", k.job, k.number) }

// odds says how a fleet behaves, in percent of its executions.
type odds struct {
	fail      float64
	reject    float64
	never     float64
	crash     float64
	duplicate float64
	stale     float64
}

// decision is what a device is going to do with one execution.
type decision struct {
	status string        // the terminal status to report when nothing goes wrong
	manner string        // how it goes about it; empty for well
	work   time.Duration // how long the installation takes
}

// copies is how often a report is sent.
func (d decision) copies() int {
	if d.manner == mannerDuplicate {
		return 2
	}
	return 1
}

// decide draws the outcome of an execution. It depends on its arguments alone, so that a run with
// the same seed repeats itself, in whatever order the executions arrive.
func decide(seed int64, thing string, key executionKey, o odds, work time.Duration) decision {
	r := draw(seed, thing, key.job, fmt.Sprint(key.number))
	u := r.Float64() * 100
	d := decision{status: statusSucceeded, work: time.Duration(float64(work) * (0.5 + r.Float64()))}
	for _, way := range []struct {
		percent        float64
		status, manner string
	}{
		{o.fail, statusFailed, ""},
		{o.reject, statusRejected, ""},
		{o.never, statusSucceeded, mannerNever},
		{o.crash, statusSucceeded, mannerCrash},
		{o.duplicate, statusSucceeded, mannerDuplicate},
		{o.stale, statusSucceeded, mannerStale},
	} {
		if u < way.percent {
			d.status, d.manner = way.status, way.manner
			break
		}
		u -= way.percent
	}
	return d
}

// startDelay draws how long after the start of the run a device first connects.
func startDelay(seed int64, thing string, spread time.Duration) time.Duration {
	return time.Duration(draw(seed, thing, "start").Float64() * float64(spread))
}

// draw returns a random source for one purpose of one thing.
func draw(seed int64, purpose ...string) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d %q", seed, purpose))))
}
