package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

// workerCmd is what one would put behind a general broker: a process that subscribes to
// the updates of all devices and answers each. It is made as cheap as possible, and
// safe as little: state in memory, no JSON decoder, no library, all answers that are
// ready in one write.
type workerCmd struct {
	Broker string `arg:"" help:"Address of the broker."`
}

// Run serves until the process is ended or the broker is gone.
func (c *workerCmd) Run(ctx context.Context) error {
	d, err := load.Dial(load.Options{Addr: c.Broker, Thing: "worker"})
	if err != nil {
		return err
	}
	defer d.Close()
	context.AfterFunc(ctx, d.Abort)
	if err := d.Subscribe(1, "$aws/things/+/jobs/+/update"); err != nil {
		return err
	}
	d.Grow(256 << 10)
	fmt.Println("ready")
	versions := make(map[string]int64)
	var out, answer []byte
	for {
		p, err := d.Read()
		if err != nil {
			return nil // the broker was stopped
		}
		if len(p.Topic) == 0 {
			continue
		}
		topic := string(p.Topic)
		versions[topic]++
		if p.ID != 0 {
			out = load.AppendPuback(out, p.ID)
		}
		answer = append(append(answer[:0], `{"clientToken":"`...), load.Member(p.Payload, "clientToken")...)
		answer = strconv.AppendInt(append(answer, `","timestamp":`...), time.Now().Unix(), 10)
		answer = append(answer, '}')
		out = load.AppendPublish(out, 0, topic+"/accepted", answer)
		if d.Buffered() && len(out) < 64<<10 {
			continue
		}
		if err := d.Write(out); err != nil {
			return nil
		}
		out = out[:0]
	}
}
