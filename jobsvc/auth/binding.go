package auth

import (
	"slices"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/policy"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

// Connection is what one MQTT connection may act for. It is a value: when a
// certificate, its things or its policies change, a new one takes its place.
//
// spec: broker 6.3, 6.5.
type Connection struct {
	ClientID      string
	CertificateID string   // "" when the connection proved nothing
	Things        []string // sorted
	AccessKeyID   string   // of an operator who signed with one
	// Operator: may subscribe to events, and need not have a thing.
	Operator bool
	// Judge holds the policies that decide. nil: Things do.
	Judge *policy.Judge
	// Groups are the thing groups that were looked at for policies.
	Groups []string
}

// Refusal says why a connection is not let in. It is an error of the caller, fit
// for its log and for the reason string of MQTT 5.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }

// Bind tells what a certificate may act for under a client ID. exists tells
// whether a thing is registered; its errors come back as they are. Everything
// that is refused comes back as *Refusal.
//
// A client ID that is the name of a registered thing, up to the first '#', binds
// the connection to that thing alone, which must be the certificate's. Any other
// binds it to all things of the certificate.
func Bind(b *jobsvc.Binding, clientID string, now time.Time, exists func(thing string) (bool, error)) (*Connection, error) {
	if err := Usable(b, now); err != nil {
		return nil, err
	}
	if len(b.Things) == 0 {
		return nil, &Refusal{"the certificate is attached to no thing"}
	}
	return bindThings(b, clientID, exists)
}

// BindOperator is Bind for the certificate of an operator, which need not be attached to
// anything.
func BindOperator(b *jobsvc.Binding, clientID string, now time.Time, exists func(thing string) (bool, error)) (*Connection, error) {
	if err := Usable(b, now); err != nil {
		return nil, err
	}
	c, err := bindThings(b, clientID, exists)
	if err == nil {
		c.Operator = true
	}
	return c, err
}

// BindAccessKey is Bind for an operator who signed with an access key. Such a connection
// is nobody's device.
func BindAccessKey(accessKeyID, clientID string, exists func(thing string) (bool, error)) (*Connection, error) {
	if name := thingOf(clientID); jobsvc.IsThingName(name) {
		switch taken, err := exists(name); {
		case err != nil:
			return nil, err
		case taken:
			return nil, &Refusal{"the client ID is the name of a thing, and an access key is no device's"}
		}
	}
	return &Connection{ClientID: clientID, AccessKeyID: accessKeyID, Operator: true}, nil
}

func bindThings(b *jobsvc.Binding, clientID string, exists func(thing string) (bool, error)) (*Connection, error) {
	c := &Connection{ClientID: clientID, CertificateID: b.ID}
	name := thingOf(clientID)
	if slices.Contains(b.Things, name) {
		c.Things = []string{name}
		return c, nil
	}
	if jobsvc.IsThingName(name) {
		switch taken, err := exists(name); {
		case err != nil:
			return nil, err
		case taken:
			return nil, &Refusal{"the client ID is the name of a thing the certificate is not attached to"}
		}
	}
	c.Things = slices.Clone(b.Things)
	slices.Sort(c.Things)
	return c, nil
}

// Usable tells whether a certificate may be used now: ACTIVE and within its validity.
// A certificate that is not comes back as *Refusal.
func Usable(b *jobsvc.Binding, now time.Time) error {
	switch {
	case b.Status != jobsvc.CertificateActive:
		return &Refusal{"the certificate is " + string(b.Status)}
	case !b.NotBefore.IsZero() && now.Before(b.NotBefore):
		return &Refusal{"the certificate is not valid yet"}
	case !b.NotAfter.IsZero() && now.After(b.NotAfter):
		return &Refusal{"the certificate has expired"}
	}
	return nil
}

// insecureOperator is the client ID, up to a '#', that needs no thing on the listener for
// development.
const insecureOperator = "operator"

// BindInsecure is Bind for a connection that proved nothing, on the listener for
// development: it is the registered thing that its client ID names, and an operator too.
// One with the client ID operator, or operator# and anything, is an operator alone.
func BindInsecure(clientID string, exists func(thing string) (bool, error)) (*Connection, error) {
	name := thingOf(clientID)
	if !jobsvc.IsThingName(name) {
		return nil, &Refusal{"the client ID is not the name of a thing"}
	}
	switch ok, err := exists(name); {
	case err != nil:
		return nil, err
	case !ok && name == insecureOperator:
		return &Connection{ClientID: clientID, Operator: true}, nil
	case !ok:
		return nil, &Refusal{"the client ID is not the name of a registered thing"}
	}
	return &Connection{ClientID: clientID, Things: []string{name}, Operator: true}, nil
}

// thingOf cuts what agents that open several connections append: thing, thing#2.
func thingOf(clientID string) string {
	name, _, _ := strings.Cut(clientID, "#")
	return name
}

// MayPublish tells whether the topic is below jobs of a bound thing, or policies allow it;
// with retain they must allow that, too. Which of those topics are the service's own is for
// the broker to say: they stay closed whatever a connection may.
func (c *Connection) MayPublish(topic string, retain bool, now time.Time) bool {
	if c.Judge == nil {
		rest, ok := c.own(topic)
		return ok && strings.HasPrefix(rest, "jobs/")
	}
	return c.allowed("iot:Publish", policy.TopicResource, topic, now) &&
		(!retain || c.allowed("iot:RetainPublish", policy.TopicResource, topic, now))
}

// MaySubscribe tells whether the filter is below a bound thing, named literally, or an
// operator's below $aws/events/; or whether policies allow it. Nobody has shared
// subscriptions, and nobody what else begins with $.
func (c *Connection) MaySubscribe(filter string, now time.Time) bool {
	if c.Judge == nil {
		_, ok := c.own(filter)
		return ok || c.mayWatch(filter)
	}
	return !closedFilter(filter) && c.granted("iot:Subscribe", policy.FilterResource, filter, now)
}

// MayReceive tells whether a message on the topic may be delivered, whatever
// filter asked for it.
func (c *Connection) MayReceive(topic string, now time.Time) bool {
	if c.Judge == nil {
		_, ok := c.own(topic)
		return ok || c.mayWatch(topic)
	}
	return c.granted("iot:Receive", policy.TopicResource, topic, now)
}

// Timed: what the connection may do can change with the time of day alone.
func (c *Connection) Timed() bool { return c.Judge != nil && c.Judge.Timed }

func (c *Connection) allowed(action, kind, name string, now time.Time) bool {
	return c.Judge.Decide(action, kind, name, now) == policy.Allowed
}

// granted is allowed, or an operator's by the configuration unless a policy forbids it.
func (c *Connection) granted(action, kind, name string, now time.Time) bool {
	switch c.Judge.Decide(action, kind, name, now) {
	case policy.Allowed:
		return true
	case policy.ExplicitDeny:
		return false
	}
	return c.mayWatch(name)
}

// mayWatch tells whether an operator may subscribe to, or get, events.
func (c *Connection) mayWatch(topic string) bool {
	return c.Operator && strings.HasPrefix(topic, wire.EventTopics)
}

// closedFilter tells whether nobody may have a filter, whatever policies say: what begins
// with $ is the service's, and of that only things and events are there. The name of the
// thing must be given.
func closedFilter(filter string) bool {
	rest, ok := strings.CutPrefix(filter, "$aws/things/")
	if ok {
		thing, _, more := strings.Cut(rest, "/")
		return !more || thing == "+"
	}
	return strings.HasPrefix(filter, "$") && !strings.HasPrefix(filter, wire.EventTopics)
}

// Bound tells whether the connection may act for the thing.
func (c *Connection) Bound(thing string) bool {
	for _, t := range c.Things {
		if t == thing {
			return true
		}
	}
	return false
}

// own gives what follows $aws/things/T/ when T is bound. Names of things have no
// '/', '+' or '#', so comparing one level is exact; pump-1 is not pump-17.
func (c *Connection) own(topic string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(topic, "$aws/things/")
	if !ok {
		return "", false
	}
	thing, rest, ok := strings.Cut(rest, "/")
	return rest, ok && c.Bound(thing)
}
