package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// TestShellQuote lets a shell judge.
func TestShellQuote(t *testing.T) {
	t.Parallel()
	sh := tool(t, "sh")
	for _, s := range []string{"", "plain", "two words", "it's", "''", `"$HOME" \ $(id) ` + "`id`", "a\nb", "~/*", "é"} {
		out, err := exec.Command(sh, "-c", "printf %s "+shellQuote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q came out as %q, %v", s, out, err)
		}
	}
}

func TestShellVars(t *testing.T) {
	t.Parallel()
	d := newDataDir(t)
	for name, v := range map[string]any{
		"endpoints.json":   endpoints{Host: "broker.example", MQTTS: "[::]:8883", HTTPS: "[::]:9443", Region: "eu-1"},
		"credentials.json": credentials{"AKIATEST", "it's secret"},
	} {
		if err := writeJSONFile(d.path(name), v, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	vars, err := shellVars(d)
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	if err := printExports(&printed, vars); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"unset AWS_SESSION_TOKEN AWS_PROFILE\n",
		"export AWS_SECRET_ACCESS_KEY='it'\\''s secret'\n",
		"export AWS_REGION='eu-1'\n",
		"export AWS_ENDPOINT_URL_IOT='https://localhost:9443'\n",
		"export AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE='https://localhost:9443'\n",
		"export AWS_CA_BUNDLE='" + d.caFile() + "'\n",
		"export THINGJOBS_MQTT_HOST='broker.example'\n",
		"export THINGJOBS_MQTT_PORT='8883'\n",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("not printed: %s", want)
		}
	}
	if strings.Contains(printed.String(), "THINGJOBS_ADMIN_URL") {
		t.Error("there is no admin listener")
	}
}
