package schedule

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestNext has the openings that follow a Thursday evening, 2026-03-12 22:00 UTC.
func TestNext(t *testing.T) {
	for text, want := range map[string]string{
		"cron(0 2 ? * SAT *)":         "2026-03-14 02:00, 2026-03-21 02:00, 2026-03-28 02:00, 2026-04-04 02:00, 2026-04-11 02:00, 2026-04-18 02:00, 2026-04-25 02:00",
		"0 2 ? * 7 *":                 "2026-03-14 02:00",
		"cron(0 2 ? * 1 *)":           "2026-03-15 02:00",
		"0 2 * * 1":                   "2026-03-16 02:00", // Unix: Monday
		"0 2 * * 0":                   "2026-03-15 02:00",
		"0 2 * * 7":                   "2026-03-15 02:00",
		"0 2 * * 5-7":                 "2026-03-13 02:00, 2026-03-14 02:00, 2026-03-15 02:00, 2026-03-20 02:00",
		"0 0 20 * 6":                  "2026-03-14 00:00, 2026-03-20 00:00", // Unix: either
		"cron(0 2 ? * FRI-MON *)":     "2026-03-13 02:00, 2026-03-14 02:00, 2026-03-15 02:00, 2026-03-16 02:00, 2026-03-20 02:00",
		"cron( 0/20 22-23 * * ? * )":  "2026-03-12 22:20, 2026-03-12 22:40, 2026-03-12 23:00",
		"cron(15,45 */6 13 mar ? *)":  "2026-03-13 00:15, 2026-03-13 00:45, 2026-03-13 06:15",
		"cron(0 0 L * ? *)":           "2026-03-31 00:00, 2026-04-30 00:00, 2026-05-31 00:00",
		"cron(0 0 LW * ? *)":          "2026-03-31 00:00, 2026-04-30 00:00, 2026-05-29 00:00",
		"cron(0 0 15W * ? *)":         "2026-03-16 00:00, 2026-04-15 00:00",
		"cron(0 0 ? * 6#3 *)":         "2026-03-20 00:00, 2026-04-17 00:00",
		"cron(0 0 ? * FRI#3 *)":       "2026-03-20 00:00",
		"cron(0 0 ? * 6L *)":          "2026-03-27 00:00, 2026-04-24 00:00",
		"cron(0 0 ? * L *)":           "2026-03-14 00:00, 2026-03-21 00:00",
		"cron(0 0 1 JAN ? 2027-2028)": "2027-01-01 00:00, 2028-01-01 00:00, never",
		"cron(0 0 1 1/6 ? 2027,2150)": "2027-01-01 00:00, 2027-07-01 00:00, never",
		"cron(0 0 1 1 ? 2098-2199)":   "2098-01-01 00:00, 2099-01-01 00:00, never",
		"cron(0 0 29 FEB ? *)":        "2028-02-29 00:00",
		"cron(0 0 30 FEB ? *)":        "never",
		"cron(0 0 1 1 ? 2020)":        "never",
		"cron(59 23 31 12 ? *)":       "2026-12-31 23:59",
		"cron(0 0 1 * ? *)":           "2026-04-01 00:00",
		"cron(0 22 12 3 ? *)":         "2027-03-12 22:00", // strictly after
	} {
		c, err := ParseCron(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		now := at(t, "2026-03-12 22:00")
		for i, w := range strings.Split(want, ", ") {
			if now = c.Next(now); now.IsZero() != (w == "never") || w != "never" && !now.Equal(at(t, w)) {
				t.Errorf("%s: opening %d is %v, want %s", text, i, now, w)
				break
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		"", "cron()", "cron(0 2 ? * SAT *", "0 2 ? *", "0 0 2 ? * SAT *", "@daily", "rate(5 minutes)",
		"cron(60 2 ? * SAT *)", "cron(0 24 ? * SAT *)", "cron(0 2 0 * ? *)", "cron(0 2 32 * ? *)", "cron(0 2 1 13 ? *)",
		"cron(0 2 ? * 0 *)", "cron(0 2 ? * 8 *)", "cron(0 2 ? * SOMEDAY *)", "cron(0 2 1 * ? 1969)", "cron(0 2 1 * ? 2200)",
		"cron(0 2 ? * ? *)", "cron(0 2 1 * SAT *)", "cron(? 2 1 * ? *)", "cron(0 2 1 ? ? *)", "cron(0 2 1 * ? ?)",
		"cron(0 2 ? * 6#6 *)", "cron(0 2 ? * 6# *)", "cron(0 2 ? * #2 *)", "cron(0 2 W * ? *)", "cron(L 2 1 * ? *)", "cron(0 2 ? * 15W *)", "cron(0 2 15L * ? *)",
		"cron(50-10 2 1 * ? *)", "cron(0 20-4 1 * ? *)", "cron(0 2 9-3 * ? *)", "cron(0 2 1 DEC-JAN ? *)", "cron(0 2 1 * ? 2030-2028)",
		"cron(0/0 2 1 * ? *)", "cron(0/60 2 1 * ? *)", "cron(0/99999999999999999999 2 1 * ? *)", "cron(, 2 1 * ? *)", "cron(1,,2 2 1 * ? *)", "cron(*-5 2 1 * ? *)",
		"cron(0 2 1 * ? 2150)", "cron(-1 2 1 * ? *)", "cron(0 2 1 * ? *) x", "0 2 * * 8",
	} {
		if c, err := ParseCron(text); err == nil {
			t.Errorf("%q is taken; it is next at %v", text, c.Next(at(t, "2026-03-12 22:00")))
		}
	}
}

// TestZones: Berlin goes from 02:00 to 03:00 on 2026-03-29, and back from 03:00 on
// 2026-10-25.
func TestZones(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	c, err := ParseCron("cron(30 2 * * ? *)")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ after, want string }{
		{"2026-03-27 12:00", "2026-03-28 01:30"},
		{"2026-03-28 01:30", "2026-03-29 01:00"}, // skipped: at the end of the gap
		{"2026-03-29 01:00", "2026-03-30 00:30"},
		{"2026-10-24 00:30", "2026-10-25 00:30"}, // the first of the two
		{"2026-10-25 00:30", "2026-10-26 01:30"},
		{"2026-10-25 01:10", "2026-10-26 01:30"}, // between the two
	} {
		if got := c.Next(at(t, tc.after).In(berlin)); !got.Equal(at(t, tc.want)) {
			t.Errorf("after %s: %v, want %s", tc.after, got.UTC(), tc.want)
		}
	}
}

func TestWindows(t *testing.T) {
	if w, err := NewWindows(&jobsvc.SchedulingConfig{StartTime: "x"}); w != nil || err != nil {
		t.Errorf("no windows: %v, %v", w, err)
	}
	w, err := NewWindows(&jobsvc.SchedulingConfig{TimeZone: "+01:00", MaintenanceWindows: []jobsvc.MaintenanceWindow{
		{StartTime: "cron(0 3 ? * SAT *)", DurationInMinutes: 180},
		{StartTime: "cron(0 5 ? * SAT *)", DurationInMinutes: 120},
		{StartTime: "cron(0 1 1 4 ? 2026)", DurationInMinutes: 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{
		"2026-03-14 01:59": false, "2026-03-14 02:00": true, "2026-03-14 04:59": true, "2026-03-14 05:00": true,
		"2026-03-14 05:59": true, "2026-03-14 06:00": false, "2026-04-01 00:00": true, "2026-04-01 00:01": false, "2027-04-01 00:00": false,
	} {
		if got := w.OpenAt(at(t, s)); got != want {
			t.Errorf("open at %s: %t", s, got)
		}
	}
	var got []string
	for _, o := range w.NextN(at(t, "2026-03-27 22:00"), at(t, "2026-04-11 04:00"), 7) {
		got = append(got, o.Format("2006-01-02 15:04"))
	}
	if want := "2026-03-28 02:00 2026-03-28 04:00 2026-04-01 00:00 2026-04-04 02:00 2026-04-04 04:00 2026-04-11 02:00"; strings.Join(got, " ") != want {
		t.Errorf("openings %q", got)
	}
	_, err = NewWindows(&jobsvc.SchedulingConfig{MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "soon", DurationInMinutes: 1}}})
	if jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest || !strings.Contains(err.Error(), "maintenanceWindows[0].startTime") {
		t.Errorf("a bad expression: %v", err)
	}
}

// TestSingleOpening: a date and time opens once, in the zone of the configuration.
func TestSingleOpening(t *testing.T) {
	w, err := NewWindows(&jobsvc.SchedulingConfig{TimeZone: "+01:00", MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "2026-03-14 03:00", DurationInMinutes: 90}}})
	if err != nil {
		t.Fatal(err)
	}
	opens := at(t, "2026-03-14 02:00")
	if got := w.NextN(at(t, "2026-03-10 00:00"), time.Time{}, 7); len(got) != 1 || !got[0].Equal(opens) {
		t.Errorf("openings %v", got)
	}
	for s, want := range map[string]bool{"2026-03-14 01:59": false, "2026-03-14 02:00": true, "2026-03-14 03:29": true, "2026-03-14 03:30": false} {
		if w.OpenAt(at(t, s)) != want {
			t.Errorf("open at %s: not %t", s, want)
		}
	}
	if got := w.Closes(opens); !got.Equal(opens.Add(90 * time.Minute)) {
		t.Errorf("closes %s", got)
	}
	if got := w.Next(opens); !got.IsZero() {
		t.Errorf("opens again %s", got)
	}
}

// TestCloses: windows that touch or overlap close together.
func TestCloses(t *testing.T) {
	window := func(s string, minutes int64) jobsvc.MaintenanceWindow {
		return jobsvc.MaintenanceWindow{StartTime: s, DurationInMinutes: minutes}
	}
	w, err := NewWindows(&jobsvc.SchedulingConfig{MaintenanceWindows: []jobsvc.MaintenanceWindow{
		window("cron(0 2 ? * SAT *)", 180), window("cron(0 5 ? * SAT *)", 30), window("cron(0 4 ? * SAT *)", 45), window("cron(0 22 ? * FRI *)", 60),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]string{
		"2026-03-14 02:00": "2026-03-14 05:30", "2026-03-14 04:30": "2026-03-14 05:30", "2026-03-14 05:00": "2026-03-14 05:30",
		"2026-03-14 05:29": "2026-03-14 05:30", "2026-03-14 05:30": "2026-03-14 05:30", "2026-03-14 01:59": "2026-03-14 01:59",
		"2026-03-13 22:30": "2026-03-13 23:00", "2026-03-15 02:30": "2026-03-15 02:30",
	} {
		if got := w.Closes(at(t, s)); !got.Equal(at(t, want)) {
			t.Errorf("at %s it closes %s, want %s", s, got, want)
		}
	}
	always, err := NewWindows(&jobsvc.SchedulingConfig{MaintenanceWindows: []jobsvc.MaintenanceWindow{window("* * * * *", 1430)}})
	if err != nil {
		t.Fatal(err)
	}
	for now, i := at(t, "2026-03-14 02:00"), 0; i < 10; i++ {
		next := always.Closes(now)
		if !next.After(now) || !always.OpenAt(next) {
			t.Fatalf("one that never closes: after %s comes %s", now, next)
		}
		now = next
	}

	// Berlin skips an hour on 2026-03-29 and repeats one on 2026-10-25: what is open for
	// three hours is so by a stopwatch.
	zone, err := NewWindows(&jobsvc.SchedulingConfig{TimeZone: "Europe/Berlin", MaintenanceWindows: []jobsvc.MaintenanceWindow{window("cron(0 1 * * ? *)", 180)}})
	if err != nil {
		t.Skip(err)
	}
	for opens, closes := range map[string]string{
		"2026-03-28 00:00": "2026-03-28 03:00", "2026-03-29 00:00": "2026-03-29 03:00", "2026-03-29 23:00": "2026-03-30 02:00",
		"2026-10-24 23:00": "2026-10-25 02:00", "2026-10-26 00:00": "2026-10-26 03:00",
	} {
		if o := zone.Next(at(t, opens).Add(-time.Minute)); !o.Equal(at(t, opens)) || !zone.Closes(o).Equal(at(t, closes)) || zone.OpenAt(at(t, closes)) {
			t.Errorf("it opens %s and closes %s, want %s and %s", o, zone.Closes(o), opens, closes)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	c, err := ParseCron("cron(0 2 ? * SAT *)")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			now := at(t, "2026-03-12 22:00").AddDate(0, i, 0)
			for range 100 {
				if now = c.Next(now); now.Weekday() != time.Saturday {
					t.Errorf("%v is no Saturday", now)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzParseCron: no text makes it panic, and what is taken can be asked.
func FuzzParseCron(f *testing.F) {
	for _, s := range []string{"cron(0 2 ? * SAT *)", "0 2 * * 0", "cron(0 0 L * ? *)", "cron(1-5/2,9 0 15W JAN-MAR ? 2030)", "cron(0 0 ? * FRI-MON,6#3,2L *)"} {
		f.Add(s)
	}
	now := time.Date(2026, 3, 12, 22, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCron(s)
		if err != nil {
			return
		}
		if next := c.Next(now); !next.IsZero() && !next.After(now) {
			t.Errorf("%q: %v is not after %v", s, next, now)
		}
	})
}
