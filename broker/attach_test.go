package broker

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// A connection that waits has one goroutine, and half of a stack that has grown: mochi's
// own way of reading holds 20 KiB.
func TestIdleStacks(t *testing.T) {
	const n = 64
	cert := makeCert(t, time.Now().Add(time.Hour))
	e := &fakeEngine{}
	e.certificate(certID(cert), "pump-1")
	b := startBroker(t, e, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(context.Background(), ln, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})

	connect := func(i int) {
		tc, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tc.Close() })
		id := fmt.Sprintf("client-%02d", i)
		tc.Write(append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 1, 0, 0, byte(len(id))}, id...))
		if _, err := io.ReadFull(tc, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		// The answer to PINGREQ says that connecting is over.
		tc.Write([]byte{0xC0, 0})
		if _, err := io.ReadFull(tc, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
	}
	// Each collection halves what it may.
	stacks := func(enough uint64) (m runtime.MemStats) {
		for range 20 {
			runtime.GC()
			if runtime.ReadMemStats(&m); m.StackInuse <= enough {
				break
			}
		}
		return m
	}
	connect(0)
	before, running := stacks(0).StackInuse, runtime.NumGoroutine()
	for i := range n {
		connect(i + 1)
	}
	const perConnection = 12 << 10
	limit := before + n*perConnection*(1+raceFrames)
	if after := stacks(limit).StackInuse; after > limit {
		t.Errorf("%d KiB of stacks for a connection", (after-before)/n>>10)
	}
	if more := runtime.NumGoroutine() - running; more > n {
		t.Errorf("%d goroutines for %d connections", more, n)
	}
}
