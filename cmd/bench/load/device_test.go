package load

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// broker answers one connection as the brokers that are measured do: PUBACK, then the
// answer, split over several writes so that packets arrive in pieces.
func broker(t *testing.T, suffix string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(conn, suffix)
		}
	}()
	return ln.Addr().String()
}

func serve(conn net.Conn, suffix string) {
	d := &Device{conn: conn}
	defer conn.Close()
	for {
		p, err := d.Read()
		if err != nil {
			return
		}
		var out []byte
		switch p.Type {
		case typeConnect:
			out = []byte{typeConnack, 2, 0, 0}
		case typeSubscribe & 0xF0:
			out = []byte{typeSuback & 0xF0, 3, p.Payload[0], p.Payload[1], 1}
		case typePublish:
			out = AppendPublish(AppendPuback(nil, p.ID), 0, string(p.Topic)+suffix, bytes.Repeat(p.Payload, 100))
		}
		for len(out) > 0 {
			n := min(700, len(out))
			conn.Write(out[:n])
			out = out[n:]
		}
	}
}

func TestDevice(t *testing.T) {
	d, err := Dial(Options{Addr: broker(t, "/accepted"), Thing: "pump"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Subscribe(1, "a/#"); err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{"one", strings.Repeat("long", 100)} {
		got, err := d.Request("a/update", []byte(payload))
		if want := strings.Repeat(payload, 100); err != nil || string(got) != want {
			t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
		}
	}
}

func TestDeviceRejected(t *testing.T) {
	d, err := Dial(Options{Addr: broker(t, "/rejected"), Thing: "pump"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Request("a/update", []byte("x")); !errors.Is(err, ErrRejected) {
		t.Errorf("got %v, want ErrRejected", err)
	}
}

func TestClosedUntilDone(t *testing.T) {
	devices := make([]*Device, 10)
	for i := range devices {
		devices[i] = new(Device)
	}
	var busy, most atomic.Int32
	res, err := Closed(devices, 3, 0, func(d *Device) error {
		if d.Step == 5 {
			return ErrDone
		}
		d.Step++
		most.Store(max(most.Load(), busy.Add(1)))
		busy.Add(-1)
		return nil
	})
	if err != nil || res.Ops != 50 || most.Load() > 3 {
		t.Errorf("%d operations, %d at a time, %v; want 50 and at most 3", res.Ops, most.Load(), err)
	}
}

func TestClosedFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Closed([]*Device{{}, {}}, 2, time.Hour, func(*Device) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want the operation's error", err)
	}
}

func TestOpenCountsFromDue(t *testing.T) {
	devices := []*Device{{}, {}, {}}
	res, err := Open(devices, 1000, func(d *Device) error { d.Step++; return nil })
	if err != nil || res.Ops != 3 || devices[2].Step != 1 {
		t.Errorf("%d operations, %v", res.Ops, err)
	}
}
