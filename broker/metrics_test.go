package broker

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewRegistry()
		e := &fakeEngine{}
		b := startBroker(t, e, func(o *Options) { o.Registerer = r })
		d := pump(t, b, e, 5)
		d.publish(jobs+"get", "", 0)
		d.published()
		d.publish(jobs+"get", "x", 0)
		d.published()
		d.publish(jobs+"notify", "", 0)
		d.quiet()
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, f := range families {
			for _, m := range f.Metric {
				var labels []string
				for _, l := range m.Label {
					labels = append(labels, l.GetValue())
				}
				fmt.Fprintf(&got, "%s%q %v %d\n", f.GetName(), labels, m.GetCounter().GetValue()+m.GetGauge().GetValue(), m.GetHistogram().GetSampleCount())
			}
		}
		contains(t, got.String(),
			`thingjobs_mqtt_connections[] 1 0`,
			`thingjobs_mqtt_requests_total["get" "accepted"] 1 0`,
			`thingjobs_mqtt_requests_total["get" "InvalidJson"] 1 0`,
			`thingjobs_mqtt_request_seconds["get"] 0 2`,
			`thingjobs_mqtt_denied_total["publish"] 1 0`)
		if strings.Contains(got.String(), "pump-1") {
			t.Error("a thing is a label")
		}
		if _, err := newBroker(e, Options{Registerer: r}); err == nil {
			t.Error("registered twice")
		}
	})
}

// A fleet with a wrong configuration must not fill the disk with its refusals.
func TestDenialsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		d := &denials{log: slog.New(slog.NewTextHandler(&log, nil)), metrics: m, now: time.Now}
		for range 1000 {
			d.note("publish", denial{client: "c", things: []string{"pump-1"}, topic: "x", reason: "because"})
		}
		if n := strings.Count(log.String(), "\n"); n != denialBurst {
			t.Errorf("%d lines", n)
		}
		contains(t, log.String(), `msg=denied what=publish reason=because client=c thing=pump-1 topic=x`)
		<-time.After(time.Second)
		log.Reset()
		d.note("publish", denial{})
		contains(t, log.String(), "unlogged=980")
	})
}
