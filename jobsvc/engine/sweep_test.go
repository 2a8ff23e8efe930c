package engine_test

import (
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// TestSweptOnce: the timer of a cancel that is fired again, after the sweep has ended,
// changes nothing.
func TestSweptOnce(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.job("fw", thingARN("a"))
	w.runTimers()
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw"})
	w.must(err)
	timers, err := w.Timers(w.ctx, 10)
	w.must(err)
	if len(timers) != 1 || timers[0].Kind != store.TimerCancel {
		t.Fatalf("timers: %+v", timers)
	}
	w.runTimers()
	ended := w.describe("fw")
	w.advance(time.Hour)
	w.must(w.Fire(w.ctx, timers[0], w.tick()))
	if again := w.describe("fw"); !again.LastUpdatedAt.Equal(ended.LastUpdatedAt) || again.Concurrent {
		t.Fatalf("swept again: %+v, before %+v", again, ended)
	}
}
