// Command bench compares the product with what people would otherwise assemble, or
// with the floor that its parts set, in turns within one run. docs/performance.md says
// what each row means and how to read the table. It runs on Linux; it is not shipped.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// runCmd is what a run can be told.
type runCmd struct {
	Only       string        `help:"Run the rows whose names match." placeholder:"REGEXP"`
	Rounds     int           `default:"5" help:"How often product and anchor take turns."`
	Duration   time.Duration `default:"4s" help:"How long one side of a throughput row is measured in a round."`
	Quick      bool          `help:"Small sizes, two rounds of a second: to see that it works."`
	List       bool          `help:"Print the names of the rows."`
	CPUProfile string        `name:"cpuprofile" help:"Write a CPU profile of the product for each of its throughput rows." placeholder:"DIR" type:"path"`
	JSON       string        `default:"bench.json" help:"File to write the table to." type:"path"`
	Thingjobs  string        `default:"bin/thingjobs" help:"The product." type:"path"`
	Mosquitto  string        `default:"/usr/sbin/mosquitto" help:"The peer." type:"path"`
	Python     string        `default:"/usr/bin/python3" help:"For the mock of a control plane." type:"path"`
	Work       string        `help:"Directory for data; on the disk that is to be measured. Default: a temporary one." placeholder:"DIR" type:"path"`
}

type cli struct {
	Run    runCmd    `cmd:"" default:"withargs" help:"Run the benchmarks and print the table."`
	Seed   seedCmd   `cmd:"" hidden:""`
	Echo   echoCmd   `cmd:"" hidden:""`
	Worker workerCmd `cmd:"" hidden:""`
	Floor  floorCmd  `cmd:"" hidden:""`

	HTTPFloor httpFloorCmd `cmd:"" name:"http-floor" hidden:""`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("bench"), kong.Description("Compare thingjobs with its peers and floors."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	k.FatalIfErrorf(k.Run())
}

// Run runs the benchmarks.
func (c *runCmd) Run(ctx context.Context) error {
	if c.List {
		for _, r := range rows {
			fmt.Println(r.name)
		}
		return nil
	}
	only, err := regexp.Compile(c.Only)
	if err != nil {
		return err
	}
	b := &bench{runCmd: *c, size: fullSize, out: os.Stderr}
	if c.Quick {
		b.size, b.Rounds, b.Duration = quickSize, min(c.Rounds, 2), min(c.Duration, time.Second)
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(c.Work, "thingjobs-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	table := b.run(ctx, only)
	if err := printTable(os.Stdout, table); err != nil {
		return err
	}
	if err := writeJSON(c.JSON, table); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, r := range table {
		if r.Error != "" {
			return errors.New("not every row could be measured")
		}
	}
	return nil
}
