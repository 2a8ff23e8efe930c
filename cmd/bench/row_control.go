package main

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
	"github.com/thingjobs/thingjobs/cmd/bench/proc"
)

//go:embed mock.py
var mockSource []byte

// controlConns is how many connections ask at a time.
const controlConns = 16

// controlPlane: what operators' tools ask most, against a server of Python's standard
// library that has the same answers ready.
func controlPlane(ctx context.Context, b *bench) ([]result, error) {
	p, err := b.withExecutions(ctx, b.size.executions)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	paths := []struct{ name, path string }{
		{"DescribeJob", "/jobs/" + big},
		{"ListJobExecutionsForJob, page of 250", "/jobs/" + big + "/things?maxResults=250"},
	}
	ready := answers{}
	for _, q := range paths {
		req, err := p.signed(ctx, http.MethodGet, q.path, nil)
		if err != nil {
			return nil, err
		}
		resp, err := p.http.Do(req)
		if err != nil {
			return nil, err
		}
		text, err := answerOf(resp)
		if err != nil {
			return nil, err
		}
		ready[q.path] = string(text)
	}
	mock, err := b.mock(ctx, ready)
	if err != nil {
		return nil, err
	}
	defer mock.stop()

	var table []result
	for _, q := range paths {
		// Both get the same request, signed once a round: a signature is good for minutes.
		r, err := turns(ctx, b.Rounds, func(ctx context.Context) (reading, error) {
			req, err := p.signed(ctx, http.MethodGet, q.path, nil)
			if err != nil {
				return reading{}, err
			}
			name, _, _ := strings.Cut(q.name, ",")
			return b.profiled(p, name, func() (*load.Result, error) {
				return load.HTTP(strings.TrimPrefix(p.admin, "http://"), req, controlConns, b.Duration)
			})
		}, func(ctx context.Context) (reading, error) {
			req, err := p.signed(ctx, http.MethodGet, q.path, nil)
			if err != nil {
				return reading{}, err
			}
			return mock.measure(func() (*load.Result, error) { return load.HTTP(mock.plain, req, controlConns, b.Duration) })
		})
		if err != nil {
			return table, err
		}
		note := fmt.Sprintf("%d bytes; %d executions; plain HTTP, signed, %d connections", len(ready[q.path]), b.size.executions, controlConns)
		table = append(table, comparison{q.name, "req/s", "a threaded server of Python's standard library", r[0], r[1], atLeast(10), note}.row(reading.val))
	}
	return table, nil
}

// mock starts the Python server.
func (b *bench) mock(ctx context.Context, ready answers) (*server, error) {
	script, file := filepath.Join(b.dir, "mock.py"), filepath.Join(b.dir, "mock.json")
	if err := os.WriteFile(script, mockSource, 0o600); err != nil {
		return nil, err
	}
	if err := ready.write(file); err != nil {
		return nil, err
	}
	p, addr, err := proc.StartServer(ctx, "mock", b.Python, script, file)
	if err != nil {
		return nil, err
	}
	return &server{name: "mock", procs: []*proc.Process{p}, plain: addr}, nil
}
