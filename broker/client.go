package broker

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

// client is one connection from accept to end; it is the net.Conn that mochi reads
// from and writes to.
type client struct {
	net.Conn // TLS or bottom
	bottom   *conn
	b        *Broker
	id       Identity
	done     chan struct{} // closed when nothing of the connection is left

	// who is what the connection may act for; nil before it is let in.
	who atomic.Pointer[auth.Connection]

	ending struct {
		sync.Mutex
		done   bool // an end was asked for
		code   byte
		reason string
		told   bool // the farewell is written, or not due
	}

	// The read goroutine owns these.
	in        stream
	mqtt      *mqtt.Client
	version   byte
	maxPacket uint32 // the client's Maximum Packet Size; 0: none
	refusal   *refusal
	claimed   bool // the client ID is ours
	gone      bool // has left; Sessions.mu guards it
	letIn     bool // CONNACK said yes
	keep      bool // the session outlives the connection
	topic     jobsTopic
	allowed   bool   // the PUBLISH being processed
	suback    []byte // codes for SUBACK, by filter
	unsuback  []byte // codes for UNSUBACK
	watches   []*watch
	// filters are the subscriptions with their QoS: mochi has none of them. All that a
	// device may subscribe to is below its things, and what is published there is ours,
	// so its tree of topics, which takes 2.4 KB for each, has nothing to do.
	filters map[string]byte
	// resumed is the session that CONNECT resumes, until it is in force.
	resumed         *jobsvc.Session
	inheritedEvents *subscriber
	recorded        bool        // the session is in the store
	events          *subscriber // to events; nil: none
	lastDeny        string
	told            string // why the packet being processed was refused, for MQTT 5
	visit           visit
	takeovers       takeovers // written before the client ID is claimed

	out outbox
}

// takeovers counts how often a client ID changed hands within a minute, handed
// on from each connection to the next.
type takeovers struct {
	since time.Time
	n     int
}

// follow counts one more. It tells when that makes more than 5 in a minute: two devices
// that share an ID and a certificate evict each other for ever.
func (t *takeovers) follow(old takeovers, now time.Time) bool {
	if *t = old; now.Sub(t.since) > time.Minute {
		*t = takeovers{since: now}
	}
	t.n++
	return t.n == 6
}

// refusal is what CONNACK says to a client that is not let in.
type refusal struct {
	v3, v5 byte
	reason string
}

// serveConn runs one connection on the caller's goroutine.
func (b *Broker) serveConn(nc net.Conn, bottom *conn, id Identity) {
	c := &client{Conn: nc, bottom: bottom, b: b, id: id, done: make(chan struct{}), version: 4}
	c.out.window = receiveMaximum
	if !b.add(c) {
		nc.Close()
		bottom.wait()
		return
	}
	defer b.remove(c)
	defer bottom.wait()
	defer close(c.done)
	defer nc.Close()
	defer b.sessions.left(c)
	defer func() {
		// mochi panics on some malformed packets; one connection is what they may cost.
		if p := recover(); p != nil {
			b.metrics.panics.Inc()
			b.log.Error("panic on a connection", "client", c.clientID(), "addr", nc.RemoteAddr().String(), "err", p)
			c.keep = false
			c.visit.reason = jobsvc.DisconnectFailure
		}
	}()
	err := b.attach(c)
	c.visit.err = err
	if errors.Is(err, packets.ErrPacketTooLarge) {
		c.fail(jobsvc.DisconnectError, c.deny("publish", "", "a packet has more than the announced size"))
	}
	b.log.Debug("connection ended", "client", c.clientID(), "addr", nc.RemoteAddr().String(), "err", err)
}

func (c *client) clientID() string {
	if c.mqtt == nil {
		return ""
	}
	return c.mqtt.ID
}

// end asks the connection to end: it finishes the request it works on, says
// goodbye to an MQTT 5 client and closes. It does not wait.
func (c *client) end(code byte, reason string) {
	c.ending.Lock()
	defer c.ending.Unlock()
	if c.ending.done {
		return
	}
	c.ending.done, c.ending.code, c.ending.reason = true, code, reason
	c.Conn.SetReadDeadline(aLongTimeAgo)
}

// endingCode is zero unless the connection was asked to end.
func (c *client) endingCode() byte {
	c.ending.Lock()
	defer c.ending.Unlock()
	return c.ending.code
}

// Read gives mochi what it is to see of what the device sent, see stream.
func (c *client) Read(p []byte) (int, error) {
	for {
		if c.endingCode() != 0 {
			return 0, c.farewell()
		}
		n, err := c.Conn.Read(p)
		if n == 0 && err != nil && c.endingCode() != 0 {
			return 0, c.farewell()
		}
		left := n
		if n > 0 {
			left = c.serve(p[:n])
		}
		if left > 0 || n == 0 || err != nil {
			return left, err
		}
	}
}

// farewell comes from Read, so that no answer is written after it.
func (c *client) farewell() error {
	c.ending.Lock()
	defer c.ending.Unlock()
	if c.letIn && c.version >= 5 && !c.ending.told {
		c.Conn.Write(appendDisconnect(nil, c.ending.code, c.ending.reason, c.maxPacket))
	}
	c.ending.told = true
	return errors.New(c.ending.reason)
}

// SetDeadline is mochi's, for the keep-alive. Writes have no deadline: they do not
// wait.
func (c *client) SetDeadline(t time.Time) error {
	c.in.armed = time.Time{}
	return c.arm(t)
}

// arm sets the time by which the device must have sent something. A connection that is
// to end keeps the deadline that wakes it.
func (c *client) arm(t time.Time) error {
	c.ending.Lock()
	defer c.ending.Unlock()
	if c.ending.done {
		return os.ErrDeadlineExceeded
	}
	return c.Conn.SetReadDeadline(t)
}

// deny notes that the client may not do something; repeats are not logged. It gives what
// an MQTT 5 client is told. The read goroutine calls it.
func (c *client) deny(what, topic, reason string) (told string) {
	n := denial{client: c.clientID(), certificate: c.id.CertificateID, addr: c.RemoteAddr().String(), topic: topic, reason: reason}
	if who := c.who.Load(); who != nil {
		n.things = who.Things
		n.suggestion = suggest(topic, who.Things)
	}
	if told = reason; n.suggestion != "" {
		told += "; " + n.suggestion
	}
	if c.lastDeny == what+topic {
		c.b.denials.count(what, n)
		return told
	}
	c.lastDeny = what + topic
	c.b.denials.note(what, n)
	return told
}

// sourceIP is the address of the peer without its port.
func (c *client) sourceIP() string {
	addr := c.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
