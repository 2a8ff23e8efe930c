package engine_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// churn has things join and leave what CONTINUOUS jobs target, in every way there is, and
// knows by set arithmetic who is covered and what each should have come to.
type churn struct {
	*faultyWorld
	rng     *rand.Rand
	size    int // how many things come and go
	keep    int // how many jobs are not canceled
	log     []string
	things  map[string]bool // those there are, with whether the dynamic group names them
	parents map[string]string
	groups  map[string]map[string]bool // static ones there are, with their direct members
	jobs    map[string]*churnJob
	rerun   bool
	remove  bool // IN_PROGRESS ones too
	// racing: timers fire when they happen to, and transactions go wrong. What then comes out
	// depends on who was first; what must be so in any case is checked.
	racing bool
}

type churnJob struct {
	id       string
	targets  []string
	open     bool // not between two windows
	canceled bool
	covered  map[string]bool
	last     map[string]*churnLast // by thing
}

// churnLast is the last execution a thing should have.
type churnLast struct {
	number  int64
	status  jobsvc.JobExecutionStatus // "" before the first
	dead    bool                      // its thing is gone: one of its name is another
	owed    bool                      // another is due when the window opens
	entries int                       // how often the thing entered the targets
	least   int64                     // the number it has come to at least, once all is done
}

func newChurn(t *testing.T, seed uint64, racing bool) *churn {
	return newChurnOn(newFaultyWorld(t), 5, seed, racing)
}

// newChurnOn is newChurn with so many things, of which w has five.
func newChurnOn(w *faultyWorld, size int, seed uint64, racing bool) *churn {
	c := &churn{
		faultyWorld: w, rng: rand.New(rand.NewPCG(seed, 1)), size: size, racing: racing,
		things: map[string]bool{}, groups: map[string]map[string]bool{}, jobs: map[string]*churnJob{},
		parents: map[string]string{"north": "", "hall-1": "north", "hall-2": "north", "cell": "hall-1", "south": "", "blue": ""},
	}
	c.rerun, c.remove = seed%4 != 0, seed%5 == 0
	rules := jobsvc.DefaultJobRules()
	rules.RerunOnRejoin, rules.RemoveInProgressOnLeave = c.rerun, c.remove
	w.rules = &rules
	w.open()
	w.thing(names(size)[5:]...)
	for _, n := range names(size) {
		c.things[n] = false
	}
	w.dynamic("hot", "attributes.hot:yes")
	for _, g := range []string{"north", "hall-1", "hall-2", "cell", "south", "blue"} {
		w.group(g, c.parents[g])
		c.groups[g] = map[string]bool{}
	}
	w.background()
	return c
}

func (c *churn) did(format string, args ...any) { c.log = append(c.log, fmt.Sprintf(format, args...)) }

func (c *churn) fail(format string, args ...any) {
	c.t.Helper()
	c.t.Log(strings.Join(c.log, "\n"))
	c.t.Fatalf(format, args...)
}

// do is one call of an operator, repeated while it is not known whether it took effect.
func (c *churn) do(what string, call func() error) bool {
	c.t.Helper()
	err := c.again(call)
	c.did("%s: %v", what, err)
	switch jobsvc.ErrorCode(err) {
	case "":
	case jobsvc.CodeInvalidRequest, jobsvc.CodeNotFound:
		return false
	case jobsvc.CodeAlreadyExists:
	default:
		c.fail("%s: %v", what, err)
	}
	if err != nil && jobsvc.ErrorCode(err) == "" {
		c.fail("%s: %v", what, err)
	}
	return true
}

func pick[T any](c *churn, list []T) T { return list[c.rng.IntN(len(list))] }

func (c *churn) anyGroup() string { return pick(c, slices.Sorted(maps.Keys(c.parents))) }
func (c *churn) anyThing() string { return pick(c, names(c.size)) }

// covers is the definition.
func (c *churn) covers(j *churnJob, thing string) bool {
	hot, there := c.things[thing]
	if !there {
		return false
	}
	in := map[string]bool{"hot": hot}
	for g, members := range c.groups {
		for up := g; members[thing] && up != ""; up = c.parents[up] {
			in[up] = true
		}
	}
	return slices.ContainsFunc(j.targets, func(arn string) bool {
		_, name, _ := account.Parse(arn)
		return arn == thingARN(thing) || arn == groupARN(name) && in[name]
	})
}

// step does one thing, and what it means.
func (c *churn) step() {
	thing := c.anyThing()
	switch n := c.rng.IntN(100); {
	case n < 12:
		hot := c.rng.IntN(2) == 0
		if _, ok := c.things[thing]; !ok {
			attrs := map[string]string{}
			if hot {
				attrs["hot"] = "yes"
			}
			c.do("create "+thing, func() error {
				_, err := c.CreateThing(c.ctx, &jobsvc.CreateThingRequest{ThingName: thing, Attributes: attrs})
				return err
			})
			c.things[thing] = hot
		} else if c.do(fmt.Sprintf("%s is hot: %v", thing, hot), func() error {
			value := "no"
			if hot {
				value = "yes"
			}
			return c.UpdateThing(c.ctx, &jobsvc.UpdateThingRequest{ThingName: thing, Attributes: &jobsvc.AttributeUpdate{Attributes: map[string]string{"hot": value}}})
		}) {
			c.things[thing] = hot
		}
	case n < 16:
		c.do("delete "+thing, func() error { return c.DeleteThing(c.ctx, &jobsvc.DeleteThingRequest{ThingName: thing}) })
		delete(c.things, thing)
		for _, members := range c.groups {
			delete(members, thing)
		}
		for _, j := range c.jobs {
			if l := j.last[thing]; l != nil {
				if !l.status.Terminal() {
					l.status = jobsvc.StatusRemoved
				}
				l.dead = true
			}
		}
	case n < 24:
		g := c.anyGroup()
		if c.groups[g] == nil && (c.parents[g] == "" || c.groups[c.parents[g]] != nil) {
			c.do("create group "+g, func() error {
				_, err := c.CreateThingGroup(c.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: g, ParentName: c.parents[g]})
				return err
			})
			c.groups[g] = map[string]bool{}
		}
	case n < 28:
		if g := c.anyGroup(); c.groups[g] != nil && c.do("delete group "+g, func() error { return c.DeleteThingGroup(c.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: g}) }) {
			delete(c.groups, g)
		}
	case n < 60:
		r := &jobsvc.UpdateThingGroupsForThingRequest{ThingName: thing, Override: true}
		for range 1 + c.rng.IntN(3) {
			if g := c.anyGroup(); c.groups[g][thing] && !slices.Contains(r.Remove, g) {
				r.Remove = append(r.Remove, g)
			} else if c.groups[g] != nil && !c.groups[g][thing] && !slices.Contains(r.Add, g) {
				r.Add = append(r.Add, g)
			}
		}
		if c.do(fmt.Sprintf("%s joins %v, leaves %v", thing, r.Add, r.Remove), func() error { return c.UpdateThingGroupsForThing(c.ctx, r) }) {
			for _, g := range r.Add {
				c.groups[g][thing] = true
			}
			for _, g := range r.Remove {
				delete(c.groups[g], thing)
			}
		}
	case n < 66:
		if len(c.jobs) < 4 {
			c.createJob()
		}
	case n < 70:
		c.associate()
	case n < 74:
		c.window()
	case n < 76:
		for _, id := range slices.Sorted(maps.Keys(c.jobs)) {
			if j := c.jobs[id]; !j.canceled && len(c.jobs) > 3 && c.goingOn() > c.keep {
				c.do("cancel "+j.id, func() error {
					_, err := c.CancelJob(c.ctx, &jobsvc.CancelJobRequest{JobID: j.id})
					return err
				})
				j.canceled = true
				for _, l := range j.last {
					if l.status == jobsvc.StatusQueued {
						l.status = jobsvc.StatusCanceled
					}
				}
				break
			}
		}
	case n < 78:
		c.did("restart")
		c.faulty.fault = nil
		c.open()
	default:
		c.device(thing)
	}
	for _, j := range c.jobs {
		for _, n := range names(c.size) {
			c.follow(j, n)
		}
	}
}

// follow is the table of what entering and leaving does.
func (c *churn) follow(j *churnJob, thing string) {
	was, is := j.covered[thing], c.covers(j, thing)
	j.covered[thing] = is
	if j.canceled || was == is {
		return
	}
	l := j.last[thing]
	if l == nil {
		l = &churnLast{}
		j.last[thing] = l
	}
	if is {
		l.entries++
		again := l.status == "" || l.dead || l.status.Terminal() && (c.rerun || l.status == jobsvc.StatusRemoved)
		l.owed = again
		if again && !c.racing && j.open {
			l.make()
		}
		if again && c.racing {
			l.least = c.lastOf(j.id)[thing].ExecutionNumber + 1
			if x := c.lastOf(j.id)[thing]; x.Status != "" && (!x.Status.Terminal() || !c.rerun) {
				l.least-- // a walk was there before
			}
		}
		return
	}
	l.owed = false
	l.least = 0
	if l.status == jobsvc.StatusQueued || c.remove && l.status == jobsvc.StatusInProgress {
		l.status = jobsvc.StatusRemoved
	}
}

func (l *churnLast) make() {
	l.number, l.status, l.dead, l.owed = l.number+1, jobsvc.StatusQueued, false, false
}

func (c *churn) someTargets() (targets []string) {
	for range 1 + c.rng.IntN(3) {
		switch g := c.anyGroup(); c.rng.IntN(6) {
		case 0:
			if n := c.anyThing(); c.things[n] || c.rng.IntN(2) == 0 {
				targets = append(targets, thingARN(n))
			}
		case 1:
			targets = append(targets, groupARN("hot"))
		default:
			targets = append(targets, groupARN(g))
		}
	}
	return targets
}

func (c *churn) createJob() {
	j := &churnJob{id: fmt.Sprint("job-", len(c.jobs)), open: true, covered: map[string]bool{}, last: map[string]*churnLast{}}
	j.targets = c.someTargets()
	doc, ns := "{}", []string{"agent"}
	r := &jobsvc.CreateJobRequest{JobID: j.id, Targets: j.targets, Document: &doc, TargetSelection: jobsvc.TargetContinuous}
	if len(c.jobs)%2 == 1 {
		r.NamespaceID = &ns[0]
	}
	if c.do(fmt.Sprintf("create %s for %v", j.id, j.targets), func() error { _, err := c.CreateJob(c.ctx, r); return err }) {
		c.jobs[j.id] = j
	}
}

// goingOn is how many jobs there are that are not canceled.
func (c *churn) goingOn() (n int) {
	for _, j := range c.jobs {
		if !j.canceled {
			n++
		}
	}
	return n
}

func (c *churn) anyJob() *churnJob {
	if len(c.jobs) == 0 {
		return nil
	}
	return c.jobs[pick(c, slices.Sorted(maps.Keys(c.jobs)))]
}

func (c *churn) associate() {
	j := c.anyJob()
	if j == nil || j.canceled || !j.open {
		return
	}
	// A group that is deleted and another that becomes a target at the same time may be seen
	// as a move.
	c.settle()
	targets := c.someTargets()
	if len(targets) > 0 && c.do(fmt.Sprintf("%v become targets of %s", targets, j.id), func() error {
		_, err := c.AssociateTargetsWithJob(c.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: j.id, Targets: targets})
		return err
	}) {
		j.targets = append(j.targets, targets...)
	}
}

// window closes the window of a job, or opens the next one.
func (c *churn) window() {
	if j := c.anyJob(); j != nil && !j.canceled {
		c.turn(j)
	}
}

func (c *churn) turn(j *churnJob) {
	c.settle()
	c.did("%s opens: %v", j.id, !j.open)
	c.setWindow(j.id, !j.open)
	if j.open = !j.open; j.open && !c.racing {
		for _, l := range j.last {
			if l.owed {
				l.make()
			}
		}
	}
}

// setWindow closes the maintenance window of a job, or opens the next one.
func (w *world) setWindow(id string, open bool) {
	w.t.Helper()
	s, err := store.Open(w.ctx, w.db)
	w.must(err)
	_, err = s.Update(w.ctx, kv.Job(id), func(tx *store.Tx) error {
		job, err := tx.Job(id)
		if err != nil {
			return err
		}
		if open {
			err = w.OpenWindow(tx, job, w.now)
		} else {
			err = engine.CloseWindow(tx, job, w.now)
		}
		tx.PutJob(job)
		return err
	})
	w.must(err)
}

// device has a thing work on what it has.
func (c *churn) device(thing string) {
	j := c.anyJob()
	if j == nil {
		return
	}
	status := pick(c, []jobsvc.JobExecutionStatus{jobsvc.StatusInProgress, jobsvc.StatusInProgress, jobsvc.StatusSucceeded, jobsvc.StatusFailed})
	ns := ""
	if x := c.describe(j.id).NamespaceID; x != "" {
		ns = x
	}
	err := c.again(func() error {
		_, err := c.UpdateJobExecution(c.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: thing, JobID: j.id, NamespaceID: ns, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: status}})
		return err
	})
	c.did("%s reports %s for %s: %v", thing, status, j.id, err)
	if c.racing {
		return
	}
	l := j.last[thing]
	if _, there := c.things[thing]; l == nil || l.status == "" || l.status.Terminal() || !there {
		if err == nil {
			c.fail("%s should have nothing of %s to report on, but %+v", thing, j.id, l)
		}
		return
	}
	if err != nil {
		c.fail("%s should have %+v of %s", thing, l, j.id)
	}
	l.status = status
}

// lastOf gives the last execution of each thing, and checks that their numbers have no gap.
func (c *churn) lastOf(job string) map[string]jobsvc.JobExecution {
	c.t.Helper()
	last, n := map[string]jobsvc.JobExecution{}, map[string]int64{}
	for _, x := range c.executions(job, "", 100) {
		n[x.ThingName]++
		if x.ExecutionNumber > last[x.ThingName].ExecutionNumber {
			last[x.ThingName] = x
		}
	}
	for thing, x := range last {
		if n[thing] != x.ExecutionNumber {
			c.fail("%s has %d executions of %s, the last is %+v", thing, n[thing], job, x)
		}
	}
	return last
}

func (c *churn) check() {
	c.t.Helper()
	for id, j := range c.jobs {
		c.checkCounters(id)
		last := c.lastOf(id)
		for _, n := range names(c.size) {
			l, x := j.last[n], last[n]
			if l == nil {
				l = &churnLast{}
			}
			if !c.racing {
				if x.ExecutionNumber != l.number || x.Status != l.status {
					c.fail("%s has %+v of %s, it should be %+v", n, x, id, l)
				}
				continue
			}
			if x.ExecutionNumber > int64(l.entries) {
				c.fail("%s has entered the targets of %s %d times, and has %+v", n, id, l.entries, x)
			}
			if j.canceled {
				continue
			}
			if j.covered[n] && j.open && (x.Status == "" || x.ExecutionNumber < l.least) {
				c.fail("%s is covered by %s, and has %+v, the least is %d", n, id, x, l.least)
			}
			if !j.covered[n] && (x.Status == jobsvc.StatusQueued || c.remove && x.Status == jobsvc.StatusInProgress) {
				c.fail("%s is not covered by %s, and has %+v", n, id, x)
			}
		}
	}
}

// settle lets everything come to its end without faults.
func (c *churn) settle() {
	c.t.Helper()
	c.faulty.fault = nil
	c.background()
}

func (c *churn) run(steps int) {
	for range steps {
		if c.racing {
			c.faulty.fault = func(int) fault {
				return []fault{unavailable, lost, applied, none}[min(c.rng.IntN(20), 3)]
			}
			if c.rng.IntN(3) == 0 {
				c.faulty.fault = nil
			}
		}
		c.step()
		if !c.racing {
			c.background()
			c.check()
			continue
		}
		for range c.rng.IntN(3) { // the scheduler comes by, or does not
			timers, err := c.Timers(c.ctx, 10)
			c.must(err)
			if len(timers) > 0 {
				_ = c.Fire(c.ctx, pick(c, timers), c.tick()) // what went wrong is done again
			}
		}
		if c.rng.IntN(8) == 0 {
			c.settle()
			c.check()
		}
	}
	c.settle()
	c.check()
	// Nothing is left of jobs that are gone, lists included.
	for id, j := range c.jobs {
		c.must(c.DeleteJob(c.ctx, &jobsvc.DeleteJobRequest{JobID: id, Force: !j.canceled}))
	}
	c.settle()
	for id := range c.jobs {
		(&history{world: c.world}).checkGone(id)
	}
}

// TestContinuousChurn has a job followed by what should be, one step after the other.
func TestContinuousChurn(t *testing.T) {
	for seed := range uint64(60) {
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { newChurn(t, seed, false).run(120) }) {
			return
		}
	}
}

// TestContinuousChurnRacing does the same while rollouts and the sweeps of deleted groups
// are under way, and while transactions go wrong.
func TestContinuousChurnRacing(t *testing.T) {
	for seed := range uint64(60) {
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { newChurn(t, seed, true).run(150) }) {
			return
		}
	}
}
