package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// explainedJobs bounds how many active jobs an explanation looks at.
const explainedJobs = 1000

// ExplainThing says what the queue of a thing holds, and why nothing else comes: for an
// operator who stands before a device that does nothing. Errors: CodeInvalidRequest,
// CodeNotFound.
func (e *Engine) ExplainThing(ctx context.Context, name string) (*jobsvc.ThingExplanation, error) {
	if err := jobsvc.ValidateName("thingName", name); err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	x := &explainer{e: e, now: now}
	// The transaction changes nothing: it is there for one view of the thing.
	_, err = e.store.Update(ctx, kv.Thing(name), func(tx *store.Tx) error { return x.read(tx, name) })
	if err != nil {
		return nil, storeError(err)
	}
	x.out = &jobsvc.ThingExplanation{ThingName: name, At: now}
	if err := x.certificates(ctx); err != nil {
		return nil, storeError(err)
	}
	if err := x.executions(ctx); err != nil {
		return nil, storeError(err)
	}
	if err := x.jobs(ctx); err != nil {
		return nil, storeError(err)
	}
	return x.out, nil
}

type explainer struct {
	e   *Engine
	now time.Time
	out *jobsvc.ThingExplanation

	thing  *jobsvc.Thing
	queue  *jobsvc.Queue
	groups []string // it is in, those above them included
}

func (x *explainer) read(tx *store.Tx, name string) error {
	t, err := tx.Thing(name)
	if err != nil {
		return err
	}
	if t == nil {
		return thingNotFound(name)
	}
	m, err := x.e.memberships(tx, t, x.now)
	if err != nil {
		return err
	}
	up := &ancestry{tx: tx, known: map[string]*jobsvc.ThingGroup{}}
	if x.groups, err = up.all(m.before); err != nil {
		return err
	}
	x.thing = t
	x.queue, err = tx.Queue(name)
	return err
}

// certificates looks at how the device gets in at all.
func (x *explainer) certificates(ctx context.Context) error {
	ids, _, _, err := x.e.store.CertificatesOf(ctx, x.thing.Name, "", jobsvc.MaxPageSize)
	if err != nil {
		return err
	}
	usable := false
	for _, id := range ids {
		c, err := x.e.store.Certificate(ctx, id)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		is := jobsvc.CertificateExplanation{ID: c.ID, Status: c.Status, NotAfter: c.NotAfter}
		switch {
		case c.Status != jobsvc.CertificateActive:
			is.Finding = fmt.Sprintf("The certificate is %s: the broker refuses it.", c.Status)
		case !c.NotAfter.IsZero() && !x.now.Before(c.NotAfter):
			is.Finding = "The certificate has expired."
		case x.now.Before(c.NotBefore):
			is.Finding = "The certificate is not valid yet."
		default:
			usable = true
		}
		x.out.Certificates = append(x.out.Certificates, is)
	}
	if p := x.e.opts.Sessions; p != nil {
		x.out.Connections = p.Connected(x.thing.Name)
		switch {
		case len(ids) == 0:
			x.find("No certificate is attached to the thing: its device cannot connect.")
		case !usable:
			x.find("None of its certificates can be used: its device cannot connect.")
		case len(x.out.Connections) == 0:
			x.find("No device is connected for the thing.")
		}
	}
	return nil
}

func (x *explainer) find(text string) { x.out.Findings = append(x.out.Findings, text) }

// executions explains the queue, that of each namespace by itself.
func (x *explainer) executions(ctx context.Context) error {
	jobs := make(map[string]*jobsvc.Job)
	var failed error
	ask := func(p *jobsvc.JobExecution) bool {
		j, ok := jobs[p.JobID]
		if !ok {
			var err error
			if j, err = x.e.store.Job(ctx, p.JobID); err != nil {
				failed = err
			}
			jobs[p.JobID] = j
		}
		return visible(p, j)
	}
	var shown, hidden []jobsvc.ExecutionExplanation
	for _, ns := range x.namespaces() {
		var ahead string
		for _, p := range x.queue.List(ns, ask) {
			is := explained(p)
			switch left, timed := p.SecondsBeforeTimedOut(x.now); {
			case p.Status == jobsvc.StatusInProgress && timed:
				is.Reason = fmt.Sprintf("The device works at it since %s. It times out in %s.", clockTime(p.StartedAt), time.Duration(left)*time.Second)
			case p.Status == jobsvc.StatusInProgress:
				is.Reason = fmt.Sprintf("The device works at it since %s. It has no timeout.", clockTime(p.StartedAt))
			case ahead == "":
				is.Reason = "It is next: the device gets it with StartNextPendingJobExecution."
			default:
				is.Reason = fmt.Sprintf("It comes after job %s.", ahead)
			}
			if ns != "" {
				is.Reason += fmt.Sprintf(" It is in the namespace %q: a device that does not ask for that does not see it.", ns)
			}
			ahead = p.JobID
			shown = append(shown, is)
		}
	}
	for i := range x.queue.Pending {
		if p := &x.queue.Pending[i]; !ask(p) {
			is := explained(p)
			is.Reason = x.whyHidden(p, jobs[p.JobID])
			hidden = append(hidden, is)
		}
	}
	x.out.Executions = slices.Concat(shown, hidden)
	if len(x.queue.Pending) >= jobsvc.MaxPending {
		x.find(fmt.Sprintf("The thing has %d pending executions, as many as it may: those of further jobs are CANCELED at once.", len(x.queue.Pending)))
	}
	return failed
}

func (x *explainer) namespaces() []string {
	var list []string
	for i := range x.queue.Pending {
		list = append(list, x.queue.Pending[i].NamespaceID)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func explained(p *jobsvc.JobExecution) jobsvc.ExecutionExplanation {
	return jobsvc.ExecutionExplanation{JobID: p.JobID, NamespaceID: p.NamespaceID, ExecutionNumber: p.ExecutionNumber, Status: p.Status, QueuedAt: p.QueuedAt}
}

// whyHidden says why a device does not see a pending execution.
func (x *explainer) whyHidden(p *jobsvc.JobExecution, j *jobsvc.Job) string {
	switch {
	case j == nil || j.Status == jobsvc.JobDeletionInProgress:
		return "Its job is being deleted."
	case j.Status == jobsvc.JobCanceled:
		return "Its job is canceled."
	case j.Expired():
		return "No maintenance window of its job opens any more: it is being canceled."
	case j.Status == jobsvc.JobScheduled:
		return fmt.Sprintf("The maintenance windows of its job are closed. The next one opens %s.", clockTime(j.StartsAt))
	case !p.HiddenUntil.IsZero():
		return fmt.Sprintf("It is a retry, which the device sees from %s on.", clockTime(p.HiddenUntil))
	}
	return fmt.Sprintf("Its job is %s.", j.Status)
}

// jobs looks at the active jobs without a pending execution.
func (x *explainer) jobs(ctx context.Context) error {
	active, more, err := x.e.store.ListJobs(ctx, store.JobCursor{}, explainedJobs, (*jobsvc.Job).Active)
	if err != nil {
		return err
	}
	if more {
		x.find(fmt.Sprintf("There are more than %d active jobs. The oldest were not looked at.", explainedJobs))
	}
	for i := range active {
		j := &active[i]
		if x.queue.Find(j.ID) != nil {
			continue
		}
		reason, err := x.whyNone(ctx, j)
		if err != nil {
			return err
		}
		if reason == "" {
			x.out.OtherJobs++
			continue
		}
		x.out.Jobs = append(x.out.Jobs, jobsvc.JobExplanation{JobID: j.ID, Status: j.Status, Reason: reason})
	}
	return nil
}

// whyNone says why an active job has no pending execution for the thing; "" when it has
// nothing to do with it.
func (x *explainer) whyNone(ctx context.Context, j *jobsvc.Job) (string, error) {
	last, err := x.e.store.LastEnded(ctx, x.thing.Name, j.ID)
	if err != nil {
		return "", err
	}
	covered := x.e.covers(j, x.thing.Name, x.groups)
	switch {
	case last != nil && last.ThingID == x.thing.ID:
		return fmt.Sprintf("The thing is through with it: execution %d is %s since %s.", last.ExecutionNumber, last.Status, clockTime(last.LastUpdatedAt)), nil
	case !covered:
		return "", nil
	case j.Stopped:
		return "The schedule of the job is over: it makes no further executions.", nil
	case j.Waiting():
		return fmt.Sprintf("The job begins %s.", clockTime(j.StartsAt)), nil
	}
	r, err := x.e.store.Rollout(ctx, j.ID)
	switch {
	case err != nil:
		return "", err
	case j.Status == jobsvc.JobScheduled:
		return fmt.Sprintf("The maintenance windows of the job are closed. The next one opens %s.", clockTime(j.StartsAt)), nil
	case r == nil && j.TargetSelection == jobsvc.TargetSnapshot:
		return "The thing was not in the targets when the job began, and a SNAPSHOT job does not follow who joins, or its execution was deleted.", nil
	case r == nil:
		return "The thing had its execution, which was deleted.", nil
	case r.Due.After(x.now):
		rate, _ := x.e.rates().PerMinute(j.RolloutConfig, r.Increases)
		return fmt.Sprintf("The rollout goes on at %s: it has released %d things, now %d a minute.", clockTime(r.Due), r.Notified, rate), nil
	case x.thing.CreatedAt.After(j.Begun()) && j.TargetSelection == jobsvc.TargetSnapshot:
		return "The thing was made after the job began, and a SNAPSHOT job does not follow.", nil
	}
	return "The rollout is under way: the thing's turn is yet to come.", nil
}

func clockTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
