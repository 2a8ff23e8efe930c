package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

// A session that outlives its connection is a record in the store, and nothing in memory:
// it is looked up when its client ID connects. Everything a session can be sent while it is
// away is a notification, and those are not stored. The record has how far the device was
// told of each queue; when it resumes that is compared with the queue, and what is newer is
// made and sent, the newest alone. spec: broker 5.1, device-plane 7.3.
//
// The record is written before SUBACK and UNSUBACK, before the CONNACK that resumes it, and
// when the connection ends. A kill leaves it as it was at the last of these: the device may
// get its newest notifications again, and misses none. Sessions that end with their
// connection write nothing.

const (
	// sweepEvery is the pause between two searches for sessions that are over. A page of
	// them is followed by a pause too, so that a search takes a twentieth of the time,
	// also after a start with a million sessions.
	sweepEvery = time.Minute
	sweepShare = 20
	sweepPage  = 500
	sweepAgain = 100 * time.Millisecond
	sweepTries = 20
)

// persistent tells whether the session outlives the connection, as it was asked for.
func (c *client) persistent() bool { return !endsWithConnection(c.mqtt) }

// sessionExpiry is how long the session is kept without a connection.
func (c *client) sessionExpiry() time.Duration {
	life := c.b.limits.SessionExpiry
	if c.version >= 5 {
		life = min(life, time.Duration(c.mqtt.Properties.Props.SessionExpiryInterval)*time.Second)
	}
	return life
}

// resume finds the stored session of the client ID, which c alone claims, and decides
// whether it goes on. It then counts as connected, durably, before CONNACK says so.
func (s *Sessions) resume(c *client, cl *mqtt.Client) error {
	ctx := context.Background()
	rec, err := s.b.engine.Session(ctx, cl.ID)
	if rec == nil || err != nil {
		return err
	}
	now, err := s.b.engine.Now(ctx)
	if err != nil {
		return err
	}
	who := c.who.Load()
	over, err := s.over(ctx, rec, now)
	if err != nil {
		return err
	}
	owner := &auth.Connection{CertificateID: rec.CertificateID, AccessKeyID: rec.AccessKeyID, Things: rec.Owner}
	if !over && !mayResume(owner, who) {
		if rec.ByPolicy && who.RightfulOwner() && !owner.Bound(who.Things[0]) { // see evicts
			over = true
		} else if over, err = s.ownerless(ctx, rec); err != nil {
			return err
		}
		if !over {
			return errOwned
		}
	}
	// One of another protocol version is not resumed: what it holds does not fit.
	if !over && !cl.Properties.Clean && rec.MQTTVersion == c.version {
		c.resumed = rec
	}
	rec.Subscriptions = slices.DeleteFunc(rec.Subscriptions, func(f jobsvc.SessionSubscription) bool { return !who.MaySubscribe(f.Filter, s.b.now()) })
	rec.Things = slices.DeleteFunc(rec.Things, func(t jobsvc.SessionThing) bool { return !who.Bound(t.Name) })
	if c.resumed == nil || !c.persistent() { // the last time, if at all
		if err = s.deleteRecord(ctx, cl.ID); err != nil {
			c.resumed = nil
		} else if c.resumed != nil {
			s.b.metrics.sessionsResumed.Inc()
		}
		return err
	}
	rec.CertificateID, rec.AccessKeyID, rec.ByPolicy = who.CertificateID, who.AccessKeyID, who.Judge != nil
	rec.Owner, rec.Operator, rec.Expiry = who.Things, who.Operator, c.sessionExpiry()
	rec.ConnectedAt, rec.DisconnectedAt = now, time.Time{}
	if err := s.b.engine.SaveSession(ctx, rec); err != nil {
		c.resumed = nil
		return err
	}
	c.recorded, c.keep = true, true
	s.b.metrics.sessionsResumed.Inc()
	return nil
}

// over tells whether a session ended without anybody noting it: its time is up, or a thing
// that it has subscriptions to is not the one it was.
func (s *Sessions) over(ctx context.Context, rec *jobsvc.Session, now time.Time) (bool, error) {
	left := *rec
	if left.DisconnectedAt.IsZero() && left.ConnectedAt.Before(s.started) { // a process before this one had the connection
		left.DisconnectedAt = s.started
	}
	if left.Expired(now) {
		return true, nil
	}
	versions, err := s.b.engine.ThingVersions(ctx, thingNames(rec))
	if err != nil {
		return false, err
	}
	for i, v := range versions {
		if v.ID == "" || v.ID != rec.Things[i].ID {
			return true, nil
		}
	}
	return false, nil
}

func thingNames(rec *jobsvc.Session) []string {
	names := make([]string, len(rec.Things))
	for i, t := range rec.Things {
		names[i] = t.Name
	}
	return names
}

// ownerless tells whether none of the things that a session belongs to exists any more.
func (s *Sessions) ownerless(ctx context.Context, rec *jobsvc.Session) (bool, error) {
	for _, t := range rec.Owner {
		if exists, err := s.b.engine.ThingExists(ctx, t); exists || err != nil {
			return false, err
		}
	}
	return len(rec.Owner) > 0, nil
}

func (s *Sessions) deleteRecord(ctx context.Context, clientID string) error {
	defer s.changing()()
	err := s.b.engine.DeleteSession(ctx, clientID)
	if err == nil {
		s.b.metrics.sessions.Dec()
	}
	return err
}

// changing notes that the number of stored sessions may change until what it gives is
// called: a search that counts them meanwhile may have counted wrong.
func (s *Sessions) changing() func() {
	s.pending.Add(1)
	return func() {
		s.changes.Add(1)
		s.pending.Add(-1)
	}
}

// save writes the session as it is. before has how far the things of new subscriptions
// were before those began. The read goroutine of c calls it.
func (s *Sessions) save(c *client, before map[string]jobsvc.ThingVersions, ended bool) error {
	ctx := context.Background()
	now, err := s.b.engine.Now(ctx)
	if err != nil {
		return err
	}
	var old *jobsvc.Session
	if c.recorded {
		if old, err = s.b.engine.Session(ctx, c.mqtt.ID); err != nil {
			return err
		}
	}
	created := old == nil
	if created {
		old = &jobsvc.Session{CreatedAt: now, ConnectedAt: now}
	}
	who := c.who.Load()
	rec := &jobsvc.Session{
		ClientID: c.mqtt.ID, CertificateID: who.CertificateID, AccessKeyID: who.AccessKeyID, ByPolicy: who.Judge != nil, Owner: who.Things, Operator: who.Operator, MQTTVersion: c.version,
		Expiry: c.sessionExpiry(), CreatedAt: old.CreatedAt, ConnectedAt: old.ConnectedAt,
	}
	if ended {
		rec.DisconnectedAt = now
	}
	things := make(map[string]bool)
	for filter, qos := range c.filters {
		rec.Subscriptions = append(rec.Subscriptions, jobsvc.SessionSubscription{Filter: filter, QoS: qos})
		if thing, _, ok := splitOwn(filter); ok && !things[thing] {
			things[thing] = true
			rec.Things = append(rec.Things, s.sessionThing(c, thing, old.Thing(thing), before))
		}
	}
	slices.SortFunc(rec.Subscriptions, func(a, b jobsvc.SessionSubscription) int { return strings.Compare(a.Filter, b.Filter) })
	slices.SortFunc(rec.Things, func(a, b jobsvc.SessionThing) int { return strings.Compare(a.Name, b.Name) })
	c.recorded = true // or may be
	if created {
		defer s.changing()()
	}
	if err := s.b.engine.SaveSession(ctx, rec); err != nil {
		return err
	}
	if created {
		s.b.metrics.sessions.Inc()
	}
	return nil
}

// sessionThing is how far the session was told of a thing: as the record says, or the
// queues at SUBSCRIBE did, and what was acknowledged since.
func (s *Sessions) sessionThing(c *client, thing string, old *jobsvc.SessionThing, before map[string]jobsvc.ThingVersions) jobsvc.SessionThing {
	t := jobsvc.SessionThing{Name: thing}
	fresh, ok := before[thing]
	switch {
	case ok:
		t.ID = fresh.ID
	case old != nil:
		t.ID = old.ID
	}
	if old != nil && old.ID == t.ID {
		for _, q := range old.Queues {
			if c.queues(thing, q.NamespaceID) {
				t.Queues = append(t.Queues, q)
			}
		}
	}
	for _, v := range fresh.Queues {
		has := slices.ContainsFunc(t.Queues, func(q jobsvc.SessionQueue) bool { return q.NamespaceID == v.NamespaceID })
		if !has && c.queues(thing, v.NamespaceID) {
			t.Queues = append(t.Queues, jobsvc.SessionQueue{NamespaceID: v.NamespaceID, SetVersion: v.SetVersion, HeadVersion: v.HeadVersion})
		}
	}
	t.Queues = s.b.notifier.told(c, thing, t.Queues)
	slices.SortFunc(t.Queues, func(a, b jobsvc.SessionQueue) int { return strings.Compare(a.NamespaceID, b.NamespaceID) })
	return t
}

// queues tells whether notifications of a queue wait for the session while it is away:
// those of a filter with QoS 1.
func (c *client) queues(thing, namespace string) bool {
	for filter, qos := range c.filters {
		if qos == 0 {
			continue
		}
		if matches(filter, notifyTopic(thing, false, namespace)) || matches(filter, notifyTopic(thing, true, namespace)) {
			return true
		}
	}
	return false
}

// subscriptionChange is what a SUBSCRIBE changes of a persistent session. The zero one,
// of a session that is not kept, notes nothing.
type subscriptionChange struct {
	before map[string]jobsvc.ThingVersions // how far the things were before; nil: not kept
	err    error
	any    bool
	was    map[string]int // QoS of the filters before, -1 for none
}

func (s *subscriptionChange) begin(c *client, filters packets.Subscriptions) {
	own := make([]string, 0, len(filters))
	who := c.who.Load()
	for _, f := range filters {
		if who.MaySubscribe(f.Filter, c.b.now()) {
			own = append(own, f.Filter)
		}
	}
	s.was = make(map[string]int)
	if s.before, s.err = c.b.sessions.thingVersions(own); s.err != nil {
		c.b.log.Error("a session is not stored", "client", c.mqtt.ID, "err", s.err)
	}
}

func (s *subscriptionChange) note(c *client, filter string, qos byte) {
	if s.before == nil {
		return
	}
	was, ok := c.filters[filter]
	s.any = s.any || !ok || was != qos || !c.recorded
	if _, noted := s.was[filter]; noted {
		return
	}
	if s.was[filter] = int(was); !ok {
		s.was[filter] = -1
	}
}

func (s *Sessions) saveChange(c *client, change *subscriptionChange) error {
	err := s.save(c, change.before, false)
	if err != nil {
		s.b.log.Error("a session is not stored", "client", c.mqtt.ID, "err", err)
	}
	return err
}

// undo takes a change back that is not stored.
func (h *hook) undo(c *client, change *subscriptionChange) {
	for filter, qos := range change.was {
		if qos < 0 {
			h.unsubscribe(c, filter)
		} else {
			h.subscribe(c, filter, byte(qos))
		}
	}
}

// thingVersions reads how far the things of filters are.
func (s *Sessions) thingVersions(filters []string) (map[string]jobsvc.ThingVersions, error) {
	var names []string
	for _, f := range filters {
		if thing, _, ok := splitOwn(f); ok && !slices.Contains(names, thing) {
			names = append(names, thing)
		}
	}
	versions, err := s.b.engine.ThingVersions(context.Background(), names)
	if err != nil {
		return nil, err
	}
	m := make(map[string]jobsvc.ThingVersions, len(names))
	for i, name := range names {
		m[name] = versions[i]
	}
	return m, nil
}

// put keeps the session of a connection that ended, or forgets it. It tells whether it is
// kept. What cannot be written stays as it was last written, as after a kill.
func (s *Sessions) put(c *client) (kept bool) {
	ctx := context.Background()
	var err error
	switch {
	case !c.keep && !c.recorded:
		return false
	case !c.keep:
		err = s.deleteRecord(ctx, c.mqtt.ID)
	case c.resumed != nil: // it was not let in: nothing of the session is used yet
		rec := *c.resumed
		if rec.DisconnectedAt, err = s.b.engine.Now(ctx); err == nil {
			err = s.b.engine.SaveSession(ctx, &rec)
		}
	default:
		err = s.save(c, nil, true)
	}
	if err != nil {
		s.b.log.Error("the end of a session is not stored", "client", c.mqtt.ID, "err", err)
	}
	return c.keep
}

// sweep takes away sessions that are over, until the Broker closes.
func (s *Sessions) sweep() {
	for {
		err := s.sweepOnce()
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			s.b.log.Error("looking for sessions that are over", "err", err)
		}
		if s.pause(sweepEvery) != nil {
			return
		}
	}
}

// pause waits, and gives an error when the Broker closes.
func (s *Sessions) pause(d time.Duration) error {
	select {
	case <-s.ctx.Done():
		return s.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// connected tells whether the client ID has a connection, or one is about to get it.
func (s *Sessions) connected(clientID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[clientID] != nil || s.claiming[clientID] != nil
}

// sweepOnce goes over all sessions, and counts those that are left.
func (s *Sessions) sweepOnce() error {
	now, err := s.b.engine.Now(s.ctx)
	if err != nil {
		return err
	}
	total, after := 0, ""
	sure, changes, tries := s.pending.Load() == 0, s.changes.Load(), 0
	for {
		began := time.Now()
		next, left, expired, err := s.b.engine.SweepSessions(s.ctx, after, sweepPage, s.started, now, s.connected)
		if err != nil {
			return err
		}
		s.b.metrics.sessionsExpired.Add(float64(expired))
		total += left
		if next == "" {
			sure = sure && s.pending.Load() == 0 && s.changes.Load() == changes
			if tries++; !sure && total <= sweepPage && tries < sweepTries { // a few are counted again at once
				if err := s.pause(sweepAgain); err != nil {
					return err
				}
				total, after, sure, changes = 0, "", s.pending.Load() == 0, s.changes.Load()
				continue
			}
			s.b.metrics.sessions.Set(float64(total))
			return nil
		}
		after = next
		if err := s.pause(sweepShare * time.Since(began)); err != nil {
			return err
		}
	}
}
