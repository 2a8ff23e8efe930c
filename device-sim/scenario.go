package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// example is what `device-sim scenario print` prints.
//
//go:generate cp ../configs/scenarios/mixed.yaml scenario_example.yaml
//go:embed scenario_example.yaml
var example []byte

// scenario is a run in a file. What it does not say is what the command line says.
type scenario struct {
	Seed       *int64          `yaml:"seed"`
	UntilJobs  *int            `yaml:"until-jobs"`
	Duration   time.Duration   `yaml:"duration"`
	Timeout    time.Duration   `yaml:"timeout"`
	Jobs       *scenarioJobs   `yaml:"jobs"`
	Fleets     []scenarioFleet `yaml:"fleets"`
	Assertions []assertion     `yaml:"assertions"`
}

// scenarioJobs are the jobs that the run makes for its own devices.
type scenarioJobs struct {
	Document string        `yaml:"document"`
	Every    time.Duration `yaml:"every"`
	Timeout  time.Duration `yaml:"timeout"`
	Groups   int           `yaml:"groups"`
}

// scenarioFleet is a part of the devices that behaves alike.
type scenarioFleet struct {
	Name          string           `yaml:"name"`
	Things        string           `yaml:"things"` // pattern
	Share         *float64         `yaml:"share"`  // percent
	Count         *int             `yaml:"count"`
	Style         style            `yaml:"style"`
	MQTT          version          `yaml:"mqtt"`
	ConnectSpread *time.Duration   `yaml:"connect-spread"`
	Work          *time.Duration   `yaml:"work"`
	PollEvery     time.Duration    `yaml:"poll-every"`
	FlapEvery     time.Duration    `yaml:"flap-every"`
	Away          time.Duration    `yaml:"away"`
	UntilJobs     *int             `yaml:"until-jobs"`
	Outcomes      scenarioOutcomes `yaml:"outcomes"`
	Manners       scenarioManners  `yaml:"manners"`
}

// scenarioOutcomes are in percent of the executions.
type scenarioOutcomes struct {
	Succeed      *float64 `yaml:"succeed"` // the rest; may be given to have the sum checked
	Fail         float64  `yaml:"fail"`
	Reject       float64  `yaml:"reject"`
	NeverAnswer  float64  `yaml:"never-answer"`
	Crash        float64  `yaml:"crash"`
	Duplicate    float64  `yaml:"duplicate"`
	StaleVersion float64  `yaml:"stale-version"`
}

// scenarioManners are in percent of the devices.
type scenarioManners struct {
	Flapping  float64 `yaml:"flapping"`
	Slow      float64 `yaml:"slow"`
	Malformed float64 `yaml:"malformed"`
}

// readScenario reads a file. A key it does not know is an error, as it is somebody's mistake.
func readScenario(file string) (*scenario, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--scenario: %w", err)
	}
	s, err := parseScenario(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

func parseScenario(text []byte) (*scenario, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	s := &scenario{}
	if err := d.Decode(s); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return s, s.check()
}

func (s *scenario) check() error {
	var c checks
	c.want(len(s.Fleets) > 0, "fleets: there is none")
	c.want(s.Duration >= 0 && s.Timeout >= 0, "a time is negative")
	if j := s.Jobs; j != nil {
		c.want(j.Every >= 0 && j.Groups >= 0, "jobs: every or groups is negative")
		c.want(j.Timeout >= 0 && j.Timeout%time.Minute == 0, "jobs: timeout is in whole minutes")
	}
	for i, f := range s.Fleets {
		if f.Name == "" {
			f.Name = fmt.Sprintf("fleet %d", i+1)
		}
		f.check(&c)
	}
	return errors.Join(c...)
}

func (f *scenarioFleet) check(c *checks) {
	want := func(ok bool, format string, args ...any) {
		c.want(ok, f.Name+": "+format, args...)
	}
	_, err := path.Match(f.Things, "")
	want(err == nil, "things: %q is no pattern", f.Things)
	want(f.Share == nil || f.Count == nil, "share and count exclude each other")
	want(f.Share == nil || *f.Share > 0 && *f.Share <= 100, "share is a percentage")
	want(f.Count == nil || *f.Count > 0, "count must be positive")
	want(f.UntilJobs == nil || *f.UntilJobs >= 0, "until-jobs is negative")
	known := f.Style == ""
	for _, s := range styles {
		known = known || s == f.Style
	}
	want(known, "style: %q is none of %v", f.Style, styles)
	want(f.MQTT == "" || f.MQTT == mqtt5 || f.MQTT == mqtt311, "mqtt: %q is neither 5 nor 3.1.1", f.MQTT)
	for _, t := range []*time.Duration{f.ConnectSpread, f.Work, &f.PollEvery, &f.FlapEvery, &f.Away} {
		want(t == nil || *t >= 0, "a time is negative")
	}
	o, m := f.Outcomes, f.Manners
	sum := 0.0
	for _, p := range []float64{o.Fail, o.Reject, o.NeverAnswer, o.Crash, o.Duplicate, o.StaleVersion, m.Flapping, m.Slow, m.Malformed} {
		want(p >= 0 && p <= 100, "%v is no percentage", p)
	}
	for _, p := range []float64{o.Fail, o.Reject, o.NeverAnswer, o.Crash, o.Duplicate, o.StaleVersion} {
		sum += p
	}
	want(sum <= 100, "outcomes: together they are %v%%", sum)
	want(o.Succeed == nil || *o.Succeed+sum == 100, "outcomes: with succeed they are %v%%, not 100", sum+val(o.Succeed))
	want(m.Flapping+m.Slow+m.Malformed <= 100, "manners: together they are more than 100%%")
}

// val is what a pointer points to, zero for nil.
func val[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// override puts what the command line says in the place of what the file does.
func (s *scenario) override(o *options) {
	if o.Seed != nil {
		s.Seed = o.Seed
	}
	if o.UntilJobs > 0 {
		s.UntilJobs = &o.UntilJobs
	}
	set(&s.Duration, o.Duration)
	set(&s.Timeout, o.Timeout)
}

// apply puts what the scenario says of the run in its settings.
func (s *scenario) apply(to *settings) {
	if s.Seed != nil {
		to.seed = *s.Seed
	}
	if s.Duration > 0 {
		to.duration = s.Duration
	}
	if s.Timeout > 0 {
		to.timeout = s.Timeout
	}
	if j := s.Jobs; j != nil && to.jobs == nil {
		to.jobs = &jobPlan{document: `{"operation":"simulate"}`, every: j.Every, timeoutMinutes: int(j.Timeout / time.Minute), groups: j.Groups}
		set(&to.jobs.document, j.Document)
	}
}

// conduct is base with what a fleet says.
func (s *scenario) conduct(f scenarioFleet, base conduct) conduct {
	set(&base.style, f.Style)
	set(&base.version, f.MQTT)
	set(&base.pollEvery, f.PollEvery)
	set(&base.flapEvery, f.FlapEvery)
	set(&base.away, f.Away)
	for _, t := range []struct{ to, from *time.Duration }{{&base.work, f.Work}, {&base.startSpread, f.ConnectSpread}} {
		if t.from != nil {
			*t.to = *t.from
		}
	}
	for _, n := range []*int{s.UntilJobs, f.UntilJobs} {
		if n != nil {
			base.untilJobs = *n
		}
	}
	if s.UntilJobs == nil && f.UntilJobs == nil && s.Duration > 0 {
		base.untilJobs = 0
	}
	o := f.Outcomes
	base.odds = odds{fail: o.Fail, reject: o.Reject, never: o.NeverAnswer, crash: o.Crash, duplicate: o.Duplicate, stale: o.StaleVersion}
	base.traits = traits{flapping: f.Manners.Flapping, slow: f.Manners.Slow, malformed: f.Manners.Malformed}
	return base
}

// set changes what is not the zero value.
func set[T comparable](to *T, from T) {
	if zero := *new(T); from != zero {
		*to = from
	}
}

// members gives the devices to the fleets, in order. The first fleet that a device fits and that is
// not full takes it; a device that none takes does not run.
func (s *scenario) members(ids []identity, base conduct) ([]member, error) {
	left := ids
	var out []member
	for _, f := range s.Fleets {
		var fit, rest []identity
		for _, id := range left {
			if ok, _ := path.Match(f.Things, id.thing); ok || f.Things == "" {
				fit = append(fit, id)
			} else {
				rest = append(rest, id)
			}
		}
		n := len(fit)
		switch {
		case f.Count != nil && *f.Count > n:
			return nil, fmt.Errorf("%s: %d devices wanted, there are %d", f.Name, *f.Count, n)
		case f.Count != nil:
			n = *f.Count
		case f.Share != nil:
			n = int(*f.Share*float64(n)/100 + 0.5)
		}
		for _, id := range fit[:n] {
			out = append(out, member{id, s.conduct(f, base)})
		}
		left = append(rest, fit[n:]...)
	}
	if len(out) == 0 {
		return nil, errors.New("the scenario leaves no device to run")
	}
	return out, nil
}

// scenarioCmd is about the files.
type scenarioCmd struct {
	Print struct{} `cmd:"" help:"Print an example with every key."`
	Check struct {
		File string `arg:"" type:"existingfile" help:"A scenario."`
	} `cmd:"" help:"Check a scenario without running it."`
}

func (c *scenarioCmd) run(command string, stdout, stderr io.Writer) int {
	if strings.HasPrefix(command, "scenario print") {
		if _, err := stdout.Write(example); err != nil {
			return exitFailure
		}
		return exitOK
	}
	if _, err := readScenario(c.Check.File); err != nil {
		return usage(stderr, err)
	}
	return exitOK
}
