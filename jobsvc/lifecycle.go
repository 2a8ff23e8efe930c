package jobsvc

import "time"

// PresenceEvent tells that a client of MQTT came or went.
type PresenceEvent struct {
	ClientID  string
	At        time.Time
	Connected bool
	// SessionIdentifier is that of the connection; of both its events.
	SessionIdentifier   string
	PrincipalIdentifier string // ID of the certificate or access key; "" when there was none
	IPAddress           string
	// VersionNumber counts the connections of a client ID: a disconnected with a lower one
	// than the last connected came late.
	VersionNumber int64
	ThingName     string // when the connection is bound to one thing

	// Of one that went.
	ClientInitiated  bool
	DisconnectReason DisconnectReason
	Detail           string // in words; "" when there is nothing to add
}

// DisconnectReason says why a connection ended, in AWS's words.
type DisconnectReason string

// The reasons there are here.
const (
	DisconnectClient    DisconnectReason = "CLIENT_INITIATED_DISCONNECT"
	DisconnectKeepAlive DisconnectReason = "MQTT_KEEP_ALIVE_TIMEOUT"
	DisconnectLost      DisconnectReason = "CONNECTION_LOST"
	DisconnectDuplicate DisconnectReason = "DUPLICATE_CLIENTID"
	DisconnectError     DisconnectReason = "CLIENT_ERROR"
	DisconnectForbidden DisconnectReason = "FORBIDDEN_ACCESS"
	DisconnectAPI       DisconnectReason = "API_INITIATED_DISCONNECT"
	DisconnectServer    DisconnectReason = "SERVER_INITIATED_DISCONNECT"
	DisconnectFailure   DisconnectReason = "SERVER_ERROR"
)

// SubscriptionEvent tells that a client subscribed or unsubscribed.
type SubscriptionEvent struct {
	ClientID            string
	At                  time.Time
	Subscribed          bool
	SessionIdentifier   string
	PrincipalIdentifier string
	Topics              []string // filters
}
