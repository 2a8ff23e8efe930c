package httpapi_test

import (
	"testing"
	"time"
)

func TestThrottle(t *testing.T) {
	now := time.Now()
	o := options()
	o.NoSignatures, o.Now = true, func() time.Time { return now }
	o.PerSecond = func(operation string) float64 { return map[string]float64{"DescribeEndpoint": 2}[operation] }
	srv := serve(t, o)
	get := func() answer {
		return request{method: "GET", target: "/endpoint", unsigned: true}.do(t, srv.Client(), srv.URL)
	}
	for range 2 {
		if got := get(); got.status != 200 {
			t.Errorf("%d %s", got.status, got.message)
		}
	}
	if got := get(); got.status != 400 || got.errType != "ThrottlingException" || got.message != "Rate exceeded." {
		t.Errorf("the third: %d %s %q", got.status, got.errType, got.message)
	}
	now = now.Add(500 * time.Millisecond)
	if got := get(); got.status != 200 {
		t.Errorf("half a second later: %d %s", got.status, got.message)
	}
}
