package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

// answers has the payload of each kind of request, by operation.
type answers map[string]string

func (a answers) write(file string) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

// operationOf is the key of a request's answer: update, get, start-next, or next for
// $next/get.
func operationOf(topic string) string {
	if strings.HasSuffix(topic, "/$next/get") {
		return "next"
	}
	return topic[strings.LastIndexByte(topic, '/')+1:]
}

// echoCmd is the floor of what a broker on mochi can do: PUBLISH is answered inside the
// publish hook, from memory, acknowledgement and answer in one write. It has the options
// that package broker gives mochi, and no engine.
type echoCmd struct {
	Answers string `arg:"" type:"existingfile" help:"JSON file with the answer of each operation."`
}

// Run serves until the process is ended.
func (c *echoCmd) Run(ctx context.Context) error {
	b, err := os.ReadFile(c.Answers)
	if err != nil {
		return err
	}
	h := &echoHook{answers: make(map[string][]byte)}
	var texts answers
	if err := json.Unmarshal(b, &texts); err != nil {
		return err
	}
	for op, text := range texts {
		h.answers[op] = []byte(text)
	}
	server := mqtt.New(&mqtt.Options{
		Capabilities: &mqtt.Capabilities{
			MaximumClients:               1 << 40,
			MaximumSessionExpiryInterval: 3600,
			MaximumClientWritesPending:   16,
			MaximumPacketSize:            200_000,
			ReceiveMaximum:               100,
			MaximumInflight:              1000,
			SharedSubAvailable:           1,
			MinimumProtocolVersion:       4,
			MaximumQos:                   1,
			RetainAvailable:              1,
			WildcardSubAvailable:         1,
			Compatibilities:              mqtt.Compatibilities{NoInheritedPropertiesOnAck: true},
		},
		ClientNetReadBufferSize:  1024,
		ClientNetWriteBufferSize: 1024,
		Logger:                   slog.New(slog.DiscardHandler),
	})
	if err := server.AddHook(h, nil); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { ln.Close() })
	collect := make(chan os.Signal, 1)
	signal.Notify(collect, syscall.SIGHUP)
	go func() {
		for range collect { // the row on memory asks
			debug.FreeOSMemory()
		}
	}()
	fmt.Println(ln.Addr())
	for {
		conn, err := ln.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer conn.Close()
			_ = server.EstablishConnection("", conn) // how a device leaves is its own business
		}()
	}
}

type echoHook struct {
	mqtt.HookBase
	answers map[string][]byte // not changed after the start
}

func (*echoHook) ID() string { return "echo" }

func (*echoHook) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck || b == mqtt.OnPublish
}

func (*echoHook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }
func (*echoHook) OnACLCheck(*mqtt.Client, string, bool) bool              { return true }

func (h *echoHook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	answer := h.answers[operationOf(pk.TopicName)]
	b := make([]byte, 0, 4+5+2+len(pk.TopicName)+len("/accepted")+len(answer))
	b = load.AppendPuback(b, pk.PacketID)
	b = load.AppendPublish(b, 0, pk.TopicName+"/accepted", answer)
	cl.Lock()
	_, err := cl.Net.Conn.Write(b)
	cl.Unlock()
	if err != nil {
		return pk, packets.ErrRejectPacket
	}
	pk.FixedHeader.Qos, pk.FixedHeader.Retain, pk.Ignore = 0, false, true
	return pk, nil
}
