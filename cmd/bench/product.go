package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
	"github.com/thingjobs/thingjobs/cmd/bench/proc"
	"github.com/thingjobs/thingjobs/jobsvc"
)

// product is `thingjobs serve` on a data directory, as users run it.
type product struct {
	server
	dir    string
	admin  string // URL
	region string
	key    aws.Credentials
	ready  time.Duration // from the start of the process to /readyz
	http   *http.Client
}

// start starts the product on dir and waits until it is ready. args are more flags.
func (b *bench) start(ctx context.Context, dir string, args ...string) (*product, error) {
	endpoints := filepath.Join(dir, "endpoints.json")
	if err := os.Remove(endpoints); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	p := &product{dir: dir, http: &http.Client{Timeout: 2 * time.Minute}}
	p.name = "thingjobs"
	begin := time.Now()
	child, err := proc.Start(p.name, nil, b.Thingjobs, append([]string{
		"serve", "--data", dir, "--pprof", "--log-level", "warn", "--drain", "2s",
		"--mqtts-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--mqtt-addr", "127.0.0.1:0",
	}, args...)...)
	if err != nil {
		return nil, err
	}
	p.procs = []*proc.Process{child}
	for ; ; time.Sleep(2 * time.Millisecond) {
		err := errors.Join(child.Err(), ctx.Err())
		if err == nil && !p.connect(endpoints) {
			continue
		}
		if err != nil {
			child.Kill()
			return nil, err
		}
		p.ready = time.Since(begin)
		return p, p.credentials()
	}
}

// connect tells whether the product is ready, and where.
func (p *product) connect(endpoints string) bool {
	var e struct {
		MQTTS, MQTT, Admin, Region string
		PID                        int
	}
	b, err := os.ReadFile(endpoints)
	if err != nil || json.Unmarshal(b, &e) != nil || e.PID != p.procs[0].PID() {
		return false
	}
	p.plain, p.tls, p.admin, p.region = e.MQTT, e.MQTTS, "http://"+e.Admin, e.Region
	_, err = p.get("/readyz")
	return err == nil
}

func (p *product) credentials() error {
	var c struct{ AccessKeyID, SecretAccessKey string }
	b, err := os.ReadFile(filepath.Join(p.dir, "credentials.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	p.key = aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey}
	return nil
}

// get reads a path of the admin listener that needs no signature.
func (p *product) get(path string) ([]byte, error) {
	resp, err := p.http.Get(p.admin + path)
	if err != nil {
		return nil, err
	}
	return answerOf(resp)
}

func answerOf(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", resp.Request.Method, resp.Request.URL.Path, resp.Status, bytes.TrimSpace(b))
	}
	return b, err
}

// signed makes a request of the control plane. It can be sent again for some minutes.
func (p *product) signed(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, p.admin+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return req, v4.NewSigner().SignHTTP(ctx, p.key, req, hex.EncodeToString(sum[:]), "iot", p.region, time.Now())
}

// call does one operation of the control plane. in and out may be nil.
func (p *product) call(ctx context.Context, method, path string, in, out any) error {
	req, err := p.signed(ctx, method, path, in)
	if err != nil {
		return err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return errors.Join(err, p.procs[0].Err())
	}
	b, err := answerOf(resp)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(b, out)
}

// jobDocument is of a usual size.
const jobDocument = `{"operation":"install","version":"4.2.0","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","steps":["download","verify","install","reboot"],"size":1048576}`

// createJob makes a job for the whole fleet.
func (p *product) createJob(ctx context.Context, id, document string, more map[string]any) error {
	in := map[string]any{
		"targets":  []string{jobsvc.DefaultAccount.ARN(jobsvc.ARNThingGroup, fleetGroup)},
		"document": document,
	}
	for k, v := range more {
		in[k] = v
	}
	return p.call(ctx, http.MethodPut, "/jobs/"+id, in, nil)
}

// counts are those of DescribeJob that rows wait for.
type counts struct {
	Queued   int `json:"numberOfQueuedThings"`
	Canceled int `json:"numberOfCanceledThings"`
}

// waitJob polls a job until its counts are as wanted. The longer that takes, the rarer it
// asks: to within a hundredth of the time, and without being a load of its own.
func (p *product) waitJob(ctx context.Context, id string, enough func(counts) bool) error {
	begin := time.Now()
	for {
		var d struct {
			Job struct {
				JobProcessDetails counts `json:"jobProcessDetails"`
			} `json:"job"`
		}
		if err := p.call(ctx, http.MethodGet, "/jobs/"+id, nil, &d); err != nil {
			return err
		}
		if enough(d.Job.JobProcessDetails) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(5*time.Millisecond, time.Since(begin)/100)):
		}
	}
}

// rollOut makes a job and waits until n things have an execution.
func (p *product) rollOut(ctx context.Context, id string, n int) error {
	if err := p.createJob(ctx, id, jobDocument, nil); err != nil {
		return err
	}
	return p.waitJob(ctx, id, func(c counts) bool { return c.Queued >= n })
}

// queueJobs gives every thing so many more jobs.
func (p *product) queueJobs(ctx context.Context, round, jobs, things int) error {
	for i := range jobs {
		if err := p.rollOut(ctx, fmt.Sprintf("round-%d-%d", round, i), things); err != nil {
			return err
		}
	}
	return nil
}

// memory is what the product holds after a collection.
type memory struct{ rss, heap, stacks float64 }

func (p *product) memory() (m memory, err error) {
	if _, err := p.get("/debug/free"); err != nil {
		return m, err
	}
	text, err := p.get("/metrics")
	if err != nil {
		return m, err
	}
	m.heap = metric(string(text), "go_memstats_heap_inuse_bytes")
	m.stacks = metric(string(text), "go_memstats_stack_inuse_bytes")
	m.rss, err = p.rss()
	return m, err
}

// metric reads one number of the Prometheus text format; 0 when it is not there.
func metric(text, name string) (x float64) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			fmt.Sscan(rest, &x)
		}
	}
	return x
}

// profiled measures load on the product, with a CPU profile when they are asked for: one
// file for each round, which `go tool pprof` adds up.
func (b *bench) profiled(p *product, name string, run func() (*load.Result, error)) (reading, error) {
	if b.CPUProfile == "" {
		return p.measure(run)
	}
	b.profiles++
	file := filepath.Join(b.CPUProfile, fmt.Sprintf("%s-%03d.prof", name, b.profiles))
	done := make(chan error, 1)
	go func() {
		text, err := p.get(fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(b.Duration.Seconds()))))
		if err == nil {
			err = os.MkdirAll(b.CPUProfile, 0o755)
		}
		if err == nil {
			err = os.WriteFile(file, text, 0o644)
		}
		done <- err
	}()
	r, err := p.measure(run)
	return r, errors.Join(err, <-done)
}
