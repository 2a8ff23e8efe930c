package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/policy"
)

// Sessions knows the live connections. It hears from the engine when a certificate or a
// thing changes. Sessions without a connection are in the store.
//
// A client ID has one connection at a time: a newcomer ends the old one and waits
// until nothing is left of it. mochi alone would leave a moment in which the old one's
// goroutine removes the newcomer's session.
type Sessions struct {
	b *Broker

	started time.Time // by the engine's clock
	ctx     context.Context
	cancel  context.CancelFunc

	mu   sync.Mutex // guards what follows
	live map[string]*client
	// claiming has the client IDs that a connection is about to get; closed when it did.
	claiming map[string]chan struct{}
	// parked are the subscriptions to events of sessions without a connection. Those are
	// operators', and few.
	parked map[string]*parkedEvents
	// things and certs list the live connections to look at again when one changes.
	things map[string][]*client
	certs  map[string][]*client
	// epoch counts the changes heard of: a decision that began before one is void.
	epoch   uint64
	recheck map[*client]struct{}
	closed  bool
	// pending changes of the number of stored sessions are under way, changes are made.
	pending, changes atomic.Int64
	// policies are the names of those that changed.
	policies map[string]struct{}
	// versions are those of client IDs without a connection.
	versions versions

	wake *sync.Cond // recheck or closed changed
}

// parkedEvents are subscriptions to events without a connection.
type parkedEvents struct {
	sub    *subscriber
	expiry *time.Timer
}

func newSessions(b *Broker) (*Sessions, error) {
	s := &Sessions{
		b:        b,
		live:     make(map[string]*client),
		claiming: make(map[string]chan struct{}),
		parked:   make(map[string]*parkedEvents),
		things:   make(map[string][]*client),
		certs:    make(map[string][]*client),
		recheck:  make(map[*client]struct{}),
		versions: make(versions),
		policies: make(map[string]struct{}),
	}
	s.wake = sync.NewCond(&s.mu)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var err error
	s.started, err = b.engine.Now(s.ctx)
	return s, err
}

var _ engine.Sessions = (*Sessions)(nil)

// CertificateChanged implements engine.Sessions: connections of the certificate
// are bound anew, or ended.
func (s *Sessions) CertificateChanged(certificateID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.lookAgain(s.certs[certificateID])
}

// ThingDeleted implements engine.Sessions: connections lose the thing. Sessions kept for
// it have its ID, and a thing made again under its name is another thing: they end when
// they are looked at.
func (s *Sessions) ThingDeleted(thingName string) {
	s.mu.Lock()
	s.epoch++
	s.lookAgain(s.things[thingName])
	s.mu.Unlock()
	s.b.notifier.forget(thingName)
}

// ThingChanged implements engine.Sessions: connections of the thing that policies decide
// about are judged by what it is now.
func (s *Sessions) ThingChanged(thingName string) {
	if s.b.authMode == auth.ModeThings {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.lookAgain(s.things[thingName])
}

// ThingGroupChanged implements engine.Sessions.
func (s *Sessions) ThingGroupChanged(groupName string) {
	if s.b.authMode == auth.ModeThings {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++ // those who are being bound begin again
	s.lookAgain(s.affected(func(who *auth.Connection) bool { return slices.Contains(who.Groups, groupName) }))
}

// AccessKeyDeleted implements engine.Sessions: connections that signed with it end.
func (s *Sessions) AccessKeyDeleted(accessKeyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.lookAgain(s.affected(func(who *auth.Connection) bool { return who.AccessKeyID == accessKeyID }))
}

// PolicyChanged implements engine.Sessions.
func (s *Sessions) PolicyChanged(policyName string) {
	if s.b.authMode == auth.ModeThings {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.policies[policyName] = struct{}{}
	s.wake.Signal()
}

// affected looks through all connections: what they have in common changes rarely, and
// lists of them would have to be kept for every one that comes and goes. mu is held.
func (s *Sessions) affected(is func(who *auth.Connection) bool) (clients []*client) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	for c := range s.b.clients {
		if who := c.who.Load(); who != nil && is(who) {
			clients = append(clients, c)
		}
	}
	return clients
}

// judgeAnew puts the present version of a policy in the place of the one that connections
// are judged by. A whole fleet may be under it, so nothing is read for each connection; only
// for those that the policy does not let connect any more, or asks something new about.
func (s *Sessions) judgeAnew(name string) {
	doc, err := s.b.engine.PolicyDocument(context.Background(), name)
	if err != nil {
		s.b.log.Error("policy not read", "policy", name, "err", err)
		doc = nil // each connection finds out for itself
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.b.now()
	var rest []*client
	for _, c := range s.affected(func(who *auth.Connection) bool { return who.Judge != nil && who.Judge.Under(name) }) {
		who := *c.who.Load()
		if doc != nil {
			who.Judge = who.Judge.With(name, doc)
		}
		switch {
		case c.gone:
		case doc == nil || who.Judge == nil || !who.MayConnect(now):
			rest = append(rest, c)
		default:
			c.who.Store(&who)
		}
	}
	s.lookAgain(rest)
}

// lookAgain is called with mu held.
func (s *Sessions) lookAgain(clients []*client) {
	for _, c := range clients {
		s.recheck[c] = struct{}{}
	}
	s.wake.Signal()
}

// Kick ends the connection of a client ID, if there is one. MQTT 5 clients are
// told the reason.
func (s *Sessions) Kick(clientID, reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.live[clientID]
	if ok {
		c.end(codeAdministrative, reason)
	}
	return ok
}

// Connected lists the client IDs of live connections bound to a thing.
func (s *Sessions) Connected(thingName string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.things[thingName]))
	for _, c := range s.things[thingName] {
		ids = append(ids, c.who.Load().ClientID)
	}
	slices.Sort(ids)
	return ids
}

// run looks again at connections whose certificate or things changed.
func (s *Sessions) run() {
	for {
		s.mu.Lock()
		for len(s.recheck) == 0 && len(s.policies) == 0 && !s.closed {
			s.wake.Wait()
		}
		if s.closed {
			s.mu.Unlock()
			return
		}
		if name, ok := takeOne(s.policies); ok {
			s.mu.Unlock()
			s.judgeAnew(name)
			continue
		}
		var c *client
		for c = range s.recheck {
			break
		}
		delete(s.recheck, c)
		id := ""
		if who := c.who.Load(); who != nil {
			id = who.ClientID
		}
		s.mu.Unlock()
		if err := s.bind(c, id); err != nil {
			s.b.denials.note("binding", denial{client: id, certificate: c.id.CertificateID, addr: c.RemoteAddr().String(), reason: err.Error()})
			reason := "the certificate cannot be checked now" // a store in trouble lets nobody stay
			if r := (*auth.Refusal)(nil); errors.As(err, &r) {
				reason = r.Reason
			}
			c.end(codeNotAuthorized, reason)
		}
	}
}

func takeOne(set map[string]struct{}) (name string, ok bool) {
	for name = range set {
		delete(set, name)
		return name, true
	}
	return "", false
}

func (s *Sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.cancel()
	for id := range s.parked {
		s.b.events.forget(s.unpark(id))
	}
	s.wake.Broadcast()
}

// bind decides what the connection may act for and enters it under that. It
// decides again when something changed meanwhile, so that no change is missed.
// A connection that has left stays out.
func (s *Sessions) bind(c *client, clientID string) error {
	for {
		s.mu.Lock()
		epoch := s.epoch
		s.mu.Unlock()
		who, err := s.decide(c, clientID)
		if err != nil {
			return err
		}
		s.mu.Lock()
		if s.epoch != epoch {
			s.mu.Unlock()
			continue
		}
		if !c.gone {
			before := c.who.Load()
			s.unlist(c)
			c.who.Store(who)
			s.list(c, who)
			if c.claimed {
				s.tellPresence(before)
				s.tellPresence(who)
			}
		}
		s.mu.Unlock()
		return nil
	}
}

func (s *Sessions) decide(c *client, clientID string) (*auth.Connection, error) {
	ctx := context.Background()
	exists := func(name string) (bool, error) { return s.b.engine.ThingExists(ctx, name) }
	switch {
	case c.id.CertificateID != "":
		binding, err := s.b.engine.Binding(ctx, c.id.CertificateID)
		if jobsvc.ErrorCode(err) == jobsvc.CodeNotFound {
			return nil, &auth.Refusal{Reason: "the certificate is not registered"}
		}
		if err != nil {
			return nil, err
		}
		_, operator := s.b.operators[c.id.CertificateID]
		var judge *policy.Judge
		var groups []string
		if s.b.authMode != auth.ModeThings {
			judge, groups, err = s.b.engine.ConnectionJudge(ctx, binding, clientID, c.sourceIP(), s.b.authMode == auth.ModePolicy)
			if err != nil {
				return nil, err
			}
		}
		var who *auth.Connection
		switch {
		case judge != nil:
			who, err = auth.BindPolicies(binding, clientID, s.b.now(), judge, operator)
		case operator:
			who, err = auth.BindOperator(binding, clientID, s.b.now(), exists)
		default:
			who, err = auth.Bind(binding, clientID, s.b.now(), exists)
		}
		if err != nil {
			return nil, err
		}
		who.Groups = groups
		return who, nil
	case c.id.AccessKeyID != "":
		_, err := s.b.engine.AccessKey(ctx, c.id.AccessKeyID)
		if jobsvc.ErrorCode(err) == jobsvc.CodeUnknownAccessKey {
			return nil, &auth.Refusal{Reason: "the access key is revoked"}
		}
		if err != nil {
			return nil, err
		}
		return auth.BindAccessKey(c.id.AccessKeyID, clientID, exists)
	case c.id.Insecure:
		return auth.BindInsecure(clientID, exists)
	}
	return nil, &auth.Refusal{Reason: "no client certificate"}
}

func (s *Sessions) list(c *client, who *auth.Connection) {
	if who.CertificateID != "" {
		s.certs[who.CertificateID] = append(s.certs[who.CertificateID], c)
	}
	for _, t := range who.Things {
		s.things[t] = append(s.things[t], c)
	}
}

func (s *Sessions) unlist(c *client) {
	who := c.who.Load()
	if who == nil {
		return
	}
	without := func(m map[string][]*client, key string) {
		if m[key] = slices.DeleteFunc(m[key], func(o *client) bool { return o == c }); len(m[key]) == 0 {
			delete(m, key)
		}
	}
	without(s.certs, who.CertificateID)
	for _, t := range who.Things {
		without(s.things, t)
	}
}

// tellPresence tells the engine which of the things of a connection that got its client
// ID, went or changed have one. One that waits for its ID counts when another goes: it
// takes over. The engine knows what is no news. mu is held, so that it hears in order.
func (s *Sessions) tellPresence(who *auth.Connection) {
	if who == nil {
		return
	}
	now := s.b.now()
	for _, t := range who.Things {
		s.b.engine.ThingConnected(t, len(s.things[t]) > 0, now)
	}
}

var (
	errOwned = &auth.Refusal{Reason: "the client ID belongs to a session of another thing"}
	errBusy  = errors.New("the connection that had the client ID did not end in time")
)

// claim makes c the connection of its client ID. A live connection or stored
// session of the ID must belong to the same things; the live one is ended. The stored one
// is resumed, or ends.
func (s *Sessions) claim(c *client, cl *mqtt.Client) error {
	timeout := time.NewTimer(s.b.limits.ConnectTimeout)
	defer timeout.Stop()
	if err := s.enter(cl.ID, timeout.C); err != nil {
		return err
	}
	defer s.leave(cl.ID)
	for {
		s.mu.Lock()
		who := c.who.Load()
		old := s.live[cl.ID]
		s.mu.Unlock()
		if old == nil {
			break
		}
		if o := old.who.Load(); o == nil || !sameOwner(o, who) && !evicts(who, o) {
			return errOwned
		}
		s.b.metrics.takeovers.Inc()
		if c.takeovers.follow(old.takeovers, time.Now()) {
			s.b.log.Warn("connections with one client ID keep ending each other", "client", cl.ID, "things", who.Things)
		}
		old.end(codeTakenOver, "the client ID connected again")
		select {
		case <-old.done:
		case <-timeout.C:
			return errBusy
		}
	}
	if err := s.resume(c, cl); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.unpark(cl.ID); c.resumed != nil {
		c.inheritedEvents = sub
	} else {
		s.b.events.forget(sub)
	}
	s.live[cl.ID] = c
	c.claimed = true
	c.visit.version = s.versions.next(cl.ID, s.b.now())
	s.tellPresence(c.who.Load())
	return nil
}

// enter waits until nobody else claims the client ID; leave lets the next one.
func (s *Sessions) enter(clientID string, timeout <-chan time.Time) error {
	for {
		s.mu.Lock()
		busy := s.claiming[clientID]
		if busy == nil {
			s.claiming[clientID] = make(chan struct{})
		}
		s.mu.Unlock()
		if busy == nil {
			return nil
		}
		select {
		case <-busy:
		case <-timeout:
			return errBusy
		}
	}
}

func (s *Sessions) leave(clientID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.claiming[clientID])
	delete(s.claiming, clientID)
}

// sameOwner: the owner is the thing, not the certificate, so that a device may
// come back with a new one.
//
// Without things it is the certificate or access key of an operator.
func sameOwner(a, b *auth.Connection) bool {
	return slices.Equal(a.Things, b.Things) && (len(a.Things) > 0 || a.CertificateID == b.CertificateID && a.AccessKeyID == b.AccessKeyID)
}

// evicts tells whether the client ID is the name of the newcomer's thing, and the owner only
// has it because a policy lets him use any: he must not keep the thing out.
func evicts(newcomer, owner *auth.Connection) bool {
	return newcomer.RightfulOwner() && !owner.Bound(newcomer.Things[0]) && owner.Judge != nil
}

// mayResume also allows that a gateway got or lost things while it was away. What
// it may no longer receive is taken from the session when it resumes.
func mayResume(owner, who *auth.Connection) bool {
	if len(owner.Things) == 0 || len(who.Things) == 0 {
		return sameOwner(owner, who)
	}
	within := func(a, b *auth.Connection) bool {
		for _, t := range a.Things {
			if !b.Bound(t) {
				return false
			}
		}
		return true
	}
	return within(owner, who) || within(who, owner)
}

// left takes a connection out, and keeps its session if it is to be kept. A newcomer
// waits until that is written.
func (s *Sessions) left(c *client) {
	if c.letIn {
		s.b.metrics.connections.Dec()
		s.b.lifecycle.departed(c)
	}
	s.mu.Lock()
	c.gone = true
	delete(s.recheck, c)
	s.unlist(c)
	s.tellPresence(c.who.Load())
	s.mu.Unlock()
	kept := c.claimed && s.put(c)
	s.b.notifier.remove(c)
	s.b.lifecycle.remove(c)
	if !c.claimed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, c.mqtt.ID)
	s.versions.left(c.mqtt.ID, c.visit.version, s.b.now())
	s.forget(c.mqtt)
	sub := c.events
	if sub == nil {
		sub = c.inheritedEvents
	}
	switch {
	case sub == nil:
	case kept && !s.closed:
		s.park(c.mqtt.ID, sub, c.sessionExpiry())
	default:
		s.b.events.forget(sub)
	}
}

// park keeps the subscriptions to events of a session without a connection, as long as it
// lives. mu is held.
func (s *Sessions) park(id string, sub *subscriber, life time.Duration) {
	s.b.events.park(sub)
	p := &parkedEvents{sub: sub}
	p.expiry = time.AfterFunc(life, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.parked[id] == p {
			s.b.events.forget(s.unpark(id))
		}
	})
	s.parked[id] = p
}

// unpark gives them to who goes on with them, or ends them; nil is none. mu is held.
func (s *Sessions) unpark(id string) *subscriber {
	p := s.parked[id]
	if p == nil {
		return nil
	}
	p.expiry.Stop()
	delete(s.parked, id)
	return p.sub
}

// forget takes a connection out of mochi. mu is held, so that nobody claims the ID
// meanwhile.
func (s *Sessions) forget(cl *mqtt.Client) {
	if cur, ok := s.b.mqtt.Clients.Get(cl.ID); ok && cur == cl {
		s.b.mqtt.Clients.Delete(cl.ID)
	}
}
