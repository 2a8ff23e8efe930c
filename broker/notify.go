package broker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

const (
	notifyWorkers = 4
	minBackoff    = time.Second
	maxBackoff    = time.Minute
)

// notifier turns the engine's hints into notify and notify-next. It has state only
// for things somebody here listens to: mochi's tree of subscriptions is not asked.
//
// Hints for one queue that come while it waits its turn become one: the state that is
// read then is the newest, and a state older than one published is never published.
// Nothing is published at start-up or on SUBSCRIBE; what a device misses while it is
// away, it learns by asking when it connects, or when its session resumes. spec:
// device-plane 7.
type notifier struct {
	b *Broker

	mu      sync.Mutex // guards what follows, and the fields of watch and queue that say so
	watches map[string]*watch
	ready   []*queue // to be read and published, each at most once
	closed  bool
	wake    *sync.Cond
}

// watch is a thing with at least one live subscription to its notifications.
type watch struct {
	thing string

	// guarded by notifier.mu. subs is replaced, never changed in place.
	subs   []subscription
	queues map[string]*queue // by namespace

	// Requests of subscribers between the engine and their reply. Publishing takes
	// hand, and waits until none is under way.
	hand   sync.Mutex
	held   int
	seq    uint64 // of holds ever
	parked bool   // something waits for held to be 0
}

// subscription is one filter of one connection that may match notifications.
type subscription struct {
	c      *client
	filter string // what follows $aws/things/T/
	qos    byte
}

// queue is what was last said about one queue of a thing.
type queue struct {
	watch     *watch
	namespace string

	// guarded by notifier.mu
	queued, running, again bool
	retry                  *time.Timer

	// guarded by watch.hand
	set, head uint64 // versions last published, or not to be
	backoff   time.Duration
	failing   uint64   // the head the backoff is for
	behind    []behind // resumed sessions that are to be told what they missed
}

func newNotifier(b *Broker) *notifier {
	n := &notifier{b: b, watches: make(map[string]*watch)}
	n.wake = sync.NewCond(&n.mu)
	return n
}

// Notify takes hints; it does not block.
func (n *notifier) Notify(hints []engine.Hint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range hints {
		w := n.watches[h.ThingName]
		if w == nil {
			continue
		}
		q := w.queues[h.NamespaceID]
		if q == nil {
			// A wildcard may be about any namespace, and only now shows which. Others
			// read its versions when they subscribed.
			if !w.listens(h.NamespaceID) {
				continue
			}
			q = &queue{watch: w, namespace: h.NamespaceID}
			w.queues[h.NamespaceID] = q
		}
		n.enqueue(q)
	}
}

// listens is called with notifier.mu held.
func (w *watch) listens(namespace string) bool {
	for _, next := range []bool{false, true} {
		topic := notifyTopic(w.thing, next, namespace)[len("$aws/things/")+len(w.thing)+1:]
		for _, s := range w.subs {
			if matches(s.filter, topic) {
				return true
			}
		}
	}
	return false
}

// enqueue is called with mu held.
func (n *notifier) enqueue(q *queue) {
	switch {
	case q.queued || n.closed || len(q.watch.subs) == 0:
	case q.running:
		q.again = true
	default:
		q.queued = true
		n.ready = append(n.ready, q)
		n.wake.Signal()
	}
}

// run publishes what is ready until close. Several may run; a queue is with one
// of them at a time.
func (n *notifier) run() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		for len(n.ready) == 0 && !n.closed {
			n.wake.Wait()
		}
		if n.closed {
			return
		}
		q := n.ready[0]
		n.ready[0] = nil
		if n.ready = n.ready[1:]; len(n.ready) == 0 {
			n.ready = nil
		}
		q.queued, q.running = false, true
		n.mu.Unlock()
		n.publish(q)
		n.mu.Lock()
		q.running = false
		if q.again {
			q.again = false
			n.enqueue(q)
		}
	}
}

func (n *notifier) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, w := range n.watches {
		w.stopTimers()
	}
	n.wake.Broadcast()
}

// optimisticReads is how often the state is read anew because a subscriber's
// request came between; then the next request waits for the read.
const optimisticReads = 3

// publish reads a queue and tells its subscribers what is new.
func (n *notifier) publish(q *queue) {
	w := q.watch
	for try := 1; ; try++ {
		w.hand.Lock()
		if w.held > 0 {
			w.parked = true
			w.hand.Unlock()
			return
		}
		if try > optimisticReads {
			n.tell(q, n.read(q))
			w.hand.Unlock()
			return
		}
		seq := w.seq
		w.hand.Unlock()
		r := n.read(q)
		w.hand.Lock()
		if w.seq == seq {
			n.tell(q, r)
			w.hand.Unlock()
			return
		}
		w.hand.Unlock()
	}
}

// reading is the state of a queue with the messages made from it.
type reading struct {
	set, head uint64
	notify    []byte
	next      []byte // nil with err
	err       error  // of the document
	failed    error  // of the whole reading
}

func (n *notifier) read(q *queue) (r reading) {
	defer func() {
		if p := recover(); p != nil {
			n.b.metrics.panics.Inc()
			r.failed = errPanic
			n.b.log.Error("panic in a notification", "thing", q.watch.thing, "err", p)
		}
	}()
	t, err := n.b.engine.ThingQueue(context.Background(), q.watch.thing, q.namespace)
	if err != nil {
		return reading{failed: err}
	}
	r = reading{set: t.SetVersion, head: t.HeadVersion}
	r.notify = wire.AppendNotify(nil, &t.PendingJobExecutions)
	var doc []byte
	switch {
	case t.Head == nil:
	case t.Document == nil:
		r.err = errNoDocument
	default:
		doc, r.err = n.b.document(nil, t.Document)
	}
	if r.err == nil {
		r.next = wire.AppendNotifyNext(nil, t.Time, t.Head, doc)
	}
	return r
}

var (
	errPanic      = jobsvc.Errorf(jobsvc.CodeInternal, "panic")
	errNoDocument = jobsvc.Errorf(jobsvc.CodeInternal, "the head of the queue has no document")
)

// tell writes what is newer than last time: notify, then notify-next. watch.hand is held,
// so no answer of a subscriber falls between; no write waits.
func (n *notifier) tell(q *queue, r reading) {
	switch {
	case jobsvc.ErrorCode(r.failed) == jobsvc.CodeNotFound:
		q.behind = nil
		return // the thing is gone
	case r.failed != nil:
		n.b.log.Error("notification failed, trying again", "thing", q.watch.thing, "err", r.failed)
		n.count(false, "error")
		n.retryLater(q, 0)
		return
	}
	if r.set > q.set {
		q.set = r.set
		n.deliver(q, false, r.set, r.notify)
		n.tellMissed(q, false, r.set)
	} else {
		n.deliverMissed(q, false, r.set, r.notify)
	}
	if r.head <= q.head && !q.missed(r.head) {
		q.behind = nil
		return
	}
	switch {
	case r.err != nil:
		// The device must not see a job without its document; its list it has.
		n.b.log.Error("notify-next cannot be filled in, trying again", "thing", q.watch.thing, "err", r.err)
		n.count(true, "unsigned")
		n.retryLater(q, r.head)
		return
	case len(r.next) > jobsvc.MaxMessageBytes:
		n.b.log.Error("notify-next is too large to be sent", "thing", q.watch.thing, "bytes", len(r.next))
		n.count(true, "too_large")
	case r.head > q.head:
		n.deliver(q, true, r.head, r.next)
		n.sabotage(q, r.head, r.next)
		n.tellMissed(q, true, r.head)
	default:
		n.deliverMissed(q, true, r.head, r.next)
	}
	q.head, q.backoff, q.behind = max(q.head, r.head), 0, nil
}

// retryLater puts the queue back after 1 s, doubling to 60 s while the head stays
// the same. watch.hand is held.
func (n *notifier) retryLater(q *queue, head uint64) {
	if q.failing != head {
		q.failing, q.backoff = head, 0
	}
	q.backoff = min(max(2*q.backoff, minBackoff), maxBackoff)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || len(q.watch.subs) == 0 {
		return
	}
	if q.retry != nil {
		q.retry.Stop()
	}
	q.retry = time.AfterFunc(q.backoff, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.enqueue(q)
	})
}

// deliver gives a message to every subscriber whose filters match, once.
func (n *notifier) deliver(q *queue, next bool, version uint64, payload []byte) {
	w := q.watch
	m := &message{topic: notifyTopic(w.thing, next, q.namespace), payload: payload, of: sent{q, next, version}}
	suffix := m.topic[len("$aws/things/")+len(w.thing)+1:]
	n.mu.Lock()
	subs := w.subs
	n.mu.Unlock()
	for i, s := range subs {
		qos, first := byte(0), true
		matched := false
		for j, o := range subs {
			if o.c != s.c || !matches(o.filter, suffix) || !o.c.keepsFilter(w.thing, o.filter) {
				continue
			}
			first = first && j >= i
			matched = true
			qos = max(qos, o.qos)
		}
		if !matched || !first || !matches(s.filter, suffix) {
			continue
		}
		n.count(next, s.c.send(m, qos))
	}
}

// keepsFilter tells whether policies still allow a subscription to $aws/things/thing/rest.
func (c *client) keepsFilter(thing, rest string) bool {
	who := c.who.Load()
	return who == nil || who.Judge == nil || who.MaySubscribe("$aws/things/"+thing+"/"+rest, c.b.now())
}

// denyDelivery notes a message that the connection subscribed to and may not get.
func (c *client) denyDelivery(who *auth.Connection, topic string) {
	c.b.denials.note("receive", denial{
		client: who.ClientID, certificate: who.CertificateID, addr: c.RemoteAddr().String(), things: who.Things,
		topic: topic, reason: who.WhyNotReceive(topic, c.b.now()),
	})
}

func (n *notifier) count(next bool, outcome string) {
	kind := "notify"
	if next {
		kind = "notify-next"
	}
	n.b.metrics.notifications.WithLabelValues(kind, outcome).Inc()
}

// hold keeps notifications of the thing back until release. nil watches nothing.
func (w *watch) hold() {
	if w == nil {
		return
	}
	w.hand.Lock()
	w.held++
	w.seq++
	w.hand.Unlock()
}

func (w *watch) release(n *notifier) {
	if w == nil {
		return
	}
	w.hand.Lock()
	w.held--
	parked := w.parked && w.held == 0
	if parked {
		w.parked = false
	}
	w.hand.Unlock()
	if !parked {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, q := range w.queues {
		n.enqueue(q)
	}
}

// watchOf gives the watch of a thing whose notifications this connection gets,
// or nil. The read goroutine calls it.
func (c *client) watchOf(thing string) *watch {
	for _, w := range c.watches {
		if w.thing == thing {
			return w
		}
	}
	return nil
}

// subscribe notes a filter if it can match notifications of one thing. What the
// queue's versions are now is read first: what changed before is no news. The
// read goroutine of c calls it.
func (n *notifier) subscribe(ctx context.Context, c *client, filter string, qos byte) {
	thing, rest, ok := splitOwn(filter)
	if !ok || !mayMatchNotify(rest) {
		return
	}
	namespaces := watchedNamespaces(rest)
	baseline := make([]*queue, 0, len(namespaces))
	for _, ns := range namespaces {
		if n.knows(thing, ns) {
			continue
		}
		q := &queue{namespace: ns}
		if t, err := n.b.engine.ThingQueue(ctx, thing, ns); err == nil {
			q.set, q.head = t.SetVersion, t.HeadVersion
		} else if jobsvc.ErrorCode(err) != jobsvc.CodeNotFound {
			n.b.log.Error("versions not read on SUBSCRIBE", "thing", thing, "err", err)
		}
		baseline = append(baseline, q)
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.watches[thing]
	if w == nil {
		w = &watch{thing: thing, queues: make(map[string]*queue)}
		n.watches[thing] = w
	}
	for _, q := range baseline {
		if w.queues[q.namespace] == nil {
			q.watch = w
			w.queues[q.namespace] = q
		}
	}
	subs := slices.DeleteFunc(slices.Clone(w.subs), func(s subscription) bool { return s.c == c && s.filter == rest })
	w.subs = append(subs, subscription{c, rest, qos})
	if c.watchOf(thing) == nil {
		c.watches = append(c.watches, w)
	}
}

func (n *notifier) knows(thing, namespace string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.watches[thing]
	return w != nil && w.queues[namespace] != nil
}

// unsubscribe forgets a filter of a connection. A connection that is gone has none.
func (n *notifier) unsubscribe(c *client, filter string) {
	if thing, rest, ok := splitOwn(filter); ok {
		n.mu.Lock()
		defer n.mu.Unlock()
		if w := n.watches[thing]; w != nil {
			n.keep(w, func(s subscription) bool { return s.c != c || s.filter != rest })
			if !slices.ContainsFunc(w.subs, func(s subscription) bool { return s.c == c }) {
				c.watches = slices.DeleteFunc(c.watches, func(o *watch) bool { return o == w })
			}
		}
	}
}

// remove forgets a connection.
func (n *notifier) remove(c *client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range c.watches {
		n.keep(w, func(s subscription) bool { return s.c != c })
	}
	c.watches = nil
	c.out.close()
}

// keep leaves the subscriptions that pass, and drops the watch with the last one.
// mu is held.
func (n *notifier) keep(w *watch, pass func(subscription) bool) {
	var subs []subscription
	for _, s := range w.subs {
		if pass(s) {
			subs = append(subs, s)
		}
	}
	w.subs = subs
	if len(subs) == 0 && n.watches[w.thing] == w {
		w.stopTimers()
		delete(n.watches, w.thing)
	}
}

// stopTimers is called with notifier.mu held.
func (w *watch) stopTimers() {
	for _, q := range w.queues {
		if q.retry != nil {
			q.retry.Stop()
		}
	}
}

// forget begins anew with a thing that was deleted: one made again under its name
// counts its versions from the start.
func (n *notifier) forget(thing string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.watches[thing]; w != nil {
		w.stopTimers()
		w.queues = make(map[string]*queue)
	}
}

// splitOwn takes $aws/things/T/ off a filter that names T.
func splitOwn(filter string) (thing, rest string, ok bool) {
	rest, ok = strings.CutPrefix(filter, "$aws/things/")
	if !ok {
		return "", "", false
	}
	thing, rest, ok = strings.Cut(rest, "/")
	return thing, rest, ok && thing != "+" && thing != "#"
}

// mayMatchNotify tells whether a filter behind $aws/things/T/ can match a
// notification of any namespace.
func mayMatchNotify(rest string) bool {
	first, second, more := strings.Cut(rest, "/")
	switch {
	case first == "#":
		return true
	case first != "jobs" && first != "+" || !more:
		return false
	case second == "#" || second == "+" || second == "+/#":
		return true
	}
	second, _ = strings.CutSuffix(second, "/#")
	_, _, ok := parseNotify(second)
	return ok
}

// watchedNamespaces lists the namespaces a filter is sure to be about: the plain
// one for wildcards.
func watchedNamespaces(rest string) []string {
	_, second, _ := strings.Cut(rest, "/")
	second, _ = strings.CutSuffix(second, "/#")
	if _, ns, ok := parseNotify(second); ok {
		return []string{ns}
	}
	return []string{""}
}

// message is a notification on its way to its subscribers.
type message struct {
	topic   string
	payload []byte
	of      sent
	again   uint16 // the identifier it was sent with before; 0: never
}

// sent says what a message tells of; queue is nil for an event.
type sent struct {
	queue   *queue
	next    bool
	version uint64
}

// outbox numbers the QoS 1 messages to one connection and keeps what the client's
// window has no room for: of each topic the newest. The identifiers are our own, from
// 0x8000 up, and never enter mochi's table, which takes the client's for the same.
// What is unacknowledged when the connection ends, a session that is kept is told again
// when it resumes; any other device asks.
type outbox struct {
	sync.Mutex
	window   int
	last     uint16
	inflight map[uint16]sent
	waiting  []*message
	closed   bool
}

func (o *outbox) close() {
	o.Lock()
	defer o.Unlock()
	o.closed, o.waiting = true, nil
}

// wait is called with o locked. A message goes to the end, so that notify stays before
// the notify-next of the same commit.
func (o *outbox) wait(m *message) {
	o.waiting = append(slices.DeleteFunc(o.waiting, func(w *message) bool { return w.topic == m.topic }), m)
}

// send writes a notification, or keeps it until the client acknowledges another.
// It tells what became of it, for the metric.
func (c *client) send(m *message, qos byte) (outcome string) {
	who := c.who.Load()
	if who == nil {
		return "denied"
	}
	if !who.MayReceive(m.topic, c.b.now()) {
		c.denyDelivery(who, m.topic)
		return "denied"
	}
	p := publish{version: c.version, topic: m.topic, payload: m.payload}
	if qos > 0 {
		p.id = 0x8000
	}
	if !c.fits(&p) {
		c.b.log.Warn("notification does not fit the client's Maximum Packet Size", "topic", m.topic, "bytes", p.size())
		return "too_large"
	}
	ending := c.endingCode() != 0
	if qos == 0 {
		if ending {
			return "denied"
		}
		c.Write(p.append(make([]byte, 0, p.size())))
		return "sent"
	}
	o := &c.out
	o.Lock()
	defer o.Unlock()
	switch {
	case o.closed:
		return "gone"
	case ending: // nothing is written any more; the session, if it is kept, was not told
		o.wait(m)
		return "denied"
	case len(o.inflight) >= o.window || len(o.waiting) > 0:
		o.wait(m)
		return "waiting"
	}
	c.writeNumbered(m)
	return "sent"
}

// writeNumbered is called with out locked, so that identifiers leave in order.
func (c *client) writeNumbered(m *message) (id uint16) {
	o := &c.out
	if o.inflight == nil {
		o.inflight = make(map[uint16]sent)
	}
	p := publish{version: c.version, topic: m.topic, payload: m.payload, id: m.again}
	_, taken := o.inflight[p.id]
	if p.dup = p.id != 0 && !taken; !p.dup {
		for taken = true; taken; {
			o.last = o.last%0x7FFF + 1
			_, taken = o.inflight[0x8000+o.last-1]
		}
		p.id = 0x8000 + o.last - 1
	}
	o.inflight[p.id] = m.of
	c.Write(p.append(make([]byte, 0, p.size())))
	return p.id
}

// acknowledged makes room for what waits.
func (c *client) acknowledged(id uint16) {
	o := &c.out
	o.Lock()
	delete(o.inflight, id)
	for len(o.waiting) > 0 && len(o.inflight) < o.window && c.endingCode() == 0 {
		m := o.waiting[0]
		o.waiting = o.waiting[1:]
		c.writeNumbered(m)
	}
	o.Unlock()
	c.b.events.acknowledged(c.events, id)
	c.b.lifecycle.acknowledged(c)
}
