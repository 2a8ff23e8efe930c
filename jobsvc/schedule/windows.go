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
	opens interface {
		// Next is the first opening after a point in time; zero for none.
		Next(after time.Time) time.Time
	}
	open time.Duration
}

// once is a single opening.
type once time.Time

func (o once) Next(after time.Time) time.Time {
	if t := time.Time(o); t.After(after) {
		return t
	}
	return time.Time{}
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
		open := time.Duration(m.DurationInMinutes) * time.Minute
		if t, ok := jobsvc.ParseTime(m.StartTime, loc); ok {
			w.list = append(w.list, window{once(t), open})
			continue
		}
		opens, err := ParseCron(m.StartTime)
		if err != nil {
			return nil, &jobsvc.Error{
				Code:    jobsvc.CodeInvalidRequest,
				Message: fmt.Sprintf("schedulingConfig.maintenanceWindows[%d].startTime is neither a cron expression nor a time: %v.", i, err),
			}
		}
		w.list = append(w.list, window{opens, open})
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

// closesSteps bounds how many openings one look at the end of a window goes over.
const closesSteps = 200

// Closes is when the windows that are open at a point in time have closed, those that
// open before or as others close counted as one; the point itself when none is open.
// Where there are very many such openings it is a time at which one is still open.
func (w *Windows) Closes(t time.Time) time.Time {
	end := t.In(w.loc)
	for steps := 0; ; {
		before := end
		for i := range w.list {
			x := &w.list[i]
			for o := x.opens.Next(end.Add(-x.open)); !o.IsZero() && !o.After(end); o = x.opens.Next(o) {
				if c := o.Add(x.open); c.After(end) {
					end = c
				}
				if steps++; steps == closesSteps {
					return end.UTC()
				}
			}
		}
		if end.Equal(before) {
			return end.UTC()
		}
	}
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
