package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

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
