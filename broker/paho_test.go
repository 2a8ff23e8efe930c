package broker

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// A published MQTT 5 client does a device's work.
func TestPahoDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{}
		b := startBroker(t, e, nil)
		received := make(chan *paho.Publish, 100)
		down := make(chan *paho.Disconnect, 1)
		c := paho.NewClient(paho.ClientConfig{
			ClientID: "pump-1",
			Conn:     packets.NewThreadSafeConn(dial(t, b, e.certificate("c1", "pump-1"))),
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){
				func(p paho.PublishReceived) (bool, error) { received <- p.Packet; return true, nil },
			},
			OnServerDisconnect: func(d *paho.Disconnect) { down <- d },
		})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ack, err := c.Connect(ctx, &paho.Connect{ClientID: "pump-1", CleanStart: true, KeepAlive: 60})
		if err != nil || ack.ReasonCode != 0 {
			t.Fatal(ack, err)
		}
		if p := ack.Properties; *p.ReceiveMaximum != 100 || *p.MaximumPacketSize != maxPacketSize || p.SubIDAvailable || !p.SharedSubAvailable || !p.WildcardSubAvailable || !p.RetainAvailable || *p.ServerKeepAlive != 60 || *p.MaximumQoS != 1 {
			t.Errorf("CONNACK %+v", p)
		}
		if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: jobs + "notify-next", QoS: 1}}}); err != nil {
			t.Fatal(err)
		}
		if s, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "$aws/things/pump-2/jobs/#", QoS: 1}}}); err == nil || s.Reasons[0] != 0x87 {
			t.Errorf("foreign thing: %v, %v", s, err)
		}

		e.set("pump-1", "", state(1, 1))
		b.Notify(hint("pump-1", 1, 1))
		if p := <-received; p.Topic != jobs+"notify-next" || p.QoS != 1 || p.Retain || !strings.Contains(string(p.Payload), `"jobDocument":{"u":"a&b"}`) {
			t.Errorf("got %v", p)
		}
		now := time.Now()
		e.start = func(*jobsvc.StartNextPendingJobExecutionRequest) (*jobsvc.DeviceExecution, error) {
			x := state(1, 1)
			return &jobsvc.DeviceExecution{Execution: x.Head, Document: x.Document, Time: now}, nil
		}
		if r, err := c.Publish(ctx, &paho.Publish{Topic: jobs + "start-next", QoS: 1, Properties: &paho.PublishProperties{
			CorrelationData: []byte("7"), User: paho.UserProperties{{Key: "a", Value: "b"}}, ResponseTopic: "elsewhere",
		}}); err != nil || r.ReasonCode != 0 {
			t.Fatal(r, err)
		}
		if p := <-received; p.Topic != jobs+"start-next/accepted" || p.QoS != 0 || string(p.Properties.CorrelationData) != "7" || len(p.Properties.User) != 0 || p.Properties.MessageExpiry != nil {
			t.Errorf("got %v %+v", p, p.Properties)
		}
		if r, err := c.Publish(ctx, &paho.Publish{Topic: jobs + "notify", QoS: 1, Payload: []byte("forged")}); err == nil || r.ReasonCode != 0x87 {
			t.Errorf("forged notify: %v, %v", r, err)
		}
		synctest.Wait()
		if len(b.sessions.live["pump-1"].out.inflight) != 0 {
			t.Error("the acknowledgement did not arrive")
		}
		b.Sessions().Kick("pump-1", "maintenance")
		if d := <-down; d.ReasonCode != 0x98 || d.Properties.ReasonString != "maintenance" {
			t.Errorf("DISCONNECT %v", d)
		}
		<-c.Done()
	})
}
