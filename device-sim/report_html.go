package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

//go:embed report.html.tmpl
var reportTemplate string

// sample is what a fleet had come to at a time.
type sample struct {
	at        time.Duration
	connected int
	ended     map[string]int // executions, by how
}

// maxSamples bounds the samples of a run: with more, every second one is dropped.
const maxSamples = 1000

// sample takes one.
func (r *recorder) sample(at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.samples) >= maxSamples {
		for i := range maxSamples / 2 {
			r.samples[i] = r.samples[2*i]
		}
		r.samples = r.samples[:maxSamples/2]
	}
	r.samples = append(r.samples, sample{at, r.report.connected, maps.Clone(r.report.Executions)})
}

// watch samples until ctx ends, and then once more.
func (r *recorder) watch(ctx context.Context) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		r.sample(time.Since(r.started))
		select {
		case <-t.C:
		case <-ctx.Done():
			r.sample(time.Since(r.started))
			return
		}
	}
}

// plotLine is a line of the plot over time.
type plotLine struct {
	Name, Color, Points string
	Last, X             int
}

// plotBars is a histogram over a logarithmic axis of time.
type plotBars struct {
	Name, From, To string
	quantiles
	Bars []plotBar
}

type plotBar struct {
	X, Y, W, H float64
	Title      string
}

// html writes the report as a page that needs nothing else.
func (r report) html(file string, samples []sample, latency map[string]*hdrhistogram.Histogram) error {
	t, err := template.New("report").Parse(reportTemplate)
	if err != nil {
		return err
	}
	page := struct {
		report
		Broken bool
		Lines  []plotLine
		Bars   []plotBars
	}{report: r, Broken: r.broken(), Lines: plotLines(samples)}
	for _, name := range slices.Sorted(maps.Keys(latency)) {
		page.Bars = append(page.Bars, plotHistogram(name, latency[name], r.Latency[name]))
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// plotLines draws the samples into 800 by 240.
func plotLines(samples []sample) []plotLine {
	lines := []plotLine{{Name: "connected", Color: "#888"}, {Name: statusSucceeded, Color: "#1b6e2e"}, {Name: statusFailed, Color: "#b00020"},
		{Name: statusRejected, Color: "#c77700"}, {Name: outcomeCanceled, Color: "#6a3d9a"}, {Name: outcomeSilent, Color: "#222"}}
	value := func(s sample, name string) int {
		if name == "connected" {
			return s.connected
		}
		return s.ended[name]
	}
	top, end := 1, time.Duration(1)
	for _, s := range samples {
		end = max(end, s.at)
		for _, l := range lines {
			top = max(top, value(s, l.Name))
		}
	}
	for i := range lines {
		l := &lines[i]
		var points strings.Builder
		for _, s := range samples {
			l.Last = value(s, l.Name)
			fmt.Fprintf(&points, "%.1f,%.1f ", 800*float64(s.at)/float64(end), 220-200*float64(l.Last)/float64(top))
		}
		l.Points, l.X = points.String(), 4+i*132
	}
	return lines
}

// plotHistogram draws a histogram into 800 by 140, ten bars to a decade.
func plotHistogram(name string, h *hdrhistogram.Histogram, q quantiles) plotBars {
	bucket := func(us int64) int { return int(math.Floor(math.Log10(float64(max(us, 1))) * 10)) }
	first, last := bucket(h.Min()), bucket(h.Max())
	counts := make([]int64, last-first+1)
	for _, b := range h.Distribution() {
		if b.Count > 0 {
			counts[min(max(bucket(b.To)-first, 0), len(counts)-1)] += b.Count
		}
	}
	edge := func(i int) string {
		return time.Duration(math.Pow(10, float64(i)/10) * 1000).Round(time.Microsecond).String()
	}
	p := plotBars{Name: name, quantiles: q, From: edge(first), To: edge(last + 1)}
	width := 800 / float64(len(counts))
	for i, n := range counts {
		height := 115 * float64(n) / float64(max(slices.Max(counts), 1))
		p.Bars = append(p.Bars, plotBar{float64(i) * width, 120 - height, max(width-1, 1), height, fmt.Sprintf("%s to %s: %d", edge(first+i), edge(first+i+1), n)})
	}
	return p
}
