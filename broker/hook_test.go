package broker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/thingjobs/thingjobs/jobsvc/engine"
)

func hintNS(thing, ns string, set, head uint64) []engine.Hint {
	return []engine.Hint{{ThingName: thing, NamespaceID: ns, SetVersion: set, HeadVersion: head}}
}

func TestSubscribe(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{things: []string{"pump-2"}}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		tests := []struct {
			filter string
			code   byte // of version 5; below 0x80 granted
		}{
			{jobs + "notify", 1}, // asked for 2: never above 1
			{jobs + "#", 1},
			{"$aws/things/pump-1/shadow/+/#", 1}, // agents do it by habit
			{"$aws/things/pump-2/jobs/notify", 0x87},
			{"$aws/things/pump-17/jobs/notify", 0x87},
			{"$aws/things/+/jobs/notify", 0x87},
			{"$aws/things/#", 0x87},
			{"$aws/events/#", 0x87},
			{"$SYS/#", 0x87},
			{"#", 0x87},
			{"+/things/pump-1/jobs/notify", 0x87},
			{"plant/x", 0x87},
			// mochi shows the hook the raw string, and lets #, shared, match topics with $.
			{"$share/g/$aws/things/pump-1/jobs/notify", 0x87},
			{"$share/g/#", 0x87},
			{"$SHARE/g/$aws/things/pump-2/jobs/notify", 0x87},
			{jobs + "#/x", 0x8F},
			{jobs + "not+ify", 0x8F},
			{jobs + strings.Repeat("x", 256), 0x8F},
			{jobs + "a/b/c/d/e", 0x8F},
			{"", 0x8F},
		}
		for i, tt := range tests {
			want := tt.code
			if version < 5 && want >= 0x80 {
				want = 0x80
			}
			if got := d.subscribeQoS(uint16(i+1), 2, tt.filter); len(got) != 1 || got[0] != want {
				t.Errorf("%q: SUBACK %x, want %x", tt.filter, got, want)
			}
		}
		if got := d.subscribeQoS(100, 0, jobs+"get/accepted", "nope", jobs+"get/rejected"); string(got) != string([]byte{0, map[bool]byte{true: 0x80, false: 0x87}[version < 5], 0}) {
			t.Errorf("three filters: SUBACK %x", got)
		}
	})
}

func TestSubscribeQuotas(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		refused := byte(0x97)
		if version < 5 {
			refused = 0x80
		}
		var filters []string
		for i := range 33 {
			filters = append(filters, fmt.Sprintf("%sj%d/get/accepted", jobs, i))
		}
		for i, code := range d.subscribe(1, filters...) {
			if want := map[bool]byte{true: 1, false: refused}[i < 32]; code != want {
				t.Errorf("filter %d of 33: %x", i, code)
			}
		}
		for i := range 20 {
			got := d.subscribe(2, fmt.Sprintf("%sk%d/get/accepted", jobs, i))[0]
			if want := map[bool]byte{true: 1, false: refused}[i < 18]; got != want {
				t.Errorf("subscription %d: %x", 32+i, got)
			}
		}
		if got := d.subscribe(3, filters[0]); got[0] != 1 {
			t.Errorf("one that exists: %x", got)
		}
	})
}

// mochi neither announces nor enforces that it has none.
func TestSubscriptionIdentifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		d := pump(t, startBroker(t, e, nil), e, 5)
		d.write(frame(0x82, []byte{0, 1, 2, 0x0B, 1}, mstr(jobs+"notify"), []byte{1}))
		d.disconnected(0xA1)
	})
}

// mochi resolves aliases behind the check of rights: the second use has no topic.
func TestTopicAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		d := pump(t, startBroker(t, e, nil), e, 5)
		d.publish(jobs+"get", "", 1, 0x23, 0, 1)
		d.disconnected(0x94)
	})
}

// A second line behind CONNECT: mochi publishes wills past every check.
func TestWillIsCheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, 4)
		cl, _ := b.mqtt.Clients.Get("pump-1")
		cl.Properties.Will.TopicName, cl.Properties.Will.Payload, cl.Properties.Will.Flag = jobs+"notify-next", []byte("forged"), 1
		cl.Properties.Will.Retain = true // so that mochi would still have it
		d.write(frame(0x10, mstr("MQTT"), []byte{4, 2, 0, 0}, mstr("pump-1")))
		d.closed()
		if _, ok := b.mqtt.Topics.Retained.Get(jobs + "notify-next"); ok {
			t.Error("the will was published")
		}
	})
}

// The send quota of mochi must be off, or one client can lock up the broker; and its
// table of unacknowledged messages must stay empty, or identifiers collide.
func TestMochiHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		o := connectOptions{id: "pump-1", keep: true, properties: []byte{0x21, 0, 10, 0x11, 0, 0, 0, 60}}
		for range 2 { // the second inherits
			d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), 5)
			if present, _ := d.connect(o); present {
				d.next() // it was not acknowledged
			}
			d.subscribe(1, jobs+"notify")
			e.set("pump-1", "", state(1, 1))
			b.Notify(hint("pump-1", 1, 1))
			d.publish(jobs+"get", "", 1)
			synctest.Wait()
			cl, _ := b.mqtt.Clients.Get("pump-1")
			if n := cl.State.Inflight.Len(); n != 0 {
				t.Errorf("%d messages in mochi's table", n)
			}
			if n := cl.Properties.Props.ReceiveMaximum; n != 0 {
				t.Errorf("mochi's send quota is %d", n)
			}
			d.conn.Close()
			synctest.Wait()
		}
	})
}

// A request with RETAIN is a request; nothing is kept, and no expiry is added to
// what is delivered.
func TestRetainIsIgnored(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		d.write(frame(0x33, mstr(jobs+"get"), []byte{0, 1}, d.props(nil), []byte("{}")))
		d.puback(1)
		_, _, _, props := d.published()
		if len(props) != 0 {
			t.Errorf("properties %x", props)
		}
		if n := b.mqtt.Topics.Retained.Len(); n != 0 {
			t.Errorf("%d retained", n)
		}
		d.subscribe(2, jobs+"#")
		d.quiet()
	})
}

// The hook says what it provides by a table; every method that mochi is to call must be
// in it. Those of connecting and disconnecting are for attach, and must not.
func TestHookProvides(t *testing.T) {
	h := &hook{}
	n := 0
	for b := range 256 {
		if h.Provides(byte(b)) {
			n++
		}
	}
	if n != 7 {
		t.Errorf("%d events, but the hook has 7 methods that mochi calls", n)
	}
}
