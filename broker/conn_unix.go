//go:build unix

package broker

import (
	"net"
	"syscall"
)

// directWriter writes what a socket takes without waiting. Its fields are those
// of the call under way: a closure for each would be garbage for each packet.
type directWriter struct {
	raw syscall.RawConn
	fn  func(fd uintptr) bool
	b   []byte
	n   int
	err error
}

// newDirectWriter gives nil when c is no socket.
func newDirectWriter(c net.Conn) *directWriter {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	w := &directWriter{raw: raw}
	w.fn = w.try
	return w
}

func (w *directWriter) write(b []byte) (int, error) {
	w.b, w.n, w.err = b, 0, nil
	err := w.raw.Write(w.fn)
	w.b = nil
	if err == nil && w.err != syscall.EAGAIN {
		err = w.err
	}
	return w.n, err
}

func (w *directWriter) try(fd uintptr) bool {
	for w.n < len(w.b) && w.err == nil {
		n, err := syscall.Write(int(fd), w.b[w.n:])
		w.n += max(n, 0)
		if err != syscall.EINTR {
			w.err = err
		}
	}
	return true // never wait until it is writable
}
