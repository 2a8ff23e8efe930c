package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// options is the command line.
type options struct {
	Devices  string `required:"" type:"path" placeholder:"DIR" help:"Folder of device folders, as thingjobs enroll writes them."`
	Things   string `placeholder:"GLOB" help:"Only the device folders whose name matches."`
	Count    int    `placeholder:"N" help:"Only the first N of them, by name."`
	Endpoint string `placeholder:"HOST" help:"Connect to this host instead of the one in config.json."`
	Port     int    `placeholder:"PORT" help:"Connect to this port instead of the one in config.json."`
	ALPN     string `name:"alpn" placeholder:"NAME" help:"ALPN protocol to offer. Without it, x-amzn-mqtt-ca on the ports 443 and 8443, none elsewhere."`

	UntilJobs int           `placeholder:"N" help:"Each device ends after N finished executions. Default 1; without limit if --duration is given."`
	Duration  time.Duration `placeholder:"TIME" help:"End after this time; executions under way are finished first."`
	Timeout   time.Duration `placeholder:"TIME" help:"Break off after this time. Default 10m, or --duration plus 10m."`

	Seed        int64         `default:"1" help:"Outcomes, installation times and start delays follow from it."`
	Fail        float64       `placeholder:"PERCENT" help:"Executions to report as FAILED."`
	Reject      float64       `placeholder:"PERCENT" help:"Executions to report as REJECTED."`
	Work        time.Duration `default:"200ms" help:"Mean simulated installation time; drawn from half of it to one and a half."`
	StartSpread time.Duration `placeholder:"TIME" help:"Spread the first connections over this time."`
	ReportEvery time.Duration `default:"2s" help:"Least time between two progress reports of an execution."`

	CA           []string `name:"ca" type:"path" placeholder:"FILE" help:"PEM file with roots to trust for downloads, besides the system's."`
	URLKey       string   `name:"url-key" default:"url" help:"Member of the job document that holds the URL of the artefact."`
	SHA256Key    string   `name:"sha256-key" default:"sha256" help:"Member beside it that holds the SHA-256 in hexadecimal."`
	SizeKey      string   `name:"size-key" default:"size" help:"Member beside it that may hold the size in bytes."`
	Keep         string   `type:"path" placeholder:"DIR" help:"Keep verified artefacts as DIR/THING/JOB-EXECUTION."`
	MaxDownloads int      `default:"128" help:"Downloads at a time, for the whole fleet."`

	RequestTimeout time.Duration `default:"10s" help:"Wait for a reply; requests are repeated after it, doubling to 64 times it."`
	ReconnectDelay time.Duration `default:"1s" help:"Mean delay before the first reconnect, doubling to 2m."`

	JSON bool `name:"json" help:"One JSON object a line on the standard output: events, and a report at the end."`
}

// settings checks the options and makes a run of them.
func (o *options) settings() (settings, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Count >= 0, "--count is negative")
	check(o.Port >= 0 && o.Port <= 65535, "--port %d is no port", o.Port)
	check(o.UntilJobs >= 0, "--until-jobs is negative")
	check(o.Duration >= 0 && o.Timeout >= 0 && o.Work >= 0 && o.StartSpread >= 0 && o.ReportEvery >= 0, "a time is negative")
	check(o.RequestTimeout > 0, "--request-timeout must be positive")
	check(o.ReconnectDelay > 0, "--reconnect-delay must be positive")
	check(o.Fail >= 0 && o.Reject >= 0 && o.Fail+o.Reject <= 100, "--fail and --reject are percentages, together at most 100")
	check(o.MaxDownloads > 0, "--max-downloads must be positive")
	check(o.URLKey != "" && o.SHA256Key != "" && o.SizeKey != "", "a member name is empty")

	s := settings{
		keys:           artefactKeys{url: o.URLKey, sha256: o.SHA256Key, size: o.SizeKey},
		keep:           o.Keep,
		alpn:           o.ALPN,
		seed:           o.Seed,
		odds:           odds{fail: o.Fail, reject: o.Reject},
		work:           o.Work,
		startSpread:    o.StartSpread,
		untilJobs:      o.UntilJobs,
		duration:       o.Duration,
		timeout:        o.Timeout,
		reportEvery:    o.ReportEvery,
		requestTimeout: o.RequestTimeout,
		reconnectDelay: o.ReconnectDelay,
		maxDownloads:   o.MaxDownloads,
	}
	if s.untilJobs == 0 && s.duration == 0 {
		s.untilJobs = 1
	}
	if s.timeout == 0 {
		s.timeout = 10*time.Minute + s.duration
	}
	var err error
	s.roots, err = downloadRoots(o.CA)
	return s, errors.Join(append(errs, err)...)
}

// downloadRoots returns the system's roots and those of the files.
func downloadRoots(files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil // the system's
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // none installed: the files have to do
	}
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca: no certificate in PEM form in %s", f)
		}
	}
	return roots, nil
}

// folders is the selection of devices.
func (o *options) folders() folders {
	return folders{dir: o.Devices, glob: o.Things, count: o.Count, endpoint: o.Endpoint, port: o.Port}
}
