package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// settings are what a run needs to know, apart from its devices.
type settings struct {
	keys           artefactKeys
	keep           string
	roots          *x509.CertPool // for downloads
	alpn           string
	seed           int64
	duration       time.Duration // 0 for no end
	timeout        time.Duration // 0 for none
	reportEvery    time.Duration
	requestTimeout time.Duration
	reconnectDelay time.Duration
	maxDownloads   int
	grace          time.Duration // how long a notification may be overdue at the end
	sources        *sources
	verdicts       *verdicts // nil for none
	assertions     []assertion
	counters       *controlPlane                                         // to compare with at the end; nil for no comparison
	steady         *steadiness                                           // to judge in the long run; nil for not
	warmup         time.Duration                                         // before that; 0 for a tenth of duration
	jobs           *jobPlan                                              // what jobs to make; nil for none
	maker          *jobMaker                                             // that makes them; nil for none
	html           string                                                // where to write the report as HTML; empty for nowhere
	metrics        net.Listener                                          // for Prometheus; nil for none
	stepTimeout    time.Duration                                         // to ask for with the start of an execution; 0 for none
	events         func(event)                                           // called for each event, one at a time; nil for nobody
	work           func(context.Context, *device, *job) (finding, error) // instead of a simulation; nil for that
	lines          io.Writer                                             // event stream; nil for none
	show           func(now func() frame) *live                          // starts the live view; nil for none
}

// asOperator makes ready what the run does as an operator.
func (s *settings) asOperator(ctx context.Context, members []member) error {
	if s.jobs == nil {
		return nil
	}
	if s.counters == nil {
		var err error
		if s.counters, err = newControlPlane(os.Getenv, s.roots); err != nil {
			return err
		}
	}
	s.maker = newJobMaker(s.counters, *s.jobs)
	if s.verdicts == nil {
		s.counters = nil
	}
	if err := s.maker.gather(ctx, members); err != nil {
		return fmt.Errorf("a thing group of the devices: %w", err)
	}
	return nil
}

// conduct is how the devices of one fleet behave.
type conduct struct {
	style       style
	version     version
	odds        odds
	traits      traits
	work        time.Duration // mean simulated installation time
	startSpread time.Duration // of the first connections
	pollEvery   time.Duration
	flapEvery   time.Duration // mean time between the losses of a flapping link
	away        time.Duration // how long a device is gone after a crash
	untilJobs   int           // executions to finish; 0 for no limit
}

// member is a device of a run.
type member struct {
	identity
	conduct
}

// handshakes is how many devices connect at a time. More would only make all of them slower, until
// they run into the broker's time limit.
const handshakes = 32

// run runs a fleet to its end. Ending ctx interrupts it: devices disconnect properly and leave what
// they were at. The error says that the event stream could not be written.
func run(ctx context.Context, members []member, s settings) (report, error) {
	rec := newRecorder(s.lines)
	started := rec.started
	if s.show != nil {
		rec.recent = &recents{}
		view := s.show(func() frame { return rec.frame(members, s) })
		defer view.close()
	}
	rec.events, rec.steady = s.events, s.steady
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       &tls.Config{RootCAs: s.roots},
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // the hash is of the bytes as stored
		MaxIdleConnsPerHost:   s.maxDownloads,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   handshakeTimeout,
		ResponseHeaderTimeout: 30 * time.Second,
	}
	defer transport.CloseIdleConnections()
	downloads := &downloader{
		client: &http.Client{Transport: transport},
		slots:  make(chan struct{}, s.maxDownloads),
		// A progress report, which may take as long as a request, is made between two reads.
		stall: 30*time.Second + s.requestTimeout,
		pause: min(s.reconnectDelay, time.Second),
		rec:   rec,
	}

	outer := ctx
	ctx, interrupt := context.WithCancelCause(context.WithoutCancel(outer))
	defer interrupt(nil)
	defer context.AfterFunc(outer, func() { interrupt(errInterrupted) })()
	if s.timeout > 0 {
		t := time.AfterFunc(s.timeout, func() { interrupt(errTimeout) })
		defer t.Stop()
	}
	var attendants sync.WaitGroup
	attending, dismiss := context.WithCancel(context.Background())
	defer attendants.Wait()
	defer dismiss()
	if s.metrics != nil {
		attendants.Go(func() {
			if err := serveMetrics(attending, s.metrics, collector{rec, s.verdicts}); err != nil {
				rec.emit(event{Event: evError, Reason: "metrics: " + err.Error()})
			}
		})
	}
	if s.html != "" {
		attendants.Go(func() { rec.watch(attending) })
	}
	if s.steady != nil {
		warmup := s.warmup
		if warmup == 0 {
			warmup = s.duration / 10
		}
		s.steady.start(started.Add(warmup), s.duration-warmup)
		attendants.Go(func() { s.steady.watch(attending, scrapeEvery(s.duration)) })
	}
	stop := make(chan struct{})
	if s.duration > 0 {
		t := time.AfterFunc(s.duration, func() { close(stop) })
		defer t.Stop()
	}

	var (
		devices   sync.WaitGroup
		witnesses []*witness
	)
	dialing := make(chan struct{}, handshakes)
	for _, m := range members {
		d := newDevice(m, s, rec, downloads, dialing)
		witnesses = append(witnesses, d.link.witness)
		devices.Go(func() {
			err := d.run(ctx, stop)
			if !d.connected {
				rec.arrived() // nobody is to wait for it
			}
			e := event{Event: evEnded, Thing: m.thing, OK: new(bool)}
			if *e.OK = err == nil; err != nil {
				e.Reason = err.Error()
			}
			rec.emit(e)
		})
	}
	if s.maker != nil {
		attendants.Go(func() {
			if err := rec.everyone(attending, len(members)); err != nil {
				return
			}
			if err := s.maker.run(attending, stop); err != nil {
				interrupt(fmt.Errorf("making jobs: %w", err))
			}
		})
	}
	devices.Wait()
	if s.counters != nil && ctx.Err() == nil {
		s.counters.compare(ctx, witnesses, s.verdicts, s.maker.jobs(), max(s.grace, time.Second))
	}
	rep, err := rec.close(s)
	if s.html != "" {
		dismiss()
		attendants.Wait()
		err = errors.Join(err, rep.html(s.html, rec.samples, rec.latency))
	}
	return rep, err
}

func newDevice(m member, s settings, rec *recorder, downloads *downloader, dialing chan struct{}) *device {
	id := m.identity
	t := topicsOf(id.thing)
	config := &tls.Config{
		Certificates: []tls.Certificate{id.cert},
		RootCAs:      id.roots,
		ServerName:   id.host,
		MinVersion:   tls.VersionTLS12,
	}
	switch {
	case s.alpn != "":
		config.NextProtos = []string{s.alpn}
	case id.port == 443 || id.port == 8443: // shared with HTTP: the name tells them apart
		config.NextProtos = []string{"x-amzn-mqtt-ca"}
	}
	n := natureOf(s.seed, id.thing, m.traits)
	var w *witness
	if s.verdicts != nil {
		w = newWitness(id.thing, s.verdicts)
	}
	d := &device{
		id:     id,
		topics: t,
		rec:    rec,
		link: &link{
			id:        id,
			topics:    t,
			rec:       rec,
			tls:       config,
			timeout:   s.requestTimeout,
			reconnect: s.reconnectDelay,
			jitter:    draw(s.seed, id.thing, "reconnect"),
			dialing:   dialing,
			version:   m.version,
			filters:   m.style.filters(w != nil),
			wake:      m.style.wake(),
			sources:   s.sources,
			slow:      n.slow,
			witness:   w,
		},
		downloads:   downloads,
		keys:        s.keys,
		keep:        s.keep,
		seed:        s.seed,
		ordinal:     s.maker.ordinal,
		conduct:     m.conduct,
		nature:      n,
		delay:       startDelay(s.seed, id.thing, m.startSpread),
		reportEvery: s.reportEvery,
		grace:       s.grace,
	}
	d.do, d.link.receive = d.simulate, d.link.onPublish
	if s.work != nil {
		d.do = func(ctx context.Context, j *job) (finding, error) { return s.work(ctx, d, j) }
		d.attentive = true
	}
	if s.stepTimeout > 0 { // a minute more, so that the device is the one to end it
		d.stepMinutes = min(int64((s.stepTimeout+time.Minute-1)/time.Minute)+1, 7*24*60)
	}
	return d
}
