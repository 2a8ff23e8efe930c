package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func makeCert(t *testing.T, notAfter time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "x"},
		NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func certID(c tls.Certificate) string {
	return PeerIdentity(tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.Leaf}}).CertificateID
}

// Over real sockets: which certificate may connect is for the registry to say.
func TestServeTLS(t *testing.T) {
	later := time.Now().Add(time.Hour)
	server, good, foreign, expired, inactive := makeCert(t, later), makeCert(t, later), makeCert(t, later), makeCert(t, time.Now().Add(-time.Minute)), makeCert(t, later)
	e := &fakeEngine{}
	e.certificate(certID(good), "pump-1")
	e.certificate(certID(expired), "pump-1")
	e.change(certID(expired), func(b *jobsvc.Binding) { b.NotAfter = expired.Leaf.NotAfter })
	e.certificate(certID(inactive), "pump-1")
	e.change(certID(inactive), func(b *jobsvc.Binding) { b.Status = jobsvc.CertificateInactive })
	b := startBroker(t, e, nil)

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() {
		served <- b.Serve(ctx, ln, &tls.Config{
			Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"x-amzn-mqtt-ca", "mqtt"},
		})
	}()
	open := func(version byte, protos []string, certs ...tls.Certificate) *device {
		t.Helper()
		roots := x509.NewCertPool()
		roots.AddCert(server.Leaf)
		c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: certs, NextProtos: protos})
		if err != nil {
			t.Fatal(err)
		}
		return newDevice(t, c, version)
	}
	for _, version := range []byte{4, 5} {
		for _, protos := range [][]string{nil, {"x-amzn-mqtt-ca"}} {
			d := open(version, protos, good)
			if _, code := d.connect(connectOptions{id: "pump-1"}); code != 0 {
				t.Fatalf("CONNACK %#x", code)
			}
			d.publish(jobs+"start-next", "", 1)
			d.puback(1)
			d.reply(jobs + "start-next/accepted")
			d.conn.Close()
		}
		for name, cert := range map[string]tls.Certificate{"foreign": foreign, "expired": expired, "inactive": inactive} {
			d := open(version, nil, cert)
			want := byte(5)
			if version == 5 {
				want = 0x87
			}
			if _, code := d.connect(connectOptions{id: "pump-1"}); code != want {
				t.Errorf("%s certificate: CONNACK %#x, want %#x", name, code, want)
			}
			d.closed()
		}
	}
	open(4, nil).closed() // no certificate: the handshake fails

	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := b.Serve(ctx, ln, nil); err == nil {
		t.Error("Serve without TLS")
	}
}

// The HTTPS listener hands over connections whose handshake it did.
func TestServeConnOverTLS(t *testing.T) {
	server, cert := makeCert(t, time.Now().Add(time.Hour)), makeCert(t, time.Now().Add(time.Hour))
	e := &fakeEngine{}
	e.certificate(certID(cert), "pump-1")
	b := startBroker(t, e, nil)
	theirs, ours := newPipe(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tc := tls.Server(ours, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"mqtt"}})
		if err := tc.Handshake(); err != nil {
			t.Error(err)
		}
		b.ServeConn(tc, PeerIdentity(tc.ConnectionState()))
	}()
	d := newDevice(t, tls.Client(theirs, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}, NextProtos: []string{"mqtt"}}), 5)
	if _, code := d.connect(connectOptions{id: "pump-1"}); code != 0 {
		t.Fatalf("CONNACK %#x", code)
	}
	d.publish(jobs+"get", "", 1)
	d.puback(1)
	d.reply(jobs + "get/accepted")
	b.Sessions().Kick("pump-1", "") // a farewell through TLS, after its deadline was used to wake the reader
	d.disconnected(0x98)
	<-done
}

// brokenListener fails as accept(2) does when descriptors run out.
type brokenListener struct {
	net.Listener
	fail   int
	conns  chan net.Conn
	closed chan struct{}
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.fail--; l.fail >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *brokenListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *brokenListener) Addr() net.Addr { return &net.TCPAddr{} }

// mochi's listeners end for good at the first error.
func TestAcceptSurvivesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{things: []string{"pump-1"}}
		b := startBroker(t, e, nil)
		ln := &brokenListener{fail: 10, conns: make(chan net.Conn), closed: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- b.ServeInsecure(t.Context(), ln) }()
		theirs, ours := newPipe(t)
		ln.conns <- ours
		d := newDevice(t, theirs, 4)
		if _, code := d.connect(connectOptions{id: "pump-1"}); code != 0 {
			t.Fatalf("CONNACK %#x", code)
		}
		ln.Close() // not by us
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// A handshake that never ends is cut with the rest.
func TestHandshakeDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBroker(t, &fakeEngine{}, nil)
		ln := &brokenListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		go b.Serve(t.Context(), ln, &tls.Config{ClientAuth: tls.RequireAnyClientCert})
		theirs, ours := newPipe(t)
		ln.conns <- ours
		start := time.Now()
		if _, err := theirs.Read(make([]byte, 1)); err == nil {
			t.Error("got a byte")
		}
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("cut after %v", got)
		}
	})
}
