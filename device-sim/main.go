package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1 // a device did not end as it should
	exitUsage   = 2 // nothing was started
)

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
	usage := func(err error) int {
		fmt.Fprintf(stderr, "device-sim: %v\n", err)
		return exitUsage
	}
	var o options
	helped := false
	parser, err := kong.New(&o,
		kong.Name("device-sim"),
		kong.Description("Simulated devices for an AWS-IoT-Jobs-compatible broker."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }))
	if err != nil {
		return usage(err)
	}
	_, err = parser.Parse(args)
	if helped {
		return exitOK
	}
	if err != nil {
		return usage(fmt.Errorf("%w (see --help)", err))
	}
	s, err := o.settings()
	if err != nil {
		return usage(err)
	}
	ids, err := o.folders().load()
	if err != nil {
		return usage(err)
	}
	if err := checkFileLimit(len(ids), min(s.maxDownloads, len(ids)), s.keep != ""); err != nil {
		return usage(err)
	}

	bar := newBar(stderr, len(ids)*s.untilJobs, !o.JSON)
	s.finished = bar.add
	if o.JSON {
		s.lines = stdout
	}
	rep, err := run(ctx, ids, s)
	bar.close()
	if !o.JSON {
		err = errors.Join(err, rep.summary(stdout))
	}
	if err != nil {
		fmt.Fprintf(stderr, "device-sim: output: %v\n", err)
		return exitFailure
	}
	if rep.NotOK > 0 {
		return exitFailure
	}
	return exitOK
}
