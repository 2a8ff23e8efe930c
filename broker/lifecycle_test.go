package broker

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

// lifecycleMessage is what presence and subscription events say.
type lifecycleMessage struct {
	ClientID                  string
	Timestamp                 int64
	EventType                 string
	ClientInitiatedDisconnect *bool
	DisconnectReason          string
	DisconnectDetail          string
	SessionIdentifier         string
	PrincipalIdentifier       string
	IPAddress                 string
	VersionNumber             int64
	ThingName                 string
	Topics                    []string
}

// lifecycleEvent takes one off a subscriber, acknowledges it and checks what all have.
func (d *device) lifecycleEvent(topic string) (m lifecycleMessage) {
	d.t.Helper()
	got, payload, id, _ := d.published()
	if id != 0 {
		d.write(appendPuback(nil, id))
	}
	if err := json.Unmarshal([]byte(payload), &m); err != nil || got != "$aws/events/"+topic {
		d.t.Fatalf("got %s %s, want %s", got, payload, topic)
	}
	if !strings.HasSuffix(got, "/"+m.EventType+"/"+m.ClientID) || m.Timestamp < 1e11 || len(m.SessionIdentifier) != 36 {
		d.t.Errorf("%s %s", got, payload)
	}
	return m
}

// Over real TLS: a device comes, subscribes, is taken over, goes, and its certificate is
// withdrawn.
func TestPresenceEvents(t *testing.T) {
	both(t, func(t *testing.T, version byte) {
		console := makeCert(t, time.Now().Add(time.Hour))
		p := newPlant(t, "", func(o *Options) { o.OperatorCertificates = []string{certID(console)} })
		_, err := p.RegisterCertificateWithoutCA(t.Context(), &jobsvc.RegisterCertificateRequest{PEM: certPEM(console), Status: jobsvc.CertificateActive})
		p.must(err)
		p.thing("pump-1")
		cert, arn := p.certificate("pump-1")
		p.policy("fleet", []string{arn}, fleet...)
		o := p.connect(version, console, "console")
		if got := o.subscribe(1, "$aws/events/presence/#", "$aws/events/subscriptions/+/pump-1"); got[0] != 1 || got[1] != 1 {
			t.Fatalf("SUBACK %x", got)
		}

		d := p.connect(version, cert, "pump-1")
		first := o.lifecycleEvent("presence/connected/pump-1")
		if first.PrincipalIdentifier != certID(cert) || first.IPAddress != "127.0.0.1" || first.VersionNumber != 0 || first.ThingName != "pump-1" || first.ClientInitiatedDisconnect != nil {
			t.Errorf("%+v", first)
		}
		d.subscribe(1, jobs+"notify", "$aws/rules/x", jobs+"notify-next")
		s := o.lifecycleEvent("subscriptions/subscribed/pump-1")
		if fmt.Sprint(s.Topics) != "["+jobs+"notify "+jobs+"notify-next]" || s.SessionIdentifier != first.SessionIdentifier || s.PrincipalIdentifier != certID(cert) {
			t.Errorf("%+v", s)
		}
		d.subscribe(2, "$aws/rules/x") // changes nothing
		d.write(frame(0xA2, []byte{0, 3}, d.props(nil), mstr(jobs+"notify"), mstr("nothing")))
		if u := o.lifecycleEvent("subscriptions/unsubscribed/pump-1"); fmt.Sprint(u.Topics) != "["+jobs+"notify]" {
			t.Errorf("%+v", u)
		}

		gone := func(what, reason string, version int64) lifecycleMessage {
			t.Helper()
			m := o.lifecycleEvent("presence/disconnected/pump-1")
			if m.DisconnectReason != reason || m.VersionNumber != version || m.ClientInitiatedDisconnect == nil || *m.ClientInitiatedDisconnect != (reason == "CLIENT_INITIATED_DISCONNECT") {
				t.Errorf("%s: %+v", what, m)
			}
			return m
		}
		came := func(version int64) {
			t.Helper()
			if m := o.lifecycleEvent("presence/connected/pump-1"); m.VersionNumber != version || m.SessionIdentifier == first.SessionIdentifier {
				t.Errorf("%+v", m)
			}
		}
		second := p.connect(version, cert, "pump-1")
		if m := gone("taken over", "DUPLICATE_CLIENTID", 0); m.SessionIdentifier != first.SessionIdentifier {
			t.Errorf("%+v, connected was %+v", m, first)
		}
		came(1)
		second.write(frame(0xE0))
		gone("DISCONNECT", "CLIENT_INITIATED_DISCONNECT", 1)
		third := p.connect(version, cert, "pump-1")
		came(2)
		third.conn.Close()
		gone("cut", "CONNECTION_LOST", 2)
		fourth := p.connect(version, cert, "pump-1")
		came(3)
		fourth.publish(jobs+"get", strings.Repeat("x", jobsvc.MaxMessageBytes+1), 1)
		if m := gone("too large", "CLIENT_ERROR", 3); !strings.Contains(m.DisconnectDetail, "131072") {
			t.Errorf("%+v", m)
		}
		at := int64(4)
		if version < 5 {
			fifth := p.connect(version, cert, "pump-1")
			came(at)
			fifth.publish(jobs+"notify", "forged", 1)
			gone("forbidden", "FORBIDDEN_ACCESS", at)
			at++
		}
		p.connect(version, cert, "pump-1")
		came(at)
		p.b.Sessions().Kick("pump-1", "by hand")
		if m := gone("kicked", "API_INITIATED_DISCONNECT", at); m.DisconnectDetail != "by hand" {
			t.Errorf("%+v", m)
		}
		p.connect(version, cert, "pump-1")
		came(at + 1)
		p.must(p.UpdateCertificate(t.Context(), certID(cert), jobsvc.CertificateRevoked))
		gone("revoked", "SERVER_INITIATED_DISCONNECT", at+1)
		p.refused(version, cert, "pump-1") // one that was not let in has not come
		o.write(frame(0xC0))
		if m := o.next(); m.header != 0xD0 {
			t.Errorf("got %x %q", m.header, m.body)
		}
	})
}

func TestPresenceKeepAlive(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startEvents(t, e, 0)
		o := newDevice(t, dial(t, b, Identity{Insecure: true}), version)
		o.connect(connectOptions{id: "operator", keepAlive: 1200})
		o.subscribeQoS(1, 0, "$aws/events/#")
		if m := o.lifecycleEvent("subscriptions/subscribed/operator"); len(m.Topics) != 1 { // behind its SUBACK
			t.Errorf("%+v", m)
		}
		d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1", "pump-2")), version)
		d.connect(connectOptions{id: "gateway", keepAlive: 30})
		if m := o.lifecycleEvent("presence/connected/gateway"); m.ThingName != "" {
			t.Errorf("of two things: %+v", m)
		}
		time.Sleep(time.Minute)
		if m := o.lifecycleEvent("presence/disconnected/gateway"); m.DisconnectReason != "MQTT_KEEP_ALIVE_TIMEOUT" {
			t.Errorf("%+v", m)
		}
		// The number begins again when the client was away for long.
		connect := func(version int64) {
			t.Helper()
			d := newDevice(t, dial(t, b, Identity{CertificateID: "c1"}), o.version)
			d.connect(connectOptions{id: "gateway"})
			if m := o.lifecycleEvent("presence/connected/gateway"); m.VersionNumber != version {
				t.Errorf("%+v, want version %d", m, version)
			}
			d.write(frame(0xE0))
			o.lifecycleEvent("presence/disconnected/gateway")
		}
		ping := func() { o.write(frame(0xC0)); o.next() }
		connect(1)
		connect(2)
		for range 4 {
			time.Sleep(18 * time.Minute)
			ping()
		}
		connect(0)
		// A client ID that is no level of a topic.
		odd := newDevice(t, dial(t, b, Identity{CertificateID: "c1"}), version)
		odd.connect(connectOptions{id: "gate+way"})
		o.quiet()
	})
}

// A subscriber that does not acknowledge gets the newest of what happened meanwhile, and
// costs a bounded number of messages.
func TestPresenceQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startEvents(t, e, 0)
		o := newDevice(t, dial(t, b, Identity{Insecure: true}), 5)
		o.connect(connectOptions{id: "operator", properties: []byte{0x21, 0, 1}}) // one at a time
		o.subscribe(1, "$aws/events/presence/connected/+")
		if e.eventsWanted() {
			t.Error("the engine stores events for one who wants none of them")
		}
		const n = lifecycleQueue + 50
		for i := range n {
			d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), 5)
			d.connect(connectOptions{id: fmt.Sprint("c-", i)})
			d.conn.Close()
			synctest.Wait()
		}
		next := func(i int) {
			t.Helper()
			o.lifecycleEvent(fmt.Sprint("presence/connected/c-", i))
		}
		next(0) // was under way
		for i := n - lifecycleQueue; i < n; i++ {
			next(i)
		}
		o.quiet()
		o.write(frame(0xA2, []byte{0, 9}, o.props(nil), mstr("$aws/events/presence/connected/+")))
		if p := o.next(); p.header != 0xB0 {
			t.Fatalf("got %x", p.header)
		}
		if got := b.lifecycle.wanted.Load(); got != 0 || len(b.lifecycle.subs) != 0 {
			t.Errorf("%d still wanted", got)
		}
	})
}

func TestVersionsKept(t *testing.T) {
	v, now := make(versions), time.Now()
	for i := range 2 * versionsKept {
		v.left(fmt.Sprint(i), int64(i), now)
	}
	if len(v) > versionsKept {
		t.Errorf("%d are kept", len(v))
	}
	v.left("x", 7, now)
	if n := v.next("x", now.Add(time.Minute)); n != 8 {
		t.Errorf("%d follows 7", n)
	}
	if n := v.next("x", now); n != 0 {
		t.Errorf("%d follows nothing", n)
	}
}

// A session that is kept keeps its subscriptions, and not what happened meanwhile.
func TestPresenceSession(t *testing.T) {
	bubble(t, func(t *testing.T, version byte) {
		e := &fakeEngine{}
		b := startEvents(t, e, 0)
		connect := func() (*device, bool) {
			o := newDevice(t, dial(t, b, Identity{Insecure: true}), version)
			present, _ := o.connect(connectOptions{id: "operator", keep: true, properties: []byte{0x11, 0, 0, 1, 0}})
			return o, present
		}
		o, _ := connect()
		o.subscribe(1, "$aws/events/presence/#", "$aws/events/subscriptions/#")
		o.lifecycleEvent("subscriptions/subscribed/operator")
		o.conn.Close()
		synctest.Wait()
		pump(t, b, e, version).conn.Close()
		synctest.Wait()
		o, present := connect()
		if !present {
			t.Error("no session")
		}
		o.quiet()
		pump(t, b, e, version)
		if m := o.lifecycleEvent("presence/connected/pump-1"); m.VersionNumber != 1 {
			t.Errorf("%+v", m)
		}
	})
}

// Without policies operators are what the configuration says, in every mode. A policy that
// forbids wins.
func TestOperatorUnderPolicies(t *testing.T) {
	console := makeCert(t, time.Now().Add(time.Hour))
	p := newPlant(t, auth.ModePolicy, func(o *Options) { o.OperatorCertificates = []string{certID(console)} })
	_, err := p.RegisterCertificateWithoutCA(t.Context(), &jobsvc.RegisterCertificateRequest{PEM: certPEM(console), Status: jobsvc.CertificateActive})
	p.must(err)
	p.thing("pump-1")
	cert, arn := p.certificate("pump-1")
	p.policy("all", []string{arn}, "Allow iot:* *")
	o := p.connect(5, console, "console")
	if got := o.subscribe(1, "$aws/events/presence/+/pump-1", jobs+"notify"); got[0] != 1 || got[1] != codeNotAuthorized {
		t.Fatalf("SUBACK %x", got)
	}
	d := p.connect(5, cert, "pump-1")
	o.lifecycleEvent("presence/connected/pump-1")
	p.policy("quiet", []string{p.arn(jobsvc.ARNCert, certID(console))}, "Deny iot:Subscribe topicfilter/$aws/events/*")
	eventually(t, "a policy for the operator", func() bool { return p.b.liveWho("console").Judge.Under("quiet") })
	d.write(frame(0xE0))
	d.closed()
	p.connect(5, cert, "pump-1")
	if got := o.subscribe(2, "$aws/events/presence/#"); got[0] != codeNotAuthorized { // and no event before the SUBACK
		t.Errorf("SUBACK %x", got)
	}
	p.policy("never", []string{p.arn(jobsvc.ARNCert, certID(console))}, "Deny iot:Connect *")
	o.ends("Connect forbidden to an operator")
}
