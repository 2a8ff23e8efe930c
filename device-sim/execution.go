package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

// errGone ends the work on an execution that was canceled, timed out or deleted.
var errGone = errors.New("the execution is no longer this device's")

// job is the execution a device works on. Two goroutines meet in it: the one that works, and the
// main loop of the device, which may learn that the execution was taken away.
type job struct {
	*execution
	begun    time.Time
	decision decision
	cancel   context.CancelCauseFunc
	phase    atomic.Int32
}

// The phases of a job. Whoever leaves working first decides: a report under way is not stopped,
// because the reply to it tells exactly what became of the execution.
const (
	working int32 = iota
	reporting
	abandoned
)

// abandon stops the work, unless its outcome is being reported already.
func (j *job) abandon() {
	if j.phase.CompareAndSwap(working, abandoned) {
		j.cancel(errGone)
	}
}

// outcome is how an execution ended for the device.
type outcome struct {
	status   string // the one the server accepted, or outcomeCanceled
	reason   string // in words, if there is something to say
	intended bool   // status is what was drawn
	crashed  bool   // the device fell over in the middle
	err      error  // the report was not accepted and will not be
}

// finding is the terminal report a device is going to make.
type finding struct {
	status  string
	details map[string]string
	drawn   bool // it is what was drawn, not an accident
}

// execute works on an execution until its end was reported, it was taken away, or ctx ended.
func (d *device) execute(ctx context.Context, j *job) outcome {
	f, err := d.do(ctx, j)
	switch {
	case errors.Is(err, errCrash):
		return outcome{crashed: true}
	case errors.Is(err, errSilent):
		return outcome{status: outcomeSilent, intended: true}
	case errors.Is(err, errGone):
		return outcome{status: outcomeCanceled, reason: err.Error(), intended: true}
	case err != nil:
		return outcome{err: err}
	case !j.phase.CompareAndSwap(working, reporting):
		return outcome{status: outcomeCanceled, reason: errGone.Error(), intended: true}
	}
	return d.finish(ctx, j, f)
}

// How an execution ends that is not reported.
var (
	errCrash  = errors.New("crashed")
	errSilent = errors.New("never to be answered")
)

// simulate is the work of a simulated device, in its manner.
func (d *device) simulate(ctx context.Context, j *job) (finding, error) {
	if j.decision.manner == mannerNever {
		if err := sleep(ctx, j.decision.work); err != nil {
			return finding{}, err
		}
		return finding{}, errSilent
	}
	f, err := d.work(ctx, j)
	if err == nil && j.decision.manner == mannerStale {
		err = d.stale(ctx, j)
	}
	return f, err
}

// work does what the job asks, as far as the draw lets it, and returns the report to make. The
// error is errGone or the cause of ctx's end; everything else that goes wrong is a FAILED or
// REJECTED report.
func (d *device) work(ctx context.Context, j *job) (finding, error) {
	if j.decision.status == statusRejected {
		return finding{statusRejected, reason("check", "simulated rejection"), true}, nil
	}
	a, err := d.keys.find(j.JobDocument)
	if err != nil { // no attempt can do better
		return finding{statusRejected, reason("check", err.Error()), false}, nil
	}
	if a == nil {
		d.rec.add(func(r *report) { r.NoArtefact++ })
	} else if err := d.download(ctx, j, a); err != nil {
		if errors.Is(err, errGone) || ctx.Err() != nil {
			return finding{}, err
		}
		return finding{statusFailed, reason("download", err.Error()), false}, nil
	}
	if j.decision.work > 0 {
		if err := d.progress(ctx, j, event{Step: "install"}); err != nil {
			return finding{}, err
		}
		if j.decision.manner == mannerCrash {
			j.decision.work /= 2 // the other half after it has come back
		}
		if err := sleep(ctx, j.decision.work); err != nil {
			return finding{}, err
		}
	}
	if j.decision.manner == mannerCrash {
		return finding{}, errCrash
	}
	if j.decision.status == statusFailed {
		return finding{statusFailed, reason("install", "simulated failure"), true}, nil
	}
	return finding{statusSucceeded, map[string]string{"step": "done"}, true}, nil
}

// download fetches the artefact and reports how far it has come, each quarter of the way.
func (d *device) download(ctx context.Context, j *job, a *artefact) error {
	o := fetchOptions{
		fresh: func(ctx context.Context) (*artefact, error) { return d.freshArtefact(ctx, j) },
		resumed: func(step string) {
			d.rec.emit(d.about(j, event{Event: evProgress, Step: step}))
		},
	}
	if d.keep != "" {
		o.file = artefactFile(d.keep, d.id.thing, j.execution)
	}
	quarters := int64(0)
	o.progress = func(done, total int64) error {
		if total <= 0 || done*4/total <= quarters {
			return nil
		}
		quarters = done * 4 / total
		percent := int(done * 100 / total)
		return d.progress(ctx, j, event{Step: "download", Percent: &percent})
	}
	start := time.Now()
	size, err := d.downloads.fetch(ctx, a, o)
	if err == nil {
		d.rec.observe("download", time.Since(start))
	}
	if err == nil || errors.Is(err, errMismatch) {
		d.rec.emit(d.about(j, event{Event: evDownloaded, Bytes: size, Verified: err == nil}))
	}
	return err
}

// artefactFile is where the artefact of an execution is kept.
func artefactFile(dir, thing string, e *execution) string {
	return filepath.Join(dir, thing, fmt.Sprintf("%s-%d", e.JobID, e.ExecutionNumber))
}

// freshArtefact asks for the document again: its URLs are signed anew each time.
func (d *device) freshArtefact(ctx context.Context, j *job) (*artefact, error) {
	d.rec.emit(d.about(j, event{Event: evProgress, Step: "fresh-url"}))
	rep, err := d.insist(ctx, func() message {
		return message{op: opGet, topic: d.topics.get(j.JobID), request: request{ExecutionNumber: j.ExecutionNumber, ClientToken: newToken()}}
	})
	switch {
	case err != nil:
		return nil, err
	case rep.gone():
		return nil, fmt.Errorf("%w: %s", errGone, rep.Code)
	case rep.Code != "":
		return nil, fmt.Errorf("get was rejected: %s: %s", rep.Code, rep.Message)
	case rep.Execution == nil:
		return nil, errors.New("get brought no execution")
	}
	a, err := d.keys.find(rep.Execution.JobDocument)
	if err == nil && a == nil {
		err = errors.New("the fresh job document names no artefact")
	}
	return a, err
}

// progress reports a step of the work, unless the last report was too short a time ago. A report
// that gets lost is not repeated: the next one says more. The error is errGone or ctx's end.
func (d *device) progress(ctx context.Context, j *job, e event) error {
	if now := time.Now(); d.reported.IsZero() || now.Sub(d.reported) >= d.reportEvery {
		d.reported = now
	} else {
		return nil
	}
	details := map[string]string{"step": e.Step}
	if e.Percent != nil {
		details["percent"] = strconv.Itoa(*e.Percent)
	}
	rep, err := d.link.exchange(ctx, message{op: opUpdate, topic: d.topics.update(j.JobID), copies: j.decision.copies(), request: request{
		Status:          statusInProgress,
		StatusDetails:   details,
		ExecutionNumber: j.ExecutionNumber,
		StepTimeout:     d.stepMinutes, // each step has the whole of it
		ClientToken:     newToken(),
	}})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errNoReply):
		d.rec.add(func(r *report) { r.LostReplies++ })
	case err != nil:
		d.problem(j, "progress", err)
	case rep.gone():
		return fmt.Errorf("%w: %s", errGone, rep.Code)
	case rep.Code != "":
		d.problem(j, "progress", fmt.Errorf("%s: %s", rep.Code, rep.Message))
	default:
		e.Event = evProgress
		d.rec.emit(d.about(j, e))
	}
	return nil
}

// finish makes the terminal report, until there is an answer to it. A repeated report has the same
// token and number as the first, so the server can tell that it is one; and one that is refused
// because the execution already has that status has arrived before.
func (d *device) finish(ctx context.Context, j *job, f finding) outcome {
	req := request{
		Status:          f.status,
		StatusDetails:   f.details,
		ExecutionNumber: j.ExecutionNumber,
		ClientToken:     newToken(),
	}
	rep, err := d.insist(ctx, func() message {
		return message{op: opUpdate, topic: d.topics.update(j.JobID), copies: j.decision.copies(), request: req}
	})
	switch {
	case err != nil:
		return outcome{err: fmt.Errorf("report %s: %w", f.status, err)}
	case rep.Code == "" || rep.Code == codeInvalidStateTransition && rep.state() == f.status:
		return outcome{status: f.status, reason: f.details["reason"], intended: f.drawn}
	case rep.gone():
		return outcome{status: outcomeCanceled, reason: strings.TrimSpace(rep.Code + " " + rep.state()), intended: true}
	}
	return outcome{err: fmt.Errorf("report %s was rejected: %s: %s", f.status, rep.Code, rep.Message)}
}

// insist sends a request until it is answered with something final. Each repetition waits longer
// than the one before; after a lost connection it only waits for the next.
func (d *device) insist(ctx context.Context, next func() message) (*reply, error) {
	wait := backoff{base: d.link.timeout}
	for n := 0; ; n++ {
		if err := d.link.await(ctx); err != nil {
			return nil, err
		}
		if n > 0 {
			d.rec.add(func(r *report) { r.Repeats++ })
		}
		start := time.Now()
		m := next()
		rep, err := d.link.exchange(ctx, m)
		switch {
		case err == nil && !rep.again():
			return rep, nil
		case err == nil:
			d.problem(nil, string(m.op), fmt.Errorf("%s: %s", rep.Code, rep.Message))
		case errors.Is(err, errDropped):
			continue
		case errors.Is(err, errNoReply):
			d.rec.add(func(r *report) { r.LostReplies++ })
		default:
			return nil, err
		}
		if err := sleep(ctx, wait.next(time.Since(start))); err != nil {
			return nil, err
		}
	}
}

// backoff spaces the repetitions of a request: base, doubling to 64 times base, counted from one
// sending to the next.
type backoff struct {
	base time.Duration
	n    int
}

func (b *backoff) next(elapsed time.Duration) time.Duration {
	window := b.base << min(b.n, 6)
	b.n++
	return max(0, window-elapsed)
}

// about completes an event on a job.
func (d *device) about(j *job, e event) event {
	e.Thing = d.id.thing
	if j != nil {
		e.Job, e.Execution = j.JobID, j.ExecutionNumber
	}
	return e
}

// problem records an error the device goes on after.
func (d *device) problem(j *job, what string, err error) {
	d.rec.emit(d.about(j, event{Event: evError, Reason: what + ": " + err.Error()}))
}

// reason makes the statusDetails of an execution that did not succeed.
func reason(step, text string) map[string]string {
	return map[string]string{"step": step, "reason": detail(text)}
}

// detail makes a text fit for a value of statusDetails: no control characters, at most 1,024 runes.
func detail(text string) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
	return string(runes[:min(len(runes), 1024)])
}
