package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/policy"
)

// fakeEngine answers as a test says. What is not said is refused as internal.
type fakeEngine struct {
	pending  func(thing string) (*jobsvc.PendingJobExecutions, error)
	start    func(r *jobsvc.StartNextPendingJobExecutionRequest) (*jobsvc.DeviceExecution, error)
	describe func(r *jobsvc.DescribeJobExecutionRequest) (*jobsvc.DeviceExecution, error)
	update   func(r *jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error)

	mu       sync.Mutex
	things   []string
	keys     []string // access keys there are
	bindings map[string]*jobsvc.Binding
	// readQueue and readBinding, if any, are called before and after reading.
	readQueue, readBinding func()
	queues                 map[string]*jobsvc.ThingQueue // by thing + "/" + namespace
	connected              map[string]bool
	presences              int // how often that changed

	events   eventLog
	sessions sessionLog
}

func (e *fakeEngine) GetPendingJobExecutions(_ context.Context, thing string) (*jobsvc.PendingJobExecutions, error) {
	if e.pending == nil {
		return &jobsvc.PendingJobExecutions{Time: time.Now()}, nil
	}
	return e.pending(thing)
}

func (e *fakeEngine) StartNextPendingJobExecution(_ context.Context, r *jobsvc.StartNextPendingJobExecutionRequest) (*jobsvc.DeviceExecution, error) {
	if e.start == nil {
		return &jobsvc.DeviceExecution{Time: time.Now()}, nil
	}
	return e.start(r)
}

func (e *fakeEngine) DescribePendingJobExecution(_ context.Context, r *jobsvc.DescribeJobExecutionRequest) (*jobsvc.DeviceExecution, error) {
	if e.describe == nil {
		return &jobsvc.DeviceExecution{Time: time.Now()}, nil
	}
	return e.describe(r)
}

func (e *fakeEngine) UpdateJobExecution(_ context.Context, r *jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error) {
	if e.update == nil {
		return &jobsvc.UpdateJobExecutionResult{Time: time.Now()}, nil
	}
	return e.update(r)
}

func (e *fakeEngine) ThingQueue(_ context.Context, thing, namespace string) (*jobsvc.ThingQueue, error) {
	e.mu.Lock()
	hook := e.readQueue
	e.mu.Unlock()
	if hook != nil {
		hook()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	q := jobsvc.ThingQueue{}
	if stored := e.queues[thing+"/"+namespace]; stored != nil {
		q = *stored
	}
	q.Time = time.Now()
	return &q, nil
}

func (e *fakeEngine) Binding(_ context.Context, id string) (*jobsvc.Binding, error) {
	e.mu.Lock()
	hook := e.readBinding
	var c *jobsvc.Binding
	if b := e.bindings[id]; b != nil {
		c = &jobsvc.Binding{Certificate: b.Certificate, Things: slices.Clone(b.Things), Policies: slices.Clone(b.Policies)}
	}
	e.mu.Unlock()
	if hook != nil {
		hook()
	}
	if c != nil {
		return c, nil
	}
	return nil, jobsvc.Errorf(jobsvc.CodeNotFound, "no certificate")
}

func (e *fakeEngine) ConnectionJudge(context.Context, *jobsvc.Binding, string, string, bool) (*policy.Judge, []string, error) {
	return nil, nil, nil // policies are tested with the engine
}

func (e *fakeEngine) PolicyDocument(context.Context, string) (*policy.Document, error) {
	return nil, nil
}

// AccessKey knows those in keys.
func (e *fakeEngine) AccessKey(_ context.Context, id string) (*jobsvc.AccessKey, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.keys, id) {
		return nil, jobsvc.Errorf(jobsvc.CodeUnknownAccessKey, "unknown")
	}
	return &jobsvc.AccessKey{ID: id}, nil
}

func (e *fakeEngine) ThingExists(_ context.Context, name string) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.things, name), nil
}

func (e *fakeEngine) ThingConnected(thing string, connected bool, _ time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.connected == nil {
		e.connected = make(map[string]bool)
	}
	if e.connected[thing] != connected {
		e.presences++
	}
	e.connected[thing] = connected
}

// presence gives which things are connected, as far as the engine was told, and how often
// that changed.
func (e *fakeEngine) presence() (things []string, changes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for t, is := range e.connected {
		if is {
			things = append(things, t)
		}
	}
	slices.Sort(things)
	return things, e.presences
}

// set changes a queue; the caller hints.
func (e *fakeEngine) set(thing, namespace string, q jobsvc.ThingQueue) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.queues == nil {
		e.queues = make(map[string]*jobsvc.ThingQueue)
	}
	e.queues[thing+"/"+namespace] = &q
}

// certificate registers one, ACTIVE, attached to things.
func (e *fakeEngine) certificate(id string, things ...string) Identity {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bindings == nil {
		e.bindings = make(map[string]*jobsvc.Binding)
	}
	e.bindings[id] = &jobsvc.Binding{Certificate: jobsvc.Certificate{ID: id, Status: jobsvc.CertificateActive}, Things: things}
	for _, t := range things {
		if !slices.Contains(e.things, t) {
			e.things = append(e.things, t)
		}
	}
	return Identity{CertificateID: id}
}

func (e *fakeEngine) change(id string, f func(*jobsvc.Binding)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e.bindings[id])
}

func startBroker(t *testing.T, e *fakeEngine, set func(*Options)) *Broker {
	t.Helper()
	o := Options{Logger: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if set != nil {
		set(&o)
	}
	b, err := newBroker(e, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(b))
	return len(b), nil
}

// device is a client made of bytes. What the broker sends it is in packets.
type device struct {
	t       *testing.T
	conn    net.Conn
	version byte
	packets chan packet // closed with the connection
}

type packet struct {
	header byte
	body   []byte
}

// dial gives the device's end of a connection the broker serves.
func dial(t *testing.T, b *Broker, id Identity) net.Conn {
	t.Helper()
	theirs, ours := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.ServeConn(ours, id)
	}()
	t.Cleanup(func() {
		theirs.Close()
		<-done
	})
	return theirs
}

func newDevice(t *testing.T, conn net.Conn, version byte) *device {
	d := &device{t: t, conn: conn, version: version, packets: make(chan packet, 1000)}
	go func() {
		defer close(d.packets)
		r := bufio.NewReader(conn)
		for {
			header, err := r.ReadByte()
			if err != nil {
				return
			}
			n, err := binary.ReadUvarint(r)
			if err != nil {
				return
			}
			body := make([]byte, n)
			if _, err := io.ReadFull(r, body); err != nil {
				return
			}
			d.packets <- packet{header, body}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		for range d.packets {
		}
	})
	return d
}

// connectOptions is what a CONNECT may say.
type connectOptions struct {
	id         string
	keep       bool // not a clean session
	keepAlive  uint16
	properties []byte // version 5
	willTopic  string
	will       string
	username   string
	protocol   byte // a version other than the device's
}

func mstr(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func frame(header byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(appendLength([]byte{header}, len(body)), body...)
}

func (d *device) write(b []byte) {
	d.t.Helper()
	if _, err := d.conn.Write(b); err != nil {
		d.t.Logf("write: %v", err)
	}
}

func (d *device) props(p []byte) []byte {
	if d.version < 5 {
		return nil
	}
	return append(appendLength(nil, len(p)), p...)
}

// connect sends CONNECT and gives CONNACK's session present flag and code.
func (d *device) connect(o connectOptions) (present bool, code byte) {
	d.t.Helper()
	var flags byte
	if !o.keep {
		flags |= 2
	}
	var will []byte
	if o.willTopic != "" {
		flags |= 4
		if d.version >= 5 {
			will = []byte{0}
		}
		will = append(append(will, mstr(o.willTopic)...), mstr(o.will)...)
	}
	var user []byte
	if o.username != "" {
		flags |= 0x80
		user = mstr(o.username)
	}
	protocol := d.version
	if o.protocol != 0 {
		protocol = o.protocol
	}
	d.write(frame(0x10, mstr("MQTT"), []byte{protocol, flags}, binary.BigEndian.AppendUint16(nil, o.keepAlive), d.props(o.properties), mstr(o.id), will, user))
	p := d.next()
	if p.header != 0x20 {
		d.t.Fatalf("got packet %x, want CONNACK", p)
	}
	return p.body[0] == 1, p.body[1]
}

func (d *device) next() packet {
	d.t.Helper()
	select {
	case p, ok := <-d.packets:
		if !ok {
			d.t.Fatal("the connection was closed")
		}
		return p
	case <-time.After(5 * time.Second):
		d.t.Fatal("no packet")
	}
	return packet{}
}

// quiet checks that nothing was sent, and the connection is open.
func (d *device) quiet() {
	d.t.Helper()
	synctest.Wait()
	select {
	case p, ok := <-d.packets:
		d.t.Fatalf("got packet %x %q (open %v), want none", p.header, p.body, ok)
	default:
	}
}

// closed checks that the broker closes the connection without a further packet.
func (d *device) closed() {
	d.t.Helper()
	select {
	case p, ok := <-d.packets:
		if ok {
			d.t.Fatalf("got packet %x %q, want the connection closed", p.header, p.body)
		}
	case <-time.After(5 * time.Second):
		d.t.Fatal("the connection is still open")
	}
}

// disconnected checks that the broker says goodbye with a code and closes.
func (d *device) disconnected(code byte) {
	d.t.Helper()
	p := d.next()
	if p.header != 0xE0 || p.body[0] != code {
		d.t.Fatalf("got packet %x %x, want DISCONNECT %#x", p.header, p.body, code)
	}
	d.closed()
}

func (d *device) publish(topic, payload string, id uint16, props ...byte) {
	d.t.Helper()
	header, idBytes := byte(0x30), []byte(nil)
	if id != 0 {
		header, idBytes = 0x32, binary.BigEndian.AppendUint16(nil, id)
	}
	d.write(frame(header, mstr(topic), idBytes, d.props(props), []byte(payload)))
}

// subscribe sends SUBSCRIBE with QoS 1 and gives the codes of SUBACK.
func (d *device) subscribe(id uint16, filters ...string) []byte {
	d.t.Helper()
	return d.subscribeQoS(id, 1, filters...)
}

func (d *device) subscribeQoS(id uint16, qos byte, filters ...string) []byte {
	d.t.Helper()
	var body []byte
	for _, f := range filters {
		body = append(append(body, mstr(f)...), qos)
	}
	d.write(frame(0x82, binary.BigEndian.AppendUint16(nil, id), d.props(nil), body))
	p := d.next()
	if p.header != 0x90 || binary.BigEndian.Uint16(p.body) != id {
		d.t.Fatalf("got packet %x %x, want SUBACK %d", p.header, p.body, id)
	}
	if d.version >= 5 {
		n, size := binary.Uvarint(p.body[2:])
		return p.body[2+size+int(n):]
	}
	return p.body[2:]
}

func (d *device) puback(id uint16) {
	d.t.Helper()
	p := d.next()
	if p.header != 0x40 || !bytes.Equal(p.body, binary.BigEndian.AppendUint16(nil, id)) {
		d.t.Fatalf("got packet %x %x, want PUBACK %d", p.header, p.body, id)
	}
}

// published takes a PUBLISH apart; id 0 means QoS 0.
func (d *device) published() (topic, payload string, id uint16, props []byte) {
	d.t.Helper()
	p := d.next()
	if p.header&0xF0 != 0x30 || p.header&0b1001 != 0 {
		d.t.Fatalf("got packet %x %x, want PUBLISH without DUP and RETAIN", p.header, p.body)
	}
	n := binary.BigEndian.Uint16(p.body)
	topic, rest := string(p.body[2:2+n]), p.body[2+n:]
	if p.header&6 == 2 {
		id, rest = binary.BigEndian.Uint16(rest), rest[2:]
	}
	if d.version >= 5 {
		n, size := binary.Uvarint(rest)
		props, rest = rest[size:size+int(n)], rest[size+int(n):]
	}
	return topic, string(rest), id, props
}

// reply expects a QoS 0 PUBLISH on a topic.
func (d *device) reply(topic string) string {
	d.t.Helper()
	got, payload, id, _ := d.published()
	if got != topic || id != 0 {
		d.t.Fatalf("got %q on %s (id %d), want QoS 0 on %s", payload, got, id, topic)
	}
	return payload
}

const jobs = "$aws/things/pump-1/jobs/"

// pump connects as the thing pump-1.
func pump(t *testing.T, b *Broker, e *fakeEngine, version byte) *device {
	t.Helper()
	d := newDevice(t, dial(t, b, e.certificate("c1", "pump-1")), version)
	if _, code := d.connect(connectOptions{id: "pump-1", keepAlive: 60}); code != 0 {
		t.Fatalf("CONNACK %d", code)
	}
	return d
}

// bubble runs a test in virtual time, for both protocol versions.
func bubble(t *testing.T, f func(t *testing.T, version byte)) {
	for _, version := range []byte{4, 5} {
		name := "3.1.1"
		if version == 5 {
			name = "5"
		}
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, version) }) })
	}
}

func hint(thing string, set, head uint64) []engine.Hint {
	return []engine.Hint{{ThingName: thing, SetVersion: set, HeadVersion: head}}
}

func contains(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("got %s\nwithout %s", got, p)
		}
	}
}
