package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/term"
)

type serveCmd struct {
	ConfigFile kong.ConfigFlag `name:"config" help:"YAML file; see thingjobs config print." type:"path" placeholder:"FILE"`
	Config     `embed:""`
}

// Run serves until the process is told to stop.
func (c *serveCmd) Run(ctx context.Context, s streams) error {
	if c.ConfigFile != "" {
		file, err := readConfig(string(c.ConfigFile))
		if err != nil {
			return err
		}
		c.Presign = file.Presign // the one part that is no flag
	}
	log := newLogger(s.err, c.LogLevel, c.LogFormat)
	app, err := NewApp(ctx, c.Config, log)
	if err != nil {
		return err
	}
	defer app.Close()
	err = app.Run(ctx, func() {
		e := app.Endpoints()
		log.Info("serving", "version", version, "mqtts", e.MQTTS, "https", e.HTTPS, "admin", e.Admin, "mqtt", e.MQTT, "host", e.Host, "data", c.Data)
		// Without systemd there is nobody to tell, and that is no error.
		_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	})
	if err != nil {
		return err
	}
	if err := app.Close(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

func newLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if l.UnmarshalText([]byte(level)) != nil {
		l = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: l, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String()) // JSON would have nanoseconds
		}
		return a
	}}
	if format == "text" || format == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
