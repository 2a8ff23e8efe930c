package main

import (
	"context"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

// handshakes: connections with mutual TLS from nothing to CONNACK, then closed.
func handshakes(ctx context.Context, b *bench) ([]result, error) {
	p, err := b.seeded(ctx, b.size.devices, b.size.devices)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	peer, err := b.mosquitto(ctx, p.dir)
	if err != nil {
		return nil, err
	}
	defer peer.stop()
	ids, err := loadCredentials(p.dir)
	if err != nil {
		return nil, err
	}
	profiled := func(name string) measurer {
		return func(run func() (*load.Result, error)) (reading, error) { return b.profiled(p, name, run) }
	}
	full := func(s *server, measure measurer) side {
		return func(context.Context) (reading, error) {
			return measure(func() (*load.Result, error) { return b.connect(s, ids, b.size.handshakes) })
		}
	}
	resumed := func(s *server, ids *credentials, measure measurer) side {
		return func(context.Context) (reading, error) {
			if _, err := b.connect(s, ids, b.size.devices); err != nil { // everyone gets a ticket
				return reading{}, err
			}
			return measure(func() (*load.Result, error) { return b.connect(s, ids, b.size.handshakes) })
		}
	}
	r, err := turns(ctx, b.Rounds, full(&p.server, profiled("handshakes")), full(peer, peer.measure),
		resumed(&p.server, ids.resuming(), profiled("handshakes-resumed")), resumed(peer, ids.resuming(), peer.measure))
	if err != nil {
		return nil, err
	}
	return []result{
		comparison{"TLS handshakes, full", "conn/s", "mosquitto", r[0], r[1], atLeast(3), "ECDSA P-256, client certificates, up to CONNACK; the devices do their half on the same processors"}.row(reading.val),
		comparison{"TLS handshakes, resumed: for information", "conn/s", "mosquitto", r[2], r[3], nil, ""}.row(reading.val),
	}, nil
}

// measurer runs load on a server and reads what it took.
type measurer func(run func() (*load.Result, error)) (reading, error)

// connect opens and closes n connections, eight at a time.
func (b *bench) connect(s *server, ids *credentials, n int) (*load.Result, error) {
	// One stand-in per connection to come: they have the names, in turn.
	turns := make([]*load.Device, n)
	for i := range turns {
		turns[i] = &load.Device{Thing: thingName(i % b.size.devices)}
	}
	return load.Closed(turns, 8, 0, func(d *load.Device) error {
		if d.Step++; d.Step > 1 {
			return load.ErrDone
		}
		c, err := load.Dial(load.Options{Addr: s.tls, Thing: d.Thing, TLS: ids.config(d.Thing)})
		if err != nil {
			return err
		}
		c.Close()
		return nil
	})
}
