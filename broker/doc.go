// Package broker is the MQTT edge: it lets devices in by their certificates, hands
// their requests on $aws/things/{thing}/jobs/… to the engine, answers them, and
// tells subscribers of notify and notify-next what changed.
//
// It decides nothing about jobs (package engine) or rights (package auth), and it
// alone knows mochi-mqtt, which parses packets and keeps subscriptions. What mochi does
// wrong, and what we do about it, is listed in docs/broker.md.
//
// # The way of a request
//
//	conn ─▶ client.Read ─▶ engine, until it is durable
//	     ◀─ PUBACK and reply in one write, to this connection only, subscribed or not
//
// client.Read runs on the connection's goroutine and takes requests of a plain form out of
// what mochi is about to read (see stream). All others come by hook.OnPublish, when mochi
// has parsed them; mochi neither acknowledges nor forwards them. Requests of one connection are
// answered in order, because its goroutine does one at a time.
//
// # Goroutines
//
// Each connection has the caller's of ServeConn (Serve starts one; see attach), and for as
// long as a slow peer has something to take, one more. The Broker has
// a few that publish notifications, one that looks again at connections whose
// certificate changed, one that publishes events, and one that looks for sessions that are
// over. Close waits for all of them.
//
// spec: device-plane, broker 1 to 6.3.
package broker
