package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
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

// queue is the set a notify told.
type queue struct {
	keys      []executionKey // IN_PROGRESS, then QUEUED
	truncated bool
}

func (q *queue) has(k executionKey) bool { return slices.Contains(q.keys, k) }

// head is the first of a queue; none for an empty one.
type head struct {
	executionKey
	none bool
}

func (h head) String() string {
	if h.none {
		return "nothing"
	}
	return h.executionKey.String()
}

func headOf(e *execution) head {
	if e == nil {
		return head{none: true}
	}
	return head{executionKey: e.key()}
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

func (w *witness) onReply(topic string, r *reply) {
	if r.ClientToken == "" {
		w.onUnnamed(topic, r)
		return
	}
	s := w.open[r.ClientToken]
	if s == nil {
		s = w.answered[r.ClientToken]
	}
	if s == nil {
		w.judge(checkReplies, false, "a reply on %s to a request that was not ours, token %q", suffixOf(topic), r.ClientToken)
		return
	}
	s.answers++
	if s.answers > s.copies {
		w.judge(checkReplies, false, "reply %d to %s, sent %d times, token %q", s.answers, suffixOf(s.topic), s.copies, r.ClientToken)
		return
	}
	w.judge(checkReplies, topic == s.topic+"/accepted" && r.Code == "" || topic == s.topic+"/rejected" && r.Code != "",
		"the reply to %s came on %s with code %q", suffixOf(s.topic), suffixOf(topic), r.Code)
	w.judge(checkReplies, s.epoch == w.epoch, "the reply to %s came on another connection", suffixOf(s.topic))
	late := w.open[r.ClientToken] == nil
	// Requests of a connection are answered in order: earlier ones get no answer any more.
	for token, o := range w.open {
		if o.at < s.at && o.epoch == s.epoch {
			w.writeOff(token)
		}
	}
	if s.answers == s.copies && !late {
		delete(w.open, r.ClientToken)
		w.remember(r.ClientToken, s)
	}
	if s.want != "" {
		w.judge(checkRefusals, r.Code == s.want, "%s was answered with the code %q instead of %s", suffixOf(s.topic), r.Code, s.want)
		return
	}
	w.onState(s, r, late)
}

// onUnnamed takes a reply without a token: it can only be about a request whose token was not read.
func (w *witness) onUnnamed(topic string, r *reply) {
	i := slices.IndexFunc(w.refusals, func(f wantRefuse) bool {
		return topic == f.topic+"/rejected" || topic == f.topic+"/accepted"
	})
	if i < 0 {
		w.judge(checkReplies, false, "a reply on %s without a token", suffixOf(topic))
		return
	}
	w.judge(checkRefusals, r.Code == w.refusals[i].code, "a broken %s was answered with the code %q instead of %q",
		suffixOf(w.refusals[i].topic), r.Code, w.refusals[i].code)
	w.refusals = slices.Delete(w.refusals, i, i+1)
}

// onState learns from the reply to a proper request.
func (w *witness) onState(s *sent, r *reply, late bool) {
	switch s.op {
	case opUpdate:
		w.onUpdated(s, r, late)
	case opStartNext, opGet:
		if r.Code != "" {
			return
		}
		if e := r.Execution; e != nil {
			w.onExecution(s, e, late)
		}
		if s.op == opStartNext || jobOf(s.topic) == nextJob {
			w.nextMove = w.nextMove || w.head != nil && headOf(r.Execution) != *w.head
		}
		if w.baseline == nil && w.head == nil && s.epoch == w.epoch && (s.op == opStartNext || jobOf(s.topic) == nextJob) {
			h := headOf(r.Execution)
			w.baseline = &h
		}
	case opList:
		for _, e := range append(slices.Clone(r.InProgress), r.Queued...) {
			w.notEnded(s, e.key())
			w.shown(e.key())
		}
	}
}

// notEnded judges that an execution on offer has not ended before the offer was asked for.
func (w *witness) notEnded(s *sent, k executionKey) {
	a := w.attempt(k)
	w.judge(checkTerminal, a.terminal == "" || s.at <= a.ended, "%s is pending again, after the report %s was accepted", k, a.terminal)
}

// shown takes an execution that a reply has. When no list told of it, it came and may go with no
// list of its own: the next one may say again what the last one did.
func (w *witness) shown(k executionKey) {
	if w.queue != nil && !w.queue.has(k) {
		w.moved, w.nextMove = true, true
	}
}

func (w *witness) onExecution(s *sent, e *execution, late bool) {
	k := e.key()
	w.judge(checkContent, e.JobID != "" && e.Status != "" && e.ExecutionNumber > 0 && e.VersionNumber > 0 && len(e.JobDocument) > 0,
		"%s brought %s without a jobId, status, executionNumber, versionNumber or jobDocument", suffixOf(s.topic), k)
	if e.pending() {
		w.notEnded(s, k)
		w.shown(k)
	}
	if late {
		return
	}
	a := w.attempt(k)
	known := a.version
	if known == 0 {
		known = a.notified
	}
	step := a.slack
	if s.op == opStartNext {
		step++ // it may have started it
	}
	if known > 0 {
		w.judge(checkVersions, e.VersionNumber >= known, "%s went back from version %d to %d", k, known, e.VersionNumber)
		w.judge(checkVersions, e.VersionNumber <= known+step, "%s jumped from version %d to %d", k, known, e.VersionNumber)
	}
	a.version, a.slack = max(a.version, e.VersionNumber), 0
}

func (w *witness) onUpdated(s *sent, r *reply, late bool) {
	a := w.attempt(s.key)
	if r.Code != "" {
		if st := r.ExecutionState; st != nil && !late {
			w.judge(checkVersions, st.VersionNumber >= a.version, "%s went back from version %d to %d", s.key, a.version, st.VersionNumber)
			a.version, a.slack = max(a.version, st.VersionNumber), 0
		}
		if r.Code == codeInvalidStateTransition && r.ExecutionState != nil && r.ExecutionState.Status == s.status && terminal(s.status) {
			w.reports[s.key] = s.status // it had arrived, maybe on another connection
			w.ended(s.key, a, s.status)
			a.epoch = 0
		}
		return
	}
	if late { // what it tells is of the past
		a.slack--
	}
	w.judge(checkTerminal, a.terminal == "", "%s: %s was accepted after %s", s.key, s.status, a.terminal)
	if s.expected > 0 && a.version > 0 && a.slack == 0 && !late {
		w.judge(checkRefusals, s.expected == a.version, "%s: expectedVersion %d was accepted at version %d", s.key, s.expected, a.version)
	}
	if terminal(s.status) {
		w.judge(checkOrder, s.early == "", "%s: %s came before the reply to the report %s", s.key, s.early, s.status)
		w.reports[s.key] = s.status
		w.ended(s.key, a, s.status)
		if !s.heard { // sent on a connection just up: its notification came before the subscription
			a.epoch = 0
		}
	}
	if late {
		return
	}
	known := a.version
	if known == 0 {
		known = a.notified
	}
	if r.ExecutionState == nil {
		a.version = known + 1
		return
	}
	v := r.ExecutionState.VersionNumber
	if known > 0 {
		w.judge(checkVersions, v > known, "%s stayed at version %d with an accepted update", s.key, v)
		w.judge(checkVersions, v <= known+1+a.slack, "%s jumped from version %d to %d", s.key, known, v)
	}
	a.version, a.slack = max(known, v), 0
}

func (w *witness) ended(k executionKey, a *attempt, status string) {
	if a.terminal != "" {
		return
	}
	a.terminal, a.ended, a.epoch = status, w.clock, w.epoch
	a.unlisted = w.queue != nil && !w.queue.truncated && !w.queue.has(k)
}

// onList judges a notify.
func (w *witness) onList(r *reply) {
	q := &queue{}
	for _, status := range []string{statusInProgress, statusQueued} {
		jobs := r.Jobs[status]
		q.truncated = q.truncated || len(jobs) >= shownPending
		for _, e := range jobs {
			q.keys = append(q.keys, e.key())
			w.notified(&e)
		}
	}
	if last := w.queue; last != nil && !last.truncated && !q.truncated {
		w.judge(checkRepeats, w.moved || !sameSet(last.keys, q.keys), "notify told the same executions twice: %v", q.keys)
		for _, s := range w.open {
			if s.op == opUpdate && terminal(s.status) && s.answers == 0 && s.epoch == w.epoch && last.has(s.key) && !q.has(s.key) {
				s.early = notifyList
			}
		}
	}
	if !q.truncated {
		for k, a := range w.attempts {
			if a.terminal == "" {
				continue
			}
			if !q.has(k) {
				a.unlisted = true
				continue
			}
			w.judge(checkTerminal, !a.unlisted, "notify lists %s again, after it had ended %s", k, a.terminal)
		}
	}
	w.queue, w.moved = q, false
}

// notified learns from an execution in a notification.
func (w *witness) notified(e *execution) {
	a := w.attempt(e.key())
	w.judge(checkVersions, e.VersionNumber >= a.notified, "%s went back from version %d to %d in notifications", e.key(), a.notified, e.VersionNumber)
	a.notified = max(a.notified, e.VersionNumber)
}

// onNext judges a notify-next.
func (w *witness) onNext(r *reply) {
	h := headOf(r.Execution)
	if r.Execution != nil {
		w.notified(r.Execution)
	}
	if w.head != nil {
		w.judge(checkRepeats, w.nextMove || *w.head != h, "notify-next told %s twice", h)
		for _, s := range w.open {
			if s.op == opUpdate && terminal(s.status) && s.answers == 0 && s.epoch == w.epoch && w.head.executionKey == s.key && h != *w.head {
				s.early = notifyNext
			}
		}
	}
	if q := w.queue; q != nil && !q.truncated && w.listens[notifyList] {
		w.judge(checkOrder, q.allows(r.Execution), "notify-next told %s before notify did, which had %v", h, q.keys)
	}
	w.head, w.nextMove = &h, false
}

// allows reports whether an execution can be the head of the queue that was told last. A start
// changes the head and not the set: a head in progress need only be listed.
func (q *queue) allows(e *execution) bool {
	switch {
	case e == nil:
		return len(q.keys) == 0
	case e.Status == statusQueued:
		return len(q.keys) > 0 && q.keys[0] == e.key()
	}
	return q.has(e.key())
}

// told counts the notifications received.
func (w *witness) told() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.notifications
}

// settle judges at the end that nothing was lost: next is the head of the queue as $next/get had
// it, asked for when so many notifications had been told. What is under way gets until grace ends.
// It returns false, and judges nothing, if next may be of the past: it does not fit and there were
// more notifications since.
func (w *witness) settle(ctx context.Context, next *execution, grace time.Duration, told int) bool {
	overdue := time.NewTimer(grace)
	defer overdue.Stop()
	for {
		w.mu.Lock()
		missing, judged := w.missing(headOf(next))
		changed := w.changed
		if len(missing) == 0 {
			w.out.passed(checkLost, judged)
			w.mu.Unlock()
			return true
		}
		outdated := w.notifications != told
		w.mu.Unlock()
		select {
		case <-changed:
			continue
		case <-ctx.Done():
			return true // interrupted: not judged
		case <-overdue.C:
		}
		if outdated {
			return false
		}
		for _, m := range missing {
			w.judge(checkLost, false, "%s", m)
		}
		return true
	}
}

// missing lists what should have been announced on this connection and was not. mu is held.
func (w *witness) missing(next head) (missing []string, judged int) {
	if w.listens[notifyNext] {
		judged++
		told := w.head
		if told == nil {
			told = w.baseline
		}
		if told != nil && *told != next {
			missing = append(missing, fmt.Sprintf("notify-next: the head of the queue is %s, told was %s", next, told))
		}
	}
	if w.queue == nil && w.listens[notifyList] {
		judged++
		for k, a := range w.attempts {
			if a.terminal != "" && a.epoch == w.epoch {
				missing = append(missing, fmt.Sprintf("notify: %s ended %s, and no list has come since", k, a.terminal))
			}
		}
	}
	if q := w.queue; q != nil && !q.truncated && w.listens[notifyList] {
		judged++
		if !next.none && !q.has(next.executionKey) {
			missing = append(missing, fmt.Sprintf("notify: the head of the queue is %s, told was %v", next, q.keys))
		}
		for _, k := range q.keys {
			if a := w.attempts[k]; a != nil && a.terminal != "" {
				missing = append(missing, fmt.Sprintf("notify: %s ended %s, and the last list has it", k, a.terminal))
			}
		}
	}
	return missing, judged
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

func sameSet(a, b []executionKey) bool {
	if len(a) != len(b) {
		return false
	}
	for _, k := range a {
		if !slices.Contains(b, k) {
			return false
		}
	}
	return true
}
