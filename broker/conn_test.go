package broker

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that does not read must not hold up who writes to it, nor may what it is
// owed grow without end. mochi writes under the client's lock, which every
// publisher to that client takes.
func TestConnWriteDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		c := newConn(a, 1000)
		start := time.Now()
		for range 10 {
			if n, err := c.Write(make([]byte, 100)); n != 100 || err != nil {
				t.Fatal(n, err)
			}
		}
		if _, err := c.Write([]byte{1}); !errors.Is(err, errOverflow) {
			t.Fatalf("err = %v, want overflow", err)
		}
		if _, err := c.Write([]byte{1}); !errors.Is(err, errOverflow) {
			t.Fatalf("second err = %v, want overflow", err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("the connection is still open")
		}
		c.Close()
		c.wait()
		if d := time.Since(start); d > 0 {
			t.Fatalf("took %v", d)
		}
	})
}

func TestConnCloseLetsWritesLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		c := newConn(a, 1000)
		c.Write([]byte("connack "))
		c.Write([]byte("disconnect"))
		reading := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			reading <- err
		}()
		synctest.Wait()
		c.Close()
		if err := <-reading; err == nil {
			t.Fatal("Close did not wake the reader")
		}
		if err := c.SetReadDeadline(time.Time{}); err == nil {
			t.Fatal("a closed connection took a deadline")
		}
		got, err := io.ReadAll(b)
		if string(got) != "connack disconnect" || err != nil {
			t.Fatalf("peer got %q, %v", got, err)
		}
		c.wait()
	})
}

func TestConnCloseDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		c := newConn(a, 1000)
		c.Write([]byte("x"))
		start := time.Now()
		c.Close()
		c.wait()
		if d := time.Since(start); d != lingerTimeout {
			t.Fatalf("waited %v", d)
		}
	})
}

// Over a socket the common write is direct, and what does not fit arrives in order.
func TestConnSocket(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	nc.(*net.TCPConn).SetWriteBuffer(4096)
	c := newConn(nc, 8<<20)
	if c.raw == nil {
		t.Skip("no direct writes on this system")
	}
	var want bytes.Buffer
	for i := range 64 {
		b := bytes.Repeat([]byte{byte(i)}, 64<<10)
		want.Write(b)
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(peer, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Fatal("bytes out of order")
	}
	c.writer.Wait()
	c.mu.Lock()
	if c.busy || c.kept != 0 {
		t.Errorf("busy %v, kept %d after everything left", c.busy, c.kept)
	}
	c.mu.Unlock()
	c.Close()
}
