package proc

import (
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const stat = "4242 (a b) c) S 1 4242 4242 0 -1 4194560 1000 0 0 0 123 45 0 0 20 0 9 0 100 1 2"
	if got, err := parseStat([]byte(stat)); err != nil || got != 1680*time.Millisecond {
		t.Errorf("got %v, %v, want 1.68s", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1 2", strings.Replace(stat, "123", "many", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is understood", bad)
		}
	}
}

func TestParseStatus(t *testing.T) {
	got, err := parseStatus([]byte("Name:\tx\nVmPeak:\t  999 kB\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\nRssFile:\t 1024 kB\n"))
	if want := (Memory{2 << 20, 1 << 20}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "VmRSS:\tlots kB\n"} {
		if _, err := parseStatus([]byte(bad)); err == nil {
			t.Errorf("%q is understood", bad)
		}
	}
}

func TestServerThatFails(t *testing.T) {
	_, _, err := StartServer(t.Context(), "liar", "/bin/sh", "-c", "echo no luck >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("got %v, want what it wrote to stderr", err)
	}
}

func TestServerLine(t *testing.T) {
	p, line, err := StartServer(t.Context(), "server", "/bin/sh", "-c", "echo 127.0.0.1:99; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if line != "127.0.0.1:99" || p.Err() != nil {
		t.Errorf("line %q, %v", line, p.Err())
	}
}
