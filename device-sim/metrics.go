package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// collector shows a recorder to Prometheus. The numbers are those of the report, so far.
type collector struct {
	rec      *recorder
	verdicts *verdicts // nil for none
}

var _ prometheus.Collector = collector{}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("device_sim_"+name, help, labels, nil)
}

var (
	descConnected     = desc("connected_devices", "Devices with a connection.")
	descConnections   = desc("connections_total", "Connections made and subscribed.")
	descNotifications = desc("notifications_total", "notify-next received.")
	descExecutions    = desc("executions_total", "Executions that are over, by how they ended.", "status")
	descRepeats       = desc("repeated_requests_total", "Requests sent again.")
	descLost          = desc("lost_replies_total", "Requests without a reply in time.")
	descErrors        = desc("errors_total", "Errors that devices went on after.")
	descBytes         = desc("downloaded_bytes_total", "Bytes of artefacts received.")
	descLatency       = desc("latency_seconds", "How long things took.", "what")
	descChecked       = desc("verdict_checks_total", "Judgements of a verdict.", "verdict")
	descFailed        = desc("verdict_failures_total", "Judgements that found something wrong.", "verdict")
)

func (c collector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

func (c collector) Collect(out chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	c.rec.mu.Lock()
	defer c.rec.mu.Unlock()
	r := &c.rec.report
	out <- prometheus.MustNewConstMetric(descConnected, prometheus.GaugeValue, float64(r.connected))
	count(descConnections, float64(r.Connections))
	count(descNotifications, float64(r.Notifications))
	for _, status := range []string{statusSucceeded, statusFailed, statusRejected, outcomeCanceled, outcomeSilent} {
		count(descExecutions, float64(r.Executions[status]), status)
	}
	count(descRepeats, float64(r.Repeats))
	count(descLost, float64(r.LostReplies))
	count(descErrors, float64(r.Errors))
	count(descBytes, float64(r.Bytes))
	for name, h := range c.rec.latency {
		quantiles := make(map[float64]float64)
		for _, q := range []float64{0.5, 0.9, 0.99, 0.999} {
			quantiles[q] = float64(h.ValueAtQuantile(q*100)) / 1e6
		}
		out <- prometheus.MustNewConstSummary(descLatency, uint64(h.TotalCount()), h.Mean()*float64(h.TotalCount())/1e6, quantiles, name)
	}
	for _, v := range c.verdicts.list() {
		count(descChecked, float64(v.Checked), v.Name)
		count(descFailed, float64(v.Failed), v.Name)
	}
}

// serveMetrics answers on l until ctx ends.
func serveMetrics(ctx context.Context, l net.Listener, c collector) error {
	registry := prometheus.NewRegistry()
	if err := registry.Register(c); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody waits for an answer then
	defer stop()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}
