package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

// idleMemory: what a connection that does nothing costs, subscribed to the four topics a
// device wants: answers of start-next, of updates, notify and notify-next.
func idleMemory(ctx context.Context, b *bench) ([]result, error) {
	n, secure := b.size.idle, b.size.idleTLS
	dir, err := b.seed(ctx, max(n, secure), secure)
	if err != nil {
		return nil, err
	}
	ids, err := loadCredentials(dir)
	if err != nil {
		return nil, err
	}
	plain, withTLS := thingNames(n), thingNames(secure)

	tcp, err := b.idleProduct(ctx, dir, plain, nil)
	if err != nil {
		return nil, err
	}
	mtls, err := b.idleProduct(ctx, dir, withTLS, ids)
	if err != nil {
		return nil, err
	}
	echo := func() (*server, error) { return b.echo(ctx, answers{}) }
	bare, err := idleServer(ctx, echo, plain, nil)
	if err != nil {
		return nil, err
	}
	peer := func() (*server, error) { return b.mosquitto(ctx, dir) }
	peerTCP, err := idleServer(ctx, peer, plain, nil)
	if err != nil {
		return nil, err
	}
	peerTLS, err := idleServer(ctx, peer, withTLS, ids)
	if err != nil {
		return nil, err
	}

	kb := func(bytes float64) []reading { return []reading{{value: bytes / 1024}} }
	note := func(m memory, n int) string {
		return fmt.Sprintf("%d connections; heap %.1f KB, stacks %.1f KB", n, m.heap/1024, m.stacks/1024)
	}
	return []result{
		comparison{"idle connection, mutual TLS", "KB", "mosquitto", kb(mtls.rss), kb(peerTLS.rss), atMost(1.5), note(mtls, secure)}.row(reading.val),
		comparison{"idle connection, plain TCP", "KB", "", kb(tcp.rss), nil, atMost(27), note(tcp, n)}.row(reading.val),
		comparison{"idle connection, plain TCP: for information", "KB", "mosquitto", kb(tcp.rss), kb(peerTCP.rss), nil, ""}.row(reading.val),
		comparison{"engine state of a connected thing", "KB", "", kb(tcp.rss - bare.rss), nil, atMost(2), fmt.Sprintf("what a connection takes more than one of bare mochi, which takes %.1f KB", bare.rss/1024)}.row(reading.val),
	}, nil
}

// idleProduct and idleServer start a server for one measurement: what another fleet left
// behind in it would count as this one's, or be used again for it.
func (b *bench) idleProduct(ctx context.Context, dir string, things []string, ids *credentials) (memory, error) {
	p, err := b.start(ctx, dir)
	if err != nil {
		return memory{}, err
	}
	defer p.stop()
	return heldBy(ctx, &p.server, p.memory, things, ids)
}

func idleServer(ctx context.Context, start func() (*server, error), things []string, ids *credentials) (memory, error) {
	s, err := start()
	if err != nil {
		return memory{}, err
	}
	defer s.stop()
	return heldBy(ctx, s, s.collected, things, ids)
}

// collected is the memory of another server than the product: the echo collects garbage
// on SIGHUP, mosquitto has none.
func (s *server) collected() (memory, error) {
	if s.name == echoName {
		if err := s.procs[0].Signal(syscall.SIGHUP); err != nil {
			return memory{}, err
		}
		time.Sleep(time.Second)
	}
	rss, err := s.rss()
	return memory{rss: rss}, err
}

// stable reads until memory shrinks no more: what one collection finds may be given back
// only by the next.
func stable(read func() (memory, error)) (memory, error) {
	last, err := read()
	for range 10 {
		if err != nil {
			return memory{}, err
		}
		var m memory
		if m, err = read(); err == nil && m.rss > 0.995*last.rss {
			return m, nil
		}
		last = m
	}
	return last, err
}

// warmUp is how many devices come and go first, so that what a server sets up once is no
// connection's.
const warmUp = 100

// heldBy is what one connection adds to a server's memory. ids nil means plain TCP.
func heldBy(ctx context.Context, s *server, read func() (memory, error), things []string, ids *credentials) (m memory, err error) {
	idle := func(things []string) ([]*load.Device, error) {
		var devices []*load.Device
		if ids == nil {
			devices, err = s.dial(things)
		} else {
			devices, err = s.dialTLS(things, ids)
		}
		if err != nil {
			return nil, err
		}
		err := load.All(devices, dialParallel, func(d *load.Device) error {
			return d.Subscribe(1, jobsTopic(d.Thing, "start-next/+"), jobsTopic(d.Thing, "+/update/+"), jobsTopic(d.Thing, "notify"), jobsTopic(d.Thing, "notify-next"))
		})
		return devices, err
	}
	settledMemory := func() (memory, error) {
		if err := s.settle(ctx); err != nil {
			return memory{}, err
		}
		return stable(read)
	}
	first, err := idle(things[:min(warmUp, len(things))])
	load.CloseAll(first)
	if err != nil {
		return m, err
	}
	before, err := settledMemory()
	if err != nil {
		return m, err
	}
	devices, err := idle(things)
	defer load.CloseAll(devices)
	if err != nil {
		return m, err
	}
	after, err := settledMemory()
	n := float64(len(devices))
	return memory{(after.rss - before.rss) / n, (after.heap - before.heap) / n, (after.stacks - before.stacks) / n}, err
}
