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

	p, err := b.start(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	// One fleet comes and goes first: what it leaves behind is no connection's.
	overPlain := func() ([]*load.Device, error) { return p.dial(plain) }
	if _, err := heldBy(p.memory, overPlain); err != nil {
		return nil, err
	}
	tcp, err := heldBy(p.memory, overPlain)
	if err != nil {
		return nil, err
	}
	mtls, err := heldBy(p.memory, func() ([]*load.Device, error) { return p.dialTLS(withTLS, ids) })
	if err != nil {
		return nil, err
	}

	floor, err := b.echo(ctx, answers{})
	if err != nil {
		return nil, err
	}
	defer floor.stop()
	overEcho := func() ([]*load.Device, error) { return floor.dial(plain) }
	if _, err := heldBy(residentOf(floor), overEcho); err != nil {
		return nil, err
	}
	bare, err := heldBy(residentOf(floor), overEcho)
	if err != nil {
		return nil, err
	}
	peer, err := b.mosquitto(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer peer.stop()
	peerTCP, err := heldBy(residentOf(peer), func() ([]*load.Device, error) { return peer.dial(plain) })
	if err != nil {
		return nil, err
	}
	peerTLS, err := heldBy(residentOf(peer), func() ([]*load.Device, error) { return peer.dialTLS(withTLS, ids) })
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

// residentOf is the memory of another server than the product: the echo collects garbage
// on SIGHUP, mosquitto has none.
func residentOf(s *server) func() (memory, error) {
	return func() (memory, error) {
		if s.name == echoName {
			if err := s.procs[0].Signal(syscall.SIGHUP); err != nil {
				return memory{}, err
			}
		}
		time.Sleep(time.Second)
		rss, err := s.rss()
		return memory{rss: rss}, err
	}
}

// heldBy is what one connection adds to a server's memory.
func heldBy(read func() (memory, error), dial func() ([]*load.Device, error)) (m memory, err error) {
	before, err := read()
	if err != nil {
		return m, err
	}
	devices, err := dial()
	if err != nil {
		return m, err
	}
	defer load.CloseAll(devices)
	if err := load.All(devices, dialParallel, func(d *load.Device) error {
		return d.Subscribe(1, jobsTopic(d.Thing, "start-next/+"), jobsTopic(d.Thing, "+/update/+"), jobsTopic(d.Thing, "notify"), jobsTopic(d.Thing, "notify-next"))
	}); err != nil {
		return m, err
	}
	after, err := read()
	n := float64(len(devices))
	return memory{(after.rss - before.rss) / n, (after.heap - before.heap) / n, (after.stacks - before.stacks) / n}, err
}
