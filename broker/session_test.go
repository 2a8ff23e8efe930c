package broker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// sessionLog is what a fakeEngine stores of sessions.
type sessionLog struct {
	sync.Mutex
	stored     map[string]*jobsvc.Session
	recreated  map[string]int // how often a thing was deleted and made again
	writes     int
	fail       bool         // nothing is stored any more
	onVersions func() error // called after versions were read
}

func (e *fakeEngine) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (e *fakeEngine) ThingVersions(_ context.Context, things []string) ([]jobsvc.ThingVersions, error) {
	versions := make([]jobsvc.ThingVersions, len(things))
	for i, name := range things {
		e.sessions.Lock()
		versions[i].ID = name + strings.Repeat("'", e.sessions.recreated[name])
		e.sessions.Unlock()
		e.mu.Lock()
		for k, q := range e.queues {
			if thing, ns, _ := strings.Cut(k, "/"); thing == name {
				versions[i].Queues = append(versions[i].Queues, jobsvc.QueueVersions{NamespaceID: ns, SetVersion: q.SetVersion, HeadVersion: q.HeadVersion})
			}
		}
		e.mu.Unlock()
	}
	e.sessions.Lock()
	hook := e.sessions.onVersions
	e.sessions.Unlock()
	if hook != nil {
		if err := hook(); err != nil {
			return nil, err
		}
	}
	return versions, nil
}

func (e *fakeEngine) Session(_ context.Context, id string) (*jobsvc.Session, error) {
	e.sessions.Lock()
	defer e.sessions.Unlock()
	return copySession(e.sessions.stored[id]), nil
}

func copySession(s *jobsvc.Session) *jobsvc.Session {
	if s == nil {
		return nil
	}
	b, err := json.Marshal(s)
	c := new(jobsvc.Session)
	if err = errors.Join(err, json.Unmarshal(b, c)); err != nil {
		panic(err)
	}
	return c
}

var errNotStored = errors.New("the store is gone")

func (l *sessionLog) write(id string, s *jobsvc.Session) error {
	l.Lock()
	defer l.Unlock()
	l.writes++
	if l.fail {
		return errNotStored
	}
	if l.stored == nil {
		l.stored = make(map[string]*jobsvc.Session)
	}
	if l.stored[id] = copySession(s); s == nil {
		delete(l.stored, id)
	}
	return nil
}

func (e *fakeEngine) SaveSession(_ context.Context, s *jobsvc.Session) error {
	return e.sessions.write(s.ClientID, s)
}

func (e *fakeEngine) DeleteSession(_ context.Context, id string) error {
	return e.sessions.write(id, nil)
}

func (e *fakeEngine) SweepSessions(_ context.Context, _ string, _ int, _, now time.Time, connected func(string) bool) (string, int, int, error) {
	e.sessions.Lock()
	defer e.sessions.Unlock()
	expired := 0
	for id, s := range e.sessions.stored {
		if s.DisconnectedAt.IsZero() && !connected(id) {
			s.DisconnectedAt = now
		}
		if s.Expired(now) {
			delete(e.sessions.stored, id)
			expired++
		}
	}
	return "", len(e.sessions.stored), expired, nil
}

// recreate deletes a thing and makes it again.
func (e *fakeEngine) recreate(thing string) {
	e.sessions.Lock()
	defer e.sessions.Unlock()
	if e.sessions.recreated == nil {
		e.sessions.recreated = make(map[string]int)
	}
	e.sessions.recreated[thing]++
}

// stop ends the broker as a shutdown does, or, with kill, as if the process was gone: what
// is stored then is what a kill leaves.
func (e *fakeEngine) stop(t *testing.T, b *Broker, kill bool) {
	t.Helper()
	e.sessions.Lock()
	e.sessions.fail = kill
	e.sessions.Unlock()
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.sessions.Lock()
	e.sessions.fail = false
	e.sessions.Unlock()
	time.Sleep(time.Millisecond)
}

func (e *fakeEngine) session(id string) *jobsvc.Session {
	s, _ := e.Session(context.Background(), id)
	return s
}

func (e *fakeEngine) sessionWrites() int {
	e.sessions.Lock()
	defer e.sessions.Unlock()
	return e.sessions.writes
}

// back connects pump-1 again and tells whether a session was present.
func back(t *testing.T, b *Broker, e *fakeEngine, version byte, o connectOptions) (*device, bool) {
	t.Helper()
	d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
	present, code := d.connect(o)
	if code != 0 {
		t.Fatalf("CONNACK %#x", code)
	}
	return d, present
}

// notified takes a notification of QoS 1 off the connection and acknowledges it if asked.
func (d *device) notified(suffix string, ack bool) (p packet, id uint16) {
	d.t.Helper()
	p = d.next()
	n := int(binary.BigEndian.Uint16(p.body))
	if p.header&^8 != 0x32 || string(p.body[2:2+n]) != jobs+suffix {
		d.t.Fatalf("got %x %q, want %s with QoS 1", p.header, p.body, suffix)
	}
	id = binary.BigEndian.Uint16(p.body[2+n:])
	if ack {
		d.write(appendPuback(nil, id))
	}
	return p, id
}

// TestSessionRestart: after a restart the session is present, its subscriptions are in
// force, and what the device missed it is told, once and the newest alone.
func TestSessionRestart(t *testing.T) {
	for _, kill := range []bool{false, true} {
		bubble(t, func(t *testing.T, version byte) {
			e := &fakeEngine{}
			e.set("pump-1", "", state(4, 4))
			b := startBroker(t, e, nil)
			d, present := back(t, b, e, version, session("pump-1"))
			if present {
				t.Fatal("session present at first")
			}
			d.subscribe(1, jobs+"notify", jobs+"notify-next", jobs+"get/accepted")
			d.quiet() // nothing on SUBSCRIBE
			e.stop(t, b, kill)
			for v := uint64(5); v <= 9; v++ {
				e.set("pump-1", "", state(v, v))
			}

			b = startBroker(t, e, nil)
			time.Sleep(10 * time.Minute)
			d, present = back(t, b, e, version, session("pump-1"))
			if !present {
				t.Fatal("no session after the restart")
			}
			d.notified("notify", true)
			d.notified("notify-next", true)
			d.quiet()
			if got := valueOf(t, b.metrics.sessionMessages.WithLabelValues("superseded")); got != 8 {
				t.Errorf("%v superseded", got)
			}
			if got := valueOf(t, b.metrics.sessionMessages.WithLabelValues("delivered")); got != 2 {
				t.Errorf("%v delivered", got)
			}
			e.set("pump-1", "", state(10, 9))
			b.Notify(hint("pump-1", 10, 9))
			d.notified("notify", true)
			d.quiet()
			d.conn.Close()
			synctest.Wait()
			e.stop(t, b, kill)

			// It has all there is: nothing is said again.
			b = startBroker(t, e, nil)
			if d, present = back(t, b, e, version, session("pump-1")); !present {
				t.Fatal("no session after the second restart")
			}
			d.quiet()
		})
	}
}

// TestSessionKillRepeats: after a kill of the broker a device may be told again what it
// had, as it is now, and nothing is missing.
func TestSessionKillRepeats(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d, _ := back(t, b, e, version, session("pump-1"))
		d.subscribe(1, jobs+"notify-next")
		e.set("pump-1", "", state(1, 1))
		b.Notify(hint("pump-1", 1, 1))
		d.notified("notify-next", true)
		synctest.Wait()
		e.stop(t, b, true)
		e.set("pump-1", "", state(2, 2))
		b = startBroker(t, e, nil)
		d, present := back(t, b, e, version, session("pump-1"))
		if !present {
			t.Fatal("no session")
		}
		d.notified("notify-next", true)
		d.quiet()
	})
}

// TestSessionRedelivery: what was not acknowledged comes again under its identifier, with
// DUP, if it is still so; else the newer takes its place.
func TestSessionRedelivery(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d, _ := back(t, b, e, version, session("pump-1"))
		d.subscribe(1, jobs+"notify", jobs+"notify-next")
		e.set("pump-1", "", state(1, 1))
		b.Notify(hint("pump-1", 1, 1))
		_, first := d.notified("notify", false)
		_, second := d.notified("notify-next", false)
		for range 2 { // without a restart, and with one
			d.conn.Close()
			synctest.Wait()
			var present bool
			if d, present = back(t, b, e, version, session("pump-1")); !present {
				t.Fatal("no session")
			}
			if p, id := d.notified("notify", false); p.header&8 == 0 || id != first {
				t.Errorf("header %x, identifier %x, want DUP and %x", p.header, id, first)
			}
			if p, id := d.notified("notify-next", false); p.header&8 == 0 || id != second {
				t.Errorf("header %x, identifier %x, want DUP and %x", p.header, id, second)
			}
			d.quiet()
			e.stop(t, b, false)
			b = startBroker(t, e, nil)
			d, _ = back(t, b, e, version, session("pump-1"))
			d.notified("notify", false)
			d.notified("notify-next", false)
		}
		d.write(appendPuback(nil, first))
		synctest.Wait()
		d.conn.Close()
		synctest.Wait()
		e.set("pump-1", "", state(1, 2)) // what was under way is past
		d, _ = back(t, b, e, version, session("pump-1"))
		if p, id := d.notified("notify-next", true); p.header&8 != 0 {
			t.Errorf("header %x, identifier %x: a newer message is no duplicate", p.header, id)
		}
		d.quiet()
	})
}

// TestSessionStored: what is written when. A clean session writes nothing.
func TestSessionStored(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d, _ := back(t, b, e, version, connectOptions{id: "pump-1"})
		d.subscribe(1, jobs+"notify")
		d.unsubscribe(2, jobs+"notify")
		d.conn.Close()
		synctest.Wait()
		if n := e.sessionWrites(); n != 0 {
			t.Fatalf("a clean session wrote %d times", n)
		}

		d, _ = back(t, b, e, version, session("pump-1"))
		d.subscribe(1, jobs+"notify", "$aws/things/pump-2/jobs/notify", "$aws/things/pump-1/shadow/#")
		s := e.session("pump-1")
		if s == nil || len(s.Subscriptions) != 2 || s.MQTTVersion != version || s.CertificateID != "c1" || !slices.Equal(s.Owner, []string{"pump-1"}) ||
			s.Expiry != time.Hour || !s.DisconnectedAt.IsZero() || s.Thing("pump-1") == nil || s.Thing("pump-1").ID != "pump-1" {
			t.Fatalf("after SUBSCRIBE: %+v", s)
		}
		n := e.sessionWrites()
		d.subscribe(2, jobs+"notify") // nothing new
		if got := e.sessionWrites(); got != n {
			t.Errorf("the same SUBSCRIBE again wrote")
		}
		d.unsubscribe(3, "$aws/things/pump-1/shadow/#")
		if s = e.session("pump-1"); len(s.Subscriptions) != 1 || s.Subscriptions[0] != (jobsvc.SessionSubscription{Filter: jobs + "notify", QoS: 1}) {
			t.Errorf("after UNSUBSCRIBE: %+v", s)
		}
		d.conn.Close()
		synctest.Wait()
		if s = e.session("pump-1"); !s.DisconnectedAt.Equal(time.Now()) {
			t.Errorf("after the end: %+v", s)
		}
		time.Sleep(time.Minute)
		d, present := back(t, b, e, version, session("pump-1"))
		if s = e.session("pump-1"); !present || !s.DisconnectedAt.IsZero() || !s.ConnectedAt.Equal(time.Now()) {
			t.Errorf("resumed: %v, %+v", present, s)
		}
		// A clean start ends it, and what was subscribed.
		d.conn.Close()
		synctest.Wait()
		d, present = back(t, b, e, version, connectOptions{id: "pump-1"})
		if s = e.session("pump-1"); present || s != nil {
			t.Errorf("after a clean start: %v, %+v", present, s)
		}
		e.set("pump-1", "", state(7, 7))
		b.Notify(hint("pump-1", 7, 7))
		d.quiet()
	})
}

// TestSessionNotStored: a subscription that cannot be stored is refused, and there is none.
func TestSessionNotStored(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d, _ := back(t, b, e, version, session("pump-1"))
		d.subscribe(1, jobs+"notify-next")
		fail := func(is bool) {
			e.sessions.Lock()
			e.sessions.fail = is
			e.sessions.Unlock()
		}
		fail(true)
		if codes := d.subscribe(2, jobs+"notify", jobs+"notify-next", "$aws/things/other/jobs/notify"); codes[0] != 0x80 || codes[1] != 0x80 || codes[2] < 0x80 {
			t.Errorf("SUBACK %x", codes)
		}
		e.set("pump-1", "", state(1, 1))
		b.Notify(hint("pump-1", 1, 1))
		d.notified("notify-next", true) // as before
		d.quiet()
		// UNSUBSCRIBE is not acknowledged, the connection ends.
		d.write(frame(0xA2, []byte{0, 3}, d.props(nil), mstr(jobs+"notify-next")))
		if version == 5 {
			if p, ok := <-d.packets; ok && p.header == 0xB0 {
				t.Error("UNSUBACK although nothing is stored")
			}
		} else {
			d.closed()
		}
		synctest.Wait()
		// A session that cannot be read or written is not resumed, and not lost.
		d = newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
		want := byte(3)
		if version == 5 {
			want = codeServerUnavailable
		}
		if present, code := d.connect(session("pump-1")); present || code != want {
			t.Errorf("resumed: %v, CONNACK %#x", present, code)
		}
		synctest.Wait()
		fail(false)
		d, present := back(t, b, e, version, session("pump-1"))
		if !present {
			t.Fatal("no session")
		}
		d.notified("notify-next", true) // how far it was told is not stored
		d.quiet()
	})
}

// TestSessionExpires: exactly when its time is up, whether or not it was looked for, and
// counted from the start when the broker did not see the connection end.
func TestSessionExpires(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, func(o *Options) { o.Limits.SessionExpiry = 10 * time.Second })
		subscribed := func() {
			t.Helper()
			d, present := back(t, b, e, version, session("pump-1"))
			if present {
				t.Fatal("session present")
			}
			d.subscribe(1, jobs+"notify")
			d.conn.Close()
			synctest.Wait()
		}
		subscribed()
		time.Sleep(9 * time.Second)
		d, present := back(t, b, e, version, session("pump-1"))
		if !present {
			t.Fatal("gone before its time")
		}
		time.Sleep(time.Minute) // connected, it does not expire
		d.conn.Close()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		subscribed() // fails if there was one
		time.Sleep(2 * time.Minute)
		if s := e.session("pump-1"); s != nil {
			t.Errorf("still stored: %+v", s)
		}
		if n := valueOf(t, b.metrics.sessionsExpired); n != 1 {
			t.Errorf("%v expired", n)
		}
		// A kill while it is connected: its time begins with the next start.
		d, _ = back(t, b, e, version, session("pump-1"))
		d.subscribe(1, jobs+"notify")
		e.stop(t, b, true)
		time.Sleep(time.Hour)
		b = startBroker(t, e, nil)
		time.Sleep(9 * time.Second)
		if _, present = back(t, b, e, version, session("pump-1")); !present {
			t.Error("gone before its time after a kill")
		}
		e.stop(t, b, true)
		b = startBroker(t, e, nil)
		time.Sleep(time.Hour + time.Second)
		if _, present = back(t, b, e, version, session("pump-1")); present {
			t.Error("present after its time")
		}
	})
}

// TestSessionExpiryOfVersion5: DISCONNECT may end the session or change its time, CONNECT
// may resume it for the last time.
func TestSessionExpiryOfVersion5(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d, _ := back(t, b, e, 5, session("pump-1"))
		d.subscribe(1, jobs+"notify")
		d.write([]byte{0xE0, 7, 0, 5, 0x11, 0, 0, 0, 30})
		synctest.Wait()
		if s := e.session("pump-1"); s == nil || s.Expiry != 30*time.Second {
			t.Fatalf("%+v", s)
		}
		d, present := back(t, b, e, 5, connectOptions{id: "pump-1", keep: true}) // expiry 0
		if !present || e.session("pump-1") != nil {
			t.Fatalf("present %v, stored %+v", present, e.session("pump-1"))
		}
		e.set("pump-1", "", state(1, 1))
		b.Notify(hint("pump-1", 1, 1))
		d.notified("notify", true)
		d.conn.Close()
		synctest.Wait()
		d, present = back(t, b, e, 5, session("pump-1"))
		if present {
			t.Fatal("it had no more time")
		}
		d.subscribe(1, jobs+"notify")
		d.write([]byte{0xE0, 7, 0, 5, 0x11, 0, 0, 0, 0})
		synctest.Wait()
		if s := e.session("pump-1"); s != nil {
			t.Errorf("DISCONNECT ended it: %+v", s)
		}
	})
}

// TestSessionTakeover: the newcomer has the session as the old connection left it.
func TestSessionTakeover(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		first, _ := back(t, b, e, version, session("pump-1"))
		first.subscribe(1, jobs+"notify-next")
		e.set("pump-1", "", state(1, 1))
		b.Notify(hint("pump-1", 1, 1))
		_, id := first.notified("notify-next", false)
		second := newDevice(t, dial(t, b, e.certificate("rotated", "pump-1")), version)
		if present, code := second.connect(session("pump-1")); code != 0 || !present {
			t.Fatalf("present %v, CONNACK %#x", present, code)
		}
		if p, again := second.notified("notify-next", true); p.header&8 == 0 || again != id {
			t.Errorf("header %x, identifier %x, want DUP and %x", p.header, again, id)
		}
		if s := e.session("pump-1"); s.CertificateID != "rotated" {
			t.Errorf("stored: %+v", s)
		}
		// After a restart it still belongs to its things.
		e.stop(t, b, false)
		b = startBroker(t, e, nil)
		stranger := newDevice(t, dial(t, b, e.certificate("c2", "pump-2")), version)
		if _, code := stranger.connect(connectOptions{id: "pump-1"}); code == 0 {
			t.Error("a stranger took the session")
		}
		if _, present := back(t, b, e, version, session("pump-1")); !present {
			t.Error("no session")
		}
	})
}

// TestSessionOwner: the client ID of a stored session is kept for its things as long as
// they exist.
func TestSessionOwner(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
		d.connect(session("app"))
		d.subscribe(1, jobs+"notify")
		e.stop(t, b, false)
		b = startBroker(t, e, nil)
		other := e.certificate("c2", "pump-2")
		try := func() byte {
			d := newDevice(t, dial(t, b, other), version)
			_, code := d.connect(connectOptions{id: "app"})
			return code
		}
		if try() == 0 {
			t.Error("a stranger took the client ID")
		}
		e.mu.Lock()
		e.things = slices.DeleteFunc(e.things, func(t string) bool { return t == "pump-1" })
		e.mu.Unlock()
		if code := try(); code != 0 || e.session("app") != nil {
			t.Errorf("nobody has it any more: CONNACK %#x, stored %+v", code, e.session("app"))
		}
	})
}

// TestSessionGateway: wildcards and namespaces, several things, and QoS 0, which does not
// wait. A thing that was lost meanwhile is left out.
func TestSessionGateway(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		id := e.certificate("gw", "pump-1", "pump-2", "pump-3")
		e.set("pump-1", "", state(3, 3))
		e.set("pump-1", "old", state(5, 5))
		connect := func() *device {
			t.Helper()
			d := newDevice(t, dial(t, b, id), version)
			if _, code := d.connect(session("gateway")); code != 0 {
				t.Fatalf("CONNACK %#x", code)
			}
			return d
		}
		d := connect()
		d.subscribe(1, jobs+"#", "$aws/things/pump-2/jobs/notify", "$aws/things/pump-3/jobs/notify")
		d.subscribeQoS(2, 0, "$aws/things/pump-2/jobs/notify-next")
		e.stop(t, b, true)
		e.set("pump-1", "new", state(1, 1))
		e.set("pump-2", "", state(2, 2))
		e.set("pump-3", "", state(2, 2))
		e.change("gw", func(b *jobsvc.Binding) { b.Things = []string{"pump-1", "pump-2"} })
		b = startBroker(t, e, nil)
		d = connect()
		got := make(map[string]bool)
		for range 3 {
			topic, _, id, _ := d.published()
			d.write(appendPuback(nil, id))
			got[topic] = true
		}
		for _, want := range []string{jobs + "notify-namespace-new", jobs + "notify-next-namespace-new", "$aws/things/pump-2/jobs/notify"} {
			if !got[want] && !got[strings.Replace(want, "notify-next-namespace-new", "notify-namespace-new-next", 1)] {
				t.Errorf("no %s in %v", want, got)
			}
		}
		d.quiet()
		if s := e.session("gateway"); len(s.Things) != 2 || len(s.Subscriptions) != 3 {
			t.Errorf("stored: %+v", s)
		}
	})
}

// TestSessionLostRight: what a device may no longer receive is taken from its session, also
// when it resumes for the last time.
func TestSessionLostRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		id := e.certificate("gw", "pump-1", "pump-2")
		d := newDevice(t, dial(t, b, id), 5)
		d.connect(session("gateway"))
		d.subscribe(1, jobs+"notify", "$aws/things/pump-2/jobs/notify")
		d.conn.Close()
		synctest.Wait()
		e.change("gw", func(b *jobsvc.Binding) { b.Things = []string{"pump-1"} })
		d = newDevice(t, dial(t, b, id), 5)
		if present, _ := d.connect(connectOptions{id: "gateway", keep: true}); !present {
			t.Fatal("no session")
		}
		synctest.Wait()
		b.sessions.mu.Lock()
		defer b.sessions.mu.Unlock()
		if f := b.sessions.live["gateway"].filters; len(f) != 1 {
			t.Errorf("subscriptions: %v", f)
		}
	})
}

// TestSessionUnsigned: a document that cannot be filled in when a session resumes is tried
// again; the list goes out at once.
func TestSessionUnsigned(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		docs := &fakeDocuments{}
		b := startBroker(t, e, func(o *Options) { o.Documents = docs })
		d, _ := back(t, b, e, version, session("pump-1"))
		d.subscribe(1, jobs+"notify", jobs+"notify-next")
		d.conn.Close()
		synctest.Wait()
		e.set("pump-1", "", state(2, 2))
		docs.set(errors.New("no credentials"), "")
		d, _ = back(t, b, e, version, session("pump-1"))
		d.notified("notify", true)
		d.quiet()
		// It goes, and comes back: that it was not told of the head is known.
		d.conn.Close()
		synctest.Wait()
		d, _ = back(t, b, e, version, session("pump-1"))
		d.quiet()
		docs.set(nil, `{"fresh":1}`)
		time.Sleep(2 * time.Second)
		p, _ := d.notified("notify-next", true)
		contains(t, string(p.body), `{"fresh":1}`)
		d.quiet()
	})
}

// TestSessionRace: what changes while a session resumes is neither lost nor told in the
// wrong order, and another subscriber is not told again.
func TestSessionRace(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		other := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
		other.connect(connectOptions{id: "other"})
		other.subscribe(1, jobs+"notify")
		d, _ := back(t, b, e, version, session("pump-1"))
		d.subscribe(1, jobs+"notify")
		d.conn.Close()
		synctest.Wait()
		e.set("pump-1", "", state(1, 1))
		b.Notify(hint("pump-1", 1, 1))
		other.notified("notify", true)
		n := 0
		e.sessions.Lock()
		e.sessions.onVersions = func() error {
			if n++; n == 2 { // behind the subscriptions, and read already
				e.set("pump-1", "", state(2, 2))
				b.Notify(hint("pump-1", 2, 2))
			}
			return nil
		}
		e.sessions.Unlock()
		d, _ = back(t, b, e, version, session("pump-1"))
		d.notified("notify", true)
		synctest.Wait()
		for len(d.packets) > 0 { // the older may have been first
			d.notified("notify", true)
			synctest.Wait()
		}
		other.notified("notify", true)
		other.quiet()
		if n < 2 {
			t.Errorf("the versions were read %d times", n)
		}
		d.conn.Close()
		synctest.Wait()
		if q := e.session("pump-1").Thing("pump-1").Queue(""); q.SetVersion != 2 || len(q.Sent) != 0 {
			t.Errorf("stored: %+v", q)
		}
	})
}

// valueOf is that of a counter or gauge without labels of its own.
func valueOf(t *testing.T, c prometheus.Collector) (v float64) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	for _, m := range families[0].Metric {
		v += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return v
}

func (d *device) unsubscribe(id uint16, filters ...string) {
	d.t.Helper()
	var body []byte
	for _, f := range filters {
		body = append(body, mstr(f)...)
	}
	d.write(frame(0xA2, appendUint16(nil, int(id)), d.props(nil), body))
	if p := d.next(); p.header != 0xB0 {
		d.t.Fatalf("got packet %x %x, want UNSUBACK", p.header, p.body)
	}
}

// TestSessionsEngine is the same with the real engine and store: a device that is away
// while jobs are made, and a thing that is made again.
func TestSessionsEngine(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		db := memkv.Open(memkv.Options{ScopeOf: store.ScopeOf, RunTwice: true})
		var eng *engine.Engine
		var b *Broker
		start := func() {
			t.Helper()
			s, err := store.Open(t.Context(), db)
			must(err)
			link := new(Link)
			eng = engine.New(s, engine.Options{Notifier: link, Sessions: link})
			b, err = New(Options{Engine: eng, Link: link})
			must(err)
		}
		kill := func() { // nothing more reaches the store
			t.Helper()
			old := b
			db = db.Reopen()
			must(old.Close(t.Context()))
		}
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
		create := func(id string) {
			t.Helper()
			doc := `{"job":"` + id + `"}`
			_, err := eng.CreateJob(t.Context(), &jobsvc.CreateJobRequest{JobID: id, Targets: []string{eng.Account().ARN(jobsvc.ARNThing, "pump-1")}, Document: &doc})
			must(err)
			work()
		}
		connect := func() (*device, bool) {
			t.Helper()
			d := newDevice(t, dial(t, b, Identity{Insecure: true}), version)
			present, code := d.connect(session("pump-1"))
			if code != 0 {
				t.Fatalf("CONNACK %#x", code)
			}
			return d, present
		}
		start()
		_, err := eng.CreateThing(t.Context(), &jobsvc.CreateThingRequest{ThingName: "pump-1"})
		must(err)
		create("early")
		d, _ := connect()
		d.subscribe(1, jobs+"#")
		d.quiet()
		create("one")
		d.notified("notify", true)
		d.conn.Close()
		synctest.Wait()
		create("two")
		create("three")
		kill()
		start()
		d, present := connect()
		if !present {
			t.Fatal("no session")
		}
		p, _ := d.notified("notify", true)
		contains(t, string(p.body), `"early"`, `"one"`, `"two"`, `"three"`)
		d.quiet() // the head is the same
		d.publish(jobs+"start-next", "{}", 0)
		d.reply(jobs + "start-next/accepted")
		d.publish(jobs+"early/update", `{"status":"SUCCEEDED"}`, 0)
		d.reply(jobs + "early/update/accepted")
		d.notified("notify", true)
		p, _ = d.notified("notify-next", false)
		contains(t, string(p.body), `{"job":"one"}`)
		synctest.Wait()
		kill() // not acknowledged, and not stored that it was sent
		start()
		if d, present = connect(); !present {
			t.Fatal("no session after the second kill")
		}
		d.notified("notify", true)
		p, _ = d.notified("notify-next", true)
		contains(t, string(p.body), `{"job":"one"}`)
		d.quiet()
		d.conn.Close()
		synctest.Wait()
		must(eng.DeleteThing(t.Context(), &jobsvc.DeleteThingRequest{ThingName: "pump-1"}))
		work()
		_, err = eng.CreateThing(t.Context(), &jobsvc.CreateThingRequest{ThingName: "pump-1"})
		must(err)
		if d, present = connect(); present {
			t.Error("the session of a thing of the same name")
		}
		create("new")
		d.quiet()
		must(b.Close(t.Context()))
	})
}

// TestSessionResumeFails: the store fails when CONNACK is out and what the session missed
// is to be read. The connection ends, and the session is as it was.
func TestSessionResumeFails(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		d, _ := back(t, b, e, version, session("pump-1"))
		d.subscribe(1, jobs+"notify")
		d.conn.Close()
		synctest.Wait()
		e.set("pump-1", "", state(1, 1))
		n := 0
		e.sessions.onVersions = func() error {
			if n++; n == 2 {
				return errNotStored
			}
			return nil
		}
		d, _ = back(t, b, e, version, session("pump-1"))
		if version == 5 {
			d.disconnected(codeServerUnavailable)
		} else {
			d.closed()
		}
		synctest.Wait()
		if s := e.session("pump-1"); s == nil || s.DisconnectedAt.IsZero() || len(s.Subscriptions) != 1 {
			t.Fatalf("stored: %+v", s)
		}
		d, present := back(t, b, e, version, session("pump-1"))
		if !present {
			t.Fatal("no session")
		}
		d.notified("notify", true)
		d.quiet()
	})
}

// TestSessionEnding: what is due while a connection ends is not written any more, and not
// lost.
func TestSessionEnding(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		id := e.certificate("gw", "pump-1", "pump-2")
		d := newDevice(t, dial(t, b, id), version)
		d.connect(session("gateway"))
		d.subscribe(1, jobs+"notify")
		asked, answer := make(chan struct{}), make(chan struct{})
		e.pending = func(string) (*jobsvc.PendingJobExecutions, error) {
			close(asked)
			<-answer
			return &jobsvc.PendingJobExecutions{}, nil
		}
		d.publish("$aws/things/pump-2/jobs/get", "", 0)
		<-asked
		b.Sessions().Kick("gateway", "because")
		e.set("pump-1", "", state(1, 1))
		b.Notify(hint("pump-1", 1, 1))
		synctest.Wait()
		close(answer)
		synctest.Wait()
		d = newDevice(t, dial(t, b, id), version)
		if present, _ := d.connect(session("gateway")); !present {
			t.Fatal("no session")
		}
		d.notified("notify", true)
		d.quiet()
	})
}
