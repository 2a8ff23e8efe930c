package main

import (
	"context"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

// reads: what devices ask without changing anything, against the echo.
func reads(ctx context.Context, b *bench) ([]result, error) {
	p, a, err := b.begun(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	floor, err := b.echo(ctx, a)
	if err != nil {
		return nil, err
	}
	defer floor.stop()
	things := thingNames(b.size.devices)
	devices, err := p.dial(things)
	if err != nil {
		return nil, err
	}
	defer load.CloseAll(devices)
	floorDevices, err := floor.dial(things)
	if err != nil {
		return nil, err
	}
	defer load.CloseAll(floorDevices)
	r, err := turns(ctx, b.Rounds, b.closedProduct(p, "reads", devices, readQueue), b.closed(floor, floorDevices, readQueue))
	if err != nil {
		return nil, err
	}
	return []result{comparison{"reads, against echo", "ops/s", anchorEcho, r[0], r[1], atLeast(0.8), ""}.row(reading.val)}, nil
}

// overTLS: updates and reads with TLS against the same without.
func overTLS(ctx context.Context, b *bench) ([]result, error) {
	p, _, err := b.begun(ctx, b.size.devices)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	ids, err := loadCredentials(p.dir)
	if err != nil {
		return nil, err
	}
	// A client ID has one connection: the sides connect the same devices in turn.
	things := thingNames(b.size.devices)
	var table []result
	for _, kind := range []struct {
		name string
		op   load.Op
	}{{"updates", reportProgress(job1)}, {"reads", readQueue}} {
		r, err := turns(ctx, b.Rounds,
			func(context.Context) (reading, error) {
				devices, err := p.dialTLS(things, ids)
				if err != nil {
					return reading{}, err
				}
				defer load.CloseAll(devices)
				return b.closedProduct(p, kind.name+"-tls", devices, kind.op)(ctx)
			},
			func(context.Context) (reading, error) {
				devices, err := p.dial(things)
				if err != nil {
					return reading{}, err
				}
				defer load.CloseAll(devices)
				return b.closed(&p.server, devices, kind.op)(ctx)
			})
		if err != nil {
			return table, err
		}
		table = append(table, comparison{kind.name + " with TLS", "ops/s", "the same without TLS", r[0], r[1], atLeast(0.8), "the devices encrypt on the same processors"}.row(reading.val))
	}
	return table, nil
}
