package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestMetrics asks for the metrics in the middle of a run, and reads the page after it.
func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 1000)
	for _, thing := range b.things {
		b.create(thing, "fw", b.store.document)
	}
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var (
		finished int
		asking   sync.WaitGroup
		metrics  string
	)
	// Asked beside the reading of events: an event that nobody reads holds up the numbers, too.
	ask := func() {
		defer stop()
		resp, err := http.Get("http://" + addr + "/metrics")
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		metrics = string(must(io.ReadAll(resp.Body)))
	}
	res := b.runContext(ctx, t, func(e event) {
		if e.Event != evFinished {
			return
		}
		if finished++; finished == 2 {
			asking.Go(ask)
		}
	}, "--metrics", addr, "--report", file, "--duration", "1m")
	asking.Wait()
	res.wantStatus(t, exitOK)
	for _, want := range []string{"device_sim_connected_devices 2", `device_sim_latency_seconds{what="start-next",quantile="0.99"}`,
		`device_sim_executions_total{status="SUCCEEDED"}`, `device_sim_verdict_failures_total{verdict="versions"} 0`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not have %q:\n%s", want, metrics)
		}
	}
	page := string(must(os.ReadFile(file)))
	d := xml.NewDecoder(strings.NewReader(strings.Replace(page, `<meta charset="utf-8">`, "", 1)))
	d.Strict, d.Entity = false, xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
	}
	for _, want := range []string{"SUCCEEDED: 2", "Histogram of start-next", "<td>versions</td>", ">passed<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
}
