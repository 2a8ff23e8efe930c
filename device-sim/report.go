package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// maxFailures bounds the list of devices that did not end as they should; NotOK counts them all.
const maxFailures = 100

// report is the last line of the --json output.
type report struct {
	Event         string               `json:"event"` // "report"
	Time          time.Time            `json:"time"`
	Seconds       float64              `json:"seconds"`
	Seed          int64                `json:"seed"`
	Devices       int                  `json:"devices"`
	OK            int                  `json:"devicesOk"`    // devices that ended as they should
	NotOK         int                  `json:"devicesNotOk"` // devices that did not
	Executions    map[string]int       `json:"executions"`
	Unintended    int                  `json:"unintended"` // executions that ended differently from what was drawn
	Connections   int                  `json:"connections"`
	Notifications int                  `json:"notifications"`
	Downloads     int                  `json:"downloads"`         // completed
	Verified      int                  `json:"verifiedDownloads"` // of them, with the right SHA-256
	NoArtefact    int                  `json:"noArtefact"`        // executions whose document names nothing to download
	Bytes         int64                `json:"bytes"`             // received, repeated ones included
	RangeResumes  int                  `json:"rangeResumes"`      // downloads continued in the middle
	FreshURLs     int                  `json:"freshUrls"`         // documents asked for again after a 403
	Repeats       int                  `json:"repeats"`           // requests sent again
	LostReplies   int                  `json:"lostReplies"`       // requests without a reply in time
	Unmatched     int                  `json:"unmatched"`         // replies nobody waited for: duplicates, or late
	Errors        int                  `json:"errors"`            // error events
	Latency       map[string]quantiles `json:"latencyMs"`
	Failures      []failure            `json:"failures"`
	Verdicts      []verdict            `json:"verdicts,omitempty"`
	Steady        []trend              `json:"steady,omitempty"` // with --server-metrics

	connected int // devices with a connection, now
	working   int // executions at work, now
	untold    int // of them, those of devices without notifications
	told      int // executions in the last notify of each device
}

// broken reports whether a verdict failed.
func (r report) broken() bool {
	return slices.ContainsFunc(r.Verdicts, verdict.broken)
}

// quantiles of a latency, in milliseconds.
type quantiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// failure tells why a device did not end as it should.
type failure struct {
	Thing  string `json:"thing"`
	Reason string `json:"reason"`
}

// summary prints the report for people.
func (r report) summary(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d devices in %.1f s: %d ended as they should, %d did not\n", r.Devices, r.Seconds, r.OK, r.NotOK)
	fmt.Fprintf(&b, "executions:")
	for _, status := range slices.Sorted(maps.Keys(r.Executions)) {
		fmt.Fprintf(&b, " %d %s", r.Executions[status], status)
	}
	if len(r.Executions) == 0 {
		fmt.Fprintf(&b, " none")
	}
	fmt.Fprintf(&b, "\ndownloads: %d, %d verified, %d bytes", r.Downloads, r.Verified, r.Bytes)
	if r.RangeResumes > 0 {
		fmt.Fprintf(&b, ", %d resumed", r.RangeResumes)
	}
	if r.FreshURLs > 0 {
		fmt.Fprintf(&b, ", %d fresh URLs", r.FreshURLs)
	}
	fmt.Fprintf(&b, "\nconnections: %d, notifications: %d", r.Connections, r.Notifications)
	if r.Repeats > 0 {
		fmt.Fprintf(&b, ", repeated requests: %d", r.Repeats)
	}
	if r.Unmatched > 0 {
		fmt.Fprintf(&b, ", replies too many or too late: %d", r.Unmatched)
	}
	b.WriteString("\n\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "ms\tcount\tp50\tp99\tmax\t")
	for _, name := range slices.Sorted(maps.Keys(r.Latency)) {
		q := r.Latency[name]
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%.1f\t\n", name, q.Count, q.P50, q.P99, q.Max)
	}
	_ = t.Flush() // into memory
	printVerdicts(&b, r.Steady, r.Verdicts)
	if len(r.Failures) > 0 {
		b.WriteString("\n")
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "%s: %s\n", f.Thing, f.Reason)
	}
	if more := r.NotOK - len(r.Failures); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printVerdicts prints what was judged: the trends of a long run, then the verdicts.
func printVerdicts(b *strings.Builder, steady []trend, all []verdict) {
	if len(steady) > 0 {
		b.WriteString("\n")
		t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "\tfirst quarter\tlast quarter\tat most\t")
		for _, s := range steady {
			fmt.Fprintf(t, "%s %s\t%.1f\t%.1f\t%.1f\t\n", s.What, s.Unit, s.First, s.Last, s.Limit)
		}
		_ = t.Flush() // into memory
	}
	if len(all) > 0 {
		b.WriteString("\n")
	}
	for _, v := range all {
		fmt.Fprintln(b, v)
		for _, e := range v.Examples {
			fmt.Fprintf(b, "    %s\n", e)
		}
	}
}
