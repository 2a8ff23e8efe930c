package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// loadReport is the output of the load mode.
type loadReport struct {
	Event           string         `json:"event"`     // "load"
	Devices         int            `json:"devices"`   // that offered the load
	Connected       int            `json:"connected"` // with those that had nothing to report on
	Seconds         float64        `json:"seconds"`
	Rate            float64        `json:"rate"` // offered, a second
	Request         string         `json:"request"`
	Sent            int            `json:"sent"`
	Answered        int            `json:"answered"`
	Unanswered      int            `json:"unanswered"`
	Refused         map[string]int `json:"refused"` // of the answered, by code
	Overrun         int            `json:"overrun"` // due, and could not be sent
	LostConnections int            `json:"lostConnections"`

	Latency spread `json:"latencyMs"` // from when a request was due: what a device waits
	Service spread `json:"serviceMs"` // from when it was sent: what a closed loop would have told
	Lag     spread `json:"lagMs"`     // from due to sent: how far this program was behind

	Verdicts []verdict `json:"verdicts,omitempty"` // with --server-metrics
	Steady   []trend   `json:"steady,omitempty"`
}

// spread is a distribution of times, in milliseconds.
type spread struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

func percentiles(h *hdrhistogram.Histogram) spread {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return spread{at(50), at(90), at(99), at(99.9), float64(h.Max()) / 1000}
}

// failed reports whether the load was not carried.
func (r loadReport) failed() bool {
	return r.Unanswered > 0 || r.Overrun > 0 || len(r.Refused) > 0 || r.LostConnections > 0 || r.Answered == 0
}

// summary prints the report for people.
func (r loadReport) summary(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %d of %d devices, %.0f/s for %.0f s: %d sent, %.0f/s answered\n",
		r.Request, r.Devices, r.Connected, r.Rate, r.Seconds, r.Sent, float64(r.Answered)/r.Seconds)
	if r.failed() {
		fmt.Fprintf(&b, "NOT CARRIED: %d unanswered, %d never sent, %d connections lost, refused %v\n", r.Unanswered, r.Overrun, r.LostConnections, r.Refused)
	}
	b.WriteString("\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "ms\tp50\tp90\tp99\tp99.9\tmax\t")
	for _, row := range []struct {
		name string
		spread
	}{{"latency from due", r.Latency}, {"from sent", r.Service}, {"due to sent", r.Lag}} {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", row.name, row.P50, row.P90, row.P99, row.P999, row.Max)
	}
	_ = t.Flush() // into memory
	if r.Lag.P99 > r.Service.P99/2 && r.Lag.P99 > 5 {
		b.WriteString("\nThis program was behind for much of it: the figures are also its own. Offer less, or from more hosts.\n")
	}
	printVerdicts(&b, r.Steady, r.Verdicts)
	_, err := io.WriteString(w, b.String())
	return err
}

// frame is what the live view of a load shows now.
func (l *load) frame() frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	refused := 0
	for _, n := range l.codes {
		refused += n
	}
	answered := int(l.latency.TotalCount())
	f := frame{
		title:     fmt.Sprintf("device-sim load  %s  %.0f/s", l.Request, l.Rate),
		connected: len(l.sources) - l.lost,
		devices:   len(l.sources),
		cells: []cell{{"sent", l.sent}, {"answered", answered}, {"waiting", l.sent - answered}, {"refused", refused},
			{"never sent", int(l.overrun.Load())}, {"lost", l.lost}},
		requests: l.recent.rows(now, map[string]*hdrhistogram.Histogram{l.Request: l.latency}),
	}
	begin := l.counted.Add(-l.Warmup)
	if l.counted.IsZero() {
		begin = now
	}
	f.elapsed = now.Sub(begin)
	f.left = timeLeft(f.elapsed, l.Warmup+l.Duration, 0, 0, 0)
	return f
}
