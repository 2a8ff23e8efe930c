package main

import (
	"context"
	"fmt"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

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

// spread names k things evenly among the first n.
func spread(n, k int) []string {
	names := make([]string, k)
	for i := range names {
		names[i] = thingName(i * n / k)
	}
	return names
}
