package engine_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// subject is an engine that carries out commands. Its clock stands still unless it is set:
// all that follows from a command has one time.
type subject struct {
	*engine.Engine
	t   failer
	ctx context.Context
	db  *exactDB

	mu    sync.Mutex
	now   time.Time     // guarded by mu
	hints []engine.Hint // since they were taken; guarded by mu
	stale []store.Timer // that were there once
	stamp int64         // of the last event that was taken
}

func newSubject(t failer) *subject {
	s := &subject{t: t, ctx: context.Background()}
	var err error
	s.db, err = newExactDB(s.ctx)
	s.must(err)
	s.open()
	return s
}

func (s *subject) open() {
	st, err := store.Open(s.ctx, s.db)
	s.must(err)
	rules := jobsvc.DefaultJobRules()
	rules.MinStartLead, rules.MinEndLead, rules.MinSpan = 0, 0, 0
	defer func() { s.WantEvents(true) }()
	s.Engine = engine.New(st, engine.Options{Account: account, Notifier: s, Rules: &rules, Now: s.clock})
}

// restart is what a kill leaves, and what Run does first.
func (s *subject) restart() {
	s.db = s.db.Reopen()
	s.open()
	s.UnsettleActive()
	s.must(s.Settle(s.ctx))
}

func (s *subject) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v", err)
	}
}

func (s *subject) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *subject) set(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// Notify takes hints; they come from several goroutines.
func (s *subject) Notify(h []engine.Hint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hints = append(s.hints, h...)
}

func (s *subject) takeHints() []engine.Hint {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hints
	s.hints = nil
	return h
}

// takeEvents gives the events there are since they were taken.
func (s *subject) takeEvents() []jobsvc.Event {
	s.t.Helper()
	list, err := s.Events(s.ctx, s.stamp, 10_000)
	s.must(err)
	if len(list) > 0 {
		s.stamp = list[len(list)-1].Stamp
	}
	return list
}

// idOf is the ID of a thing, "" when there is none.
func (s *subject) idOf(thing string) string {
	t, err := s.DescribeThing(s.ctx, thing)
	if err != nil {
		return ""
	}
	return t.ID
}

// executionsOf lists the executions of a job through all pages.
func (s *subject) executionsOf(job string, status jobsvc.JobExecutionStatus, page int) (all []jobsvc.JobExecution) {
	s.t.Helper()
	r := &jobsvc.ListJobExecutionsForJobRequest{JobID: job, Status: status, Page: jobsvc.Page{MaxResults: page}}
	for {
		res, err := s.ListJobExecutionsForJob(s.ctx, r)
		s.must(err)
		all = append(all, res.Executions...)
		if r.Page.Token = res.NextToken; r.Page.Token == "" {
			return all
		}
	}
}

// next is when the first timer is due, zero for never.
func (s *subject) next() (first time.Time) {
	for _, t := range s.timers() {
		if first.IsZero() || t.Due.Before(first) {
			first = t.Due
		}
	}
	return first
}

// timers lists all timers by due time.
func (s *subject) timers() []store.Timer {
	s.t.Helper()
	timers, err := s.Timers(s.ctx, 1000)
	s.must(err)
	slices.SortStableFunc(timers, func(a, b store.Timer) int { return a.Due.Compare(b.Due) })
	return timers
}

// disturbance is what goes wrong while timers are fired.
type disturbance int

const (
	calm      disturbance = iota
	twice                 // each is fired twice
	restarted             // a restart comes after each
	confused              // timers that were there once are fired, too, and those that are not due
)

// run fires what is due until nothing is. The consequences of each are settled before the
// next.
func (s *subject) run(d disturbance) {
	s.t.Helper()
	s.must(s.Settle(s.ctx))
	for range 10_000 {
		timers := s.timers()
		now := s.clock()
		if d == confused {
			s.stale = append(s.stale, timers...)
			s.stale = s.stale[max(0, len(s.stale)-20):]
			for _, t := range slices.Concat(timers, s.stale) {
				if t.Due.After(now) || !slices.Contains(timers, t) {
					s.must(s.Fire(s.ctx, t, now))
				}
			}
		}
		if len(timers) == 0 || timers[0].Due.After(now) {
			return
		}
		s.must(s.Fire(s.ctx, timers[0], now))
		if d == twice {
			s.must(s.Fire(s.ctx, timers[0], now))
		}
		if d == restarted {
			s.restart()
		}
		s.must(s.Settle(s.ctx))
	}
	s.t.Fatalf("timers never come to an end: %+v", s.timers())
}

// do carries out a command, without the timers it sets.
func (s *subject) do(c command) reply {
	s.t.Helper()
	switch c.verb {
	case "thing":
		for _, n := range c.args {
			_, err := s.CreateThing(s.ctx, &jobsvc.CreateThingRequest{ThingName: n})
			s.must(err)
		}
	case "delete-thing":
		return s.result(nil, s.DeleteThing(s.ctx, &jobsvc.DeleteThingRequest{ThingName: c.arg(0)}))
	case "group":
		_, err := s.CreateThingGroup(s.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: c.arg(0), ParentName: c.flag("in")})
		for _, n := range c.args[1:] {
			s.must(s.AddThingToThingGroup(s.ctx, c.arg(0), n))
		}
		return s.result(nil, err)
	case "delete-group":
		return s.result(nil, s.DeleteThingGroup(s.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: c.arg(0)}))
	case "join":
		return s.result(nil, s.AddThingToThingGroup(s.ctx, c.arg(1), c.arg(0)))
	case "leave":
		return s.result(nil, s.RemoveThingFromThingGroup(s.ctx, c.arg(1), c.arg(0)))
	case "move":
		r := &jobsvc.UpdateThingGroupsForThingRequest{ThingName: c.arg(0), Remove: []string{c.arg(1)}, Add: []string{c.arg(2)}}
		return s.result(nil, s.UpdateThingGroupsForThing(s.ctx, r))
	case "set":
		r := &jobsvc.UpdateThingRequest{ThingName: c.arg(0), Attributes: &jobsvc.AttributeUpdate{Attributes: attrs(c.args[1:])}}
		return s.result(nil, s.UpdateThing(s.ctx, r))
	case "dynamic-group":
		r := &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: c.arg(0), QueryString: "attributes." + c.arg(1)}
		_, err := s.CreateDynamicThingGroup(s.ctx, r)
		return s.result(nil, err)
	case "create-job":
		_, err := s.CreateJob(s.ctx, c.createJob(s.clock()))
		return s.result(nil, err)
	case "update-job":
		return s.result(nil, s.UpdateJob(s.ctx, c.updateJob()))
	case "cancel-job":
		_, err := s.CancelJob(s.ctx, c.cancelJob())
		return s.result(nil, err)
	case "delete-job":
		return s.result(nil, s.DeleteJob(s.ctx, &jobsvc.DeleteJobRequest{JobID: c.arg(0), Force: c.has("force")}))
	case "associate":
		_, err := s.AssociateTargetsWithJob(s.ctx, c.associate())
		return s.result(nil, err)
	case "cancel-execution":
		return s.result(nil, s.CancelJobExecution(s.ctx, c.cancelExecution()))
	case "delete-execution":
		return s.result(nil, s.DeleteJobExecution(s.ctx, c.deleteExecution()))
	case "start-next":
		return s.result(s.StartNextPendingJobExecution(s.ctx, c.startNext()))
	case "update":
		r, err := s.UpdateJobExecution(s.ctx, c.update())
		if err != nil {
			return s.result(nil, err)
		}
		return reply{State: &r.State}
	case "describe":
		return s.result(s.DescribePendingJobExecution(s.ctx, c.describe()))
	case "get-pending":
		p, err := s.GetPendingJobExecutions(s.ctx, c.thing)
		if err != nil {
			return s.result(nil, err)
		}
		return reply{Queue: slices.Concat(p.InProgress, p.Queued)}
	default:
		s.t.Fatalf("there is no command %q", c.verb)
	}
	return reply{}
}

// result is the reply with an answer for a device, if it is one, or with a refusal.
func (s *subject) result(r *jobsvc.DeviceExecution, err error) reply {
	s.t.Helper()
	var refused *jobsvc.Error
	switch {
	case errors.As(err, &refused) && refused.Code != jobsvc.CodeInternal:
		return reply{Code: refused.Code, State: refused.State}
	case err != nil:
		s.t.Fatalf("%v", err)
	case r != nil:
		return reply{Execution: r.Execution}
	}
	return reply{}
}
