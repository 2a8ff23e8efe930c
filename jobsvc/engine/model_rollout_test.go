package engine_test

import (
	"math/big"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// modelRollout is the work left of a rollout.
type modelRollout struct {
	left []released
	next time.Time // when its next window begins
	look time.Time // when it is looked whether anybody is left
}

// released is a thing that is to get an execution, with the target it is of.
type released struct {
	thing  *modelThing
	target string
	joined bool // while the job was outside its windows
}

func (r *modelRollout) drop(t *modelThing) {
	r.left = slices.DeleteFunc(r.left, func(l released) bool { return l.thing == t })
}

// walkAgain has those of a CONTINUOUS job that wait, also those that joined outside its
// windows, stand in the order of the targets.
func (m *model) walkAgain(j *modelJob) {
	if j.rollout == nil {
		j.rollout = &modelRollout{}
	}
	waiting := j.rollout.left
	j.rollout.left = nil
	for _, arn := range j.Targets {
		for _, t := range m.coveredBy(arn) {
			if i := slices.IndexFunc(waiting, func(r released) bool { return r.thing == t }); i >= 0 {
				j.rollout.left = append(j.rollout.left, released{t, arn, waiting[i].joined})
				waiting = slices.Delete(waiting, i, i+1)
			}
		}
	}
}

// begin fixes who is in the targets, in their order and by name.
func (m *model) begin(j *modelJob) {
	j.begun = true
	j.rollout = &modelRollout{next: m.now}
	for _, arn := range j.Targets {
		for _, t := range m.coveredBy(arn) {
			j.rollout.left = append(j.rollout.left, released{thing: t, target: arn})
		}
	}
}

// release is the beginning of a window of a minute: as many things get their execution as
// the rate has room for. Things that are gone, or had theirs by another target, take no
// room.
func (m *model) release(j *modelJob) {
	r := j.rollout
	began := len(r.left)
	for room := m.allowance(j); room > 0 && len(r.left) > 0; {
		l := r.left[0]
		r.left = r.left[1:]
		if m.skipped(j, l) {
			continue
		}
		m.queueExecution(j, l.thing)
		room--
		j.notified++
	}
	if m.nobodyLeft(j) && (began == 0 || m.foundOver(j.ID)) { // see look
		j.rollout = nil
		j.LastUpdatedAt = m.now
		m.complete(j)
		return
	}
	for !r.next.After(m.now) { // windows that nobody was there for are lost
		r.next = r.next.Add(time.Minute)
	}
}

// nobodyLeft tells whether all that are left of a rollout are to be skipped.
func (m *model) nobodyLeft(j *modelJob) bool {
	return !slices.ContainsFunc(j.rollout.left, func(l released) bool { return !m.skipped(j, l) })
}

// look ends a rollout with nobody left, if it is over already. Whether a window finds that
// out, or the next one does, is open.
func (m *model) look(j *modelJob) {
	j.rollout.look = time.Time{}
	if m.nobodyLeft(j) && m.foundOver(j.ID) {
		j.rollout = nil
		j.LastUpdatedAt = m.now
	}
}

func (m *model) skipped(j *modelJob, l released) bool {
	return m.things[l.thing.name] != l.thing || j.given[l.thing] && !l.joined
}

// allowance is how many things a window that begins now has room for.
func (m *model) allowance(j *modelJob) int64 {
	const unlimited = 1 << 40
	c := j.RolloutConfig
	if c == nil || *c == (jobsvc.RolloutConfig{}) {
		return unlimited
	}
	limit := c.MaximumPerMinute
	if limit == 0 {
		limit = 1000
	}
	x := c.ExponentialRate
	if x == nil {
		return limit
	}
	if n := x.RateIncreaseCriteria.NumberOfNotifiedThings; n > 0 {
		j.level = max(j.level, j.notified/n)
	}
	if n := x.RateIncreaseCriteria.NumberOfSucceededThings; n > 0 {
		j.level = max(j.level, j.counts()[jobsvc.StatusSucceeded]/n)
	}
	power := func(base int64) *big.Int { return new(big.Int).Exp(big.NewInt(base), big.NewInt(j.level), nil) }
	rate := power(x.IncrementFactor) // in tenths
	rate.Mul(rate, big.NewInt(x.BaseRatePerMinute)).Quo(rate, power(10))
	if rate.Cmp(big.NewInt(limit)) >= 0 {
		return limit
	}
	return max(1, rate.Int64())
}
