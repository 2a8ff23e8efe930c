package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// plant is a broker with a real engine, reached over real TLS.
type plant struct {
	*engine.Engine
	t      *testing.T
	b      *Broker
	addr   string
	server tls.Certificate
	later  time.Time
}

func newPlant(t *testing.T, mode auth.Mode, set func(*Options)) *plant {
	t.Helper()
	s, err := store.Open(t.Context(), memkv.Open(memkv.Options{ScopeOf: store.ScopeOf}))
	if err != nil {
		t.Fatal(err)
	}
	link := new(Link)
	p := &plant{t: t, Engine: engine.New(s, engine.Options{Notifier: link, Sessions: link}), later: time.Now().Add(time.Hour)}
	o := Options{Engine: p.Engine, Link: link, AuthMode: mode}
	if set != nil {
		set(&o)
	}
	if p.b, err = New(o); err != nil {
		t.Fatal(err)
	}
	p.server = makeCert(t, p.later)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	go p.b.Serve(context.Background(), ln, &tls.Config{Certificates: []tls.Certificate{p.server}, ClientAuth: tls.RequireAnyClientCert})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *plant) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) arn(kind, name string) string { return p.Account().ARN(kind, name) }

// thing makes things that are not there yet.
func (p *plant) thing(names ...string) {
	p.t.Helper()
	for _, n := range names {
		_, err := p.CreateThing(p.t.Context(), &jobsvc.CreateThingRequest{ThingName: n})
		p.must(err)
	}
}

// certificate registers one, ACTIVE, and attaches it to things.
func (p *plant) certificate(things ...string) (cert tls.Certificate, arn string) {
	p.t.Helper()
	cert = makeCert(p.t, p.later)
	_, err := p.RegisterCertificateWithoutCA(p.t.Context(), &jobsvc.RegisterCertificateRequest{PEM: certPEM(cert), Status: jobsvc.CertificateActive})
	p.must(err)
	arn = p.arn(jobsvc.ARNCert, certID(cert))
	for _, name := range things {
		p.must(p.AttachThingPrincipal(p.t.Context(), &jobsvc.AttachThingPrincipalRequest{ThingName: name, Principal: arn}))
	}
	return cert, arn
}

func certPEM(c tls.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
}

// statements are of one policy: "Allow iot:Publish topic/x, topic/y".
func (p *plant) document(statements ...string) string {
	p.t.Helper()
	var list []string
	for _, s := range statements {
		s, condition, _ := strings.Cut(s, " if ")
		f := strings.SplitN(s, " ", 3)
		var resources []string
		for r := range strings.SplitSeq(f[2], ", ") {
			if r != "*" {
				r = p.Account().Prefix() + r
			}
			resources = append(resources, fmt.Sprintf("%q", r))
		}
		text := fmt.Sprintf(`{"Effect":%q,"Action":%q,"Resource":[%s]`, f[0], f[1], strings.Join(resources, ","))
		if condition != "" {
			text += `,"Condition":` + condition
		}
		list = append(list, text+"}")
	}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
}

// policy makes a policy and attaches it to targets.
func (p *plant) policy(name string, targets []string, statements ...string) {
	p.t.Helper()
	_, err := p.CreatePolicy(p.t.Context(), name, p.document(statements...), nil)
	p.must(err)
	for _, target := range targets {
		p.must(p.AttachPolicy(p.t.Context(), name, target))
	}
}

// version puts another document of a policy in force.
func (p *plant) version(name string, statements ...string) {
	p.t.Helper()
	_, err := p.CreatePolicyVersion(p.t.Context(), name, p.document(statements...), true)
	p.must(err)
}

func (p *plant) dial(version byte, cert tls.Certificate) *device {
	p.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(p.server.Leaf)
	c, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{cert}})
	if err != nil {
		p.t.Fatal(err)
	}
	return newDevice(p.t, c, version)
}

// connect connects and must be let in.
func (p *plant) connect(version byte, cert tls.Certificate, clientID string) *device {
	p.t.Helper()
	d := p.dial(version, cert)
	if _, code := d.connect(connectOptions{id: clientID, keepAlive: 60}); code != 0 {
		p.t.Fatalf("%s: CONNACK %#x: %+v", clientID, code, p.b.Denials())
	}
	return d
}

// refused connects and must not be let in.
func (p *plant) refused(version byte, cert tls.Certificate, clientID string) {
	p.t.Helper()
	d := p.dial(version, cert)
	want := byte(5)
	if version == 5 {
		want = codeNotAuthorized
	}
	if _, code := d.connect(connectOptions{id: clientID, keepAlive: 60}); code != want {
		p.t.Errorf("%s: CONNACK %#x, want %#x", clientID, code, want)
	}
	d.closed()
}

// allowed publishes a request, which must be answered.
func (d *device) allowed(topic string) {
	d.t.Helper()
	d.publish(topic, "", 7)
	d.puback(7)
	d.reply(topic + "/accepted")
}

// forbidden publishes a request, which must be refused: PUBACK 0x87, or the end. It gives
// the reason string of version 5.
func (d *device) forbidden(topic string) (reason string) {
	d.t.Helper()
	d.publish(topic, "", 8)
	if d.version < 5 {
		d.closed()
		return ""
	}
	p := d.next()
	if p.header != 0x40 || p.body[2] != codeNotAuthorized {
		d.t.Fatalf("%s: got packet %x %q, want PUBACK 0x87", topic, p.header, p.body)
	}
	if len(p.body) == 3 {
		return ""
	}
	_, size := binary.Uvarint(p.body[3:])
	rest := p.body[3+size:]
	if len(rest) < 3 || rest[0] != 0x1F {
		d.t.Fatalf("properties %q, want a reason string", rest)
	}
	return string(rest[3:])
}

// eventually waits for what takes effect on live connections over real sockets.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not in time", what)
		}
	}
}

// both runs a test for both versions of the protocol.
func both(t *testing.T, f func(t *testing.T, version byte)) {
	t.Run("3.1.1", func(t *testing.T) { f(t, 4) })
	t.Run("5", func(t *testing.T) { f(t, 5) })
}

const ofThing = "${iot:Connection.Thing.ThingName}"

// fleet is what a device needs: the sample of the documentation.
var fleet = []string{
	"Allow iot:Connect client/" + ofThing,
	"Allow iot:Publish topic/$aws/things/" + ofThing + "/jobs/*",
	"Allow iot:Receive topic/$aws/things/" + ofThing + "/jobs/*",
	"Allow iot:Subscribe topicfilter/$aws/things/" + ofThing + "/jobs/*",
}

func TestPolicyFleet(t *testing.T) {
	both(t, func(t *testing.T, version byte) {
		p := newPlant(t, "", nil)
		p.thing("pump-1", "pump-2")
		one, arn1 := p.certificate("pump-1")
		_, arn2 := p.certificate("pump-2")
		p.policy("fleet", []string{arn1, arn2}, fleet...)

		d := p.connect(version, one, "pump-1")
		if got := d.subscribe(1, jobs+"notify-next", "$aws/things/pump-2/jobs/notify", "$aws/things/pump-1/shadow/#", "$aws/things/+/jobs/notify"); got[0] != 1 || got[1] < 0x80 || got[2] < 0x80 || got[3] < 0x80 {
			t.Errorf("SUBACK %x", got)
		}
		d.allowed(jobs + "start-next")
		// Notifications pass iot:Receive.
		doc := "{}"
		_, err := p.CreateJob(t.Context(), &jobsvc.CreateJobRequest{JobID: "fw", Targets: []string{p.arn(jobsvc.ARNThing, "pump-1")}, Document: &doc})
		p.must(err)
		p.work()
		if topic, payload, id, _ := d.published(); topic != jobs+"notify-next" || !strings.Contains(payload, `"fw"`) {
			t.Errorf("got %s %s", topic, payload)
		} else {
			d.write(appendPuback(nil, id))
		}
		if reason := d.forbidden("$aws/things/pump-2/jobs/start-next"); version == 5 && (!strings.Contains(reason, "no statement of the policy fleet allows iot:Publish on topic/$aws/things/pump-2/jobs/start-next")) {
			t.Errorf("reason %q", reason)
		}
		p.refused(version, one, "pump-2")
		p.refused(version, one, "test-1") // the variable has no value
	})
}

// work does what the scheduler does.
func (p *plant) work() {
	p.t.Helper()
	for again := true; again; {
		again = false
		timers, err := p.Timers(p.t.Context(), 100)
		p.must(err)
		now, err := p.Now(p.t.Context())
		p.must(err)
		for _, timer := range timers {
			if !timer.Due.After(now) {
				p.must(p.Fire(p.t.Context(), timer, now))
				again = true
			}
		}
	}
	p.must(p.Settle(p.t.Context()))
}

// The three modes, for certificates with and without policies.
func TestPolicyModes(t *testing.T) {
	for _, mode := range []auth.Mode{auth.ModeAuto, auth.ModeThings, auth.ModePolicy} {
		p := newPlant(t, mode, nil)
		p.thing("pump-1", "pump-2")
		bare, _ := p.certificate("pump-1")
		under, arn := p.certificate("pump-2")
		p.policy("narrow", []string{arn}, "Allow iot:Connect client/pump-2", "Allow iot:Publish topic/$aws/things/pump-2/jobs/get", "Allow iot:Receive *")
		if mode == auth.ModePolicy {
			p.refused(5, bare, "pump-1")
		} else {
			p.connect(5, bare, "pump-1").allowed(jobs + "start-next")
		}
		d := p.connect(5, under, "pump-2")
		d.allowed("$aws/things/pump-2/jobs/get")
		if mode == auth.ModeThings {
			d.allowed("$aws/things/pump-2/jobs/start-next")
		} else {
			d.forbidden("$aws/things/pump-2/jobs/start-next")
		}
	}
}

// Every variable that a connection has, and conditions.
func TestPolicyVariables(t *testing.T) {
	p := newPlant(t, auth.ModePolicy, nil)
	_, err := p.CreateThingType(t.Context(), &jobsvc.CreateThingTypeRequest{Name: "pump"})
	p.must(err)
	_, err = p.CreateThing(t.Context(), &jobsvc.CreateThingRequest{ThingName: "pump-1", TypeName: "pump", Attributes: map[string]string{"site": "hall"}})
	p.must(err)
	cert, arn := p.certificate("pump-1")
	for name, tt := range map[string]struct {
		id        string
		statement string
		let       bool
	}{
		"client ID":          {"pump-1", "Allow iot:Connect client/${iot:ClientId}", true},
		"any ID":             {"test-1", "Allow iot:Connect client/*", true},
		"thing":              {"pump-1", "Allow iot:Connect client/" + ofThing, true},
		"not the thing":      {"pump-2", "Allow iot:Connect client/" + ofThing, false},
		"attached":           {"pump-1", `Allow iot:Connect * if {"Bool":{"iot:Connection.Thing.IsAttached":"true"}}`, true},
		"not attached":       {"x", `Allow iot:Connect * if {"Bool":{"iot:Connection.Thing.IsAttached":"true"}}`, false},
		"type":               {"pump-1", `Allow iot:Connect * if {"StringEquals":{"iot:Connection.Thing.ThingTypeName":"pump"}}`, true},
		"another type":       {"pump-1", `Allow iot:Connect * if {"StringEquals":{"iot:Connection.Thing.ThingTypeName":"valve"}}`, false},
		"attribute":          {"pump-1", `Allow iot:Connect * if {"StringEquals":{"iot:Connection.Thing.Attributes[site]":"hall"}}`, true},
		"another attribute":  {"pump-1", `Allow iot:Connect * if {"StringEquals":{"iot:Connection.Thing.Attributes[site]":"yard"}}`, false},
		"address":            {"pump-1", `Allow iot:Connect * if {"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`, true},
		"another address":    {"pump-1", `Allow iot:Connect * if {"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, false},
		"certificate":        {"x", "Allow iot:Connect client/${iot:Certificate.Subject.CommonName}", true}, // its name is x
		"certificate, other": {"y", "Allow iot:Connect client/${iot:Certificate.Subject.CommonName}", false},
		"certificate ID":     {certID(cert), "Allow iot:Connect client/${iot:CertificateId}", true},
		"time":               {"pump-1", `Allow iot:Connect * if {"DateLessThan":{"aws:CurrentTime":"2100-01-01T00:00:00Z"}}`, true},
		"time over":          {"pump-1", `Allow iot:Connect * if {"DateLessThan":{"aws:CurrentTime":"2000-01-01T00:00:00Z"}}`, false},
	} {
		policy := strings.NewReplacer(" ", "-", ",", "").Replace(name)
		p.policy(policy, []string{arn}, tt.statement)
		if tt.let {
			p.connect(5, cert, tt.id).conn.Close()
		} else {
			p.refused(5, cert, tt.id)
		}
		p.must(p.DetachPolicy(t.Context(), policy, arn))
	}
}

// A Deny wins; one whose variable has no value is not about the request.
func TestPolicyDeny(t *testing.T) {
	p := newPlant(t, "", nil)
	p.thing("pump-1")
	cert, arn := p.certificate("pump-1")
	p.policy("all", []string{arn}, "Allow iot:* *")
	p.policy("not", []string{arn}, "Deny iot:Publish topic/$aws/things/"+ofThing+"/jobs/start-next")
	d := p.connect(5, cert, "pump-1")
	d.allowed(jobs + "get")
	if reason := d.forbidden(jobs + "start-next"); !strings.Contains(reason, "the policy not forbids iot:Publish") {
		t.Errorf("reason %q", reason)
	}
	p.connect(5, cert, "test-1").allowed(jobs + "start-next")
}

// The service's topics stay closed whatever a policy allows, and so do wildcards in place
// of things. What nobody publishes may be asked for.
func TestPolicyReservedTopics(t *testing.T) {
	both(t, func(t *testing.T, version byte) {
		p := newPlant(t, "", nil)
		p.thing("pump-1", "pump-2")
		cert, arn := p.certificate("pump-1")
		p.policy("all", []string{arn}, "Allow iot:* *")
		for _, topic := range []string{
			jobs + "notify-next", "$aws/things/pump-2/jobs/notify", jobs + "get/accepted", "$aws/events/job/x/completed",
			"$aws/things/pump-1/shadow/update", "$aws/rules/x", "$SYS/x", "$x/y", "plant/x",
		} {
			d := p.connect(version, cert, "pump-1")
			d.publish(topic, "forged", 0) // dropped
			d.forbidden(topic)
		}
		d := p.connect(version, cert, "pump-1")
		refused := byte(codeNotAuthorized)
		if version < 5 {
			refused = 0x80
		}
		for filter, want := range map[string]byte{
			jobs + "#": 1, "$aws/things/pump-2/jobs/notify": 1, "$aws/events/presence/#": 1, "plant/x": 1, "#": 1,
			"$aws/things/+/jobs/notify": refused, "$aws/things/#": refused, "$aws/#": refused, "$SYS/#": refused, "$aws/rules/x": refused, "$share/g/plant/x": refused,
		} {
			if got := d.subscribe(3, filter); got[0] != want {
				t.Errorf("%s: SUBACK %#x, want %#x", filter, got[0], want)
			}
		}
		// A gateway whose policy says so acts for other things.
		d.allowed("$aws/things/pump-2/jobs/start-next")
	})
}

// RETAIN needs a right of its own, and a reply needs iot:Receive.
func TestPolicyRetainAndReceive(t *testing.T) {
	both(t, func(t *testing.T, version byte) {
		p := newPlant(t, "", nil)
		p.thing("pump-1")
		cert, arn := p.certificate("pump-1")
		p.policy("mute", []string{arn}, "Allow iot:Connect *", "Allow iot:Publish topic/$aws/things/*", "Allow iot:Receive topic/*/get/accepted")
		d := p.connect(version, cert, "pump-1")
		d.allowed(jobs + "get")
		for range 2 { // the second time from what is remembered
			d.publish(jobs+"start-next", "", 3)
			d.puback(3) // and no reply
		}
		d.allowed(jobs + "get")
		retained := func(d *device) {
			d.write(frame(0x33, mstr(jobs+"get"), []byte{0, 5}, d.props(nil)))
		}
		retained(d)
		if version == 5 {
			if p := d.next(); p.header != 0x40 || p.body[2] != codeNotAuthorized {
				t.Fatalf("got %x %q", p.header, p.body)
			}
		} else {
			d.closed()
		}
		p.version("mute", "Allow iot:Connect *", "Allow iot:Publish topic/$aws/things/*", "Allow iot:RetainPublish topic/$aws/things/*", "Allow iot:Receive *")
		d = p.connect(version, cert, "pump-1")
		retained(d)
		d.puback(5)
		d.reply(jobs + "get/accepted")
	})
}

// Policies of groups, with ancestors, are those of the thing that the client ID names. A
// device does not get rid of them by another ID.
func TestPolicyOfGroups(t *testing.T) {
	p := newPlant(t, "", nil)
	p.thing("pump-1")
	cert, arn := p.certificate("pump-1")
	for _, g := range [][2]string{{"plant", ""}, {"hall", "plant"}} {
		_, err := p.CreateThingGroup(t.Context(), &jobsvc.CreateThingGroupRequest{ThingGroupName: g[0], ParentName: g[1]})
		p.must(err)
	}
	p.must(p.AddThingToThingGroup(t.Context(), "hall", "pump-1"))
	d := p.connect(5, cert, "pump-1")
	d.allowed(jobs + "start-next")

	// A policy on the ancestor: the connection comes under policies while it lives.
	p.policy("group", []string{p.arn(jobsvc.ARNThingGroup, "plant")}, "Allow iot:Connect client/"+ofThing, "Allow iot:Publish topic/*/get", "Allow iot:Receive *")
	eventually(t, "policy on a group", func() bool { return p.judged("pump-1") })
	d.forbidden(jobs + "start-next")
	d.allowed(jobs + "get")
	p.refused(5, cert, "test-1")
	p.policy("own", []string{arn}, "Allow iot:Connect *", "Allow iot:Publish topic/*/start-next")
	p.connect(5, cert, "test-1").forbidden(jobs + "get")

	p.must(p.DetachPolicy(t.Context(), "own", arn))
	p.must(p.RemoveThingFromThingGroup(t.Context(), "hall", "pump-1"))
	eventually(t, "out of the group", func() bool { return !p.judged("pump-1") })
	d.allowed(jobs + "start-next")
}

// judged tells whether a live connection is under policies.
func (p *plant) judged(clientID string) bool {
	s := p.b.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.live[clientID]
	return c != nil && c.who.Load().Judge != nil
}

// A client ID with wildcards must not become a filter of everybody's topics.
func TestPolicyClientIDIsNoFilter(t *testing.T) {
	p := newPlant(t, "", nil)
	p.thing("pump-1", "pump-2")
	cert, arn := p.certificate("pump-1")
	p.policy("by-id", []string{arn}, "Allow iot:Connect *", "Allow iot:Subscribe topicfilter/$aws/things/${iot:ClientId}/jobs/*", "Allow iot:Receive *")
	for _, id := range []string{"+", "#", "pump-2/#"} {
		d := p.connect(5, cert, id)
		if got := d.subscribe(1, "$aws/things/"+id+"/jobs/notify"); got[0] < 0x80 {
			t.Errorf("%s: SUBACK %x", id, got)
		}
	}
}

// The certificate may use any client ID, but must not keep the thing of that name out.
func TestPolicyNameOfAnother(t *testing.T) {
	both(t, func(t *testing.T, version byte) {
		p := newPlant(t, "", nil)
		p.thing("pump-1", "pump-2")
		squatter, arn1 := p.certificate("pump-1")
		owner, arn2 := p.certificate("pump-2")
		p.policy("any", []string{arn1, arn2}, "Allow iot:* *")
		d := p.dial(version, squatter)
		if _, code := d.connect(connectOptions{id: "pump-2", keep: true, properties: []byte{0x11, 0, 0, 0, 60}}); code != 0 {
			t.Fatalf("CONNACK %#x", code)
		}
		d.subscribe(1, "$aws/things/pump-2/jobs/notify")
		o := p.dial(version, owner)
		if present, code := o.connect(connectOptions{id: "pump-2", keep: true, properties: []byte{0x11, 0, 0, 0, 60}}); code != 0 || present {
			t.Fatalf("the owner: CONNACK %#x, session present %v", code, present)
		}
		if version == 5 {
			d.disconnected(codeTakenOver)
		} else {
			d.closed()
		}
		p.refused(version, squatter, "pump-2")
	})
}

// liveWho is what the connection of a client ID may act for.
func (b *Broker) liveWho(clientID string) *auth.Connection {
	b.sessions.mu.Lock()
	defer b.sessions.mu.Unlock()
	return b.sessions.live[clientID].who.Load()
}
