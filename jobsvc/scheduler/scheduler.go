// Package scheduler makes time pass for the engine: it sleeps until the earliest
// stored timer is due, fires it through the engine, and repeats. It keeps nothing that
// the store does not have, so a restart needs no code of its own, and a timer that is
// fired twice does what it does once.
package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// Options of a Scheduler.
type Options struct {
	Logger *slog.Logger
	// Workers is how many timers are fired at a time; 0 means 4.
	Workers int
	// TimeoutGrace is how long after the start execution timeouts wait that came due
	// before it, so that devices which finished during the outage can still report.
	TimeoutGrace time.Duration
}

const (
	// longestSleep bounds how long a timer set by another process could go unseen.
	longestSleep = time.Minute
	// firstRetry and lastRetry bound the pause after a timer failed.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
	// lookAhead is how many timers one look at the store reads.
	lookAhead = 256
)

// Scheduler fires the timers of one engine.
type Scheduler struct {
	engine  *engine.Engine
	log     *slog.Logger
	workers int
	grace   time.Duration
}

// New makes a scheduler.
func New(e *engine.Engine, o Options) *Scheduler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Workers == 0 {
		o.Workers = 4
	}
	return &Scheduler{engine: e, log: o.Logger, workers: o.Workers, grace: o.TimeoutGrace}
}

// identity names a timer among those under way; Guard is not part of it.
type identity struct {
	due   int64
	kind  store.TimerKind
	scope string
	job   string
}

func identify(t store.Timer) identity {
	return identity{t.Due.UnixNano(), t.Kind, t.Scope.String(), t.JobID}
}

// failure remembers that a timer failed: it is left alone until then.
type failure struct {
	until time.Time
	pause time.Duration
}

// Run fires timers until ctx ends, then waits for those under way.
func (s *Scheduler) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	type outcome struct {
		id  identity
		err error
	}
	done := make(chan outcome)
	running := make(map[identity]bool)
	failed := make(map[identity]failure)
	var started time.Time

	for {
		sleep := longestSleep
		now, timers, err := s.look(ctx)
		switch {
		case ctx.Err() != nil:
			return drain(done, len(running), func(o outcome) {})
		case err != nil:
			s.log.Error("read timers", "err", err)
			sleep = firstRetry
		default:
			if started.IsZero() {
				started = now
			}
			for _, t := range timers {
				if len(running) == s.workers {
					break
				}
				id := identify(t)
				due := s.dueAt(t, started)
				if f, ok := failed[id]; ok && f.until.After(due) {
					due = f.until
				}
				if wait := due.Sub(now); wait > 0 {
					sleep = min(sleep, wait)
					continue
				}
				if running[id] {
					continue
				}
				running[id] = true
				workers.Go(func() { done <- outcome{id, s.engine.Fire(ctx, t, now)} })
			}
		}
		alarm := time.NewTimer(sleep)
		select {
		case <-ctx.Done():
		case <-alarm.C:
		case <-s.engine.Wake():
		case o := <-done:
			delete(running, o.id)
			if o.err == nil || ctx.Err() != nil {
				delete(failed, o.id)
				break
			}
			pause := min(max(2*failed[o.id].pause, firstRetry), lastRetry)
			failed[o.id] = failure{until: now.Add(pause), pause: pause}
			s.log.Error("timer failed", "err", o.err, "retry", pause)
		}
		alarm.Stop()
	}
}

// dueAt is when a timer may fire: an execution's timeout that came due while nobody
// was there to take the device's report waits for the grace.
func (s *Scheduler) dueAt(t store.Timer, started time.Time) time.Time {
	if t.Kind == store.TimerTimeout && t.Due.Before(started) {
		return started.Add(s.grace)
	}
	return t.Due
}

func (s *Scheduler) look(ctx context.Context) (time.Time, []store.Timer, error) {
	now, err := s.engine.Now(ctx)
	if err != nil {
		return now, nil, err
	}
	timers, err := s.engine.Timers(ctx, lookAhead)
	return now, timers, err
}

// drain takes the outcomes of the workers still running, so that none is stuck.
func drain[T any](done <-chan T, n int, each func(T)) error {
	for range n {
		each(<-done)
	}
	return nil
}
