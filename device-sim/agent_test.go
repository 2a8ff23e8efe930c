//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// handlers writes executables and returns their folder.
func handlers(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (b *bench) agent(ctx context.Context, t *testing.T, handlers string, args ...string) (status int, log string) {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "store.pem")
	if err := os.WriteFile(ca, b.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	status = command(ctx, append([]string{"run", "--device", filepath.Join(b.dir, b.things[0]), "--handlers", handlers, "--ca", ca,
		"--reconnect-delay", "1ms", "--report-every", "0s"}, args...), &out, &errs)
	t.Logf("exit status %d\n%s", status, errs.String())
	return status, errs.String()
}

// TestAgent: what becomes of a job is what its handler says.
func TestAgent(t *testing.T) {
	t.Parallel()
	h := handlers(t, map[string]string{
		"good":     `cat > "$0.stdin"; echo "$JOB_ID $JOB_EXECUTION $JOB_ATTEMPT $THING_NAME" > "$0.env"; cp "$JOB_ARTEFACT" "$0.artefact"; echo it is done`,
		"bad":      `echo oops >&2; exit 3`,
		"later":    `exit 75`,
		"never":    `exit 78`,
		"slow":     `exec sleep 60`,
		"long":     `i=0; while [ $i -lt 600 ]; do printf 'äöü%04d' $i; i=$((i+1)); done`,
		"notexec":  ``,
		"killself": `kill -9 $$`,
	})
	if err := os.Chmod(filepath.Join(h, "notexec"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		operation string
		status    string
		detail    string // name=part
	}{
		{"good", statusSucceeded, "stdout=it is done"},
		{"bad", statusFailed, "stderr=oops"},
		{"later", statusFailed, "reason=another attempt may help"},
		{"never", statusRejected, "reason=exit status 78"},
		{"slow", statusFailed, "reason=longer than 300ms"},
		{"long", statusSucceeded, "stdout=0599"},
		{"killself", statusFailed, "reason=killed"},
		{"notexec", statusRejected, "reason=no handler"},
		{"missing", statusRejected, "reason=no handler"},
		{"../good", statusRejected, "reason=names no operation"},
	} {
		t.Run(test.operation, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 1, 5000)
			var document string
			b.create(b.things[0], "fw", func() string {
				if document == "" {
					document = strings.Replace(b.store.document(), `"firmware"`, `"`+test.operation+`"`, 1)
				}
				return document
			})
			args := []string{"--until-jobs", "1"}
			if test.operation == "slow" {
				args = append(args, "--handler-timeout", "300ms")
			}
			if status, _ := b.agent(t.Context(), t, h, args...); status != exitOK {
				t.Errorf("exit status %d", status)
			}
			e := b.execution(b.things[0], "fw")
			name, part, _ := strings.Cut(test.detail, "=")
			if e.status != test.status || !strings.Contains(e.details[name], part) || len([]rune(e.details[name])) > maxDetail {
				t.Errorf("%s %v, want %s with %s", e.status, e.details, test.status, test.detail)
			}
			if s := b.received("start-next"); s[0].StepTimeout != 31 && test.operation != "slow" {
				t.Errorf("step timeout %d minutes", s[0].StepTimeout)
			}
			if test.operation != "good" {
				return
			}
			read := func(name string) string { return string(must(os.ReadFile(filepath.Join(h, name)))) }
			if got := read("good.stdin"); got != document {
				t.Errorf("standard input %s, want %s", got, document)
			}
			if got := read("good.env"); got != "fw 1 1 "+b.things[0]+"\n" {
				t.Errorf("environment %q", got)
			}
			if got := read("good.artefact"); got != string(b.store.data) {
				t.Errorf("artefact of %d bytes", len(got))
			}
		})
	}
}

// TestAgentStop: told to stop, the agent stops its handler, leaves the execution in progress, and
// goes on with it the next time.
func TestAgentStop(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 100)
	h := handlers(t, map[string]string{
		"work": `[ $JOB_ATTEMPT = 2 ] && exit 0; trap 'echo stopped > "$0.stopped"; exit 1' TERM; echo x > "$0.fifo"; while :; do sleep 0.01; done`,
	})
	// A pipe tells when the handler runs.
	started := filepath.Join(h, "work.fifo")
	mkfifo(t, started)
	b.create(b.things[0], "fw", func() string { return `{"operation":"work"}` })
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		_, _ = os.ReadFile(started) // returns when the handler has written
		stop()
	}()
	if status, _ := b.agent(ctx, t, h); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	if _, err := os.Stat(filepath.Join(h, "work.stopped")); err != nil {
		t.Error("the handler was not told to stop")
	}
	if e := b.execution(b.things[0], "fw"); e.status != statusInProgress {
		t.Errorf("%+v", e)
	}
	if status, _ := b.agent(t.Context(), t, h, "--until-jobs", "1"); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	if e := b.execution(b.things[0], "fw"); e.status != statusSucceeded || e.begun != 1 {
		t.Errorf("%+v", e)
	}
}

// TestAgentReport: a handler that has ended is not run again when its report was lost.
func TestAgentReport(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 100)
	h := handlers(t, map[string]string{"count": `echo once more >> "$0.runs"`})
	b.create(b.things[0], "fw", func() string { return `{"operation":"count"}` })
	ctx, crash := context.WithCancel(t.Context())
	b.fault = func(s seen) fault {
		if s.Status == statusSucceeded && ctx.Err() == nil {
			crash()
			return fault{reject: codeInternalError}
		}
		return fault{}
	}
	b.agent(ctx, t, h)
	if status, _ := b.agent(t.Context(), t, h, "--until-jobs", "1"); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	if runs := string(must(os.ReadFile(filepath.Join(h, "count.runs")))); runs != "once more\n" {
		t.Errorf("the handler ran %q", runs)
	}
	if e := b.execution(b.things[0], "fw"); e.status != statusSucceeded {
		t.Errorf("%+v", e)
	}
}

// TestAgentCanceled: a job that is canceled ends its handler.
func TestAgentCanceled(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 100)
	h := handlers(t, map[string]string{"work": `echo x > "$0.fifo"; exec sleep 60`, "next": `exit 0`})
	started := filepath.Join(h, "work.fifo")
	mkfifo(t, started)
	thing := b.things[0]
	b.create(thing, "fw", func() string { return `{"operation":"work"}` })
	b.create(thing, "next", func() string { return `{"operation":"next"}` })
	go func() {
		_, _ = os.ReadFile(started) // returns when the handler has written
		b.mu.Lock()
		before := b.told(thing)
		b.find(thing, "fw").status = "CANCELED"
		announce := b.announcement(thing, before, fault{})
		b.mu.Unlock()
		announce()
	}()
	if status, _ := b.agent(t.Context(), t, h, "--until-jobs", "1"); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	if e := b.execution(thing, "next"); e.status != statusSucceeded {
		t.Errorf("%+v", e)
	}
}

func TestAgentMistakes(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1, 0)
	if status, log := b.agent(t.Context(), t, t.TempDir(), "--handler-timeout", "8000h"); status != exitUsage || !strings.Contains(log, "7 days") {
		t.Errorf("%d %s", status, log)
	}
	if err := os.Remove(filepath.Join(b.dir, b.things[0], "device.key")); err != nil {
		t.Fatal(err)
	}
	if status, log := b.agent(t.Context(), t, t.TempDir()); status != exitUsage || !strings.Contains(log, "device.key") {
		t.Errorf("%d %s", status, log)
	}
}

// mkfifo makes a named pipe, by which a script tells a test how far it is.
func mkfifo(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}
