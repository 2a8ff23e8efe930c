package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
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

// withExecutions starts the product on data with executions for n things, and waits
// until it has nothing to do. The rows that need size.executions share one directory.
func (b *bench) withExecutions(ctx context.Context, n int) (p *product, err error) {
	if n == b.size.executions && b.million != "" {
		p, err = b.start(ctx, b.million)
	} else {
		p, err = b.newExecutions(ctx, n)
	}
	if err != nil {
		return nil, err
	}
	if err := p.settle(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (b *bench) newExecutions(ctx context.Context, n int) (*product, error) {
	dir, err := b.seed(ctx, n, 0)
	if err != nil {
		return nil, err
	}
	p, _, err := b.rolled(ctx, dir, n)
	if err == nil && n == b.size.executions {
		b.million = dir
	}
	return p, err
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
	var products, floors, resident []reading
	var note string
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
		m, err := p.procs[0].Memory()
		p.stop()
		if err != nil {
			return nil, err
		}
		if written, err = b.floor(ctx, dir); err != nil {
			return nil, err
		}
		resident = append(resident, reading{value: float64(m.RSS) / (1 << 20)})
		note = fmt.Sprintf("of them %d MiB mapped from tables", (m.RSS-m.Anon)>>20)
		products = append(products, made)
		floors = append(floors, reading{value: float64(written.Queues) / written.Seconds, cpu: written.CPU})
	}
	b.million = dir
	work := fmt.Sprintf("%d things, nobody connected; %d records, %d bytes for each execution", n, written.Writes, written.Bytes/max(1, written.Queues))
	return []result{
		comparison{"rollout: executions created", "exec/s", "Badger writing the same records in synced batches of 2 MB", products, floors, atLeast(0.5), work}.row(reading.val),
		comparison{"resident memory at its end: for information", "MiB", "", resident, nil, nil, note}.row(reading.val),
	}, nil
}
