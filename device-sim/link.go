package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

var (
	errNoReply   = errors.New("no reply in time")
	errDropped   = errors.New("the connection was lost")
	errTakenOver = errors.New("another client connected with the same client ID")
)

// refusal is a broker's final no, to a connection, a subscription or a publish.
type refusal struct {
	what string
	code byte
	err  error
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s refused (0x%02X): %v", r.what, r.code, r.err)
}
func (r *refusal) Unwrap() error { return r.err }

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
	dialing   chan struct{} // a slot for each handshake at a time, shared by the fleet

	up       chan struct{}           // a connection is up and not yet subscribed
	notified chan struct{}           // a notify-next came since the last receive
	fail     context.CancelCauseFunc // ends the device: reconnecting cannot help

	manager *autopaho.ConnectionManager

	// Used by the goroutine of manager only.
	dialed    time.Time
	connected bool // at least once

	mu      sync.Mutex         // guards the rest
	conn    *conn              // the last one dialed
	alive   context.Context    // ends with the connection; nil while there is none
	down    context.CancelFunc // ends alive
	changed chan struct{}      // closed when alive becomes non-nil
	pending map[string]waiter  // by client token
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
func (l *link) open(ctx context.Context) error {
	l.up = make(chan struct{}, 1)
	l.notified = make(chan struct{}, 1)
	l.changed = make(chan struct{})
	l.pending = make(map[string]waiter)
	u := &url.URL{Scheme: "mqtts", Host: net.JoinHostPort(l.id.host, strconv.Itoa(l.id.port))}
	// Not ended by ctx but by close, which says DISCONNECT after the device has finished.
	m, err := autopaho.NewConnection(context.WithoutCancel(ctx), autopaho.ClientConfig{
		ServerUrls:       []*url.URL{u},
		KeepAlive:        keepAlive,
		ReconnectBackoff: l.delay,
		// It starts before dial waits for its slot, so it cannot be the bound; handshakeTimeout
		// and PacketTimeout are.
		ConnectTimeout:    time.Hour,
		AttemptConnection: l.dial,
		OnConnectionUp:    l.onUp,
		OnConnectionDown:  l.onDown,
		OnConnectError:    l.onConnectError,
		ConnectPacketBuilder: func(c *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			rm := uint16(receiveMaximum)
			c.CleanStart = true // nothing of an old session helps: the device asks on every connection
			c.Properties = &paho.ConnectProperties{ReceiveMaximum: &rm, RequestProblemInfo: true}
			return c, nil
		},
		ClientConfig: paho.ClientConfig{
			ClientID:      l.id.clientID,
			PacketTimeout: max(l.timeout, 10*time.Second),
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){
				func(p paho.PublishReceived) (bool, error) { l.onPublish(p.Packet); return true, nil },
			},
			OnClientError: func(err error) { l.trouble("connection lost", err) },
			OnServerDisconnect: func(d *paho.Disconnect) {
				if d.ReasonCode == 0x8E {
					l.fail(errTakenOver)
				}
				l.trouble("disconnected by the broker", fmt.Errorf("reason 0x%02X", d.ReasonCode))
			},
		},
	})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	l.manager = m
	return nil
}

// close sends DISCONNECT if connected, and waits until nothing of the connection runs.
func (l *link) close() {
	_ = l.manager.Disconnect(context.Background()) // fails only by its context
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
	ceiling := min(l.reconnect<<min(n, 10), maxReconnect)
	return ceiling/2 + rand.N(ceiling/2+1)
}

func (l *link) dial(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
	select {
	case l.dialing <- struct{}{}:
		defer func() { <-l.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	l.dialed = time.Now()
	c, err := (&tls.Dialer{Config: l.tls}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	wrapped := newConn(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = wrapped
	return wrapped, nil
}

func (l *link) onUp(*autopaho.ConnectionManager, *paho.Connack) {
	l.connected = true
	l.rec.observe("connect", time.Since(l.dialed))
	l.mu.Lock()
	l.alive, l.down = context.WithCancel(context.Background())
	close(l.changed)
	l.mu.Unlock()
	ready(l.up)
}

func (l *link) onDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down()
	l.alive = nil
	l.changed = make(chan struct{})
	return true
}

func (l *link) onConnectError(err error) {
	var (
		denied *autopaho.ConnackError
		cert   *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &denied) && finalConnack(denied.ReasonCode):
		l.fail(&refusal{"connection", denied.ReasonCode, denied.Err})
	case errors.As(err, &cert):
		l.fail(fmt.Errorf("the broker's certificate: %w", err))
	}
	l.rec.emit(event{Event: evError, Thing: l.id.thing, Reason: err.Error()})
}

// finalConnack reports whether connecting again with the same certificate and client ID is useless.
func finalConnack(code byte) bool {
	switch code {
	case 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C: // version, client ID, credentials, authorization, banned, method
		return true
	}
	return false
}

// ready makes a channel of capacity 1 ready to receive from.
func ready(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// current returns the life of the connection, nil if there is none.
func (l *link) current() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alive
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

// subscribe asks for notify-next. It returns errDropped if the connection has gone, or has been
// dropped because it does not answer: the next one comes by itself. A *refusal is final.
func (l *link) subscribe(ctx context.Context) error {
	alive := l.current()
	if alive == nil {
		return errDropped
	}
	bound, cancel := l.bound(ctx, alive)
	defer cancel()
	ack, err := l.manager.Subscribe(bound, &paho.Subscribe{
		Subscriptions: []paho.SubscribeOptions{{Topic: l.topics.notifyNext(), QoS: 1}},
	})
	switch {
	case err == nil && ack.Reasons[0] == 0:
		l.trouble("subscription", errors.New("granted QoS 0 instead of 1: notifications may get lost"))
		return nil
	case err == nil:
		return nil
	case ack != nil && len(ack.Reasons) == 1 && ack.Reasons[0] >= 0x80:
		return &refusal{"subscription to notify-next", ack.Reasons[0], err}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	l.trouble("subscribing", err)
	l.drop(ctx, alive)
	return errDropped
}

// request publishes one request and waits for its reply, accepted or rejected. Without a reply it
// returns errNoReply, errDropped, a *refusal or the cause of ctx's end.
func (l *link) request(ctx context.Context, op operation, topic string, req request) (*reply, error) {
	alive := l.current()
	if alive == nil {
		return nil, errDropped
	}
	payload, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", op, err)
	}
	w := waiter{topic: topic, reply: make(chan answer, 1)}
	l.mu.Lock()
	l.pending[req.ClientToken] = w
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.pending, req.ClientToken)
		l.mu.Unlock()
	}()

	bound, cancel := l.bound(ctx, alive)
	defer cancel()
	start := time.Now()
	ack, err := l.manager.Publish(bound, &paho.Publish{QoS: 1, Topic: topic, Payload: payload})
	if err != nil && ack != nil && ack.ReasonCode >= 0x80 {
		return nil, &refusal{"publish " + string(op), ack.ReasonCode, err}
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
func (l *link) onPublish(p *paho.Publish) {
	at := time.Now()
	if !l.topics.isOurs(p.Topic) {
		l.trouble("message on a topic of somebody else", errors.New(p.Topic))
		return
	}
	var r reply
	if err := json.Unmarshal(p.Payload, &r); err != nil {
		l.trouble("message on "+l.topics.suffix(p.Topic), err)
		return
	}
	switch {
	case l.topics.suffix(p.Topic) == notifyNext:
		e := event{Event: evNotified, Time: at, Thing: l.id.thing}
		if x := r.Execution; x != nil {
			e.Job, e.Execution, e.Status = x.JobID, x.ExecutionNumber, x.Status
			if x.JobID == "" || x.Status == "" || x.ExecutionNumber == 0 || x.JobDocument == nil {
				l.trouble("notify-next", errors.New("an execution without jobId, status, executionNumber or jobDocument"))
			}
		}
		l.rec.emit(e)
		ready(l.notified)
	case isReply(p.Topic):
		l.onReply(p.Topic, answer{&r, at})
	default:
		l.trouble("unexpected message", errors.New(l.topics.suffix(p.Topic)))
	}
}

func (l *link) onReply(topic string, a answer) {
	l.mu.Lock()
	w, ok := l.pending[a.ClientToken]
	delete(l.pending, a.ClientToken) // the first one counts
	l.mu.Unlock()
	if !ok {
		l.rec.add(func(r *report) { r.Unmatched++ })
		return
	}
	if isRejected(topic) != (a.Code != "") || (topic != w.topic+"/accepted" && topic != w.topic+"/rejected") {
		l.trouble("reply to "+l.topics.suffix(w.topic), fmt.Errorf("came on %s with code %q", l.topics.suffix(topic), a.Code))
	}
	w.reply <- a
}
