package auth

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/policy"
)

// Mode says what decides about the connections of devices.
type Mode string

// The modes. spec: broker 6.3.
const (
	ModeAuto   Mode = "auto"   // policies, where a certificate or the groups of its thing have any; else things
	ModeThings Mode = "things" // the attachment to things alone
	ModePolicy Mode = "policy" // policies alone: no policy, no rights
)

// BindPolicies is Bind for a certificate that is judged by policies. What the client ID
// says of things does not matter, except for who owns the session; policies must allow
// iot:Connect. An operator of the configuration connects unless a policy forbids it.
func BindPolicies(b *jobsvc.Binding, clientID string, now time.Time, judge *policy.Judge, operator bool) (*Connection, error) {
	if err := Usable(b, now); err != nil {
		return nil, err
	}
	c := &Connection{ClientID: clientID, CertificateID: b.ID, Operator: operator, Judge: judge}
	if name := thingOf(clientID); slices.Contains(b.Things, name) {
		c.Things = []string{name}
	} else {
		c.Things = slices.Sorted(slices.Values(b.Things))
	}
	if !c.MayConnect(now) {
		_, reason := judge.Explain("iot:Connect", policy.ClientResource, clientID, now)
		return nil, &Refusal{reason}
	}
	return c, nil
}

// MayConnect tells whether policies let the connection be.
func (c *Connection) MayConnect(now time.Time) bool {
	switch c.Judge.Decide("iot:Connect", policy.ClientResource, c.ClientID, now) {
	case policy.Allowed:
		return true
	case policy.ImplicitDeny:
		return c.Operator
	}
	return false
}

// RightfulOwner tells whether the client ID names a thing of the connection: then one
// that only a policy allowed to use the ID does not keep it out.
func (c *Connection) RightfulOwner() bool {
	name := thingOf(c.ClientID)
	return len(c.Things) == 1 && c.Things[0] == name
}

// WhyNotPublish says why MayPublish said no, for people.
func (c *Connection) WhyNotPublish(topic string, retain bool, now time.Time) string {
	if c.Judge == nil {
		return "not a jobs topic of " + c.mine()
	}
	if effect, reason := c.Judge.Explain("iot:Publish", policy.TopicResource, topic, now); effect != policy.Allowed {
		return reason
	}
	if retain {
		if effect, reason := c.Judge.Explain("iot:RetainPublish", policy.TopicResource, topic, now); effect != policy.Allowed {
			return reason
		}
	}
	return "not a jobs topic"
}

// WhyNotSubscribe says why MaySubscribe said no.
func (c *Connection) WhyNotSubscribe(filter string, now time.Time) string {
	if c.Judge == nil {
		if strings.HasPrefix(filter, "$aws/events/") {
			return "events are for operators"
		}
		return "not below $aws/things/ and the name of " + c.mine()
	}
	if closedFilter(filter) {
		return "a filter that begins with $ must begin with $aws/things/ and the name of a thing, or with $aws/events/"
	}
	_, reason := c.Judge.Explain("iot:Subscribe", policy.FilterResource, filter, now)
	return reason
}

// WhyNotReceive says why MayReceive said no.
func (c *Connection) WhyNotReceive(topic string, now time.Time) string {
	if c.Judge == nil {
		return "not a topic of " + c.mine()
	}
	_, reason := c.Judge.Explain("iot:Receive", policy.TopicResource, topic, now)
	return reason
}

// mine names the things of the connection, not all of many.
func (c *Connection) mine() string {
	switch n := len(c.Things); {
	case n == 0:
		return "a thing of this connection, which has none"
	case n == 1:
		return "the thing of this connection, " + c.Things[0]
	case n <= 3:
		return "the things of this connection, " + strings.Join(c.Things, ", ")
	default:
		return fmt.Sprintf("the %d things of this connection, %s and others", n, strings.Join(c.Things[:2], ", "))
	}
}
