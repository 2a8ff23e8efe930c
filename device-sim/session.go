package main

import (
	"context"
	"fmt"
)

// session is one MQTT connection that is up. Devices are written against it, so that they behave
// the same in both versions of the protocol.
type session interface {
	// subscribe asks for filters with QoS 1 and returns what was granted for each: a QoS, or a
	// refusal from 0x80 on.
	subscribe(ctx context.Context, filters []string) ([]byte, error)
	// publish sends with QoS 1 and waits for the acknowledgement. A *refusal is the broker's no.
	publish(ctx context.Context, topic string, payload []byte) error
	// post sends with QoS 1 and does not wait.
	post(ctx context.Context, topic string, payload []byte) error
	// disconnect says DISCONNECT and returns when nothing of the session runs.
	disconnect()
	// lost is closed when the connection has ended; why tells the reason then.
	lost() <-chan struct{}
	why() error
}

// version is a version of MQTT.
type version string

const (
	mqtt5   version = "5"
	mqtt311 version = "3.1.1"
)

// hello is what a session begins with.
type hello struct {
	clientID string
	conn     *conn
	received func(topic string, payload []byte) // called in order, on one goroutine
}

// open makes a session of a connection, which it closes if it fails. The error is a *refusal if the
// broker answered no.
func (v version) open(ctx context.Context, h hello) (session, error) {
	if v == mqtt311 {
		return open3(ctx, h)
	}
	return open5(ctx, h)
}

// refusal is a broker's no, to a connection, a subscription or a publish.
type refusal struct {
	what  string
	code  byte
	final bool // trying again is useless
	err   error
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s refused (0x%02X): %v", r.what, r.code, r.err)
}
func (r *refusal) Unwrap() error { return r.err }
