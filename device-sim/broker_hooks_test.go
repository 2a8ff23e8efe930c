package main

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

func (b *testBroker) ID() string { return "jobs" }

func (b *testBroker) Provides(h byte) bool {
	return bytes.IndexByte([]byte{mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablished, mqtt.OnSubscribed,
		mqtt.OnPublish, mqtt.OnPublished, mqtt.OnPacketRead}, h) >= 0
}

func (b *testBroker) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool {
	return !b.stranger
}

func (b *testBroker) OnACLCheck(_ *mqtt.Client, topic string, _ bool) bool {
	return b.deny == nil || !b.deny(topic)
}

func (b *testBroker) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	// Its flow control can deadlock; the broker of a test needs none.
	cl.Properties.Props.ReceiveMaximum = 0
	cl.State.Inflight.ResetSendQuota(0)
}

func (b *testBroker) OnSubscribed(cl *mqtt.Client, pk packets.Packet, _ []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sub := &subscriber{cl, make(map[string]bool)}
	for _, f := range pk.Filters {
		sub.filters[suffixOf(f.Filter)] = true
	}
	b.subscribers[strings.Split(pk.Filters[0].Filter, "/")[2]] = sub
}

func (b *testBroker) OnPacketRead(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Disconnect {
		b.goodbyes <- struct{}{}
	}
	return pk, nil
}

// OnPublish executes a request; OnPublished, when the PUBACK is out, answers it.
func (b *testBroker) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	parts := strings.Split(pk.TopicName, "/") // $aws things T jobs [job] op
	s := seen{thing: parts[2], op: parts[len(parts)-1]}
	if len(parts) == 6 {
		s.job = parts[4]
	}
	var wrong string // the code of a request that cannot be read
	if err := json.Unmarshal(pk.Payload, &s.request); err != nil {
		wrong = codeInvalidRequest
		if !bytes.HasPrefix(pk.Payload, []byte("{")) {
			wrong = codeInvalidJSON
		}
	} else if s.op == "update" && !slices.Contains([]string{statusInProgress, statusSucceeded, statusFailed, statusRejected}, s.Status) ||
		bytes.Contains(pk.Payload, []byte("a key")) || bytes.Contains(pk.Payload, []byte(`InMinutes":0`)) {
		wrong = codeInvalidRequest
	}
	b.mu.Lock()
	b.counts[s.thing+s.op]++
	s.n = b.counts[s.thing+s.op]
	b.requests = append(b.requests, s)
	b.mu.Unlock()

	var f fault
	if b.fault != nil {
		f = b.fault(s)
	}
	if f.before != nil {
		f.before()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.told(s.thing)
	e := b.find(s.thing, s.job)
	if e != nil && f.edit != nil {
		f.edit(e)
	}
	topic, answer := pk.TopicName+"/accepted", map[string]any(nil)
	if wrong != "" {
		answer = map[string]any{"code": wrong, "message": "cannot be read"}
	} else if f.reject == "" {
		answer = b.do(s, f)
	} else {
		answer = map[string]any{"code": f.reject, "message": "as the test wants it"}
		if f.state != "" {
			answer["executionState"] = map[string]any{"status": f.state, "versionNumber": e.version + 1}
		}
	}
	if answer["code"] != nil {
		topic = pk.TopicName + "/rejected"
	}
	answer["timestamp"] = 1
	if s.ClientToken != "" {
		answer["clientToken"] = s.ClientToken
	}
	empty := s.op == "start-next" && answer["execution"] == nil && answer["code"] == nil
	announce := b.announcement(s.thing, before, f)
	reply := packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Publish},
		ProtocolVersion: cl.Properties.ProtocolVersion,
		TopicName:       topic,
		Payload:         b.encode(answer),
	}
	b.replies[cl] = func() {
		if f.early {
			announce()
		}
		switch {
		case f.cut:
			cl.Stop(io.ErrClosedPipe)
		case !f.lose:
			_ = cl.WritePacket(reply)
			if f.twice {
				_ = cl.WritePacket(reply)
			}
		}
		if !f.early {
			announce()
		}
		if f.then != nil {
			f.then(b)
		}
		if empty && b.onEmpty != nil {
			b.onEmpty(s.thing)
		}
	}
	return pk, packets.CodeSuccessIgnore
}

func (b *testBroker) OnPublished(cl *mqtt.Client, _ packets.Packet) {
	b.mu.Lock()
	reply := b.replies[cl]
	delete(b.replies, cl)
	b.mu.Unlock()
	if reply != nil {
		reply()
	}
}
