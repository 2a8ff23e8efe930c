package main

import (
	"context"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

const (
	anchorWorker = "mosquitto with a worker process that answers from memory"
	anchorEcho   = "echo in mochi's publish hook"
	job1         = "job-1"
)

// begun starts the product with a fleet, all of whose things have one job, and gives the
// answers an echo is to give. The devices' job is begun.
func (b *bench) begun(ctx context.Context, certs int) (*product, answers, error) {
	p, err := b.seeded(ctx, b.size.fleet, certs)
	if err != nil {
		return nil, nil, err
	}
	a, err := b.begin(ctx, p)
	if err != nil {
		p.stop()
		return nil, nil, err
	}
	return p, a, nil
}

func (b *bench) begin(ctx context.Context, p *product) (answers, error) {
	if err := p.rollOut(ctx, job1, b.size.fleet); err != nil {
		return nil, err
	}
	devices, err := p.dial(thingNames(b.size.devices))
	if err != nil {
		return nil, err
	}
	defer load.CloseAll(devices)
	if err := load.All(devices, dialParallel, reportProgress(job1)); err != nil {
		return nil, err
	}
	a, err := captureAnswers(devices[0])
	if err != nil {
		return nil, err
	}
	return a, p.settle(ctx)
}

// closed is a side that runs a closed loop over devices connected before.
func (b *bench) closed(s *server, devices []*load.Device, op load.Op) side {
	return func(context.Context) (reading, error) {
		return s.measure(func() (*load.Result, error) { return load.Closed(devices, len(devices), b.Duration, op) })
	}
}

// closedProduct is closed, with a profile when asked for.
func (b *bench) closedProduct(p *product, name string, devices []*load.Device, op load.Op) side {
	return func(context.Context) (reading, error) {
		return b.profiled(p, name, func() (*load.Result, error) { return load.Closed(devices, len(devices), b.Duration, op) })
	}
}

// updates: durable progress reports against a general broker with a worker, and against
// the echo.
func updates(ctx context.Context, b *bench) ([]result, error) {
	p, a, err := b.begun(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	peer, err := b.mosquittoWithWorker(ctx)
	if err != nil {
		return nil, err
	}
	defer peer.stop()
	floor, err := b.echo(ctx, a)
	if err != nil {
		return nil, err
	}
	defer floor.stop()

	var sides []side
	op := reportProgress(job1)
	for _, s := range []*server{&p.server, peer, floor} {
		devices, err := s.dial(thingNames(b.size.devices))
		if err != nil {
			return nil, err
		}
		defer load.CloseAll(devices)
		if err := subscribeAnswers(devices); err != nil {
			return nil, err
		}
		if s == &p.server {
			sides = append(sides, b.closedProduct(p, "updates", devices, op))
		} else {
			sides = append(sides, b.closed(s, devices, op))
		}
	}
	r, err := turns(ctx, b.Rounds, sides...)
	if err != nil {
		return nil, err
	}
	return []result{
		comparison{"updates, durable", "ops/s", anchorWorker, r[0], r[1], atLeast(2), ""}.row(reading.val),
		comparison{"updates, durable: p99", "ms", anchorWorker, r[0], r[1], atMost(1), ""}.row(reading.tail),
		comparison{"updates, durable, against echo", "ops/s", anchorEcho, r[0], r[2], atLeast(0.5), ""}.row(reading.val),
	}, nil
}

// statusChanges: start-next and SUCCEEDED in turn over queued jobs, until all are done.
func statusChanges(ctx context.Context, b *bench) ([]result, error) {
	p, err := b.seeded(ctx, b.size.fleet, 0)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	things := thingNames(b.size.fleet)
	devices, err := p.dial(things)
	if err != nil {
		return nil, err
	}
	defer load.CloseAll(devices)

	if err := p.rollOut(ctx, "warm-up", len(things)); err != nil {
		return nil, err
	}
	a, err := captureAnswers(devices[0])
	if err != nil {
		return nil, err
	}
	if err := b.workOff(devices, 1); err != nil {
		return nil, err
	}
	floor, err := b.echo(ctx, a)
	if err != nil {
		return nil, err
	}
	defer floor.stop()
	floorDevices, err := floor.dial(things)
	if err != nil {
		return nil, err
	}
	defer load.CloseAll(floorDevices)

	round := 0
	r, err := turns(ctx, b.Rounds, func(ctx context.Context) (reading, error) {
		round++
		if err := p.queueJobs(ctx, round, b.size.jobs, len(things)); err != nil {
			return reading{}, err
		}
		return b.profiled(p, "status-changes", func() (*load.Result, error) { return b.changes(devices, b.size.jobs) })
	}, func(context.Context) (reading, error) {
		return floor.measure(func() (*load.Result, error) { return b.changes(floorDevices, b.size.jobs) })
	})
	if err != nil {
		return nil, err
	}
	return []result{comparison{"status changes, durable, against echo", "ops/s", anchorEcho, r[0], r[1], atLeast(0.4), ""}.row(reading.val)}, nil
}

// changes has every device begin and end so many jobs.
func (b *bench) changes(devices []*load.Device, jobs int) (*load.Result, error) {
	for _, d := range devices {
		d.Step, d.Job = 0, d.Job[:0]
	}
	return load.Closed(devices, b.size.devices, 0, changeStatus(2*jobs))
}

// workOff is changes that nobody measures.
func (b *bench) workOff(devices []*load.Device, jobs int) error {
	_, err := b.changes(devices, jobs)
	return err
}

// startNextLatency: beginning a queued job against reporting progress, at the same
// offered rate. The jobs begun are those whose progress is then reported.
func startNextLatency(ctx context.Context, b *bench) ([]result, error) {
	p, err := b.seeded(ctx, b.size.fleet, 0)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	things := thingNames(b.size.fleet)
	devices, err := p.dial(things)
	if err != nil {
		return nil, err
	}
	defer load.CloseAll(devices)
	const rate = 1000
	open := func(op load.Op) (reading, error) {
		return p.measure(func() (*load.Result, error) { return load.Open(devices, rate, op) })
	}
	var begins, reports []reading
	for round := range b.Rounds + 1 { // the first warms up
		if err := p.queueJobs(ctx, round, 1, len(things)); err != nil {
			return nil, err
		}
		begun, err := open(startNext)
		if err != nil {
			return nil, err
		}
		reported, err := open(func(d *load.Device) error { return reportProgress(string(d.Job))(d) })
		if err != nil {
			return nil, err
		}
		if err := load.All(devices, b.size.devices, succeed); err != nil {
			return nil, err
		}
		if round > 0 {
			begins, reports = append(begins, begun), append(reports, reported)
		}
	}
	return []result{comparison{
		"start-next on a queued job: p50", "ms", "progress update, p50, same offered rate", begins, reports, atMost(1.3), "1,000 requests a second, open loop",
	}.row(reading.half)}, nil
}
