// Command thingjobs is the job broker: one binary with subcommands.
//
// serve runs it; env, enroll, operator, denials and demo help a person at a shell. Everything a package
// needs is handed to it in app.go, the only place that knows them all.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the linker in releases.
var version = "dev"

type cli struct {
	Serve    serveCmd    `cmd:"" help:"Run the broker."`
	Env      envCmd      `cmd:"" help:"Print export lines that point AWS clients of a shell at a running broker."`
	Enroll   enrollCmd   `cmd:"" help:"Make thing, key, certificate and policy for devices, a ready-to-copy folder for each."`
	Operator operatorCmd `cmd:"" help:"Create, list and revoke the access keys of operators, and make their certificates."`
	Explain  explainCmd  `cmd:"" help:"Tell what the queue of a thing holds, and why nothing else comes."`
	Presign  presignCmd  `cmd:"" help:"Check the presigned URLs of a job."`
	Denials  denialsCmd  `cmd:"" help:"List what connections of MQTT were refused: who, what, why, and what may have been meant."`
	Demo     demoCmd     `cmd:"" help:"Run the main job from start to end with simulated devices."`
	Config   configCmd   `cmd:"" help:"Show or check the configuration."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// run is main without the process: it returns the exit status. 0 means done, 1 that it
// failed, 2 that the command line or the configuration is wrong.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("thingjobs"),
		kong.Description("A self-hosted job broker for fleets of devices that speaks AWS IoT Jobs."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.DefaultEnvars("THINGJOBS"),
		kong.Configuration(loadConfigFile),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{stdout, stderr}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "thingjobs:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if exit >= 0 { // --help
		return exit
	}
	if err != nil {
		fmt.Fprintln(stderr, "thingjobs:", err)
		return 2
	}
	if err := k.Run(); err != nil {
		fmt.Fprintln(stderr, "thingjobs:", err)
		return 1
	}
	return 0
}

type versionCmd struct {
	JSON bool `name:"json" help:"As JSON."`
}

func (c *versionCmd) Run(s streams) error {
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, kv := range info.Settings {
			if kv.Key == "vcs.revision" {
				revision = kv.Value
			}
		}
	}
	if c.JSON {
		return writeJSON(s.out, map[string]string{"version": version, "revision": revision, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
	}
	_, err := fmt.Fprintf(s.out, "thingjobs %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
