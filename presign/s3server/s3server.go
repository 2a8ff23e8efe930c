// Package s3server runs a real S3 server, versitygw over a directory, as a child
// process: for tests that want an independent judge of signatures, and for the demo.
// The daemon does not use it.
//
// The program comes from `make tools` and is no dependency of the module.
package s3server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"
)

// BinaryEnv is the environment variable that names the program.
const BinaryEnv = "THINGJOBS_VERSITYGW"

// Find gives the path of the program: the one BinaryEnv names, else
// bin/tools/versitygw of the module around the working directory.
func Find() (string, error) {
	if path := os.Getenv(BinaryEnv); path != "" {
		_, err := os.Stat(path)
		return path, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, "bin", "tools", "versitygw")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no bin/tools/versitygw: run make tools, or set %s", BinaryEnv)
		}
		dir = parent
	}
}

// Options is what a Server is started with.
type Options struct {
	Binary    string // "" means what Find finds
	Dir       string // where buckets are kept; made if missing
	Address   string // "" means a free port of 127.0.0.1
	AccessKey string // of the root account
	SecretKey string
	Region    string       // "" means us-east-1
	Logger    *slog.Logger // nil discards
}

// Server is a running S3 server.
type Server struct {
	Endpoint string // http://127.0.0.1:port
	Region   string

	credentials aws.Credentials
	signer      *v4.Signer
	log         *slog.Logger
	cancel      context.CancelFunc
	exited      chan struct{} // closed after waitErr is set
	waitErr     error
	output      *tail
}

// Start starts a server and returns once it answers. It runs until Close or the end
// of ctx; Close must be called in either case.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.AccessKey == "" || o.SecretKey == "" || o.Dir == "" {
		return nil, errors.New("s3server: AccessKey, SecretKey and Dir are required")
	}
	// versitygw takes a relative directory beside the absolute one for one inside it.
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	if o.Binary == "" {
		if o.Binary, err = Find(); err != nil {
			return nil, err
		}
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Address != "" {
		return start(ctx, o)
	}
	// Between finding a free port and the child's use of it, another process can take it.
	for range 3 {
		var s *Server
		if o.Address, err = freeAddress(); err != nil {
			return nil, err
		}
		if s, err = start(ctx, o); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

const healthPath = "/healthz"

func start(ctx context.Context, o Options) (*Server, error) {
	dirs := map[string]string{}
	for _, name := range []string{"data", "meta", "versions"} {
		dirs[name] = filepath.Join(o.Dir, name)
		if err := os.MkdirAll(dirs[name], 0o700); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	// The sidecar directory takes the place of extended attributes, which not every
	// file system has.
	cmd := exec.CommandContext(ctx, o.Binary, "--quiet", "--port", o.Address, "--region", o.Region,
		"--health", healthPath, "--disable-strict-bucket-names",
		"posix", "--sidecar", dirs["meta"], "--versioning-dir", dirs["versions"], dirs["data"])
	// Not the caller's environment: settings of another gateway may be in it.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "ROOT_ACCESS_KEY=" + o.AccessKey, "ROOT_SECRET_KEY=" + o.SecretKey}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	s := &Server{
		Endpoint:    "http://" + o.Address,
		Region:      o.Region,
		credentials: aws.Credentials{AccessKeyID: o.AccessKey, SecretAccessKey: o.SecretKey},
		signer:      v4.NewSigner(func(so *v4.SignerOptions) { so.DisableURIPathEscaping = true }),
		log:         o.Logger,
		cancel:      cancel,
		exited:      make(chan struct{}),
		output:      &tail{},
	}
	cmd.Stdout, cmd.Stderr = s.output, s.output
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", o.Binary, err)
	}
	go func() {
		s.waitErr = cmd.Wait()
		close(s.exited)
	}()
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.log.Info("S3 server started", "endpoint", s.Endpoint, "pid", cmd.Process.Pid)
	return s, nil
}

// ready waits until the server answers.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+healthPath, nil); err != nil {
			return err
		} else if res, err := client.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the S3 server ended: %v: %s", s.waitErr, s.output)
		case <-ctx.Done():
			return fmt.Errorf("the S3 server does not answer: %w: %s", ctx.Err(), s.output)
		case <-tick.C:
		}
	}
}

// Close ends the process and waits for it. Its files stay.
func (s *Server) Close() error {
	s.cancel()
	<-s.exited
	var exit *exec.ExitError
	if err := s.waitErr; err != nil && !errors.As(err, &exit) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// CreateBucket makes a bucket; one that exists already is fine.
func (s *Server) CreateBucket(ctx context.Context, bucket string) error {
	err := s.do(ctx, http.MethodPut, "/"+bucket, nil, nil, nil)
	var status statusError
	if errors.As(err, &status) && status.code == http.StatusConflict {
		return nil
	}
	return err
}

// EnableVersioning makes a bucket keep the versions of its objects.
func (s *Server) EnableVersioning(ctx context.Context, bucket string) error {
	const body = `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>`
	return s.do(ctx, http.MethodPut, "/"+bucket, url.Values{"versioning": {""}}, []byte(body), nil)
}

// PutObject stores an object. versionID is "" unless the bucket keeps versions.
func (s *Server) PutObject(ctx context.Context, bucket, key string, body []byte) (versionID string, err error) {
	var header http.Header
	err = s.do(ctx, http.MethodPut, "/"+bucket+"/"+key, nil, body, &header)
	return header.Get("X-Amz-Version-Id"), err
}

// client keeps no connections: the server closes them anyway.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

type statusError struct {
	code int
	text string
}

func (e statusError) Error() string { return fmt.Sprintf("S3 server: %d %s", e.code, e.text) }

func (s *Server) do(ctx context.Context, method, path string, query url.Values, body []byte, header *http.Header) error {
	req, err := http.NewRequestWithContext(ctx, method, s.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.URL.Path, req.URL.RawPath = path, httpbinding.EscapePath(path, false)
	req.URL.RawQuery = query.Encode()
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	if err := s.signer.SignHTTP(ctx, s.credentials, req, hash, "s3", s.Region, time.Now()); err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return statusError{res.StatusCode, strings.TrimSpace(string(text))}
	}
	if header != nil {
		*header = res.Header
	}
	return nil
}

// tail keeps the end of what a process writes, for error messages.
type tail struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
}

func (t *tail) Write(p []byte) (int, error) {
	const limit = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > limit {
		t.buf = append([]byte(nil), t.buf[len(t.buf)-limit:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
