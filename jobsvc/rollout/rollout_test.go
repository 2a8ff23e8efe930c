package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/rollout"
)

func exponential(base, factor, notified, succeeded, limit int64) *jobsvc.RolloutConfig {
	return &jobsvc.RolloutConfig{MaximumPerMinute: limit, ExponentialRate: &jobsvc.ExponentialRate{
		BaseRatePerMinute: base, IncrementFactor: factor,
		RateIncreaseCriteria: jobsvc.RateIncreaseCriteria{NumberOfNotifiedThings: notified, NumberOfSucceededThings: succeeded},
	}}
}

func TestPerMinute(t *testing.T) {
	free, aws := rollout.Rates{Limit: 1000}, rollout.Rates{Default: 1000, Limit: 1000}
	for _, tc := range []struct {
		name  string
		rates rollout.Rates
		c     *jobsvc.RolloutConfig
		k     int64
		want  int64
		paced bool
	}{
		{"no configuration", free, nil, 0, 0, false},
		{"an empty one", free, &jobsvc.RolloutConfig{}, 0, 0, false},
		{"no configuration, as on AWS", aws, nil, 0, 1000, true},
		{"an empty one, as on AWS", aws, &jobsvc.RolloutConfig{}, 0, 1000, true},
		{"constant", free, &jobsvc.RolloutConfig{MaximumPerMinute: 50}, 0, 50, true},
		{"constant does not grow", free, &jobsvc.RolloutConfig{MaximumPerMinute: 50}, 9, 50, true},
		{"base", free, exponential(20, 15, 50, 0, 100), 0, 20, true},
		{"once", free, exponential(20, 15, 50, 0, 100), 1, 30, true},
		{"twice", free, exponential(20, 15, 50, 0, 100), 2, 45, true},
		{"rounded down", free, exponential(20, 15, 50, 0, 100), 3, 67, true},
		{"from the base, not from 67", free, exponential(20, 15, 50, 0, 1000), 4, 101, true},
		{"capped", free, exponential(20, 15, 50, 0, 100), 4, 100, true},
		{"capped without a maximum", free, exponential(20, 50, 50, 0, 0), 9, 1000, true},
		{"capped by the installation", rollout.Rates{Limit: 300}, exponential(20, 50, 50, 0, 0), 9, 300, true},
		{"1.1 has no float: 1000 * 1.1", rollout.Rates{Limit: 5000}, exponential(1000, 11, 1, 0, 0), 1, 1100, true},
		{"1.1 to the third", rollout.Rates{Limit: 5000}, exponential(1000, 11, 1, 0, 0), 3, 1331, true},
		{"1.1 often", rollout.Rates{Limit: 1 << 62}, exponential(1, 11, 1, 0, 0), 48, 97, true},
		{"base 1 stays 1 for a while", free, exponential(1, 11, 1, 0, 0), 7, 1, true},
		{"base 1 becomes 2", free, exponential(1, 11, 1, 0, 0), 8, 2, true},
		{"a million increases", free, exponential(1, 11, 1, 0, 0), 1_000_000, 1000, true},
	} {
		if n, paced := tc.rates.PerMinute(tc.c, tc.k); n != tc.want || paced != tc.paced {
			t.Errorf("%s: %d, %v, want %d, %v", tc.name, n, paced, tc.want, tc.paced)
		}
	}
}

func TestIncreases(t *testing.T) {
	for _, tc := range []struct {
		c                         *jobsvc.RolloutConfig
		notified, succeeded, want int64
	}{
		{nil, 1000, 1000, 0},
		{&jobsvc.RolloutConfig{MaximumPerMinute: 5}, 1000, 1000, 0},
		{exponential(20, 15, 50, 0, 0), 49, 1000, 0},
		{exponential(20, 15, 50, 0, 0), 50, 0, 1},
		{exponential(20, 15, 50, 0, 0), 165, 0, 3},
		{exponential(20, 15, 0, 20, 0), 1000, 19, 0},
		{exponential(20, 15, 0, 20, 0), 1000, 60, 3},
		{exponential(20, 15, 100, 20, 0), 450, 60, 4},
		{exponential(20, 15, 100, 20, 0), 250, 60, 3},
		{exponential(20, 15, 100, 20, 0), -1, -1, 0},
	} {
		if got := rollout.Increases(tc.c, tc.notified, tc.succeeded); got != tc.want {
			t.Errorf("%+v, %d notified, %d succeeded: %d, want %d", tc.c, tc.notified, tc.succeeded, got, tc.want)
		}
	}
}

// simulate releases things window by window, as a rollout does. Each succeeds so many
// windows after its release, never when after is 0.
func simulate(c *jobsvc.RolloutConfig, things int64, after int) (released []int64) {
	var notified, succeeded, k int64
	for notified < things {
		if i := len(released) - after; after > 0 && i >= 0 {
			succeeded += released[i]
		}
		k = max(k, rollout.Increases(c, notified, succeeded))
		n, _ := rollout.Rates{Limit: 1000}.PerMinute(c, k)
		n = min(n, things-notified)
		notified += n
		released = append(released, n)
	}
	return released
}

// TestExamples are the worked examples of rollouts.
func TestExamples(t *testing.T) {
	// Base 50, factor 2, both thresholds 1000, 9000 things.
	c := slices.Concat(slices.Repeat([]int64{50}, 20), slices.Repeat([]int64{100}, 10), slices.Repeat([]int64{200}, 5),
		slices.Repeat([]int64{400}, 3), []int64{800}, slices.Repeat([]int64{1000}, 4))
	for _, tc := range []struct {
		name   string
		config *jobsvc.RolloutConfig
		things int64
		after  int
		want   []int64
	}{
		{"constant", &jobsvc.RolloutConfig{MaximumPerMinute: 50}, 120, 0, []int64{50, 50, 20}},
		{"by notified things", exponential(20, 15, 50, 0, 100), 300, 0, []int64{20, 20, 20, 30, 30, 45, 67, 68}},
		{"by succeeded things", exponential(10, 20, 0, 20, 200), 200, 3, []int64{10, 10, 10, 10, 20, 20, 40, 80}},
		{"by both", exponential(50, 20, 1000, 1000, 0), 9000, 0, c},
	} {
		if got := simulate(tc.config, tc.things, tc.after); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestWindows(t *testing.T) {
	origin := time.Date(2026, 3, 10, 10, 0, 0, 5, time.UTC)
	for after, want := range map[time.Duration]time.Duration{
		-time.Hour: 0, 0: 0, time.Minute - 1: 0, time.Minute: time.Minute, 150 * time.Second: 2 * time.Minute, 24*time.Hour + 1: 24 * time.Hour,
	} {
		if got := rollout.WindowStart(origin, origin.Add(after)); !got.Equal(origin.Add(want)) {
			t.Errorf("%s after the start the window began at %s, want %s after it", after, got, want)
		}
	}
	j := &jobsvc.Job{CreatedAt: origin}
	if got := rollout.Origin(j); !got.Equal(origin) {
		t.Errorf("windows are counted from %s, not from the creation", got)
	}
	j.StartedAt = origin.Add(time.Hour)
	j.OpenedAt = j.StartedAt
	if got := rollout.Origin(j); !got.Equal(j.StartedAt) {
		t.Errorf("windows are counted from %s, not from the start", got)
	}
	j.OpenedAt = origin.Add(25 * time.Hour)
	if got := rollout.Origin(j); !got.Equal(j.OpenedAt) {
		t.Errorf("windows are counted from %s, not from the last opening", got)
	}
}
