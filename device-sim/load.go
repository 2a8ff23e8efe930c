package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// loadOptions is the command line of the load mode.
type loadOptions struct {
	connecting `embed:""`

	Rate     float64       `required:"" placeholder:"PER-SECOND" help:"Requests a second, for the whole fleet."`
	Duration time.Duration `default:"30s" help:"How long."`
	Request  string        `enum:"update,get" default:"update" help:"What to send: update, a progress report of the execution in progress, or get, which asks for it."`
	Arrivals string        `enum:"poisson,even" default:"poisson" help:"When requests are due: poisson, as from devices that know nothing of each other, or even."`
}

// run offers a load that does not depend on how fast it is answered.
func (o *loadOptions) run(ctx context.Context, stdout, stderr io.Writer) int {
	var c checks
	o.check(&c)
	c.want(o.Rate > 0, "--rate must be positive")
	c.want(o.Duration > 0, "--duration must be positive")
	c.want(o.JobEvery == 0 && o.JobGroups == 1, "--job-every and --job-groups are for fleets")
	s := o.connecting.settings(&c)
	if err := errors.Join(c...); err != nil {
		return usage(stderr, err)
	}
	ids, err := o.folders().load()
	if err != nil {
		return usage(stderr, err)
	}
	members := make([]member, len(ids))
	for i, id := range ids {
		members[i] = member{id, o.conduct()}
	}
	if err := s.checkLimits(members); err != nil {
		return usage(stderr, err)
	}
	if err := s.asOperator(ctx, members); err != nil {
		return usage(stderr, err)
	}
	if s.maker != nil {
		if err := s.maker.create(ctx); err != nil {
			return usage(stderr, fmt.Errorf("making a job: %w", err))
		}
	}
	l := newLoad(o, s)
	if err := l.connect(ctx, members); err != nil {
		l.close()
		return usage(stderr, err)
	}
	var view *live
	if !o.JSON {
		view = startLive(stdout, stderr, l.frame)
	}
	l.offer(ctx)
	view.close()
	l.close()
	rep := l.report()
	if o.JSON {
		err = json.NewEncoder(stdout).Encode(rep)
	} else {
		err = rep.summary(stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "device-sim: output: %v\n", err)
	}
	switch {
	case err != nil || rep.failed():
		return exitFailure
	case slices.ContainsFunc(rep.Verdicts, verdict.broken):
		return exitVerdict
	}
	return exitOK
}

// load is a run in load mode.
type load struct {
	*loadOptions
	settings settings
	rec      *recorder
	sources  []*source
	counted  time.Time // arrivals from here on count; set once, with mu held

	devices int // connected
	overrun atomic.Int64

	mu      sync.Mutex // guards the rest
	latency *hdrhistogram.Histogram
	service *hdrhistogram.Histogram
	lag     *hdrhistogram.Histogram
	codes   map[string]int // of refusals
	sent    int
	lost    int // connections
	recent  recents
}

// source is a device that offers its part of the load.
type source struct {
	*load
	topics  topics
	session session
	due     chan arrival
	begun   chan *execution // the answer to begin; nil for none
	job     *execution

	mu      sync.Mutex // guards open
	open    map[string]arrival
	settled chan struct{} // has room for one word that open became empty
}

// arrival is a request with its times.
type arrival struct {
	due  time.Time // when it should be sent
	sent time.Time // when it was
}

// backlog bounds the requests of a device that are due and not sent; more are an overrun.
const backlog = 256

func newLoad(o *loadOptions, s settings) *load {
	return &load{loadOptions: o, settings: s, rec: newRecorder(nil), latency: newHistogram(), service: newHistogram(), lag: newHistogram(), codes: make(map[string]int)}
}

// connect connects all devices and has each start its execution.
func (l *load) connect(ctx context.Context, members []member) error {
	var (
		wait    sync.WaitGroup
		mu      sync.Mutex
		errs    []error
		dialing = make(chan struct{}, handshakes)
	)
	for _, m := range members {
		s := &source{load: l, due: make(chan arrival, backlog), begun: make(chan *execution, 1), open: make(map[string]arrival), settled: make(chan struct{}, 1)}
		wait.Go(func() {
			err := s.connect(ctx, m, dialing)
			mu.Lock()
			defer mu.Unlock()
			if s.session != nil {
				l.devices++
			}
			switch {
			case err != nil:
				errs = append(errs, fmt.Errorf("%s: %w", m.thing, err))
			case s.job != nil || l.Request == "get":
				l.sources = append(l.sources, s)
			}
			if s.session != nil && (err != nil || s.job == nil && l.Request != "get") {
				s.session.disconnect()
			}
		})
	}
	wait.Wait()
	switch {
	case len(errs) > 0:
		return fmt.Errorf("%d of %d devices could not start: %w", len(errs), len(members), errs[0])
	case len(l.sources) == 0:
		return errors.New("no device has an execution to report on: create a job for them first, with a long timeout or none")
	}
	slices.SortFunc(l.sources, func(a, b *source) int { return cmp.Compare(a.topics.prefix, b.topics.prefix) })
	return nil
}

func (s *source) connect(ctx context.Context, m member, dialing chan struct{}) error {
	if err := sleep(ctx, startDelay(s.settings.seed, m.thing, m.startSpread)); err != nil {
		return err
	}
	d := newDevice(m, s.settings, s.rec, nil, dialing)
	s.topics = d.topics
	d.link.receive = s.received
	var err error
	if s.session, err = d.link.connect(ctx); err != nil {
		return err
	}
	if s.Request == "get" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.settings.requestTimeout, errNoReply)
	defer cancel()
	for {
		if err := s.begin(ctx); err != nil || s.job != nil || s.settings.maker == nil {
			return err
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil { // the job is not rolled out yet
			return err
		}
	}
}

// begin begins an execution to report on: the first of the queue, or that of the job of this run,
// whatever else is in the queue. job is nil if there is none.
func (s *source) begin(ctx context.Context) error {
	topic, payload := s.topics.startNext(), `{"clientToken":"begin"}`
	if s.settings.maker != nil {
		topic, payload = s.topics.update(s.settings.maker.last()), `{"status":"IN_PROGRESS","executionNumber":1,"clientToken":"begin"}`
	}
	if err := s.session.post(ctx, topic, []byte(payload)); err != nil {
		return err
	}
	select {
	case s.job = <-s.begun:
		return nil
	case <-s.session.lost():
		return s.session.why()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// received takes a reply. It is called on the goroutine that reads.
func (s *source) received(_ string, payload []byte) {
	now := time.Now()
	var r struct {
		ClientToken string     `json:"clientToken"`
		Code        string     `json:"code"`
		Execution   *execution `json:"execution"`
	}
	if json.Unmarshal(payload, &r) != nil {
		return // no reply: it will be missing
	}
	if r.ClientToken == "begin" {
		if m := s.settings.maker; m != nil && r.Code == "" {
			r.Execution = &execution{JobID: m.last(), ExecutionNumber: 1}
		}
		select {
		case s.begun <- r.Execution:
		default:
		}
		return
	}
	s.mu.Lock()
	a, ok := s.open[r.ClientToken]
	delete(s.open, r.ClientToken)
	if len(s.open) == 0 {
		ready(s.settled)
	}
	s.mu.Unlock()
	if ok {
		s.answered(a, now, r.Code)
	}
}

// answered counts a reply.
func (l *load) answered(a arrival, now time.Time, code string) {
	if a.due.Before(l.counted) {
		return
	}
	l.settings.steady.observe(a.due, l.Request, now.Sub(a.due))
	l.mu.Lock()
	defer l.mu.Unlock()
	if code != "" {
		l.codes[code]++
	}
	record(l.latency, now.Sub(a.due))
	l.recent.add(now, l.Request, now.Sub(a.due))
	record(l.service, now.Sub(a.sent))
	record(l.lag, a.sent.Sub(a.due))
}

// offer sends requests when they are due, whatever becomes of the ones before, and waits for what
// is still to be answered.
func (l *load) offer(ctx context.Context) {
	var senders sync.WaitGroup
	for _, s := range l.sources {
		senders.Go(func() { s.send(ctx) })
	}
	start := time.Now()
	l.mu.Lock()
	l.counted = start.Add(l.Warmup) // no sender reads it before the first arrival
	l.mu.Unlock()
	if l.settings.steady != nil {
		l.settings.steady.start(l.counted, l.Duration)
		watching, stop := context.WithCancel(ctx)
		var watcher sync.WaitGroup
		watcher.Go(func() { l.settings.steady.watch(watching, scrapeEvery(l.Duration)) })
		defer watcher.Wait()
		defer stop()
	}
	next := schedule(l.Rate, l.Arrivals, l.settings.seed)
	end := l.Warmup + l.Duration
	for i := 0; ctx.Err() == nil; i++ {
		at := next()
		if at >= end {
			break
		}
		due := start.Add(at)
		if wait := time.Until(due); wait > 0 {
			_ = sleep(ctx, wait) // its end ends the loop
		}
		select {
		case l.sources[i%len(l.sources)].due <- arrival{due: due}:
		default:
			if at >= l.Warmup {
				l.overrun.Add(1)
			}
		}
	}
	for _, s := range l.sources {
		close(s.due)
	}
	senders.Wait()
	ctx, cancel := context.WithTimeout(ctx, l.settings.requestTimeout)
	defer cancel()
	for _, s := range l.sources {
		s.settle(ctx)
	}
}

// schedule returns a function that gives the times of the arrivals, one after the other.
func schedule(rate float64, arrivals string, seed int64) func() time.Duration {
	var (
		at float64 // seconds
		n  int
		r  *rand.Rand = draw(seed, "arrivals")
	)
	return func() time.Duration {
		if arrivals == "even" {
			at = float64(n) / rate
			n++
		} else {
			at += r.ExpFloat64() / rate
		}
		return time.Duration(at * float64(time.Second))
	}
}

// send sends what is due, in turn. A connection that is lost stays lost: its part of the load is
// unanswered.
func (s *source) send(ctx context.Context) {
	topic := s.topics.get(nextJob)
	if s.job != nil {
		topic = s.topics.update(s.job.JobID)
	}
	n := 0
	for a := range s.due {
		n++
		token := strconv.Itoa(n)
		payload := `{"clientToken":"` + token + `"}`
		if s.job != nil {
			payload = `{"status":"IN_PROGRESS","statusDetails":{"step":"load","n":"` + token + `"},"executionNumber":` +
				strconv.FormatInt(s.job.ExecutionNumber, 10) + `,"clientToken":"` + token + `"}`
		}
		a.sent = time.Now()
		s.mu.Lock()
		s.open[token] = a
		s.mu.Unlock()
		if !a.due.Before(s.counted) {
			s.load.mu.Lock()
			s.sent++
			s.load.mu.Unlock()
		}
		if err := s.session.post(ctx, topic, []byte(payload)); err != nil {
			s.load.mu.Lock()
			s.lost++
			s.load.mu.Unlock()
			for range s.due { // counted as an overrun as soon as it is full
			}
			return
		}
	}
}

// settle waits until everything is answered, the connection is lost, or ctx ends.
func (s *source) settle(ctx context.Context) {
	for {
		s.mu.Lock()
		n := len(s.open)
		s.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-s.settled:
		case <-s.session.lost():
			return
		case <-ctx.Done():
			return
		}
	}
}

func (l *load) close() {
	var wait sync.WaitGroup
	for _, s := range l.sources {
		wait.Go(s.session.disconnect)
	}
	wait.Wait()
}

// report makes the report of a load.
func (l *load) report() loadReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := loadReport{
		Event: "load", Devices: len(l.sources), Connected: l.devices, Seconds: l.Duration.Seconds(), Rate: l.Rate, Request: l.Request,
		Sent: l.sent, Answered: int(l.latency.TotalCount()), Refused: maps.Clone(l.codes), Overrun: int(l.overrun.Load()), LostConnections: l.lost,
		Latency: percentiles(l.latency), Service: percentiles(l.service), Lag: percentiles(l.lag),
	}
	r.Unanswered = r.Sent - r.Answered
	if l.settings.steady != nil {
		v := &verdicts{}
		r.Steady = l.settings.steady.judge(v)
		r.Verdicts = v.list()
	}
	return r
}
