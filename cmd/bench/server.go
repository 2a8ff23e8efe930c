package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
	"github.com/thingjobs/thingjobs/cmd/bench/proc"
)

// server is something that devices connect to: one process, or a broker with its worker.
type server struct {
	name       string
	procs      []*proc.Process
	plain, tls string // addresses
}

func (s *server) stop() {
	for i := len(s.procs) - 1; i >= 0; i-- {
		s.procs[i].Stop()
	}
}

// cpu is what all processes used so far.
func (s *server) cpu() (sum time.Duration, err error) {
	for _, p := range s.procs {
		c, err := p.CPU()
		if err != nil {
			return 0, errors.Join(err, p.Err())
		}
		sum += c
	}
	return sum, nil
}

// rss is what the first process, the broker, has resident.
func (s *server) rss() (float64, error) {
	m, err := s.procs[0].Memory()
	return float64(m.RSS), err
}

// settle waits until the server has nothing left to do of what it was given before
// (compactions, garbage), half a minute at most: that is nobody's operation.
func (s *server) settle(ctx context.Context) error {
	const look = 500 * time.Millisecond
	last := time.Duration(-1)
	for range 60 {
		now, err := s.cpu()
		if err != nil {
			return err
		}
		if last >= 0 && now-last < look/20 {
			return nil
		}
		last = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
	}
	return nil
}

// measure runs load and relates it to the server's processor time.
func (s *server) measure(run func() (*load.Result, error)) (reading, error) {
	before, err := s.cpu()
	if err != nil {
		return reading{}, err
	}
	res, err := run()
	if err != nil {
		return reading{}, fmt.Errorf("%s: %w", s.name, err)
	}
	after, err := s.cpu()
	if err != nil {
		return reading{}, err
	}
	if res.Ops == 0 {
		return reading{}, fmt.Errorf("%s: no operation was completed", s.name)
	}
	return reading{value: res.Rate(), cpu: micros(after-before) / float64(res.Ops), p50: millis(res.Quantile(50)), p99: millis(res.Quantile(99))}, nil
}

// freeAddr finds a port for programs that cannot be told to take any.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// waitListening returns when a connection to addr succeeds.
func waitListening(ctx context.Context, addr string, p *proc.Process) error {
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return nil
		}
		if err := p.Err(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// mosquitto starts Debian's mosquitto with everything set in its favour: nothing
// persistent, no logs, no limits on what is under way. With dir a TLS listener that asks
// for client certificates is there too, with the files of that data directory.
func (b *bench) mosquitto(ctx context.Context, dir string) (*server, error) {
	s := &server{name: "mosquitto"}
	var err error
	if s.plain, err = freeAddr(); err != nil {
		return nil, err
	}
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	conf := "user root\nper_listener_settings false\nallow_anonymous true\npersistence false\nlog_type none\nsys_interval 0\n" +
		"max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n" +
		"listener " + port(s.plain) + " 127.0.0.1\n"
	if dir != "" {
		if s.tls, err = freeAddr(); err != nil {
			return nil, err
		}
		conf += "listener " + port(s.tls) + " 127.0.0.1\nrequire_certificate true\n" +
			"cafile " + filepath.Join(dir, "ca.pem") + "\ncertfile " + filepath.Join(dir, "server.pem") + "\nkeyfile " + filepath.Join(dir, "server.key") + "\n"
	}
	file := filepath.Join(b.dir, "mosquitto-"+port(s.plain)+".conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	p, err := proc.Start(s.name, nil, b.Mosquitto, "-c", file)
	if err != nil {
		return nil, err
	}
	s.procs = []*proc.Process{p}
	if err := waitListening(ctx, s.plain, p); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// mosquittoWithWorker is mosquitto and a process that answers updates.
func (b *bench) mosquittoWithWorker(ctx context.Context) (*server, error) {
	s, err := b.mosquitto(ctx, "")
	if err != nil {
		return nil, err
	}
	w, _, err := proc.StartServer(ctx, "worker", b.self, "worker", s.plain)
	if err != nil {
		s.stop()
		return nil, err
	}
	s.name += " with worker"
	s.procs = append(s.procs, w)
	return s, nil
}

const echoName = "echo"

// echo starts the floor: mochi with a hook that answers from memory.
func (b *bench) echo(ctx context.Context, answers answers) (*server, error) {
	file := filepath.Join(b.dir, "answers.json")
	if err := answers.write(file); err != nil {
		return nil, err
	}
	p, addr, err := proc.StartServer(ctx, echoName, b.self, "echo", file)
	if err != nil {
		return nil, err
	}
	return &server{name: echoName, procs: []*proc.Process{p}, plain: addr}, nil
}
