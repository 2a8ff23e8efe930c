package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// agentOptions is the command line of the agent: one real device, with work of its own.
type agentOptions struct {
	Device         string        `required:"" type:"existingdir" placeholder:"DIR" help:"The device's folder, as thingjobs enroll writes it."`
	Handlers       string        `required:"" type:"existingdir" placeholder:"DIR" help:"Folder of executables. The one named as the operation in the job document does the job."`
	OperationKey   string        `default:"operation" help:"Member of the job document that names the handler."`
	HandlerTimeout time.Duration `default:"30m" help:"How long a handler may take. It is the step timeout of the execution, too."`
	State          string        `type:"path" placeholder:"FILE" help:"Remembers the execution at work over a reboot. Default: state.json in the device's folder."`
	Work           string        `type:"path" placeholder:"DIR" help:"Where artefacts are downloaded to. Default: artefacts in the device's folder."`

	Endpoint       string        `placeholder:"HOST" help:"Connect to this host instead of the one in config.json."`
	Port           int           `placeholder:"PORT" help:"Connect to this port instead of the one in config.json."`
	ALPN           string        `name:"alpn" placeholder:"NAME" help:"ALPN protocol to offer. Without it, x-amzn-mqtt-ca on the ports 443 and 8443, none elsewhere."`
	MQTT           string        `name:"mqtt" enum:"5,3.1.1" default:"5" help:"Version of MQTT: 5 or 3.1.1."`
	CA             []string      `name:"ca" type:"path" placeholder:"FILE" help:"PEM file with roots to trust for downloads, besides the system's."`
	URLKey         string        `name:"url-key" default:"url" help:"Member of the job document that holds the URL of the artefact."`
	SHA256Key      string        `name:"sha256-key" default:"sha256" help:"Member beside it that holds the SHA-256 in hexadecimal."`
	SizeKey        string        `name:"size-key" default:"size" help:"Member beside it that may hold the size in bytes."`
	UntilJobs      int           `placeholder:"N" help:"End after N finished executions. Without it, never."`
	RequestTimeout time.Duration `default:"10s" help:"Wait for a reply; requests are repeated after it, doubling to 64 times it."`
	ReconnectDelay time.Duration `default:"1s" help:"Mean delay before the first reconnect, doubling to 2m."`
	ReportEvery    time.Duration `default:"10s" help:"Least time between two progress reports of a download."`
	JSON           bool          `name:"json" help:"One JSON object a line on the standard output: events, and a report at the end."`
}

// run is the agent's life, until ctx ends. A handler under way is ended first, and its execution
// stays in progress: the next start goes on with it.
func (o *agentOptions) run(ctx context.Context, stdout, stderr io.Writer) int {
	var c checks
	c.want(o.HandlerTimeout > 0, "--handler-timeout must be positive")
	c.want(o.HandlerTimeout <= 7*24*time.Hour, "--handler-timeout is more than the 7 days of a step timeout")
	c.want(o.RequestTimeout > 0 && o.ReconnectDelay > 0 && o.ReportEvery >= 0, "a time is not positive")
	c.want(o.UntilJobs >= 0, "--until-jobs is negative")
	roots, err := downloadRoots(o.CA)
	c.want(err == nil, "%w", err)
	f := folders{endpoint: o.Endpoint, port: o.Port}
	f.dir, f.glob = filepath.Split(filepath.Clean(o.Device))
	id, err := f.loadOne(f.glob, make(pools))
	c.want(err == nil, "%s: %w", o.Device, err)
	if err := errors.Join(c...); err != nil {
		return usage(stderr, err)
	}
	s := settings{
		keys: artefactKeys{url: o.URLKey, sha256: o.SHA256Key, size: o.SizeKey}, roots: roots, alpn: o.ALPN,
		reportEvery: o.ReportEvery, requestTimeout: o.RequestTimeout, reconnectDelay: o.ReconnectDelay, maxDownloads: 1,
		keep: o.Work, events: func(e event) { tell(stderr, e) },
	}
	if o.JSON {
		s.lines, s.events = stdout, nil
	}
	if s.keep == "" {
		s.keep = filepath.Join(o.Device, "artefacts")
	}
	a := &agent{agentOptions: o, keep: s.keep, state: o.State}
	if a.state == "" {
		a.state = filepath.Join(o.Device, "state.json")
	}
	s.work = a.work
	s.stepTimeout = o.HandlerTimeout
	rep, err := run(ctx, []member{{id, conduct{style: styleStartNext, version: version(o.MQTT), untilJobs: o.UntilJobs}}}, s)
	if err != nil {
		fmt.Fprintf(stderr, "device-sim: output: %v\n", err)
		return exitFailure
	}
	if rep.NotOK > 0 && ctx.Err() == nil {
		for _, f := range rep.Failures {
			fmt.Fprintf(stderr, "device-sim: %s: %s\n", f.Thing, f.Reason)
		}
		return exitFailure
	}
	return exitOK // stopping when told to is no failure
}

// tell prints an event for people and the journal.
func tell(w io.Writer, e event) {
	switch e.Event {
	case evNotified, evEnded:
		return
	}
	text := e.Event
	if e.Job != "" {
		text += fmt.Sprintf(" %s/%d", e.Job, e.Execution)
	}
	for _, s := range []string{e.Status, e.Step, e.Reason} {
		if s != "" {
			text += " " + s
		}
	}
	fmt.Fprintln(w, text) // where it cannot be written, nobody reads it
}

// agent does jobs by handlers.
type agent struct {
	*agentOptions
	keep  string
	state string // file
}

// agentState is what survives a reboot.
type agentState struct {
	Job       string `json:"jobId"`
	Execution int64  `json:"executionNumber"`
	Attempts  int    `json:"attempts"` // how often its handler was started

	// How the handler ended. It is not run again when only the report of that was lost.
	Status  string            `json:"status,omitempty"`
	Details map[string]string `json:"statusDetails,omitempty"`
}

// work does one job: artefact, then handler. It is what a simulated device does in its manner.
func (a *agent) work(ctx context.Context, d *device, j *job) (finding, error) {
	s := a.recall(j)
	if s.Status != "" {
		return finding{s.Status, s.Details, true}, nil
	}
	s.Attempts++
	if err := a.remember(s); err != nil {
		return finding{statusFailed, reason("state", err.Error()), true}, nil
	}
	f, err := a.perform(ctx, d, j, s.Attempts)
	if err != nil {
		return f, err // not at its end: a later start goes on
	}
	s.Status, s.Details = f.status, f.details
	if err := a.remember(s); err != nil {
		d.problem(j, "state", err) // the report is what counts
	}
	return f, nil
}

func (a *agent) perform(ctx context.Context, d *device, j *job, attempt int) (finding, error) {
	h, f := a.handler(j)
	if h == nil {
		return f, nil
	}
	file, err := d.keys.find(j.JobDocument)
	if err != nil {
		return finding{statusRejected, reason("check", err.Error()), true}, nil
	}
	if file != nil {
		if err := d.download(ctx, j, file); err != nil {
			if errors.Is(err, errGone) || ctx.Err() != nil {
				return finding{}, err
			}
			return finding{statusFailed, reason("download", err.Error()), true}, nil
		}
		h.artefact = artefactFile(a.keep, d.id.thing, j.execution)
		defer func() { _ = os.Remove(h.artefact) }() // in the way of nobody
	}
	d.reported = time.Time{} // however short ago the last one was: the step timeout begins anew
	if err := d.progress(ctx, j, event{Step: "handler"}); err != nil {
		return finding{}, err
	}
	h.attempt, h.thing = attempt, d.id.thing
	return h.run(ctx, a.HandlerTimeout)
}

// recall returns what is known of an execution. A state file cut short knows nothing.
func (a *agent) recall(j *job) agentState {
	var s agentState
	text, err := os.ReadFile(a.state)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil || s.Job != j.JobID || s.Execution != j.ExecutionNumber {
		return agentState{Job: j.JobID, Execution: j.ExecutionNumber}
	}
	return s
}

// remember writes down what is known of the execution at work.
func (a *agent) remember(s agentState) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(a.state, text)
}

// replaceFile writes a file so that a crash leaves the old or the new one, whole and on the disk.
func replaceFile(name string, data []byte) error {
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
