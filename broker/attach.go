package broker

import (
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// attach speaks MQTT on a connection until it ends. It does what mochi's
// EstablishConnection does, less what is never used here: wills, which mayWill lets
// nobody have, messages that wait in mochi's tables, and a goroutine that writes what
// its tree of topics delivers.
//
// It is ours for the memory of connections that wait, which are nearly all. mochi passes
// packets by value, 800 bytes each; a goroutine that waits below the functions that do
// has 16 KiB of stack for good. Here those functions have returned when it waits, and
// the collector takes half of it back. With the other goroutine that is 12 KiB.
func (b *Broker) attach(c *client) error {
	cl := b.mqtt.NewClient(c, "", "", false)
	defer cl.Stop(nil)
	if err := b.letIn(c, cl); err != nil {
		return err
	}
	err := b.readPackets(cl)
	cl.Stop(err)
	b.hook.OnDisconnect(cl, err, endsWithConnection(cl))
	return err
}

// endsWithConnection tells whether nothing is kept of the session.
func endsWithConnection(cl *mqtt.Client) bool {
	if cl.Properties.ProtocolVersion == 5 {
		return cl.Properties.Props.SessionExpiryInterval == 0
	}
	return cl.Properties.Clean
}

// letIn reads CONNECT and answers it. An error means that the connection is to end.
func (b *Broker) letIn(c *client, cl *mqtt.Client) error {
	var fh packets.FixedHeader
	if err := cl.ReadFixedHeader(&fh); err != nil {
		return err
	}
	if fh.Type != packets.Connect {
		return packets.ErrProtocolViolationRequireFirstConnect
	}
	pk, err := cl.ReadPacket(&fh)
	if err != nil {
		return err
	}
	cl.ParseConnect("", pk)
	if code := b.validateConnect(cl, &pk); code != packets.CodeSuccess {
		if err := b.mqtt.SendConnack(cl, code, false, nil); err != nil {
			return err
		}
		return code
	}
	if err := b.hook.OnConnect(cl, pk); err != nil {
		return err
	}
	refreshDeadline(cl)
	if !b.hook.OnConnectAuthenticate(cl, pk) {
		if err := b.mqtt.SendConnack(cl, packets.ErrBadUsernameOrPassword, false, nil); err != nil {
			return err
		}
		return packets.ErrBadUsernameOrPassword
	}
	b.mqtt.Clients.Add(cl)
	if err := b.mqtt.SendConnack(cl, packets.CodeSuccess, clientOf(cl).resumed != nil, nil); err != nil {
		return err
	}
	b.hook.OnSessionEstablished(cl, pk)
	return nil
}

func (b *Broker) validateConnect(cl *mqtt.Client, pk *packets.Packet) packets.Code {
	code := pk.ConnectValidate()
	will := &cl.Properties.Will
	switch caps := b.mqtt.Options.Capabilities; {
	case code != packets.CodeSuccess:
		return code
	case pk.ProtocolVersion < 5 && !pk.Connect.Clean && pk.Connect.ClientIdentifier == "":
		return packets.ErrUnspecifiedError
	case pk.ProtocolVersion < caps.MinimumProtocolVersion:
		return packets.ErrUnsupportedProtocolVersion
	case will.Qos > caps.MaximumQos:
		return packets.ErrQosNotSupported
	}
	return code
}

// readPackets waits for packets and has them processed. nil means that the device or
// the broker has ended the connection in good form.
func (b *Broker) readPackets(cl *mqtt.Client) error {
	var fh packets.FixedHeader
	for !cl.Closed() {
		refreshDeadline(cl)
		fh = packets.FixedHeader{}
		if err := cl.ReadFixedHeader(&fh); err != nil {
			return err
		}
		if err := b.readPacket(cl, &fh); err != nil {
			return err
		}
	}
	return nil
}

// readPacket must keep a frame of its own: see attach.
//
//go:noinline
func (b *Broker) readPacket(cl *mqtt.Client, fh *packets.FixedHeader) error {
	pk, err := cl.ReadPacket(fh)
	if err != nil {
		return err
	}
	if err = b.mqtt.InjectPacket(cl, pk); err == nil {
		b.lifecycle.changed(clientOf(cl))
		return nil
	}
	if code, ok := err.(packets.Code); ok && cl.Properties.ProtocolVersion == 5 && code.Code >= packets.ErrUnspecifiedError.Code {
		_ = b.mqtt.DisconnectClient(cl, code) // it is the error already
	}
	return err
}

// refreshDeadline gives the device one and a half keep-alives to send something.
func refreshDeadline(cl *mqtt.Client) {
	var t time.Time
	if k := cl.State.Keepalive; k > 0 {
		t = time.Now().Add(time.Duration(k+k/2) * time.Second)
	}
	_ = cl.Net.Conn.SetDeadline(t) // fails when the connection ends, as Read then does
}
