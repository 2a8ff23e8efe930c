package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// session3 is a session in MQTT 3.1.1: one goroutine that reads, and whoever sends writes.
//
// The bytes are paho.mqtt.golang's. Its client is not used: it runs five goroutines a device,
// reconnects by itself and hides the acknowledgements, of which a fleet wants none.
type session3 struct {
	hello
	ping *time.Timer
	read chan struct{} // closed when the reader has ended

	once  sync.Once
	ended chan struct{}
	err   error // why; set before ended is closed

	mu   sync.Mutex // guards the rest
	last uint16     // packet identifier
	acks map[uint16]chan packets.ControlPacket
}

var _ session = (*session3)(nil)

func open3(ctx context.Context, h hello) (session, error) {
	s := &session3{
		hello: h,
		read:  make(chan struct{}),
		ended: make(chan struct{}),
		acks:  make(map[uint16]chan packets.ControlPacket),
	}
	stop := context.AfterFunc(ctx, func() { _ = h.conn.Close() })
	err := s.connect()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = h.conn.Close() // it has failed already
		return nil, err
	}
	s.ping = time.AfterFunc(keepAlive*time.Second/2, s.pingreq)
	go s.reader()
	return s, nil
}

func (s *session3) connect() error {
	c := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	c.ProtocolName, c.ProtocolVersion = "MQTT", 4
	c.ClientIdentifier, c.CleanSession, c.Keepalive = s.clientID, true, keepAlive
	if err := s.write(c); err != nil {
		return err
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	p, err := packets.ReadPacket(s.conn)
	if err != nil {
		return err
	}
	ack, ok := p.(*packets.ConnackPacket)
	if !ok {
		return fmt.Errorf("%T instead of CONNACK", p)
	}
	if code := ack.ReturnCode; code != packets.Accepted {
		return &refusal{"connection", code, code != packets.ErrRefusedServerUnavailable, packets.ConnErrors[code]}
	}
	return nil
}

// write sends one packet, whole or not at all.
func (s *session3) write(p packets.ControlPacket) error {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return err
	}
	s.conn.Lock()
	defer s.conn.Unlock()
	_, err := s.conn.Write(b.Bytes())
	return err
}

// pingreq keeps the connection alive. Its answer resets the deadline of the reader.
func (s *session3) pingreq() {
	if s.write(packets.NewControlPacket(packets.Pingreq)) == nil {
		s.ping.Reset(keepAlive * time.Second / 2)
	}
}

func (s *session3) reader() {
	defer close(s.read)
	for {
		err := s.conn.SetReadDeadline(time.Now().Add(keepAlive * time.Second))
		var p packets.ControlPacket
		if err == nil {
			p, err = packets.ReadPacket(s.conn)
		}
		if err != nil {
			s.end(err)
			return
		}
		switch p := p.(type) {
		case *packets.PublishPacket:
			s.received(p.TopicName, p.Payload)
			if p.Qos == 1 {
				ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
				ack.MessageID = p.MessageID
				_ = s.write(ack) // the next read tells
			}
		case *packets.PubackPacket, *packets.SubackPacket:
			s.acked(p)
		}
	}
}

func (s *session3) acked(p packets.ControlPacket) {
	s.mu.Lock()
	c := s.acks[p.Details().MessageID]
	delete(s.acks, p.Details().MessageID)
	s.mu.Unlock()
	if c != nil {
		c <- p
	}
}

func (s *session3) end(err error) {
	s.once.Do(func() {
		s.err = err
		s.ping.Stop()
		_ = s.conn.Close() // the point is the end of it
		close(s.ended)
	})
}

// number gives the next free packet identifier and where its acknowledgement goes; nil for nowhere.
func (s *session3) number(ack chan packets.ControlPacket) uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		s.last++
		if _, taken := s.acks[s.last]; s.last != 0 && !taken {
			break
		}
	}
	if ack != nil {
		s.acks[s.last] = ack
	}
	return s.last
}

// exchange sends a packet and waits for its acknowledgement.
func (s *session3) exchange(ctx context.Context, p packets.ControlPacket, id uint16, ack chan packets.ControlPacket) (packets.ControlPacket, error) {
	err := s.write(p)
	if err == nil {
		select {
		case a := <-ack:
			return a, nil
		case <-s.ended:
			err = s.err
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	s.mu.Lock()
	delete(s.acks, id)
	s.mu.Unlock()
	return nil, err
}

func (s *session3) subscribe(ctx context.Context, filters []string) ([]byte, error) {
	ack := make(chan packets.ControlPacket, 1)
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.MessageID, p.Topics, p.Qoss = s.number(ack), filters, bytes.Repeat([]byte{1}, len(filters))
	a, err := s.exchange(ctx, p, p.MessageID, ack)
	if err != nil {
		return nil, err
	}
	if sub, ok := a.(*packets.SubackPacket); ok && len(sub.ReturnCodes) == len(filters) {
		return sub.ReturnCodes, nil
	}
	return nil, errors.New("the SUBACK does not fit the SUBSCRIBE")
}

func (s *session3) message(topic string, payload []byte, ack chan packets.ControlPacket) *packets.PublishPacket {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.Qos, p.TopicName, p.Payload, p.MessageID = 1, topic, payload, s.number(ack)
	return p
}

func (s *session3) publish(ctx context.Context, topic string, payload []byte) error {
	ack := make(chan packets.ControlPacket, 1)
	p := s.message(topic, payload, ack)
	_, err := s.exchange(ctx, p, p.MessageID, ack)
	return err
}

func (s *session3) post(_ context.Context, topic string, payload []byte) error {
	return s.write(s.message(topic, payload, nil))
}

func (s *session3) disconnect() {
	_ = s.write(packets.NewControlPacket(packets.Disconnect)) // or it is lost anyway
	s.end(errClosed)
	<-s.read
}

func (s *session3) lost() <-chan struct{} { return s.ended }
func (s *session3) why() error            { return s.err }
