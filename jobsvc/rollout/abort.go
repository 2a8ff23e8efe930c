package rollout

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Abort is a criterion that was met, with the counts that met it.
type Abort struct {
	jobsvc.AbortCriterion
	Failures, Executed int64
}

// ShouldAbort gives the first criterion that the executions of a job meet, nil when there
// is none. Executed are those that SUCCEEDED, FAILED, were REJECTED or TIMED_OUT, attempt
// by attempt; what was canceled or removed is not the devices' doing and in neither count.
//
// AWS: AbortConfig. Differs from the text of the service model, where the minimum is
// about things that were notified: the guide's "completed" is what it does.
func ShouldAbort(c *jobsvc.AbortConfig, d *jobsvc.JobProcessDetails) *Abort {
	if c == nil {
		return nil
	}
	executed := d.Succeeded + d.Failed + d.Rejected + d.TimedOut
	for _, x := range c.CriteriaList {
		failures := failuresOf(x.FailureType, d)
		if executed > 0 && executed >= x.MinNumberOfExecutedThings && atLeast(failures, executed, x.ThresholdPercentage) {
			return &Abort{x, failures, executed}
		}
	}
	return nil
}

func failuresOf(t jobsvc.FailureType, d *jobsvc.JobProcessDetails) int64 {
	switch t {
	case jobsvc.FailureFailed:
		return d.Failed
	case jobsvc.FailureRejected:
		return d.Rejected
	case jobsvc.FailureTimedOut:
		return d.TimedOut
	case jobsvc.FailureAll:
		return d.Failed + d.Rejected + d.TimedOut
	}
	return 0
}

// atLeast tells whether part is that many hundredths of a percent of whole, or more.
func atLeast(part, whole, hundredths int64) bool {
	a := new(big.Int).Mul(big.NewInt(part), big.NewInt(jobsvc.MaxThresholdPercentage))
	b := new(big.Int).Mul(big.NewInt(whole), big.NewInt(hundredths))
	return a.Cmp(b) >= 0
}

// String is the comment of a job that was aborted.
func (a *Abort) String() string {
	return fmt.Sprintf("Abort criterion %s >= %s%% met: %d of %d executed.", a.FailureType, percent(a.ThresholdPercentage), a.Failures, a.Executed)
}

// percent writes hundredths of a percent with as many decimals as it takes.
func percent(hundredths int64) string {
	s := strconv.FormatInt(hundredths/100, 10)
	if r := hundredths % 100; r != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%02d", r), "0")
	}
	return s
}
