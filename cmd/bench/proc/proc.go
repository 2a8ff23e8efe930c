// Package proc starts the processes that are compared and reads what they cost from
// /proc: processor time is steadier than a rate on a machine that does other things.
package proc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Process is a running child. It does not outlive the benchmark.
type Process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read after done

	mu  sync.Mutex
	log []byte // the end of what it wrote to stderr; guarded by mu
}

// Start starts a program. What it writes to stdout goes to out when not nil; the end of
// stderr is kept for errors.
func Start(name string, out io.Writer, program string, args ...string) (*Process, error) {
	p := &Process{name: name, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, p
	p.cmd.SysProcAttr = dieWithParent()
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// StartServer starts a child that prints one line when it serves, and gives that line.
func StartServer(ctx context.Context, name, program string, args ...string) (*Process, string, error) {
	r, w := io.Pipe()
	p, err := Start(name, w, program, args...)
	if err != nil {
		return nil, "", err
	}
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(r).ReadString('\n')
		line <- strings.TrimSpace(s)
		io.Copy(io.Discard, r)
	}()
	select {
	case s := <-line:
		return p, s, nil
	case <-p.done:
		w.Close()
		return nil, "", p.failed()
	case <-ctx.Done():
		p.Kill()
		return nil, "", ctx.Err()
	}
}

// keepLog is how much of stderr is kept.
const keepLog = 4 << 10

// Write takes stderr.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log = append(p.log, b...); len(p.log) > 2*keepLog {
		p.log = append(p.log[:0], p.log[len(p.log)-keepLog:]...)
	}
	return len(b), nil
}

func (p *Process) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Errorf("%s ended: %w: %s", p.name, p.err, bytes.TrimSpace(p.log))
}

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Err is nil while the process runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.failed()
	default:
		return nil
	}
}

// Signal sends the process a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process at once and waits for its end.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the process to end, and kills it when it does not within a while.
func (p *Process) Stop() {
	p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.Kill()
	}
}

// Wait waits for the end of a child that does one thing.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		if p.err != nil {
			return p.failed()
		}
		return nil
	case <-ctx.Done():
		p.Kill()
		return ctx.Err()
	}
}

// CPU is the processor time the process has used so far.
func (p *Process) CPU() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return 0, err
	}
	return parseStat(b)
}

// tick is the unit of /proc/PID/stat, the same on every Linux that Go runs on.
const tick = 10 * time.Millisecond

var errStat = errors.New("/proc/PID/stat is not understood")

// parseStat gives utime + stime. The name of the program, in parentheses, may have
// spaces and parentheses.
func parseStat(b []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return 0, errStat
	}
	fields := strings.Fields(string(b[end+1:]))
	if len(fields) < 13 {
		return 0, errStat
	}
	var sum int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, errStat
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

// Memory is what a process has resident, in bytes.
type Memory struct {
	RSS  int64
	Anon int64 // of it, what is not backed by a file
}

// Memory reads it.
func (p *Process) Memory() (Memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return Memory{}, err
	}
	return parseStatus(b)
}

func parseStatus(b []byte) (m Memory, err error) {
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		var to *int64
		switch name {
		case "VmRSS":
			to = &m.RSS
		case "RssAnon":
			to = &m.Anon
		default:
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return m, fmt.Errorf("/proc/PID/status: %q", line)
		}
		*to = n << 10
	}
	if m.RSS == 0 {
		return m, errors.New("/proc/PID/status has no VmRSS")
	}
	return m, nil
}
