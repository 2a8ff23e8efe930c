package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// scripted is an execution as the scripted broker keeps it.
type scripted struct {
	job      string
	number   int64
	status   string
	version  int64
	details  map[string]string
	document func() string // called for each delivery, as URLs are signed each time
	begun    int           // QUEUED → IN_PROGRESS
}

func (e *scripted) pending() bool { return e.status == statusQueued || e.status == statusInProgress }

// seen is a request the broker received.
type seen struct {
	thing, op, job string
	request
	n int // of its kind for this thing, from 1
}

// fault is what a test does to a request instead of, or besides, answering it.
type fault struct {
	before func()            // called before the request is executed
	reject string            // answer with this code, change nothing
	state  string            // executionState.status of that answer
	lose   bool              // execute, do not answer
	twice  bool              // answer twice
	cut    bool              // execute, do not answer, close the connection
	then   func(*testBroker) // called after the answer, on the connection's goroutine
	edit   func(*scripted)   // called with the execution it is about before it is executed, mu held

	// How a broker can be wrong.
	forget bool // accept an update and do not do it
	skip   bool // leave out a version
	early  bool // announce before the reply
	swap   bool // announce notify-next before notify
	again  bool // announce twice
	quiet  bool // do not announce
}

// testBroker is a broker with the device side of jobs, over mutual TLS, which does to requests what
// a test tells it to.
type testBroker struct {
	mqtt.HookBase
	*authority
	server *mqtt.Server
	dir    string // of device folders
	port   int

	fault    func(seen) fault // set before the devices start
	deny     func(topic string) bool
	stranger bool               // refuse every connection
	onEmpty  func(thing string) // start-next found nothing; called on the connection's goroutine

	goodbyes chan struct{} // one for each DISCONNECT received

	mu          sync.Mutex
	queues      map[string][]*scripted
	subscribers map[string]*subscriber // by thing
	lastID      uint16
	replies     map[*mqtt.Client]func() // what to do when the PUBACK is out
	requests    []seen
	counts      map[string]int
}

// subscriber is the last client that subscribed as a thing.
type subscriber struct {
	*mqtt.Client
	filters map[string]bool // by suffix
}

func newTestBroker(t testing.TB) *testBroker {
	t.Helper()
	b := &testBroker{
		authority:   newAuthority(t),
		dir:         t.TempDir(),
		goodbyes:    make(chan struct{}, 100),
		queues:      make(map[string][]*scripted),
		subscribers: make(map[string]*subscriber),
		replies:     make(map[*mqtt.Client]func()),
		counts:      make(map[string]int),
	}
	b.server = mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{b.serverCert()},
		ClientCAs:    b.pool(),
		ClientAuth:   tls.RequireAndVerifyClientCert,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.port = l.Addr().(*net.TCPAddr).Port
	if err := b.server.AddHook(b, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.server.AddListener(listeners.NewNet("tls", l)); err != nil {
		t.Fatal(err)
	}
	if err := b.server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		b.empty()
		_ = b.server.Close()
	})
	return b
}

// empty ends all connections and waits until they are gone, but for sessions that stay.
// mochi takes a read lock twice when it closes, and hangs when a connection goes between.
func (b *testBroker) empty() {
	for _, c := range b.server.Clients.GetAll() {
		c.Stop(packets.ErrServerShuttingDown)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for patience := 200; patience > 0 && b.server.Clients.Len() > 0; patience-- {
		<-tick.C
	}
}

// enroll writes the folders of n devices and returns their names.
func (b *testBroker) enroll(n int) []string {
	b.t.Helper()
	var things []string
	for i := range n {
		thing := fmt.Sprintf("dev-%02d", i)
		dir := filepath.Join(b.dir, thing)
		cert, key := b.issue(thing)
		config := fmt.Appendf(nil, `{"thingName":%q,"endpoint":"127.0.0.1","port":%d,"clientId":%q,
			"caFile":"ca.pem","certFile":"device.pem.crt","keyFile":"device.key"}`, thing, b.port, thing)
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.t.Fatal(err)
		}
		for name, data := range map[string][]byte{"config.json": config, "device.pem.crt": cert, "device.key": key, "ca.pem": b.pem} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				b.t.Fatal(err)
			}
		}
		things = append(things, thing)
	}
	return things
}

// create queues a job for a thing and notifies it.
func (b *testBroker) create(thing, job string, document func() string) {
	b.mu.Lock()
	before := b.told(thing)
	b.queues[thing] = append(b.queues[thing], &scripted{job: job, number: 1, status: statusQueued, version: 1, document: document})
	announce := b.announcement(thing, before, fault{})
	b.mu.Unlock()
	announce()
}

// told is what notifications are about.
type told struct {
	keys []executionKey
	head executionKey // zero for none
}

// told returns the queue of a thing as it is. mu is held.
func (b *testBroker) told(thing string) (t told) {
	for _, e := range b.queues[thing] {
		if e.pending() {
			t.keys = append(t.keys, executionKey{e.job, e.number})
		}
	}
	if e := b.head(thing); e != nil {
		t.head = executionKey{e.job, e.number}
	}
	return t
}

// announcement makes the notifications about a change; the result sends them. mu is held.
func (b *testBroker) announcement(thing string, before told, f fault) (send func()) {
	sub, now := b.subscribers[thing], b.told(thing)
	if sub == nil || f.quiet {
		return func() {}
	}
	var all []packets.Packet
	add := func(suffix string, payload map[string]any) {
		payload["timestamp"] = 1
		if !sub.filters[suffix] {
			return
		}
		b.lastID++
		all = append(all, packets.Packet{
			FixedHeader:     packets.FixedHeader{Type: packets.Publish, Qos: 1},
			ProtocolVersion: sub.Properties.ProtocolVersion,
			PacketID:        b.lastID | 0x8000,
			TopicName:       topicsOf(thing).prefix + suffix,
			Payload:         b.encode(payload),
		})
	}
	if !sameSet(before.keys, now.keys) {
		add(notifyList, map[string]any{"jobs": b.list(thing)})
	}
	if before.head != now.head {
		next := map[string]any{}
		if e := b.head(thing); e != nil {
			next["execution"] = b.render(e)
		}
		add(notifyNext, next)
	}
	if f.swap {
		slices.Reverse(all)
	}
	if f.again {
		all = append(all, all...)
	}
	return func() {
		for _, p := range all {
			_ = sub.WritePacket(p) // it may just have gone
		}
	}
}

// list renders the queue by status. mu is held.
func (b *testBroker) list(thing string) map[string][]any {
	out := make(map[string][]any)
	for _, e := range b.queues[thing] {
		if e.pending() {
			out[e.status] = append(out[e.status], map[string]any{"jobId": e.job, "executionNumber": e.number, "versionNumber": e.version})
		}
	}
	return out
}

// execution returns what became of a job.
func (b *testBroker) execution(thing, job string) scripted {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.find(thing, job)
	if e == nil {
		b.t.Fatalf("no execution of %s on %s", job, thing)
	}
	return *e
}

// received returns the requests of a kind.
func (b *testBroker) received(op string) []seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []seen
	for _, r := range b.requests {
		if r.op == op {
			out = append(out, r)
		}
	}
	return out
}

// wantGoodbyes waits until n clients have sent DISCONNECT.
func (b *testBroker) wantGoodbyes(n int) {
	b.t.Helper()
	overdue := time.After(10 * time.Second)
	for i := range n {
		select {
		case <-b.goodbyes:
		case <-overdue:
			b.t.Fatalf("%d DISCONNECT, want %d", i, n)
		}
	}
}

func (b *testBroker) cut(thing string) {
	b.mu.Lock()
	cl := b.subscribers[thing].Client
	b.mu.Unlock()
	cl.Stop(io.ErrClosedPipe)
}

// do executes a request. mu is held.
func (b *testBroker) do(s seen, f fault) map[string]any {
	e := b.find(s.thing, s.job)
	switch {
	case s.op == "start-next":
		e = b.head(s.thing)
		if e == nil {
			return map[string]any{}
		}
		if e.status == statusQueued {
			e.status, e.begun, e.version = statusInProgress, e.begun+1, e.version+1
		}
		return map[string]any{"execution": b.render(e)}
	case s.op == "get" && s.job == "":
		list := b.list(s.thing)
		return map[string]any{"inProgressJobs": list[statusInProgress], "queuedJobs": list[statusQueued]}
	case s.op == "get" && s.job == nextJob:
		if e = b.head(s.thing); e == nil {
			return map[string]any{}
		}
		return map[string]any{"execution": b.render(e)}
	case s.op != "get" && s.op != "update":
		return map[string]any{"code": codeInvalidTopic, "message": s.op}
	case e == nil || s.ExecutionNumber != e.number:
		return map[string]any{"code": codeResourceNotFound, "message": "no such execution"}
	case s.op == "get":
		return map[string]any{"execution": b.render(e)}
	case s.op == "update":
		if s.ExpectedVersion != 0 && s.ExpectedVersion != e.version {
			return map[string]any{"code": codeVersionMismatch, "message": "version", "executionState": e.state()}
		}
		if !e.pending() {
			return map[string]any{"code": codeInvalidStateTransition, "message": "terminal", "executionState": e.state()}
		}
		if f.forget {
			return map[string]any{"executionState": e.state()}
		}
		if e.status == statusQueued && s.Status == statusInProgress {
			e.begun++
		}
		e.status, e.details, e.version = s.Status, s.StatusDetails, e.version+1
		if f.skip {
			e.version++
		}
		return map[string]any{"executionState": e.state()}
	}
	return map[string]any{"code": codeInvalidTopic, "message": s.op}
}

func (e *scripted) state() map[string]any {
	return map[string]any{"status": e.status, "versionNumber": e.version}
}

func (b *testBroker) find(thing, job string) *scripted {
	for _, e := range b.queues[thing] {
		if e.job == job {
			return e
		}
	}
	return nil
}

func (b *testBroker) head(thing string) *scripted {
	for _, want := range []string{statusInProgress, statusQueued} {
		for _, e := range b.queues[thing] {
			if e.status == want {
				return e
			}
		}
	}
	return nil
}

func (b *testBroker) render(e *scripted) map[string]any {
	return map[string]any{"jobId": e.job, "status": e.status, "versionNumber": e.version, "executionNumber": e.number,
		"jobDocument": json.RawMessage(e.document())}
}

func (b *testBroker) encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		b.t.Errorf("encode: %v", err)
	}
	return bytes.TrimSpace(buf.Bytes())
}

// say sends a thing a message of the test's own. mu is held.
func (b *testBroker) say(thing, suffix, payload string) {
	sub := b.subscribers[thing]
	_ = sub.WritePacket(packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Publish},
		ProtocolVersion: sub.Properties.ProtocolVersion,
		TopicName:       topicsOf(thing).prefix + suffix,
		Payload:         []byte(payload),
	})
}
