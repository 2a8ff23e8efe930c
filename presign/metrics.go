package presign

import "github.com/prometheus/client_golang/prometheus"

// metrics are by role, of those that are configured. They are made without a
// registerer too, and then never shown.
type metrics struct {
	failures *prometheus.CounterVec
	renewals *prometheus.CounterVec
	expiry   *prometheus.GaugeVec
}

// notConfigured stands for roles of jobs that the configuration does not have.
const notConfigured = "not configured"

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "thingjobs_presign_failures_total", Help: "Documents for devices that could not be signed, by role."}, []string{"role"}),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "thingjobs_presign_credential_renewals_total", Help: "Attempts to renew the temporary credentials of a role, by outcome."}, []string{"role", "outcome"}),
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "thingjobs_presign_credentials_expire_timestamp_seconds", Help: "When the temporary credentials of a role end."}, []string{"role"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.failures, m.renewals, m.expiry} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
