package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// event is one line of the --json output. Members without a value are left out.
type event struct {
	Event     string    `json:"event"`
	Time      time.Time `json:"time"`
	Thing     string    `json:"thing,omitempty"`
	Job       string    `json:"job,omitempty"`
	Execution int64     `json:"execution,omitempty"` // executionNumber
	Status    string    `json:"status,omitempty"`
	Step      string    `json:"step,omitempty"`
	Percent   *int      `json:"percent,omitempty"`
	Bytes     int64     `json:"bytes,omitempty"`
	Resumed   bool      `json:"resumed,omitempty"`  // started: was IN_PROGRESS with details before
	Verified  bool      `json:"verified,omitempty"` // downloaded: the SHA-256 is the document's
	Millis    float64   `json:"ms,omitempty"`       // finished: since started
	OK        *bool     `json:"ok,omitempty"`       // ended
	Reason    string    `json:"reason,omitempty"`
}

// The events of a device, in the order they usually come.
const (
	evConnected  = "connected"  // subscribed to notify-next: from here on no notification is missed
	evNotified   = "notified"   // a notify-next was received; time is that of the receipt
	evStarted    = "started"    // start-next brought an execution not seen before
	evProgress   = "progress"   // a progress report was accepted, or a download went on after a break
	evDownloaded = "downloaded" // the artefact is complete
	evFinished   = "finished"   // the execution is over for the device
	evError      = "error"      // something went wrong, and the device goes on
	evEnded      = "ended"      // the device has disconnected; ok tells how it ended
)

// outcomeCanceled counts executions taken away from the device before it could report.
const outcomeCanceled = "CANCELED"

// recorder collects what devices do, for the event stream and the report. Its methods are safe for
// concurrent use.
type recorder struct {
	now     func() time.Time
	started time.Time

	mu       sync.Mutex    // guards the rest, and keeps lines whole
	recent   *recents      // likewise
	steady   *steadiness   // told of each latency; nil for nobody
	arrivals chan struct{} // closed and made anew when a device connects for the first time
	present  int           // devices that have
	lines    *json.Encoder
	closed   bool // the report is out; what comes after it is dropped
	lineErr  error
	report   report
	samples  []sample
	latency  map[string]*hdrhistogram.Histogram // in microseconds
	events   func(event)                        // likewise, for each event; nil for nobody
}

// maxLatency is the largest latency told apart; longer ones count as this.
const maxLatency = time.Hour

// newRecorder writes events to lines unless it is nil.
func newRecorder(lines io.Writer) *recorder {
	r := &recorder{
		now:      time.Now,
		arrivals: make(chan struct{}),
		latency:  make(map[string]*hdrhistogram.Histogram),
		started:  time.Now(),
		report:   report{Event: "report", Executions: make(map[string]int)},
	}
	if lines != nil {
		r.lines = json.NewEncoder(lines)
		r.lines.SetEscapeHTML(false)
	}
	return r
}

// emit records an event; a zero time becomes the current one.
func (r *recorder) emit(e event) {
	if e.Time.IsZero() {
		e.Time = r.now()
	}
	e.Time = e.Time.UTC()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.count(e)
	if r.events != nil {
		r.events(e)
	}
	if r.lines == nil {
		return
	}
	if err := r.lines.Encode(e); err != nil && r.lineErr == nil {
		r.lineErr = err
	}
}

func (r *recorder) count(e event) {
	switch e.Event {
	case evConnected:
		r.report.Connections++
	case evNotified:
		r.report.Notifications++
	case evDownloaded:
		r.report.Downloads++
		if e.Verified {
			r.report.Verified++
		}
	case evFinished:
		r.report.Executions[e.Status]++
	case evError:
		r.report.Errors++
	case evEnded:
		r.report.Devices++
		if *e.OK {
			r.report.OK++
			return
		}
		r.report.NotOK++
		if len(r.report.Failures) < maxFailures {
			r.report.Failures = append(r.report.Failures, failure{e.Thing, e.Reason})
		}
	}
}

// arrived counts a device that is connected for the first time.
func (r *recorder) arrived() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.present++
	close(r.arrivals)
	r.arrivals = make(chan struct{})
}

// everyone waits until n devices have been connected. The error is ctx's.
func (r *recorder) everyone(ctx context.Context, n int) error {
	for {
		r.mu.Lock()
		present, more := r.present, r.arrivals
		r.mu.Unlock()
		if present >= n {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// add changes one of the plain counters of the report.
func (r *recorder) add(change func(*report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.report)
}

// observe records how long something took.
func (r *recorder) observe(name string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.latency[name]
	if h == nil {
		h = newHistogram()
		r.latency[name] = h
	}
	record(h, d)
	now := r.now()
	r.steady.observe(now, name, d)
	if r.recent != nil {
		r.recent.add(now, name, d)
	}
}

// newHistogram is for latencies in microseconds, to three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), 3)
}

// record adds a latency.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d, time.Microsecond), maxLatency).Microseconds()) // in range, so it cannot fail
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// close ends the event stream with the report and returns it. The error is the first one met in
// writing the stream.
func (r *recorder) close(s settings) (report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	rep := r.report
	rep.Time = r.now().UTC()
	rep.Seconds = rep.Time.Sub(r.started).Seconds()
	rep.Seed = s.seed
	if rep.Failures == nil {
		rep.Failures = []failure{} // an empty list, not null
	}
	rep.Latency = make(map[string]quantiles)
	for _, name := range slices.Sorted(maps.Keys(r.latency)) {
		h := r.latency[name]
		ms := func(us int64) float64 { return float64(us) / 1000 }
		rep.Latency[name] = quantiles{
			Count: h.TotalCount(),
			P50:   ms(h.ValueAtQuantile(50)),
			P99:   ms(h.ValueAtQuantile(99)),
			Max:   ms(h.Max()),
		}
	}
	rep.Verdicts = s.judged(&rep, r.quantile)
	if r.lines != nil && r.lineErr == nil {
		r.lineErr = r.lines.Encode(rep)
	}
	return rep, r.lineErr
}

// quantile returns a latency; ok is false if nothing was measured. mu is held.
func (r *recorder) quantile(name string, rank float64) (d time.Duration, ok bool) {
	h := r.latency[name]
	if h == nil {
		return 0, false
	}
	return time.Duration(h.ValueAtQuantile(rank)) * time.Microsecond, true
}

// judged returns the verdicts of a run, its assertions among them.
func (s settings) judged(rep *report, latency func(string, float64) (time.Duration, bool)) []verdict {
	if len(s.assertions) == 0 && s.steady == nil {
		return s.verdicts.list()
	}
	v := s.verdicts
	if v == nil {
		v = &verdicts{}
	}
	if s.steady != nil {
		rep.Steady = s.steady.judge(v)
	}
	for _, a := range s.assertions {
		if ok, got := a.holds(*rep, latency); ok {
			v.passed(checkAsserts, 1)
		} else {
			v.failed(checkAsserts, "%s: it is %s", a.text, got)
		}
	}
	return v.list()
}
