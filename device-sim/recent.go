package main

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// recentSpan is how long latencies are recent: so long at least, and twice that at most.
const recentSpan = 5 * time.Second

// recents are the latencies of the last seconds, by what they are of. The zero value is ready.
type recents struct {
	begin   time.Time // of before
	turned  time.Time // begin of current
	current map[string]*hdrhistogram.Histogram
	before  map[string]*hdrhistogram.Histogram
}

// turn makes what was current the time before, if it is old enough.
func (r *recents) turn(now time.Time) {
	if r.turned.IsZero() {
		r.begin, r.turned = now, now
	}
	if r.current == nil {
		r.current = make(map[string]*hdrhistogram.Histogram)
	}
	if now.Sub(r.turned) < recentSpan {
		return
	}
	r.begin, r.before = r.turned, r.current
	r.turned, r.current = now, make(map[string]*hdrhistogram.Histogram)
}

// add takes a latency.
func (r *recents) add(now time.Time, name string, d time.Duration) {
	r.turn(now)
	h := r.current[name]
	if h == nil {
		h = newHistogram()
		r.current[name] = h
	}
	record(h, d)
}

// allRequests is the row of all requests together.
const allRequests = "all"

// rows are what the view shows of kinds of requests, and of all of them but connecting and
// downloading, which are none.
func (r *recents) rows(now time.Time, totals map[string]*hdrhistogram.Histogram) []requestRow {
	r.turn(now)
	span := max(now.Sub(r.begin), time.Second).Seconds()
	all := newHistogram()
	var count int64
	row := func(name string, h *hdrhistogram.Histogram, total int64) requestRow {
		us := func(v int64) time.Duration { return time.Duration(v) * time.Microsecond }
		return requestRow{name: name, rate: float64(h.TotalCount()) / span, p50: us(h.ValueAtQuantile(50)), p99: us(h.ValueAtQuantile(99)), max: us(h.Max()), total: total}
	}
	var rows []requestRow
	for _, name := range sortedKeys(totals) {
		h := newHistogram()
		for _, part := range []*hdrhistogram.Histogram{r.before[name], r.current[name]} {
			if part != nil {
				h.Merge(part)
			}
		}
		rows = append(rows, row(name, h, totals[name].TotalCount()))
		if name != "connect" && name != "download" {
			all.Merge(h)
			count += totals[name].TotalCount()
		}
	}
	return append(rows, row(allRequests, all, count))
}
