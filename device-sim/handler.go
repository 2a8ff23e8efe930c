package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"
)

// handler is an executable that does a job.
type handler struct {
	path     string
	job      *job
	thing    string
	artefact string // the verified file; empty if the document names none
	attempt  int
}

// operationPattern guards what we make a file name of.
var operationPattern = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$`)

// What the exit status of a handler means: sysexits.h has more on the numbers.
const (
	handlerTempFail = 75 // EX_TEMPFAIL: FAILED, and another attempt may help
	handlerUsage    = 64 // from here to 78, except 75: REJECTED, no attempt of this device can help
	handlerConfig   = 78
)

// stopGrace is how long a handler that is told to stop may take.
const stopGrace = 10 * time.Second

// handler finds the executable for a job. Without one the job is rejected.
func (a *agent) handler(j *job) (*handler, finding) {
	var members map[string]json.RawMessage
	var name string
	document := j.JobDocument
	var text string
	if json.Unmarshal(document, &text) == nil { // a document in a string, as the HTTP API has it
		document = json.RawMessage(text)
	}
	err := json.Unmarshal(document, &members)
	if err == nil {
		err = json.Unmarshal(members[a.OperationKey], &name)
	}
	if err != nil || !operationPattern.MatchString(name) {
		return nil, finding{statusRejected, reason("check", fmt.Sprintf("member %q of the job document names no operation", a.OperationKey)), true}
	}
	path := filepath.Join(a.Handlers, name)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return nil, finding{statusRejected, reason("check", fmt.Sprintf("there is no handler for the operation %q", name)), true}
	}
	return &handler{path: path, job: j}, finding{}
}

// run runs the executable, with the job document on its standard input, to its end. The error is
// the cause of ctx's end.
func (h *handler) run(ctx context.Context, timeout time.Duration) (finding, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var stdout, stderr tail
	cmd := exec.CommandContext(limited, h.path)
	cmd.Stdin = bytes.NewReader(h.job.JobDocument)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(),
		"JOB_ID="+h.job.JobID,
		"JOB_EXECUTION="+strconv.FormatInt(h.job.ExecutionNumber, 10),
		"JOB_ATTEMPT="+strconv.Itoa(h.attempt),
		"JOB_ARTEFACT="+h.artefact,
		"THING_NAME="+h.thing)
	// Told to stop, it and what it has started have some time to do it.
	ownGroup(cmd)
	cmd.WaitDelay = stopGrace
	err := cmd.Run()
	if ctx.Err() != nil {
		return finding{}, context.Cause(ctx)
	}
	details := map[string]string{"step": "handler"}
	for name, t := range map[string]*tail{"stdout": &stdout, "stderr": &stderr} {
		if text := t.text(); text != "" {
			details[name] = text
		}
	}
	status := statusSucceeded
	var exit *exec.ExitError
	switch {
	case limited.Err() != nil:
		status, details["reason"] = statusFailed, fmt.Sprintf("the handler took longer than %v", timeout)
	case errors.As(err, &exit):
		status = statusFailed
		code := exit.ExitCode()
		details["reason"] = fmt.Sprintf("the handler ended with %v", exit)
		if code == handlerTempFail {
			details["reason"] += ": another attempt may help"
		} else if code >= handlerUsage && code <= handlerConfig {
			status = statusRejected
		}
	case err != nil:
		status, details["reason"] = statusFailed, detail(err.Error())
	default:
		details["step"] = "done"
	}
	return finding{status, details, true}, nil
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

// maxDetail is how many characters a value of statusDetails may have.
const maxDetail = 1024

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if keep := maxDetail * utf8.UTFMax; len(t.b) > 2*keep {
		t.b = append(t.b[:0], t.b[len(t.b)-keep:]...)
	}
	return len(p), nil
}

// text returns the last characters. One that was cut in the middle is left out.
func (t *tail) text() string {
	runes := []rune(string(bytes.ToValidUTF8(t.b, nil)))
	return string(runes[max(0, len(runes)-maxDetail):])
}
