package main

import (
	"testing"
	"time"
)

// TestWitnessNotHeard: a report that is sent before the subscription of a new connection is
// announced to nobody, and that is no loss.
func TestWitnessNotHeard(t *testing.T) {
	t.Parallel()
	for _, heard := range []bool{false, true} {
		v := newVerdicts()
		w := newWitness("dev", v)
		top := topicsOf("dev")
		w.up()
		if heard {
			w.subscribed([]string{notifyList, notifyNext})
		}
		w.sent(message{op: opUpdate, topic: top.update("fw"), request: request{Status: statusSucceeded, ExecutionNumber: 1, ClientToken: "a"}})
		w.received(top.update("fw")+"/accepted", &reply{ClientToken: "a", ExecutionState: &executionState{statusSucceeded, 3}})
		w.subscribed([]string{notifyList, notifyNext})
		w.sent(message{op: opGet, topic: top.get(nextJob), request: request{ClientToken: "b"}})
		w.received(top.get(nextJob)+"/accepted", &reply{ClientToken: "b"})
		w.settle(t.Context(), nil, time.Millisecond, w.told())
		if got := v.find(checkLost).Failed; (got > 0) != heard {
			t.Errorf("heard %v: %d lost", heard, got)
		}
	}
}

// TestWitnessSlack: an update whose reply was lost with its connection may have been carried out or
// not, and nothing more than that.
func TestWitnessSlack(t *testing.T) {
	t.Parallel()
	for versionNow, ok := range map[int64]bool{2: false, 3: true, 4: true, 5: false} {
		v := newVerdicts()
		w := newWitness("dev", v)
		top := topicsOf("dev")
		update := func(token string) {
			w.sent(message{op: opUpdate, topic: top.update("fw"), request: request{Status: statusInProgress, ExecutionNumber: 1, ClientToken: token}})
		}
		w.up()
		update("a")
		w.received(top.update("fw")+"/accepted", &reply{ClientToken: "a", ExecutionState: &executionState{statusInProgress, 2}})
		update("b")
		w.down()
		w.up()
		update("c")
		w.received(top.update("fw")+"/accepted", &reply{ClientToken: "c", ExecutionState: &executionState{statusInProgress, versionNow}})
		if got := v.find(checkVersions).Failed == 0; got != ok {
			t.Errorf("version %d: %+v", versionNow, v.list())
		}
	}
}

// TestWitnessStranger: a reply on another connection, and one on a topic that was not asked on.
func TestWitnessStranger(t *testing.T) {
	t.Parallel()
	v := newVerdicts()
	w := newWitness("dev", v)
	top := topicsOf("dev")
	w.up()
	w.sent(message{op: opStartNext, topic: top.startNext(), request: request{ClientToken: "a"}})
	w.down()
	w.up()
	w.received(top.startNext()+"/accepted", &reply{ClientToken: "a"})
	w.sent(message{op: opStartNext, topic: top.startNext(), request: request{ClientToken: "b"}})
	w.received(top.list()+"/accepted", &reply{ClientToken: "b"})
	if got := v.find(checkReplies).Failed; got != 2 {
		t.Errorf("%+v", v.list())
	}
}

// TestWitnessRepeats: a notification that says what the last one did is a repetition, unless a
// reply has shown that it was otherwise in between: several changes may be announced together.
func TestWitnessRepeats(t *testing.T) {
	t.Parallel()
	for _, between := range []bool{false, true} {
		v := newVerdicts()
		w := newWitness("dev", v)
		top := topicsOf("dev")
		w.up()
		w.subscribed([]string{notifyList, notifyNext})
		empty := func() {
			w.received(top.prefix+notifyList, &reply{})
			w.received(top.prefix+notifyNext, &reply{})
		}
		empty()
		if between {
			w.sent(message{op: opStartNext, topic: top.startNext(), request: request{ClientToken: "a"}})
			w.received(top.startNext()+"/accepted", &reply{ClientToken: "a",
				Execution: &execution{JobID: "fw", ExecutionNumber: 1, VersionNumber: 2, Status: statusInProgress, JobDocument: []byte("{}")}})
			w.sent(message{op: opUpdate, topic: top.update("fw"), request: request{Status: statusSucceeded, ExecutionNumber: 1, ClientToken: "b"}})
			w.received(top.update("fw")+"/accepted", &reply{ClientToken: "b", ExecutionState: &executionState{statusSucceeded, 3}})
		}
		empty()
		if want := map[bool]int{false: 2, true: 0}[between]; v.find(checkRepeats).Failed != want {
			t.Errorf("between %v: %+v", between, v.list())
		}
		if empty(); v.find(checkRepeats).Failed == 0 {
			t.Errorf("between %v: a third time is no repetition", between)
		}
	}
}

// TestWitnessOutdated: a reply that is older than a notification proves nothing.
func TestWitnessOutdated(t *testing.T) {
	t.Parallel()
	v := newVerdicts()
	w := newWitness("dev", v)
	top := topicsOf("dev")
	w.up()
	w.subscribed([]string{notifyList, notifyNext})
	told := w.told()
	fw := &execution{JobID: "fw", ExecutionNumber: 1, VersionNumber: 1, Status: statusQueued, JobDocument: []byte("{}")}
	w.received(top.prefix+notifyList, &reply{Jobs: map[string][]execution{statusQueued: {*fw}}})
	w.received(top.prefix+notifyNext, &reply{Execution: fw})
	if w.settle(t.Context(), nil, time.Millisecond, told) || v.find(checkLost).Failed > 0 {
		t.Errorf("judged by a reply of the past: %+v", v.list())
	}
	if !w.settle(t.Context(), nil, time.Millisecond, w.told()) || v.find(checkLost).Failed == 0 {
		t.Errorf("not judged: %+v", v.list())
	}
}
