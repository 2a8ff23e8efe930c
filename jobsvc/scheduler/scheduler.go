// Package scheduler makes time pass for the engine: it sleeps until the earliest
// stored timer is due, fires it through the engine, and repeats. It keeps nothing that
// the store does not have, so a restart needs no code of its own, and a timer that is
// fired twice does what it does once.
package scheduler

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// Options of a Scheduler.
type Options struct {
	Logger *slog.Logger
	// Workers is how many timers are fired at a time: 4 when 0, 2 at least.
	Workers int
	// TimeoutGrace is how long after the start execution timeouts wait that came due
	// before it, so that devices which finished during the outage can still report.
	TimeoutGrace time.Duration
}

const (
	// longestSleep bounds how long a timer set by another process could go unseen.
	longestSleep = time.Minute
	// firstRetry and lastRetry bound the pause after a failure.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
	// lookAhead is how many timers of jobs, and of executions, one look at the store
	// reads, beyond those that failed. mostFailed bounds how many of these are counted.
	lookAhead  = 256
	mostFailed = 1 << 14
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
	return &Scheduler{engine: e, log: o.Logger, workers: max(o.Workers, 2), grace: o.TimeoutGrace}
}

// Run fires timers until ctx ends, then waits for those under way.
func (s *Scheduler) Run(ctx context.Context) error {
	r := &run{Scheduler: s, done: make(chan outcome), running: make(map[identity]bool), failed: make(map[identity]failure), fired: make(map[identity]uint64)}
	defer r.drain()
	var pause time.Duration // after a look that failed
	for {
		now, timers, err := r.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		sleep := longestSleep
		if err != nil {
			pause = longer(pause)
			sleep = pause
			s.log.Error("read timers", "err", err, "retry", pause)
		} else {
			pause = 0
			sleep = min(sleep, r.fire(ctx, now, timers))
		}
		r.wait(ctx, sleep)
	}
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

func (id identity) timeout() bool { return id.kind == store.TimerTimeout }

// outcome is what became of a timer that was fired.
type outcome struct {
	id  identity
	err error
}

// failure remembers that a timer failed: it is left alone until then.
type failure struct {
	until time.Time // by the machine's clock
	pause time.Duration
}

// dueTimer is a timer with when it was seen to be due, by the engine's clock.
type dueTimer struct {
	store.Timer
	id   identity
	seen time.Time
}

// run is what one Run knows. All of it belongs to its goroutine.
type run struct {
	*Scheduler
	started  time.Time // by the engine's clock; zero until the first look
	done     chan outcome
	running  map[identity]bool
	timeouts int // of those running
	failed   map[identity]failure
	due      []dueTimer // of the last look, those that wait for a worker
	// fired has when the timers of jobs had their last turn, counted in turns.
	fired map[identity]uint64
	turns uint64
}

// look reads the time and the timers that may be fired next.
func (r *run) look(ctx context.Context) (time.Time, []store.Timer, error) {
	now, err := r.engine.Now(ctx)
	if err != nil {
		return now, nil, err
	}
	if r.started.IsZero() {
		r.started = now
	}
	var from time.Time
	if r.inGrace(now) > 0 {
		from = r.started
	}
	// Those that failed would not hide those behind them.
	timers, err := r.engine.TimersFrom(ctx, from, lookAhead+min(len(r.failed), mostFailed))
	return now, timers, err
}

// inGrace is how much of the grace is left.
func (r *run) inGrace(now time.Time) time.Duration { return r.started.Add(r.grace).Sub(now) }

// fire fires what is due, as far as there are workers, and tells how long it is until
// there is more to fire.
func (r *run) fire(ctx context.Context, now time.Time, timers []store.Timer) (wait time.Duration) {
	wait = longestSleep
	if left := r.inGrace(now); left > 0 {
		wait = left
	}
	seen := make(map[identity]bool, len(timers))
	r.due = r.due[:0]
	for _, t := range timers {
		id := identify(t)
		seen[id] = true
		if left := max(t.Due.Sub(now), time.Until(r.failed[id].until)); left > 0 {
			wait = min(wait, left)
		} else if !r.running[id] {
			r.due = append(r.due, dueTimer{t, id, now})
		}
	}
	r.forget(seen)
	slices.SortStableFunc(r.due, func(a, b dueTimer) int { return cmp.Compare(r.fired[a.id], r.fired[b.id]) })
	r.assign(ctx)
	return wait
}

// assign gives the due timers to workers, and keeps those that there is no worker for.
//
// One worker is left for timeouts when jobs have all the others, and the other way
// round; of jobs those have their turn first that waited longest. So neither a crowd of
// the one keeps the other waiting, nor do long rollouts keep a cancel from its turn.
func (r *run) assign(ctx context.Context) {
	r.due = slices.DeleteFunc(r.due, func(t dueTimer) bool {
		same := len(r.running) - r.timeouts
		if t.id.timeout() {
			same = r.timeouts
		}
		if len(r.running) == r.workers || same >= r.workers-1 {
			return false
		}
		r.running[t.id] = true
		if t.id.timeout() {
			r.timeouts++
		} else {
			r.turns++
			r.fired[t.id] = r.turns
		}
		go func() { r.done <- outcome{t.id, r.engine.Fire(ctx, t.Timer, t.seen)} }()
		return true
	})
}

// wait comes back when it is time for another look.
func (r *run) wait(ctx context.Context, d time.Duration) {
	alarm := time.NewTimer(d)
	defer alarm.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-alarm.C:
			return
		case <-r.engine.Wake():
			return
		case o := <-r.done:
			r.take(ctx, o)
			// A timeout leaves nothing to do behind, a step of a job mostly does.
			if !o.id.timeout() || !slices.ContainsFunc(r.due, func(t dueTimer) bool { return t.id.timeout() }) {
				return
			}
			r.assign(ctx)
		}
	}
}

// forget drops what is remembered of timers that are gone.
func (r *run) forget(seen map[identity]bool) {
	maps.DeleteFunc(r.fired, func(id identity, _ uint64) bool { return !seen[id] })
	// One that is still there was tried again long since, or will be after a short pause.
	maps.DeleteFunc(r.failed, func(id identity, f failure) bool { return !seen[id] && time.Since(f.until) > lastRetry })
}

// take notes the outcome of a timer.
func (r *run) take(ctx context.Context, o outcome) {
	delete(r.running, o.id)
	if o.id.timeout() {
		r.timeouts--
	}
	if o.err == nil || ctx.Err() != nil {
		delete(r.failed, o.id)
		return
	}
	pause := longer(r.failed[o.id].pause)
	r.failed[o.id] = failure{until: time.Now().Add(pause), pause: pause}
	r.log.Error("timer failed", "err", o.err, "retry", pause)
}

// drain waits for the timers under way.
func (r *run) drain() {
	for range len(r.running) {
		<-r.done
	}
}

// longer is the pause after the next failure in a row.
func longer(pause time.Duration) time.Duration {
	return min(max(2*pause, firstRetry), lastRetry)
}
