package main

import (
	"context"
	"fmt"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

// restart: how long until the product is ready after it was killed under load, and what
// it has resident then.
func restart(ctx context.Context, b *bench) ([]result, error) {
	p, err := b.withExecutions(ctx, b.size.executions)
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
