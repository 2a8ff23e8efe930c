package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// TestConfigurationsLoad: every example is strict YAML, and valid.
func TestConfigurationsLoad(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		cfg, err := readConfig(file)
		if err == nil {
			err = cfg.Validate()
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestUnitFile: what the unit starts is a command line that serve takes.
func TestUnitFile(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("../../configs/thingjobs.service")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(unit), "\nExecStart=/usr/local/bin/thingjobs ")
	command, _, _ := strings.Cut(rest, "\n")
	if !ok || !strings.Contains(string(unit), "\nType=notify\n") {
		t.Fatalf("no Type=notify or no ExecStart in:\n%s", unit)
	}
	if fields := strings.Fields(command); fields[0] != "serve" {
		t.Errorf("it starts %q", fields)
	}
	drain := defaultConfig().Drain
	_, rest, _ = strings.Cut(string(unit), "\nTimeoutStopSec=")
	stop, _, _ := strings.Cut(rest, "\n")
	if d, err := time.ParseDuration(stop); err != nil || d <= drain {
		t.Errorf("TimeoutStopSec=%s (%v) leaves no time to drain for %s", stop, err, drain)
	}
}

// TestConfigPrintDefaults: print shows what a broker without configuration does.
func TestConfigPrintDefaults(t *testing.T) {
	t.Parallel()
	var printed bytes.Buffer
	if err := new(configPrintCmd).Run(streams{out: &printed}); err != nil {
		t.Fatal(err)
	}
	var got Config
	if _, err := decodeConfig(printed.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	got.Names, want.Names = nil, nil // [] and none are the same
	got.Auth.OperatorCertificates, want.Auth.OperatorCertificates = nil, nil
	got.ProxyProtocol.Trusted, want.ProxyProtocol.Trusted = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("printed\n%+v\nwant\n%+v", got, want)
	}
	if err := want.Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
}

func TestDecodeConfig(t *testing.T) {
	t.Parallel()
	cfg := defaultConfig()
	values, err := decodeConfig([]byte(`
accountId: "000000000001"
names: [a.example, b.example]
insecureMqtt: true
drain: 3s
store: {cacheMB: 5, durability: process}
timeout: {graceAfterRestart: 1m}
presign: {defaultRole: ""}
`), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	// By the names of the flags, for which kong asks.
	want := map[string]any{
		"account-id": "000000000001", "names": "a.example,b.example", "insecure-mqtt": "true", "drain": "3s",
		"store-cache-mb": "5", "store-durability": "process", "timeout-grace-after-restart": "1m",
	}
	if !reflect.DeepEqual(values, want) {
		t.Errorf("values %v, want %v", values, want)
	}
	if cfg.AccountID != "000000000001" || len(cfg.Names) != 2 || cfg.Drain != 3*time.Second || cfg.Store.CacheMB != 5 || cfg.Store.MinFreeMB != 512 {
		t.Errorf("decoded over the defaults: %+v", cfg)
	}
	if _, err := decodeConfig(nil, &cfg); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	for text, names := range map[string]string{"regoin: x": "regoin", "store: {cache: 1}": "cache", "data: [": "configuration", "drain: soon": "soon"} {
		if _, err := decodeConfig([]byte(text), new(Config)); err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for names, set := range map[string]func(*Config){
		"data":                      func(c *Config) { c.Data = "" },
		"mqttsAddr":                 func(c *Config) { c.MQTTSAddr = "" },
		"httpsAddr":                 func(c *Config) { c.HTTPSAddr = "8443" },
		"adminAddr":                 func(c *Config) { c.AdminAddr = "0.0.0.0:8080" },
		"insecureMqtt":              func(c *Config) { c.MQTTAddr = ":1883" },
		"accountId":                 func(c *Config) { c.AccountID = "12345678901x" },
		"region":                    func(c *Config) { c.Region = "" },
		"store.memtableMB":          func(c *Config) { c.Store.MemtableSize = 1 },
		"drain":                     func(c *Config) { c.Drain = -time.Second },
		"events.keepAfterRestart":   func(c *Config) { c.Events.KeepAfterRestart = -1 },
		"session.maxExpiry":         func(c *Config) { c.Session.MaxExpiry = 169 * time.Hour },
		"auth.operatorCertificates": func(c *Config) { c.Auth.OperatorCertificates = []string{"c0ffee"} },
		"presign.defaultRole":       func(c *Config) { c.Presign.DefaultRole = s3Role },
	} {
		c := defaultConfig()
		set(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%s: %v", names, err)
		}
	}
	for _, set := range []func(*Config){
		func(c *Config) { c.AdminAddr = "" },
		func(c *Config) { c.AdminAddr = "[::1]:8080" },
		func(c *Config) { c.MQTTAddr = "localhost:1883" },
		func(c *Config) { c.MQTTAddr, c.InsecureMQTT = ":1883", true },
	} {
		c := defaultConfig()
		set(&c)
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// TestJobRules: the defaults are those of the service, and what is set gets to the engine.
func TestJobRules(t *testing.T) {
	t.Parallel()
	cfg := defaultConfig()
	if got, want := *cfg.jobRules(), jobsvc.DefaultJobRules(); !reflect.DeepEqual(got, want) {
		t.Errorf("the default rules are %+v, want %+v", got, want)
	}
	for key, text := range map[string]string{
		"schedule.maxStartLead": "schedule: {maxStartLead: 10m}",
		"schedule.maxEndLead":   "schedule: {minSpan: 20000h}",
		"schedule":              "schedule: {minEndLead: -1s}",

		"timeout.defaultInProgressMinutes": "timeout: {defaultInProgressMinutes: 10081}",
		"retry.delaySeconds":               "retry: {delaySeconds: -1}",
		"queued.ttlMinutes":                "queued: {ttlMinutes: 527041}",
		"device.allowedStatuses":           "device: {allowedStatuses: [SUCCEEDED, FAILED, REJECTED]}",
		"limits.rolloutDefaultPerMinute":   "limits: {rolloutDefaultPerMinute: -1}",
	} {
		cfg := defaultConfig()
		if _, err := decodeConfig([]byte(text), &cfg); err != nil {
			t.Fatal(err)
		}
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("%s: %v", text, err)
		}
	}
	var c struct {
		Config `embed:""`
	}
	parser, err := kong.New(&c, kong.Configuration(loadConfigFile, configFile(t, "schedule: {minStartLead: 0s, allowSnapshotWindows: true, strictWindow: true, cancelWhenQuotaFull: true}\ncancel: {allowForceAfterCancel: false}\ntimeout: {defaultInProgressMinutes: 90}\nlimits: {profile: aws}\ncontinuous: {rerunOnRejoin: false}\nretry: {delaySeconds: 3}\nqueued: {ttlMinutes: 4}\nrollout: {smooth: true}\n")))
	if err == nil {
		_, err = parser.Parse([]string{"--schedule-min-span=1s", "--rollout-pace-associated-targets", "--continuous-remove-in-progress-on-leave", "--device-allowed-statuses=IN_PROGRESS,SUCCEEDED,FAILED,REJECTED,CANCELED"})
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := c.jobRules(); r.MinStartLead != 0 || !r.AllowSnapshotWindows || !r.StrictWindow || !r.CancelWhenQuotaFull || r.ForceAfterCancel || r.MinSpan != time.Second || r.MinEndLead != 30*time.Minute {
		t.Errorf("rules %+v", r)
	} else if r.DefaultInProgress != 90*time.Minute || !r.PaceAssociatedTargets || r.RerunOnRejoin || !r.RemoveInProgressOnLeave {
		t.Errorf("rules %+v", r)
	} else if r.RetryDelay != 3*time.Second || r.QueuedTTL != 4*time.Minute || !r.SmoothRollout || !slices.Equal(r.AllowedStatuses, []jobsvc.JobExecutionStatus{jobsvc.StatusCanceled}) {
		t.Errorf("rules %+v", r)
	}
	if l := defaultConfig(); l.limits().RolloutDefault != 0 || c.limits().RolloutDefault != 1000 {
		t.Errorf("rates of jobs that ask for none: %d, with the profile aws %d", l.limits().RolloutDefault, c.limits().RolloutDefault)
	}
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
