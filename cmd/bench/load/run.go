package load

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// Result is what a run of load saw.
type Result struct {
	Ops     int64
	Elapsed time.Duration
	Latency *hdrhistogram.Histogram // of each operation, in microseconds
}

// Rate is in operations a second.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Ops) / r.Elapsed.Seconds()
}

// Quantile is a latency; q is a percentage.
func (r *Result) Quantile(q float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(q)) * time.Microsecond
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (2 * time.Minute).Microseconds(), 3)
}

// Op does one request with a device. ErrDone means that the device has none left.
type Op func(d *Device) error

// ErrDone ends a device's part of a run.
var ErrDone = errors.New("nothing left to do")

// Closed runs a closed loop for a time, or with duration 0 until every device is done:
// outstanding goroutines, each with its share of the devices, whose turns come one after
// the other. So at any moment there are that many requests under way, of different
// devices.
func Closed(devices []*Device, outstanding int, duration time.Duration, op Op) (*Result, error) {
	outstanding = min(outstanding, len(devices))
	var stop atomic.Bool
	if duration > 0 {
		timer := time.AfterFunc(duration, func() { stop.Store(true) })
		defer timer.Stop()
	}
	return run(outstanding, func(worker int, h *recorder) error {
		var mine []*Device
		for i := worker; i < len(devices); i += outstanding {
			mine = append(mine, devices[i])
		}
		for i := 0; len(mine) > 0 && !stop.Load(); {
			i %= len(mine)
			begin := time.Now()
			err := op(mine[i])
			if err == ErrDone {
				mine = append(mine[:i], mine[i+1:]...)
				continue
			}
			if err != nil {
				stop.Store(true)
				return err
			}
			if err := h.record(time.Since(begin)); err != nil {
				return err
			}
			i++
		}
		return nil
	})
}

// Open gives every device one operation, at a fixed rate whatever the answers do.
// Latency counts from the moment the operation was due, so that a server which falls
// behind does not hide it (coordinated omission).
func Open(devices []*Device, rate float64, op Op) (*Result, error) {
	begin := time.Now().Add(10 * time.Millisecond)
	return run(len(devices), func(i int, h *recorder) error {
		due := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		if err := op(devices[i]); err != nil {
			return err
		}
		return h.record(time.Since(due))
	})
}

// run runs workers side by side, each with a recorder.
func run(workers int, work func(worker int, h *recorder) error) (*Result, error) {
	recorders := make([]recorder, min(workers, maxRecorders))
	for i := range recorders {
		recorders[i].h = newHistogram()
	}
	errs := make([]error, workers)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { errs[i] = work(i, &recorders[i%len(recorders)]) })
	}
	wg.Wait()
	res := &Result{Elapsed: time.Since(begin), Latency: newHistogram()}
	for i := range recorders {
		res.Latency.Merge(recorders[i].h)
	}
	res.Ops = res.Latency.TotalCount()
	return res, errors.Join(errs...)
}

// maxRecorders: a histogram is too large for one per device of a large fleet.
const maxRecorders = 16

// recorder is a histogram that some workers share.
type recorder struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram // guarded by mu
}

func (r *recorder) record(d time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.h.RecordValue(max(1, d.Microseconds()))
}

// each calls f for 0 … n-1, so many at a time, until one fails.
func each(n, parallel int, f func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(parallel)
	var failed atomic.Bool
	for i := range n {
		if failed.Load() {
			break
		}
		g.Go(func() error {
			err := f(i)
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	return g.Wait()
}

// All does something with every device, some at a time.
func All(devices []*Device, parallel int, f func(d *Device) error) error {
	return each(len(devices), parallel, func(i int) error { return f(devices[i]) })
}
