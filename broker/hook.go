package broker

import (
	"context"
	"errors"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

// Protocol bounds, those of AWS. spec: broker 2, 4.
const (
	receiveMaximum   = 100     // unacknowledged QoS 1 messages, either way
	maxPacketSize    = 149_504 // as announced: a payload of the limit, and room for the rest
	maxConnectBytes  = 128 << 10
	maxClientIDBytes = 128
	minKeepAlive     = 30
	maxKeepAlive     = 1200
	// mochi computes 1.5 times the keep-alive in 16 bits.
	maxTimeoutKeepAlive = 43690
)

// hook is the one hook mochi has: it calls every hook for every event. Those of
// connecting and disconnecting are called by attach. Its methods run on the read goroutine
// of the connection they are about, unless they say otherwise.
type hook struct {
	mqtt.HookBase
	b *Broker
}

var provided = func() (set [256]bool) {
	for _, event := range []byte{
		mqtt.OnACLCheck, mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPublish,
		mqtt.OnSubscribe, mqtt.OnUnsubscribe, mqtt.OnWill,
	} {
		set[event] = true
	}
	return set
}()

func (h *hook) ID() string           { return "thingjobs" }
func (h *hook) Provides(b byte) bool { return provided[b] }

// clientOf gives nil for a client of mochi's own making.
func clientOf(cl *mqtt.Client) *client {
	c, _ := cl.Net.Conn.(*client)
	return c
}

// OnConnect takes over what mochi must not do itself.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c := clientOf(cl)
	c.mqtt, c.version = cl, cl.Properties.ProtocolVersion
	c.maxPacket = cl.Properties.Props.MaximumPacketSize
	if n := int(cl.Properties.Props.ReceiveMaximum); n > 0 {
		c.out.window = min(n, receiveMaximum)
	}
	disableSendQuota(cl)

	asked := pk.Connect.Keepalive
	granted := max(asked, minKeepAlive)
	if asked == 0 || asked > maxKeepAlive {
		granted = maxKeepAlive
	}
	if c.version < 5 { // it cannot be told, so its own wish counts when it is longer
		granted = min(max(asked, granted), maxTimeoutKeepAlive)
	}
	cl.State.Keepalive, cl.State.ServerKeepalive = granted, true
	return nil
}

// disableSendQuota: with a client's Receive Maximum in place, mochi looks for
// messages to send after each packet and can lock up the whole broker doing so.
// Nothing of ours is in its table of unacknowledged messages; outbox keeps the window.
func disableSendQuota(cl *mqtt.Client) {
	cl.Properties.Props.ReceiveMaximum = 0
	cl.State.Inflight.ResetSendQuota(0)
}

// OnConnectAuthenticate decides who is let in. false makes mochi send CONNACK, whose
// code OnPacketEncode puts right.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	c := clientOf(cl)
	c.refusal = h.admit(c, cl, pk)
	if c.refusal != nil {
		c.deny("connect", "", c.refusal.reason)
	}
	return c.refusal == nil
}

func (h *hook) admit(c *client, cl *mqtt.Client, pk packets.Packet) *refusal {
	if len(cl.ID) > maxClientIDBytes || strings.HasPrefix(cl.ID, "$") {
		return &refusal{2, codeClientIDInvalid, "a client ID has at most 128 bytes and does not begin with $"}
	}
	err := h.b.sessions.bind(c, cl.ID)
	if err == nil && pk.Connect.WillFlag {
		err = mayWill(c, pk.Connect.WillTopic)
	}
	if err == nil {
		err = h.b.sessions.claim(c, cl)
	}
	if r := (*auth.Refusal)(nil); errors.As(err, &r) {
		return &refusal{5, codeNotAuthorized, r.Reason}
	}
	if err != nil {
		h.b.log.Error("connection not let in", "client", cl.ID, "err", err)
		return &refusal{3, codeServerUnavailable, "the server cannot check who you are now"}
	}
	return nil
}

// mayWill: a will is published when nobody is there to be asked, past every check
// of mochi. Below $ it would be a report from the dead, or a forged notification.
// As long as only topics below $ may be published nobody has a will, and attach sends
// none: that has to come first.
func mayWill(c *client, topic string) error {
	if strings.HasPrefix(topic, "$") {
		return &auth.Refusal{Reason: "a will must not have a topic that begins with $"}
	}
	// Nothing but requests is published, and none is a will.
	if who := c.who.Load(); !who.MayPublish(topic, false, c.b.now()) {
		return &auth.Refusal{Reason: "the topic of the will may not be published: " + who.WhyNotPublish(topic, false, c.b.now())}
	}
	return &auth.Refusal{Reason: noApplicationTopics}
}

const noApplicationTopics = "only requests of jobs are published here: this broker passes no messages from client to client"

// OnSessionEstablished runs after CONNACK, before the first packet is read. A
// resumed session gets its subscriptions back, as far as it may still have them, and what
// it missed.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := clientOf(cl)
	disableSendQuota(cl)
	c.letIn = true
	h.b.metrics.connections.Inc()
	h.b.lifecycle.arrived(c)
	if s := c.inheritedEvents; s != nil {
		c.inheritedEvents = nil
		if who := c.who.Load(); who.Operator || who.Judge != nil { // what it may still have is judged at delivery
			h.b.events.resume(s, c)
		} else {
			h.b.events.forget(s)
		}
	}
	if c.resumed == nil {
		return
	}
	for _, f := range c.resumed.Subscriptions {
		h.subscribe(c, f.Filter, f.QoS)
	}
	// Read behind the subscriptions: what changes from now on is notified.
	versions, err := h.b.engine.ThingVersions(context.Background(), thingNames(c.resumed))
	if err != nil {
		h.b.log.Error("what a session missed is not known", "client", cl.ID, "err", err)
		c.end(codeServerUnavailable, "the server cannot resume the session now")
		return
	}
	h.b.notifier.resume(c, c.resumed, versions)
	c.resumed = nil
}

func (h *hook) subscribe(c *client, filter string, qos byte) {
	if c.filters == nil {
		c.filters = make(map[string]byte)
	}
	c.filters[filter] = qos
	h.b.notifier.subscribe(context.Background(), c, filter, qos)
	h.b.events.subscribe(c, filter, qos)
	h.b.lifecycle.subscribe(c, filter, qos)
}

// OnDisconnect: the session ends with the connection if expire.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	clientOf(cl).keep = !expire
}

// OnPacketRead judges packets before mochi does. An error that is not
// ErrRejectPacket would be ignored; that one closes the connection.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := clientOf(cl)
	if code := c.endingCode(); code != 0 && code != codeShuttingDown {
		return pk, packets.ErrRejectPacket // what is still buffered comes too late
	}
	switch pk.FixedHeader.Type {
	case packets.Connect:
		if pk.FixedHeader.Remaining > maxConnectBytes {
			if pk.ProtocolVersion >= 5 {
				c.Write([]byte{0x20, 3, 0, codeTooLarge, 0})
			}
			c.deny("connect", "", "CONNECT is too large")
			return pk, packets.ErrRejectPacket
		}
	case packets.Publish:
		return pk, h.readPublish(c, cl, &pk)
	case packets.Disconnect:
		c.visit.goodbye = true
	case packets.Puback:
		c.acknowledged(pk.PacketID)
	case packets.Subscribe:
		if len(pk.Properties.SubscriptionIdentifier) > 0 {
			return pk, c.violation(codeSubscriptionID, "subscribe", "", "subscription identifiers are not supported")
		}
	case packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		return pk, c.violation(codeProtocolError, "protocol", "", "QoS 2 is not supported")
	case packets.Auth:
		return pk, c.violation(codeProtocolError, "protocol", "", "AUTH is not supported")
	}
	return pk, nil
}

// violation ends the connection, with a word to MQTT 5 clients. 3.1.1 has none.
func (c *client) violation(code byte, what, topic, reason string) error {
	c.fail(jobsvc.DisconnectError, c.deny(what, topic, reason))
	if c.version >= 5 {
		c.Write(appendDisconnect(nil, code, reason, c.maxPacket))
	}
	return packets.ErrRejectPacket
}

// fail notes why the broker is about to end the connection.
func (c *client) fail(reason jobsvc.DisconnectReason, detail string) {
	c.visit.reason, c.visit.detail = reason, detail
}

// readPublish checks form and rights. What may be published is parsed here once
// and answered in OnPublish.
func (h *hook) readPublish(c *client, cl *mqtt.Client, pk *packets.Packet) error {
	c.allowed = false
	topic := pk.TopicName
	switch {
	case pk.FixedHeader.Qos > 1:
		return c.violation(codeQoS, "publish", topic, "QoS 2 is not supported")
	case !topicFits(topic):
		return c.violation(codeTopicInvalid, "publish", clip(topic), "a topic has at most 256 bytes and 7 slashes")
	case strings.ContainsAny(topic, "+#\x00"):
		return c.violation(codeTopicInvalid, "publish", topic, "a topic has no wildcards")
	case len(pk.Payload) > jobsvc.MaxMessageBytes:
		return c.violation(codeTooLarge, "publish", topic, "the payload has more than 131072 bytes")
	case topic == "" || pk.FixedHeader.Qos > 0 && pk.PacketID == 0 || pk.Properties.TopicAliasFlag:
		return nil // mochi refuses it
	}
	t, inJobs := parseTopic(topic)
	switch {
	case inJobs && t.op == opServer:
		c.told = c.deny("publish", topic, "only the service publishes there")
	case !c.who.Load().MayPublish(topic, pk.FixedHeader.Retain, h.b.now()):
		c.told = c.deny("publish", topic, c.who.Load().WhyNotPublish(topic, pk.FixedHeader.Retain, h.b.now()))
	case !inJobs: // policies allow it
		c.told = c.deny("publish", topic, noApplicationTopics)
	default:
		if t.op == opInvalid { // answered, but worth a look
			c.deny("topic", topic, "the topic is that of no operation")
		}
		c.topic, c.allowed = t, true
		return nil
	}
	switch {
	case pk.FixedHeader.Qos == 0: // mochi drops it
	case c.version < 5:
		// A PUBACK would hide it, and mochi would write a DISCONNECT first.
		c.fail(jobsvc.DisconnectForbidden, c.told)
		return packets.ErrRejectPacket
	case len(topic) >= 4 && strings.EqualFold(topic[:4], mqtt.SysPrefix):
		told := c.told
		if p := &cl.Properties.Props; p.RequestProblemInfoFlag && p.RequestProblemInfo == 0 {
			told = "" // as the client asked
		}
		c.Write(appendPubackRefused(nil, pk.PacketID, codeNotAuthorized, told, c.maxPacket)) // mochi swallows it without
	}
	return nil
}

func clip(s string) string {
	if len(s) > maxTopicBytes {
		s = strings.ToValidUTF8(s[:maxTopicBytes], "") + "…"
	}
	return s
}

// OnACLCheck is asked about a PUBLISH, a filter, and a delivery.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	c := clientOf(cl)
	switch {
	case c == nil:
		return false
	case write:
		return c.allowed
	}
	return c.who.Load().MayReceive(topic, h.b.now()) // of filters OnSubscribe left only what may be
}

// OnPublish answers a request and makes mochi forget it: neither acknowledged nor
// forwarded nor retained. Any other way out of this hook logs or publishes.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if c := clientOf(cl); c != nil && c.allowed {
		in := incoming{topic: pk.TopicName, payload: pk.Payload, correlation: pk.Properties.CorrelationData}
		if pk.FixedHeader.Qos == 1 {
			in.id = pk.PacketID
		}
		h.b.serveRequest(c, c.topic, in)
	}
	pk.FixedHeader.Qos, pk.FixedHeader.Retain, pk.Ignore = 0, false, true
	return pk, nil
}

// OnSubscribe judges the filters and keeps those that are granted. mochi is shown
// none: a filter is made invalid for it, and OnPacketEncode writes our codes.
func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := clientOf(cl)
	c.suback, c.told = make([]byte, len(pk.Filters)), ""
	who := c.who.Load()
	var granted []string
	var change subscriptionChange
	if c.persistent() {
		change.begin(c, pk.Filters)
	}
	for i := range pk.Filters {
		f := &pk.Filters[i]
		rest, shared := cutShare(f.Filter)
		var code byte
		what, reason := "subscribe", ""
		_, exists := c.filters[f.Filter]
		switch {
		case !topicFits(rest) || shared && len(f.Filter)-len(rest) > len("$share//")+128:
			code, reason = codeFilterInvalid, "a filter has at most 256 bytes and 7 slashes"
		case !validFilter(rest):
			code, reason = codeFilterInvalid, "not a filter"
		case shared:
			code, reason = codeNotAuthorized, "there are no shared subscriptions"
		case !who.MaySubscribe(rest, h.b.now()):
			code, reason = codeNotAuthorized, who.WhyNotSubscribe(rest, h.b.now())
		case i >= h.b.limits.FiltersPerSubscribe:
			code, reason = codeQuota, "too many filters in one SUBSCRIBE"
		case !exists && len(c.filters) >= h.b.limits.Subscriptions:
			code, reason = codeQuota, "too many subscriptions on the connection"
		case change.err != nil:
			code, reason = codeUnspecified, "the session cannot be stored now"
		default:
			code = min(f.Qos, 1) // QoS 2 is granted as 1
			change.note(c, f.Filter, code)
			h.subscribe(c, f.Filter, code)
			granted = append(granted, f.Filter)
			if mistyped(f.Filter, who.Things) {
				reason = "granted, but nothing is ever published there"
				what = "topic"
			}
		}
		if reason != "" {
			if told := c.deny(what, clip(f.Filter), reason); c.told == "" { // there is room for one
				c.told = told
			}
		}
		c.suback[i] = code
		f.Filter = ""
	}
	if change.any && h.b.sessions.saveChange(c, &change) != nil {
		h.undo(c, &change)
		for i, code := range c.suback {
			if code < codeUnspecified {
				c.suback[i] = codeUnspecified
			}
		}
		granted = nil
	}
	c.visit.subscribed = granted
	return pk
}

// OnUnsubscribe takes the filters away, and hides them from mochi likewise.
func (h *hook) OnUnsubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := clientOf(cl)
	c.unsuback = make([]byte, len(pk.Filters))
	var gone []string
	for i := range pk.Filters {
		f := &pk.Filters[i]
		if _, ok := c.filters[f.Filter]; ok {
			h.unsubscribe(c, f.Filter)
			gone = append(gone, f.Filter)
		} else {
			c.unsuback[i] = packets.CodeNoSubscriptionExisted.Code
		}
		f.Filter = ""
	}
	c.visit.unsubscribed = gone
	if len(gone) > 0 && c.persistent() {
		if err := h.b.sessions.save(c, nil, false); err != nil {
			// Not acknowledged, or 3.1.1 would take it for done.
			h.b.log.Error("a session is not stored", "client", cl.ID, "err", err)
			c.end(codeServerUnavailable, "the session cannot be stored now")
			c.Conn.Close()
		}
	}
	return pk
}

func (h *hook) unsubscribe(c *client, filter string) {
	delete(c.filters, filter)
	h.b.notifier.unsubscribe(c, filter)
	h.b.events.unsubscribe(c, filter)
	h.b.lifecycle.unsubscribe(c, filter)
}

// validFilter tells whether wildcards stand where they may.
func validFilter(filter string) bool {
	if filter == "" || strings.IndexByte(filter, 0) >= 0 {
		return false
	}
	for more := true; more; {
		var level string
		level, filter, more = strings.Cut(filter, "/")
		if len(level) > 1 && strings.ContainsAny(level, "+#") || level == "#" && more {
			return false
		}
	}
	return true
}

// OnWill is the second line: what CONNECT let pass must still be allowed.
func (h *hook) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	if c := clientOf(cl); c != nil && c.who.Load() != nil && mayWill(c, will.TopicName) == nil {
		return will, nil
	}
	return mqtt.Will{}, nil
}

// OnPacketEncode completes what mochi answers. It may run on the goroutine that
// writes, for packets not handled here.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	switch pk.FixedHeader.Type {
	case packets.Connack:
		h.connack(clientOf(cl), cl.Properties.ProtocolVersion, &pk)
	case packets.Puback:
		if pk.ReasonCode >= 0x80 {
			pk.Properties.ReasonString = clientOf(cl).told
		}
	case packets.Suback:
		c := clientOf(cl)
		pk.Properties.ReasonString = c.told
		for i, code := range c.suback {
			if code >= 0x80 && c.version < 5 {
				code = 0x80
			}
			pk.ReasonCodes[i] = code
		}
	case packets.Unsuback:
		copy(pk.ReasonCodes, clientOf(cl).unsuback)
	}
	return pk
}

func (h *hook) connack(c *client, version byte, pk *packets.Packet) {
	if pk.ReasonCode == 0 {
		p := &pk.Properties
		p.MaximumPacketSize = maxPacketSize
		p.SubIDAvailable, p.SubIDAvailableFlag = 0, true
		return
	}
	reason := pk.Properties.ReasonString
	if reason == "" {
		reason = "CONNECT is not valid"
	}
	if r := c.refusal; r != nil {
		pk.ReasonCode, pk.Properties.ReasonString = r.v5, r.reason
		if version < 5 {
			pk.ReasonCode = r.v3
		}
		return
	}
	c.deny("connect", "", reason)
	if version == 5 {
		return
	}
	switch pk.ReasonCode {
	case 1, 2, 3, 4, 5:
	case packets.ErrUnsupportedProtocolVersion.Code, packets.ErrProtocolViolationProtocolVersion.Code:
		pk.ReasonCode = 1
		if reason != packets.ErrUnsupportedProtocolVersion.Reason && reason != packets.ErrProtocolViolationProtocolVersion.Reason {
			c.Close() // another protocol error: no code says so
		}
	case packets.ErrUnspecifiedError.Code, codeClientIDInvalid: // no client ID, session to be kept
		pk.ReasonCode = 2
	default: // 3.1.1 has no code for it
		c.Close()
	}
}
