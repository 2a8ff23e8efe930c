package broker

import (
	"encoding/binary"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

// stream follows the packets a connection sends, so that a request of a plain form is
// served before mochi sees it: mochi reads a header byte by byte, copies each packet
// twice and passes it on by value, 800 bytes of it, through six calls. That was a fifth
// of what a read costs.
//
// It only takes what it is sure of: a whole PUBLISH that begins where mochi has finished
// with everything before, for an operation, on a topic that the connection may publish,
// without properties. All else goes to mochi as it came, which judges it. It belongs to
// the read goroutine.
type stream struct {
	rest   int  // bytes still to come of the packet mochi reads
	header bool // inside the fixed header of one, behind its first byte
	length int  // that header's length as far as it is known
	shift  int
	lost   bool // mochi is about to refuse the stream, or reads it in another way

	// The topic published last, what it means, and who was found to be allowed to.
	topic   string
	parsed  jobsTopic
	who     *auth.Connection
	replies [2]permit // to accepted and rejected

	armed time.Time // when the deadline was last moved by serve; zero: by mochi
}

// begins tells whether mochi is done with all that it was given.
func (s *stream) begins() bool { return s.rest == 0 && !s.header && !s.lost }

// pass follows bytes that mochi is given.
func (s *stream) pass(b []byte) {
	for len(b) > 0 && !s.lost {
		switch {
		case s.rest > 0:
			n := min(s.rest, len(b))
			s.rest -= n
			b = b[n:]
		case !s.header:
			s.header, s.length, s.shift = true, 0, 0
			b = b[1:]
		default:
			s.length |= int(b[0]&0x7F) << s.shift
			s.shift += 7
			if b[0] < 0x80 {
				s.header, s.rest = false, s.length
			} else if s.shift == 28 {
				s.lost = true // a length has four bytes
			}
			b = b[1:]
		}
	}
}

// incoming is a PUBLISH that is to be answered.
type incoming struct {
	topic       string
	id          uint16 // 0: QoS 0
	payload     []byte
	correlation []byte // version 5 only
}

// take cuts a request off the front of b. size is 0 when there is none that is whole and
// plain. The payload is a part of b.
func (c *client) take(b []byte) (in incoming, size int) {
	s := &c.in
	// QoS 0 or 1; DUP only with QoS 1. RETAIN means nothing.
	if len(b) < 2 || b[0]&0xF0 != typePublish || b[0]&0b0110 > 0b0010 || b[0]&0b1010 == 0b1000 {
		return in, 0
	}
	length, n := binary.Uvarint(b[1:min(len(b), 5)])
	if n <= 0 || length > uint64(len(b)-1-n) {
		return in, 0
	}
	size = 1 + n + int(length)
	body := b[1+n : size]
	topic, body, ok := cutField(body)
	if !ok {
		return in, 0
	}
	if b[0]&0b0010 != 0 {
		if len(body) < 2 {
			return in, 0
		}
		if in.id = binary.BigEndian.Uint16(body); in.id == 0 {
			return in, 0
		}
		body = body[2:]
	}
	if c.version >= 5 {
		if len(body) == 0 || body[0] != 0 {
			return in, 0
		}
		body = body[1:]
	}
	retain := b[0]&1 != 0
	if who := c.who.Load(); who != s.who || string(topic) != s.topic || who.Judge != nil && (retain || who.Timed()) {
		if !s.learn(string(topic), who, retain, c.b.now) {
			return in, 0
		}
	}
	in.topic, in.payload = s.topic, body
	return in, size
}

// learn notes a topic if it is that of an operation and may be published.
func (s *stream) learn(topic string, who *auth.Connection, retain bool, now func() time.Time) bool {
	// That of an operation is made of valid names and fixed words: no wildcards, no NUL.
	t, ok := parseTopic(topic)
	if !ok || t.op <= opServer || !topicFits(topic) || who == nil || !who.MayPublish(topic, retain, now()) {
		return false
	}
	s.topic, s.parsed, s.who, s.replies = topic, t, who, [2]permit{}
	return true
}

// permit is an answer that is asked for once.
type permit byte

const (
	notAsked permit = iota
	permitted
	forbidden
)

// mayReply tells whether the connection may get the answer on a topic. Policies are asked
// once for each topic that is published one request after another.
func (c *client) mayReply(topic, suffix string) bool {
	who := c.who.Load()
	if who.Judge == nil {
		return true // it may publish there, so it is its own
	}
	known := new(permit)
	if s := &c.in; s.who == who && s.topic == topic && !who.Timed() {
		known = &s.replies[0]
		if suffix != "/accepted" {
			known = &s.replies[1]
		}
	}
	if *known == notAsked {
		*known = forbidden
		if who.MayReceive(topic+suffix, c.b.now()) {
			*known = permitted
		}
	}
	if *known == forbidden {
		c.deny("receive", topic+suffix, who.WhyNotReceive(topic+suffix, c.b.now()))
	}
	return *known == permitted
}

// cutField takes a field with a length of two bytes off the front.
func cutField(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// serve answers the requests at the front of p, which holds what was just read, and
// moves what is left for mochi to the front. It gives the length of that.
func (c *client) serve(p []byte) int {
	rest := p
	for c.letIn && c.in.begins() && c.endingCode() == 0 {
		in, size := c.take(rest)
		if size == 0 {
			break
		}
		c.keepAlive()
		c.b.serveRequest(c, c.in.parsed, in)
		rest = rest[size:]
		if len(rest) == 0 {
			return 0
		}
	}
	c.in.pass(rest)
	return copy(p, rest)
}

// armEvery is how often the keep-alive's deadline is moved at most by requests that
// follow one another. A silent connection lives that much longer.
const armEvery = time.Second

// keepAlive does for a request served here what mochi does for each packet.
func (c *client) keepAlive() {
	now := time.Now()
	if now.Sub(c.in.armed) < armEvery {
		return
	}
	k := c.mqtt.State.Keepalive
	if c.arm(now.Add(time.Duration(k+k/2)*time.Second+armEvery)) == nil {
		c.in.armed = now
	}
}
