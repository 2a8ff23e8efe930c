package broker

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// metrics are made without a registerer too, and then never shown.
type metrics struct {
	connections   prometheus.Gauge
	requests      *prometheus.CounterVec
	latency       *prometheus.HistogramVec
	latencyOf     [opCount]prometheus.Observer // its children
	acceptedOf    [opCount]prometheus.Counter  // the children of requests for "accepted"
	denied        *prometheus.CounterVec
	notifications *prometheus.CounterVec
	events        *prometheus.CounterVec
	takeovers     prometheus.Counter
	panics        prometheus.Counter

	sessions        prometheus.Gauge
	sessionsResumed prometheus.Counter
	sessionsExpired prometheus.Counter
	sessionMessages *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "thingjobs_mqtt_connections", Help: "MQTT connections that are let in."}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "thingjobs_mqtt_requests_total", Help: "Device requests by operation and outcome, accepted or the code."}, []string{"op", "outcome"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "thingjobs_mqtt_request_seconds", Help: "From reading a request to writing its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12)}, []string{"op"}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "thingjobs_mqtt_denied_total", Help: "Connections, publishes and subscriptions refused, by what was refused."}, []string{"what"}),
		notifications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "thingjobs_mqtt_notifications_total", Help: "Notifications by kind and outcome."}, []string{"kind", "outcome"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "thingjobs_mqtt_events_total", Help: "Events handed to subscribers, by outcome; waiting and busy are tried again."}, []string{"outcome"}),
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "thingjobs_mqtt_takeovers_total", Help: "Connections ended because their client ID connected again."}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "thingjobs_mqtt_panics_total", Help: "Panics caught while serving a connection."}),
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "thingjobs_mqtt_sessions", Help: "Persistent sessions in the store, those with a connection included. Counted anew every minute or less often."}),
		sessionsResumed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "thingjobs_mqtt_sessions_resumed_total", Help: "Persistent sessions that a CONNECT resumed."}),
		sessionsExpired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "thingjobs_mqtt_sessions_expired_total", Help: "Persistent sessions removed because nobody came back in time."}),
		sessionMessages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "thingjobs_mqtt_session_messages_total", Help: "Notifications due while a session had no connection, when it resumed: delivered, or superseded by a newer one and dropped."}, []string{"outcome"}),
	}
	for op := range opCount {
		m.latencyOf[op] = m.latency.WithLabelValues(op.String())
		m.acceptedOf[op] = m.requests.WithLabelValues(op.String(), "accepted")
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.connections, m.requests, m.latency, m.denied, m.notifications, m.events, m.takeovers, m.panics,
		m.sessions, m.sessionsResumed, m.sessionsExpired, m.sessionMessages} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// denial is what is known about something refused.
type denial struct {
	client, certificate, addr, topic, reason, suggestion string
	things                                               []string
}

// denials counts what is refused and logs it, at a bounded rate: a fleet with a
// wrong configuration repeats itself.
type denials struct {
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	ring    denialRing

	mu      sync.Mutex
	tokens  float64
	at      time.Time
	skipped int
}

const (
	denialBurst     = 20
	denialPerSecond = 5
)

// note records a refusal; what is one of a few words, for the metric.
func (d *denials) note(what string, n denial) {
	d.count(what, n)
	skipped, ok := d.allow(time.Now())
	if !ok {
		return
	}
	attrs := []any{"what", what, "reason", n.reason}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, key, value)
		}
	}
	add("client", n.client)
	if len(n.things) == 1 {
		add("thing", n.things[0])
	}
	add("topic", n.topic)
	add("suggestion", n.suggestion)
	add("certificate", n.certificate)
	add("addr", n.addr)
	if skipped > 0 {
		attrs = append(attrs, "unlogged", skipped)
	}
	d.log.Warn("denied", attrs...)
}

// count records a refusal without logging it.
func (d *denials) count(what string, n denial) {
	d.metrics.denied.WithLabelValues(what).Inc()
	d.ring.add(jobsvc.Denial{
		What: what, ClientID: clip(n.client), CertificateID: n.certificate, Address: n.addr, Things: n.things,
		Topic: n.topic, Reason: n.reason, Suggestion: n.suggestion, Last: d.now(),
	})
}

func (d *denials) allow(now time.Time) (skipped int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at.IsZero() {
		d.tokens = denialBurst
	}
	d.tokens = min(denialBurst, d.tokens+now.Sub(d.at).Seconds()*denialPerSecond)
	d.at = now
	if d.tokens < 1 {
		d.skipped++
		return 0, false
	}
	d.tokens--
	skipped, d.skipped = d.skipped, 0
	return skipped, true
}
