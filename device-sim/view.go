package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
)

// frame is what the live view shows at a moment, of a fleet or of a load.
type frame struct {
	title     string
	elapsed   time.Duration
	left      string // in words; empty for unknown
	done, all int    // of what the bar is about; no bar if all is 0
	unit      string // of these
	connected int
	devices   int
	cells     []cell // states, or counts
	requests  []requestRow
	problems  []cell // those that are not 0 are shown
	judged    bool
	verdicts  []verdict
}

// cell is a number with its name.
type cell struct {
	name string
	n    int
}

// requestRow is about one kind of request, of the last seconds.
type requestRow struct {
	name          string
	rate          float64 // a second
	p50, p99, max time.Duration
	total         int64 // since the start
}

// columns is the width for which the view is made: it fits, and leaves the rest of a wider
// terminal empty but for examples.
const columns = 80

var (
	styleTitle = lipgloss.NewStyle().Bold(true)
	styleFaint = lipgloss.NewStyle().Faint(true)
	styleGood  = lipgloss.NewStyle().Foreground(lipgloss.Green)
	styleBad   = lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true)
)

// render draws the frame for a terminal so many columns wide.
func (f frame) render(width int) string {
	if width <= 0 {
		width = columns
	}
	lines := []string{f.head(min(width, columns)), ""}
	if f.all > 0 {
		lines = append(lines, f.bar(min(width, columns)), "")
	}
	lines = append(lines, fmt.Sprintf("connected %s of %s", thousands(f.connected), thousands(f.devices)), "")
	lines = append(lines, cellRows(f.cells)...)
	lines = append(lines, "", styleFaint.Render(fmt.Sprintf("%-12s%10s%12s%12s%12s%14s", "", "a second", "p50 ms", "p99 ms", "max ms", "since start")))
	for _, r := range f.requests {
		if r.name == allRequests && len(f.requests) == 2 {
			continue // it says the same as the other
		}
		lines = append(lines, fmt.Sprintf("%-12s%10.1f%12s%12s%12s%14s", r.name, r.rate, millis(r.p50), millis(r.p99), millis(r.max), thousands(int(r.total))))
	}
	if f.judged {
		lines = append(append(lines, ""), f.verdictLines()...)
	}
	if p := problemLine(f.problems); p != "" {
		lines = append(lines, "", p)
	}
	for i := range lines {
		lines[i] = lipgloss.NewStyle().MaxWidth(width).Render(lines[i])
	}
	return strings.Join(lines, "\n")
}

func (f frame) head(width int) string {
	times := f.elapsed.Round(time.Second).String()
	if f.left != "" {
		times += ", " + f.left
	}
	gap := max(1, width-lipgloss.Width(f.title)-lipgloss.Width(times))
	return styleTitle.Render(f.title) + strings.Repeat(" ", gap) + times
}

func (f frame) bar(width int) string {
	text := fmt.Sprintf(" %s of %s %s", thousands(f.done), thousands(f.all), f.unit)
	room := max(10, width-len(text))
	full := min(room, room*f.done/f.all)
	return styleGood.Render(strings.Repeat("█", full)) + styleFaint.Render(strings.Repeat("░", room-full)) + text
}

// cellRows sets names above their numbers.
func cellRows(cells []cell) []string {
	var names, numbers strings.Builder
	for i, c := range cells {
		n := thousands(c.n)
		w := max(len(c.name), len(n), 8)
		if i > 0 {
			w += 2
		}
		fmt.Fprintf(&names, "%*s", w, c.name)
		fmt.Fprintf(&numbers, "%*s", w, n)
	}
	return []string{styleFaint.Render(names.String()), numbers.String()}
}

// verdictLines has one line for all that hold, and one with an example for each that does not.
func (f frame) verdictLines() []string {
	checked, failed := 0, 0
	var broken []string
	for _, v := range f.verdicts {
		checked, failed = checked+v.Checked, failed+v.Failed
		if v.broken() {
			broken = append(broken, fmt.Sprintf("  %s: %s, such as %s", v.Name, thousands(v.Failed), v.Examples[0]))
		}
	}
	style := styleGood
	if failed > 0 {
		style = styleBad
	}
	return append([]string{fmt.Sprintf("verdicts: %s checked, ", thousands(checked)) + style.Render("violations "+thousands(failed))}, broken...)
}

func problemLine(problems []cell) string {
	var parts []string
	for _, p := range problems {
		if p.n > 0 {
			parts = append(parts, p.name+" "+thousands(p.n))
		}
	}
	return strings.Join(parts, "  ")
}

// line is the frame for a log: one line without colours.
func (f frame) line() string {
	parts := []string{fmt.Sprintf("%v: connected %d of %d", f.elapsed.Round(time.Second), f.connected, f.devices)}
	for _, c := range append(f.cells, f.problems...) {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", c.name, c.n))
		}
	}
	for _, r := range f.requests {
		if r.name == allRequests {
			parts = append(parts, fmt.Sprintf("%.1f requests/s, p50 %s ms, p99 %s ms", r.rate, millis(r.p50), millis(r.p99)))
		}
	}
	if f.judged {
		failed := 0
		for _, v := range f.verdicts {
			failed += v.Failed
		}
		parts = append(parts, fmt.Sprintf("violations %d", failed))
	}
	if f.left != "" {
		parts = append(parts, f.left)
	}
	return strings.Join(parts, ", ")
}

// thousands sets a number in groups of three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64)
}

// timeLeft says how long a run may take: to the end of its duration, or at the rate at which it has
// come so far, or to its timeout.
func timeLeft(elapsed, duration, timeout time.Duration, done, all int) string {
	round := func(d time.Duration) time.Duration { return d.Round(time.Second) }
	switch {
	case duration > elapsed:
		return round(duration-elapsed).String() + " left"
	case duration > 0:
		return "finishing"
	case all > 0 && done >= all:
		return "finishing"
	case all > 0 && done*20 >= all: // a guess is fair from a twentieth on
		left := time.Duration(float64(elapsed) / float64(done) * float64(all-done))
		return "about " + round(left).String() + " left"
	case timeout > elapsed:
		return "at most " + round(timeout-elapsed).String() + " left"
	}
	return ""
}
