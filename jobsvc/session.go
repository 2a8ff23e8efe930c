package jobsvc

import "time"

// Session is what is kept of a persistent MQTT session while it has no connection, and
// over restarts. No message is part of it: what a device missed is found by comparing how
// far it was told with how far its queues are now.
type Session struct {
	ClientID string
	// CertificateID is that of its last connection, "" for one that proved nothing. With
	// Owner it says whom the client ID belongs to.
	CertificateID string
	AccessKeyID   string   `json:",omitempty"` // of the operator who signed for it
	ByPolicy      bool     `json:",omitempty"` // policies let it have its client ID
	Owner         []string // names of the things it may act for, sorted
	Operator      bool
	MQTTVersion   byte          // 4 is 3.1.1, or 5
	Expiry        time.Duration // how long it is kept without a connection

	CreatedAt   time.Time
	ConnectedAt time.Time // of the last connection
	// DisconnectedAt is when that ended; zero while it goes on, or when the process ended
	// before it could be noted.
	DisconnectedAt time.Time

	Subscriptions []SessionSubscription // by filter
	Things        []SessionThing        // those that subscriptions name, by name
}

// SessionSubscription is a filter with what was granted.
type SessionSubscription struct {
	Filter string
	QoS    byte
}

// SessionThing is a thing that a session has subscriptions to. One made again under the
// name has another ID.
type SessionThing struct {
	Name   string
	ID     string
	Queues []SessionQueue // those it is told of with QoS 1, by namespace
}

// SessionQueue is how far a session was told of a queue: the versions of the last
// notifications that were acknowledged, or that were no news to it.
type SessionQueue struct {
	NamespaceID string
	SetVersion  uint64
	HeadVersion uint64
	// Sent are later ones that were not acknowledged when the connection ended.
	Sent []SessionSent
}

// SessionSent is a notification that was not acknowledged.
type SessionSent struct {
	PacketID uint16
	Next     bool // notify-next
	Version  uint64
}

// Expired tells whether a session without a connection is over at a time.
func (s *Session) Expired(now time.Time) bool {
	return !s.DisconnectedAt.IsZero() && !now.Before(s.DisconnectedAt.Add(s.Expiry))
}

// Thing gives the entry of a thing, nil when there is none.
func (s *Session) Thing(name string) *SessionThing {
	for i := range s.Things {
		if s.Things[i].Name == name {
			return &s.Things[i]
		}
	}
	return nil
}

// Queue gives how far the session was told of a namespace's queue; nothing yet when there
// is no entry.
func (t *SessionThing) Queue(namespace string) SessionQueue {
	for _, q := range t.Queues {
		if q.NamespaceID == namespace {
			return q
		}
	}
	return SessionQueue{NamespaceID: namespace}
}

// ThingVersions is how far the notifications of a thing are, see ThingQueue. The ID is ""
// when there is no such thing.
type ThingVersions struct {
	ID     string
	Queues []QueueVersions // of each namespace that ever had an execution
}

// QueueVersions are the versions of one queue.
type QueueVersions struct {
	NamespaceID string
	SetVersion  uint64
	HeadVersion uint64
}
