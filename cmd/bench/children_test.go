package main

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
	"github.com/thingjobs/thingjobs/cmd/bench/proc"
)

// TestMain lets the test binary be the children, as the program is in a run.
func TestMain(m *testing.M) {
	if os.Getenv("BENCH_CHILD") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func child(t *testing.T, args ...string) string {
	t.Helper()
	t.Setenv("BENCH_CHILD", "1")
	p, line, err := proc.StartServer(t.Context(), args[0], os.Args[0], args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return line
}

func dial(t *testing.T, addr, thing string) *load.Device {
	t.Helper()
	d, err := load.Dial(load.Options{Addr: addr, Thing: thing})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestEcho(t *testing.T) {
	file := t.TempDir() + "/answers.json"
	want := answers{"update": "{}", "start-next": `{"execution":{"jobId":"j"}}`, "get": "pending", "next": "head"}
	if err := want.write(file); err != nil {
		t.Fatal(err)
	}
	d := dial(t, child(t, "echo", file), thingName(1))
	got, err := captureAnswers(d)
	if err != nil {
		t.Fatal(err)
	}
	for op, text := range want {
		if got[op] != text {
			t.Errorf("%s is answered %q, want %q", op, got[op], text)
		}
	}
	if err := subscribeAnswers([]*load.Device{d}); err != nil {
		t.Error(err)
	}
}

// TestScripts runs the devices' scripts against the echo, whose queue is never empty.
func TestScripts(t *testing.T) {
	file := t.TempDir() + "/answers.json"
	if err := (answers{"update": "{}", "start-next": `{"execution":{"jobId":"j"}}`, "get": "{}", "next": "{}"}).write(file); err != nil {
		t.Fatal(err)
	}
	d := dial(t, child(t, "echo", file), thingName(1))
	for name, op := range map[string]load.Op{"progress": reportProgress("j"), "reads": readQueue, "start-next": startNext, "succeed": succeed} {
		if err := op(d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := &bench{size: sizes{devices: 1}}
	res, err := b.changes([]*load.Device{d}, 3)
	if err != nil || res.Ops != 6 {
		t.Errorf("%d changes, %v, want 6: three jobs begun and ended", res.Ops, err)
	}
}

// TestSeedAndFloor: what seed makes, the product's own packages read, and so does the
// floor, which finds no executions in it.
func TestSeedAndFloor(t *testing.T) {
	t.Setenv("BENCH_CHILD", "1")
	b := &bench{self: os.Args[0], dir: t.TempDir()}
	dir, err := b.seed(t.Context(), 20, 3)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := loadCredentials(dir)
	if err != nil || len(ids.byID) != 3 {
		t.Errorf("%d certificates, %v, want 3", len(ids.byID), err)
	}
	if _, err := b.floor(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if err := copyDir(b.dir+"/copy", dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.dir + "/copy/store/MANIFEST"); err != nil {
		t.Error(err)
	}
}

func TestMetric(t *testing.T) {
	const text = "# HELP go_x things\ngo_x_total 3\ngo_x 1.5e+06\n"
	if got := metric(text, "go_x"); got != 1.5e6 {
		t.Errorf("go_x is %v", got)
	}
	if got := metric(text, "go_y"); got != 0 {
		t.Errorf("go_y is %v", got)
	}
}

func TestOperationOf(t *testing.T) {
	for topic, want := range map[string]string{
		"$aws/things/a/jobs/get":        "get",
		"$aws/things/a/jobs/$next/get":  "next",
		"$aws/things/a/jobs/start-next": "start-next",
		"$aws/things/a/jobs/j/update":   "update",
	} {
		if got := operationOf(topic); got != want {
			t.Errorf("%s is %q, want %q", topic, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	if got := strings.Join(spread(100, 4), " "); got != "dev-0000000 dev-0000025 dev-0000050 dev-0000075" {
		t.Errorf("spread gives %s", got)
	}
}

func TestRunKeepsErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := &bench{out: new(strings.Builder), dir: t.TempDir(), self: "/nonexistent", runCmd: runCmd{Rounds: 1}}
	table := b.run(ctx, regexp.MustCompile("^updates$"))
	if len(table) != 1 || table[0].Error == "" || *table[0].Met {
		t.Errorf("table %+v, want one row with its error", table)
	}
}
