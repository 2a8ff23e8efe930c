package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// steadiness judges that a server stays as it is under a load that does: the last quarter of a run
// is compared with the first, in what the server says of itself and in what devices wait. Its
// methods are safe for concurrent use; a nil one does nothing.
type steadiness struct {
	metrics string // URL of the server's metrics, in Prometheus's text format

	mu       sync.Mutex // guards the rest
	begin    time.Time  // of the first quarter; zero before it
	length   time.Duration
	quarters [4]quarter
	unread   int // samples that could not be taken
	why      error
}

// quarter is what was seen in one.
type quarter struct {
	samples map[string][]float64
	latency map[string]*hdrhistogram.Histogram // in microseconds
}

// tolerance is how much a figure may grow from the first quarter to the last: to times as much, and
// so much more.
type tolerance struct{ times, plus float64 }

func (t tolerance) limit(first float64) float64 { return first*t.times + t.plus }

// gauge is a metric that is to stay flat.
type gauge struct {
	metric string
	check  string
	unit   string
	scale  float64 // from the metric to the unit
	tolerance
}

// gauges are what is judged of the server. The heap goes up and down with each collection: when the
// next one is due tells, free of that, what was in use after the last, times a constant.
var gauges = []gauge{
	{"process_resident_memory_bytes", checkMemory, "MiB", 1 << 20, tolerance{1.15, 32}},
	{"go_memstats_next_gc_bytes", checkMemory, "MiB", 1 << 20, tolerance{1.15, 32}},
	{"go_goroutines", checkGoroutines, "", 1, tolerance{1.05, 20}},
}

// driftTolerance is for the p99 of each kind of request, in milliseconds.
var driftTolerance = tolerance{1.5, 5}

// driftCount is how many requests of a kind a quarter must have for a p99 that means something.
const driftCount = 500

// trend is a figure at the begin and at the end.
type trend struct {
	What  string  `json:"what"`
	Unit  string  `json:"unit,omitempty"`
	First float64 `json:"firstQuarter"`
	Last  float64 `json:"lastQuarter"`
	Limit float64 `json:"limit"` // of the last
	check string
}

// OK reports whether the figure stayed within its limit.
func (t trend) OK() bool { return t.Last <= t.Limit }

func newSteadiness(metrics string) *steadiness {
	s := &steadiness{metrics: metrics}
	for i := range s.quarters {
		s.quarters[i] = quarter{make(map[string][]float64), make(map[string]*hdrhistogram.Histogram)}
	}
	return s
}

// start has the judged time begin.
func (s *steadiness) start(begin time.Time, length time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin, s.length = begin, length
}

// at returns the quarter of a time, nil for none. mu is held.
func (s *steadiness) at(t time.Time) *quarter {
	since := t.Sub(s.begin)
	if s.begin.IsZero() || since < 0 || since >= s.length {
		return nil
	}
	return &s.quarters[4*since/s.length]
}

// observe takes a latency.
func (s *steadiness) observe(at time.Time, name string, d time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.at(at)
	if q == nil {
		return
	}
	h := q.latency[name]
	if h == nil {
		h = newHistogram()
		q.latency[name] = h
	}
	record(h, d)
}

// watch samples the server's metrics until ctx ends.
func (s *steadiness) watch(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		values, err := scrape(ctx, s.metrics)
		if ctx.Err() != nil {
			return
		}
		s.sampled(time.Now(), values, err)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// sampled takes a sample, or why there is none.
func (s *steadiness) sampled(at time.Time, values map[string]float64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.unread++
		s.why = err
		return
	}
	if q := s.at(at); q != nil {
		for name, v := range values {
			q.samples[name] = append(q.samples[name], v)
		}
	}
}

// scrapeEvery is how often a run of a length is sampled: some 50 times a quarter.
func scrapeEvery(length time.Duration) time.Duration {
	return min(max(length/200, 100*time.Millisecond), 5*time.Second)
}

// scrape reads the gauges of a server. Those it does not have are missing.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to the end, or given up
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	values := make(map[string]float64)
	for _, g := range gauges {
		if v, ok := value(families[g.metric]); ok {
			values[g.metric] = v
		}
	}
	return values, nil
}

// value is that of a metric without labels.
func value(f *dto.MetricFamily) (float64, bool) {
	if f == nil || len(f.GetMetric()) == 0 {
		return 0, false
	}
	m := f.GetMetric()[0]
	if m.GetGauge() != nil {
		return m.GetGauge().GetValue(), true
	}
	return m.GetUntyped().GetValue(), m.GetUntyped() != nil
}

// trends compares the last quarter with the first.
func (s *steadiness) trends() (all []trend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, last := s.quarters[0], s.quarters[3]
	for _, g := range gauges {
		a, b := first.samples[g.metric], last.samples[g.metric]
		if len(a) == 0 || len(b) == 0 {
			continue
		}
		t := trend{What: g.metric, Unit: g.unit, First: median(a) / g.scale, Last: median(b) / g.scale, check: g.check}
		t.Limit = g.limit(t.First)
		all = append(all, t)
	}
	for _, name := range sortedKeys(first.latency) {
		a, b := first.latency[name], last.latency[name]
		if b == nil || min(a.TotalCount(), b.TotalCount()) < driftCount {
			continue
		}
		ms := func(h *hdrhistogram.Histogram) float64 { return float64(h.ValueAtQuantile(99)) / 1000 }
		t := trend{What: "p99 " + name, Unit: "ms", First: ms(a), Last: ms(b), check: checkDrift}
		t.Limit = driftTolerance.limit(t.First)
		all = append(all, t)
	}
	return all
}

// median of at least one sample.
func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// judge gives the verdicts. A server that tells nothing of itself has not stayed as it was.
func (s *steadiness) judge(v *verdicts) []trend {
	all := s.trends()
	judged := make(map[string]bool)
	for _, t := range all {
		judged[t.check] = true
		if t.OK() {
			v.passed(t.check, 1)
			continue
		}
		v.failed(t.check, "%s was %.1f %s in the first quarter and is %.1f in the last, more than %.1f", t.What, t.First, t.Unit, t.Last, t.Limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, check := range []string{checkMemory, checkGoroutines} {
		if !judged[check] {
			v.failed(check, "nothing of it in both quarters from %s: %v", s.metrics, s.why)
		}
	}
	if !judged[checkDrift] {
		v.failed(checkDrift, "no kind of request was made %d times in both quarters", driftCount)
	}
	return all
}
