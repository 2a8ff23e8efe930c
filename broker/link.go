package broker

import (
	"sync/atomic"

	"github.com/thingjobs/thingjobs/jobsvc/engine"
)

// Link stands for a Broker that is still to be made: an engine needs its Notifier
// and Sessions before the Broker can have the engine. What arrives before New is
// dropped; nobody is connected then.
type Link struct{ b atomic.Pointer[Broker] }

var (
	_ engine.Notifier = (*Link)(nil)
	_ engine.Sessions = (*Link)(nil)
)

// Notify implements engine.Notifier.
func (l *Link) Notify(hints []engine.Hint) {
	if b := l.b.Load(); b != nil {
		b.Notify(hints)
	}
}

// CertificateChanged implements engine.Sessions.
func (l *Link) CertificateChanged(certificateID string) {
	if b := l.b.Load(); b != nil {
		b.sessions.CertificateChanged(certificateID)
	}
}

// ThingChanged implements engine.Sessions.
func (l *Link) ThingChanged(thingName string) {
	if b := l.b.Load(); b != nil {
		b.sessions.ThingChanged(thingName)
	}
}

// ThingGroupChanged implements engine.Sessions.
func (l *Link) ThingGroupChanged(groupName string) {
	if b := l.b.Load(); b != nil {
		b.sessions.ThingGroupChanged(groupName)
	}
}

// PolicyChanged implements engine.Sessions.
func (l *Link) PolicyChanged(policyName string) {
	if b := l.b.Load(); b != nil {
		b.sessions.PolicyChanged(policyName)
	}
}

// ThingDeleted implements engine.Sessions.
func (l *Link) ThingDeleted(thingName string) {
	if b := l.b.Load(); b != nil {
		b.sessions.ThingDeleted(thingName)
	}
}

// Connected implements engine.Sessions.
func (l *Link) Connected(thingName string) []string {
	if b := l.b.Load(); b != nil {
		return b.sessions.Connected(thingName)
	}
	return nil
}

// AccessKeyDeleted implements engine.Sessions.
func (l *Link) AccessKeyDeleted(accessKeyID string) {
	if b := l.b.Load(); b != nil {
		b.sessions.AccessKeyDeleted(accessKeyID)
	}
}
