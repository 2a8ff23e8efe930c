package broker

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"time"
)

// Identity is who a connection proved to be before MQTT began.
type Identity struct {
	// CertificateID is the lower-case hex SHA-256 of the client certificate, whose key
	// the peer was shown to hold. "" when there was none.
	CertificateID string
	// AccessKeyID is the access key that signed for the connection. It is an operator's. ""
	// when none did.
	AccessKeyID string
	// Insecure lets the client ID name the thing. For development.
	Insecure bool
}

// PeerIdentity is the Identity of a TLS connection whose handshake is done.
func PeerIdentity(s tls.ConnectionState) Identity {
	if len(s.PeerCertificates) == 0 {
		return Identity{}
	}
	sum := sha256.Sum256(s.PeerCertificates[0].Raw)
	return Identity{CertificateID: hex.EncodeToString(sum[:])}
}

// serve accepts until the listener is closed. Running out of file descriptors
// must not end it: connections that go away make room again.
func (b *Broker) serve(ctx context.Context, ln net.Listener, handle func(net.Conn)) error {
	if !b.track(ln) {
		ln.Close()
		return nil
	}
	defer b.untrack(ln)
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()

	var pause time.Duration
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			if !b.spawn(func() { handle(nc) }) {
				nc.Close()
			}
			continue
		case errors.Is(err, net.ErrClosed):
			if ctx.Err() != nil || b.isClosing() {
				return nil
			}
			return err
		}
		if pause == 0 {
			b.log.Error("accept failed, trying again", "listener", ln.Addr().String(), "err", err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

func (b *Broker) track(ln net.Listener) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closing {
		b.listeners[ln] = struct{}{}
	}
	return !b.closing
}

func (b *Broker) untrack(ln net.Listener) {
	ln.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.listeners, ln)
}

func (b *Broker) isClosing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closing
}

// spawn runs f on a goroutine that Close waits for.
func (b *Broker) spawn(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closing {
		b.conns.Go(f)
	}
	return !b.closing
}

// serveTLS does TLS on a connection just accepted, then serves it.
func (b *Broker) serveTLS(nc net.Conn, cfg *tls.Config) {
	growStack(0)
	if tc, bottom, id := b.handshake(nc, cfg); tc != nil {
		b.serveConn(tc, bottom, id)
	}
}

// handshake gives nil when it failed, or the Broker is closing; nc is closed then. The
// deadline covers everything up to and including CONNECT.
func (b *Broker) handshake(nc net.Conn, cfg *tls.Config) (*tls.Conn, *conn, Identity) {
	bottom := newConn(nc, b.limits.WriteBuffer)
	bottom.SetReadDeadline(time.Now().Add(b.limits.ConnectTimeout))
	tc := tls.Server(bottom, cfg)
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		nc.Close()
		return nil, nil, Identity{}
	}
	b.pending[nc] = struct{}{}
	b.mu.Unlock()
	err := tc.Handshake()
	b.mu.Lock()
	delete(b.pending, nc)
	b.mu.Unlock()
	if err != nil {
		b.denials.note("handshake", denial{addr: nc.RemoteAddr().String(), reason: "TLS handshake: " + err.Error()})
		bottom.Close()
		bottom.wait()
		return nil, nil, Identity{}
	}
	return tc, bottom, PeerIdentity(tc.ConnectionState())
}

// growStack makes room for a handshake and CONNECT at once. Otherwise the stack doubles
// four times on the way, and what is on it is moved each time.
//
//go:noinline
func growStack(i int) byte {
	var room [10 << 10]byte
	return room[i]
}
