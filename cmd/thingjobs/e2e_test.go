package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/presign/s3server"
)

// The end-to-end tests drive the built programs as processes, with clients that are not
// ours wherever there is one: the aws CLI, AWS's SDKs, mosquitto, paho.

// programs are built once for all tests, the way `make build` does, and with the race
// detector when the tests have it.
var programs = struct {
	sync.Once
	dir string
	err error
}{}

func TestMain(m *testing.M) {
	code := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// program gives the path of a built program: thingjobs or device-sim.
func program(t testing.TB, name string) string {
	t.Helper()
	programs.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "thingjobs-e2e-"); programs.err != nil {
			return
		}
		args := []string{"build", "-o", programs.dir + string(filepath.Separator)}
		if raceDetector() {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, ".", "../../device-sim")...).CombinedOutput()
		if err != nil {
			programs.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

// raceDetector tells whether this test binary was built with it.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// missing skips a test that cannot run here; where everything is to be there it fails it.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// tool gives the path of a program that `make debs` installs.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is not installed: run `make debs`", name)
	}
	return path
}

// debianPython gives Debian's Python, checked for a module of one of its packages.
func debianPython(t testing.TB, module string) string {
	t.Helper()
	python := tool(t, "/usr/bin/python3")
	if err := exec.Command(python, "-c", "import "+module).Run(); err != nil {
		missing(t, "%s has no module %s: run `make debs`", python, module)
	}
	return python
}

// cleanEnv is the environment without settings of brokers and AWS clients, and with a
// home that has none either.
func cleanEnv(t testing.TB, more ...string) []string {
	t.Helper()
	var env []string
	for _, kv := range os.Environ() {
		switch name, _, _ := strings.Cut(kv, "="); {
		case strings.HasPrefix(name, "AWS_"), strings.HasPrefix(name, "THINGJOBS_"), name == "HOME", name == "NOTIFY_SOCKET":
		default:
			env = append(env, kv)
		}
	}
	return append(append(env, "HOME="+t.TempDir()), more...)
}

// patience bounds every wait for something that is to happen.
const patience = time.Minute

// within gives a context that ends after patience, and with the test.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// runCommand runs a program to its end and gives what it printed.
func runCommand(t testing.TB, env []string, name string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(within(t), name, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &errs
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, &errs)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// thingjobs runs a command of the built binary to its end.
func thingjobs(t testing.TB, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return runCommand(t, cleanEnv(t), program(t, "thingjobs"), args...)
}

// server is a broker that runs as a process.
type server struct {
	t    testing.TB
	dir  dataDir
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and log is complete

	serving chan map[string]any // the log line; closed with the process

	mu      sync.Mutex
	log     bytes.Buffer // everything it wrote to stderr; guarded by mu
	secrets []string     // what must not be in it
	checked bool         // that they are not

	*client // with the admin's key
}

// serveOptions is how startServer starts the broker.
type serveOptions struct {
	broker string   // the program; "" means the one that program builds
	data   string   // "" means a directory of the test's
	config string   // text of the configuration file; "" means none
	args   []string // more arguments
	env    []string // more environment
}

// startServer starts `thingjobs serve` on ports of its own and returns when it serves.
func startServer(t testing.TB, o serveOptions) *server {
	t.Helper()
	s := launch(t, o)
	s.ready()
	return s
}

// launch starts the process and does not wait for it.
func launch(t testing.TB, o serveOptions) *server {
	t.Helper()
	if o.data == "" {
		o.data = filepath.Join(t.TempDir(), "data")
	}
	args := []string{"serve", "--data", o.data, "--log-level", "debug", "--log-format", "json", "--store-min-free-mb", "16"}
	for _, l := range []string{"mqtts", "https", "admin"} {
		args = append(args, "--"+l+"-addr", "127.0.0.1:0")
	}
	if o.config != "" {
		file := filepath.Join(t.TempDir(), "thingjobs.yaml")
		if err := os.WriteFile(file, []byte(o.config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", file)
	}
	s := &server{t: t, dir: dataDir(o.data), done: make(chan struct{}), serving: make(chan map[string]any, 1)}
	if o.broker == "" {
		o.broker = program(t, "thingjobs")
	}
	s.cmd = exec.Command(o.broker, append(args, o.args...)...)
	s.cmd.Env = cleanEnv(t, o.env...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.follow(stderr)
	t.Cleanup(func() {
		s.kill()
		s.checkSecrets()
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", o.data, tailOf(s.logged(), 40))
		}
	})
	return s
}

// follow reads the log to its end and tells when it says that the broker serves.
func (s *server) follow(stderr io.Reader) {
	defer close(s.done)
	defer close(s.serving)
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		s.mu.Lock()
		s.log.Write(line)
		s.mu.Unlock()
		var entry map[string]any
		if bytes.Contains(line, []byte(`"serving"`)) && json.Unmarshal(line, &entry) == nil && entry["msg"] == "serving" {
			s.serving <- entry
		}
		if err != nil {
			break
		}
	}
	_ = s.cmd.Wait() // its status is in ProcessState
}

// ready waits until the broker serves.
func (s *server) ready() {
	s.t.Helper()
	select {
	case _, ok := <-s.serving:
		if !ok {
			<-s.done
			s.t.Fatalf("the broker ended instead of serving: %s\n%s", s.cmd.ProcessState, s.logged())
		}
	case <-time.After(patience):
		s.t.Fatalf("the broker does not serve:\n%s", s.logged())
	}
	var err error
	if s.client, err = localClient(s.dir); err != nil {
		s.t.Fatal(err)
	}
	s.secrets = append(s.secrets, s.client.key.SecretAccessKey)
}

// logged gives the log so far.
func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// exit waits for the process to end and gives its status.
func (s *server) exit() int {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatalf("the broker does not end:\n%s", tailOf(s.logged(), 40))
	}
	return s.cmd.ProcessState.ExitCode()
}

// terminate asks the process to stop.
func (s *server) terminate() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the broker as systemd does. It must take that for a success.
func (s *server) stop() {
	s.t.Helper()
	s.terminate()
	if code := s.exit(); code != 0 {
		s.t.Errorf("after SIGTERM the broker ended with %d:\n%s", code, tailOf(s.logged(), 40))
	}
	s.stopped()
}

// stopped checks what a broker leaves that was asked to stop.
func (s *server) stopped() {
	s.t.Helper()
	if _, err := os.Stat(s.dir.endpointsFile()); err == nil {
		s.t.Error("endpoints.json is there although the broker does not run")
	}
	s.checkSecrets()
}

// kill ends the process without a chance to do anything.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // gone already: as wanted
	<-s.done
}

// checkSecrets looks for what no log may have.
func (s *server) checkSecrets() {
	s.t.Helper()
	if s.checked {
		return
	}
	s.checked = true
	log := s.logged()
	for _, secret := range append(s.secrets, "X-Amz-Signature", "x-amz-signature", "PRIVATE KEY") {
		if i := strings.Index(log, secret); i >= 0 {
			s.t.Errorf("the log has a secret: %.60q in …%q…", secret, log[max(0, i-200):min(len(log), i+200)])
		}
	}
	if strings.Contains(log, "DATA RACE") {
		s.t.Errorf("the broker has a data race:\n%s", log)
	}
}

func tailOf(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// api does one operation that must succeed.
func (s *server) api(method, path string, in, out any) {
	s.t.Helper()
	if err := s.call(s.t.Context(), method, path, nil, in, out); err != nil {
		s.t.Fatal(err)
	}
}

// thing makes a thing and gives its ARN.
func (s *server) thing(name string) string {
	s.t.Helper()
	var out struct{ ThingARN string }
	s.api("POST", "/things/"+name, struct{}{}, &out)
	return out.ThingARN
}

// createJob makes a job that must be taken.
func (s *server) createJob(id, document string, targets ...string) {
	s.t.Helper()
	s.api("PUT", "/jobs/"+id, map[string]any{"targets": targets, "document": document}, nil)
}

// jobCounts is what DescribeJob says of executions.
type jobCounts struct {
	Queued     int `json:"numberOfQueuedThings"`
	InProgress int `json:"numberOfInProgressThings"`
	Succeeded  int `json:"numberOfSucceededThings"`
	Failed     int `json:"numberOfFailedThings"`
	Rejected   int `json:"numberOfRejectedThings"`
	Canceled   int `json:"numberOfCanceledThings"`
	Removed    int `json:"numberOfRemovedThings"`
	TimedOut   int `json:"numberOfTimedOutThings"`
}

func (c jobCounts) total() int {
	return c.Queued + c.InProgress + c.Succeeded + c.Failed + c.Rejected + c.Canceled + c.Removed + c.TimedOut
}

// job gives a job's status and counters.
func (s *server) job(id string) (status string, counts jobCounts) {
	s.t.Helper()
	var out struct {
		Job struct {
			Status            string
			JobProcessDetails jobCounts
		}
	}
	s.api("GET", "/jobs/"+id, nil, &out)
	return out.Job.Status, out.Job.JobProcessDetails
}

// settled waits for what the broker does by itself after it has answered, such as a
// rollout, and no client is told of.
func (s *server) settled(what string, is func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := within(s.t); !is(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// execution is a job's execution as the control plane describes it.
type execution struct {
	Status        string
	VersionNumber int64
	StatusDetails struct{ DetailsMap map[string]string }
}

// executionOf describes the execution of a job on a thing.
func (s *server) executionOf(thing, job string) execution {
	s.t.Helper()
	var out struct{ Execution execution }
	s.api("GET", "/things/"+thing+"/jobs/"+job, nil, &out)
	return out.Execution
}

// enroll runs `thingjobs enroll` and gives the device's folder.
func (s *server) enroll(things ...string) (dirs []string) {
	s.t.Helper()
	out, errs, status := thingjobs(s.t, append([]string{"enroll", "--data", string(s.dir)}, things...)...)
	if dirs = strings.Fields(out); status != 0 || len(dirs) != len(things) {
		s.t.Fatalf("enroll: %d %s %s", status, out, errs)
	}
	return dirs
}

// s3Role is the role that jobs of the tests name.
const s3Role = "arn:aws:iam::123456789012:role/jobs-download"

// startS3 starts an S3 server with the bucket firmware, and gives the configuration by
// which a broker presigns for it.
func startS3(t testing.TB) (s3 *s3server.Server, config, secret string) {
	t.Helper()
	if _, err := s3server.Find(); err != nil {
		missing(t, "%v", err)
	}
	secret = "Only-For-This-Test-0123456789"
	s3, err := s3server.Start(context.WithoutCancel(t.Context()), s3server.Options{Dir: t.TempDir(), AccessKey: "firmware", SecretKey: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s3.Close() })
	if err := s3.CreateBucket(t.Context(), "firmware"); err != nil {
		t.Fatal(err)
	}
	return s3, fmt.Sprintf(`
presign:
  stores:
    - name: site
      match: ["s3.*.amazonaws.com", "s3.amazonaws.com"]
      endpoint: %s
      region: %s
      style: path
  roles:
    - arn: %s
      store: site
      credentials: {accessKey: firmware, secretKey: %s}
      allow: ["firmware/*"]
  documentSource:
    role: %[3]s
`, s3.Endpoint, s3.Region, s3Role, secret), secret
}

// put stores an object in the bucket firmware.
func put(t testing.TB, s3 *s3server.Server, key, body string) {
	t.Helper()
	if _, err := s3.PutObject(t.Context(), "firmware", key, []byte(body)); err != nil {
		t.Fatal(err)
	}
}
