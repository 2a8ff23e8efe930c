package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// mqttDevice is an MQTT client made of bytes, for what well-behaved clients do not do
// and what they do not show.
type mqttDevice struct {
	t       testing.TB
	version byte // 4 is MQTT 3.1.1, or 5
	conn    net.Conn
	in      *bufio.Reader
	id      uint16
	wmu     sync.Mutex
}

// message is a PUBLISH that came.
type message struct {
	topic   string
	payload []byte
}

// packet is a control packet that came.
type packet struct {
	kind byte // 2 is CONNACK, 3 PUBLISH, 4 PUBACK, 9 SUBACK, 14 DISCONNECT
	body []byte
}

// folderTLS is what a device's folder is enough for.
func folderTLS(t testing.TB, dir string) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "device.pem.crt"), filepath.Join(dir, "device.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{ServerName: "localhost", RootCAs: roots, Certificates: []tls.Certificate{cert}}
}

// certTLS is the same for a certificate in memory.
func (s *server) certTLS(certPEM, keyPEM string) *tls.Config {
	s.t.Helper()
	cert, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil {
		s.t.Fatal(err)
	}
	ca, err := os.ReadFile(s.dir.caFile())
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{ServerName: "localhost", RootCAs: roots, Certificates: []tls.Certificate{cert}}
}

// dial connects without yet saying CONNECT.
func (s *server) dial(version byte, cfg *tls.Config) (*mqttDevice, error) {
	s.t.Helper()
	e, err := s.dir.endpoints()
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", e.MQTTS, cfg)
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { conn.Close() })
	return &mqttDevice{t: s.t, version: version, conn: conn, in: bufio.NewReader(conn)}, conn.SetDeadline(time.Now().Add(2 * patience))
}

// connect gives the CONNACK's code, with the device when it is 0.
func (s *server) connect(version byte, cfg *tls.Config, clientID string) (*mqttDevice, byte) {
	s.t.Helper()
	d, err := s.dial(version, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return d, d.hello(clientID)
}

// hello says CONNECT and gives the CONNACK's code.
func (d *mqttDevice) hello(clientID string) byte {
	d.t.Helper()
	body := append(mqttString("MQTT"), d.version, 2, 0, 60) // clean session
	if d.version == 5 {
		body = append(body, 0)
	}
	d.send(0x10, append(body, mqttString(clientID)...))
	p, err := d.read()
	if err != nil || p.kind != 2 || len(p.body) < 2 {
		d.t.Fatalf("CONNECT as %s: %v %v", clientID, p, err)
	}
	return p.body[1]
}

// device connects the device of a folder made by enroll.
func (s *server) device(version byte, dir string) *mqttDevice {
	s.t.Helper()
	d, code := s.connect(version, folderTLS(s.t, dir), filepath.Base(dir))
	if code != 0 {
		s.t.Fatalf("%s is refused with %#x", dir, code)
	}
	return d
}

func mqttString(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// send writes a packet. A failed write shows at the next read.
func (d *mqttDevice) send(header byte, body []byte) {
	b := binary.AppendUvarint([]byte{header}, uint64(len(body)))
	d.wmu.Lock()
	defer d.wmu.Unlock()
	_, _ = d.conn.Write(append(b, body...))
}

// publish sends a PUBLISH with QoS 1.
func (d *mqttDevice) publish(topic string, payload []byte) {
	d.id++
	body := binary.BigEndian.AppendUint16(mqttString(topic), d.id)
	if d.version == 5 {
		body = append(body, 0)
	}
	d.send(0x32, append(body, payload...))
}

// subscribe waits for the SUBACK and gives its code.
func (d *mqttDevice) subscribe(filter string) byte {
	d.t.Helper()
	d.id++
	body := binary.BigEndian.AppendUint16(nil, d.id)
	if d.version == 5 {
		body = append(body, 0)
	}
	d.send(0x82, append(append(body, mqttString(filter)...), 1))
	p, err := d.read()
	if err != nil || p.kind != 9 {
		d.t.Fatalf("SUBSCRIBE: %v %v", p, err)
	}
	return p.body[len(p.body)-1]
}

func (d *mqttDevice) read() (packet, error) {
	header, err := d.in.ReadByte()
	if err != nil {
		return packet{}, err
	}
	n, err := binary.ReadUvarint(d.in)
	if err != nil {
		return packet{}, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(d.in, body)
	if header>>4 == 3 && header&6 != 0 { // QoS 1: acknowledge
		at := 2 + binary.BigEndian.Uint16(body)
		d.send(0x40, body[at:at+2])
		body = append(body[:at:at], body[at+2:]...)
	}
	return packet{header >> 4, body}, err
}

func (d *mqttDevice) message(p packet) message {
	at := 2 + binary.BigEndian.Uint16(p.body)
	m := message{topic: string(p.body[2:at]), payload: p.body[at:]}
	if d.version == 5 {
		n, used := binary.Uvarint(m.payload)
		m.payload = m.payload[used+int(n):]
	}
	return m
}

// next gives the next PUBLISH, or the error that ended the connection.
func (d *mqttDevice) next() (message, error) {
	for {
		p, err := d.read()
		if err != nil {
			return message{}, err
		}
		if p.kind == 3 {
			return d.message(p), nil
		}
	}
}

// mustNext gives the next PUBLISH, on a topic that ends so.
func (d *mqttDevice) mustNext(suffix string) message {
	d.t.Helper()
	m, err := d.next()
	if err != nil {
		d.t.Fatalf("waiting for %s: %v", suffix, err)
	}
	if !bytes.HasSuffix([]byte(m.topic), []byte(suffix)) {
		d.t.Fatalf("on %s came %s, want %s", m.topic, m.payload, suffix)
	}
	return m
}

// puback gives the reason of the next packet, which must be a PUBACK.
func (d *mqttDevice) puback() byte {
	d.t.Helper()
	p, err := d.read()
	if err != nil || p.kind != 4 {
		d.t.Fatalf("waiting for PUBACK: %v %v", p, err)
	}
	if len(p.body) > 2 {
		return p.body[2]
	}
	return 0
}

// ended reads up to the end of the connection, and gives the reason of a DISCONNECT.
func (d *mqttDevice) ended() (reason byte) {
	d.t.Helper()
	for {
		p, err := d.read()
		if err != nil {
			if e := (net.Error)(nil); asNetError(err, &e) && e.Timeout() {
				d.t.Fatal("the connection does not end")
			}
			return reason
		}
		if p.kind == 14 && len(p.body) > 0 {
			reason = p.body[0]
		}
	}
}

func asNetError(err error, e *net.Error) bool {
	n, ok := err.(net.Error)
	*e = n
	return ok
}

// reply is what an accepted or rejected request is answered.
type reply struct {
	Code        string
	Message     string
	ClientToken string
	Execution   *struct {
		JobID         string
		Status        string
		VersionNumber int64
		StatusDetails map[string]string
		JobDocument   json.RawMessage
	}
	ExecutionState *struct {
		Status        string
		VersionNumber int64
	}
}

// request asks and gives the answer, past notifications.
func (d *mqttDevice) request(thing, op, payload string) (outcome string, r reply, raw string) {
	d.t.Helper()
	outcome, r, raw, err := d.tryRequest(thing, op, payload)
	if err != nil {
		d.t.Fatalf("%s of %s: %v", op, thing, err)
	}
	return outcome, r, raw
}

func (d *mqttDevice) tryRequest(thing, op, payload string) (outcome string, r reply, raw string, err error) {
	topic := "$aws/things/" + thing + "/jobs/" + op
	d.publish(topic, []byte(payload))
	for {
		m, err := d.next()
		if err != nil {
			return "", r, "", err
		}
		if m.topic != topic+"/accepted" && m.topic != topic+"/rejected" {
			continue
		}
		return m.topic[len(topic)+1:], r, string(m.payload), unmarshal(m.payload, &r)
	}
}

func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %s", err, b)
	}
	return nil
}

// mqttPort is a port as clients take it on their command lines.
func mqttPort(addr string) string { return strconv.Itoa(portOf(addr)) }
