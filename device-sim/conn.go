package main

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// writeTimeout bounds how long a packet may wait for the peer to take it.
const writeTimeout = 20 * time.Second

// conn buffers a connection in both directions for the MQTT client, which reads the length of a
// packet byte by byte and writes a packet in pieces (each of them a TLS record, without this).
//
// The client holds the lock while it writes one packet; Unlock sends it, and closes the connection
// when it cannot, because a packet cut short leaves nothing to go on with.
type conn struct {
	net.Conn
	in   *bufio.Reader
	slow bool

	mu  sync.Mutex // held from Lock to Unlock, guards out
	out *bufio.Writer
}

var _ sync.Locker = (*conn)(nil)

// A slow reader takes a few bytes at a time and rests after them, so that what the broker sends has
// to wait on the way. The figures make some 3 KB a second.
const (
	slowBytes = 64
	slowPause = 20 * time.Millisecond
)

func newConn(c net.Conn, slow bool) *conn {
	return &conn{Conn: c, slow: slow, in: bufio.NewReaderSize(c, 2048), out: bufio.NewWriterSize(c, 1024)}
}

func (c *conn) Read(p []byte) (int, error) {
	if c.slow && len(p) > 1 { // the header of a packet is read byte by byte, which is slow enough
		time.Sleep(slowPause)
		p = p[:min(len(p), slowBytes)]
	}
	return c.in.Read(p)
}

// abort ends the connection without TLS saying so, as if the power had gone.
func (c *conn) abort() {
	if t, ok := c.Conn.(*tls.Conn); ok {
		_ = t.NetConn().Close() // the reader reports it
		return
	}
	_ = c.Close()
}

func (c *conn) Write(p []byte) (int, error) { return c.out.Write(p) }

func (c *conn) Lock() {
	c.mu.Lock()
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails only on a closed connection
}

func (c *conn) Unlock() {
	if err := c.out.Flush(); err != nil {
		_ = c.Close() // the reader reports it
	}
	c.mu.Unlock()
}
