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
	floor, err := b.httpFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer floor.stop()

	var table []result
	for _, q := range paths {
		// All get the same request, signed once a round: a signature is good for minutes.
		run := func(ctx context.Context, addr string) (*load.Result, error) {
			req, err := p.signed(ctx, http.MethodGet, q.path, nil)
			if err != nil {
				return nil, err
			}
			return load.HTTP(addr, req, controlConns, b.Duration)
		}
		name, _, _ := strings.Cut(q.name, ",")
		r, err := turns(ctx, b.Rounds, func(ctx context.Context) (reading, error) {
			return b.profiled(p, name, func() (*load.Result, error) { return run(ctx, strings.TrimPrefix(p.admin, "http://")) })
		}, func(ctx context.Context) (reading, error) {
			return mock.measure(func() (*load.Result, error) { return run(ctx, mock.plain) })
		}, func(ctx context.Context) (reading, error) {
			return floor.measure(func() (*load.Result, error) { return run(ctx, floor.plain) })
		})
		if err != nil {
			return table, err
		}
		note := fmt.Sprintf("%d bytes; %d executions; plain HTTP, signed, %d connections", len(ready[q.path]), b.size.executions, controlConns)
		table = append(table,
			comparison{q.name, "req/s", "a threaded server of Python's standard library", r[0], r[1], atLeast(10), note}.row(reading.val),
			comparison{q.name + ", against the floor", "req/s", "net/http with constant bytes", r[0], r[2], nil, ""}.row(reading.val))
	}
	return table, nil
}

// answersFile is where both servers with ready answers find them.
func (b *bench) answersFile() string { return filepath.Join(b.dir, "http-answers.json") }

// httpFloor starts a net/http server with the answers that mock got.
func (b *bench) httpFloor(ctx context.Context) (*server, error) {
	p, addr, err := proc.StartServer(ctx, "http-floor", b.self, "http-floor", b.answersFile())
	if err != nil {
		return nil, err
	}
	return &server{name: "http-floor", procs: []*proc.Process{p}, plain: addr}, nil
}

// mock starts the Python server.
func (b *bench) mock(ctx context.Context, ready answers) (*server, error) {
	script, file := filepath.Join(b.dir, "mock.py"), b.answersFile()
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
