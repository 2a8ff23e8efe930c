package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/thingjobs/thingjobs/broker"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/httpapi"
	"github.com/thingjobs/thingjobs/jobsvc/scheduler"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/badgerkv"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
	"github.com/thingjobs/thingjobs/mqttws"
	"github.com/thingjobs/thingjobs/presign"
)

// App is a running broker: the only place that knows every package. New opens the store
// and the listeners, Run serves until its context ends, Close gives everything back.
type App struct {
	cfg  Config
	dir  dataDir
	log  *slog.Logger
	db   *badgerkv.DB
	eng  *engine.Engine
	sch  *scheduler.Scheduler
	brk  *broker.Broker
	sign *presign.Signer
	reg  *prometheus.Registry
	api  http.Handler
	cert *serverCert

	mqtts, https, admin, mqtt net.Listener
	httpsServer, adminServer  *http.Server
}

// NewApp makes what the first start needs, opens the store and binds all listeners. It
// accepts nothing yet.
func NewApp(ctx context.Context, cfg Config, log *slog.Logger) (_ *App, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, dir: dataDir(cfg.Data), log: log, reg: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	a.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := a.dir.create(); err != nil {
		return nil, err
	}
	a.db, err = badgerkv.Open(badgerkv.Options{
		Dir:          a.dir.store(),
		ScopeOf:      store.ScopeOf,
		Logger:       log,
		NoSync:       cfg.Store.Durability == "process",
		MemTableSize: cfg.Store.MemtableSize << 20,
		CacheBytes:   cfg.Store.CacheMB << 20,
		MinFreeBytes: minFree(cfg.Store.MinFreeMB),
	})
	if err != nil {
		return nil, err
	}
	// The store is locked by now: what follows has the directory to itself.
	if err := os.Remove(a.dir.endpointsFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	st, err := store.Open(ctx, a.db)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca, err := a.dir.ca(now)
	if err != nil {
		return nil, err
	}
	hosts := hostNames(append([]string{cfg.Host}, cfg.Names...))
	load := func(now time.Time) (tls.Certificate, error) { return a.dir.serverCertificate(ca, hosts, now) }
	if cfg.TLS.CertFile != "" {
		load = fromFiles(cfg.TLS.CertFile, cfg.TLS.KeyFile)
	}
	if a.cert, err = newServerCert(load, log, now); err != nil {
		return nil, err
	}
	a.sign, err = presign.New(cfg.Presign, presign.Options{Logger: log, Registerer: a.reg})
	if err != nil {
		return nil, err
	}
	link := new(broker.Link) // the engine comes before the broker that it tells
	a.eng = engine.New(st, engine.Options{Account: cfg.account(), Notifier: link, Sessions: link, Documents: a.sign, Issuer: ca, Rules: cfg.jobRules(), Limits: cfg.limits(), EventsOff: !cfg.Events.DefaultEnabled, Logger: log})
	key, fresh, err := a.dir.adminKey(now)
	if err != nil {
		return nil, err
	}
	// The key of the data directory may have been revoked: it comes back only when
	// nobody else could manage the broker.
	switch admins, err := a.eng.HasAdmin(ctx); {
	case err != nil:
		return nil, err
	case fresh || !admins:
		if err := a.eng.CreateAccessKey(ctx, key); err != nil {
			return nil, err
		}
	}
	a.brk, err = broker.New(broker.Options{
		Engine: a.eng, Documents: a.sign, Link: link, Logger: log, Registerer: a.reg,
		Limits: cfg.brokerLimits(), Events: cfg.events(), OperatorCertificates: cfg.Auth.OperatorCertificates, AuthMode: auth.Mode(cfg.Auth.Mode),
	})
	if err != nil {
		return nil, err
	}
	a.sch = scheduler.New(a.eng, scheduler.Options{Logger: log, TimeoutGrace: cfg.Timeout.GraceAfterRestart})
	if err := a.listen(); err != nil {
		return nil, err
	}
	a.api = httpapi.New(httpapi.Options{
		Engine:          a.eng,
		Account:         cfg.account(),
		EndpointAddress: a.endpointAddress,
		Denials:         a.brk.Denials,
		PerSecond:       cfg.limits().PerSecond,
		Logger:          log,
		Metrics:         a.reg,
	})
	a.httpsServer = a.newHTTPServer(a.httpsHandler())
	a.httpsServer.TLSConfig = a.httpsTLS()
	a.httpsServer.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	for _, proto := range mqttProtocols {
		a.httpsServer.TLSNextProto[proto] = func(_ *http.Server, c *tls.Conn, _ http.Handler) {
			a.brk.ServeConn(c, broker.PeerIdentity(c.ConnectionState()))
		}
	}
	a.adminServer = a.newHTTPServer(a.adminHandler())
	return a, nil
}

func minFree(mb int64) int64 {
	if mb == 0 {
		return -1
	}
	return mb << 20
}

func (a *App) listen() (err error) {
	for _, l := range []struct {
		to   *net.Listener
		key  string
		addr string
	}{{&a.mqtts, "mqttsAddr", a.cfg.MQTTSAddr}, {&a.https, "httpsAddr", a.cfg.HTTPSAddr}, {&a.admin, "adminAddr", a.cfg.AdminAddr}, {&a.mqtt, "mqttAddr", a.cfg.MQTTAddr}} {
		if l.addr == "" {
			continue
		}
		if *l.to, err = net.Listen("tcp", l.addr); err != nil {
			return fmt.Errorf("%s: %w", l.key, err)
		}
	}
	if len(a.cfg.ProxyProtocol.Trusted) == 0 {
		return nil
	}
	policy, err := a.cfg.ProxyProtocol.policy()
	for _, l := range []*net.Listener{&a.mqtts, &a.https} {
		*l = &proxyproto.Listener{Listener: *l, ConnPolicy: policy, ReadHeaderTimeout: proxyHeaderTimeout}
	}
	return err
}

// mqttProtocols are the ALPN names by which MQTT comes to the HTTPS port.
var mqttProtocols = []string{"x-amzn-mqtt-ca", "mqtt"}

// mqttTLS wants a client certificate of any kind: whether it is a registered one is
// decided when it is looked up, since a registered one needs no chain.
func (a *App) mqttTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: a.cert.get,
		ClientAuth:     tls.RequireAnyClientCert,
		NextProtos:     mqttProtocols,
	}
}

// httpsTLS serves devices, operators and MQTT on one port: a client that offers MQTT by
// ALPN must show a certificate, others may.
func (a *App) httpsTLS() *tls.Config {
	mqtt := a.mqttTLS()
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: a.cert.get,
		ClientAuth:     tls.RequestClientCert,
		NextProtos:     []string{"http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			for _, offered := range hello.SupportedProtos {
				for _, proto := range mqttProtocols {
					if offered == proto {
						return mqtt, nil
					}
				}
			}
			return nil, nil
		},
	}
}

func (a *App) newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
}

// httpsHandler serves the API, and MQTT over WebSocket.
func (a *App) httpsHandler() http.Handler {
	ws := mqttws.New(mqttws.Options{Serve: a.brk.ServeConn, AccessKey: a.eng.AccessKey, Logger: a.log})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == mqttws.Path {
			ws.ServeHTTP(w, r)
			return
		}
		a.api.ServeHTTP(w, r)
	})
}

// endpointAddress answers DescribeEndpoint: one host for all that there is.
func (a *App) endpointAddress(endpointType string) string {
	if endpointType == wire.EndpointCredentialProvider {
		return ""
	}
	return a.host()
}

// host is the name that devices are given.
func (a *App) host() string {
	if a.cfg.Host != "" {
		return a.cfg.Host
	}
	if loopback(a.mqtts.Addr().String()) {
		return "localhost"
	}
	if h, err := os.Hostname(); err == nil {
		return h
	}
	return "localhost"
}

// Endpoints tells where the App listens.
func (a *App) Endpoints() endpoints {
	addr := func(l net.Listener) string {
		if l == nil {
			return ""
		}
		return l.Addr().String()
	}
	return endpoints{
		Host: a.host(), MQTTS: addr(a.mqtts), HTTPS: addr(a.https), Admin: addr(a.admin), MQTT: addr(a.mqtt),
		Region: a.cfg.Region, PID: os.Getpid(),
	}
}

// Run serves until ctx ends, then drains: it stops accepting, answers what is in flight,
// and returns. ready is called when everything is being served.
func (a *App) Run(ctx context.Context, ready func()) error {
	g, ctx := errgroup.WithContext(ctx)
	serve := func(what string, f func() error) {
		g.Go(func() error {
			if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		})
	}
	// Background work ends after the edges have drained: an update that is answered
	// during the drain may still complete its job.
	background, endBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer endBackground()
	serve("presign", func() error { return a.sign.Run(background) })
	a.triedCredentials(ctx)
	serve("engine", func() error { return a.eng.Run(background) })
	serve("scheduler", func() error { return a.sch.Run(background) })
	serve("server certificate", func() error { return a.cert.run(background) })
	serve("mqtts", func() error { return a.brk.Serve(ctx, a.mqtts, a.mqttTLS()) })
	if a.mqtt != nil {
		serve("mqtt", func() error { return a.brk.ServeInsecure(ctx, a.mqtt) })
	}
	serve("https", func() error { return a.httpsServer.ServeTLS(a.https, "", "") })
	if a.admin != nil {
		serve("admin", func() error { return a.adminServer.Serve(a.admin) })
	}
	g.Go(func() error {
		select {
		case <-a.db.Failed():
			return fmt.Errorf("the store can commit no more: %w", a.db.Err())
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error {
		<-ctx.Done()
		defer endBackground()
		return a.drain()
	})
	if err := writeJSONFile(a.dir.endpointsFile(), a.Endpoints(), 0o644); err != nil {
		endBackground()
		return err
	}
	defer os.Remove(a.dir.endpointsFile())
	ready()
	return g.Wait()
}

// triedCredentials gives the temporary credentials of presign a moment to come, so that
// the first devices are not turned away.
func (a *App) triedCredentials(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	a.sign.Tried(ctx)
}

// drain closes the edges in order, within the configured time.
func (a *App) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.Drain)
	defer cancel()
	a.log.Info("draining", "within", a.cfg.Drain)
	// Together: an HTTPS connection that speaks MQTT ends when the broker ends it.
	var g errgroup.Group
	g.Go(func() error { return a.brk.Close(ctx) })
	g.Go(func() error { return a.httpsServer.Shutdown(ctx) })
	g.Go(func() error { return a.adminServer.Shutdown(ctx) })
	return g.Wait()
}

// Close closes the store and whatever Run did not close.
func (a *App) Close() error {
	for _, l := range []net.Listener{a.mqtts, a.https, a.admin, a.mqtt} {
		if l != nil {
			l.Close() // again, after Run: harmless
		}
	}
	if a.db == nil {
		return nil
	}
	return a.db.Close()
}

// portOf is the port of an address as a number.
func portOf(addr string) int {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(p)
	return n
}
