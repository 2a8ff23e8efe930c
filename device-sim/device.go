package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Why a run ends before its devices have.
var (
	errInterrupted = errors.New("interrupted")
	errTimeout     = errors.New("out of time")
)

// device is one simulated device.
type device struct {
	id          identity
	topics      topics
	rec         *recorder
	link        *link
	downloads   *downloader
	keys        artefactKeys
	keep        string // where artefacts are kept; empty for nowhere
	seed        int64
	odds        odds
	install     time.Duration // mean simulated installation time
	delay       time.Duration // before the first connection
	untilJobs   int           // executions to finish; 0 for no limit
	reportEvery time.Duration

	reported time.Time // last progress report; belongs to the goroutine of the running job

	// The rest belongs to run.
	running   *job
	over      chan outcome // capacity 1: how running ended
	reports   map[executionKey]string
	finished  int
	connected bool
	faults    []string
}

// newToken returns a client token. Not seeded: two runs must not share tokens, or a server that
// remembers them takes the reports of the second for repetitions.
func newToken() string { return rand.Text() }

// run is the life of a device: until it has finished its executions, stop is closed and none is
// running, or ctx ends. nil means that it ended as it should.
func (d *device) run(ctx context.Context, stop <-chan struct{}) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.over = make(chan outcome, 1)
	d.reports = make(map[executionKey]string)
	d.link.fail = cancel

	err := d.idle(ctx, stop, d.delay)
	if err == nil {
		if err = d.link.open(ctx); err != nil {
			return err
		}
		err = d.loop(ctx, stop)
		if d.running != nil {
			d.running.cancel(err)
			if d.end(<-d.over) == nil { // it may have ended well in the meantime
				d.running = nil
			}
		}
		d.link.close()
	}
	return d.verdict(err)
}

// idle waits for the device's turn to connect.
func (d *device) idle(ctx context.Context, stop <-chan struct{}, delay time.Duration) error {
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-stop:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// loop decides when to ask for work. It returns nil when the device is done.
func (d *device) loop(ctx context.Context, stop <-chan struct{}) error {
	var (
		wait     = backoff{base: d.link.timeout}
		retry    = time.NewTimer(time.Hour)
		stopping bool
		repeat   bool
	)
	retry.Stop()
	defer retry.Stop()
	for {
		if d.running == nil && (stopping || d.enough(0)) {
			return nil
		}
		ask := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-stop:
			stop, stopping = nil, true
		case <-d.link.up:
			err := d.link.subscribe(ctx)
			if errors.Is(err, errDropped) {
				continue
			}
			if err != nil {
				return err
			}
			d.connected = true
			d.rec.emit(event{Event: evConnected, Thing: d.id.thing})
			// On every connection, because a notification may have been missed; but not while the
			// last report is on its way, which would start an execution that nobody finishes.
			ask = d.running == nil || d.running.phase.Load() != reporting || !d.enough(1)
		case <-d.link.notified:
			ask = d.running == nil
		case <-retry.C:
			ask = d.running == nil
			repeat = ask
		case o := <-d.over:
			d.running.cancel(nil)
			err := d.end(o)
			d.running = nil
			if err != nil {
				return err
			}
			ask = !d.enough(0)
		}
		if !ask || stopping {
			continue
		}
		retry.Stop()
		if repeat {
			d.rec.add(func(r *report) { r.Repeats++ })
		}
		repeat = false
		start := time.Now()
		again, err := d.startNext(ctx)
		switch {
		case err != nil:
			return err
		case again:
			retry.Reset(wait.next(time.Since(start)))
		default:
			wait.n = 0
		}
	}
}

// enough reports whether n more executions would be all the device is to finish.
func (d *device) enough(n int) bool { return d.untilJobs > 0 && d.finished+n >= d.untilJobs }

// startNext asks for the next execution and begins it. again means that there was no usable answer
// and that the device must ask again later; after a lost connection the next one reminds it.
func (d *device) startNext(ctx context.Context) (again bool, err error) {
	rep, err := d.link.request(ctx, opStartNext, d.topics.startNext(), request{ClientToken: newToken()})
	switch {
	case errors.Is(err, errDropped):
		return false, nil
	case errors.Is(err, errNoReply):
		d.rec.add(func(r *report) { r.LostReplies++ })
		return true, nil
	case err != nil:
		return false, err
	case rep.again():
		d.problem(nil, string(opStartNext), fmt.Errorf("%s: %s", rep.Code, rep.Message))
		return true, nil
	case rep.Code != "":
		return false, fmt.Errorf("start-next was rejected: %s: %s", rep.Code, rep.Message)
	}
	return false, d.offered(ctx, rep.Execution)
}

// offered takes the answer to start-next. The error is a broken promise of the server.
func (d *device) offered(ctx context.Context, e *execution) error {
	if d.running != nil {
		if e == nil || e.key() != d.running.key() {
			// Canceled while we were away. If another one was started by this, asking again when
			// this one is over brings it back.
			d.running.abandon()
		}
		return nil
	}
	switch {
	case e == nil:
		return nil
	case !jobIDPattern.MatchString(e.JobID) || e.ExecutionNumber < 1 || e.JobDocument == nil:
		return fmt.Errorf("start-next brought an execution without a jobId, executionNumber or jobDocument: %q/%d", e.JobID, e.ExecutionNumber)
	case e.Status != statusInProgress:
		return fmt.Errorf("start-next brought %s/%d in the status %q", e.JobID, e.ExecutionNumber, e.Status)
	case d.reports[e.key()] != "":
		return fmt.Errorf("start-next brought %s/%d again, after the report %s was accepted", e.JobID, e.ExecutionNumber, d.reports[e.key()])
	}
	ctx, cancel := context.WithCancelCause(ctx)
	j := &job{execution: e, begun: time.Now(), cancel: cancel, decision: decide(d.seed, d.id.thing, e.key(), d.odds, d.install)}
	d.running = j
	d.reported = time.Time{}
	d.rec.emit(d.about(j, event{Event: evStarted, Status: e.Status, Resumed: len(e.StatusDetails) > 0}))
	go func() { d.over <- d.execute(ctx, j) }()
	return nil
}

// end takes how the running execution ended. The error ends the device: an execution that can
// neither be finished nor is taken away would be offered again for ever.
func (d *device) end(o outcome) error {
	j := d.running
	if o.err != nil {
		return fmt.Errorf("%s/%d: %w", j.JobID, j.ExecutionNumber, o.err)
	}
	took := float64(time.Since(j.begun).Microseconds()) / 1000
	d.rec.emit(d.about(j, event{Event: evFinished, Status: o.status, Reason: o.reason, Millis: took}))
	if o.status == outcomeCanceled {
		return nil
	}
	d.reports[j.key()] = o.status
	d.finished++
	if !o.intended {
		d.rec.add(func(r *report) { r.Unintended++ })
		d.faults = append(d.faults, fmt.Sprintf("%s/%d: %s, meant to be %s: %s",
			j.JobID, j.ExecutionNumber, o.status, j.decision.status, o.reason))
	}
	return nil
}

// verdict judges the device at its end; err is what ended it.
func (d *device) verdict(err error) error {
	early := errors.Is(err, errInterrupted) || errors.Is(err, errTimeout)
	switch {
	case err != nil && !early:
		return err
	case len(d.faults) > 0:
		return faults(d.faults)
	case d.running != nil:
		return fmt.Errorf("%w in the middle of %s/%d", err, d.running.JobID, d.running.ExecutionNumber)
	case d.untilJobs > 0 && !d.enough(0):
		if err == nil {
			err = errTimeout
		}
		return fmt.Errorf("%w with %d of %d executions finished", err, d.finished, d.untilJobs)
	case !d.connected:
		return errors.New("was never connected")
	}
	return nil
}

func faults(all []string) error {
	if len(all) == 1 {
		return errors.New(all[0])
	}
	return fmt.Errorf("%s (and %d more)", all[0], len(all)-1)
}
