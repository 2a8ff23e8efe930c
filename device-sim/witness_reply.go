package main

import (
	"slices"
)

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
