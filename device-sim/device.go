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
	id        identity
	topics    topics
	rec       *recorder
	link      *link
	downloads *downloader
	keys      artefactKeys
	keep      string // where artefacts are kept; empty for nowhere
	seed      int64
	ordinal   func(jobID string) string // what of a jobId is drawn by
	conduct
	nature      nature
	delay       time.Duration // before the first connection
	reportEvery time.Duration
	do          func(context.Context, *job) (finding, error) // the work on an execution
	attentive   bool                                         // a notification makes it ask while it is at work, too: it may be canceled
	stepMinutes int64                                        // step timeout of an execution; 0 for none
	grace       time.Duration                                // how long a notification may be overdue at the end

	reported time.Time // last progress report; belongs to the goroutine of the running job

	// The rest belongs to run.
	running   *job
	over      chan outcome // capacity 1: how running ended
	reports   map[executionKey]string
	silent    map[executionKey]bool // never to be answered
	crashed   map[executionKey]bool // once
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
	d.silent = make(map[executionKey]bool)
	d.crashed = make(map[executionKey]bool)
	d.link.fail = cancel

	err := d.idle(ctx, stop, d.delay)
	if err == nil {
		d.link.open(ctx)
		err = d.loop(ctx, stop)
		if d.running != nil {
			d.running.cancel(err)
			if d.end(<-d.over) == nil { // it may have ended well in the meantime
				d.running = nil
			}
		}
		if err == nil {
			d.audit(ctx)
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
	flap, flapAgain, flapStop := d.flaps()
	defer flapStop()
	for {
		if d.running == nil && (stopping || d.enough(0) || d.untilJobs > 0 && len(d.silent) > 0) {
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
			if !d.connected {
				d.connected = true
				d.rec.arrived()
			}
			d.rec.emit(event{Event: evConnected, Thing: d.id.thing})
			if d.nature.malformed {
				if err := d.misbehave(ctx); errors.Is(err, errDropped) {
					continue
				} else if err != nil {
					return err
				}
			}
			// On every connection, because a notification may have been missed; but not while the
			// last report is on its way, which would start an execution that nobody finishes.
			ask = d.running == nil || d.running.phase.Load() != reporting || !d.enough(1)
		case <-d.link.notified:
			ask = d.running == nil || d.attentive && d.running.phase.Load() == working
		case <-retry.C:
			ask = d.running == nil
			repeat = ask && d.style != stylePoll
		case <-flap:
			flapAgain()
			d.link.cut(0)
		case o := <-d.over:
			d.running.cancel(nil)
			if o.crashed {
				d.crashed[d.running.key()] = true
				d.running = nil
				d.atWork(-1)
				d.link.cut(d.away)
				continue // coming back reminds it
			}
			err := d.end(o)
			d.running = nil
			d.atWork(-1)
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
		again, err := d.ask(ctx)
		switch {
		case err != nil:
			return err
		case again:
			retry.Reset(wait.next(time.Since(start)))
		case d.style == stylePoll:
			retry.Reset(d.pollEvery)
		default:
			wait.n = 0
		}
	}
}

// enough reports whether n more executions would be all the device is to finish.
func (d *device) enough(n int) bool { return d.untilJobs > 0 && d.finished+n >= d.untilJobs }

// offered takes the execution to work on, nil for none. The error is a broken promise of the server.
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
	case e == nil || d.silent[e.key()]:
		return nil
	case !jobIDPattern.MatchString(e.JobID) || e.ExecutionNumber < 1 || e.JobDocument == nil:
		return fmt.Errorf("%s brought an execution without a jobId, executionNumber or jobDocument: %q/%d", d.style, e.JobID, e.ExecutionNumber)
	case e.Status != statusInProgress:
		return fmt.Errorf("%s brought %s/%d in the status %q", d.style, e.JobID, e.ExecutionNumber, e.Status)
	case d.reports[e.key()] != "":
		return fmt.Errorf("%s brought %s/%d again, after the report %s was accepted", d.style, e.JobID, e.ExecutionNumber, d.reports[e.key()])
	}
	ctx, cancel := context.WithCancelCause(ctx)
	j := &job{execution: e, begun: time.Now(), cancel: cancel, decision: decide(d.seed, d.id.thing, executionKey{d.ordinal(e.JobID), e.ExecutionNumber}, d.odds, d.conduct.work)}
	if d.crashed[e.key()] {
		j.decision.manner = "" // once is enough
	}
	d.running = j
	d.atWork(1)
	d.reported = time.Time{}
	d.rec.emit(d.about(j, event{Event: evStarted, Status: e.Status, Resumed: len(e.StatusDetails) > 0}))
	go func() { d.over <- d.execute(ctx, j) }()
	return nil
}

// atWork counts executions at work: also apart, those that no notification told of.
func (d *device) atWork(n int) {
	d.rec.add(func(r *report) {
		r.working += n
		if d.style == stylePoll {
			r.untold += n
		}
	})
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
	d.finished++
	if o.status == outcomeSilent {
		d.silent[j.key()] = true
		return nil
	}
	d.reports[j.key()] = o.status
	if !o.intended {
		d.rec.add(func(r *report) { r.Unintended++ })
		d.faults = append(d.faults, fmt.Sprintf("%s/%d: %s, meant to be %s: %s",
			j.JobID, j.ExecutionNumber, o.status, j.decision.status, o.reason))
	}
	return nil
}

// audits is how often a queue is asked for that goes on changing.
const audits = 5

// audit asks once more what is in the queue, so that the witness can tell whether it was announced;
// and again, if something was announced that may have come after the answer.
func (d *device) audit(ctx context.Context) {
	if d.link.witness == nil {
		return
	}
	for n := 1; ; n++ {
		told := d.link.witness.told()
		rep, err := d.link.request(ctx, opGet, d.topics.get(nextJob), request{ClientToken: newToken()})
		if err != nil || rep.Code != "" {
			return // not connected, or no answer: nothing to compare with
		}
		if d.link.witness.settle(ctx, rep.Execution, d.grace, told) || n == audits {
			return
		}
	}
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
	case d.untilJobs > 0 && !d.enough(0) && len(d.silent) == 0:
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
