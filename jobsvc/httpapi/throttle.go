package httpapi

import (
	"golang.org/x/time/rate"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

// newRates makes a limiter for each operation of the control plane that has a rate.
func newRates(perSecond func(operation string) float64) map[string]*rate.Limiter {
	rates := make(map[string]*rate.Limiter)
	if perSecond == nil {
		return rates
	}
	for operation := range iotHandlers {
		if r := perSecond(operation); r > 0 {
			rates[operation] = rate.NewLimiter(rate.Limit(r), max(1, int(r)))
		}
	}
	return rates
}

// throttle refuses a request of the control plane that is one too many. Errors:
// CodeThrottled. Those of devices are the engine's to count, with MQTT's.
func (a *api) throttle(c *call) error {
	if c.service != wire.ServiceIoT {
		return nil
	}
	if l := a.rates[c.operation]; l == nil || l.AllowN(a.Now(), 1) {
		return nil
	}
	return jobsvc.Errorf(jobsvc.CodeThrottled, "Rate exceeded.")
}
