package broker

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSuggest(t *testing.T) {
	for _, tt := range []struct{ topic, want string }{
		{"$aws/things/pump-1/job/start-next", jobs + "start-next?"},
		{"$aws/things/pump-1/jobs/startnext", jobs + "start-next?"},
		{"$aws/thing/pump-1/jobs/get", jobs + "get?"},
		{"aws/things/pump-1/jobs/get", jobs + "get?"},
		{"/$aws/things/pump-1/jobs/get", jobs + "get?"},
		{"$aws/things/pump-9/jobs/fw-1/update", jobs + "fw-1/update?"},
		{"$aws/things/Pump-1/Jobs/fw-1/Update", jobs + "fw-1/update?"},
		{"$aws/things/pump-1/jobs/next/get", jobs + "$next/get?"},
		{"$aws/things/pump-1/jobs/fw-1/updat", jobs + "fw-1/update?"},
		{"$aws/things/pump-1/jobs/notify_next", jobs + "notify-next?"},
		{"$aws/things/pump-1/jobs/fw-1/update/acepted", jobs + "fw-1/update/accepted?"},
		{"$aws/things/pump-2/jobs/get", "$aws/things/pump-2/jobs/get?"}, // that of the second thing
		{"$aws/things/pump-1/jobs/a/b/c/d", "begin with " + jobs},
		{"$aws/things/pump-1/shadow/update", "begin with " + jobs},
		{"plant/x", ""},
		{"", ""},
	} {
		if got := suggest(tt.topic, []string{"pump-1", "pump-2"}); !strings.HasSuffix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%q: %q, want %q", tt.topic, got, tt.want)
		}
	}
	if got := suggest("$aws/things/pump-1/job/get", nil); got != "" {
		t.Errorf("for nobody: %q", got)
	}
}

// What clients subscribe to by design is no slip.
func TestMistyped(t *testing.T) {
	for filter, want := range map[string]bool{
		jobs + "#": false, jobs + "notify": false, jobs + "notify-next": false, jobs + "get/+": false, jobs + "start-next/accepted": false, jobs + "+/update/rejected": false,
		jobs + "$next/get/accepted": false, jobs + "fw-1/update/+": false, jobs + "notify-namespace-gg": false, jobs + "fw-1/namespace-gg/get/accepted": false,
		jobs + "notify-next/#": false, jobs + "+": false, jobs + "get/#": false, "$aws/things/pump-1/shadow/#": false, "$aws/things/pump-1/#": false, jobs + "start-next": false,
		jobs + "notifi": true, jobs + "notify_next": true, "$aws/things/pump-1/job/notify": true, jobs + "start-next/acepted": true,
	} {
		if got := mistyped(filter, []string{"pump-1"}); got != want {
			t.Errorf("%s: %v (%s)", filter, got, suggest(filter, []string{"pump-1"}))
		}
	}
}

// The list has a bound, and what repeats itself does not push out the rest.
func TestDenialsRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		b := &Broker{denials: &denials{log: slog.New(slog.DiscardHandler), metrics: m, now: time.Now}}
		note := func(client, topic string) {
			time.Sleep(time.Second)
			b.denials.note("publish", denial{client: client, topic: topic, reason: "because"})
		}
		note("first", "x")
		for i := range maxDenials - 1 {
			note(fmt.Sprint(i), "x")
		}
		note("first", "x")
		list := b.Denials()
		if len(list) != maxDenials || list[0].ClientID != "first" || list[0].Count != 2 || !list[0].Last.After(list[0].First) {
			t.Fatalf("%d, %+v", len(list), list[0])
		}
		note("new", "x")
		if list = b.Denials(); len(list) != maxDenials || list[0].ClientID != "new" || len(b.denials.ring.by) != maxDenials {
			t.Errorf("%d, %+v", len(list), list[0])
		}
	})
}

// Who, what, why and what may have been meant, on the wire and in the list.
func TestDenialIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		d.write(frame(0x82, []byte{0, 1}, d.props(nil), mstr("$aws/things/pump-1/job/notify-next"), []byte{1}, mstr("$aws/thing/pump-1/jobs/notify-next"), []byte{1}))
		suback := string(d.next().body)
		d.publish("$aws/things/pump-2/jobs/start-next", "", 0)
		d.publish("$aws/things/pump-2/jobs/start-next", "", 2)
		if version == 5 {
			contains(t, suback, "did you mean "+jobs+"notify-next?")
			contains(t, string(d.next().body), "not a jobs topic of the thing of this connection, pump-1; did you mean "+jobs+"start-next?")
		} else {
			d.closed()
		}
		list := b.Denials()
		n := list[0]
		if len(list) != 3 || n.What != "publish" || n.ClientID != "pump-1" || n.CertificateID != "c1" || n.Count != 2 || len(n.Things) != 1 ||
			n.Topic != "$aws/things/pump-2/jobs/start-next" || n.Suggestion != "did you mean "+jobs+"start-next?" || n.Reason == "" {
			t.Errorf("%+v", list)
		}
		// What is below its thing is granted, and silent.
		if s, g := list[1], list[2]; s.What != "subscribe" || s.Topic != "$aws/thing/pump-1/jobs/notify-next" || g.What != "topic" || g.Topic != "$aws/things/pump-1/job/notify-next" {
			t.Errorf("%+v %+v", s, g)
		}
	})
}

// A client that wants no reasons gets none.
func TestNoProblemInformation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), 5)
		d.connect(connectOptions{id: "pump-1", properties: []byte{0x17, 0}})
		for i, topic := range []string{"plant/x", "$SYS/x"} {
			d.publish(topic, "", uint16(i+1))
			if p := d.next(); p.header != 0x40 || p.body[2] != codeNotAuthorized || len(p.body) > 4 {
				t.Errorf("%s: got %x %q", topic, p.header, p.body)
			}
		}
	})
}
