package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// connecting are the options of every command that runs a fleet.
type connecting struct {
	Devices  string `required:"" type:"path" placeholder:"DIR" help:"Folder of device folders, as thingjobs enroll writes them."`
	Things   string `placeholder:"GLOB" help:"Only the device folders whose name matches."`
	Count    int    `placeholder:"N" help:"Only the first N of them, by name."`
	Endpoint string `placeholder:"HOST" help:"Connect to this host instead of the one in config.json."`
	Port     int    `placeholder:"PORT" help:"Connect to this port instead of the one in config.json."`
	ALPN     string `name:"alpn" placeholder:"NAME" help:"ALPN protocol to offer. Without it, x-amzn-mqtt-ca on the ports 443 and 8443, none elsewhere."`
	MQTT     string `name:"mqtt" enum:"5,3.1.1" default:"5" help:"Version of MQTT: 5 or 3.1.1."`
	Source   string `placeholder:"NETWORK" help:"Connect from addresses of this network, such as 127.0.0.0/8: one address has some 28,000 ports."`
	Sources  int    `default:"1" help:"How many addresses of it."`

	Seed           *int64        `placeholder:"N" help:"Outcomes, times and delays follow from it. Default 1."`
	StartSpread    time.Duration `placeholder:"TIME" help:"Spread the first connections over this time."`
	RequestTimeout time.Duration `default:"10s" help:"Wait for a reply; requests are repeated after it, doubling to 64 times it."`
	ReconnectDelay time.Duration `default:"1s" help:"Mean delay before the first reconnect, doubling to 2m."`

	jobOptions `embed:""`

	ServerMetrics string        `placeholder:"URL" help:"Sample the server's /metrics and judge that memory, goroutines and latency stay flat: the last quarter of --duration against the first."`
	Warmup        time.Duration `placeholder:"TIME" help:"What comes before the first quarter; load does not count it at all. Default of a fleet: a tenth of --duration."`

	JSON bool `name:"json" help:"One JSON object a line on the standard output: events, and a report at the end."`
}

// jobOptions are about jobs that a run makes for itself.
type jobOptions struct {
	CreateJobs  bool          `help:"Make a job over all devices of the run, when they are connected. Needs AWS_ENDPOINT_URL_IOT and the credentials of an operator."`
	JobEvery    time.Duration `placeholder:"TIME" help:"Make another job each time this has passed."`
	JobGroups   int           `default:"1" placeholder:"N" help:"Deal the devices to N thing groups and make each job for the next of them, so that not all devices begin at once."`
	JobDocument string        `default:"{\"operation\":\"simulate\"}" placeholder:"JSON" help:"The document of the jobs."`
	JobTimeout  time.Duration `placeholder:"TIME" help:"Timeout of an execution in progress, in whole minutes."`
}

func (o *jobOptions) check(c *checks) {
	c.want(o.JobEvery >= 0, "--job-every is negative")
	c.want(o.JobTimeout >= 0 && o.JobTimeout%time.Minute == 0, "--job-timeout is in whole minutes")
	c.want(o.JobGroups > 0, "--job-groups must be positive")
	c.want(o.CreateJobs || o.JobEvery == 0 && o.JobTimeout == 0, "--job-every and --job-timeout need --create-jobs")
}

// plan is what these options say of jobs; nil for none.
func (o *jobOptions) plan() *jobPlan {
	if !o.CreateJobs {
		return nil
	}
	return &jobPlan{document: o.JobDocument, every: o.JobEvery, timeoutMinutes: int(o.JobTimeout / time.Minute), groups: o.JobGroups}
}

// options is the command line of a fleet.
type options struct {
	connecting `embed:""`
	Scenario   string `type:"path" placeholder:"FILE" help:"Fleets, manners and assertions from a file; see device-sim scenario print."`

	UntilJobs int           `placeholder:"N" help:"Each device ends after N finished executions. Default 1; without limit if --duration is given."`
	Duration  time.Duration `placeholder:"TIME" help:"End after this time; executions under way are finished first."`
	Timeout   time.Duration `placeholder:"TIME" help:"Break off after this time. Default 10m, or --duration plus 10m."`

	Style       string        `enum:"start-next,notify-next,notify,poll" default:"start-next" help:"How devices come by their work: start-next, notify-next, notify or poll."`
	PollEvery   time.Duration `default:"5s" help:"How often a device of the style poll asks."`
	Fail        float64       `placeholder:"PERCENT" help:"Executions to report as FAILED."`
	Reject      float64       `placeholder:"PERCENT" help:"Executions to report as REJECTED."`
	Work        time.Duration `default:"200ms" help:"Mean simulated installation time; drawn from half of it to one and a half."`
	ReportEvery time.Duration `default:"2s" help:"Least time between two progress reports of an execution."`

	CA           []string `name:"ca" type:"path" placeholder:"FILE" help:"PEM file with roots to trust for downloads, besides the system's."`
	URLKey       string   `name:"url-key" default:"url" help:"Member of the job document that holds the URL of the artefact."`
	SHA256Key    string   `name:"sha256-key" default:"sha256" help:"Member beside it that holds the SHA-256 in hexadecimal."`
	SizeKey      string   `name:"size-key" default:"size" help:"Member beside it that may hold the size in bytes."`
	Keep         string   `type:"path" placeholder:"DIR" help:"Keep verified artefacts as DIR/THING/JOB-EXECUTION."`
	MaxDownloads int      `default:"128" help:"Downloads at a time, for the whole fleet."`

	Verdicts bool          `default:"true" negatable:"" help:"Judge what the broker does, as the report and the exit status tell."`
	Counters bool          `help:"Compare the counters of DescribeJob with what devices reported. Needs AWS_ENDPOINT_URL_IOT and the credentials of an operator, and all targets of the jobs in the fleet."`
	JUnit    string        `name:"junit" type:"path" placeholder:"FILE" help:"Write the verdicts in JUnit's format."`
	Report   string        `type:"path" placeholder:"FILE" help:"Write the report with plots, as a page of HTML."`
	Metrics  string        `placeholder:"ADDRESS" help:"Serve /metrics to Prometheus on HOST:PORT while the fleet runs."`
	Grace    time.Duration `default:"2s" help:"How long a notification may be overdue at the end, before it counts as lost."`
}

// checks collects what is wrong with options.
type checks []error

func (c *checks) want(ok bool, format string, args ...any) {
	if !ok {
		*c = append(*c, fmt.Errorf(format, args...))
	}
}

// check adds what is wrong with the connecting options.
func (o *connecting) check(c *checks) {
	c.want(o.Count >= 0, "--count is negative")
	c.want(o.Port >= 0 && o.Port <= 65535, "--port %d is no port", o.Port)
	c.want(o.StartSpread >= 0, "--start-spread is negative")
	c.want(o.RequestTimeout > 0, "--request-timeout must be positive")
	c.want(o.ReconnectDelay > 0, "--reconnect-delay must be positive")
	c.want(o.Sources > 0, "--sources must be positive")
	c.want(o.Source != "" || o.Sources == 1, "--sources needs --source")
	c.want(o.Warmup >= 0, "--warmup is negative")
	o.jobOptions.check(c)
}

// conduct is what these options say of it.
func (o *connecting) conduct() conduct {
	return conduct{version: version(o.MQTT), style: styleStartNext, startSpread: o.StartSpread, pollEvery: 5 * time.Second,
		flapEvery: 2 * time.Second, away: time.Second}
}

// settings is what these options say of a run.
func (o *connecting) settings(c *checks) settings {
	s := settings{alpn: o.ALPN, seed: 1, jobs: o.plan(), requestTimeout: o.RequestTimeout, reconnectDelay: o.ReconnectDelay}
	if o.Seed != nil {
		s.seed = *o.Seed
	}
	if o.Source != "" {
		var err error
		s.sources, err = newSources(o.Source, o.Sources)
		c.want(err == nil, "%w", err)
	}
	if o.ServerMetrics != "" {
		s.steady = newSteadiness(o.ServerMetrics)
	}
	return s
}

// folders is the selection of devices.
func (o *connecting) folders() folders {
	return folders{dir: o.Devices, glob: o.Things, count: o.Count, endpoint: o.Endpoint, port: o.Port}
}

// conduct is how the devices behave without a scenario.
func (o *options) conduct() conduct {
	c := o.connecting.conduct()
	c.style, c.odds = style(o.Style), odds{fail: o.Fail, reject: o.Reject}
	c.work, c.pollEvery, c.untilJobs = o.Work, o.PollEvery, o.UntilJobs
	if c.untilJobs == 0 && o.Duration == 0 {
		c.untilJobs = 1
	}
	return c
}

// settings checks the options and makes a run of them.
func (o *options) settings() (settings, error) {
	var c checks
	o.check(&c)
	c.want(o.UntilJobs >= 0, "--until-jobs is negative")
	c.want(o.Duration >= 0 && o.Timeout >= 0 && o.Work >= 0 && o.ReportEvery >= 0 && o.Grace >= 0, "a time is negative")
	c.want(o.PollEvery > 0, "--poll-every must be positive")
	c.want(o.Fail >= 0 && o.Reject >= 0 && o.Fail+o.Reject <= 100, "--fail and --reject are percentages, together at most 100")
	c.want(o.MaxDownloads > 0, "--max-downloads must be positive")
	c.want(o.URLKey != "" && o.SHA256Key != "" && o.SizeKey != "", "a member name is empty")

	s := o.connecting.settings(&c)
	s.keys = artefactKeys{url: o.URLKey, sha256: o.SHA256Key, size: o.SizeKey}
	s.keep, s.maxDownloads, s.reportEvery = o.Keep, o.MaxDownloads, o.ReportEvery
	s.html, s.warmup = o.Report, o.Warmup
	s.duration, s.timeout, s.grace = o.Duration, o.Timeout, o.Grace
	if o.Verdicts {
		s.verdicts = newVerdicts()
	}
	var err error
	if s.roots, err = downloadRoots(o.CA); err != nil {
		c = append(c, err)
	}
	if o.Counters {
		c.want(o.Verdicts, "--counters is one of the verdicts")
		s.counters, err = newControlPlane(os.Getenv, s.roots)
		c.want(err == nil, "%w", err)
	}
	return s, errors.Join(c...)
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
