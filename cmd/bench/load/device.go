package load

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Device is one connection. Its methods are for one goroutine at a time.
type Device struct {
	Thing string
	// Job is what the device works on, for the script that runs it.
	Job []byte
	// Step is the script's place.
	Step int

	conn  net.Conn
	in    []byte // read, not yet parsed
	start int    // parsed before it
	out   []byte
	id    uint16
}

// Options of a connection.
type Options struct {
	Addr string
	TLS  *tls.Config // nil: plain
	// Thing is the client ID.
	Thing   string
	Timeout time.Duration // of everything that waits for an answer; 30 s when 0
}

const (
	keepAlive = 1200
	bufferMin = 1 << 10
)

// Dial connects a device and waits until the broker has let it in.
func Dial(o Options) (*Device, error) {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	conn, err := net.DialTimeout("tcp", o.Addr, o.Timeout)
	if err != nil {
		return nil, err
	}
	if o.TLS != nil {
		conn = tls.Client(conn, o.TLS)
	}
	d := &Device{Thing: o.Thing, conn: conn, in: make([]byte, 0, bufferMin)}
	conn.SetDeadline(time.Now().Add(o.Timeout))
	defer conn.SetDeadline(time.Time{})
	d.out = appendConnect(d.out[:0], o.Thing, keepAlive)
	if _, err := conn.Write(d.out); err != nil {
		conn.Close()
		return nil, err
	}
	p, err := d.Read()
	if err == nil && (p.Type != typeConnack || len(p.Payload) != 2 || p.Payload[1] != 0) {
		err = fmt.Errorf("%s is not let in: %x", o.Thing, p.Payload)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return d, nil
}

// DialAll connects one device for each thing, some at a time. options makes the
// options of one.
func DialAll(things []string, parallel int, options func(thing string) Options) ([]*Device, error) {
	devices := make([]*Device, len(things))
	err := each(len(things), parallel, func(i int) (err error) {
		devices[i], err = Dial(options(things[i]))
		return err
	})
	if err != nil {
		CloseAll(devices)
		return nil, err
	}
	return devices, nil
}

// CloseAll closes devices; nil ones are none.
func CloseAll(devices []*Device) {
	for _, d := range devices {
		if d != nil {
			d.Close()
		}
	}
}

// Close ends the connection as a device should.
func (d *Device) Close() {
	d.conn.Write([]byte{typeDisconnect, 0})
	d.conn.Close()
}

// Abort ends the connection without a word: pending reads return.
func (d *Device) Abort() { d.conn.Close() }

// Subscribe subscribes to filters at a QoS.
func (d *Device) Subscribe(qos byte, filters ...string) error {
	d.out = appendSubscribe(d.out[:0], d.next(), qos, filters)
	if _, err := d.conn.Write(d.out); err != nil {
		return err
	}
	for {
		p, err := d.Read()
		if err != nil {
			return err
		}
		if p.Type != typeSuback&0xF0 {
			continue
		}
		if len(p.Payload) != len(filters) || bytes.IndexByte(p.Payload, 0x80) >= 0 {
			return fmt.Errorf("%s may not subscribe to %q: %x", d.Thing, filters, p.Payload)
		}
		return nil
	}
}

func (d *Device) next() uint16 {
	if d.id++; d.id == 0 {
		d.id = 1
	}
	return d.id
}

// ErrRejected comes with the payload of the rejection in its text.
var ErrRejected = errors.New("the request was rejected")

// Request publishes at QoS 1 and waits for the acknowledgement and the answer on
// topic/accepted. The answer is good until the next call.
func (d *Device) Request(topic string, payload []byte) ([]byte, error) {
	id := d.next()
	d.out = AppendPublish(d.out[:0], id, topic, payload)
	if _, err := d.conn.Write(d.out); err != nil {
		return nil, err
	}
	var answer []byte
	for acked, answered := false, false; !acked || !answered; {
		p, err := d.Read()
		if err != nil {
			return nil, err
		}
		switch {
		case p.Type == typePuback && p.ID == id:
			acked = true
		case p.Type != typePublish:
		case len(p.Topic) == len(topic)+len("/accepted") && string(p.Topic[:len(topic)]) == topic:
			if string(p.Topic[len(topic):]) == "/rejected" { // as long
				return nil, fmt.Errorf("%w: %s: %s", ErrRejected, topic, p.Payload)
			}
			answered = true
			answer = p.Payload
			if !acked { // the next packet may overwrite it
				answer = bytes.Clone(answer)
			}
		}
	}
	return answer, nil
}

// Write writes packets made with AppendPublish and the like.
func (d *Device) Write(b []byte) error {
	_, err := d.conn.Write(b)
	return err
}

// Buffered tells whether a Read would find bytes without waiting.
func (d *Device) Buffered() bool { return d.start < len(d.in) }

// Read gives the next packet.
func (d *Device) Read() (Packet, error) {
	for {
		p, size, err := parse(d.in[d.start:])
		if err == nil {
			d.start += size
			return p, nil
		}
		if err != errShort {
			return p, err
		}
		d.room(size)
		n, err := d.conn.Read(d.in[len(d.in):cap(d.in)])
		d.in = d.in[:len(d.in)+n]
		if err != nil && n == 0 {
			return p, err
		}
	}
}

// room makes place for a packet of that size, and at least for some bytes.
func (d *Device) room(size int) {
	rest := len(d.in) - d.start
	if d.start > 0 {
		copy(d.in, d.in[d.start:])
		d.in, d.start = d.in[:rest], 0
	}
	if need := max(size, rest+1); need > cap(d.in) {
		grown := make([]byte, rest, max(need, 2*cap(d.in)))
		copy(grown, d.in)
		d.in = grown
	}
}

// Grow gives the connection a larger read buffer, for one that gets much.
func (d *Device) Grow(size int) { d.room(size) }
