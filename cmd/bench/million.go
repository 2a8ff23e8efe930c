package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

// big is the job that has an execution for each of very many things.
const big = "big"

// rolled starts the product on fresh data with things and rolls a job out over all of
// them. It tells how long that took, from CreateJob on, and what it cost.
func (b *bench) rolled(ctx context.Context, dir string, things int) (*product, reading, error) {
	p, err := b.start(ctx, dir)
	if err != nil {
		return nil, reading{}, err
	}
	r, err := p.rollOutMeasured(ctx, things)
	if err != nil {
		p.stop()
		return nil, r, err
	}
	return p, r, nil
}

func (p *product) rollOutMeasured(ctx context.Context, things int) (reading, error) {
	before, err := p.cpu()
	if err != nil {
		return reading{}, err
	}
	begin := time.Now()
	if err := p.rollOut(ctx, big, things); err != nil {
		return reading{}, err
	}
	took := time.Since(begin)
	after, err := p.cpu()
	return reading{value: float64(things) / took.Seconds(), cpu: micros(after-before) / float64(things)}, err
}

// withMillion starts the product on data with executions for size.executions things;
// the rows that need it share one directory.
func (b *bench) withMillion(ctx context.Context) (*product, error) {
	if b.million != "" {
		return b.start(ctx, b.million)
	}
	dir, err := b.seed(ctx, b.size.executions, 0)
	if err != nil {
		return nil, err
	}
	p, _, err := b.rolled(ctx, dir, b.size.executions)
	if err != nil {
		return nil, err
	}
	b.million = dir
	return p, nil
}

// rollout: executions made for a job over very many things, against Badger alone.
func rollout(ctx context.Context, b *bench) ([]result, error) {
	n := b.size.executions
	template, err := b.seed(ctx, n, 0)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(template)
	dir := ""
	rounds := min(b.Rounds, 3) // each takes long, and averages over a million by itself
	var written floorReport
	var products, floors []reading
	for round := range rounds {
		if dir != "" {
			os.RemoveAll(dir)
		}
		dir = filepath.Join(b.dir, fmt.Sprintf("rollout-%d", round))
		if err := copyDir(dir, template); err != nil {
			return nil, err
		}
		p, made, err := b.rolled(ctx, dir, n)
		if err != nil {
			return nil, err
		}
		p.stop()
		if written, err = b.floor(ctx, dir); err != nil {
			return nil, err
		}
		products = append(products, made)
		floors = append(floors, reading{value: float64(written.Queues) / written.Seconds, cpu: written.CPU})
	}
	b.million = dir
	note := fmt.Sprintf("%d things, nobody connected; %d records, %d bytes for each execution", n, written.Writes, written.Bytes/max(1, written.Queues))
	return []result{
		comparison{"rollout: executions created", "exec/s", "Badger writing the same records in synced batches of 3 MB", products, floors, atLeast(0.5), note}.row(reading.val),
	}, nil
}

// restart: how long until the product is ready after it was killed under load, and what
// it has resident then.
func restart(ctx context.Context, b *bench) ([]result, error) {
	p, err := b.withMillion(ctx)
	if err != nil {
		return nil, err
	}
	var ready, resident []reading
	for range b.Rounds {
		if err := b.underLoad(p); err != nil {
			p.stop()
			return nil, err
		}
		m, err := p.procs[0].Memory()
		p.procs[0].Kill()
		if err != nil {
			return nil, err
		}
		if p, err = b.start(ctx, p.dir); err != nil {
			return nil, err
		}
		after, err := p.procs[0].Memory()
		if err != nil {
			p.stop()
			return nil, err
		}
		ready = append(ready, reading{value: p.ready.Seconds()})
		resident = append(resident, reading{value: float64(max(m.RSS, after.RSS)) / (1 << 20)})
	}
	p.stop()
	note := fmt.Sprintf("%d executions", b.size.executions)
	return []result{
		comparison{"ready after kill -9", "s", "", ready, nil, atMost(3), note}.row(reading.val),
		comparison{"resident memory", "MiB", "", resident, nil, atMost(600), note + "; the larger of under load before the kill, and ready after it"}.row(reading.val),
	}, nil
}

// underLoad lets devices report progress for a while.
func (b *bench) underLoad(p *product) error {
	devices, err := p.dial(thingNames(b.size.devices))
	if err != nil {
		return err
	}
	defer load.CloseAll(devices)
	_, err = load.Closed(devices, len(devices), b.Duration, reportProgress(big))
	return err
}

// growth: what devices get when ever more executions are stored.
func growth(ctx context.Context, b *bench) ([]result, error) {
	var products []*product
	defer func() {
		for _, p := range products {
			p.stop()
		}
	}()
	var sides []side
	for _, n := range b.size.growth {
		p, err := b.withExecutions(ctx, n)
		if err != nil {
			return nil, err
		}
		products = append(products, p)
		devices, err := p.dial(spread(n, b.size.devices))
		if err != nil {
			return nil, err
		}
		defer load.CloseAll(devices)
		op := reportProgress(big)
		if err := load.All(devices, dialParallel, op); err != nil {
			return nil, err
		}
		sides = append(sides, b.closed(&p.server, devices, op))
	}
	r, err := turns(ctx, b.Rounds, sides...)
	if err != nil {
		return nil, err
	}
	last := len(sides) - 1
	var table []result
	for i := 1; i <= last; i++ {
		var g *goal
		if i == last {
			g = atLeast(0.8)
		}
		table = append(table, comparison{
			fmt.Sprintf("update rate with %s executions", number(float64(b.size.growth[i]))), "ops/s",
			fmt.Sprintf("with %s", number(float64(b.size.growth[0]))), r[i], r[0], g, "",
		}.row(reading.val))
	}
	return table, nil
}

func (b *bench) withExecutions(ctx context.Context, n int) (*product, error) {
	if n == b.size.executions {
		return b.withMillion(ctx)
	}
	dir, err := b.seed(ctx, n, 0)
	if err != nil {
		return nil, err
	}
	p, _, err := b.rolled(ctx, dir, n)
	return p, err
}

// spread names k things evenly among the first n.
func spread(n, k int) []string {
	names := make([]string, k)
	for i := range names {
		names[i] = thingName(i * n / k)
	}
	return names
}
