package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// pictured is a frame with everything in it.
var pictured = frame{
	title: "device-sim  seed 7", elapsed: 72*time.Second + 300*time.Millisecond, left: "about 44s left",
	done: 3120, all: 5000, unit: "executions", connected: 4987, devices: 5000,
	cells: []cell{{"queued", 1880}, {"in progress", 320}, {"succeeded", 3000}, {"failed", 90}, {"rejected", 30}, {"canceled", 0}, {"unanswered", 0}},
	requests: []requestRow{
		{"connect", 3, 59 * time.Millisecond, 1171500 * time.Microsecond, 2326500 * time.Microsecond, 5466},
		{"start-next", 410.25, 3100 * time.Microsecond, 40 * time.Millisecond, 52 * time.Millisecond, 5393},
		{"update", 1601.5, 2 * time.Millisecond, 38 * time.Millisecond, 1096 * time.Millisecond, 13395},
		{allRequests, 2011.75, 2200 * time.Microsecond, 39 * time.Millisecond, 1096 * time.Millisecond, 18788},
	},
	problems: []cell{{"errors", 0}, {"repeated requests", 7}, {"lost replies", 2}},
	judged:   true,
	verdicts: []verdict{{Name: checkVersions, Checked: 42816}, {Name: checkRepeats, Checked: 7824, Failed: 1,
		Examples: []string{"pump-0007: notify-next told device-sim-bajk3ac7uf-1/1 twice, and more that is cut"}}},
}

// TestFrame draws a frame for 80 columns.
func TestFrame(t *testing.T) {
	const want = `
device-sim  seed 7                                         1m12s, about 44s left

█████████████████████████████████░░░░░░░░░░░░░░░░░░░░░ 3,120 of 5,000 executions

connected 4,987 of 5,000

  queued  in progress  succeeded    failed  rejected  canceled  unanswered
   1,880          320      3,000        90        30         0           0

              a second      p50 ms      p99 ms      max ms   since start
connect            3.0        59.0      1171.5      2326.5         5,466
start-next       410.2         3.1        40.0        52.0         5,393
update          1601.5         2.0        38.0      1096.0        13,395
all             2011.8         2.2        39.0      1096.0        18,788

verdicts: 50,640 checked, violations 1
  repeats: 1, such as pump-0007: notify-next told device-sim-bajk3ac7uf-1/1 twic

repeated requests 7  lost replies 2
`
	drawn := pictured.render(80)
	if !strings.Contains(drawn, "\x1b[") {
		t.Error("no colours")
	}
	var got []string
	for line := range strings.Lines(ansi.Strip(drawn)) {
		got = append(got, strings.TrimRight(line, " \n"))
	}
	if text := "\n" + strings.Join(got, "\n") + "\n"; text != want {
		t.Errorf("drew %s\nwant %s", text, want)
	}
	for _, width := range []int{20, 79, 80, 200} {
		for line := range strings.Lines(pictured.render(width)) {
			if n := lipgloss.Width(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns of %d: %q", n, width, line)
			}
		}
	}
}

func TestFrameLine(t *testing.T) {
	const want = "1m12s: connected 4987 of 5000, queued 1880, in progress 320, succeeded 3000, failed 90, rejected 30, repeated requests 7, lost replies 2, " +
		"2011.8 requests/s, p50 2.2 ms, p99 39.0 ms, violations 1, about 44s left"
	if got := pictured.line(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		elapsed, duration, timeout time.Duration
		done, all                  int
		want                       string
	}{
		{time.Minute, 10 * time.Minute, 20 * time.Minute, 0, 0, "9m0s left"},
		{11 * time.Minute, 10 * time.Minute, 20 * time.Minute, 0, 0, "finishing"},
		{time.Minute, 0, 10 * time.Minute, 25, 100, "about 3m0s left"},
		{time.Minute, 0, 10 * time.Minute, 1, 100, "at most 9m0s left"},
		{time.Minute, 0, 10 * time.Minute, 100, 100, "finishing"},
		{time.Minute, 0, 0, 0, 0, ""},
	} {
		if got := timeLeft(c.elapsed, c.duration, c.timeout, c.done, c.all); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// TestLive runs the program that draws, and stops it.
func TestLive(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	n := 0
	p := tea.NewProgram(liveModel{now: func() frame { n++; return frame{title: "fleet", devices: n} }},
		tea.WithOutput(&out), tea.WithInput(nil), tea.WithoutSignalHandler(), tea.WithWindowSize(80, 24))
	l := &live{program: p, stop: func() {}}
	l.wait.Go(func() { _, _ = p.Run() })
	l.close()
	if text := ansi.Strip(out.String()); !strings.Contains(text, "fleet") || !strings.Contains(text, "connected 0 of 1") {
		t.Errorf("drew %q", text)
	}
}

// TestLines: without a terminal there is a line from time to time.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 25*time.Second)
		defer stop()
		var out bytes.Buffer
		writeLines(ctx, &out, func() frame { return pictured }, lineEvery)
		if want := strings.Repeat(pictured.line()+"\n", 2); out.String() != want {
			t.Errorf("wrote %s", out.String())
		}
	})
}

// TestRecents: what is shown is of the last seconds, and the total of the whole run.
func TestRecents(t *testing.T) {
	rec := newRecorder(nil)
	now := rec.started
	rec.now = func() time.Time { return now }
	rec.recent = &recents{}
	for range 100 {
		rec.observe("update", time.Second)
	}
	now = now.Add(20 * time.Second)
	rec.recent.rows(now, rec.latency)
	now = now.Add(recentSpan)
	for range 50 {
		rec.observe("get", time.Millisecond)
	}
	rec.observe("connect", time.Minute)
	now = now.Add(recentSpan / 2)
	rec.emit(event{Event: evStarted})
	rec.add(func(r *report) { r.told, r.working, r.untold = 5, 3, 1 })
	f := rec.frame([]member{{conduct: conduct{untilJobs: 2}}}, settings{timeout: time.Minute})
	if len(f.requests) != 4 || f.all != 2 || f.cells[0].n != 3 || f.cells[1].n != 3 {
		t.Fatalf("%+v", f)
	}
	get, update, all := f.requests[1], f.requests[2], f.requests[3]
	if get.p50 != time.Millisecond || get.rate != 50/7.5 || get.total != 50 {
		t.Errorf("get %+v", get)
	}
	if update.rate != 0 || update.total != 100 || all.rate != get.rate || all.total != 150 {
		t.Errorf("update %+v, all %+v", update, all)
	}
}
