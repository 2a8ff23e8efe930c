package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

// presignConfig lets the product sign downloads; nobody follows the URLs.
const presignConfig = `presign:
  stores:
    - {name: site, match: ["s3.*.amazonaws.com"], endpoint: "https://files.plant.example:9000", region: us-east-1, style: path}
  roles:
    - {arn: "arn:aws:iam::123456789012:role/jobs", store: site, credentials: {accessKey: bench, secretKey: bench-secret}, allow: ["firmware/*"]}
`

// presignedDocument has a download in it.
const presignedDocument = `{"operation":"install","version":"4.2.0","image":"${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/firmware/pump/v4.bin}","steps":["download","verify","install","reboot"]}`

// audience is connected devices that wait for a message each. A goroutine reads each
// connection until it is closed.
type audience struct {
	devices []*load.Device
	readers sync.WaitGroup

	mu      sync.Mutex
	want    []byte        // what the payload waited for contains; guarded by mu
	heard   []bool        // by device; guarded by mu
	missing int           // guarded by mu
	done    chan struct{} // closed when nothing is missing; guarded by mu
	last    time.Time     // of the last message; guarded by mu
	payload []byte        // one of the messages; guarded by mu

	closing atomic.Bool
	lost    atomic.Int64 // connections that ended by themselves
}

// gather connects the things and subscribes each to its notify-next.
func gather(s *server, things []string) (*audience, error) {
	devices, err := s.dial(things)
	if err != nil {
		return nil, err
	}
	if err := load.All(devices, dialParallel, func(d *load.Device) error {
		return d.Subscribe(1, jobsTopic(d.Thing, "notify-next"))
	}); err != nil {
		load.CloseAll(devices)
		return nil, err
	}
	a := &audience{devices: devices}
	for i, d := range devices {
		a.readers.Go(func() { a.listen(i, d) })
	}
	return a, nil
}

func (a *audience) listen(i int, d *load.Device) {
	var ack []byte
	for {
		p, err := d.Read()
		if err != nil {
			if !a.closing.Load() {
				a.lost.Add(1)
			}
			return
		}
		if len(p.Topic) == 0 {
			continue
		}
		if p.ID != 0 {
			ack = load.AppendPuback(ack[:0], p.ID)
			_ = d.Write(ack) // the next read tells
		}
		a.hear(i, p.Payload)
	}
}

func (a *audience) hear(i int, payload []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.missing == 0 || a.heard[i] || !bytes.Contains(payload, a.want) {
		return
	}
	a.heard[i] = true
	if a.payload == nil {
		a.payload = bytes.Clone(payload)
	}
	if a.missing--; a.missing == 0 {
		a.last = time.Now()
		close(a.done)
	}
}

// expect begins to wait for a message with want in it, one for each device.
func (a *audience) expect(want string) (done <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.want, a.heard, a.missing, a.done, a.payload = []byte(want), make([]bool, len(a.devices)), len(a.devices), make(chan struct{}), nil
	return a.done
}

func (a *audience) wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(2 * time.Minute):
		a.mu.Lock()
		defer a.mu.Unlock()
		return fmt.Errorf("%d of %d devices have heard nothing after two minutes, %d have lost their connection", a.missing, len(a.devices), a.lost.Load())
	}
}

func (a *audience) close() {
	a.closing.Store(true)
	load.CloseAll(a.devices)
	a.readers.Wait()
}

// measured counts from begin to the last device.
func (a *audience) measured(s *server, before time.Duration, begin time.Time) (reading, error) {
	after, err := s.cpu()
	if err != nil {
		return reading{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := float64(len(a.devices))
	return reading{value: n / a.last.Sub(begin).Seconds(), cpu: micros(after-before) / n}, nil
}

// fanOut: from CreateJob to the last connected device that holds its notify-next,
// against one publisher that sends the same through mosquitto.
func fanOut(ctx context.Context, b *bench) ([]result, error) {
	n := b.size.fanOut
	config := filepath.Join(b.dir, "presign.yaml")
	if err := os.WriteFile(config, []byte(presignConfig), 0o600); err != nil {
		return nil, err
	}
	p, err := b.seeded(ctx, n, 0, "--config", config)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	// The first, which nobody measures, gives the payload to publish on the other side.
	_, payload, err := announce(ctx, p, n, "fan-out-first")
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(payload, []byte("X-Amz-Signature=")) {
		return nil, errors.New("the document was not presigned")
	}

	peer, err := b.mosquitto(ctx, "")
	if err != nil {
		return nil, err
	}
	defer peer.stop()
	round := 0
	r, err := turns(ctx, b.Rounds, func(ctx context.Context) (reading, error) {
		round++
		r, _, err := announce(ctx, p, n, fmt.Sprintf("fan-out-%d", round))
		return r, err
	}, func(ctx context.Context) (reading, error) { return publishAll(ctx, peer, n, payload) })
	if err != nil {
		return nil, err
	}
	const anchor = "one mosquitto publisher to as many topics and subscribers"
	note := fmt.Sprintf("%d devices over plain MQTT, QoS 1, %d bytes each", n, len(payload))
	return []result{
		comparison{"fan-out: CreateJob to the last notify-next", "devices/s", anchor, r[0], r[1], atLeast(0.4), note}.row(reading.val),
		comparison{"fan-out, by itself", "devices/s", "", r[0], nil, atLeast(5000), ""}.row(reading.val),
	}, nil
}

// announce connects the devices, makes a job and waits until every device holds its
// document; then it takes the job away again, so that the next one is news. It gives one
// of the payloads. (Both sides connect their devices anew each time: there are not
// sockets enough for two fleets.)
func announce(ctx context.Context, p *product, n int, job string) (r reading, payload []byte, err error) {
	fleet, err := gather(&p.server, thingNames(n))
	if err != nil {
		return r, nil, err
	}
	defer fleet.close()
	before, err := p.cpu()
	if err != nil {
		return r, nil, err
	}
	done := fleet.expect(`"jobId":"` + job + `"`)
	begin := time.Now()
	if err := p.createJob(ctx, job, presignedDocument, map[string]any{
		"presignedUrlConfig": map[string]any{"roleArn": "arn:aws:iam::123456789012:role/jobs", "expiresInSec": 600},
	}); err != nil {
		return r, nil, err
	}
	if err := fleet.wait(ctx, done); err != nil {
		return r, nil, err
	}
	if r, err = fleet.measured(&p.server, before, begin); err != nil {
		return r, nil, err
	}
	if err := p.call(ctx, "PUT", "/jobs/"+job+"/cancel?force=true", map[string]any{}, nil); err != nil {
		return r, nil, err
	}
	return r, fleet.payload, p.waitJob(ctx, job, func(c counts) bool { return c.Canceled >= n })
}

// publishAll has one publisher send the payload to every device's topic.
func publishAll(ctx context.Context, s *server, n int, payload []byte) (reading, error) {
	things := thingNames(n)
	fleet, err := gather(s, things)
	if err != nil {
		return reading{}, err
	}
	defer fleet.close()
	publisher, err := load.Dial(load.Options{Addr: s.plain, Thing: "publisher"})
	if err != nil {
		return reading{}, err
	}
	var acks sync.WaitGroup
	acks.Go(func() { // somebody has to read the acknowledgements
		for {
			if _, err := publisher.Read(); err != nil {
				return
			}
		}
	})
	defer acks.Wait()
	defer publisher.Abort()

	before, err := s.cpu()
	if err != nil {
		return reading{}, err
	}
	done := fleet.expect("")
	begin := time.Now()
	var out []byte
	for i, thing := range things {
		out = load.AppendPublish(out, uint16(i%0xFFFF)+1, jobsTopic(thing, "notify-next"), payload)
		if len(out) < 32<<10 && i < n-1 {
			continue
		}
		if err := publisher.Write(out); err != nil {
			return reading{}, err
		}
		out = out[:0]
	}
	if err := fleet.wait(ctx, done); err != nil {
		return reading{}, err
	}
	return fleet.measured(s, before, begin)
}
