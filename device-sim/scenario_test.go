package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestConfigs: the examples are read as strictly as anybody's, and the one inside is the same.
func TestConfigs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../configs/scenarios/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if _, err := readScenario(f); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(must(os.ReadFile("../configs/scenarios/mixed.yaml")), example) {
		t.Error("scenario_example.yaml is not configs/scenarios/mixed.yaml: go generate ./device-sim")
	}
	var out, errs bytes.Buffer
	if got := command(t.Context(), []string{"scenario", "print"}, &out, &errs); got != exitOK || !bytes.Equal(out.Bytes(), example) {
		t.Errorf("scenario print: %d %s", got, errs.String())
	}
	if got := command(t.Context(), []string{"scenario", "check", files[0]}, &out, &errs); got != exitOK {
		t.Errorf("scenario check: %d %s", got, errs.String())
	}
}

func TestScenarioMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                "fleets: there is none",
		"fleet: []":                       "field fleet not found",
		"fleets: [{style: pull}]":         `"pull" is none of`,
		"fleets: [{mqtt: '4'}]":           "neither 5 nor 3.1.1",
		"fleets: [{share: 20, count: 3}]": "exclude each other",
		"fleets: [{share: 101}]":          "share is a percentage",
		"fleets: [{work: -1s}]":           "a time is negative",
		"fleets: [{things: '['}]":         "no pattern",
		"fleets: [{name: x, outcomes: {fail: 80, reject: 30}}]": "x: outcomes: together they are 110%",
		"fleets: [{outcomes: {succeed: 80, fail: 10}}]":         "with succeed they are 90%, not 100",
		"fleets: [{manners: {flapping: 80, slow: 30}}]":         "more than 100%",
		"fleets: [{outcomes: {fail: -1}}]":                      "no percentage",
		"fleets: [{}]\nassertions: [succeeded is fine]":         "is not like",
		"fleets: [{}]\nassertions: ['happy >= 3%']":             "nothing that is counted",
		"fleets: [{}]\nassertions: ['p99 start-next < 500']":    "compared with a time",
		"fleets: [{}]\nassertions: ['succeeded < 500ms']":       "nothing that is counted",
		"fleets: [{outcomes: {suceed: 10}}]":                    "field suceed not found",
		"fleets: [{}]\njobs: {every: -1s}":                      "jobs: every or groups is negative",
		"fleets: [{}]\njobs: {timeout: 90s}":                    "jobs: timeout is in whole minutes",
	} {
		if _, err := parseScenario([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestShares: the devices are shared out in order, and each runs once.
func TestShares(t *testing.T) {
	t.Parallel()
	var ids []identity
	for i := range 20 {
		ids = append(ids, identity{thing: fmt.Sprintf("%s-%02d", []string{"pump", "fan"}[i%2], i)})
	}
	s, err := parseScenario([]byte(`
duration: 1m
fleets:
- {things: "pump-*", share: 50, style: poll, work: 0s}
- {count: 3, mqtt: 3.1.1, until-jobs: 4}
- {things: "fan-*"}
`))
	if err != nil {
		t.Fatal(err)
	}
	members, err := s.members(ids, conduct{style: styleStartNext, version: mqtt5, work: time.Second, untilJobs: 1})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range members {
		got = append(got, fmt.Sprint(m.thing, " ", m.style, " ", m.version, " ", m.work, " ", m.untilJobs))
	}
	want := []string{"pump-00 poll 5 0s 0", "pump-02 poll 5 0s 0", "pump-04 poll 5 0s 0", "pump-06 poll 5 0s 0", "pump-08 poll 5 0s 0",
		"fan-01 start-next 3.1.1 1s 4", "fan-03 start-next 3.1.1 1s 4", "fan-05 start-next 3.1.1 1s 4"}
	for i := 7; i < 20; i += 2 {
		want = append(want, fmt.Sprintf("fan-%02d start-next 5 1s 0", i))
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("members\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAssertions(t *testing.T) {
	t.Parallel()
	r := report{Executions: map[string]int{statusSucceeded: 19, statusFailed: 1}, LostReplies: 2}
	latency := func(name string, rank float64) (time.Duration, bool) {
		return time.Duration(rank) * time.Millisecond, name == "update"
	}
	for text, want := range map[string]bool{
		"succeeded >= 95%": true, "succeeded>95%": false, "failed == 1": true, "lost-replies == 0": false,
		"executions < 20": false, "executions <= 20": true, "p99 update < 100ms": true, "p99 update < 98ms": false,
		"max update <= 100ms": true, "p99.9 update < 1s": true, "p50 start-next < 1h": false,
	} {
		var a assertion
		if err := a.UnmarshalText([]byte(text)); err != nil {
			t.Error(err)
		} else if got, why := a.holds(r, latency); got != want {
			t.Errorf("%s: %v, %s", text, got, why)
		}
	}
}

// TestManners: a broker that does nothing wrong is not blamed for what devices do, in any style.
func TestManners(t *testing.T) {
	t.Parallel()
	b := newBench(t, 16, 1000)
	b.fault = func(seen) fault { return fault{} } // lets broken requests come in
	for _, thing := range b.things {
		for i := range 3 {
			b.create(thing, fmt.Sprint("job-", i), b.store.document)
		}
	}
	var text strings.Builder
	text.WriteString("seed: 3\nuntil-jobs: 3\ntimeout: 60s\nfleets:\n")
	for i, s := range []style{styleStartNext, styleNotifyNext, styleNotify, stylePoll} {
		fmt.Fprintf(&text, `- {count: 4, style: %s, mqtt: %q, work: 4ms, away: 2ms, poll-every: 20ms, flap-every: 20ms,
  outcomes: {fail: 10, reject: 10, crash: 25, duplicate: 20, stale-version: 20}, manners: {flapping: 30, slow: 10, malformed: 40}}
`, s, []version{mqtt5, mqtt311}[i%2])
	}
	text.WriteString("assertions: [executions == 48, unintended == 0]\n")
	file := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	res := b.run(t, "--scenario", file)
	res.wantStatus(t, exitOK)
	for _, v := range res.report.Verdicts {
		if v.Failed > 0 || v.Checked == 0 {
			t.Errorf("%v %q", v, v.Examples)
		}
	}
	want := make(map[string]int)
	for _, thing := range b.things {
		for i := range 3 {
			key := executionKey{fmt.Sprint("job-", i), 1}
			want[decide(3, thing, key, odds{fail: 10, reject: 10, crash: 25, duplicate: 20, stale: 20}, 0).status]++
		}
	}
	if got := res.report.Executions; got[statusFailed] != want[statusFailed] || got[statusRejected] != want[statusRejected] {
		t.Errorf("executions %v, drawn %v", got, want)
	}
}

// TestNeverAnswer: a device drawn to be silent leaves its execution in progress and has ended well.
func TestNeverAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 1000)
	for _, thing := range b.things {
		b.create(thing, "fw", b.store.document)
	}
	file := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(file, []byte("fleets: [{outcomes: {never-answer: 100}}]\nassertions: [unanswered == 2, succeeded > 0]"), 0o600); err != nil {
		t.Fatal(err)
	}
	res := b.run(t, "--scenario", file)
	res.wantStatus(t, exitVerdict) // the second assertion does not hold
	if got := res.report.Executions[outcomeSilent]; got != 2 {
		t.Errorf("executions %v", res.report.Executions)
	}
	if e := b.execution(b.things[0], "fw"); e.status != statusInProgress {
		t.Errorf("%+v", e)
	}
}

// TestScenarioOverride: what the command line says wins over the file, and what it does not say does not.
func TestScenarioOverride(t *testing.T) {
	t.Parallel()
	const text = "seed: 3\nuntil-jobs: 4\nduration: 1m\ntimeout: 2m\njobs: {every: 1s, groups: 2, timeout: 3m}\nfleets: [{}]"
	seed := int64(9)
	for _, c := range []struct {
		o                 options
		seed              int64
		untilJobs         int
		duration, timeout time.Duration
	}{
		{options{}, 3, 4, time.Minute, 2 * time.Minute},
		{options{connecting: connecting{Seed: &seed}, UntilJobs: 5, Duration: time.Hour, Timeout: 2 * time.Hour}, 9, 5, time.Hour, 2 * time.Hour},
	} {
		sc := must(parseScenario([]byte(text)))
		s := settings{seed: 1}
		sc.override(&c.o)
		sc.apply(&s)
		members := must(sc.members([]identity{{thing: "a"}}, conduct{}))
		if s.seed != c.seed || s.duration != c.duration || s.timeout != c.timeout || members[0].untilJobs != c.untilJobs {
			t.Errorf("seed %d, duration %v, timeout %v, until-jobs %d", s.seed, s.duration, s.timeout, members[0].untilJobs)
		}
		if want := (jobPlan{`{"operation":"simulate"}`, time.Second, 3, 2}); s.jobs == nil || *s.jobs != want {
			t.Errorf("jobs %+v", s.jobs)
		}
	}
}
