// Package load is the devices of the benchmarks: MQTT 3.1.1 clients that do nothing
// they need not do, because the load generator shares the machine with what it
// measures. One goroutine serves one connection; there is no client library, no queue
// and no timer behind it.
package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Packet types, as in the first byte of a packet.
const (
	typeConnect    = 0x10
	typeConnack    = 0x20
	typePublish    = 0x30
	typePuback     = 0x40
	typeSubscribe  = 0x82
	typeSuback     = 0x90
	typeDisconnect = 0xE0
)

const qos1 = 1 << 1

func appendLength(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

func appendString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// appendConnect asks for a clean session.
func appendConnect(dst []byte, clientID string, keepAlive uint16) []byte {
	dst = appendLength(append(dst, typeConnect), 10+2+len(clientID))
	dst = append(appendString(dst, "MQTT"), 4, 2)
	return appendString(binary.BigEndian.AppendUint16(dst, keepAlive), clientID)
}

func appendSubscribe(dst []byte, id uint16, qos byte, filters []string) []byte {
	n := 2
	for _, f := range filters {
		n += 2 + len(f) + 1
	}
	dst = binary.BigEndian.AppendUint16(appendLength(append(dst, typeSubscribe), n), id)
	for _, f := range filters {
		dst = append(appendString(dst, f), qos)
	}
	return dst
}

// AppendPublish appends a PUBLISH; id 0 means QoS 0, any other QoS 1.
func AppendPublish(dst []byte, id uint16, topic string, payload []byte) []byte {
	n := 2 + len(topic) + len(payload)
	if id == 0 {
		dst = appendString(appendLength(append(dst, typePublish), n), topic)
		return append(dst, payload...)
	}
	dst = appendString(appendLength(append(dst, typePublish|qos1), n+2), topic)
	return append(binary.BigEndian.AppendUint16(dst, id), payload...)
}

// AppendPuback acknowledges a PUBLISH.
func AppendPuback(dst []byte, id uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, typePuback, 2), id)
}

// Packet is one packet that came in. Its slices are good until the next one is read.
type Packet struct {
	Type    byte   // with the flags taken off
	ID      uint16 // of a PUBLISH of QoS 1, PUBACK or SUBACK
	Topic   []byte
	Payload []byte // for CONNACK and SUBACK what follows the header
}

// errShort asks for more bytes.
var errShort = errors.New("the packet is not complete")

// parse takes the first packet off b and tells how many bytes it had.
func parse(b []byte) (p Packet, size int, err error) {
	remaining, header := 0, 1
	for shift := 0; ; shift += 7 {
		if header >= len(b) {
			return p, 0, errShort
		}
		if shift > 21 {
			return p, 0, errors.New("the length of a packet is malformed")
		}
		c := b[header]
		header++
		remaining |= int(c&0x7F) << shift
		if c < 0x80 {
			break
		}
	}
	if size = header + remaining; len(b) < size {
		return p, size, errShort
	}
	p.Type = b[0] & 0xF0
	return p, size, p.body(b[0], b[header:size])
}

func (p *Packet) body(first byte, b []byte) error {
	short := func(n int) bool { return len(b) < n }
	switch p.Type {
	case typePublish:
		if short(2) {
			break
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		if short(n) {
			break
		}
		p.Topic, b = b[2:n], b[n:]
		if first&(3<<1) != 0 {
			if short(2) {
				break
			}
			p.ID, b = binary.BigEndian.Uint16(b), b[2:]
		}
		p.Payload = b
		return nil
	case typePuback, typeSuback & 0xF0:
		if short(2) {
			break
		}
		p.ID, p.Payload = binary.BigEndian.Uint16(b), b[2:]
		return nil
	default:
		p.Payload = b
		return nil
	}
	return fmt.Errorf("a packet of type %#x is too short", first)
}

// Member gives the string value of a member of a flat JSON object, by looking for its
// name: the answers of brokers that are measured need no more.
func Member(json []byte, name string) []byte {
	i := bytes.Index(json, []byte(`"`+name+`":"`))
	if i < 0 {
		return nil
	}
	rest := json[i+len(name)+4:]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return nil
	}
	return rest[:end]
}
