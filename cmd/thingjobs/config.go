package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/presign"
)

// Config is everything that can be set. A field is a key of the YAML file (tag yaml), a
// flag (tag name) and a variable: THINGJOBS_ and the flag's name. A flag beats a
// variable, a variable the file, the file the default. The help texts are the comments
// of `thingjobs config print`.
type Config struct {
	Data string `yaml:"data" name:"data" default:"./thingjobs-data" help:"Directory of all state: store, CA, keys. Made with mode 0700."`

	MQTTSAddr string `yaml:"mqttsAddr" name:"mqtts-addr" default:":8883" help:"MQTT over TLS with client certificates."`
	HTTPSAddr string `yaml:"httpsAddr" name:"https-addr" default:":8443" help:"HTTPS, and MQTT for clients that offer the ALPN x-amzn-mqtt-ca or mqtt."`
	AdminAddr string `yaml:"adminAddr" name:"admin-addr" default:"127.0.0.1:8080" help:"Plain HTTP for the same API, /metrics, /livez and /readyz. Empty: off."`
	MQTTAddr  string `yaml:"mqttAddr" name:"mqtt-addr" default:"" help:"Plain MQTT for development, where the client ID is the thing. Empty: off."`
	// InsecureMQTT is the second setting that plain MQTT beyond this machine needs.
	InsecureMQTT bool `yaml:"insecureMqtt" name:"insecure-mqtt" help:"Allow mqtt-addr to be other than loopback: anyone who reaches it is any device."`

	Host  string   `yaml:"host" name:"host" default:"" help:"Host name or address that devices are given. Empty: this machine's name, or localhost when only loopback is listened on."`
	Names []string `yaml:"names" name:"names" help:"More names and addresses for the server certificate."`

	AccountID string `yaml:"accountId" name:"account-id" default:"123456789012" help:"Twelve digits, for ARNs."`
	Region    string `yaml:"region" name:"region" default:"us-east-1" help:"Region, for ARNs and signatures."`
	Partition string `yaml:"partition" name:"partition" default:"aws" help:"Partition, for ARNs."`

	LogLevel  string `yaml:"logLevel" name:"log-level" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	LogFormat string `yaml:"logFormat" name:"log-format" default:"auto" enum:"auto,text,json" help:"text, json, or auto: text on a terminal."`

	Pprof bool `yaml:"pprof" name:"pprof" help:"Serve profiles at /debug/pprof/ of admin-addr, and /debug/free, which collects garbage and gives memory back. They need no signature."`

	TLS           TLSConfig           `yaml:"tls" embed:"" prefix:"tls-"`
	ProxyProtocol ProxyProtocolConfig `yaml:"proxyProtocol" embed:"" prefix:"proxy-protocol-"`

	Store      StoreConfig      `yaml:"store" embed:"" prefix:"store-"`
	Timeout    TimeoutConfig    `yaml:"timeout" embed:"" prefix:"timeout-"`
	Rollout    RolloutConfig    `yaml:"rollout" embed:"" prefix:"rollout-"`
	Schedule   ScheduleConfig   `yaml:"schedule" embed:"" prefix:"schedule-"`
	Retry      RetryConfig      `yaml:"retry" embed:"" prefix:"retry-"`
	Queued     QueuedConfig     `yaml:"queued" embed:"" prefix:"queued-"`
	Device     DeviceConfig     `yaml:"device" embed:"" prefix:"device-"`
	Cancel     CancelConfig     `yaml:"cancel" embed:"" prefix:"cancel-"`
	Continuous ContinuousConfig `yaml:"continuous" embed:"" prefix:"continuous-"`
	Events     EventsConfig     `yaml:"events" embed:"" prefix:"events-"`
	Session    SessionConfig    `yaml:"session" embed:"" prefix:"session-"`
	Auth       AuthConfig       `yaml:"auth" embed:"" prefix:"auth-"`
	Limits     LimitsConfig     `yaml:"limits" embed:"" prefix:"limits-"`
	Registry   RegistryConfig   `yaml:"registry" embed:"" prefix:"registry-"`
	Policies   PoliciesConfig   `yaml:"policies" embed:"" prefix:"policies-"`
	Retention  RetentionConfig  `yaml:"retention" embed:"" prefix:"retention-"`

	Throttle ThrottleConfig `yaml:"throttle" embed:"" prefix:"throttle-"`
	Drain    time.Duration  `yaml:"drain" name:"drain" default:"10s" help:"How long a stop waits for what is in flight."`
	Presign  presign.Config `yaml:"presign" kong:"-"`
}

// StoreConfig is how the store uses the machine.
type StoreConfig struct {
	Durability   string `yaml:"durability" name:"durability" default:"machine" enum:"machine,process" help:"machine: what is acknowledged survives a power failure. process: only a crash of the process; faster."`
	CacheMB      int64  `yaml:"cacheMB" name:"cache-mb" default:"64" help:"Memory for records in use, in MiB."`
	MinFreeMB    int64  `yaml:"minFreeMB" name:"min-free-mb" default:"512" help:"Free disk space below which nothing is accepted any more, in MiB. 0: no check."`
	MemtableSize int64  `yaml:"memtableMB" name:"memtable-mb" default:"16" help:"What is gathered in memory before it becomes a table, in MiB, 16 at least."`
}

// TimeoutConfig is about execution timeouts.
type TimeoutConfig struct {
	GraceAfterRestart time.Duration `yaml:"graceAfterRestart" name:"grace-after-restart" default:"60s" help:"How long timeouts that came due while the broker was down wait, so that devices can still report."`

	DefaultInProgressMinutes int64 `yaml:"defaultInProgressMinutes" name:"default-in-progress-minutes" default:"0" help:"How long an execution of a job without timeoutConfig may be IN_PROGRESS, in minutes. 0: for ever. It is for executions that begin afterwards, and DescribeJob does not show it."`
}

// RolloutConfig is about the pace of rollouts.
type RolloutConfig struct {
	Smooth bool `yaml:"smooth" name:"smooth" help:"Spread what maximumPerMinute allows evenly over the minute. Without it a minute's things are released at its beginning."`

	PaceAssociatedTargets bool `yaml:"paceAssociatedTargets" name:"pace-associated-targets" help:"Let the things of targets that AssociateTargetsWithJob adds wait for the rate of their job. Without it they get their executions at once."`
}

var accountIDPattern = regexp.MustCompile(`^[0-9]{12}$`)

// Validate checks what the flags alone cannot. Its errors name the key.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.Data == "" {
		bad("data", "a directory is required")
	}
	for key, addr := range map[string]string{"mqttsAddr": c.MQTTSAddr, "httpsAddr": c.HTTPSAddr, "adminAddr": c.AdminAddr, "mqttAddr": c.MQTTAddr} {
		if addr == "" {
			if key == "mqttsAddr" || key == "httpsAddr" {
				bad(key, "an address is required")
			}
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			bad(key, "%q is no address: host:port is wanted", addr)
		}
	}
	if c.AdminAddr != "" && !loopback(c.AdminAddr) {
		bad("adminAddr", "%q is not loopback: this listener has no TLS", c.AdminAddr)
	}
	if c.MQTTAddr != "" && !c.InsecureMQTT && !loopback(c.MQTTAddr) {
		bad("mqttAddr", "%q is not loopback; set insecureMqtt to let anyone be any device", c.MQTTAddr)
	}
	if !accountIDPattern.MatchString(c.AccountID) {
		bad("accountId", "%q is not twelve digits", c.AccountID)
	}
	if c.Region == "" || c.Partition == "" {
		bad("region", "region and partition are required")
	}
	if c.Store.MemtableSize < 16 {
		bad("store.memtableMB", "%d is less than 16", c.Store.MemtableSize)
	}
	if c.Drain < 0 || c.Timeout.GraceAfterRestart < 0 {
		bad("drain", "durations are not negative")
	}
	c.validateJobs(bad)
	c.validateEvents(bad)
	c.validateTransport(bad)
	c.validateSession(bad)
	c.validateLimits(bad)
	if err := c.Presign.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *Config) account() jobsvc.Account {
	return jobsvc.Account{Partition: c.Partition, Region: c.Region, ID: c.AccountID}
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// loadConfigFile reads a YAML file for kong, refusing keys there are not.
func loadConfigFile(r io.Reader) (kong.Resolver, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	values, err := decodeConfig(text, new(Config))
	if err != nil {
		return nil, err
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, env := range flag.Envs {
			if _, ok := os.LookupEnv(env); ok {
				return nil, nil // a variable beats the file
			}
		}
		return values[flag.Name], nil
	}), nil
}

// decodeConfig decodes YAML strictly into c, and gives the values it sets by the names of
// their flags.
func decodeConfig(text []byte, c *Config) (map[string]any, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	values := make(map[string]any)
	flatten(values, "", reflect.TypeFor[Config](), tree)
	return values, nil
}

// flatten follows the yaml tags through a tree to the flags' names.
func flatten(values map[string]any, prefix string, t reflect.Type, tree map[string]any) {
	for f := range fields(t) {
		v, ok := tree[f.Tag.Get("yaml")]
		if !ok || v == nil || f.Tag.Get("kong") == "-" {
			continue
		}
		if sub, ok := v.(map[string]any); ok {
			flatten(values, prefix+f.Tag.Get("prefix"), f.Type, sub)
			continue
		}
		if list, ok := v.([]any); ok {
			var parts []string
			for _, e := range list {
				parts = append(parts, fmt.Sprint(e))
			}
			v = strings.Join(parts, ",")
		}
		values[prefix+f.Tag.Get("name")] = fmt.Sprint(v)
	}
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

type configCmd struct {
	Print configPrintCmd `cmd:"" help:"Print every key with its default and what it does."`
	Check configCheckCmd `cmd:"" help:"Check a configuration file."`
}

type configPrintCmd struct{}

func (*configPrintCmd) Run(s streams) error {
	fmt.Fprintln(s.out, "# Every key of the configuration file with its default.")
	printKeys(s.out, "", reflect.TypeFor[Config]())
	_, err := fmt.Fprint(s.out, `
# Stores and roles for presigned URLs: see docs/presigned-urls.md.
# presign:
#   stores: []
#   roles: []
`)
	return err
}

func printKeys(w io.Writer, indent string, t reflect.Type) {
	for f := range fields(t) {
		key := f.Tag.Get("yaml")
		switch {
		case f.Tag.Get("kong") == "-":
		case f.Type.Kind() == reflect.Struct:
			fmt.Fprintf(w, "\n%s%s:\n", indent, key)
			printKeys(w, indent+"  ", f.Type)
		default:
			fmt.Fprintf(w, "\n%s# %s\n%s%s: %s\n", indent, strings.ReplaceAll(f.Tag.Get("help"), "$$", "$"), indent, key, yamlDefault(f))
		}
	}
}

func yamlDefault(f reflect.StructField) string {
	def := f.Tag.Get("default")
	switch f.Type.Kind() {
	case reflect.String:
		b, _ := json.Marshal(def) // a JSON string is a YAML string
		return string(b)
	case reflect.Slice:
		return "[" + strings.ReplaceAll(def, ",", ", ") + "]"
	case reflect.Pointer:
		return "null"
	case reflect.Bool:
		if def == "" {
			return "false"
		}
	}
	return def
}

type configCheckCmd struct {
	File string `arg:"" type:"existingfile" help:"The file."`
}

func (c *configCheckCmd) Run(s streams) error {
	cfg, err := readConfig(c.File)
	if err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, c.File, "is fine.")
	return err
}

// readConfig reads a file over the defaults.
func readConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cfg := defaultConfig()
	_, err = decodeConfig(text, &cfg)
	return &cfg, err
}

// defaultConfig is what serve runs with when nothing is set.
func defaultConfig() Config {
	var c struct {
		Config `embed:""`
	}
	parser, err := kong.New(&c, kong.Exit(func(int) {}))
	if err == nil {
		_, err = parser.Parse(nil)
	}
	if err != nil {
		panic("thingjobs: the defaults do not parse: " + err.Error()) // a bug in the tags
	}
	return c.Config
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
