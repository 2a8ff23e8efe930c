package main

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// assertion is a sentence of a scenario about how a run ends, such as
//
//	succeeded >= 95%
//	p99 start-next < 500ms
//	lost-replies == 0
type assertion struct {
	text    string
	subject string        // a count, or what a latency is of
	rank    float64       // percentile; 0 for a count
	op      string        // < <= == >= >
	percent bool          // of the executions
	value   float64       // of a count
	within  time.Duration // of a latency
}

var assertionPattern = regexp.MustCompile(`^(?:(p[0-9]{1,2}(?:\.[0-9]+)?|max) +)?([a-z-]+) *(<=|>=|==|<|>) *([0-9.]+)(%|[a-zµ]+)?$`)

// counts are the subjects of assertions that are numbers.
var counts = map[string]func(report) float64{
	"succeeded":    func(r report) float64 { return float64(r.Executions[statusSucceeded]) },
	"failed":       func(r report) float64 { return float64(r.Executions[statusFailed]) },
	"rejected":     func(r report) float64 { return float64(r.Executions[statusRejected]) },
	"canceled":     func(r report) float64 { return float64(r.Executions[outcomeCanceled]) },
	"unanswered":   func(r report) float64 { return float64(r.Executions[outcomeSilent]) },
	"executions":   func(r report) float64 { return float64(r.all()) },
	"unintended":   func(r report) float64 { return float64(r.Unintended) },
	"connections":  func(r report) float64 { return float64(r.Connections) },
	"lost-replies": func(r report) float64 { return float64(r.LostReplies) },
	"unmatched":    func(r report) float64 { return float64(r.Unmatched) },
	"errors":       func(r report) float64 { return float64(r.Errors) },
	"devices-ok":   func(r report) float64 { return float64(r.OK) },
}

// all counts the executions that are over.
func (r report) all() (n int) {
	for _, v := range r.Executions {
		n += v
	}
	return n
}

// UnmarshalText reads the sentence.
func (a *assertion) UnmarshalText(text []byte) error {
	m := assertionPattern.FindStringSubmatch(string(text))
	if m == nil {
		return fmt.Errorf("assertion %q is not like \"succeeded >= 95%%\" or \"p99 start-next < 500ms\"", text)
	}
	*a = assertion{text: string(text), subject: m[2], op: m[3], percent: m[5] == "%"}
	var err error
	if m[1] != "" {
		a.rank = 100
		if m[1] != "max" {
			a.rank, err = strconv.ParseFloat(m[1][1:], 64)
		}
		if err == nil {
			a.within, err = time.ParseDuration(m[4] + m[5])
		}
		if err != nil || a.rank <= 0 {
			return fmt.Errorf("assertion %q: a latency is compared with a time, such as 500ms", text)
		}
		return nil
	}
	if counts[a.subject] == nil || m[5] != "" && m[5] != "%" {
		return fmt.Errorf("assertion %q: %q is nothing that is counted", text, a.subject+" "+m[5])
	}
	if a.value, err = strconv.ParseFloat(m[4], 64); err != nil {
		return fmt.Errorf("assertion %q: %w", text, err)
	}
	return nil
}

// holds judges a run. got is what the assertion is about; a run that has nothing of it does not
// hold.
func (a assertion) holds(r report, latency func(name string, rank float64) (time.Duration, bool)) (ok bool, got string) {
	if a.rank > 0 {
		d, any := latency(a.subject, a.rank)
		if !any {
			return false, "nothing measured"
		}
		return a.compare(float64(d), float64(a.within)), d.String()
	}
	n := counts[a.subject](r)
	if !a.percent {
		return a.compare(n, a.value), fmt.Sprint(n)
	}
	if r.all() == 0 {
		return false, "no executions"
	}
	share := n * 100 / float64(r.all())
	return a.compare(share, a.value), fmt.Sprintf("%.2f%%", share)
}

func (a assertion) compare(got, want float64) bool {
	switch a.op {
	case "<":
		return got < want
	case "<=":
		return got <= want
	case "==":
		return got == want
	case ">=":
		return got >= want
	}
	return got > want
}
