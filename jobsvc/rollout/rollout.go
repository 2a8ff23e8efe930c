// Package rollout is the arithmetic of a job's rollout: how many things are released in
// a minute, when so much has failed that the job is to be canceled, whether a failure is
// tried again. It takes counts and times and gives decisions; it stores nothing, reads no
// clock and computes with integers, since 1.1 and 33.33 % have no exact float.
package rollout

import (
	"math/big"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Window is the time that a rate is about. Windows follow one another without gaps from
// the start of a rollout on.
const Window = time.Minute

// WindowStart is when the window began that now lies in, of those that are counted from
// origin. Before origin it is origin.
func WindowStart(origin, now time.Time) time.Time {
	if now.Before(origin) {
		return origin
	}
	return origin.Add(now.Sub(origin) / Window * Window)
}

// Slots is how many of the things that a window releases have their turn by a time after
// its start, when they are spread over it evenly. The first has it at the start.
func Slots(rate int64, since time.Duration) int64 {
	if since < 0 {
		return 0
	}
	return min(rate, 1+int64(since)*rate/int64(Window))
}

// Slot is how long after the start of a window the next thing has its turn after so many.
func Slot(rate, released int64) time.Duration {
	return time.Duration((released*int64(Window) + rate - 1) / rate)
}

// Origin is where the windows of a job are counted from: the start of its rollout, or
// its last opening when it has maintenance windows.
func Origin(j *jobsvc.Job) time.Time {
	if begun := j.Begun(); !j.OpenedAt.After(begun) {
		return begun
	}
	return j.OpenedAt
}

// Increases is how often a rate has been increased after so many things were notified
// and so many executions SUCCEEDED: the thresholds are the multiples of the configured
// numbers, and of two criteria the one that is further counts.
func Increases(c *jobsvc.RolloutConfig, notified, succeeded int64) int64 {
	if c == nil || c.ExponentialRate == nil {
		return 0
	}
	by := c.ExponentialRate.RateIncreaseCriteria
	return max(times(notified, by.NumberOfNotifiedThings), times(succeeded, by.NumberOfSucceededThings))
}

func times(n, threshold int64) int64 {
	if threshold <= 0 || n < 0 {
		return 0
	}
	return n / threshold
}

// Rates are what an installation gives jobs that do not say it all.
type Rates struct {
	// Default is the rate of a job without a configuration, in things a minute; 0: as fast
	// as can be.
	Default int64
	// Limit is the highest rate of one without a maximum.
	Limit int64
}

// PerMinute is how many things a job releases in a window after so many increases: at
// least 1. paced is false for a job that is not held back at all.
func (r Rates) PerMinute(c *jobsvc.RolloutConfig, increases int64) (n int64, paced bool) {
	if c == nil || *c == (jobsvc.RolloutConfig{}) {
		return r.Default, r.Default > 0
	}
	limit := c.MaximumPerMinute
	if limit == 0 {
		limit = r.Limit
	}
	if c.ExponentialRate == nil {
		return max(1, limit), true
	}
	return max(1, grown(c.ExponentialRate, increases, limit)), true
}

// grown is base * factor^k, rounded down, but at most limit. Each power is computed from
// the base.
func grown(x *jobsvc.ExponentialRate, k, limit int64) int64 {
	const tenths = 10
	n, d := big.NewInt(x.BaseRatePerMinute), big.NewInt(1)
	rate := new(big.Int)
	for i := int64(0); ; i++ {
		rate.Div(n, d)
		if rate.Cmp(big.NewInt(limit)) >= 0 {
			return limit
		}
		if i >= k || x.IncrementFactor <= tenths { // a factor of 1 would go on for ever
			return rate.Int64()
		}
		n.Mul(n, big.NewInt(x.IncrementFactor))
		d.Mul(d, big.NewInt(tenths))
	}
}
