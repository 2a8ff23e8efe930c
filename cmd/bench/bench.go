package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/thingjobs/thingjobs/cmd/bench/proc"
)

// bench is one run of the benchmarks: what the rows share.
type bench struct {
	runCmd
	self string // this program, for the children it is
	dir  string // everything of the run; removed at its end
	size sizes
	out  io.Writer

	seeds, profiles int // made so far
	// million is a data directory with executions for size.executions things, once there
	// is one.
	million string
}

// sizes are how large things are.
type sizes struct {
	fleet      int // things that take turns in status changes
	devices    int // devices with a request under way
	jobs       int // jobs a thing works off in a round
	fanOut     int // connected devices of a fan-out
	idle       int // idle plain connections
	idleTLS    int
	handshakes int
	executions int // "a million"
	growth     []int
}

var (
	fullSize = sizes{
		fleet: 2000, devices: 200, jobs: 10, fanOut: 10_000, idle: 9000, idleTLS: 4000, handshakes: 3000,
		executions: 1_000_000, growth: []int{10_000, 100_000, 1_000_000},
	}
	quickSize = sizes{
		fleet: 400, devices: 200, jobs: 4, fanOut: 1000, idle: 1000, idleTLS: 500, handshakes: 400,
		executions: 50_000, growth: []int{1000, 10_000, 50_000},
	}
)

// row is a group of rows of the table that are measured together.
type row struct {
	name string
	run  func(ctx context.Context, b *bench) ([]result, error)
}

// rows are in the order of the table. Those on a million executions come last, and
// share them.
var rows = []row{
	{"updates", updates},
	{"status changes", statusChanges},
	{"reads", reads},
	{"tls", overTLS},
	{"start-next latency", startNextLatency},
	{"fan-out", fanOut},
	{"idle memory", idleMemory},
	{"handshakes", handshakes},
	{"rollout", rollout},
	{"control plane", controlPlane},
	{"restart", restart},
	{"growth", growth},
}

// run runs the rows whose names match and gives the table. A row that fails is in it
// with its error; only the end of ctx ends the run.
func (b *bench) run(ctx context.Context, only *regexp.Regexp) []result {
	var table []result
	for _, r := range rows {
		if !only.MatchString(r.name) {
			continue
		}
		begin := time.Now()
		fmt.Fprintf(b.out, "%s …\n", r.name)
		list, err := r.run(ctx, b)
		table = append(table, list...)
		if err != nil {
			fmt.Fprintf(b.out, "%s: %v\n", r.name, err)
			table = append(table, failedRow(r.name, err))
		}
		fmt.Fprintf(b.out, "%s: %s\n", r.name, time.Since(begin).Round(time.Second))
		if ctx.Err() != nil {
			break
		}
	}
	return table
}

// child runs this program for one thing and gives what it prints.
func (b *bench) child(ctx context.Context, name string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	p, err := proc.Start(name, &out, b.self, args...)
	if err != nil {
		return nil, err
	}
	err = p.Wait(ctx)
	return out.Bytes(), err
}

// seed makes a data directory with things and certificates. Who asks removes it when it
// is large.
func (b *bench) seed(ctx context.Context, things, certs int) (string, error) {
	b.seeds++
	dir := filepath.Join(b.dir, fmt.Sprintf("data-%d", b.seeds))
	_, err := b.child(ctx, "seed", "seed", dir, "--things", strconv.Itoa(things), "--certs", strconv.Itoa(certs))
	return dir, err
}

// seeded starts the product on fresh data.
func (b *bench) seeded(ctx context.Context, things, certs int, args ...string) (*product, error) {
	dir, err := b.seed(ctx, things, certs)
	if err != nil {
		return nil, err
	}
	return b.start(ctx, dir, args...)
}

// copyDir copies a data directory of a product that does not run.
func copyDir(to, from string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		return copyFile(filepath.Join(to, rel), path)
	})
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}
