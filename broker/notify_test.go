package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// state is a queue with one QUEUED job, named after the head's version.
func state(set, head uint64) jobsvc.ThingQueue {
	now := time.Now()
	x := jobsvc.JobExecution{JobID: fmt.Sprintf("j%d", head), Status: jobsvc.StatusQueued, QueuedAt: now, LastUpdatedAt: now, VersionNumber: 1, ExecutionNumber: 1}
	return jobsvc.ThingQueue{
		PendingJobExecutions: jobsvc.PendingJobExecutions{Queued: []jobsvc.JobExecution{x}},
		Head:                 &x, Document: &jobsvc.Document{Text: []byte(`{"u":"a&b"}`)}, SetVersion: set, HeadVersion: head,
	}
}

func TestNotify(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		e.set("pump-1", "", state(7, 5)) // history: no news
		d := pump(t, b, e, version)
		b.Notify(hint("pump-1", 7, 5)) // nobody listens
		d.subscribe(1, jobs+"notify", jobs+"notify-next")
		d.quiet() // nothing on SUBSCRIBE
		b.Notify(hint("pump-1", 7, 5))
		d.quiet()

		e.set("pump-1", "", state(8, 5)) // a job behind the head
		b.Notify(hint("pump-1", 8, 5))
		topic, payload, id, _ := d.published()
		if topic != jobs+"notify" || id < 0x8000 {
			t.Errorf("got %s %d", topic, id)
		}
		contains(t, payload, fmt.Sprintf(`{"timestamp":%d,"jobs":{"QUEUED":[{"jobId":"j5",`, time.Now().Unix()))
		d.quiet()

		e.set("pump-1", "", state(9, 6))
		b.Notify(hint("pump-1", 9, 6))
		if topic, _, _, _ := d.published(); topic != jobs+"notify" {
			t.Errorf("first %s", topic)
		}
		topic, payload, next, _ := d.published()
		if topic != jobs+"notify-next" || next == id {
			t.Errorf("then %s %d", topic, next)
		}
		contains(t, payload, `"jobId":"j6"`, `"jobDocument":{"u":"a&b"}}}`)

		e.set("pump-1", "", jobsvc.ThingQueue{SetVersion: 10, HeadVersion: 7})
		b.Notify(hint("pump-1", 10, 7))
		b.Notify(hint("pump-1", 10, 7))
		if _, payload, _, _ := d.published(); !strings.HasSuffix(payload, `"jobs":{}}`) {
			t.Errorf("got %s", payload)
		}
		if _, payload, _, _ := d.published(); payload != fmt.Sprintf(`{"timestamp":%d}`, time.Now().Unix()) {
			t.Errorf("got %s", payload)
		}
		d.quiet()

		// An older state is never published after a newer one.
		e.set("pump-1", "", state(9, 6))
		b.Notify(hint("pump-1", 9, 6))
		d.quiet()

		d.write(frame(0xA2, []byte{0, 9}, d.props(nil), mstr(jobs+"notify")))
		if p := d.next(); p.header != 0xB0 {
			t.Errorf("got %x", p)
		}
		e.set("pump-1", "", state(11, 8))
		b.Notify(hint("pump-1", 11, 8))
		if topic, _, _, _ := d.published(); topic != jobs+"notify-next" {
			t.Errorf("got %s after UNSUBSCRIBE", topic)
		}
		d.quiet()
	})
}

// Every connection with a matching filter gets one copy, of the QoS it was granted.
func TestNotifyFanOut(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		id := e.certificate("c1", "pump-1", "pump-2")
		var all []*device
		for i, filters := range [][]string{
			{jobs + "notify"}, {jobs + "#", jobs + "notify", jobs + "+"}, {"$aws/things/pump-1/+/notify/#"}, {"$aws/things/pump-1/#"},
			{jobs + "get/accepted"}, {"$aws/things/pump-2/jobs/notify"}, {jobs + "notify-namespace-n"},
		} {
			d := newDevice(t, dial(t, b, id), version)
			d.connect(connectOptions{id: fmt.Sprintf("gw-%d", i)})
			if i == 2 {
				d.subscribeQoS(1, 0, filters...)
			} else {
				d.subscribeQoS(1, 2, filters...)
			}
			all = append(all, d)
		}
		e.set("pump-1", "", state(1, 0))
		b.Notify(hint("pump-1", 1, 0))
		for i, d := range all {
			if i < 4 {
				topic, _, id, _ := d.published()
				if topic != jobs+"notify" || (id == 0) != (i == 2) {
					t.Errorf("%d: %s %d", i, topic, id)
				}
			}
			d.quiet()
		}

		e.set("pump-1", "n", state(1, 1))
		b.notifier.Notify(hintNS("pump-1", "n", 1, 1))
		for i, want := range map[int][]string{
			1: {"notify-namespace-n", "notify-next-namespace-n"}, 3: {"notify-namespace-n", "notify-next-namespace-n"}, 6: {"notify-namespace-n"},
		} {
			for _, suffix := range want {
				if topic, _, _, _ := all[i].published(); topic != jobs+suffix {
					t.Errorf("%d: %s, want %s", i, topic, suffix)
				}
			}
		}
		for _, d := range all {
			d.quiet()
			d.conn.Close()
		}
		synctest.Wait()
		if len(b.notifier.watches) != 0 {
			t.Errorf("left: %v", b.notifier.watches)
		}
	})
}

// The device that caused it sees its answer first, then notify, then notify-next,
// though the hint comes before the engine is done.
func TestOwnReplyComesFirst(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		other := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
		other.connect(connectOptions{id: "pump-1#2"})
		d.subscribe(1, jobs+"#")
		other.subscribe(1, jobs+"#")
		n := uint64(0)
		e.update = func(*jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error) {
			n++
			e.set("pump-1", "", state(n, n))
			b.Notify(hint("pump-1", n, n))
			<-time.After(time.Millisecond) // long enough for a worker to get there
			return &jobsvc.UpdateJobExecutionResult{Time: time.Now()}, nil
		}
		for range 3 {
			d.publish(jobs+"j/update", `{"status":"SUCCEEDED"}`, 1)
			d.puback(1)
			d.reply(jobs + "j/update/accepted")
			for _, x := range []*device{d, other} {
				if topic, _, _, _ := x.published(); topic != jobs+"notify" {
					t.Fatalf("got %s", topic)
				}
				if topic, _, _, _ := x.published(); topic != jobs+"notify-next" {
					t.Fatalf("got %s", topic)
				}
				x.quiet()
			}
		}
	})
}

// A request that begins while a worker reads: what it committed is in the state
// read, and must not be published before its answer.
func TestReadDuringRequest(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		d.subscribe(1, jobs+"notify")
		reading, read, commit := make(chan struct{}), make(chan struct{}), make(chan struct{})
		e.mu.Lock()
		e.readQueue = func() {
			reading <- struct{}{}
			<-read
		}
		e.mu.Unlock()
		e.update = func(*jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error) {
			e.set("pump-1", "", state(2, 0))
			<-commit
			return &jobsvc.UpdateJobExecutionResult{Time: time.Now()}, nil
		}
		e.set("pump-1", "", state(1, 0))
		b.Notify(hint("pump-1", 1, 0))
		<-reading
		d.publish(jobs+"j/update", `{"status":"SUCCEEDED"}`, 0)
		synctest.Wait()
		read <- struct{}{} // gives the state of the commit not yet answered
		d.quiet()
		close(commit)
		d.reply(jobs + "j/update/accepted")
		<-reading
		read <- struct{}{}
		if topic, _, _, _ := d.published(); topic != jobs+"notify" {
			t.Errorf("got %s", topic)
		}
	})
}

// Requests in close succession must not put notifications off for ever, nor may
// one come before the answer that caused it.
func TestNotifyAmongManyRequests(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		d.subscribeQoS(1, 0, jobs+"notify")
		n := uint64(0)
		e.update = func(*jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error) {
			n++
			e.set("pump-1", "", state(n, n))
			b.Notify(hint("pump-1", n, n))
			return &jobsvc.UpdateJobExecutionResult{Time: time.Now()}, nil
		}
		const requests = 200
		var all []byte
		for range requests {
			all = append(all, frame(0x30, mstr(jobs+"j/update"), d.props(nil), []byte(`{"status":"SUCCEEDED"}`))...)
		}
		go d.write(all)
		replies, last := 0, 0
		for replies < requests || last < requests {
			topic, payload, _, _ := d.published()
			if topic != jobs+"notify" {
				replies++
				continue
			}
			var job int
			if _, err := fmt.Sscanf(payload[strings.Index(payload, `"jobId":"j`):], `"jobId":"j%d"`, &job); err != nil {
				t.Fatal(payload, err)
			}
			if job <= last || job > replies {
				t.Fatalf("state %d published after %d replies and state %d", job, replies, last)
			}
			last = job
		}
		d.quiet()
	})
}

func TestNotifyNextThatCannotBeSigned(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		docs := &fakeDocuments{err: errors.New("no credentials")}
		b := startBroker(t, e, func(o *Options) { o.Documents = docs })
		d := pump(t, b, e, version)
		d.subscribe(1, jobs+"notify", jobs+"notify-next")
		e.set("pump-1", "", state(1, 1))
		b.Notify(hint("pump-1", 1, 1))
		if topic, _, _, _ := d.published(); topic != jobs+"notify" {
			t.Errorf("got %s", topic)
		}
		d.quiet()
		<-time.After(6*time.Second + time.Millisecond) // tried at 1 s, 3 s; next at 7 s
		docs.set(nil, `{}`)
		d.quiet()
		<-time.After(time.Second)
		topic, payload, _, _ := d.published()
		if topic != jobs+"notify-next" {
			t.Errorf("got %s", topic)
		}
		contains(t, payload, `"jobId":"j1"`, `"jobDocument":{}`)

		// The next head begins anew.
		docs.set(errors.New("no credentials"), "")
		e.set("pump-1", "", state(2, 2))
		b.Notify(hint("pump-1", 2, 2))
		d.published()
		d.quiet()
		docs.set(nil, `{}`)
		<-time.After(time.Second + time.Millisecond)
		if topic, _, _, _ := d.published(); topic != jobs+"notify-next" {
			t.Errorf("got %s", topic)
		}
		// One too large is given up.
		docs.set(nil, `"`+strings.Repeat("x", jobsvc.MaxMessageBytes)+`"`)
		e.set("pump-1", "", state(3, 3))
		b.Notify(hint("pump-1", 3, 3))
		d.published()
		<-time.After(time.Hour / 100)
		d.quiet()
	})
}

// A client acknowledges late: its window holds, the newest of each topic waits, and
// the identifiers of both sides do not meet. mochi keeps them in one table: SUBSCRIBE
// with an identifier the server uses fails there, and a PUBLISH erases the server's.
func TestReceiveMaximumAndIdentifiers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), 5)
		d.connect(connectOptions{id: "pump-1", properties: []byte{0x21, 0, 1}})
		d.subscribe(1, jobs+"notify", jobs+"notify-next")
		for n := range uint64(5) {
			e.set("pump-1", "", state(n+1, n+1))
			b.Notify(hint("pump-1", n+1, n+1))
			synctest.Wait()
		}
		topic, payload, id, _ := d.published()
		contains(t, topic+payload, jobs+"notify{", `"j1"`)

		d.quiet()
		if got := d.subscribe(id, jobs+"get/accepted"); got[0] != 1 {
			t.Errorf("SUBACK %x for an identifier the server uses", got)
		}
		d.publish(jobs+"get", "", id)
		d.puback(id)
		d.reply(jobs + "get/accepted")
		d.quiet()

		ack := func() { d.write([]byte{0x40, 2, byte(id >> 8), byte(id)}) }
		ack()
		topic, payload, id, _ = d.published()
		contains(t, topic+payload, jobs+"notify{", `"j5"`)
		d.quiet()
		ack()
		topic, payload, id, _ = d.published()
		contains(t, topic+payload, jobs+"notify-next{", `"j5"`)
		ack()
		ack() // twice does no harm
		d.quiet()
	})
}

// A subscriber that does not read must not keep others waiting, nor the engine.
func TestSlowConsumer(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, func(o *Options) { o.Limits.WriteBuffer = 10000 })
		id := e.certificate("c1", "pump-1")
		stuck := newDevice(t, dial(t, b, id), version)
		stuck.connect(connectOptions{id: "pump-1#stuck"})
		stuck.subscribeQoS(1, 0, jobs+"notify")
		d := pump(t, b, e, version)
		d.subscribe(1, jobs+"notify")
		for range cap(stuck.packets) { // its reader blocks now
			stuck.packets <- packet{}
		}
		start := time.Now()
		for n := range uint64(100) {
			e.set("pump-1", "", state(n+1, 0))
			b.Notify(hint("pump-1", n+1, 0))
			_, _, id, _ := d.published()
			d.write([]byte{0x40, 2, byte(id >> 8), byte(id)})
		}
		synctest.Wait()
		if got := time.Since(start); got != 0 {
			t.Errorf("took %v", got)
		}
		if got := b.Sessions().Connected("pump-1"); len(got) != 1 {
			t.Errorf("connected: %q, want the stuck one gone", got)
		}
	})
}
