// Package schedule is the arithmetic of maintenance windows: cron expressions of the
// service's dialect, and when windows open. It reads no clock.
package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/cronexpr"
)

// A Cron is a cron expression, safe for concurrent use.
type Cron struct {
	mu   sync.Mutex
	expr *cronexpr.Expression // guarded by mu: even Next writes to it
}

// ParseCron reads the six fields minutes, hours, day-of-month, month, day-of-week and
// year, in cron(…) or bare. Days of the week are 1 to 7 from Sunday on, or SUN to SAT;
// one of the two fields for days is ? or *. Five fields are those of Unix: no year, days
// of the week 0 to 7 from Sunday on.
func ParseCron(text string) (*Cron, error) {
	s := strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(s, "cron("); ok {
		if s, ok = strings.CutSuffix(inner, ")"); !ok {
			return nil, errors.New("the parenthesis is not closed")
		}
	}
	fields := strings.Fields(strings.ToUpper(s))
	unix := len(fields) == 5
	switch {
	case unix:
		fields = append(fields, "*")
	case len(fields) != 6:
		return nil, fmt.Errorf("it has %d fields, not 6: minutes hours day-of-month month day-of-week year", len(fields))
	}
	switch {
	case fields[2] == "?" && fields[4] == "?":
		return nil, errors.New("day-of-month and day-of-week cannot both be ?")
	case !unix && !wild(fields[2]) && !wild(fields[4]):
		return nil, errors.New("one of day-of-month and day-of-week must be ?")
	}
	for i, kind := range kinds {
		if i == 4 && !unix {
			kind = awsDayOfWeek
		}
		field, err := kind.translate(fields[i])
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", kind.name, fields[i], err)
		}
		fields[i] = field
	}
	expr, err := cronexpr.Parse(strings.Join(fields, " "))
	if err != nil {
		return nil, err
	}
	return &Cron{expr: expr}, nil
}

func wild(field string) bool { return field == "?" || field == "*" }

// Next is the first time after a point in time, in the zone of that; zero when there is
// none. A time in an hour that the zone skips is at the end of the gap, one in an hour
// that it repeats comes once.
func (c *Cron) Next(after time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The clock on the wall, as if it were one that neither skips nor repeats.
	wall := time.Date(after.Year(), after.Month(), after.Day(), after.Hour(), after.Minute(), after.Second(), after.Nanosecond(), time.UTC)
	for {
		if wall = c.expr.Next(wall); wall.IsZero() {
			return time.Time{}
		}
		if t := fromWall(wall, after.Location()); t.After(after) {
			return t
		}
	}
}

func fromWall(wall time.Time, loc *time.Location) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, loc)
	_, offset := t.Zone()
	shown := t.Unix() + int64(offset)
	start, end := t.ZoneBounds()
	switch {
	case shown > wall.Unix():
		return start
	case shown < wall.Unix():
		return end
	}
	// Of a repeated hour the first.
	if !start.IsZero() {
		_, before := start.Add(-1).Zone()
		if first := t.Add(time.Duration(offset-before) * time.Second); first.Before(start) && before > offset {
			return first
		}
	}
	return t
}

// A fieldKind is what one of the fields may hold.
type fieldKind struct {
	name      string
	low, high int
	names     []string // of the values from low on
	suffixes  string   // of the letters that may follow or stand for a value
	question  bool
	wraps     bool // FRI-MON
	shift     int  // what the library's values are less
}

var (
	months = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	week   = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}

	kinds = []fieldKind{
		{name: "minutes", high: 59},
		{name: "hours", high: 23},
		{name: "day-of-month", low: 1, high: 31, suffixes: "LW", question: true},
		{name: "month", low: 1, high: 12, names: months},
		{name: "day-of-week", high: 7, names: week, suffixes: "L#", question: true, wraps: true},
		{name: "year", low: 1970, high: 2199},
	}
	awsDayOfWeek = fieldKind{name: "day-of-week", low: 1, high: 7, names: week, suffixes: "L#", question: true, wraps: true, shift: 1}
)

// lastYear is the last the library knows.
const lastYear = 2099

var entryPattern = regexp.MustCompile(`^(\*|[0-9]+|[A-Z]{3})(?:-([0-9]+|[A-Z]{3}))?(?:/([0-9]+))?$`)

// translate checks a field and writes it as the library wants it.
func (k *fieldKind) translate(field string) (string, error) {
	if field == "?" && k.question || field == "*" {
		return field, nil
	}
	var entries []string
	for entry := range strings.SplitSeq(field, ",") {
		list, err := k.entry(entry)
		if err != nil {
			return "", err
		}
		entries = append(entries, list...)
	}
	if len(entries) == 0 {
		return "", errors.New("there is no such time before the year 2100")
	}
	return strings.Join(entries, ","), nil
}

func (k *fieldKind) entry(s string) ([]string, error) {
	if special, ok, err := k.special(s); ok || err != nil {
		return []string{special}, err
	}
	m := entryPattern.FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("%q is not understood", s)
	}
	low, high := k.low, k.high
	if m[1] != "*" {
		var err error
		if low, err = k.value(m[1]); err != nil {
			return nil, err
		}
		if m[3] == "" {
			high = low
		}
		if m[2] != "" {
			if high, err = k.value(m[2]); err != nil {
				return nil, err
			}
		}
	} else if m[2] != "" {
		return nil, fmt.Errorf("%q is not understood", s)
	}
	step := 1
	if m[3] != "" {
		var err error
		if step, err = strconv.Atoi(m[3]); err != nil || step < 1 || step > k.high {
			return nil, fmt.Errorf("the step in %q must be between 1 and %d", s, k.high)
		}
	}
	if low > high {
		if !k.wraps {
			return nil, fmt.Errorf("%q ends before it begins", s)
		}
		high += 7
	}
	return k.values(low, high, step), nil
}

// special reads L, LW, 15W, 6L and 6#3.
func (k *fieldKind) special(s string) (string, bool, error) {
	head, nth, isNth := strings.Cut(s, "#")
	switch {
	case isNth && strings.Contains(k.suffixes, "#"):
		v, err := k.value(head)
		if n, bad := strconv.Atoi(nth); err == nil && (bad != nil || n < 1 || n > 5) {
			err = fmt.Errorf("%q: there are no more than 5 of a day in a month", s)
		}
		return k.write(v) + "#" + nth, true, err
	case s == "L" && k.suffixes == "L#": // the last day of the week
		return "6", true, nil
	case (s == "L" || s == "LW") && k.suffixes == "LW":
		return s, true, nil
	case k.suffixes == "LW" && strings.HasSuffix(s, "W"):
		v, err := k.value(strings.TrimSuffix(s, "W"))
		return k.write(v) + "W", true, err
	case k.suffixes == "L#" && strings.HasSuffix(s, "L"):
		v, err := k.value(strings.TrimSuffix(s, "L"))
		return k.write(v) + "L", true, err
	}
	return "", false, nil
}

func (k *fieldKind) value(s string) (int, error) {
	for i, name := range k.names {
		if s == name {
			return k.low + i, nil
		}
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < k.low || v > k.high {
		return 0, fmt.Errorf("%q is not between %d and %d", s, k.low, k.high)
	}
	return v, nil
}

// write is a value in the library's counting.
func (k *fieldKind) write(v int) string {
	v -= k.shift
	if k.wraps {
		v %= 7
	}
	return strconv.Itoa(v)
}

func (k *fieldKind) values(low, high, step int) []string {
	if k.low >= 1970 {
		high = min(high, lastYear)
	}
	var list []string
	for v := low; v <= high; v += step {
		list = append(list, k.write(v))
	}
	return list
}
