package main

import (
	"bufio"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// TestProxyProtocol: behind a load balancer the broker knows its clients by the addresses
// that the load balancer tells, and takes nobody from there who does not say.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{args: []string{"--proxy-protocol-trusted", "127.0.0.2/32", "--log-level", "debug"}})
	defer s.stop()
	e, err := s.dir.endpoints()
	if err != nil {
		t.Fatal(err)
	}
	balancer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	_, port, _ := net.SplitHostPort(e.MQTTS)
	client := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 4711}
	dial := func(version byte, cfg *tls.Config) (*mqttDevice, error) {
		t.Helper()
		nc, err := balancer.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		if err := nc.SetDeadline(time.Now().Add(2 * patience)); err != nil {
			t.Fatal(err)
		}
		if version > 0 {
			if _, err := proxyproto.HeaderProxyFromAddrs(version, client, nc.LocalAddr()).WriteTo(nc); err != nil {
				t.Fatal(err)
			}
		}
		conn := tls.Client(nc, cfg)
		return &mqttDevice{t: t, version: 5, conn: conn, in: bufio.NewReader(conn)}, conn.Handshake()
	}
	certPEM, keyPEM, err := selfSigned(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	stranger := s.certTLS(certPEM, keyPEM)
	for _, version := range []byte{1, 2} {
		d, err := dial(version, stranger)
		if err != nil {
			t.Fatal(err)
		}
		if code := d.hello("pump-1"); code != 0x87 {
			t.Errorf("a certificate that nobody knows: %#x", code)
		}
	}
	s.settled("the log has the client's address", func() bool { return strings.Contains(s.logged(), "203.0.113.9:4711") })
	if _, err := dial(0, stranger); err == nil {
		t.Error("without a header the handshake is done")
	}
}
