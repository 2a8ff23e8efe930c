package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// ends checks that the broker ends the connection within a second; MQTT 5 clients are told.
func (d *device) ends(what string) {
	d.t.Helper()
	start := time.Now()
	if d.version == 5 {
		d.disconnected(codeNotAuthorized)
	} else {
		d.closed()
	}
	if took := time.Since(start); took > time.Second {
		d.t.Errorf("%s took effect after %s", what, took)
	}
}

// Whatever takes the ground from under a connection ends it, and it cannot come back.
func TestLiveEnds(t *testing.T) {
	for what, change := range map[string]func(p *plant, cert string, arn string) error{
		"INACTIVE": func(p *plant, cert, _ string) error {
			return p.UpdateCertificate(p.t.Context(), cert, jobsvc.CertificateInactive)
		},
		"REVOKED": func(p *plant, cert, _ string) error {
			return p.UpdateCertificate(p.t.Context(), cert, jobsvc.CertificateRevoked)
		},
		"Connect not allowed any more": func(p *plant, _, _ string) error {
			p.version("fleet", fleet[1:]...)
			return nil
		},
		"Connect forbidden": func(p *plant, _, _ string) error {
			p.version("fleet", append([]string{"Deny iot:Connect *"}, fleet...)...)
			return nil
		},
		"another default version": func(p *plant, _, _ string) error {
			_, err := p.CreatePolicyVersion(p.t.Context(), "fleet", p.document("Deny iot:* *"), false)
			p.must(err)
			return p.SetDefaultPolicyVersion(p.t.Context(), "fleet", "2")
		},
		"a policy that forbids, attached": func(p *plant, _, arn string) error {
			p.policy("never", []string{arn}, "Deny iot:Connect *")
			return nil
		},
		"detached from the thing that the policy needs": func(p *plant, _, arn string) error {
			return p.DetachThingPrincipal(p.t.Context(), "pump-1", arn)
		},
		"a group whose policy forbids": func(p *plant, _, _ string) error {
			_, err := p.CreateThingGroup(p.t.Context(), &jobsvc.CreateThingGroupRequest{ThingGroupName: "off"})
			p.must(err)
			p.policy("never", []string{p.arn(jobsvc.ARNThingGroup, "off")}, "Deny iot:Connect *")
			return p.AddThingToThingGroup(p.t.Context(), "off", "pump-1")
		},
		"deleted": func(p *plant, cert, arn string) error {
			p.must(p.DetachThingPrincipal(p.t.Context(), "pump-1", arn))
			p.must(p.DetachPolicy(p.t.Context(), "fleet", arn))
			p.must(p.UpdateCertificate(p.t.Context(), cert, jobsvc.CertificateInactive))
			return p.DeleteCertificate(p.t.Context(), cert, true)
		},
	} {
		t.Run(what, func(t *testing.T) {
			both(t, func(t *testing.T, version byte) {
				p := newPlant(t, "", nil)
				p.thing("pump-1", "pump-2")
				cert, arn := p.certificate("pump-1")
				other, arn2 := p.certificate("pump-2")
				p.policy("fleet", []string{arn}, fleet...)
				p.policy("other", []string{arn2}, fleet...)
				d, bystander := p.connect(version, cert, "pump-1"), p.connect(version, other, "pump-2")
				d.subscribe(1, jobs+"notify")
				p.must(change(p, certID(cert), arn))
				d.ends(what)
				p.refused(version, cert, "pump-1")
				bystander.allowed("$aws/things/pump-2/jobs/get")
			})
		})
	}
}

// Without policies: the attachment is the ground.
func TestLiveDetached(t *testing.T) {
	both(t, func(t *testing.T, version byte) {
		p := newPlant(t, "", nil)
		p.thing("pump-1", "pump-2")
		cert, arn := p.certificate("pump-1", "pump-2")
		d := p.connect(version, cert, "gateway")
		d.allowed("$aws/things/pump-2/jobs/get")
		p.must(p.DetachThingPrincipal(t.Context(), "pump-2", arn))
		eventually(t, "one of two things detached", func() bool { return len(p.b.Sessions().Connected("pump-2")) == 0 })
		d.allowed(jobs + "get")
		if version == 5 { // 3.1.1 would be closed
			d.forbidden("$aws/things/pump-2/jobs/get")
		}
		p.must(p.DetachThingPrincipal(t.Context(), "pump-1", arn))
		d.ends("the last thing detached")
	})
}

// A change of a policy that leaves iot:Connect is felt by the next request, and by
// subscriptions at the next delivery. The connection stays.
func TestLivePolicyIsJudgedAnew(t *testing.T) {
	both(t, func(t *testing.T, version byte) {
		p := newPlant(t, "", nil)
		p.thing("pump-1")
		cert, arn := p.certificate("pump-1")
		p.policy("fleet", []string{arn}, fleet...)
		d := p.connect(version, cert, "pump-1")
		d.subscribe(1, jobs+"notify-next")
		d.allowed(jobs + "get")
		queued := func(job string) {
			t.Helper()
			doc := "{}"
			_, err := p.CreateJob(t.Context(), &jobsvc.CreateJobRequest{JobID: job, Targets: []string{p.arn(jobsvc.ARNThing, "pump-1")}, Document: &doc})
			p.must(err)
			p.work()
		}
		judge := func() any { return p.b.liveWho("pump-1").Judge }
		change := func(statements ...string) {
			t.Helper()
			before := judge()
			p.version("fleet", statements...)
			eventually(t, "another version", func() bool { return judge() != before })
		}
		denied := func(want string) {
			t.Helper()
			eventually(t, want, func() bool {
				for _, n := range p.b.Denials() {
					if n.What == want {
						return true
					}
				}
				return false
			})
		}

		change(fleet[0], fleet[1], fleet[3]) // no iot:Receive
		queued("one")
		denied("receive")
		change(fleet[0], fleet[1], fleet[2]) // no iot:Subscribe: what was subscribed is not delivered
		_, err := p.CancelJob(t.Context(), &jobsvc.CancelJobRequest{JobID: "one", Force: true})
		p.must(err)
		p.work()
		eventually(t, "the head of the queue is told to nobody", func() bool {
			q, err := p.ThingQueue(t.Context(), "pump-1", "")
			p.must(err)
			return p.told("pump-1") == q.HeadVersion
		})
		d.allowed(jobs + "get") // the next that comes is the reply, and no notification before it
		change(fleet...)
		queued("two")
		if topic, payload, id, _ := d.published(); topic != jobs+"notify-next" || !strings.Contains(payload, `"two"`) {
			t.Errorf("got %s %s", topic, payload)
		} else {
			d.write(appendPuback(nil, id))
		}
		change(fleet[0], fleet[2], fleet[3]) // no iot:Publish
		d.forbidden(jobs + "get")
	})
}

// told is the version of the head of a thing's queue that notifications are at.
func (p *plant) told(thing string) uint64 {
	n := p.b.notifier
	n.mu.Lock()
	w := n.watches[thing]
	q := w.queues[""]
	n.mu.Unlock()
	w.hand.Lock()
	defer w.hand.Unlock()
	return q.head
}

// An attribute of the thing changes what a policy allows.
func TestLiveAttribute(t *testing.T) {
	p := newPlant(t, "", nil)
	p.thing("pump-1")
	cert, arn := p.certificate("pump-1")
	p.policy("by-site", []string{arn}, "Allow iot:Connect *", "Allow iot:Receive *",
		`Allow iot:Publish topic/* if {"StringEquals":{"iot:Connection.Thing.Attributes[site]":"hall"}}`)
	d := p.connect(5, cert, "pump-1")
	d.forbidden(jobs + "get")
	p.must(p.UpdateThing(t.Context(), &jobsvc.UpdateThingRequest{ThingName: "pump-1", Attributes: &jobsvc.AttributeUpdate{Attributes: map[string]string{"site": "hall"}}}))
	eventually(t, "attribute", func() bool { return p.b.liveWho("pump-1").Judge.Context.ThingAttribute["site"] == "hall" })
	d.allowed(jobs + "get")
}

// A version that asks what no version before asked.
func TestLivePolicyAsksMore(t *testing.T) {
	p := newPlant(t, "", nil)
	_, err := p.CreateThing(t.Context(), &jobsvc.CreateThingRequest{ThingName: "pump-1", Attributes: map[string]string{"site": "hall"}})
	p.must(err)
	cert, arn := p.certificate("pump-1")
	p.policy("p", []string{arn}, "Allow iot:Connect *", "Allow iot:Receive *")
	d := p.connect(5, cert, "pump-1")
	for _, condition := range []string{`{"StringEquals":{"iot:Connection.Thing.Attributes[site]":"hall"}}`, `{"StringEquals":{"iot:Certificate.Subject.CommonName":"x"}}`} {
		d.forbidden(jobs + "get")
		p.version("p", "Allow iot:Connect *", "Allow iot:Receive *", "Allow iot:Publish topic/* if "+condition)
		eventually(t, condition, func() bool { return p.b.liveWho("pump-1").MayPublish(jobs+"get", false, time.Now()) })
		d.allowed(jobs + "get")
		p.version("p", "Allow iot:Connect *", "Allow iot:Receive *")
		eventually(t, "back", func() bool { return !p.b.liveWho("pump-1").MayPublish(jobs+"get", false, time.Now()) })
	}
}

// A fleet under one policy feels its change within a second.
func TestLiveFleet(t *testing.T) {
	const n = 1000
	p := newPlant(t, "", nil)
	p.thing("pump-1")
	cert, arn := p.certificate("pump-1")
	p.policy("fleet", []string{arn}, "Allow iot:* *")
	id := Identity{CertificateID: certID(cert)}
	for i := range n {
		d := newDevice(t, dial(t, p.b, id), 5)
		if _, code := d.connect(connectOptions{id: fmt.Sprint("pump-1#", i), keepAlive: 60}); code != 0 {
			t.Fatalf("CONNACK %#x", code)
		}
	}
	p.version("fleet", "Allow iot:* *", "Deny iot:Publish *")
	eventually(t, "a change for the fleet", func() bool {
		for i := range n {
			if p.b.liveWho(fmt.Sprint("pump-1#", i)).MayPublish(jobs+"get", false, time.Now()) {
				return false
			}
		}
		return true
	})
}
