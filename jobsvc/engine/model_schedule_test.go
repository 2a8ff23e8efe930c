package engine_test

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// horizon is how far ahead the model looks for the next opening of a window.
const horizon = 8 * 24 * time.Hour

// opensAt tells whether a window opens in that minute. The model knows numbers, lists,
// * and */n in the fields for minute and hour, and names of days.
func opensAt(w jobsvc.MaintenanceWindow, t time.Time) bool {
	f := strings.Fields(strings.TrimSuffix(strings.TrimPrefix(w.StartTime, "cron("), ")"))
	day := strings.ToUpper(t.Weekday().String()[:3])
	return inField(f[0], t.Minute()) && inField(f[1], t.Hour()) && (f[4] == "?" || f[4] == "*" || slices.Contains(strings.Split(f[4], ","), day))
}

func inField(field string, n int) bool {
	if every, ok := strings.CutPrefix(field, "*/"); ok {
		return int64(n)%mustInt(every) == 0
	}
	return field == "*" || slices.Contains(strings.Split(field, ","), strconv.Itoa(n))
}

// hasWindows tells whether a job may work in its maintenance windows alone.
func hasWindows(j *modelJob) bool {
	return j.SchedulingConfig != nil && len(j.SchedulingConfig.MaintenanceWindows) > 0
}

// openAt tells whether a job may work: always without windows, else inside one of them.
func openAt(j *modelJob, t time.Time) bool {
	if !hasWindows(j) {
		return true
	}
	for _, w := range j.SchedulingConfig.MaintenanceWindows {
		minute := t.Truncate(time.Minute)
		for range w.DurationInMinutes {
			if opensAt(w, minute) {
				return true
			}
			minute = minute.Add(-time.Minute)
		}
	}
	return false
}

// firstOpen is the first moment from t on at which a job may work; zero for none in sight.
func firstOpen(j *modelJob, t time.Time) time.Time {
	if openAt(j, t) {
		return t
	}
	for at := t.Truncate(time.Minute).Add(time.Minute); at.Before(t.Add(horizon)); at = at.Add(time.Minute) {
		for _, w := range j.SchedulingConfig.MaintenanceWindows {
			if opensAt(w, at) {
				return at
			}
		}
	}
	return time.Time{}
}

// firstClosed is the first moment from t on at which it may not.
func firstClosed(j *modelJob, t time.Time) time.Time {
	if !openAt(j, t) {
		return t
	}
	for at := t.Truncate(time.Minute).Add(time.Minute); at.Before(t.Add(horizon)); at = at.Add(time.Minute) {
		if !openAt(j, at) {
			return at
		}
	}
	return time.Time{} // its windows overlap
}

func times(j *modelJob) (start, end time.Time) {
	if c := j.SchedulingConfig; c != nil {
		for s, t := range map[string]*time.Time{c.StartTime: &start, c.EndTime: &end} {
			if s != "" {
				*t, _ = time.Parse(time.RFC3339Nano, s)
			}
		}
	}
	return start, end
}

// openingOf is when a SCHEDULED job begins or goes on: at its start or a moment after
// that, inside a window, before its end.
func (m *model) openingOf(j *modelJob) time.Time {
	start, end := times(j)
	if j.Status != jobsvc.JobScheduled || j.ended {
		return time.Time{}
	}
	from := m.now
	if start.After(from) {
		from = start
	}
	at := firstOpen(j, from)
	if !end.IsZero() && !at.Before(end) {
		return time.Time{}
	}
	return at
}

// closingOf is when the windows of a job that is at work are over. A window that reaches up
// to the end of the job does not close: the end does what there is to do.
func (m *model) closingOf(j *modelJob) time.Time {
	if end := m.endOf(j); j.Status != jobsvc.JobInProgress || j.ended || !end.IsZero() && !j.closes.Before(end) {
		return time.Time{}
	}
	return j.closes
}

// endOf is the end time of a job that has not come to it.
func (m *model) endOf(j *modelJob) time.Time {
	_, end := times(j)
	if !active(j) || j.atEnd {
		return time.Time{}
	}
	return end
}

func (m *model) open(j *modelJob) {
	if !m.now.Equal(j.CreatedAt) {
		j.LastUpdatedAt = m.now
	}
	j.Status = jobsvc.JobInProgress
	if hasWindows(j) {
		j.closes = firstClosed(j, m.now)
	}
	switch {
	case !j.begun:
		m.begin(j)
	case j.TargetSelection == jobsvc.TargetContinuous:
		m.walkAgain(j)
	}
	if j.rollout != nil {
		j.rollout.next = m.now
	}
}

// close makes a job wait for its next window; without one, it is at its end. After an
// outage the next one may be open: then the minutes of its rollout begin anew.
func (m *model) close(j *modelJob) {
	if _, end := times(j); openAt(j, m.now) && !m.passed(end) {
		j.closes = firstClosed(j, m.now)
		if j.rollout != nil {
			j.rollout.next = m.now
		}
		return
	}
	j.Status = jobsvc.JobScheduled
	if m.openingOf(j).IsZero() {
		j.Status = jobsvc.JobInProgress
		m.stop(j)
		return
	}
	j.LastUpdatedAt = m.now
}

// reachEnd is the end time; that of a job whose last window has closed before may still
// cancel what is IN_PROGRESS.
func (m *model) reachEnd(j *modelJob) {
	j.atEnd = true
	switch behavior := j.SchedulingConfig.EndBehavior; behavior {
	case jobsvc.EndCancel, jobsvc.EndForceCancel:
		j.ended = true
		j.ReasonCode = "JOB_END_TIME_REACHED"
		m.cancel(j, behavior == jobsvc.EndForceCancel)
	default:
		if !j.ended {
			m.stop(j)
		}
	}
}

// stop is the end of a job that lets go on what has begun. What is QUEUED goes on as long
// as there is no window it would need.
func (m *model) stop(j *modelJob) {
	if j.rollout != nil { // it is over
		j.LastUpdatedAt = m.now
	}
	j.ended, j.rollout = true, nil
	if hasWindows(j) {
		m.cancelExecutions(j, false)
	}
	m.complete(j)
}
