package jobsvc

import "time"

// Denial is something that a connection of MQTT was refused, for operators. The same
// thing refused again is counted.
type Denial struct {
	What          string // connect, publish, subscribe, receive, binding, protocol, handshake
	ClientID      string
	CertificateID string
	Address       string // of the last time
	Things        []string
	Topic         string // or filter; clipped
	Reason        string
	Suggestion    string // what may have been meant; "" when nothing comes to mind
	Count         int64
	First, Last   time.Time
}
