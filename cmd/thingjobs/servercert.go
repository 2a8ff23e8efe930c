package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// serverCertEvery is how often the server's certificate is looked at.
const serverCertEvery = time.Minute

// serverCert is the certificate that the server shows. It is replaced without a restart:
// connections that there are keep theirs.
type serverCert struct {
	load    func(now time.Time) (tls.Certificate, error)
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]
	failed  string // the last failure that was logged
}

func newServerCert(load func(now time.Time) (tls.Certificate, error), log *slog.Logger, now time.Time) (*serverCert, error) {
	s := &serverCert{load: load, log: log}
	c, err := load(now)
	if err != nil {
		return nil, err
	}
	s.current.Store(&c)
	return s, nil
}

// fromFiles loads a certificate of the operator's own.
func fromFiles(certFile, keyFile string) func(time.Time) (tls.Certificate, error) {
	return func(time.Time) (tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return c, fmt.Errorf("tls: %w", err)
		}
		return c, nil
	}
}

// get is for tls.Config.
func (s *serverCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.current.Load(), nil
}

// run looks at the certificate until ctx ends.
func (s *serverCert) run(ctx context.Context) error {
	tick := time.NewTicker(serverCertEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.look(now)
		}
	}
}

// look takes a new certificate up. One that cannot be used leaves the old one in place, and
// is logged once: files are often replaced one after the other.
func (s *serverCert) look(now time.Time) {
	c, err := s.load(now)
	switch {
	case err != nil:
		if text := err.Error(); text != s.failed {
			s.failed = text
			s.log.Error("the server certificate stays as it is", "err", err)
		}
	case !bytes.Equal(c.Certificate[0], s.current.Load().Certificate[0]):
		s.current.Store(&c)
		s.failed = ""
		s.log.Info("a new server certificate", "notAfter", c.Leaf.NotAfter, "names", c.Leaf.DNSNames)
	default:
		s.failed = ""
	}
}
