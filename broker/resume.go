package broker

import (
	"cmp"
	"slices"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// behind is a resumed session with the versions of a queue that it was told of last.
type behind struct {
	c         *client
	set, head uint64
	sent      []jobsvc.SessionSent // later ones, not acknowledged
}

// resume has the session told what its queues have that it was not told: the newest of
// each, made now. The subscriptions are in force, so what comes later is notified like
// everybody's. A device is told notify and then notify-next, as after a commit.
func (n *notifier) resume(c *client, rec *jobsvc.Session, versions []jobsvc.ThingVersions) {
	for i := range rec.Things {
		t := &rec.Things[i]
		w := c.watchOf(t.Name)
		if w == nil {
			continue
		}
		for _, v := range versions[i].Queues {
			told := t.Queue(v.NamespaceID)
			if (v.SetVersion > told.SetVersion || v.HeadVersion > told.HeadVersion) && c.queues(t.Name, v.NamespaceID) {
				n.tellLater(w, v, behind{c, told.SetVersion, told.HeadVersion, told.Sent})
			}
		}
	}
}

func (n *notifier) tellLater(w *watch, v jobsvc.QueueVersions, b behind) {
	n.mu.Lock()
	q := w.queues[v.NamespaceID]
	if q == nil {
		q = &queue{watch: w, namespace: strings.Clone(v.NamespaceID), set: v.SetVersion, head: v.HeadVersion}
		w.queues[q.namespace] = q
	}
	n.mu.Unlock()
	w.hand.Lock()
	q.behind = append(q.behind, b)
	w.hand.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.enqueue(q)
}

// missed tells whether somebody was not told of a head. watch.hand is held, here and below.
func (q *queue) missed(head uint64) bool {
	return slices.ContainsFunc(q.behind, func(b behind) bool { return b.head < head })
}

// tellMissed notes that all subscribers were told of a version.
func (n *notifier) tellMissed(q *queue, next bool, version uint64) {
	for i := range q.behind {
		b := &q.behind[i]
		b.told(next, version, n.queues(q, b.c, next))
	}
}

// queues tells whether the notifications wait for the session while it is away.
func (n *notifier) queues(q *queue, c *client, next bool) bool {
	n.mu.Lock()
	subs := q.watch.subs
	n.mu.Unlock()
	suffix := notifyTopic(q.watch.thing, next, q.namespace)[len("$aws/things/")+len(q.watch.thing)+1:]
	return slices.ContainsFunc(subs, func(s subscription) bool { return s.c == c && s.qos > 0 && matches(s.filter, suffix) })
}

// deliverMissed tells those who were not told of a version that others know.
func (n *notifier) deliverMissed(q *queue, next bool, version uint64, payload []byte) {
	for i := range q.behind {
		b := &q.behind[i]
		if b.version(next) >= version {
			continue
		}
		m := &message{topic: notifyTopic(q.watch.thing, next, q.namespace), payload: payload, of: sent{q, next, version}}
		for _, s := range b.sent {
			if s.Next == next && s.Version == version {
				m.again = s.PacketID
			}
		}
		waited := n.queues(q, b.c, next)
		if waited {
			n.count(next, b.c.send(m, 1))
		}
		b.told(next, version, waited)
	}
}

func (b *behind) version(next bool) uint64 {
	if next {
		return b.head
	}
	return b.set
}

// told counts what was due while the session was away, if it waited: one is delivered for
// all.
func (b *behind) told(next bool, version uint64, waited bool) {
	missed := version - b.version(next)
	if version <= b.version(next) {
		return
	}
	if waited {
		b.c.b.metrics.sessionMessages.WithLabelValues("delivered").Inc()
		b.c.b.metrics.sessionMessages.WithLabelValues("superseded").Add(float64(missed - 1))
	}
	if next {
		b.head = version
	} else {
		b.set = version
	}
}

// told brings up to date how far a session was told of the queues of a thing: up to what
// was published, short of what was not acknowledged. The read goroutine of c calls it, and
// the connection is not yet taken out.
func (n *notifier) told(c *client, thing string, queues []jobsvc.SessionQueue) []jobsvc.SessionQueue {
	w := c.watchOf(thing)
	if w == nil {
		return queues
	}
	w.hand.Lock()
	defer w.hand.Unlock()
	n.mu.Lock()
	watched := make([]*queue, 0, len(w.queues))
	for _, q := range w.queues {
		watched = append(watched, q)
	}
	n.mu.Unlock()
	for _, q := range watched {
		if !c.queues(thing, q.namespace) {
			continue
		}
		i := slices.IndexFunc(queues, func(t jobsvc.SessionQueue) bool { return t.NamespaceID == q.namespace })
		if i < 0 {
			i = len(queues)
			queues = append(queues, jobsvc.SessionQueue{NamespaceID: q.namespace})
		}
		t := jobsvc.SessionQueue{NamespaceID: q.namespace, SetVersion: q.set, HeadVersion: q.head}
		for _, b := range q.behind {
			if b.c == c {
				t.SetVersion, t.HeadVersion = min(t.SetVersion, b.set), min(t.HeadVersion, b.head)
				t.Sent = append(t.Sent, b.sent...)
			}
		}
		c.out.untold(q, &t)
		t.SetVersion, t.HeadVersion = max(t.SetVersion, queues[i].SetVersion), max(t.HeadVersion, queues[i].HeadVersion)
		queues[i] = t
	}
	return queues
}

// untold takes back what the client has not acknowledged of a queue, or was not sent.
func (o *outbox) untold(q *queue, t *jobsvc.SessionQueue) {
	o.Lock()
	defer o.Unlock()
	lower := func(s sent) {
		if s.next {
			t.HeadVersion = min(t.HeadVersion, s.version-1)
		} else {
			t.SetVersion = min(t.SetVersion, s.version-1)
		}
	}
	for id, s := range o.inflight {
		if s.queue == q {
			lower(s)
			t.Sent = append(t.Sent, jobsvc.SessionSent{PacketID: id, Next: s.next, Version: s.version})
		}
	}
	for _, m := range o.waiting {
		if m.of.queue == q {
			lower(m.of)
		}
	}
	slices.SortFunc(t.Sent, func(a, b jobsvc.SessionSent) int { return cmp.Compare(a.Version, b.Version) })
}
