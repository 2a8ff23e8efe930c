package main

import (
	"context"
	"errors"
	"fmt"
)

// style is how a device comes by its work.
type style string

const (
	styleStartNext  style = "start-next"  // on notify-next: start-next
	styleNotifyNext style = "notify-next" // on notify-next: $next/get, then an update to IN_PROGRESS
	styleNotify     style = "notify"      // on notify: get, {jobId}/get, then an update with expectedVersion
	stylePoll       style = "poll"        // from time to time: $next/get, then an update; nothing is subscribed to
)

var styles = []style{styleStartNext, styleNotifyNext, styleNotify, stylePoll}

// wake is the notification that makes the device ask; empty for none.
func (s style) wake() string {
	switch s {
	case styleNotify:
		return notifyList
	case stylePoll:
		return ""
	}
	return notifyNext
}

// filters are the notifications to subscribe to. A witness wants to see both kinds.
func (s style) filters(witnessed bool) []string {
	switch {
	case s == stylePoll:
		return nil
	case witnessed:
		return []string{notifyList, notifyNext} // in the order in which they come
	}
	return []string{s.wake()}
}

// ask asks for the next execution and begins it. again means that there was no usable answer and
// that the device must ask again later; after a lost connection the next one reminds it.
func (d *device) ask(ctx context.Context) (again bool, err error) {
	var e *execution
	switch d.style {
	case styleStartNext:
		e, err = d.offer(ctx, opStartNext, d.topics.startNext(), request{StepTimeout: d.stepMinutes})
	case styleNotify:
		e, err = d.choose(ctx)
	default:
		e, err = d.offer(ctx, opGet, d.topics.get(nextJob), request{})
	}
	if err == nil && e != nil && d.style != styleStartNext && d.running == nil && !d.silent[e.key()] {
		err = d.begin(ctx, e)
	}
	switch {
	case errors.Is(err, errDropped):
		return false, nil
	case errors.Is(err, errNoReply):
		d.rec.add(func(r *report) { r.LostReplies++ })
		return true, nil
	case errors.Is(err, errLater):
		d.problem(nil, "asking for work", err)
		return true, nil
	case err != nil:
		return false, err
	}
	return false, d.offered(ctx, e)
}

// errLater says that the same question may have another answer later.
var errLater = errors.New("not now")

// offer makes a request that brings an execution, or nil.
func (d *device) offer(ctx context.Context, op operation, topic string, req request) (*execution, error) {
	rep, err := d.answer(ctx, op, topic, req)
	if err != nil {
		return nil, err
	}
	return rep.Execution, nil
}

// answer makes a request and sorts the refusals into final ones and errLater.
func (d *device) answer(ctx context.Context, op operation, topic string, req request) (*reply, error) {
	req.ClientToken = newToken()
	rep, err := d.link.request(ctx, op, topic, req)
	switch {
	case err != nil:
		return nil, err
	case rep.again():
		return nil, fmt.Errorf("%w: %s: %s: %s", errLater, op, rep.Code, rep.Message)
	case rep.Code != "":
		return nil, fmt.Errorf("%s was rejected: %s: %s", op, rep.Code, rep.Message)
	}
	return rep, nil
}

// choose looks at the whole queue, as a device does that has priorities of its own, and describes
// the first one in it that it has something to do with.
func (d *device) choose(ctx context.Context) (*execution, error) {
	rep, err := d.answer(ctx, opList, d.topics.list(), request{})
	if err != nil {
		return nil, err
	}
	var first *execution
	for _, e := range append(rep.InProgress, rep.Queued...) {
		if d.running != nil && e.key() == d.running.key() {
			return d.running.execution, nil
		}
		if first == nil && !d.silent[e.key()] {
			first = &e
		}
	}
	if first == nil || !jobIDPattern.MatchString(first.JobID) {
		return nil, nil
	}
	rep, err = d.link.request(ctx, opGet, d.topics.get(first.JobID), request{ExecutionNumber: first.ExecutionNumber, ClientToken: newToken()})
	switch {
	case err != nil:
		return nil, err
	case rep.Code != "": // it has ended in the meantime, or may do better later
		return nil, fmt.Errorf("%w: get: %s: %s", errLater, rep.Code, rep.Message)
	}
	return rep.Execution, nil
}

// begin tells the server that the device works on an execution, which start-next would have done.
func (d *device) begin(ctx context.Context, e *execution) error {
	if e.Status != statusQueued || !jobIDPattern.MatchString(e.JobID) {
		return nil // resumed, or to be refused by offered
	}
	req := request{Status: statusInProgress, ExecutionNumber: e.ExecutionNumber, ClientToken: newToken()}
	if d.style == styleNotify {
		req.ExpectedVersion = e.VersionNumber
	}
	rep, err := d.link.request(ctx, opUpdate, d.topics.update(e.JobID), req)
	switch {
	case err != nil:
		return err
	case rep.again(), rep.gone(), rep.Code == codeVersionMismatch:
		return fmt.Errorf("%w: begin %s: %s: %s", errLater, e.key(), rep.Code, rep.Message)
	case rep.Code != "":
		return fmt.Errorf("begin %s was rejected: %s: %s", e.key(), rep.Code, rep.Message)
	}
	e.Status = statusInProgress
	return nil
}
