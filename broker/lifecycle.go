package broker

import (
	"cmp"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

const (
	// lifecycleQueue bounds the events that wait for one subscriber.
	lifecycleQueue = 1000
	// lifecycleRetry is when a subscriber that reads slowly is tried again.
	lifecycleRetry = 50 * time.Millisecond
	// versionsKept bounds of how many clients that went the version number is known, and
	// versionLife how long.
	versionsKept = 10_000
	versionLife  = time.Hour
)

// lifecycle publishes presence and subscription events to those who are connected. They
// are not stored: who was not there does not get them. What a subscriber has no room for
// waits in a queue with a bound, from which the oldest fall out.
type lifecycle struct {
	b *Broker
	// wanted tells whether anybody listens, for those who would otherwise make events in vain.
	wanted atomic.Int32

	mu   sync.Mutex
	subs map[*client]*lifecycleSubscriber
}

type lifecycleSubscriber struct {
	filters map[string]byte // by what follows $aws/events/
	queue   []*message      // QoS 1, that wait
	retry   *time.Timer
}

func newLifecycle(b *Broker) *lifecycle {
	return &lifecycle{b: b, subs: make(map[*client]*lifecycleSubscriber)}
}

// cutLifecycle takes $aws/events/ off a filter that may match events of this kind, and
// tells whether it matches those of jobs, too.
func cutLifecycle(filter string) (rest string, ok, jobs bool) {
	rest, ok = cutEvents(filter)
	if !ok {
		return "", false, true
	}
	switch first, _, _ := strings.Cut(rest, "/"); first {
	case "presence", "subscriptions":
		return rest, true, false
	case "+", "#":
		return rest, true, true
	}
	return "", false, true
}

// subscribe notes a filter of a connection.
func (l *lifecycle) subscribe(c *client, filter string, qos byte) {
	rest, ok, _ := cutLifecycle(filter)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.subs[c]
	if s == nil {
		s = &lifecycleSubscriber{filters: make(map[string]byte)}
		l.subs[c] = s
		l.wanted.Add(1)
	}
	s.filters[rest] = qos
}

func (l *lifecycle) unsubscribe(c *client, filter string) {
	rest, ok, _ := cutLifecycle(filter)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.subs[c]; s != nil {
		if delete(s.filters, rest); len(s.filters) == 0 {
			l.drop(c)
		}
	}
}

// remove forgets a connection.
func (l *lifecycle) remove(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(c)
}

// drop is called with mu held.
func (l *lifecycle) drop(c *client) {
	s := l.subs[c]
	if s == nil {
		return
	}
	if s.retry != nil {
		s.retry.Stop()
	}
	delete(l.subs, c)
	l.wanted.Add(-1)
}

// publish hands a message to those who listen. It does not wait.
func (l *lifecycle) publish(m *message) {
	rest, _ := cutEvents(m.topic)
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, s := range l.subs {
		qos, matched := byte(0), false
		for filter, q := range s.filters {
			if matches(filter, rest) && c.keepsEvents(filter) {
				qos, matched = max(qos, q), true
			}
		}
		switch {
		case !matched:
		case qos == 0:
			_, outcome := c.sendEvent(m, 0)
			l.count(outcome)
		default:
			if len(s.queue) == lifecycleQueue {
				s.queue[0] = nil
				s.queue = s.queue[1:]
				l.count("dropped")
			}
			s.queue = append(s.queue, m)
			l.drain(c, s)
		}
	}
}

func (l *lifecycle) count(outcome string) { l.b.metrics.events.WithLabelValues(outcome).Inc() }

// drain sends what waits as far as there is room. mu is held.
func (l *lifecycle) drain(c *client, s *lifecycleSubscriber) {
	for len(s.queue) > 0 {
		_, outcome := c.sendEvent(s.queue[0], 1)
		switch outcome {
		case "waiting": // for an acknowledgement
			return
		case "busy":
			if s.retry == nil {
				s.retry = time.AfterFunc(lifecycleRetry, func() {
					l.mu.Lock()
					defer l.mu.Unlock()
					s.retry = nil
					if l.subs[c] == s {
						l.drain(c, s)
					}
				})
			}
			return
		}
		l.count(outcome)
		s.queue[0] = nil
		s.queue = s.queue[1:]
	}
	s.queue = nil
}

// acknowledged makes room for what waits.
func (l *lifecycle) acknowledged(c *client) {
	if l.wanted.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.subs[c]; s != nil {
		l.drain(c, s)
	}
}

// visit is what presence events say of a connection from its beginning to its end. The
// read goroutine owns it.
type visit struct {
	id      string // sessionIdentifier
	version int64

	// What the packet being processed added and took away, told after it is acknowledged.
	subscribed, unsubscribed []string

	goodbye bool                    // DISCONNECT was received
	reason  jobsvc.DisconnectReason // why the broker ends it, once it does
	detail  string
	err     error // with which reading ended
}

// arrived tells that a connection is let in.
func (l *lifecycle) arrived(c *client) {
	c.visit.id = uuid.NewString()
	if l.wanted.Load() > 0 {
		e := c.presence()
		e.Connected, e.IPAddress = true, c.sourceIP()
		l.presence(e)
	}
}

// departed tells that it is gone.
func (l *lifecycle) departed(c *client) {
	if l.wanted.Load() > 0 {
		e := c.presence()
		e.DisconnectReason, e.Detail = c.whyGone()
		e.ClientInitiated = e.DisconnectReason == jobsvc.DisconnectClient
		l.presence(e)
	}
}

func (l *lifecycle) presence(e *jobsvc.PresenceEvent) {
	if topic := wire.PresenceTopic(e); topic != "" {
		l.publish(&message{topic: topic, payload: wire.EncodePresenceEvent(e, l.b.events.opt.StrictShape)})
	}
}

func (c *client) presence() *jobsvc.PresenceEvent {
	e := &jobsvc.PresenceEvent{
		ClientID: c.clientID(), At: c.b.now(), SessionIdentifier: c.visit.id, PrincipalIdentifier: cmp.Or(c.id.CertificateID, c.id.AccessKeyID), VersionNumber: c.visit.version,
	}
	if who := c.who.Load(); who != nil && len(who.Things) == 1 {
		e.ThingName = who.Things[0]
	}
	return e
}

// changed tells what a packet did to the subscriptions of a connection.
func (l *lifecycle) changed(c *client) {
	v := &c.visit
	if v.subscribed == nil && v.unsubscribed == nil {
		return
	}
	l.subscribed(c, true, v.subscribed)
	l.subscribed(c, false, v.unsubscribed)
	v.subscribed, v.unsubscribed = nil, nil
}

// subscribed tells of filters that a packet added or took away.
func (l *lifecycle) subscribed(c *client, yes bool, filters []string) {
	if len(filters) == 0 || l.wanted.Load() == 0 {
		return
	}
	e := &jobsvc.SubscriptionEvent{
		ClientID: c.clientID(), At: c.b.now(), Subscribed: yes, SessionIdentifier: c.visit.id, PrincipalIdentifier: cmp.Or(c.id.CertificateID, c.id.AccessKeyID), Topics: filters,
	}
	if topic := wire.SubscriptionTopic(e); topic != "" {
		l.publish(&message{topic: topic, payload: wire.EncodeSubscriptionEvent(e)})
	}
}

// whyGone says why the connection ended.
func (c *client) whyGone() (reason jobsvc.DisconnectReason, detail string) {
	c.ending.Lock()
	asked, code, why := c.ending.done, c.ending.code, c.ending.reason
	c.ending.Unlock()
	v := &c.visit
	switch {
	case v.goodbye:
		return jobsvc.DisconnectClient, ""
	case v.reason != "":
		return v.reason, v.detail
	case asked && code == codeTakenOver:
		return jobsvc.DisconnectDuplicate, why
	case asked && code == codeAdministrative:
		return jobsvc.DisconnectAPI, why
	case asked:
		return jobsvc.DisconnectServer, why
	case errors.Is(v.err, os.ErrDeadlineExceeded):
		return jobsvc.DisconnectKeepAlive, ""
	}
	return jobsvc.DisconnectLost, ""
}

// versions counts the connections of client IDs. Sessions.mu guards it.
type versions map[string]lastVersion

type lastVersion struct {
	number int64
	at     time.Time // when the last connection ended
}

// next gives the number of a connection that begins: 0 when none is known.
func (v versions) next(clientID string, now time.Time) int64 {
	last, ok := v[clientID]
	delete(v, clientID)
	if !ok || now.Sub(last.at) > versionLife {
		return 0
	}
	return last.number + 1
}

func (v versions) left(clientID string, number int64, now time.Time) {
	for id, last := range v { // there is no order: any of those goes
		if len(v) < versionsKept && now.Sub(last.at) <= versionLife {
			break
		}
		delete(v, id)
	}
	v[clientID] = lastVersion{number, now}
}
