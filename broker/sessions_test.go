package broker

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func newPipe(t *testing.T) (theirs, ours net.Conn) {
	theirs, ours = net.Pipe()
	t.Cleanup(func() { theirs.Close(); ours.Close() })
	return theirs, ours
}

func TestConnectRefused(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		known := e.certificate("c1", "pump-1")
		e.certificate("c2", "pump-2")
		inactive := e.certificate("c3", "pump-3")
		e.change("c3", func(b *jobsvc.Binding) { b.Status = jobsvc.CertificateInactive })
		expired := e.certificate("c4", "pump-4")
		e.change("c4", func(b *jobsvc.Binding) { b.NotAfter = time.Now().Add(-time.Second) })
		bare := e.certificate("c5")
		tests := []struct {
			name   string
			id     Identity
			o      connectOptions
			v3, v5 byte
		}{
			{"unknown certificate", Identity{CertificateID: "beef"}, connectOptions{id: "pump-1"}, 5, 0x87},
			{"no certificate", Identity{}, connectOptions{id: "pump-1"}, 5, 0x87},
			{"inactive", inactive, connectOptions{id: "pump-3"}, 5, 0x87},
			{"expired", expired, connectOptions{id: "pump-4"}, 5, 0x87},
			{"no thing", bare, connectOptions{id: "x"}, 5, 0x87},
			{"foreign thing", known, connectOptions{id: "pump-2"}, 5, 0x87},
			{"insecure, no such thing", Identity{Insecure: true}, connectOptions{id: "nothing"}, 5, 0x87},
			{"long ID", known, connectOptions{id: strings.Repeat("x", 129)}, 2, 0x85},
			{"reserved ID", known, connectOptions{id: "$x"}, 2, 0x85},
			{"will on a request", known, connectOptions{id: "pump-1", willTopic: jobs + "j/update", will: "{}"}, 5, 0x87},
			{"will on a notification", known, connectOptions{id: "pump-1", willTopic: "$aws/things/pump-2/jobs/notify-next", will: "{}"}, 5, 0x87},
			{"will elsewhere", known, connectOptions{id: "pump-1", willTopic: "plant/x", will: "{}"}, 5, 0x87},
		}
		for _, tt := range tests {
			d := newDevice(t, dial(t, b, tt.id), version)
			want := tt.v3
			if version == 5 {
				want = tt.v5
			}
			if _, code := d.connect(tt.o); code != want {
				t.Errorf("%s: CONNACK %#x, want %#x", tt.name, code, want)
			}
			d.closed()
		}
		// SDKs send metrics as a user name; it is no credential.
		d := newDevice(t, dial(t, b, known), version)
		if _, code := d.connect(connectOptions{id: "pump-1", username: "?SDK=PythonV2"}); code != 0 {
			t.Errorf("with a user name: CONNACK %#x", code)
		}
	})
}

func TestConnectForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		id := e.certificate("c1", "pump-1")
		d := newDevice(t, dial(t, b, id), 4)
		if _, code := d.connect(connectOptions{id: "", keep: true}); code != 2 {
			t.Errorf("no client ID, 3.1.1, session kept: CONNACK %#x", code)
		}
		d = newDevice(t, dial(t, b, id), 4)
		if _, code := d.connect(connectOptions{id: ""}); code != 0 {
			t.Errorf("no client ID, 3.1.1: CONNACK %#x", code)
		}
		d = newDevice(t, dial(t, b, id), 4)
		if _, code := d.connect(connectOptions{id: "pump-1", protocol: 6}); code != 1 {
			t.Errorf("version 6: CONNACK %#x", code)
		}
		d = newDevice(t, dial(t, b, id), 4)
		d.write(frame(0x10, mstr("MQIsdp"), []byte{3, 2, 0, 60}, mstr("pump-1")))
		if p := d.next(); p.header != 0x20 || p.body[1] != 1 {
			t.Errorf("version 3: %x %x", p.header, p.body)
		}
		d = newDevice(t, dial(t, b, id), 4)
		d.write(frame(0x10, mstr("MQTT"), []byte{4, 2 | 4 | 2<<3, 0, 60}, mstr("pump-1"), mstr("x"), mstr("y")))
		d.closed() // a will of QoS 2: 3.1.1 has no code
		d = newDevice(t, dial(t, b, id), 5)
		go d.write(frame(0x10, make([]byte, 131073)))
		d.closed()
	})
}

// What mochi leaves out of CONNACK.
func TestConnackProperties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		for _, tt := range []struct{ asked, granted uint16 }{{0, 1200}, {5, 30}, {60, 60}, {65535, 1200}} {
			d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), 5)
			d.write(frame(0x10, mstr("MQTT"), []byte{5, 2, byte(tt.asked >> 8), byte(tt.asked)}, []byte{5, 0x11, 0, 1, 0, 0}, mstr("pump-1")))
			props := string(d.next().body[2:])
			for name, want := range map[string]string{
				"session expiry":   "\x11\x00\x00\x0e\x10",
				"receive maximum":  "\x21\x00\x64",
				"maximum QoS":      "\x24\x01",
				"packet size":      "\x27\x00\x02\x48\x00",
				"subscription IDs": "\x29\x00",
				"keep alive":       fmt.Sprintf("\x13%c%c", byte(tt.granted>>8), byte(tt.granted)),
			} {
				if name == "keep alive" {
					want = string([]byte{0x13, byte(tt.granted >> 8), byte(tt.granted)})
				}
				if !strings.Contains(props, want) {
					t.Errorf("keep alive %d: no %s in %x", tt.asked, name, props)
				}
			}
		}
	})
}

func TestKeepAlive(t *testing.T) {
	// A 3.1.1 client cannot be told, so the longer of its own and ours counts.
	for _, tt := range []struct {
		version    byte
		asked      uint16
		idleSecond int
	}{{4, 0, 1800}, {4, 10, 45}, {4, 60, 90}, {4, 3000, 4500}, {4, 65535, 65535}, {5, 10, 45}, {5, 3000, 1800}} {
		synctest.Test(t, func(t *testing.T) {
			e := &fakeEngine{}
			b := startBroker(t, e, nil)
			d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), tt.version)
			d.connect(connectOptions{id: "pump-1", keepAlive: tt.asked})
			start := time.Now()
			_, open := <-d.packets
			if got := int(time.Since(start).Seconds()); open || got != tt.idleSecond {
				t.Errorf("version %d, keep alive %d: cut after %d s, want %d", tt.version, tt.asked, got, tt.idleSecond)
			}
		})
	}
}

// mochi has no deadline before CONNECT, and its Close waits for such a connection.
func TestConnectDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBroker(t, &fakeEngine{}, nil)
		d := newDevice(t, dial(t, b, Identity{Insecure: true}), 4)
		start := time.Now()
		for _, b := range []byte{0x10, 100, 0, 4, 'M'} { // a byte now and then does not help
			d.write([]byte{b})
			<-time.After(time.Second)
		}
		for range d.packets {
		}
		if got := time.Since(start); got > 10*time.Second {
			t.Errorf("cut after %v", got)
		}
	})
}

func TestTakeover(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		first := pump(t, b, e, version)
		first.subscribe(1, jobs+"notify")
		second := newDevice(t, dial(t, b, e.certificate("rotated", "pump-1")), version) // another certificate, same thing
		if _, code := second.connect(connectOptions{id: "pump-1"}); code != 0 {
			t.Fatalf("CONNACK %#x", code)
		}
		if version == 5 {
			first.disconnected(0x8E)
		} else {
			first.closed()
		}
		second.publish(jobs+"get", "", 1)
		second.puback(1)
		second.reply(jobs + "get/accepted")
		if cl, ok := b.mqtt.Clients.Get("pump-1"); !ok || cl.Closed() {
			t.Error("the newcomer's session is gone")
		}
		if got := b.Sessions().Connected("pump-1"); !slices.Equal(got, []string{"pump-1"}) {
			t.Errorf("connected: %q", got)
		}
	})
}

// Many at once with one ID: one is left, and everything of the others is gone.
func TestTakeoverRace(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		id := e.certificate("c1", "pump-1")
		var open []*device
		for range 20 {
			d := newDevice(t, dial(t, b, id), version)
			open = append(open, d)
			go d.write(frame(0x10, mstr("MQTT"), []byte{version, 2, 0, 60}, d.props(nil), mstr("pump-1")))
		}
		synctest.Wait()
		left := 0
		for _, d := range open {
			alive := true
			for alive && len(d.packets) > 0 {
				<-d.packets
			}
			select {
			case _, alive = <-d.packets:
			default:
			}
			if alive {
				left++
				d.publish(jobs+"get", "", 0)
				d.reply(jobs + "get/accepted")
			}
		}
		if left != 1 || b.mqtt.Clients.Len() != 1 {
			t.Errorf("%d connections are left, mochi knows %d", left, b.mqtt.Clients.Len())
		}
	})
}

// A client ID belongs to the things of its session: rule 4.
func TestClientIDOwnership(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		mine, other := e.certificate("c1", "pump-1"), e.certificate("c2", "pump-2")
		expiry := []byte{0x11, 0, 0, 0, 60}
		d := newDevice(t, dial(t, b, mine), version)
		d.connect(connectOptions{id: "app", keep: true, properties: expiry})
		refused := func() {
			t.Helper()
			s := newDevice(t, dial(t, b, other), version)
			if _, code := s.connect(connectOptions{id: "app"}); code == 0 {
				t.Fatal("a stranger took the client ID")
			}
		}
		refused()
		d.quiet() // the old connection stays
		d.conn.Close()
		synctest.Wait()
		refused() // the stored session too

		d = newDevice(t, dial(t, b, mine), version)
		if present, code := d.connect(connectOptions{id: "app"}); code != 0 || present {
			t.Fatalf("clean: present %v, CONNACK %#x", present, code)
		}
		d.conn.Close()
		synctest.Wait()
		s := newDevice(t, dial(t, b, other), version)
		if _, code := s.connect(connectOptions{id: "app"}); code != 0 {
			t.Errorf("the ID is free: CONNACK %#x", code)
		}
	})
}

func TestSessionResume(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		id := e.certificate("c1", "pump-1")
		o := connectOptions{id: "pump-1", keep: true, properties: []byte{0x11, 0, 0, 0, 100}}
		d := newDevice(t, dial(t, b, id), version)
		if present, _ := d.connect(o); present {
			t.Fatal("session present at first")
		}
		d.subscribe(1, jobs+"notify")
		d.conn.Close()
		synctest.Wait()
		e.set("pump-1", "", jobsvc.ThingQueue{SetVersion: 1})
		b.Notify(hint("pump-1", 1, 0)) // missed

		d = newDevice(t, dial(t, b, id), version)
		if present, _ := d.connect(o); !present {
			t.Fatal("the session is gone")
		}
		if topic, _, _, _ := d.published(); topic != jobs+"notify" {
			t.Errorf("got %s", topic)
		}
		d.quiet()
		e.set("pump-1", "", jobsvc.ThingQueue{SetVersion: 2})
		b.Notify(hint("pump-1", 2, 0))
		if topic, _, _, _ := d.published(); topic != jobs+"notify" {
			t.Errorf("got %s", topic)
		}

		// The other protocol version starts clean.
		d.conn.Close()
		synctest.Wait()
		d = newDevice(t, dial(t, b, id), 9-version)
		if present, code := d.connect(o); present || code != 0 {
			t.Errorf("resumed by the other version: present %v, CONNACK %#x", present, code)
		}
		e.set("pump-1", "", jobsvc.ThingQueue{SetVersion: 3})
		b.Notify(hint("pump-1", 3, 0))
		d.quiet()

		// A session expires with its subscriptions: mochi leaves those in its tree.
		d.subscribe(1, jobs+"notify", jobs+"get/accepted")
		d.conn.Close()
		<-time.After(time.Hour + time.Second)
		if n := b.mqtt.Clients.Len(); n != 0 {
			t.Errorf("%d sessions after expiry", n)
		}
		if subs := b.mqtt.Topics.Subscribers(jobs + "notify").Subscriptions; len(subs) != 0 {
			t.Errorf("subscriptions after expiry: %v", subs)
		}
		synctest.Wait()
		if s := e.session("pump-1"); len(b.notifier.watches) != 0 || s != nil {
			t.Errorf("left: %v, %+v", b.notifier.watches, s)
		}

		// It ends with its thing.
		d = newDevice(t, dial(t, b, id), version)
		d.connect(o)
		d.subscribe(1, jobs+"notify")
		d.conn.Close()
		synctest.Wait()
		b.Sessions().ThingDeleted("pump-1")
		e.recreate("pump-1")
		d = newDevice(t, dial(t, b, id), version)
		if present, _ := d.connect(o); present {
			t.Error("the session of a deleted thing was resumed")
		}
	})
}

// A packet above mochi's limit: it closes the connection without a word.
func TestHugePacket(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		d := pump(t, startBroker(t, e, nil), e, version)
		d.write([]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F})
		d.closed()
	})
}

func TestTakeoversWarn(t *testing.T) {
	var a takeovers
	now := time.Now()
	warned := 0
	for i := range 20 {
		var next takeovers
		if next.follow(a, now.Add(time.Duration(i)*time.Second)) {
			warned++
		}
		a = next
	}
	if warned != 1 || a.follow(a, now.Add(2*time.Minute)) {
		t.Errorf("warned %d times; %+v", warned, a)
	}
}

func TestCertificateChanged(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1", "pump-2")), version)
		d.connect(connectOptions{id: "gateway"})
		get := func(thing string) {
			t.Helper()
			d.publish("$aws/things/"+thing+"/jobs/get", "", 0)
		}
		get("pump-2")
		d.reply("$aws/things/pump-2/jobs/get/accepted")
		d.subscribe(1, "$aws/things/pump-2/jobs/notify")
		e.change("c1", func(b *jobsvc.Binding) { b.Things = []string{"pump-1"} })
		b.Sessions().CertificateChanged("c1")
		synctest.Wait()
		get("pump-2")
		e.set("pump-2", "", jobsvc.ThingQueue{SetVersion: 1})
		b.Notify(hint("pump-2", 1, 0)) // the subscription is there, the right is not
		d.quiet()
		get("pump-1")
		d.reply("$aws/things/pump-1/jobs/get/accepted")
		if got := b.Sessions().Connected("pump-2"); len(got) != 0 {
			t.Errorf("pump-2 still has %q", got)
		}
		e.change("c1", func(b *jobsvc.Binding) { b.Status = jobsvc.CertificateInactive })
		b.Sessions().CertificateChanged("c1")
		if version == 5 {
			d.disconnected(0x87)
		} else {
			d.closed()
		}
	})
}

// A certificate that changes while its binding is read must not slip through.
func TestCertificateChangedDuringConnect(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		id := e.certificate("c1", "pump-1")
		var once sync.Once
		e.readBinding = func() {
			once.Do(func() {
				e.change("c1", func(b *jobsvc.Binding) { b.Status = jobsvc.CertificateRevoked })
				b.Sessions().CertificateChanged("c1")
			})
		}
		d := newDevice(t, dial(t, b, id), version)
		if _, code := d.connect(connectOptions{id: "pump-1"}); code == 0 {
			t.Error("let in with a revoked certificate")
		}
	})
}

func TestThingDeleted(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, version)
		e.change("c1", func(b *jobsvc.Binding) { b.Things = nil })
		b.Sessions().ThingDeleted("pump-1")
		if version == 5 {
			d.disconnected(0x87)
		} else {
			d.closed()
		}
		d = newDevice(t, dial(t, b, Identity{CertificateID: "c1"}), version)
		if _, code := d.connect(connectOptions{id: "pump-1"}); code == 0 {
			t.Error("let in without a thing")
		}
	})
}

func TestKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, 5)
		if !b.Sessions().Kick("pump-1", "because") || b.Sessions().Kick("pump-2", "because") {
			t.Error("Kick mistakes who is there")
		}
		p := d.next()
		if p.header != 0xE0 || p.body[0] != 0x98 || !strings.HasSuffix(string(p.body), "because") {
			t.Errorf("got %x %q", p.header, p.body)
		}
		d.closed()
	})
}

// mochi panics when SUBSCRIBE ends before the options of a filter; that must cost
// one connection, not the process.
func TestMalformedPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := pump(t, b, e, 5)
		d.write(frame(0x82, []byte{0, 1, 0}, mstr(jobs+"notify")))
		d.closed()
		pump(t, b, e, 5)
		if n := b.mqtt.Clients.Len(); n != 1 {
			t.Errorf("mochi knows %d clients", n)
		}
	})
}

// TestAccessKey: who signed with an access key is an operator, nobody's device, and goes
// when the key is revoked. Another key does not get its client ID.
func TestAccessKey(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{keys: []string{"AKIA1", "AKIA2"}, things: []string{"pump-1"}}
		b := startBroker(t, e, nil)
		first, second := Identity{AccessKeyID: "AKIA1"}, Identity{AccessKeyID: "AKIA2"}
		for _, id := range []string{"pump-1", "pump-1#2"} {
			if _, code := newDevice(t, dial(t, b, first), version).connect(connectOptions{id: id}); code == 0 {
				t.Errorf("it is taken for %s", id)
			}
		}
		d := newDevice(t, dial(t, b, first), version)
		if _, code := d.connect(connectOptions{id: "console"}); code != 0 {
			t.Fatalf("CONNACK %#x", code)
		}
		d.subscribe(1, "$aws/events/job/#")
		if _, code := newDevice(t, dial(t, b, second), version).connect(connectOptions{id: "console"}); code == 0 {
			t.Error("another key took the client ID")
		}
		d.quiet()
		e.mu.Lock()
		e.keys = []string{"AKIA2"}
		e.mu.Unlock()
		b.Sessions().AccessKeyDeleted("AKIA1")
		if version == 5 {
			if p := d.next(); p.header != 0xE0 || p.body[0] != 0x87 || !strings.HasSuffix(string(p.body), "revoked") {
				t.Errorf("got %x %q", p.header, p.body)
			}
		}
		d.closed()
		if _, code := newDevice(t, dial(t, b, first), version).connect(connectOptions{id: "console"}); code == 0 {
			t.Error("a revoked key connects")
		}
	})
}
