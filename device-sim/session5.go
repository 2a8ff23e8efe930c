package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/eclipse/paho.golang/paho"
)

// session5 is a session in MQTT 5, by paho.golang.
type session5 struct {
	client *paho.Client

	once  sync.Once
	ended chan struct{}
	err   error // why; set before ended is closed
}

var _ session = (*session5)(nil)

func open5(ctx context.Context, h hello) (session, error) {
	s := &session5{ended: make(chan struct{})}
	s.client = paho.NewClient(paho.ClientConfig{
		ClientID:      h.clientID,
		Conn:          h.conn,
		PacketTimeout: handshakeTimeout,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(p paho.PublishReceived) (bool, error) {
				h.received(p.Packet.Topic, p.Packet.Payload)
				return true, nil
			},
		},
		OnClientError: s.end,
		OnServerDisconnect: func(d *paho.Disconnect) {
			if d.ReasonCode == 0x8E {
				s.end(errTakenOver)
				return
			}
			s.end(fmt.Errorf("disconnected by the broker: reason 0x%02X", d.ReasonCode))
		},
	})
	rm := uint16(receiveMaximum)
	ack, err := s.client.Connect(ctx, &paho.Connect{
		ClientID:   h.clientID,
		KeepAlive:  keepAlive,
		CleanStart: true, // nothing of an old session helps: the device asks on every connection
		Properties: &paho.ConnectProperties{ReceiveMaximum: &rm, RequestProblemInfo: true},
	})
	switch {
	case err != nil && ack != nil:
		return nil, &refusal{"connection", ack.ReasonCode, finalConnack(ack.ReasonCode), err}
	case err != nil:
		return nil, err
	}
	return s, nil
}

// finalConnack reports whether connecting again with the same certificate and client ID is useless.
func finalConnack(code byte) bool {
	switch code {
	case 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C: // version, client ID, credentials, authorization, banned, method
		return true
	}
	return false
}

func (s *session5) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.ended)
	})
}

func (s *session5) subscribe(ctx context.Context, filters []string) ([]byte, error) {
	sub := &paho.Subscribe{}
	for _, f := range filters {
		sub.Subscriptions = append(sub.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: 1})
	}
	ack, err := s.client.Subscribe(ctx, sub)
	if ack != nil && len(ack.Reasons) == len(filters) {
		return ack.Reasons, nil // the refusals among them are what err says
	}
	if err == nil {
		err = errors.New("the SUBACK does not fit the SUBSCRIBE")
	}
	return nil, err
}

func (s *session5) publish(ctx context.Context, topic string, payload []byte) error {
	ack, err := s.client.Publish(ctx, &paho.Publish{QoS: 1, Topic: topic, Payload: payload})
	if err != nil && ack != nil && ack.ReasonCode >= 0x80 {
		return &refusal{"publish", ack.ReasonCode, true, err}
	}
	return err
}

func (s *session5) post(ctx context.Context, topic string, payload []byte) error {
	_, err := s.client.PublishWithOptions(ctx, &paho.Publish{QoS: 1, Topic: topic, Payload: payload},
		paho.PublishOptions{Method: paho.PublishMethod_AsyncSend})
	return err
}

func (s *session5) disconnect() {
	_ = s.client.Disconnect(&paho.Disconnect{}) // fails only on a connection that is lost anyway
	s.end(errClosed)
}

func (s *session5) lost() <-chan struct{} { return s.ended }
func (s *session5) why() error            { return s.err }
