package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// TestJoinersAtAnOpening: things that join between two windows are released at the next
// opening, by the rate, which goes on from where it was. Those released before are passed
// over and use nothing up.
func TestJoinersAtAnOpening(t *testing.T) {
	for _, tc := range []struct {
		name          string
		config        *jobsvc.RolloutConfig
		first, second []int
	}{
		{"constant rate", perMinute(10), []int{10, 5}, []int{10, 10, 5}},
		{"exponential rate", exponentialRate(10, 20, 20, 0, 0), []int{10, 5}, []int{10, 15}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.thing(names(15)...)
			w.group("g", "", names(15)...)
			w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
				scheduled(nightly("", ""))(r)
				r.RolloutConfig = tc.config
			}, groupARN("g"))
			night := func(opening time.Time, want []int) {
				t.Helper()
				w.setClock(opening)
				w.runTimers()
				w.restart()
				for range 5 {
					w.advance(time.Minute)
				}
				var got []int
				for _, x := range w.executions("fw", "", 250) {
					if i := int(x.QueuedAt.Sub(opening) / time.Minute); x.QueuedAt.After(opening) {
						got = append(got, make([]int, max(0, i+1-len(got)))...)
						got[i]++
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("releases at %s: %v, want %v", opening, got, want)
				}
				if d := w.describe("fw"); d.Concurrent || !d.RolloutDone {
					t.Fatalf("not rolled out: %+v", d)
				}
				w.setClock(opening.Add(3 * time.Hour))
				w.runTimers()
			}
			opening := moment(t, "2026-03-11 02:00")
			night(opening, tc.first)
			for i := range 25 {
				n := fmt.Sprintf("later-%02d", i)
				w.thing(n)
				w.join(n, "g")
			}
			if d := w.checkCounters("fw"); d.Queued != 15 {
				t.Fatalf("joined outside the window: %+v", d)
			}
			night(opening.AddDate(0, 0, 1), tc.second)
			night(opening.AddDate(0, 0, 2), nil)
		})
	}
}

// TestTargetsWaitForTheSameRate: with that rule, targets that are associated when the
// rollout is done get what their minute has left, not a rate of their own.
func TestTargetsWaitForTheSameRate(t *testing.T) {
	w := newWorld(t)
	w.rules = &jobsvc.JobRules{PaceAssociatedTargets: true}
	w.open()
	w.thing(names(15)...)
	w.group("g", "", names(4)...)
	w.group("later", "", names(15)[4:]...)
	created := w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
		r.TargetSelection = jobsvc.TargetContinuous
		r.RolloutConfig = perMinute(10)
	}, groupARN("g"))
	w.runTimers()
	if d := w.describe("fw"); !d.RolloutDone {
		t.Fatalf("not rolled out: %+v", d)
	}
	w.advance(5 * time.Second)
	_, err := w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{groupARN("later")}})
	w.must(err)
	w.runTimers()
	w.advance(time.Minute)
	if got := w.releases(created.CreatedAt); !slices.Equal(got, []int{10, 5}) {
		t.Errorf("releases %v", got)
	}
}
