package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func TestThingTypeDeleteDelay(t *testing.T) {
	w := newWorld(t)
	w.limits = new(jobsvc.AWSLimits())
	w.open()
	_, err := w.CreateThingType(w.ctx, &jobsvc.CreateThingTypeRequest{Name: "pump"})
	w.must(err)
	w.must(w.DeprecateThingType(w.ctx, "pump", false))
	err = w.DeleteThingType(w.ctx, "pump")
	w.code(jobsvc.CodeInvalidRequest, err)
	if !strings.Contains(err.Error(), "5m0s") {
		t.Errorf("it does not say how long: %v", err)
	}
	w.advance(5 * time.Minute)
	w.must(w.DeleteThingType(w.ctx, "pump"))
	w.code(jobsvc.CodeNotFound, w.DeleteThingType(w.ctx, "pump"))
}
