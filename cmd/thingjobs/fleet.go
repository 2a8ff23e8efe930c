package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// fleet is a device-sim process, followed by the JSON lines it prints.
type fleet struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when its output has ended

	mu        sync.Mutex
	connected map[string]bool      // guarded by mu
	first     map[string]time.Time // first notify-next with an execution, by thing; guarded by mu
	report    *fleetReport         // guarded by mu
	changed   chan struct{}        // has room for one word that connected grew
}

// fleetReport is the last line of device-sim's output.
type fleetReport struct {
	Devices           int                `json:"devices"`
	DevicesNotOK      int                `json:"devicesNotOk"`
	Executions        map[string]int     `json:"executions"`
	VerifiedDownloads int                `json:"verifiedDownloads"`
	LatencyMs         map[string]latency `json:"latencyMs"`
	Failures          []struct {
		Thing, Reason string
	} `json:"failures"`
}

type latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func startFleet(ctx context.Context, sim string, d *demo) (*fleet, error) {
	f := &fleet{
		done:      make(chan struct{}),
		connected: make(map[string]bool),
		first:     make(map[string]time.Time),
		changed:   make(chan struct{}, 1),
	}
	f.cmd = exec.CommandContext(ctx, sim, "--json", "--devices", d.dir.devices(), "--things", "demo-pump-*",
		"--count", strconv.Itoa(d.Devices), "--seed", strconv.FormatInt(d.Seed, 10),
		"--fail", strconv.Itoa(d.Fail), "--reject", strconv.Itoa(d.Reject), "--timeout", d.Timeout.String())
	f.cmd.Cancel = func() error { return f.cmd.Process.Signal(syscall.SIGTERM) }
	f.cmd.WaitDelay = 10 * time.Second
	stdout, err := f.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	f.cmd.Stderr = d.out
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(f.done)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			f.line(lines.Bytes())
		}
	}()
	return f, nil
}

func (f *fleet) line(b []byte) {
	var ev struct {
		Event, Thing, Job string
		Time              time.Time
	}
	if json.Unmarshal(b, &ev) != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch ev.Event {
	case "connected":
		f.connected[ev.Thing] = true
		select {
		case f.changed <- struct{}{}:
		default:
		}
	case "notified":
		if _, ok := f.first[ev.Thing]; !ok && ev.Job != "" {
			f.first[ev.Thing] = ev.Time
		}
	case "report":
		f.report = new(fleetReport)
		if json.Unmarshal(b, f.report) != nil {
			f.report = nil
		}
	}
}

func (f *fleet) waitConnected(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		have := len(f.connected)
		f.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-f.changed:
		case <-f.done:
			return fmt.Errorf("device-sim ended with %d of %d devices connected", have, n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wait lets the devices come to their end and gives their report.
func (f *fleet) wait() (*fleetReport, error) {
	<-f.done
	err := f.cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.report == nil {
		return nil, fmt.Errorf("device-sim left no report: %w", err)
	}
	return f.report, nil // its verdict is in the report
}

// stop ends the process if it still runs.
func (f *fleet) stop() {
	if f.cmd.ProcessState != nil {
		return
	}
	_ = f.cmd.Cancel() // gone already: as wanted
	<-f.done
	_ = f.cmd.Wait()
}

// notified gives the times from a moment to each device's first notify-next.
func (f *fleet) notified(since time.Time) latency {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ms []float64
	for _, t := range f.first {
		ms = append(ms, float64(t.Sub(since).Microseconds())/1000)
	}
	if len(ms) == 0 {
		return latency{}
	}
	slices.Sort(ms)
	at := func(q float64) float64 { return ms[min(len(ms)-1, int(math.Ceil(q*float64(len(ms))))-1)] }
	return latency{P50: at(0.5), P99: at(0.99), Max: ms[len(ms)-1]}
}
