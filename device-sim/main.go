package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1 // a device did not end as it should
	exitUsage   = 2 // nothing was started
	exitVerdict = 3 // the devices ended as they should, but a verdict failed
)

// cli is the command line.
type cli struct {
	Fleet    options      `cmd:"" default:"withargs" help:"Run a fleet of simulated devices. This is what happens without a command."`
	Run      agentOptions `cmd:"" help:"Be one real device: handlers in a folder do its jobs."`
	Load     loadOptions  `cmd:"" help:"Offer progress reports at a rate, and measure how long devices wait for the answers."`
	Scenario scenarioCmd  `cmd:"" help:"Scenario files."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal kills
	if os.Getenv("GOGC") == "" {
		// The heap of a fleet is small and its garbage is not: collect less often.
		debug.SetGCPercent(400)
	}
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command runs device-sim with its arguments until the fleet has ended or ctx has, and returns the
// exit status.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	helped := false
	parser, err := kong.New(&c,
		kong.Name("device-sim"),
		kong.Description("Simulated devices for an AWS-IoT-Jobs-compatible broker. Without a command it is device-sim fleet."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }))
	if err != nil {
		return usage(stderr, err)
	}
	parsed, err := parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		return usage(stderr, fmt.Errorf("%w (see --help)", err))
	}
	command, _, _ := strings.Cut(parsed.Command(), " ")
	switch command {
	case "run":
		return c.Run.run(ctx, stdout, stderr)
	case "load":
		return c.Load.run(ctx, stdout, stderr)
	case "scenario":
		return c.Scenario.run(parsed.Command(), stdout, stderr)
	}
	return c.Fleet.run(ctx, stdout, stderr)
}

// usage tells why nothing was started.
func usage(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "device-sim: %v\n", err)
	return exitUsage
}

// run runs the fleet that the options describe.
func (o *options) run(ctx context.Context, stdout, stderr io.Writer) int {
	s, err := o.settings()
	if err != nil {
		return usage(stderr, err)
	}
	ids, err := o.folders().load()
	if err != nil {
		return usage(stderr, err)
	}
	members, err := o.members(ids, &s)
	if err != nil {
		return usage(stderr, err)
	}
	if s.timeout == 0 {
		s.timeout = 10*time.Minute + s.duration
	}
	if s.steady != nil && s.duration <= s.warmup {
		return usage(stderr, errors.New("--server-metrics needs a --duration, longer than --warmup"))
	}
	if err := s.checkLimits(members); err != nil {
		return usage(stderr, err)
	}
	if err := s.asOperator(ctx, members); err != nil {
		return usage(stderr, err)
	}

	if o.Metrics != "" {
		if s.metrics, err = net.Listen("tcp", o.Metrics); err != nil {
			return usage(stderr, fmt.Errorf("--metrics: %w", err))
		}
		fmt.Fprintf(stderr, "metrics on http://%s/metrics\n", s.metrics.Addr())
	}
	if o.JSON {
		s.lines = stdout
	} else {
		s.show = func(now func() frame) *live { return startLive(stdout, stderr, now) }
	}
	rep, err := run(ctx, members, s)
	if !o.JSON {
		err = errors.Join(err, rep.summary(stdout))
	}
	if o.JUnit != "" {
		err = errors.Join(err, rep.junit(o.JUnit))
	}
	if err != nil {
		fmt.Fprintf(stderr, "device-sim: output: %v\n", err)
		return exitFailure
	}
	return rep.exit()
}

// members gives every device its conduct, and the settings what a scenario says.
func (o *options) members(ids []identity, s *settings) ([]member, error) {
	if o.Scenario != "" {
		sc, err := readScenario(o.Scenario)
		if err != nil {
			return nil, err
		}
		sc.override(o)
		sc.apply(s)
		s.assertions = sc.Assertions
		return sc.members(ids, o.conduct())
	}
	members := make([]member, len(ids))
	for i, id := range ids {
		members[i] = member{id, o.conduct()}
	}
	return members, nil
}

// exit is the exit status that a report deserves.
func (r report) exit() int {
	switch {
	case r.NotOK > 0:
		return exitFailure
	case r.broken():
		return exitVerdict
	}
	return exitOK
}
