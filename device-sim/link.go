package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	errNoReply   = errors.New("no reply in time")
	errDropped   = errors.New("the connection was lost")
	errTakenOver = errors.New("another client connected with the same client ID")
	errClosed    = errors.New("closed")
)

const (
	keepAlive        = 60 // seconds
	receiveMaximum   = 16 // the client allocates a slot for each: the protocol's default costs 512 KB a device
	handshakeTimeout = 30 * time.Second
	maxReconnect     = 2 * time.Minute
)

// link is a device's connection to the broker: it reconnects by itself, until close.
type link struct {
	id        identity
	topics    topics
	rec       *recorder
	tls       *tls.Config
	timeout   time.Duration // for a reply
	reconnect time.Duration // base of the delay before a reconnect
	jitter    *rand.Rand    // of that delay; belongs to serve
	dialing   chan struct{} // a slot for each handshake at a time, shared by the fleet

	up       chan struct{}           // a connection is up and not yet subscribed
	notified chan struct{}           // a notification of kind wake came since the last receive
	fail     context.CancelCauseFunc // ends the device: reconnecting cannot help

	version version
	filters []string // to subscribe to; may be none
	wake    string   // the one that makes notified ready
	sources *sources // local addresses to connect from; nil for whatever the system takes
	slow    bool     // reads slowly
	witness *witness // nil for none
	receive func(topic string, payload []byte)

	closing  context.CancelFunc
	finished chan struct{} // closed when serve has ended

	connected bool // at least once; belongs to serve

	mu      sync.Mutex         // guards the rest
	conn    *conn              // the last one dialed
	session session            // nil while there is none
	away    time.Duration      // stay away for so long before connecting again
	alive   context.Context    // ends with the connection; nil while there is none
	down    context.CancelFunc // ends alive
	changed chan struct{}      // closed when alive becomes non-nil
	pending map[string]waiter  // by client token
	listed  int                // executions in the last notify
	extra   map[string]int     // replies to come for what was sent several times, by client token
}

// waiter is a request waiting for its reply.
type waiter struct {
	topic string
	reply chan answer // capacity 1
}

type answer struct {
	*reply
	at time.Time
}

// open starts connecting. The caller must close the link.
func (l *link) open(ctx context.Context) {
	l.up = make(chan struct{}, 1)
	l.notified = make(chan struct{}, 1)
	l.changed = make(chan struct{})
	l.finished = make(chan struct{})
	l.pending = make(map[string]waiter)
	l.extra = make(map[string]int)
	// Not ended by ctx but by close, which says DISCONNECT after the device has finished.
	ctx, l.closing = context.WithCancel(context.WithoutCancel(ctx))
	go l.serve(ctx)
}

// close sends DISCONNECT if connected, and waits until nothing of the connection runs.
func (l *link) close() {
	l.closing()
	<-l.finished
}

// serve connects, and connects again whenever the connection was lost, until ctx ends.
func (l *link) serve(ctx context.Context) {
	defer close(l.finished)
	for n := 0; ; n++ {
		if sleep(ctx, l.delay(n)) != nil {
			return
		}
		s, err := l.connect(ctx)
		if ctx.Err() != nil && err != nil {
			return
		}
		if err != nil {
			l.onConnectError(err)
			continue
		}
		n = -1
		l.onUp(s)
		select {
		case <-s.lost():
			l.onDown()
			if errors.Is(s.why(), errTakenOver) {
				l.fail(errTakenOver)
			}
			l.trouble("connection lost", s.why())
		case <-ctx.Done():
			s.disconnect()
			l.onDown()
			return
		}
	}
}

// cut ends the connection without a goodbye, as a device does that loses its power or its
// network, and stays away for a while.
func (l *link) cut(away time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
	if l.alive != nil {
		l.conn.abort()
	}
}

// trouble records an error that reconnecting repairs.
func (l *link) trouble(what string, err error) {
	l.rec.emit(event{Event: evError, Thing: l.id.thing, Reason: fmt.Sprintf("%s: %v", what, err)})
}

// delay is the pause before connection attempt n after a connection or the start. Devices that
// lost their broker together come back spread over time.
func (l *link) delay(n int) time.Duration {
	if n == 0 && !l.connected {
		return 0
	}
	l.mu.Lock()
	away := l.away
	l.away = 0
	l.mu.Unlock()
	if away > 0 {
		return away
	}
	ceiling := min(l.reconnect<<min(n, 10), maxReconnect)
	return ceiling/2 + time.Duration(l.jitter.Int64N(int64(ceiling/2)+1))
}

// connect makes a connection: TCP, TLS and MQTT.
func (l *link) connect(ctx context.Context) (session, error) {
	select {
	case l.dialing <- struct{}{}:
		defer func() { <-l.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	start := time.Now()
	dialer := &tls.Dialer{Config: l.tls, NetDialer: &net.Dialer{LocalAddr: l.sources.next()}}
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(l.id.host, strconv.Itoa(l.id.port)))
	if err != nil {
		return nil, err
	}
	wrapped := newConn(c, l.slow)
	s, err := l.version.open(ctx, hello{clientID: l.id.clientID, conn: wrapped, received: l.receive})
	if err != nil {
		return nil, err
	}
	l.rec.observe("connect", time.Since(start))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = wrapped
	return s, nil
}

func (l *link) onUp(s session) {
	l.connected = true
	l.rec.add(func(r *report) { r.connected++ })
	l.witness.up()
	l.mu.Lock()
	l.session = s
	l.alive, l.down = context.WithCancel(context.Background())
	close(l.changed)
	l.mu.Unlock()
	ready(l.up)
}

func (l *link) onDown() {
	l.rec.add(func(r *report) { r.connected-- })
	l.witness.down()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down()
	l.alive, l.session = nil, nil
	l.changed = make(chan struct{})
}

func (l *link) onConnectError(err error) {
	var (
		denied *refusal
		cert   *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &denied) && denied.final:
		l.fail(denied)
	case errors.As(err, &cert):
		l.fail(fmt.Errorf("the broker's certificate: %w", err))
	}
	l.trouble("connecting", err)
}

// ready makes a channel of capacity 1 ready to receive from.
func ready(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// current returns the session and its life, nil if there is none.
func (l *link) current() (session, context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session, l.alive
}

// await returns when there is a connection, or with the cause of ctx's end.
func (l *link) await(ctx context.Context) error {
	for {
		l.mu.Lock()
		alive, changed := l.alive, l.changed
		l.mu.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if alive != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// drop ends a connection that does not work, and waits for its end.
func (l *link) drop(ctx, alive context.Context) {
	l.mu.Lock()
	if l.alive == alive {
		_ = l.conn.Close() // the point is the end of it
	}
	l.mu.Unlock()
	select {
	case <-alive.Done():
	case <-ctx.Done():
	}
}

// bound derives the context of one exchange on a connection: it ends with the connection
// (errDropped) and when the reply is overdue (errNoReply).
func (l *link) bound(ctx, alive context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(alive, func() { cancel(errDropped) })
	ctx, cancelTimeout := context.WithTimeoutCause(ctx, l.timeout, errNoReply)
	return ctx, func() {
		cancelTimeout()
		stop()
		cancel(nil)
	}
}

// subscribe asks for the notifications. It returns errDropped if the connection has gone, or has
// been dropped because it does not answer: the next one comes by itself. A *refusal is final.
func (l *link) subscribe(ctx context.Context) error {
	if len(l.filters) == 0 {
		return nil
	}
	s, alive := l.current()
	if alive == nil {
		return errDropped
	}
	bound, cancel := l.bound(ctx, alive)
	defer cancel()
	topics := make([]string, len(l.filters))
	for i, f := range l.filters {
		topics[i] = l.topics.prefix + f
	}
	granted, err := s.subscribe(bound, topics)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		l.trouble("subscribing", err)
		l.drop(ctx, alive)
		return errDropped
	}
	for i, code := range granted {
		switch {
		case code >= 0x80:
			return &refusal{"subscription to " + l.filters[i], code, true, errors.New("SUBACK")}
		case code == 0:
			l.trouble("subscription", errors.New("granted QoS 0 instead of 1: notifications may get lost"))
		}
	}
	l.witness.subscribed(l.filters)
	return nil
}

// message is a request with its way to the broker.
type message struct {
	op    operation
	topic string
	request
	copies int    // how often it is sent; 0 is once
	text   string // the payload, instead of request; %TOKEN% stands for the token
	want   string // the code it must be refused with; empty for a proper request
}

// request publishes one request and waits for its reply, accepted or rejected. Without a reply it
// returns errNoReply, errDropped, a *refusal or the cause of ctx's end.
func (l *link) request(ctx context.Context, op operation, topic string, req request) (*reply, error) {
	return l.exchange(ctx, message{op: op, topic: topic, request: req})
}

// encode returns the payload of a message. It gives a text its token.
func (l *link) encode(m *message) ([]byte, error) {
	if m.text == "" {
		m.IncludeState = m.op == opUpdate && l.witness != nil
		return json.Marshal(m.request)
	}
	if strings.Contains(m.text, "%TOKEN%") {
		m.ClientToken = newToken()
	}
	return []byte(strings.ReplaceAll(m.text, "%TOKEN%", m.ClientToken)), nil
}

// exchange is request for messages out of the ordinary. It does not wait for the reply to one that
// has no token.
func (l *link) exchange(ctx context.Context, m message) (*reply, error) {
	s, alive := l.current()
	if alive == nil {
		return nil, errDropped
	}
	payload, err := l.encode(&m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.op, err)
	}
	op, topic, copies := m.op, m.topic, max(m.copies, 1)
	w := waiter{topic: topic, reply: make(chan answer, 1)}
	if m.ClientToken != "" {
		l.mu.Lock()
		l.pending[m.ClientToken] = w
		if copies > 1 {
			l.extra[m.ClientToken] += copies - 1
		}
		l.mu.Unlock()
		defer func() {
			l.mu.Lock()
			delete(l.pending, m.ClientToken)
			l.mu.Unlock()
		}()
	}

	bound, cancel := l.bound(ctx, alive)
	defer cancel()
	l.witness.sent(m)
	start := time.Now()
	for range copies {
		if err = s.publish(bound, topic, payload); err != nil {
			break
		}
	}
	var refused *refusal
	if errors.As(err, &refused) {
		refused.what += " " + string(op)
		return nil, refused
	}
	if m.ClientToken == "" && err == nil {
		return &reply{}, nil
	}
	if err != nil && bound.Err() == nil {
		l.drop(ctx, alive) // not to try again at once on a connection that cannot write
	}
	select {
	case a := <-w.reply: // also when only the PUBACK is missing
		l.rec.observe(string(op), a.at.Sub(start))
		return a.reply, nil
	default:
	}
	select {
	case a := <-w.reply:
		l.rec.observe(string(op), a.at.Sub(start))
		return a.reply, nil
	case <-alive.Done():
		return nil, errDropped
	case <-bound.Done():
		return nil, context.Cause(bound)
	}
}

// onPublish takes a message from the broker. It runs on the goroutine that acknowledges them, so it
// hands over and returns.
func (l *link) onPublish(topic string, payload []byte) {
	at := time.Now()
	if !l.topics.isOurs(topic) {
		l.trouble("message on a topic of somebody else", errors.New(topic))
		return
	}
	var r reply
	if err := json.Unmarshal(payload, &r); err != nil {
		l.trouble("message on "+l.topics.suffix(topic), err)
		return
	}
	l.witness.received(topic, &r)
	switch suffix := l.topics.suffix(topic); {
	case suffix == notifyNext:
		e := event{Event: evNotified, Time: at, Thing: l.id.thing}
		if x := r.Execution; x != nil {
			e.Job, e.Execution, e.Status = x.JobID, x.ExecutionNumber, x.Status
			if x.JobID == "" || x.Status == "" || x.ExecutionNumber == 0 || x.JobDocument == nil {
				l.trouble("notify-next", errors.New("an execution without jobId, status, executionNumber or jobDocument"))
			}
		}
		l.rec.emit(e)
		l.wakeUp(suffix)
	case suffix == notifyList:
		l.count(&r)
		l.wakeUp(suffix)
	case isReply(topic):
		l.onReply(topic, answer{&r, at})
	default:
		l.trouble("unexpected message", errors.New(suffix))
	}
}

// count takes how many executions a notify lists.
func (l *link) count(r *reply) {
	n := len(r.Jobs[statusQueued]) + len(r.Jobs[statusInProgress])
	l.mu.Lock()
	more := n - l.listed
	l.listed = n
	l.mu.Unlock()
	l.rec.add(func(r *report) { r.told += more })
}

// wakeUp tells the device of a notification, if it is of the kind it waits for.
func (l *link) wakeUp(kind string) {
	if kind == l.wake {
		ready(l.notified)
	}
}

func (l *link) onReply(topic string, a answer) {
	l.mu.Lock()
	w, ok := l.pending[a.ClientToken]
	delete(l.pending, a.ClientToken) // the first one counts
	if !ok && l.extra[a.ClientToken] > 0 {
		if l.extra[a.ClientToken]--; l.extra[a.ClientToken] == 0 {
			delete(l.extra, a.ClientToken)
		}
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	if !ok && a.ClientToken == "" && l.witness != nil {
		return // to a broken request; the witness knows
	}
	if !ok {
		l.rec.add(func(r *report) { r.Unmatched++ })
		return
	}
	if isRejected(topic) != (a.Code != "") || (topic != w.topic+"/accepted" && topic != w.topic+"/rejected") {
		l.trouble("reply to "+l.topics.suffix(w.topic), fmt.Errorf("came on %s with code %q", l.topics.suffix(topic), a.Code))
	}
	w.reply <- a
}
