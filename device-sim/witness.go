package main

import (
	"fmt"
	"sync"
)

// witness judges what a broker tells one device. It is told of every request just before it is
// sent and of every message as it is received; it does no I/O and reads no clock. A nil witness
// sees nothing.
//
// What follows from the protocol is judged, not what a broker usually does: several changes may be
// announced together, a reply that is lost with its connection may have been carried out, and an
// execution may be taken away from the device at any time.
type witness struct {
	thing string
	out   *verdicts

	mu      sync.Mutex // guards the rest
	changed chan struct{}
	epoch   int // number of the connection
	listens map[string]bool
	clock   int // number of requests sent

	notifications int // received

	open     map[string]*sent
	answered map[string]*sent // the last ones
	oldest   []string         // tokens of answered, oldest first
	attempts map[executionKey]*attempt
	queue    *queue       // of the last notify on this connection
	head     *head        // of the last notify-next on this connection
	moved    bool         // a reply has shown since that the set was another in the meantime
	nextMove bool         // likewise the head
	baseline *head        // $next as the first reply on this connection had it
	refusals []wantRefuse // requests without a token that were sent wrong
	reports  map[executionKey]string
}

// sent is a request.
type sent struct {
	op       operation
	topic    string
	key      executionKey // of an update
	status   string
	expected int64
	want     string // the code it must be refused with; empty for a proper request
	epoch    int
	at       int // clock
	copies   int
	answers  int
	heard    bool   // it was sent when notify was subscribed to
	early    string // a notification told of its effect before its reply came
}

// attempt is what is known of one execution.
type attempt struct {
	version  int64  // the highest in a reply; 0 for unknown
	notified int64  // the highest in a notification
	slack    int64  // updates without a reply, since version
	terminal string // the status of an accepted report
	ended    int    // clock at that
	epoch    int    // connection of that
	unlisted bool   // a notify without it has come since
}

// wantRefuse is a request whose token the broker cannot read.
type wantRefuse struct{ topic, code string }

const (
	shownPending  = 10  // a list this long in one status may be cut short
	rememberedMax = 256 // tokens answered
)

func newWitness(thing string, out *verdicts) *witness {
	return &witness{
		thing:    thing,
		out:      out,
		changed:  make(chan struct{}),
		listens:  make(map[string]bool),
		open:     make(map[string]*sent),
		answered: make(map[string]*sent),
		attempts: make(map[executionKey]*attempt),
		reports:  make(map[executionKey]string),
	}
}

// judge counts a check: nothing is wrong, or what the arguments say.
func (w *witness) judge(check string, ok bool, format string, args ...any) {
	if ok {
		w.out.passed(check, 1)
		return
	}
	w.out.failed(check, "%s: %s", w.thing, fmt.Sprintf(format, args...))
}

// up begins a connection.
func (w *witness) up() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch++
	clear(w.listens)
	w.queue, w.head, w.baseline, w.refusals = nil, nil, nil, nil
}

// subscribed says that from here on no notification is missed.
func (w *witness) subscribed(filters []string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range filters {
		w.listens[f] = true
	}
}

// down ends the connection: what was asked on it may have been done, and gets no answer any more.
func (w *witness) down() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.listens)
	for token := range w.open {
		w.writeOff(token)
	}
}

// sent takes a request that is about to be sent.
func (w *witness) sent(m message) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r := m.request
	if r.ClientToken == "" {
		w.refusals = append(w.refusals, wantRefuse{m.topic, m.want})
		return
	}
	w.clock++
	s := w.open[r.ClientToken]
	if s == nil {
		s = w.answered[r.ClientToken] // a report is repeated with its token
		delete(w.answered, r.ClientToken)
	}
	if s == nil {
		s = &sent{}
	}
	s.op, s.topic, s.status, s.expected, s.want = m.op, m.topic, r.Status, r.ExpectedVersion, m.want
	s.epoch, s.at, s.early, s.heard = w.epoch, w.clock, "", w.listens[notifyList]
	s.copies += max(m.copies, 1)
	if m.op == opUpdate {
		s.key = executionKey{jobOf(m.topic), r.ExecutionNumber}
	}
	w.open[r.ClientToken] = s
}

// received takes a message.
func (w *witness) received(topic string, r *reply) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch topicsOf(w.thing).suffix(topic) {
	case notifyList:
		w.notifications++
		w.onList(r)
	case notifyNext:
		w.notifications++
		w.onNext(r)
	default:
		if isReply(topic) {
			w.onReply(topic, r)
		}
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *witness) attempt(k executionKey) *attempt {
	a := w.attempts[k]
	if a == nil {
		a = &attempt{}
		w.attempts[k] = a
	}
	return a
}

// writeOff gives up waiting for a request's reply. One may still come.
func (w *witness) writeOff(token string) {
	s := w.open[token]
	delete(w.open, token)
	if s.op == opUpdate && s.want == "" {
		w.attempt(s.key).slack += int64(s.copies - s.answers)
	}
	w.remember(token, s)
}

// remember keeps a request for replies too many, of the last ones.
func (w *witness) remember(token string, s *sent) {
	w.answered[token] = s
	w.oldest = append(w.oldest, token)
	if len(w.oldest) > rememberedMax {
		delete(w.answered, w.oldest[0])
		w.oldest = w.oldest[1:]
	}
}

// outcomes calls f for each attempt whose terminal report was accepted, and with an empty status
// for those known and not ended.
func (w *witness) outcomes(f func(executionKey, string)) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for k := range w.attempts {
		f(k, w.reports[k])
	}
}

func terminal(status string) bool {
	return status == statusSucceeded || status == statusFailed || status == statusRejected
}
