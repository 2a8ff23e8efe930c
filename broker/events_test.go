package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// eventLog is the outbox of a fakeEngine.
type eventLog struct {
	sync.Mutex
	stamp  int64
	list   []jobsvc.Event
	wanted bool
	places map[string]int64
	stored chan struct{}
	reads  int
}

func (e *fakeEngine) Account() jobsvc.Account { return jobsvc.DefaultAccount }

func (e *fakeEngine) WantEvents(wanted bool) {
	e.events.Lock()
	defer e.events.Unlock()
	e.events.wanted = wanted
}

func (e *fakeEngine) SaveEventPlaces(_ context.Context, places map[string]int64) error {
	e.events.Lock()
	defer e.events.Unlock()
	e.events.places = maps.Clone(places)
	return nil
}

func (e *fakeEngine) EventPlaces(context.Context) (map[string]int64, error) {
	e.events.Lock()
	defer e.events.Unlock()
	return maps.Clone(e.events.places), nil
}

func (e *fakeEngine) EventsStored() <-chan struct{} {
	e.events.Lock()
	defer e.events.Unlock()
	if e.events.stored == nil {
		e.events.stored = make(chan struct{}, 1)
	}
	return e.events.stored
}

// EventStamp is a time, as the store's is, and no two are the same.
func (e *fakeEngine) EventStamp(context.Context) (int64, error) {
	e.events.Lock()
	defer e.events.Unlock()
	return e.events.next(), nil
}

func (l *eventLog) next() int64 {
	l.stamp = max(l.stamp+1, time.Now().UnixNano())
	return l.stamp
}

func (e *fakeEngine) Events(_ context.Context, after int64, limit int) (list []jobsvc.Event, _ error) {
	e.events.Lock()
	defer e.events.Unlock()
	e.events.reads++
	for _, ev := range e.events.list {
		if ev.Stamp > after && len(list) < limit {
			list = append(list, ev)
		}
	}
	return list, nil
}

func (e *fakeEngine) RemoveEvents(_ context.Context, after, to int64) error {
	e.events.Lock()
	defer e.events.Unlock()
	e.events.list = slices.DeleteFunc(e.events.list, func(ev jobsvc.Event) bool { return ev.Stamp > after && ev.Stamp <= to })
	return nil
}

// event stores one that thing succeeded in a job, unless nobody wants any.
func (e *fakeEngine) event(thing, job string) {
	e.EventsStored() // makes it
	e.events.Lock()
	defer e.events.Unlock()
	if !e.events.wanted {
		return
	}
	stamp := e.events.next()
	e.events.list = append(e.events.list, jobsvc.Event{
		ID: fmt.Sprintf("%s/%s", thing, job), Stamp: stamp, Operation: jobsvc.EventSucceeded, At: time.Now(),
		Execution: &jobsvc.JobExecutionEvent{ThingName: thing, JobID: job, Status: jobsvc.StatusSucceeded},
	})
	select {
	case e.events.stored <- struct{}{}:
	default:
	}
}

func (e *fakeEngine) storedEvents() int {
	e.events.Lock()
	defer e.events.Unlock()
	return len(e.events.list)
}

func (e *fakeEngine) eventsWanted() bool {
	e.events.Lock()
	defer e.events.Unlock()
	return e.events.wanted
}

// startEvents is startBroker with the operator certificate "op".
func startEvents(t *testing.T, e *fakeEngine, keep time.Duration) *Broker {
	t.Helper()
	e.certificate("op")
	return startBroker(t, e, func(o *Options) {
		o.OperatorCertificates = []string{"op"}
		o.Events.KeepAfterRestart = keep
	})
}

func operator(t *testing.T, b *Broker, version byte, o connectOptions) (d *device, present bool) {
	t.Helper()
	d = newDevice(t, dial(t, b, Identity{CertificateID: "op"}), version)
	present, code := d.connect(o)
	if code != 0 {
		t.Fatalf("CONNACK %d", code)
	}
	return d, present
}

// event takes an event off the connection, and acknowledges it when ack is true. It gives
// the ID.
func (d *device) event(ack bool) string {
	d.t.Helper()
	topic, payload, id, _ := d.published()
	var ev struct{ EventID, JobID string }
	if err := json.Unmarshal([]byte(payload), &ev); err != nil || topic != "$aws/events/jobExecution/"+ev.JobID+"/succeeded" {
		d.t.Fatalf("%s: %s, %v", topic, payload, err)
	}
	if ack && id != 0 {
		d.write(appendPuback(nil, id))
	}
	return ev.EventID
}

// session asks for one that is kept, in both versions.
func session(id string) connectOptions {
	return connectOptions{id: id, keep: true, properties: []byte{0x11, 0, 0, 0x0E, 0x10}}
}

func TestEventsSubscribe(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{things: []string{"pump-1"}}
		b := startEvents(t, e, 0)
		o, _ := operator(t, b, version, connectOptions{id: "console"})
		refused := byte(0x87)
		if version < 5 {
			refused = 0x80
		}
		for i, tt := range []struct {
			filter string
			code   byte
		}{
			{"$aws/events/jobExecution/#", 1}, {"$aws/events/job/+/completed", 1}, {"$aws/events/+/fw/#", 1}, {"$aws/events/jobExecution/fw/succeeded", 1},
			{"$aws/events", refused}, {"$aws/#", refused}, {"$aws/+/job/#", refused}, {"#", refused}, {"$share/g/$aws/events/#", refused},
			{"$aws/things/pump-1/jobs/notify", refused},
		} {
			if got := o.subscribe(uint16(i+1), tt.filter); got[0] != tt.code {
				t.Errorf("operator, %s: SUBACK %#x, want %#x", tt.filter, got, tt.code)
			}
		}
		o.publish("$aws/events/job/fw/completed", "{}", 0)
		o.quiet()
		d := pump(t, b, e, version)
		for i, filter := range []string{"$aws/events/#", "$aws/events/job/fw/completed"} {
			if got := d.subscribe(uint16(i+1), filter); got[0] != refused {
				t.Errorf("device, %s: SUBACK %#x", filter, got)
			}
		}
		e.event("pump-1", "fw")
		if got := o.event(true); got != "pump-1/fw" {
			t.Errorf("got %s", got)
		}
		o.quiet() // four filters, one message
		d.quiet()
		if code := o.subscribe(90, "$aws/events/jobExecution/#"); code[0] != 1 {
			t.Errorf("again: %#x", code)
		}
		// Only what is left of the filters counts.
		o.write(frame(0xA2, []byte{0, 91}, o.props(nil), mstr("$aws/events/jobExecution/#"), mstr("$aws/events/jobExecution/fw/succeeded"), mstr("$aws/events/+/fw/#")))
		if p := o.next(); p.header != 0xB0 {
			t.Fatalf("got %x, want UNSUBACK", p.header)
		}
		e.event("pump-1", "fw")
		o.quiet()
		if !e.eventsWanted() {
			t.Error("there is still a subscription, and nobody wants events")
		}
	})
}

// TestEventsInsecure: on the listener for development every connection is an operator,
// and a client ID is there for those who are no thing.
func TestEventsInsecure(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{things: []string{"pump-1"}}
		b := startEvents(t, e, 0)
		for _, id := range []string{"pump-1", "operator", "operator#2"} {
			d := newDevice(t, dial(t, b, Identity{Insecure: true}), version)
			if _, code := d.connect(connectOptions{id: id}); code != 0 {
				t.Fatalf("%s: CONNACK %d", id, code)
			}
			if code := d.subscribeQoS(1, 0, "$aws/events/jobExecution/#"); code[0] != 0 {
				t.Errorf("%s: SUBACK %#x", id, code)
			}
			e.event("pump-1", id)
			if got := d.event(false); got != "pump-1/"+id {
				t.Errorf("%s got %s", id, got)
			}
		}
	})
}

// TestEventsOperatorSession: a client ID of an operator without things is not another's.
func TestEventsOperatorSession(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		e.certificate("op-2")
		e.certificate("c9", "pump-9")
		b := startBroker(t, e, func(o *Options) { o.OperatorCertificates = []string{"op", "op-2"} })
		e.certificate("op")
		o, _ := operator(t, b, version, session("console"))
		o.subscribe(1, "$aws/events/jobExecution/#")
		refused := byte(0x87)
		if version < 5 {
			refused = 5
		}
		for _, stored := range []bool{false, true} {
			for _, id := range []string{"op-2", "c9"} {
				d := newDevice(t, dial(t, b, Identity{CertificateID: id}), version)
				if _, code := d.connect(session("console")); code != refused {
					t.Errorf("%s as console (stored %v): CONNACK %d", id, stored, code)
				}
			}
			o.conn.Close()
			synctest.Wait()
		}
		if _, present := operator(t, b, version, session("console")); !present {
			t.Error("the operator's own session is gone")
		}
	})
}

// TestEventsAcknowledged: the window of QoS 1 holds events back in the store, not in
// memory, in order; they go from there when they were acknowledged; and another
// subscriber does not wait.
func TestEventsAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startEvents(t, e, 0)
		slow, _ := operator(t, b, version, connectOptions{id: "slow"})
		slow.subscribe(1, "$aws/events/jobExecution/#")
		fast, _ := operator(t, b, version, connectOptions{id: "fast"})
		fast.subscribeQoS(1, 0, "$aws/events/jobExecution/#")
		const n = 350
		name := func(i int) string { return fmt.Sprintf("t%03d", i) }
		for i := range n {
			e.event(name(i), "fw")
		}
		for i := range n {
			if got := fast.event(false); got != name(i)+"/fw" {
				t.Fatalf("fast got %s as event %d", got, i)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(slow.packets); got != receiveMaximum {
			t.Errorf("%d messages without an acknowledgement", got)
		}
		if got := e.storedEvents(); got != n {
			t.Errorf("%d events stored, want all: nothing was acknowledged", got)
		}
		e.events.Lock()
		reads := e.events.reads
		e.events.Unlock()
		time.Sleep(10 * time.Second)
		e.events.Lock()
		if more := e.events.reads - reads; more > 5 {
			t.Errorf("%d readings for one who takes nothing", more)
		}
		e.events.Unlock()
		for i := range n {
			if got := slow.event(true); got != name(i)+"/fw" {
				t.Fatalf("slow got %s as event %d", got, i)
			}
		}
		time.Sleep(time.Second)
		if got := e.storedEvents(); got != 0 {
			t.Errorf("%d events stored after all were acknowledged", got)
		}
		slow.conn.Close()
		fast.conn.Close()
		time.Sleep(time.Second)
		if e.eventsWanted() {
			t.Error("events are wanted by nobody")
		}
	})
}

// TestEventsSession: a session without a connection gets its events when it is back, and
// again what it did not acknowledge; events wait for it as long as it lives.
func TestEventsSession(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startEvents(t, e, 0)
		d, _ := operator(t, b, version, session("console"))
		d.subscribe(1, "$aws/events/jobExecution/#")
		e.event("a", "fw")
		e.event("b", "fw")
		d.event(true)
		d.event(false) // not acknowledged
		d.conn.Close()
		synctest.Wait()
		e.event("c", "fw")
		time.Sleep(10 * time.Minute)
		if got := e.storedEvents(); got != 2 {
			t.Errorf("%d events wait, want b and c", got)
		}
		d, present := operator(t, b, version, session("console"))
		if !present {
			t.Fatal("no session")
		}
		for _, want := range []string{"b/fw", "c/fw"} {
			if got := d.event(true); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		time.Sleep(time.Second)
		if got := e.storedEvents(); got != 0 {
			t.Errorf("%d events are left", got)
		}
		d.conn.Close()
		synctest.Wait()
		e.event("d", "fw")
		time.Sleep(2 * time.Hour) // the session ends
		if e.eventsWanted() || e.storedEvents() != 0 {
			t.Errorf("after the session: wanted %v, %d stored", e.eventsWanted(), e.storedEvents())
		}
		// A clean start ends a session, too.
		d, _ = operator(t, b, version, session("console"))
		d.subscribe(1, "$aws/events/jobExecution/#")
		d.conn.Close()
		synctest.Wait()
		e.event("e", "fw")
		d, _ = operator(t, b, version, connectOptions{id: "console"})
		time.Sleep(time.Second)
		if e.eventsWanted() || e.storedEvents() != 0 {
			t.Errorf("after a clean start: wanted %v, %d stored", e.eventsWanted(), e.storedEvents())
		}
		d.quiet()
	})
}

// TestEventsLate: what somebody does not take for an hour is dropped.
func TestEventsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		e.certificate("op")
		b := startBroker(t, e, func(o *Options) {
			o.OperatorCertificates = []string{"op"}
			o.Logger = slog.New(slog.DiscardHandler)
		})
		d, _ := operator(t, b, 5, connectOptions{id: "console", keepAlive: 1200})
		d.subscribe(1, "$aws/events/jobExecution/#")
		for i := range 200 {
			e.event("a", fmt.Sprint(i))
		}
		for range 7 {
			time.Sleep(10 * time.Minute)
			d.write([]byte{0xC0, 0})
		}
		if got := e.storedEvents(); got != 0 {
			t.Errorf("%d events wait for more than an hour", got)
		}
		for range 100 {
			d.event(true)
		}
		e.event("b", "new")
		for {
			p := d.next()
			if p.header>>4 == 3 {
				if !strings.Contains(string(p.body), `"eventId":"b/new"`) {
					t.Errorf("got %q", p.body)
				}
				return
			}
		}
	})
}

// TestEventsSlowReader: one whose connection takes nothing gets what the connection has
// room for, others everything; it is not cut, and goes on when it reads.
func TestEventsSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startEvents(t, e, 0)
		// Its reader waits for the test after 1,000 packets.
		slow, _ := operator(t, b, 4, connectOptions{id: "slow"})
		slow.subscribeQoS(1, 0, "$aws/events/jobExecution/#")
		fast, _ := operator(t, b, 4, connectOptions{id: "fast"})
		fast.subscribeQoS(1, 0, "$aws/events/jobExecution/#")
		const n = 4000
		go func() {
			for i := range n {
				e.event(fmt.Sprintf("t%04d", i), "fw")
			}
		}()
		for i := range n {
			if got := fast.event(false); got != fmt.Sprintf("t%04d/fw", i) {
				t.Fatalf("fast got %s as event %d", got, i)
			}
		}
		time.Sleep(time.Second)
		if got := e.storedEvents(); got == 0 || got == n {
			t.Errorf("%d events wait for the slow one", got)
		}
		for i := range n {
			if got := slow.event(false); got != fmt.Sprintf("t%04d/fw", i) {
				t.Fatalf("slow got %s as event %d", got, i)
			}
			if i%100 == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		if got := e.storedEvents(); got != 0 {
			t.Errorf("%d events are left", got)
		}
	})
}

// TestEventsRestart: events of before a restart wait for those who come back, with the
// events since; what nobody comes for is dropped.
func TestEventsRestart(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startEvents(t, e, time.Minute)
		d, _ := operator(t, b, version, session("console"))
		d.subscribe(1, "$aws/events/jobExecution/#")
		e.event("a", "fw")
		d.event(false)
		e.event("b", "fw")
		d.event(false)
		ctx := t.Context()
		if err := b.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if got := e.storedEvents(); got != 2 {
			t.Errorf("%d events after a shutdown", got)
		}

		e.WantEvents(false) // as a new process
		b = startEvents(t, e, time.Minute)
		e.event("c", "fw")
		time.Sleep(30 * time.Second)
		d, present := operator(t, b, version, session("console"))
		if !present {
			t.Fatal("no session")
		}
		for _, want := range []string{"a/fw", "b/fw", "c/fw"} {
			if got := d.event(true); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		// Everybody is back: who comes now has no part in what was before.
		other, _ := operator(t, b, version, connectOptions{id: "other"})
		other.subscribe(1, "$aws/events/jobExecution/+/succeeded")
		e.event("d", "fw")
		if got := other.event(true); got != "d/fw" {
			t.Errorf("the other got %s", got)
		}
		d.event(true)
		time.Sleep(time.Second)
		if got := e.storedEvents(); got != 0 {
			t.Errorf("%d events are left", got)
		}
		e.event("e", "fw")
		d.event(true)
		other.event(false)
		time.Sleep(time.Second) // the places are stored with the removals
		if err := b.Close(ctx); err != nil {
			t.Fatal(err)
		}

		// One had it all, the other comes back under another client ID.
		e.WantEvents(false)
		b = startEvents(t, e, time.Minute)
		d, _ = operator(t, b, version, connectOptions{id: "console"})
		d.subscribe(1, "$aws/events/jobExecution/#")
		other, _ = operator(t, b, version, connectOptions{id: "another"})
		other.subscribe(1, "$aws/events/jobExecution/#")
		if got := other.event(true); got != "e/fw" {
			t.Errorf("the other got %s", got)
		}
		time.Sleep(2 * time.Second)
		if got := e.storedEvents(); got != 1 {
			t.Errorf("%d events are left, want that which nobody known has had", got)
		}
		time.Sleep(time.Minute)
		if got := e.storedEvents(); got != 0 {
			t.Errorf("%d events are left after their time", got)
		}
		if err := b.Close(ctx); err != nil {
			t.Fatal(err)
		}

		// Nobody comes back.
		e.WantEvents(false)
		b = startEvents(t, e, time.Minute)
		if !e.eventsWanted() {
			t.Error("who had events may come back, and none are stored")
		}
		e.event("e", "fw")
		time.Sleep(2 * time.Minute)
		if e.eventsWanted() || e.storedEvents() != 0 {
			t.Errorf("nobody came: wanted %v, %d stored", e.eventsWanted(), e.storedEvents())
		}
		if err := b.Close(ctx); err != nil {
			t.Fatal(err)
		}
		b = startEvents(t, e, time.Minute)
		if e.eventsWanted() {
			t.Error("events are wanted by nobody")
		}
		_ = b
	})
}

// TestEventSequences has the sequences of the specification with the real engine:
// lifecycle 12.3.
func TestEventSequences(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		s, err := store.Open(t.Context(), memkv.Open(memkv.Options{ScopeOf: store.ScopeOf}))
		if err != nil {
			t.Fatal(err)
		}
		link := new(Link)
		eng := engine.New(s, engine.Options{Notifier: link, Sessions: link})
		b, err := New(Options{Engine: eng, Link: link, Events: EventOptions{KeepAfterRestart: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		things := []string{"a", "b", "c"}
		var targets []string
		devices := make(map[string]*device)
		for _, name := range things {
			_, err := eng.CreateThing(t.Context(), &jobsvc.CreateThingRequest{ThingName: name})
			must(err)
			targets = append(targets, eng.Account().ARN(jobsvc.ARNThing, name))
			d := newDevice(t, dial(t, b, Identity{Insecure: true}), version)
			d.connect(connectOptions{id: name})
			devices[name] = d
		}
		o := newDevice(t, dial(t, b, Identity{Insecure: true}), version)
		o.connect(connectOptions{id: "operator"})
		o.subscribe(1, "$aws/events/job/#", "$aws/events/jobExecution/+/+")
		seen := make(map[string]bool)
		want := func(what string, topics ...string) {
			t.Helper()
			for _, want := range topics {
				topic, payload, id, _ := o.published()
				o.write(appendPuback(nil, id))
				var ev struct{ EventID, Operation, Status string }
				must(json.Unmarshal([]byte(payload), &ev))
				if topic != "$aws/events/"+want || seen[ev.EventID] || !strings.HasSuffix(topic, "/"+ev.Operation) {
					t.Errorf("%s: got %s %s, want %s", what, topic, payload, want)
				}
				seen[ev.EventID] = true
			}
			o.quiet()
		}
		// work does what the scheduler and Run do.
		work := func() {
			t.Helper()
			for again := true; again; {
				again = false
				timers, err := eng.Timers(t.Context(), 100)
				must(err)
				now, err := eng.Now(t.Context())
				must(err)
				for _, timer := range timers {
					if !timer.Due.After(now) {
						must(eng.Fire(t.Context(), timer, now))
						again = true
					}
				}
			}
			must(eng.Settle(t.Context()))
		}
		create := func(id string, targets ...string) {
			t.Helper()
			doc := "{}"
			_, err := eng.CreateJob(t.Context(), &jobsvc.CreateJobRequest{JobID: id, Targets: targets, Document: &doc, TimeoutConfig: &jobsvc.TimeoutConfig{InProgress: time.Minute}})
			must(err)
			work()
		}
		report := func(thing, job, status string) {
			t.Helper()
			devices[thing].publish("$aws/things/"+thing+"/jobs/"+job+"/update", `{"status":"`+status+`"}`, 0)
			devices[thing].reply("$aws/things/" + thing + "/jobs/" + job + "/update/accepted")
			work()
		}

		create("one", targets[0])
		report("a", "one", "IN_PROGRESS")
		report("a", "one", "SUCCEEDED")
		want("last succeeds", "jobExecution/one/succeeded", "job/one/completed")

		create("cancel", targets...)
		report("c", "cancel", "IN_PROGRESS")
		_, err = eng.CancelJob(t.Context(), &jobsvc.CancelJobRequest{JobID: "cancel"})
		must(err)
		work()
		want("canceled", "job/cancel/cancellation_in_progress", "jobExecution/cancel/canceled", "jobExecution/cancel/canceled", "job/cancel/canceled")
		report("c", "cancel", "REJECTED")
		want("the third", "jobExecution/cancel/rejected")

		create("delete", targets...)
		must(eng.DeleteJob(t.Context(), &jobsvc.DeleteJobRequest{JobID: "delete", Force: true}))
		work()
		want("deleted", "job/delete/deletion_in_progress", "jobExecution/delete/deleted", "jobExecution/delete/deleted", "jobExecution/delete/deleted", "job/delete/deleted")

		create("late", targets[:2]...)
		report("a", "late", "IN_PROGRESS")
		time.Sleep(2 * time.Minute)
		work()
		want("timed out", "jobExecution/late/timed_out")

		// What is left in the store goes when all is acknowledged and the time after the
		// start is over.
		time.Sleep(time.Second)
		if left, err := eng.Events(t.Context(), 0, 10); err != nil || len(left) != 0 {
			t.Errorf("left: %+v, %v", left, err)
		}
	})
}
