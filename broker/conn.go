package broker

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// lingerTimeout is how long what is already written may take to leave after Close.
const lingerTimeout = time.Second

var errOverflow = errors.New("the peer does not read: write buffer full")

// aLongTimeAgo makes a pending Read return.
var aLongTimeAgo = time.Unix(1, 0)

// conn is a net.Conn whose Write never waits for the peer: what the socket does not
// take at once is kept, up to a limit, and a goroutine that lives no longer than
// there is something to write takes it from there. Beyond the limit the connection is
// closed. mochi writes under locks that publishers to the same client need, so one
// device that stopped reading would stall them all.
//
// It goes below TLS where we do the handshake: a TLS record that is written half is
// then finished by the goroutine. Above a connection that is TLS already, or no socket
// at all, every write goes by way of the goroutine.
//
// Close lets what was written leave, for lingerTimeout at most.
type conn struct {
	net.Conn
	raw   *directWriter // nil: no direct attempt
	limit int

	mu      sync.Mutex
	pending []byte // for the goroutine to write next
	kept    int    // bytes not yet written, pending among them
	busy    bool   // the goroutine runs
	err     error  // of the first failed write
	closed  bool

	writer sync.WaitGroup
}

func newConn(c net.Conn, limit int) *conn {
	return &conn{Conn: c, raw: newDirectWriter(c), limit: limit}
}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return 0, c.err
	case c.closed:
		return 0, net.ErrClosed
	}
	rest := b
	if c.raw != nil && !c.busy {
		n, err := c.raw.write(b)
		if err != nil {
			c.err = err
			return n, err
		}
		if rest = b[n:]; len(rest) == 0 {
			return len(b), nil
		}
	}
	if c.kept+len(rest) > c.limit {
		c.err = errOverflow
		c.Conn.Close() // the goroutine may be waiting in Write
		return 0, c.err
	}
	c.pending = append(c.pending, rest...)
	c.kept += len(rest)
	if !c.busy {
		c.busy = true
		c.writer.Go(c.drain)
	}
	return len(b), nil
}

// backlog is how many bytes wait for the peer to take them.
func (c *conn) backlog() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept
}

func (c *conn) drain() {
	for {
		c.mu.Lock()
		b := c.pending
		if len(b) == 0 || c.err != nil {
			c.busy = false
			if c.closed {
				c.Conn.Close()
			}
			c.mu.Unlock()
			return
		}
		c.pending = nil
		c.mu.Unlock()

		_, err := c.Conn.Write(b)

		c.mu.Lock()
		c.kept -= len(b)
		if err != nil && c.err == nil {
			c.err = err
			c.Conn.Close() // wakes the reader
		}
		c.mu.Unlock()
	}
}

func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if !c.busy {
		return c.Conn.Close()
	}
	c.Conn.SetReadDeadline(aLongTimeAgo)
	return c.Conn.SetWriteDeadline(time.Now().Add(lingerTimeout))
}

// wait returns when nothing of the connection runs any more. Call Close first.
func (c *conn) wait() { c.writer.Wait() }

func (c *conn) SetDeadline(t time.Time) error     { return c.setDeadline(t, c.Conn.SetDeadline) }
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, c.Conn.SetReadDeadline) }

// SetWriteDeadline does nothing: no Write waits. It would limit the goroutine.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

func (c *conn) setDeadline(t time.Time, set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return os.ErrDeadlineExceeded // Close has set those it needs
	}
	return set(t)
}
