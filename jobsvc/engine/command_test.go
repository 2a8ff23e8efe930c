package engine_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// command is a line of the language in which transcripts are written and in which the
// randomized test says what it does:
//
//	thing pump-1 pump-2            group pumps --in all pump-1 pump-2     and of devices:
//	delete-thing pump-1            delete-group pumps                     pump-1 start-next --step 5m
//	join pump-1 pumps              leave pump-1 pumps                     pump-1 update fw FAILED --expect 2
//	move pump-1 pumps valves       set pump-1 site=north                  pump-1 describe fw
//	dynamic-group north site:north                                        pump-1 get-pending
//	create-job fw --group pumps …  update-job fw …
//	associate fw --group valves    cancel-job fw --force
//	cancel-execution pump-1 fw     delete-job fw --force
//	                               delete-execution pump-1 fw 1
//	advance 5m                     outage 5m                              restart
//
// A name is a word; text with blanks is in double quotes. pump-{1-3} stands for pump-1,
// pump-2 and pump-3. set gives a thing its attributes, instead of those it had; a dynamic
// group has the things with an attribute.
type command struct {
	verb  string
	thing string // of what a device does
	args  []string
	flags map[string][]string
}

var (
	deviceVerbs = []string{"start-next", "update", "describe", "get-pending"}
	// switches are the flags without a value.
	switches = []string{"force", "continuous", "clear"}
)

func parseCommand(line string) (command, error) {
	c := command{flags: make(map[string][]string)}
	words, err := splitWords(line)
	if err != nil || len(words) == 0 {
		return c, fmt.Errorf("%q: no command (%v)", line, err)
	}
	words = expand(words)
	if len(words) > 1 && slices.Contains(deviceVerbs, words[1]) {
		c.thing, words = words[0], words[1:]
	}
	c.verb, words = words[0], words[1:]
	for i := 0; i < len(words); i++ {
		name, isFlag := strings.CutPrefix(words[i], "--")
		switch {
		case !isFlag:
			c.args = append(c.args, words[i])
		case slices.Contains(switches, name):
			c.flags[name] = []string{""}
		case i+1 == len(words):
			return c, fmt.Errorf("%q: %s needs a value", line, words[i])
		default:
			i++
			c.flags[name] = append(c.flags[name], words[i])
		}
	}
	return c, nil
}

func splitWords(line string) ([]string, error) {
	var words []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	if strings.Count(line, `"`)%2 == 1 {
		return nil, fmt.Errorf("a quote is missing")
	}
	return words, nil
}

var numbered = regexp.MustCompile(`^(.*)\{(\d+)-(\d+)\}$`)

// expand puts a name for each number in the place of those with braces.
func expand(words []string) []string {
	var all []string
	for _, w := range words {
		m := numbered.FindStringSubmatch(w)
		if m == nil {
			all = append(all, w)
			continue
		}
		for i := mustInt(m[2]); i <= mustInt(m[3]); i++ {
			all = append(all, fmt.Sprintf("%s%0*d", m[1], len(m[3]), i))
		}
	}
	return all
}

// arg is the nth argument, "" when there are fewer.
func (c command) arg(n int) string {
	if n < len(c.args) {
		return c.args[n]
	}
	return ""
}

func (c command) flag(name string) string {
	if v := c.flags[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (c command) has(name string) bool { return len(c.flags[name]) > 0 }

// text is the value of a flag, nil without it.
func (c command) text(name string) *string {
	if !c.has(name) {
		return nil
	}
	return new(c.flag(name))
}

func (c command) number(name string) *int64 {
	if !c.has(name) {
		return nil
	}
	return new(mustInt(c.flag(name)))
}

func (c command) duration(name string) time.Duration {
	if !c.has(name) {
		return 0
	}
	return mustDuration(c.flag(name))
}

// A mistake in a script is one of the test's author: it panics.
func mustInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func mustDuration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

// hundredths reads a number with at most two decimals.
func hundredths(s string) int64 {
	whole, part, _ := strings.Cut(s, ".")
	return mustInt(whole)*100 + mustInt((part + "00")[:2])
}

// details are the status details: --detail key=value, or --clear for none.
func (c command) details() map[string]string {
	if !c.has("detail") && !c.has("clear") {
		return nil
	}
	d := make(map[string]string)
	for _, kv := range c.flags["detail"] {
		k, v, _ := strings.Cut(kv, "=")
		d[k] = v
	}
	return d
}

// step is --step 5m, or --step none to stop the step timer.
func (c command) step() time.Duration {
	if c.flag("step") == "none" {
		return jobsvc.CancelStepTimeout
	}
	return c.duration("step")
}

// targets are --group and --thing, groups first.
func (c command) targets() []string {
	var arns []string
	for _, g := range c.flags["group"] {
		arns = append(arns, groupARN(g))
	}
	for _, n := range c.flags["thing"] {
		arns = append(arns, thingARN(n))
	}
	return arns
}

func (c command) createJob(now time.Time) *jobsvc.CreateJobRequest {
	id := c.arg(0)
	r := &jobsvc.CreateJobRequest{JobID: id, Document: new(`{"op":"` + id + `"}`), Targets: c.targets(), NamespaceID: c.text("namespace")}
	config := c.config()
	r.TimeoutConfig, r.RolloutConfig, r.AbortConfig, r.RetryConfig = config.TimeoutConfig, config.RolloutConfig, config.AbortConfig, config.RetryConfig
	if c.has("continuous") {
		r.TargetSelection = jobsvc.TargetContinuous
	}
	var s jobsvc.SchedulingConfig
	if c.has("start") {
		s.StartTime = scheduledAt(now, c.flag("start"))
	}
	if c.has("end") {
		s.EndTime = scheduledAt(now, c.flag("end"))
		s.EndBehavior = jobsvc.EndBehavior(c.flag("at-end"))
	}
	for _, w := range c.flags["window"] { // "cron(0 2 ? * SAT *) for 180m"
		cron, length, _ := strings.Cut(w, " for ")
		s.MaintenanceWindows = append(s.MaintenanceWindows, jobsvc.MaintenanceWindow{StartTime: cron, DurationInMinutes: int64(mustDuration(length) / time.Minute)})
	}
	if s.StartTime != "" || s.EndTime != "" || s.MaintenanceWindows != nil {
		r.SchedulingConfig = &s
	}
	return r
}

// scheduledAt is a time, or one so long from now.
func scheduledAt(now time.Time, s string) string {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(d).Format(time.RFC3339Nano)
	}
	return s
}

// config reads the configurations that can be updated:
//
//	--timeout 30m
//	--rate 50                                 --rate off
//	--exponential 20*1.5 --per-notified 50    --per-succeeded 20
//	--abort FAILED:20:10                      failure type, percent, minimum executed
//	--retry FAILED:2
func (c command) config() jobsvc.JobConfig {
	var config jobsvc.JobConfig
	if c.has("timeout") {
		config.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: c.duration("timeout")}
	}
	if c.has("rate") || c.has("exponential") {
		config.RolloutConfig = &jobsvc.RolloutConfig{}
	}
	if c.has("rate") && c.flag("rate") != "off" {
		config.RolloutConfig.MaximumPerMinute = mustInt(c.flag("rate"))
	}
	if c.has("exponential") {
		base, factor, _ := strings.Cut(c.flag("exponential"), "*")
		x := &jobsvc.ExponentialRate{BaseRatePerMinute: mustInt(base), IncrementFactor: hundredths(factor) / 10}
		if c.has("per-notified") {
			x.RateIncreaseCriteria.NumberOfNotifiedThings = mustInt(c.flag("per-notified"))
		}
		if c.has("per-succeeded") {
			x.RateIncreaseCriteria.NumberOfSucceededThings = mustInt(c.flag("per-succeeded"))
		}
		config.RolloutConfig.ExponentialRate = x
	}
	for _, a := range c.flags["abort"] {
		f := strings.Split(a, ":")
		if config.AbortConfig == nil {
			config.AbortConfig = &jobsvc.AbortConfig{}
		}
		config.AbortConfig.CriteriaList = append(config.AbortConfig.CriteriaList, jobsvc.AbortCriterion{
			FailureType: jobsvc.FailureType(f[0]), Action: "CANCEL", ThresholdPercentage: hundredths(f[1]), MinNumberOfExecutedThings: mustInt(f[2]),
		})
	}
	for _, a := range c.flags["retry"] {
		kind, n, _ := strings.Cut(a, ":")
		if config.RetryConfig == nil {
			config.RetryConfig = &jobsvc.RetryConfig{}
		}
		config.RetryConfig.CriteriaList = append(config.RetryConfig.CriteriaList, jobsvc.RetryCriterion{FailureType: jobsvc.FailureType(kind), NumberOfRetries: mustInt(n)})
	}
	return config
}

func (c command) updateJob() *jobsvc.UpdateJobRequest {
	return &jobsvc.UpdateJobRequest{JobID: c.arg(0), JobConfig: c.config()}
}

func (c command) cancelJob() *jobsvc.CancelJobRequest {
	return &jobsvc.CancelJobRequest{JobID: c.arg(0), Force: c.has("force"), ReasonCode: c.text("reason"), Comment: c.text("comment")}
}

func (c command) associate() *jobsvc.AssociateTargetsWithJobRequest {
	return &jobsvc.AssociateTargetsWithJobRequest{JobID: c.arg(0), Targets: c.targets()}
}

func (c command) cancelExecution() *jobsvc.CancelJobExecutionRequest {
	return &jobsvc.CancelJobExecutionRequest{ThingName: c.arg(0), JobID: c.arg(1), Force: c.has("force"), ExpectedVersion: c.number("expect"), StatusDetails: c.details()}
}

func (c command) deleteExecution() *jobsvc.DeleteJobExecutionRequest {
	return &jobsvc.DeleteJobExecutionRequest{ThingName: c.arg(0), JobID: c.arg(1), ExecutionNumber: mustInt(c.arg(2)), Force: c.has("force")}
}

func (c command) startNext() *jobsvc.StartNextPendingJobExecutionRequest {
	return &jobsvc.StartNextPendingJobExecutionRequest{ThingName: c.thing, StatusDetails: c.details(), StepTimeout: c.step()}
}

func (c command) update() *jobsvc.UpdateJobExecutionRequest {
	return &jobsvc.UpdateJobExecutionRequest{
		ThingName: c.thing, JobID: c.arg(0), NamespaceID: c.flag("namespace"), ExecutionNumber: c.number("number"),
		JobExecutionUpdate: jobsvc.JobExecutionUpdate{
			Status: jobsvc.JobExecutionStatus(c.arg(1)), StatusDetails: c.details(), ExpectedVersion: c.number("expect"), StepTimeout: c.step(),
		},
	}
}

func (c command) describe() *jobsvc.DescribeJobExecutionRequest {
	return &jobsvc.DescribeJobExecutionRequest{ThingName: c.thing, JobID: c.arg(0), NamespaceID: c.flag("namespace"), ExecutionNumber: c.number("number")}
}
