package main

import (
	"context"
	"errors"
	"time"
)

// The bad manners of devices.

// The behaviours that are drawn for each execution, besides failing and rejecting.
const (
	mannerNever     = "never-answer"  // starts it and says nothing any more
	mannerCrash     = "crash"         // loses its memory in the middle, comes back and finishes
	mannerDuplicate = "duplicate"     // sends each report twice
	mannerStale     = "stale-version" // reports with an old expectedVersion before it reports properly
)

// outcomeSilent counts executions that a device was drawn not to finish.
const outcomeSilent = "NEVER_ANSWERED"

// traits are the manners that are drawn for each device, in percent of them.
type traits struct {
	flapping  float64 // loses its connection every now and then
	slow      float64 // reads slowly
	malformed float64 // sends broken requests on every connection
}

// nature is what was drawn of the traits for one device. A device has one of them at most.
type nature struct{ flapping, slow, malformed bool }

func natureOf(seed int64, thing string, t traits) nature {
	u := draw(seed, thing, "traits").Float64() * 100
	n := nature{
		flapping: u < t.flapping,
		slow:     u >= t.flapping && u < t.flapping+t.slow,
	}
	n.malformed = !n.flapping && !n.slow && u < t.flapping+t.slow+t.malformed
	return n
}

// broken is a request that must be refused.
type broken struct {
	op      operation
	suffix  string // of the topic
	payload string // with %TOKEN% in the place of the token
	code    string
}

var brokenRequests = []broken{
	{opStartNext, "start-next", `not json`, codeInvalidJSON},
	{opList, "get", `["an array"]`, codeInvalidJSON},
	{opUpdate, "no-such-job/update", `{"status":"SUCCEEDED","clientToken":"%TOKEN%"}`, codeResourceNotFound},
	{opUpdate, "no-such-job/update", `{"status":"SUCCESS","clientToken":"%TOKEN%"}`, codeInvalidRequest},
	{opUpdate, "no-such-job/update", `{"status":"IN_PROGRESS","statusDetails":{"a key":"with a space"},"clientToken":"%TOKEN%"}`, codeInvalidRequest},
	{opUpdate, "no-such-job/update", `{"status":"IN_PROGRESS","expectedVersion":"one","clientToken":"%TOKEN%"}`, codeInvalidRequest},
	{opStartNext, "start-next", `{"stepTimeoutInMinutes":0,"clientToken":"%TOKEN%"}`, codeInvalidRequest},
	{opGet, "foo/bar/baz", `{}`, codeInvalidTopic},
	{opGet, "no-such-job/get", `{"clientToken":"%TOKEN%"}`, codeResourceNotFound},
}

// misbehave sends a broken request of each kind. The witness judges the answers.
func (d *device) misbehave(ctx context.Context) error {
	for _, b := range brokenRequests {
		_, err := d.link.exchange(ctx, message{op: b.op, topic: d.topics.prefix + b.suffix, text: b.payload, want: b.code})
		if err != nil && !errors.Is(err, errNoReply) {
			return err
		}
	}
	return nil
}

// stale makes a report with a version that is no longer: any execution at work is past its first.
func (d *device) stale(ctx context.Context, j *job) error {
	rep, err := d.link.exchange(ctx, message{op: opUpdate, topic: d.topics.update(j.JobID), want: codeVersionMismatch,
		request: request{Status: statusInProgress, ExecutionNumber: j.ExecutionNumber, ExpectedVersion: 1, ClientToken: newToken()}})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil && rep.gone():
		return errGone
	}
	return nil // the witness has seen the answer
}

// flaps returns a channel that tells a flapping device when to lose its connection, and how to
// wait for the next time. The channel of any other device is nil.
func (d *device) flaps() (c <-chan time.Time, again, stop func()) {
	if !d.nature.flapping {
		return nil, func() {}, func() {}
	}
	r := draw(d.seed, d.id.thing, "flap")
	wait := func() time.Duration { return time.Duration(float64(d.flapEvery) * (0.5 + r.Float64())) }
	t := time.NewTimer(wait())
	return t.C, func() { t.Reset(wait()) }, func() { t.Stop() }
}
