package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/policy"
)

// Documents fills the placeholders of a job document as it leaves (package presign).
type Documents interface {
	// Substitute appends the document to dst with every placeholder replaced by
	// a presigned URL. An error is a *jobsvc.Error fit for the device, or internal.
	Substitute(dst []byte, doc *jobsvc.Document, now time.Time) ([]byte, error)
}

// engineAPI is what the broker calls: *engine.Engine, or a script in our tests.
type engineAPI interface {
	GetPendingJobExecutions(ctx context.Context, thing string) (*jobsvc.PendingJobExecutions, error)
	StartNextPendingJobExecution(ctx context.Context, r *jobsvc.StartNextPendingJobExecutionRequest) (*jobsvc.DeviceExecution, error)
	DescribePendingJobExecution(ctx context.Context, r *jobsvc.DescribeJobExecutionRequest) (*jobsvc.DeviceExecution, error)
	UpdateJobExecution(ctx context.Context, r *jobsvc.UpdateJobExecutionRequest) (*jobsvc.UpdateJobExecutionResult, error)
	ThingQueue(ctx context.Context, thing, namespace string) (*jobsvc.ThingQueue, error)
	Binding(ctx context.Context, certificateID string) (*jobsvc.Binding, error)
	ConnectionJudge(ctx context.Context, b *jobsvc.Binding, clientID, sourceIP string, always bool) (j *policy.Judge, groups []string, err error)
	PolicyDocument(ctx context.Context, name string) (*policy.Document, error)
	ThingExists(ctx context.Context, name string) (bool, error)
	AccessKey(ctx context.Context, id string) (*jobsvc.AccessKey, error)
	ThingConnected(thing string, connected bool, at time.Time)

	Now(ctx context.Context) (time.Time, error)
	ThingVersions(ctx context.Context, things []string) ([]jobsvc.ThingVersions, error)
	Session(ctx context.Context, clientID string) (*jobsvc.Session, error)
	SaveSession(ctx context.Context, s *jobsvc.Session) error
	DeleteSession(ctx context.Context, clientID string) error
	SweepSessions(ctx context.Context, after string, limit int, started, now time.Time, connected func(clientID string) bool) (next string, left, expired int, err error)

	Account() jobsvc.Account
	WantEvents(wanted bool)
	SaveEventPlaces(ctx context.Context, places map[string]int64) error
	EventPlaces(ctx context.Context) (map[string]int64, error)
	EventsStored() <-chan struct{}
	EventStamp(ctx context.Context) (int64, error)
	Events(ctx context.Context, after int64, limit int) ([]jobsvc.Event, error)
	RemoveEvents(ctx context.Context, after, to int64) error
}

// Limits protect the installation. Zero means the default.
type Limits struct {
	ConnectTimeout      time.Duration // from accept to CONNECT, TLS handshake included; 10 s
	WriteBuffer         int           // bytes kept for a connection that does not read; 256 KiB
	SessionExpiry       time.Duration // of sessions without a connection, at most; 1 h
	FiltersPerSubscribe int           // the rest is refused; 32
	Subscriptions       int           // per connection; 50
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	number := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	set(&l.ConnectTimeout, 10*time.Second)
	set(&l.SessionExpiry, time.Hour)
	number(&l.WriteBuffer, 256<<10)
	number(&l.FiltersPerSubscribe, 32)
	number(&l.Subscriptions, 50)
	return l
}

// Options is what a Broker is made from.
type Options struct {
	Engine *engine.Engine // required
	// Documents fills placeholders. Without it a document that has some is not
	// delivered.
	Documents Documents
	// Link, if any, is what the engine was given as its Notifier and Sessions.
	Link       *Link
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil: no metrics
	// Now is the clock of refusals and signatures; nil means time.Now. Answers carry
	// the engine's time.
	Now    func() time.Time
	Limits Limits
	Events EventOptions
	// OperatorCertificates are the IDs of certificates that may subscribe to events. They
	// need no thing.
	OperatorCertificates []string
	// AuthMode says what decides about devices; "" is auth.ModeAuto.
	AuthMode auth.Mode
}

// Broker serves MQTT connections. Make one with New, end it with Close.
type Broker struct {
	engine    engineAPI
	documents Documents
	log       *slog.Logger
	now       func() time.Time
	limits    Limits
	metrics   *metrics
	denials   *denials

	mqtt     *mqtt.Server
	hook     *hook
	sessions *Sessions
	// operators are the IDs of their certificates.
	operators map[string]struct{}
	authMode  auth.Mode
	notifier  *notifier
	events    *events
	lifecycle *lifecycle

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	clients   map[*client]struct{} // every connection ServeConn runs
	pending   map[net.Conn]struct{}
	closing   bool

	conns   sync.WaitGroup // goroutines of connections; Add under mu while not closing
	workers sync.WaitGroup
}

// New makes a Broker and starts its workers. It listens nowhere yet.
func New(o Options) (*Broker, error) {
	if o.Engine == nil {
		return nil, errors.New("broker: no engine")
	}
	return newBroker(o.Engine, o)
}

func newBroker(e engineAPI, o Options) (*Broker, error) {
	b := &Broker{
		engine:    e,
		documents: o.Documents,
		log:       o.Logger,
		now:       o.Now,
		limits:    o.Limits.withDefaults(),
		listeners: make(map[net.Listener]struct{}),
		clients:   make(map[*client]struct{}),
		operators: make(map[string]struct{}),
		pending:   make(map[net.Conn]struct{}),
		authMode:  o.AuthMode,
	}
	if b.authMode == "" {
		b.authMode = auth.ModeAuto
	}
	for _, id := range o.OperatorCertificates {
		b.operators[id] = struct{}{}
	}
	if b.documents == nil {
		b.documents = plainDocuments{}
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.now == nil {
		b.now = time.Now
	}
	var err error
	if b.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	b.denials = &denials{log: b.log, metrics: b.metrics, now: b.now}

	b.mqtt = mqtt.New(&mqtt.Options{
		Capabilities: &mqtt.Capabilities{
			MaximumClients:               1 << 40,
			MaximumSessionExpiryInterval: uint32(b.limits.SessionExpiry / time.Second),
			MaximumClientWritesPending:   1, // nothing passes through it, see attach
			MaximumPacketSize:            200_000,
			ReceiveMaximum:               receiveMaximum,
			MaximumInflight:              1000,
			SharedSubAvailable:           1,
			MinimumProtocolVersion:       4,
			MaximumQos:                   1,
			RetainAvailable:              1,
			WildcardSubAvailable:         1,
			Compatibilities:              mqtt.Compatibilities{NoInheritedPropertiesOnAck: true},
			// Zero: no expiry added to messages, no topic aliases, no subscription identifiers.
		},
		ClientNetReadBufferSize:  1024,
		ClientNetWriteBufferSize: 1024,
		Logger:                   slog.New(slog.DiscardHandler), // it prints whole packets
	})
	b.hook = &hook{b: b}
	if err := b.mqtt.AddHook(b.hook, nil); err != nil {
		return nil, err
	}
	if b.sessions, err = newSessions(b); err != nil {
		return nil, err
	}
	b.notifier = newNotifier(b)
	b.lifecycle = newLifecycle(b)
	if b.events, err = newEvents(b, o.Events); err != nil {
		return nil, err
	}
	b.workers.Go(b.sessions.run)
	b.workers.Go(b.sessions.sweep)
	b.workers.Go(b.events.run)
	for range notifyWorkers {
		b.workers.Go(b.notifier.run)
	}
	if o.Link != nil {
		o.Link.b.Store(b)
	}
	return b, nil
}

// Sessions tells which things are connected, and ends connections.
func (b *Broker) Sessions() *Sessions { return b.sessions }

// Notify takes the engine's hints. It implements engine.Notifier.
func (b *Broker) Notify(hints []engine.Hint) { b.notifier.Notify(hints) }

var (
	_ engine.Notifier = (*Broker)(nil)
	_ engineAPI       = (*engine.Engine)(nil)
)

// Serve accepts MQTT over TLS on ln until ln fails for good, ctx ends or the
// Broker closes; it closes ln and returns nil in the last two cases. cfg must ask
// for client certificates without judging them (tls.RequireAnyClientCert): which
// one may connect is decided here, by the registry.
func (b *Broker) Serve(ctx context.Context, ln net.Listener, cfg *tls.Config) error {
	if cfg == nil {
		ln.Close()
		return errors.New("broker: Serve without TLS; ServeInsecure is for development")
	}
	return b.serve(ctx, ln, func(nc net.Conn) { b.serveTLS(nc, cfg) })
}

// ServeInsecure is Serve for plain MQTT, where anyone is the thing that his
// client ID names. It is for development.
func (b *Broker) ServeInsecure(ctx context.Context, ln net.Listener) error {
	return b.serve(ctx, ln, func(nc net.Conn) { b.ServeConn(nc, Identity{Insecure: true}) })
}

// ServeConn serves one connection until it ends. The caller has done what is
// below MQTT: the TLS handshake (HTTPS listener with an MQTT ALPN), WebSocket framing.
// Writes to nc may block; ServeConn closes it.
func (b *Broker) ServeConn(nc net.Conn, id Identity) {
	c := newConn(nc, b.limits.WriteBuffer)
	c.SetReadDeadline(time.Now().Add(b.limits.ConnectTimeout))
	b.serveConn(c, c, id)
}

// Close stops accepting, lets every connection answer the request it is working on,
// ends them all (MQTT 5 clients are told) and stops the workers. It returns ctx's
// error when that takes too long; connections are then cut.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closing = true
	for ln := range b.listeners {
		ln.Close()
	}
	for nc := range b.pending {
		nc.Close()
	}
	for c := range b.clients {
		c.end(codeShuttingDown, "the server is shutting down")
	}
	b.mu.Unlock()

	done := make(chan struct{})
	go func() {
		defer close(done)
		b.conns.Wait()
		b.notifier.close()
		b.sessions.close()
		b.events.close()
		b.workers.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		b.mu.Lock()
		for c := range b.clients {
			c.bottom.Conn.Close()
		}
		b.mu.Unlock()
		return ctx.Err()
	}
}

// add notes a connection. It is false when the Broker is closing.
func (b *Broker) add(c *client) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return false
	}
	b.clients[c] = struct{}{}
	b.conns.Add(1)
	return true
}

func (b *Broker) remove(c *client) {
	b.mu.Lock()
	delete(b.clients, c)
	b.mu.Unlock()
	b.conns.Done()
}
