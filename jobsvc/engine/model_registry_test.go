package engine_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

type modelThing struct {
	name, id   string
	groups     map[string]bool // of which it is a direct member
	attributes map[string]string
}

func (m *model) createThing(name, id string) {
	if m.things[name] == nil {
		m.registry(func() { m.things[name] = &modelThing{name: name, id: id, groups: make(map[string]bool)} })
	}
}

// deleteThing: every pending execution becomes REMOVED, whatever its job.
func (m *model) deleteThing(name string) {
	t := m.things[name]
	if t == nil {
		return
	}
	m.registry(func() { delete(m.things, name) })
	for _, j := range sorted(m.jobs) {
		if x := j.latest(t); x != nil && !ended(x) {
			m.end(x, jobsvc.StatusRemoved)
		}
		m.complete(j)
	}
}

func (m *model) createGroup(c command) reply {
	m.groups[c.arg(0)] = c.flag("in")
	for _, n := range c.args[1:] {
		m.moveThing(n, "", c.arg(0))
	}
	return reply{}
}

func (m *model) setAttributes(name string, attributes map[string]string) reply {
	t := m.things[name]
	if t == nil {
		return refuse(jobsvc.CodeNotFound)
	}
	m.registry(func() { t.attributes = attributes })
	return reply{}
}

func (m *model) createDynamicGroup(name, query string) {
	m.registry(func() { m.groups[name], m.dynamic[name] = "", query })
}

// fill gives dynamic groups the members that match.
func (m *model) fill() {
	for group, query := range m.dynamic {
		key, value, _ := strings.Cut(query, ":")
		for _, t := range m.things {
			if t.attributes[key] == value {
				t.groups[group] = true
			} else {
				delete(t.groups, group)
			}
		}
	}
}

func (m *model) deleteGroup(name string) reply {
	for _, parent := range m.groups {
		if parent == name {
			return refuse(jobsvc.CodeInvalidRequest)
		}
	}
	m.registry(func() {
		delete(m.groups, name)
		for _, t := range m.things {
			delete(t.groups, name)
		}
	})
	return reply{}
}

// moveThing has a thing leave one group and join another, in one transaction; "" for none.
func (m *model) moveThing(name, from, to string) reply {
	for _, g := range []string{from, to} {
		if _, ok := m.groups[g]; g != "" && !ok {
			return refuse(jobsvc.CodeNotFound)
		}
	}
	t := m.things[name]
	if t == nil {
		return refuse(jobsvc.CodeNotFound)
	}
	if to != "" && !t.groups[to] {
		for g := range t.groups {
			if g != from && m.root(g) == m.root(to) {
				return refuse(jobsvc.CodeInvalidRequest)
			}
		}
	}
	m.registry(func() {
		delete(t.groups, from)
		if to != "" {
			t.groups[to] = true
		}
	})
	return reply{}
}

func (m *model) root(group string) string {
	for m.groups[group] != "" {
		group = m.groups[group]
	}
	return group
}

// in tells whether a thing is a member of a group or of one below it.
func (m *model) in(t *modelThing, group string) bool {
	for g := range t.groups {
		for ; g != ""; g = m.groups[g] {
			if g == group {
				return true
			}
		}
	}
	return false
}

// coveredBy gives the things a target covers, by name.
func (m *model) coveredBy(arn string) []*modelThing {
	var list []*modelThing
	for _, t := range sorted(m.things) {
		group, isGroup := strings.CutPrefix(arn, groupARN(""))
		if arn == thingARN(t.name) || isGroup && m.in(t, group) {
			list = append(list, t)
		}
	}
	return list
}

func (m *model) covers(j *modelJob, t *modelThing) bool {
	for _, arn := range j.Targets {
		if slices.Contains(m.coveredBy(arn), t) {
			return true
		}
	}
	return false
}

// inTargets tells whether a thing is in one of the groups that are targets.
func (m *model) inTargets(j *modelJob, t *modelThing) bool {
	return slices.ContainsFunc(j.Targets, func(arn string) bool {
		group, isGroup := strings.CutPrefix(arn, groupARN(""))
		return isGroup && m.in(t, group)
	})
}

// registry is a transaction of the registry: afterwards CONTINUOUS jobs look who entered
// the union of their targets and who left it.
func (m *model) registry(change func()) {
	type stay struct {
		j *modelJob
		t *modelThing
	}
	before := make(map[stay]bool)
	groups := make(map[*modelThing]map[string]bool)
	parents := maps.Clone(m.groups)
	for _, t := range m.things {
		groups[t] = maps.Clone(t.groups)
		for _, j := range m.jobs {
			before[stay{j, t}] = m.covers(j, t)
		}
	}
	change()
	m.fill()
	for _, j := range sorted(m.jobs) {
		for _, t := range sorted(m.things) {
			moved := false
			for g := range groups[t] {
				for left := g; left != "" && !t.groups[g]; left = parents[left] {
					moved = moved || slices.Contains(j.Targets, groupARN(left))
				}
				moved = moved || !t.groups[g] && m.inTargets(j, t)
			}
			m.compareCoverage(j, t, before[stay{j, t}], m.covers(j, t), moved)
		}
	}
}

// compareCoverage looks at what a thing is to a job before and after a change of
// memberships. moved tells that it has left a group, and that or another it is in is one of
// the targets.
func (m *model) compareCoverage(j *modelJob, t *modelThing, before, after, moved bool) {
	if j.TargetSelection != jobsvc.TargetContinuous || !j.begun || !active(j) {
		return
	}
	switch {
	case after && !before:
		m.enter(j, t)
	case before && !after:
		m.leave(j, t)
	case after && moved && j.Status == jobsvc.JobInProgress && m.waits(j, t):
		m.enter(j, t) // whoever moves inside the targets does not wait for the rate any more
	}
}

// waits tells whether a thing waits for the rollout of a job.
func (m *model) waits(j *modelJob, t *modelThing) bool {
	return j.rollout != nil && slices.ContainsFunc(j.rollout.left, func(r released) bool { return r.thing == t && !m.skipped(j, r) })
}

func active(j *modelJob) bool {
	return j.Status == jobsvc.JobScheduled || j.Status == jobsvc.JobInProgress
}

// enter: a thing has come into the union of the targets of a CONTINUOUS job.
func (m *model) enter(j *modelJob, t *modelThing) {
	x := j.latest(t)
	switch {
	case j.ended:
	case x != nil && !ended(x):
		x.Uncovered = false // and it is as if its chain began here
		x.RetryAttempt, x.retries = 0, nil
	case j.Status == jobsvc.JobInProgress:
		if j.rollout != nil {
			j.rollout.drop(t)
		}
		m.queueExecution(j, t)
	default: // outside its windows the job remembers it
		if j.rollout == nil {
			j.rollout = &modelRollout{}
		}
		j.rollout.drop(t)
		j.rollout.left = append(j.rollout.left, released{thing: t, joined: true})
	}
}

// leave: a thing has gone out of the union.
func (m *model) leave(j *modelJob, t *modelThing) {
	if j.rollout != nil {
		j.rollout.drop(t)
	}
	switch x := j.latest(t); {
	case x == nil || ended(x):
	case x.Status == jobsvc.StatusQueued:
		m.end(x, jobsvc.StatusRemoved)
	default:
		x.Uncovered = true
	}
	m.complete(j)
}
