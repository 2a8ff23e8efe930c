package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"time"
)

// The statuses a device reports.
const (
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

// odds says how a fleet behaves, in percent of its executions.
type odds struct {
	fail   float64
	reject float64
}

// decision is what a device is going to do with one execution.
type decision struct {
	status string        // the terminal status to report when nothing goes wrong
	work   time.Duration // how long the installation takes
}

// decide draws the outcome of an execution. It depends on its arguments alone, so that a run with
// the same seed repeats itself, in whatever order the executions arrive.
func decide(seed int64, thing string, key executionKey, o odds, work time.Duration) decision {
	r := draw(seed, thing, key.job, fmt.Sprint(key.number))
	u := r.Float64() * 100
	d := decision{status: statusSucceeded, work: time.Duration(float64(work) * (0.5 + r.Float64()))}
	switch {
	case u < o.fail:
		d.status = statusFailed
	case u < o.fail+o.reject:
		d.status = statusRejected
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
