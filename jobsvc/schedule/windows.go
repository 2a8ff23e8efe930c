package schedule

import (
	"fmt"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Windows are the maintenance windows of a job: it may work while one of them is open.
type Windows struct {
	list []window
	loc  *time.Location
}

type window struct {
	opens *Cron
	open  time.Duration
}

// NewWindows reads the windows of a configuration; nil when there are none. Errors:
// CodeInvalidRequest.
func NewWindows(c *jobsvc.SchedulingConfig) (*Windows, error) {
	if c == nil || len(c.MaintenanceWindows) == 0 {
		return nil, nil
	}
	loc, err := c.Location()
	if err != nil {
		return nil, err
	}
	w := &Windows{loc: loc}
	for i, m := range c.MaintenanceWindows {
		opens, err := ParseCron(m.StartTime)
		if err != nil {
			return nil, &jobsvc.Error{
				Code:    jobsvc.CodeInvalidRequest,
				Message: fmt.Sprintf("schedulingConfig.maintenanceWindows[%d].startTime is not a cron expression: %v.", i, err),
			}
		}
		w.list = append(w.list, window{opens, time.Duration(m.DurationInMinutes) * time.Minute})
	}
	return w, nil
}

// OpenAt tells whether a window is open. An opening belongs to its window, the end does
// not.
func (w *Windows) OpenAt(t time.Time) bool {
	t = t.In(w.loc)
	for i := range w.list {
		x := &w.list[i]
		if o := x.opens.Next(t.Add(-x.open)); !o.IsZero() && !o.After(t) {
			return true
		}
	}
	return false
}

// Next is the first opening after a point in time; zero when there is none.
func (w *Windows) Next(after time.Time) time.Time {
	after = after.In(w.loc)
	var next time.Time
	for i := range w.list {
		if o := w.list[i].opens.Next(after); !o.IsZero() && (next.IsZero() || o.Before(next)) {
			next = o
		}
	}
	return next.UTC()
}

// NextN lists the next openings, n at most, those before end only unless it is zero.
func (w *Windows) NextN(after, end time.Time, n int) []time.Time {
	var list []time.Time
	for range n {
		after = w.Next(after)
		if after.IsZero() || !end.IsZero() && !after.Before(end) {
			break
		}
		list = append(list, after)
	}
	return list
}
