package httpapi

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests by operation, of which there are a fixed number. Nil
// counts nothing.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec

	mu     sync.RWMutex
	series map[outcome]series // found before; guarded by mu
}

type outcome struct {
	operation string
	status    int
}

type series struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

func newMetrics(r prometheus.Registerer) *metrics {
	if r == nil {
		return nil
	}
	m := &metrics{
		series: make(map[outcome]series),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "thingjobs_http_requests_total",
			Help: "HTTP requests by AWS operation and status code.",
		}, []string{"operation", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "thingjobs_http_request_duration_seconds",
			Help:    "Time to answer an HTTP request by AWS operation.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}, []string{"operation"}),
	}
	r.MustRegister(m.requests, m.duration)
	return m
}

func (m *metrics) observe(operation string, status int, took time.Duration) {
	if m == nil {
		return
	}
	s := m.of(outcome{operation, status})
	s.requests.Inc()
	s.duration.Observe(took.Seconds())
}

func (m *metrics) of(o outcome) series {
	m.mu.RLock()
	s, ok := m.series[o]
	m.mu.RUnlock()
	if ok {
		return s
	}
	s = series{m.requests.WithLabelValues(o.operation, strconv.Itoa(o.status)), m.duration.WithLabelValues(o.operation)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.series[o] = s
	return s
}
