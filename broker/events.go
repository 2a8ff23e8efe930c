package broker

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

const (
	// eventsRead is how many events are read at a time.
	eventsRead = 256
	// eventsPause is between two rounds: what is committed meanwhile makes one reading.
	eventsPause = 5 * time.Millisecond
	// eventsRemovePause is how long published events wait to be removed, many at a time.
	eventsRemovePause = 200 * time.Millisecond
	// eventsRetry is when a connection with much to write is looked at again, and when
	// the store is asked again after a failure.
	eventsRetry = 50 * time.Millisecond
	eventsAgain = time.Second
	// eventsKept is how long an event waits for a subscriber who does not take it.
	eventsKept = time.Hour
	// eventsTick is how often it is looked for such subscribers.
	eventsTick = time.Minute
)

// EventOptions are how events are published.
type EventOptions struct {
	// KeepAfterRestart is how long after a start events wait for the subscribers that
	// there were to come back: those that were left when the last process ended, and those
	// since. Zero drops what was left.
	KeepAfterRestart time.Duration
	// StrictShape leaves out the members that the service does not have.
	StrictShape bool
}

// events publishes what the engine stored of changes of jobs and executions, to
// operators.
//
// Each subscriber has a place of its own in the order of events. One loop reads from the
// lowest place of those that have room, so one that is slow waits alone: its events stay
// in the store, where they are removed when everybody has them. QoS 1 counts as had when
// it is acknowledged. The places are stored, so that after a restart each goes on from its
// own when it comes back. A kill, or a session without a connection, costs repetition and
// no event; subscribers know one they had by its ID.
type events struct {
	b   *Broker
	opt EventOptions

	ctx   context.Context // of the loop
	close context.CancelFunc
	wake  chan struct{} // has room for one word to the loop

	mu      sync.Mutex // guards what follows
	subs    map[*subscriber]struct{}
	filters map[string]*eventFilter // by what follows $aws/events/
	joining int                     // subscribers about to be entered
	wanted  bool                    // as the engine was told
	// expected are the places of those who were there before a restart and are not back
	// yet, by client ID; nil when they had their time.
	expected map[string]int64
	sweep    bool // with nobody left, there may be events to remove

	// The loop owns these.
	saved   map[string]int64 // places as they are stored
	removed int64            // no event up to this stamp is left
}

// eventFilter is a filter with the number of its subscribers: however many there are, an
// event is compared with it once.
type eventFilter struct {
	filter string // what follows $aws/events/
	n      int
}

// subscriber is a session with subscriptions to events. events.mu guards it.
type subscriber struct {
	clientID string
	c        *client // nil: no connection
	filters  map[*eventFilter]byte
	next     int64    // the stamp up to which events are handed over, or not for it
	unacked  []handed // of QoS 1, oldest first
	stalled  bool     // takes no more for now
}

// handed is a message under way.
type handed struct {
	id    uint16
	stamp int64
}

// has is the stamp up to which it has all its events.
func (s *subscriber) has() int64 {
	if len(s.unacked) > 0 {
		return s.unacked[0].stamp - 1
	}
	return s.next
}

func newEvents(b *Broker, opt EventOptions) (*events, error) {
	v := &events{
		b: b, opt: opt, wake: make(chan struct{}, 1),
		subs: make(map[*subscriber]struct{}), filters: make(map[string]*eventFilter), sweep: true,
	}
	v.ctx, v.close = context.WithCancel(context.Background())
	var err error
	if v.saved, err = b.engine.EventPlaces(v.ctx); err != nil {
		return nil, err
	}
	if opt.KeepAfterRestart > 0 {
		v.expected = maps.Clone(v.saved)
	}
	v.wanted = len(v.expected) > 0
	b.engine.WantEvents(v.wanted)
	return v, nil
}

func (v *events) poke() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// cutEvents takes $aws/events/ off a filter.
func cutEvents(filter string) (rest string, ok bool) {
	return strings.CutPrefix(filter, wire.EventTopics)
}

// subscribe notes a filter of a connection if it is about events. From its return on no
// change goes by. The read goroutine of c calls it, as it does unsubscribe.
func (v *events) subscribe(c *client, filter string, qos byte) {
	rest, ok := cutEvents(filter)
	if _, _, jobs := cutLifecycle(filter); !ok || !jobs {
		return
	}
	s := c.events
	if s == nil {
		s = v.join(c)
		c.events = s
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.filters[rest]
	if f == nil {
		f = &eventFilter{filter: rest}
		v.filters[rest] = f
	}
	if _, has := s.filters[f]; !has {
		f.n++
	}
	s.filters[f] = qos
	v.poke()
}

// join makes a subscriber. Events are wanted before its place is taken, so that none of
// later changes is missing.
func (v *events) join(c *client) *subscriber {
	v.mu.Lock()
	v.joining++
	if !v.wanted {
		v.wanted = true
		v.b.engine.WantEvents(true)
	}
	v.mu.Unlock()
	now, err := v.b.engine.EventStamp(v.ctx)
	if err != nil {
		v.b.log.Error("place in the events not known", "client", c.clientID(), "err", err)
		now = v.b.now().UnixNano()
	}
	s := &subscriber{clientID: c.clientID(), c: c, filters: make(map[*eventFilter]byte), next: now}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.joining--
	// Somebody under another client ID may be one of those who were there before.
	place, ok := v.expected[s.clientID]
	if !ok {
		place = s.next
		for _, other := range v.expected {
			place = min(place, other)
		}
	}
	delete(v.expected, s.clientID)
	s.next = place
	v.subs[s] = struct{}{}
	return s
}

func (v *events) unsubscribe(c *client, filter string) {
	rest, ok := cutEvents(filter)
	if !ok || c.events == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s := c.events
	if f := v.filters[rest]; f != nil {
		if _, has := s.filters[f]; has {
			v.release(s, f)
		}
	}
	if len(s.filters) == 0 {
		v.drop(s)
		c.events = nil
	}
}

// release is called with mu held.
func (v *events) release(s *subscriber, f *eventFilter) {
	delete(s.filters, f)
	if f.n--; f.n == 0 {
		delete(v.filters, f.filter)
	}
}

// drop forgets a subscriber. mu is held.
func (v *events) drop(s *subscriber) {
	if _, there := v.subs[s]; !there {
		return
	}
	for f := range s.filters {
		v.release(s, f)
	}
	delete(v.subs, s)
	v.sweep = true
	v.poke()
}

// forget ends the subscriptions of a connection or of a session. nil is none.
func (v *events) forget(s *subscriber) {
	if s != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.drop(s)
	}
}

// park keeps a subscriber whose connection is gone: what it has not acknowledged it gets
// again.
func (v *events) park(s *subscriber) {
	if s != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		s.next, s.unacked = s.has(), nil
		s.c, s.stalled = nil, false
	}
}

// resume gives a parked subscriber a connection.
func (v *events) resume(s *subscriber, c *client) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.c = c
	c.events = s
	v.poke()
}

// acknowledged notes a PUBACK of the subscriber's connection.
func (v *events) acknowledged(s *subscriber, id uint16) {
	if s == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s.unacked = slices.DeleteFunc(s.unacked, func(h handed) bool { return h.id == id })
	v.poke()
}

// run publishes until the Broker closes.
func (v *events) run() {
	expectedOver := time.NewTimer(v.opt.KeepAfterRestart)
	defer expectedOver.Stop()
	tick := time.NewTicker(eventsTick)
	defer tick.Stop()
	var remove, again <-chan time.Time
	v.poke() // for what follows from the start
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-v.b.engine.EventsStored():
		case <-v.wake:
		case <-expectedOver.C:
			v.expectNobody()
		case <-tick.C:
			v.dropLate()
		case <-remove:
			remove = nil
			if err := v.remove(); err != nil {
				v.b.log.Error("remove published events", "err", err)
				remove = time.After(eventsAgain)
			}
		case <-again:
			again = nil
		}
		retry, err := v.round()
		switch {
		case v.ctx.Err() != nil:
			return
		case err != nil:
			v.b.log.Error("publish events", "err", err)
			again = time.After(eventsAgain)
		case retry && again == nil:
			again = time.After(eventsRetry)
		}
		if _, due := v.removable(); due && remove == nil {
			remove = time.After(eventsRemovePause)
		}
		select {
		case <-v.ctx.Done():
			return
		case <-time.After(eventsPause):
		}
	}
}

// round publishes all there is for subscribers with room. retry tells that one should be
// looked at again soon.
func (v *events) round() (retry bool, err error) {
	if err := v.tellWanted(); err != nil {
		return false, err
	}
	retry = v.unstall()
	for v.ctx.Err() == nil {
		from, ok := v.lowest()
		if !ok {
			break
		}
		list, err := v.b.engine.Events(v.ctx, from, eventsRead)
		if err != nil {
			return false, err
		}
		if len(list) == 0 {
			break
		}
		v.mu.Lock()
		for i := range list {
			retry = v.hand(&list[i], from) || retry
		}
		v.mu.Unlock()
	}
	return retry, nil
}

// unstall lets those go on who have room again. It tells whether one is left that reads
// slowly: nobody says when it has.
func (v *events) unstall() (retry bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for s := range v.subs {
		if s.stalled {
			s.stalled = !s.c.takesEvents()
			retry = retry || s.stalled && s.c.bottom.backlog() > 0
		}
	}
	return retry
}

// tellWanted tells the engine when nobody wants events any more, and stores the places of
// subscribers when there are others than before. At a shutdown they only seem to go.
func (v *events) tellWanted() error {
	if v.b.isClosing() {
		return nil
	}
	v.mu.Lock()
	if v.wanted && len(v.expected) == 0 && len(v.subs) == 0 && v.joining == 0 {
		v.wanted = false
		v.b.engine.WantEvents(false)
	}
	places := v.places()
	v.mu.Unlock()
	same := len(places) == len(v.saved)
	for id := range places {
		_, was := v.saved[id]
		same = same && was
	}
	if same {
		return nil
	}
	return v.save(places)
}

// maxPlaces bounds how many places are stored.
const maxPlaces = 1000

// places are those of all subscribers by client ID. mu is held.
func (v *events) places() map[string]int64 {
	places := maps.Clone(v.expected)
	if places == nil {
		places = make(map[string]int64)
	}
	for s := range v.subs {
		if len(places) < maxPlaces {
			places[s.clientID] = s.has()
		}
	}
	return places
}

func (v *events) save(places map[string]int64) error {
	if maps.Equal(places, v.saved) {
		return nil
	}
	if err := v.b.engine.SaveEventPlaces(v.ctx, places); err != nil {
		return err
	}
	v.saved = places
	return nil
}

// lowest is the lowest place of those who take events now.
func (v *events) lowest() (from int64, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	from = math.MaxInt64
	for s := range v.subs {
		if s.c != nil && !s.stalled {
			from, ok = min(from, s.next), true
		}
	}
	return from, ok
}

// hand gives an event to those who are next at it; of a list that begins behind from.
// mu is held.
func (v *events) hand(e *jobsvc.Event, from int64) (retry bool) {
	var m *message
	var hits []*eventFilter
	for s := range v.subs {
		if s.c == nil || s.stalled || s.next < from || s.next >= e.Stamp {
			continue
		}
		if m == nil {
			m = &message{topic: wire.EventTopic(e)}
			hits = v.match(m.topic)
		}
		qos, matched := s.qos(hits)
		if !matched {
			s.next = e.Stamp
			continue
		}
		if m.payload == nil {
			m.payload = wire.AppendEvent(nil, e, v.b.engine.Account(), v.opt.StrictShape)
		}
		id, outcome := s.c.sendEvent(m, qos)
		v.b.metrics.events.WithLabelValues(outcome).Inc()
		switch outcome {
		case "waiting", "busy", "gone":
			s.stalled = true
			retry = retry || outcome == "busy"
			continue
		}
		if id != 0 {
			s.unacked = append(s.unacked, handed{id, e.Stamp})
		}
		s.next = e.Stamp
	}
	return retry
}

// match gives the filters that match a topic of events. mu is held.
func (v *events) match(topic string) (hits []*eventFilter) {
	rest, _ := cutEvents(topic)
	for _, f := range v.filters {
		if matches(f.filter, rest) {
			hits = append(hits, f)
		}
	}
	return hits
}

// qos is the highest of the subscriber's filters among the hits.
func (s *subscriber) qos(hits []*eventFilter) (qos byte, matched bool) {
	for _, f := range hits {
		if q, ok := s.filters[f]; ok && s.c.keepsEvents(f.filter) {
			qos, matched = max(qos, q), true
		}
	}
	return qos, matched
}

// keepsEvents tells whether policies still allow a subscription to $aws/events/rest.
func (c *client) keepsEvents(rest string) bool {
	who := c.who.Load()
	return who == nil || who.Judge == nil || who.MaySubscribe(wire.EventTopics+rest, c.b.now())
}

// removable gives the stamp up to which everybody has all events, MaxInt64 when there is
// nobody, and whether any below it may be stored yet.
//
// At a shutdown subscribers only seem to go.
func (v *events) removable() (to int64, due bool) {
	if v.b.isClosing() {
		return 0, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	to = math.MaxInt64
	for s := range v.subs {
		to = min(to, s.has())
	}
	for _, place := range v.expected {
		to = min(to, place)
	}
	switch {
	case v.joining > 0:
		return to, false
	case to == math.MaxInt64:
		return to, v.sweep
	}
	return to, to > v.removed
}

// remove takes away the events that everybody has, and stores who has which.
func (v *events) remove() error {
	// The stamp first: with it, nobody who subscribes from now on misses anything.
	now, err := v.b.engine.EventStamp(v.ctx)
	if err != nil {
		return err
	}
	v.mu.Lock()
	places := v.places()
	v.mu.Unlock()
	to, due := v.removable()
	if v.b.isClosing() {
		return nil
	}
	if err := v.save(places); err != nil || !due {
		return err
	}
	to = min(to, now)
	if err := v.b.engine.RemoveEvents(v.ctx, v.removed, to); err != nil {
		return err
	}
	v.removed = to
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.subs) == 0 {
		v.sweep = false
	}
	return nil
}

// expectNobody gives up on those who did not come back.
func (v *events) expectNobody() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expected, v.sweep = nil, true
}

// dropLate gives up on events that somebody has not taken for too long: they would stay
// in the store for ever. It also has the last removals looked through again, for events
// whose commit was under way then.
func (v *events) dropLate() {
	now, err := v.b.engine.EventStamp(v.ctx)
	if err != nil {
		return // the next time
	}
	v.removed = min(v.removed, now-int64(2*eventsTick))
	limit := now - int64(eventsKept)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep = true
	for id, place := range v.expected {
		v.expected[id] = max(place, limit)
	}
	for s := range v.subs {
		if s.has() >= limit {
			continue
		}
		if s.stalled || len(s.unacked) > 0 && s.unacked[0].stamp < limit {
			v.b.log.Warn("a subscriber does not take events, the oldest are dropped", "client", s.clientID)
		}
		s.unacked = slices.DeleteFunc(s.unacked, func(h handed) bool { return h.stamp <= limit })
		s.next = max(s.next, limit)
	}
}

// takesEvents tells whether there is room again for a client that had none.
func (c *client) takesEvents() bool {
	if c.bottom.backlog() > c.b.limits.WriteBuffer/4 {
		return false
	}
	o := &c.out
	o.Lock()
	defer o.Unlock()
	return len(o.inflight) < o.window && len(o.waiting) == 0 && !o.closed
}

// sendEvent writes an event. id is that of a message of QoS 1. "waiting" and "busy" mean
// that the client has no room now, for lack of acknowledgements and because it reads
// slowly; "gone" that the connection is ending.
func (c *client) sendEvent(m *message, qos byte) (id uint16, outcome string) {
	who := c.who.Load()
	switch {
	case c.endingCode() != 0:
		return 0, "gone"
	case who == nil:
		return 0, "denied"
	case !who.MayReceive(m.topic, c.b.now()):
		c.denyDelivery(who, m.topic)
		return 0, "denied"
	case c.bottom.backlog() > c.b.limits.WriteBuffer/2:
		return 0, "busy"
	}
	p := publish{version: c.version, topic: m.topic, payload: m.payload}
	if qos > 0 {
		p.id = 0x8000
	}
	if len(m.payload) > jobsvc.MaxMessageBytes || !c.fits(&p) {
		c.b.log.Warn("event is too large to be sent", "topic", m.topic, "bytes", p.size(), "client", c.clientID())
		return 0, "too_large"
	}
	if qos == 0 {
		if _, err := c.Write(p.append(make([]byte, 0, p.size()))); err != nil {
			return 0, "gone"
		}
		return 0, "sent"
	}
	o := &c.out
	o.Lock()
	defer o.Unlock()
	switch {
	case o.closed:
		return 0, "gone"
	case len(o.inflight) >= o.window || len(o.waiting) > 0:
		return 0, "waiting"
	}
	return c.writeNumbered(m), "sent"
}
