package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServerCertificateRotates: files that change are taken up, and what cannot be used
// leaves things as they are.
func TestServerCertificateRotates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	issued := func() (certPEM, keyPEM []byte) {
		t.Helper()
		dir := dataDir(t.TempDir())
		ca, err := dir.ca(now)
		if err != nil {
			t.Fatal(err)
		}
		certPEM, keyPEM, err = ca.IssueServer([]string{"broker.example"}, now)
		if err != nil {
			t.Fatal(err)
		}
		return certPEM, keyPEM
	}
	certFile, keyFile := filepath.Join(t.TempDir(), "c.pem"), filepath.Join(t.TempDir(), "k.pem")
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert1, key1 := issued()
	cert2, key2 := issued()
	write(certFile, cert1)
	write(keyFile, key1)
	var log strings.Builder
	s, err := newServerCert(fromFiles(certFile, keyFile), slog.New(slog.NewTextHandler(&log, nil)), now)
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		t.Helper()
		c, err := s.get(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return string(c.Certificate[0])
	}
	first := shown()
	s.look(now)
	if shown() != first || log.Len() != 0 {
		t.Errorf("nothing has changed, and the log says %s", &log)
	}
	write(certFile, cert2) // without its key
	s.look(now)
	s.look(now)
	if shown() != first || strings.Count(log.String(), "stays as it is") != 1 {
		t.Errorf("half a certificate: %s", &log)
	}
	write(keyFile, key2)
	s.look(now)
	if shown() == first || !strings.Contains(log.String(), "a new server certificate") {
		t.Errorf("the new one is not shown: %s", &log)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	second := shown()
	s.look(now)
	if shown() != second {
		t.Error("with a file gone another is shown")
	}
	if _, err := newServerCert(fromFiles(certFile, keyFile), slog.New(slog.DiscardHandler), now); err == nil {
		t.Error("a start without a key")
	}
}

// TestServerCertificateIsRenewed: that of our own CA is replaced before its end.
func TestServerCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	dir := dataDir(t.TempDir())
	ca, err := dir.ca(now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServerCert(func(now time.Time) (tls.Certificate, error) {
		return dir.serverCertificate(ca, []string{"broker.example"}, now)
	}, slog.New(slog.DiscardHandler), now)
	if err != nil {
		t.Fatal(err)
	}
	end := s.current.Load().Leaf.NotAfter
	s.look(end.Add(-renewBefore - time.Hour))
	if !s.current.Load().Leaf.NotAfter.Equal(end) {
		t.Error("it is replaced too early")
	}
	s.look(end.Add(-renewBefore + time.Hour))
	if got := s.current.Load().Leaf.NotAfter; !got.After(end) {
		t.Errorf("it is not replaced: it ends %s", got)
	}
}
