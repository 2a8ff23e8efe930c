package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// PresenceTopic is where a presence event is published; "" for a client ID that is no
// level of a topic, of which there is none.
//
// AWS: Developer Guide "Lifecycle events".
func PresenceTopic(e *jobsvc.PresenceEvent) string {
	return lifecycleTopic("presence/", e.Connected, "connected/", "disconnected/", e.ClientID)
}

// SubscriptionTopic is PresenceTopic for subscription events.
func SubscriptionTopic(e *jobsvc.SubscriptionEvent) string {
	return lifecycleTopic("subscriptions/", e.Subscribed, "subscribed/", "unsubscribed/", e.ClientID)
}

func lifecycleTopic(kind string, first bool, a, b, clientID string) string {
	for _, c := range clientID {
		if c == '#' || c == '+' {
			return ""
		}
	}
	if !first {
		a = b
	}
	return EventTopics + kind + a + clientID
}

type presenceEvent struct {
	ClientID                  string                  `json:"clientId"`
	Timestamp                 int64                   `json:"timestamp"` // milliseconds
	EventType                 string                  `json:"eventType"`
	ClientInitiatedDisconnect *bool                   `json:"clientInitiatedDisconnect,omitempty"`
	DisconnectReason          jobsvc.DisconnectReason `json:"disconnectReason,omitempty"`
	DisconnectDetail          string                  `json:"disconnectDetail,omitempty"`
	SessionIdentifier         string                  `json:"sessionIdentifier"`
	PrincipalIdentifier       string                  `json:"principalIdentifier"`
	IPAddress                 string                  `json:"ipAddress,omitempty"`
	VersionNumber             int64                   `json:"versionNumber"`
	ThingName                 string                  `json:"thingName,omitempty"`
}

// EncodePresenceEvent is the message of a presence event. Its time is in milliseconds,
// unlike that of events of jobs. strict leaves out what the service does not have:
// disconnectDetail.
func EncodePresenceEvent(e *jobsvc.PresenceEvent, strict bool) []byte {
	p := presenceEvent{
		ClientID: e.ClientID, Timestamp: e.At.UnixMilli(), EventType: "connected", SessionIdentifier: e.SessionIdentifier,
		PrincipalIdentifier: e.PrincipalIdentifier, VersionNumber: e.VersionNumber, ThingName: e.ThingName,
	}
	if e.Connected {
		p.IPAddress = e.IPAddress
		return encode(p)
	}
	p.EventType, p.DisconnectReason, p.ClientInitiatedDisconnect = "disconnected", e.DisconnectReason, &e.ClientInitiated
	if !strict {
		p.DisconnectDetail = e.Detail
	}
	return encode(p)
}

// EncodeSubscriptionEvent is the message of a subscription event.
func EncodeSubscriptionEvent(e *jobsvc.SubscriptionEvent) []byte {
	kind := "subscribed"
	if !e.Subscribed {
		kind = "unsubscribed"
	}
	return encode(struct {
		ClientID            string   `json:"clientId"`
		Timestamp           int64    `json:"timestamp"`
		EventType           string   `json:"eventType"`
		SessionIdentifier   string   `json:"sessionIdentifier"`
		PrincipalIdentifier string   `json:"principalIdentifier"`
		Topics              []string `json:"topics"`
	}{e.ClientID, e.At.UnixMilli(), kind, e.SessionIdentifier, e.PrincipalIdentifier, e.Topics})
}
