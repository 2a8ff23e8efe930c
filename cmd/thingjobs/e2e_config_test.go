package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPrecedence: a flag beats a variable, a variable the file, the file the default.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{
		config: "accountId: \"111111111111\"\nregion: file-1\nhost: file.example\nnames: [also.example, 192.0.2.7]\n",
		env:    []string{"THINGJOBS_REGION=variable-1", "THINGJOBS_HOST=variable.example"},
		args:   []string{"--host", "flag.example"},
	})
	e, err := s.dir.endpoints()
	if err != nil {
		t.Fatal(err)
	}
	if e.Region != "variable-1" || e.Host != "flag.example" {
		t.Errorf("endpoints: %+v", e)
	}
	if arn := s.thing("pump-1"); arn != "arn:aws:iot:variable-1:111111111111:thing/pump-1" {
		t.Errorf("the thing is %s", arn)
	}
	s.stop()
}

// TestBadConfiguration: what does not fit is named, and nothing is started.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what, config string
		args         []string
		names        string
	}{
		{"unknown key", "regoin: eu-1\n", nil, "regoin"},
		{"unknown key inside", "store:\n  cacheMb: 3\n", nil, "cacheMb"},
		{"unknown key of presign", "presign:\n  store: []\n", nil, "store"},
		{"wrong type", "drain: soon\n", nil, "soon"},
		{"bad account", "accountId: \"12\"\n", nil, "accountId"},
		{"role without a store", "presign:\n  roles:\n    - {arn: \"" + s3Role + "\", store: none, allow: [\"*\"], credentials: {accessKey: a, secretKey: b}}\n", nil, "presign.roles[0].store"},
		{"admin listener for everybody", "", []string{"--admin-addr", ":8080"}, "adminAddr"},
		{"plain MQTT for everybody", "", []string{"--mqtt-addr", ":1883"}, "insecureMqtt"},
		{"unknown flag", "", []string{"--no-such-flag"}, "no-such-flag"},
		{"durability", "store:\n  durability: perhaps\n", nil, "perhaps"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			s := launch(t, serveOptions{config: tc.config, args: tc.args})
			code := s.exit()
			if log := s.logged(); code != 1 && code != 2 || !strings.Contains(log, tc.names) {
				t.Errorf("exit %d without %q: %s", code, tc.names, log)
			}
			if _, err := os.Stat(filepath.Join(string(s.dir), "store")); err == nil {
				t.Error("a store was made all the same")
			}
		})
	}
}

// TestConfigPrint: what print prints, check takes, and serve too.
func TestConfigPrint(t *testing.T) {
	t.Parallel()
	out, errs, status := thingjobs(t, "config", "print")
	if status != 0 {
		t.Fatalf("print: %d %s", status, errs)
	}
	file := filepath.Join(t.TempDir(), "thingjobs.yaml")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, status := thingjobs(t, "config", "check", file); status != 0 || !strings.Contains(out, "is fine") {
		t.Errorf("check: %d %s %s", status, out, errs)
	}
	s := startServer(t, serveOptions{config: out})
	s.stop()
	if err := os.WriteFile(file, []byte("regoin: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, status := thingjobs(t, "config", "check", file); status != 1 || !strings.Contains(errs, "regoin") {
		t.Errorf("check of a bad file: %d %s", status, errs)
	}
}

// TestNotifySystemd: under Type=notify the unit is up when the broker serves.
func TestNotifySystemd(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	s := launch(t, serveOptions{env: []string{"NOTIFY_SOCKET=" + socket}})
	b := make([]byte, 1024)
	n, err := conn.Read(b)
	if err != nil || string(b[:n]) != "READY=1" {
		t.Fatalf("systemd was told %q, %v", b[:n], err)
	}
	s.ready()
	s.thing("pump-1")
	s.stop()
}
