package broker

import (
	"encoding/binary"
)

// What we write without mochi, as bytes: acknowledgements and messages whose place
// on the connection matters, and farewells. version is the protocol's, 4 or 5.

const (
	typePublish    = 0x30
	typePuback     = 0x40
	typeDisconnect = 0xE0
)

// Reason codes of MQTT 5 that we write.
const (
	codeUnspecified       = 0x80
	codeProtocolError     = 0x82
	codeNotAuthorized     = 0x87
	codeClientIDInvalid   = 0x85
	codeServerUnavailable = 0x88
	codeShuttingDown      = 0x8B
	codeTakenOver         = 0x8E
	codeFilterInvalid     = 0x8F
	codeTopicInvalid      = 0x90
	codeTooLarge          = 0x95
	codeQuota             = 0x97
	codeAdministrative    = 0x98
	codeQoS               = 0x9B
	codeSubscriptionID    = 0xA1
)

func appendUint16(dst []byte, n int) []byte { return binary.BigEndian.AppendUint16(dst, uint16(n)) }

func appendLength(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

func lengthSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// appendPuback acknowledges with success: two bytes in both versions.
func appendPuback(dst []byte, id uint16) []byte {
	return appendUint16(append(dst, typePuback, 2), int(id))
}

// appendPubackRefused acknowledges with a reason code of version 5. The reason is left out
// when there is none, or no room for it.
func appendPubackRefused(dst []byte, id uint16, code byte, reason string, max uint32) []byte {
	props := 3 + len(reason)
	length := 3 + lengthSize(props) + props
	if reason == "" || len(reason) > 1000 || max > 0 && uint32(1+lengthSize(length)+length) > max {
		return append(appendUint16(append(dst, typePuback, 4), int(id)), code, 0)
	}
	dst = appendUint16(appendLength(append(dst, typePuback), length), int(id))
	dst = appendLength(append(dst, code), props)
	return append(appendUint16(append(dst, 0x1F), len(reason)), reason...)
}

// publish is a message on its way to one client.
type publish struct {
	version byte
	topic   string // before suffix
	suffix  string
	id      uint16 // 0: QoS 0
	dup     bool
	// correlation is that of the request; version 5 only.
	correlation []byte
	payload     []byte
}

func (p *publish) properties() int {
	if p.version < 5 || len(p.correlation) == 0 {
		return 0
	}
	return 3 + len(p.correlation)
}

func (p *publish) remaining() int {
	n := 2 + len(p.topic) + len(p.suffix) + len(p.payload)
	if p.id != 0 {
		n += 2
	}
	if p.version >= 5 {
		n += lengthSize(p.properties()) + p.properties()
	}
	return n
}

// size is that of the whole packet.
func (p *publish) size() int {
	n := p.remaining()
	return 1 + lengthSize(n) + n
}

func (p *publish) append(dst []byte) []byte {
	header := byte(typePublish)
	if p.id != 0 {
		header |= 1 << 1
	}
	if p.dup {
		header |= 1 << 3
	}
	dst = appendLength(append(dst, header), p.remaining())
	dst = appendUint16(dst, len(p.topic)+len(p.suffix))
	dst = append(append(dst, p.topic...), p.suffix...)
	if p.id != 0 {
		dst = appendUint16(dst, int(p.id))
	}
	if p.version >= 5 {
		n := p.properties()
		dst = appendLength(dst, n)
		if n > 0 {
			dst = appendUint16(append(dst, 0x09), len(p.correlation))
			dst = append(dst, p.correlation...)
		}
	}
	return append(dst, p.payload...)
}

// appendDisconnect is the server's farewell, which version 5 alone knows.
func appendDisconnect(dst []byte, code byte, reason string, max uint32) []byte {
	full := 4 + lengthSize(3+len(reason)) + 3 + len(reason)
	if reason == "" || len(reason) > 1000 || max > 0 && uint32(full) > max {
		return append(dst, typeDisconnect, 1, code)
	}
	props := 3 + len(reason)
	dst = appendLength(append(dst, typeDisconnect), 1+lengthSize(props)+props)
	dst = appendLength(append(dst, code), props)
	dst = appendUint16(append(dst, 0x1F), len(reason))
	return append(dst, reason...)
}
