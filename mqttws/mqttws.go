// Package mqttws carries MQTT over WebSocket, for clients that cannot open a socket of
// their own or whose network lets HTTPS pass alone. Who the client is, is decided
// before the connection is taken over: by its client certificate, or by an AWS Signature
// Version 4 in the URL, as the AWS SDKs sign for the service iotdevicegateway.
package mqttws

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/thingjobs/thingjobs/broker"
	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

// Path is where clients of AWS IoT connect to.
const Path = "/mqtt"

// subprotocols are the names that MQTT has: OASIS MQTT 5, section 6.
var subprotocols = []string{"mqtt", "mqttv3.1"}

const (
	// maxMessage bounds a WebSocket message. Where packets of MQTT begin and end in messages
	// is up to the client.
	maxMessage = 256 << 10
	// writeTimeout is how long one write may wait for the peer, beyond what the broker allows
	// its clients to lag behind.
	writeTimeout = 30 * time.Second
	// maxURL bounds what is looked at of a query.
	maxURL = 8 << 10
)

// Options are what connections are handed to, and what they are judged by.
type Options struct {
	// Serve serves MQTT on a connection until it ends, and closes it.
	Serve func(net.Conn, broker.Identity)
	// AccessKey looks up an access key. Errors: jobsvc.CodeUnknownAccessKey.
	AccessKey func(ctx context.Context, id string) (*jobsvc.AccessKey, error)
	Now       func() time.Time // nil is time.Now
	Logger    *slog.Logger     // nil discards
}

// New gives the handler of Path.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &handler{Options: o, upgrader: websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		Subprotocols:     subprotocols,
		ReadBufferSize:   4 << 10,
		WriteBufferSize:  4 << 10,
		CheckOrigin:      func(*http.Request) bool { return true }, // see sameOrigin
	}}
}

type handler struct {
	Options
	upgrader websocket.Upgrader
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		refuse(w, http.StatusUpgradeRequired, "MQTT comes here over WebSocket.")
		return
	}
	if !slices.ContainsFunc(websocket.Subprotocols(r), func(p string) bool { return slices.Contains(subprotocols, p) }) {
		refuse(w, http.StatusBadRequest, "The WebSocket subprotocol must be mqtt.")
		return
	}
	id, err := h.identify(r)
	if err != nil {
		h.Logger.Info("a WebSocket client is refused", "addr", r.RemoteAddr, "reason", err.Error())
		refuse(w, http.StatusForbidden, reason(err))
		return
	}
	ws, err := h.upgrader.Upgrade(w, r, nil)
	if err != nil { // it has been answered
		h.Logger.Info("a WebSocket handshake failed", "addr", r.RemoteAddr, "err", err)
		return
	}
	ws.SetReadLimit(maxMessage)
	h.Serve(NetConn(ws), id)
}

func reason(err error) string {
	var e *jobsvc.Error
	if errors.As(err, &e) && e.Code == jobsvc.CodeInternal {
		return "The server could not find out who you are."
	}
	return err.Error()
}

// refuse answers as the service does: JSON with a message.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusUpgradeRequired {
		w.Header().Set("Upgrade", "websocket")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Message string `json:"message"`
	}{message})
}

// identify finds out who the client is. A signature counts before a certificate: a
// browser shows that unasked.
func (h *handler) identify(r *http.Request) (broker.Identity, error) {
	if len(r.URL.RawQuery) > maxURL {
		return broker.Identity{}, jobsvc.Errorf(jobsvc.CodeInvalidSignature, "The query is too long.")
	}
	signed := &auth.SignedRequest{
		Method: r.Method, Host: r.Host, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Header: r.Header, TLS: r.TLS != nil,
	}
	sig, err := auth.ParseSignature(signed)
	switch {
	case err == nil:
		return h.signed(r.Context(), signed, sig)
	case jobsvc.ErrorCode(err) != jobsvc.CodeMissingCredentials:
		return broker.Identity{}, err
	case r.TLS == nil || len(r.TLS.PeerCertificates) == 0:
		return broker.Identity{}, jobsvc.Errorf(jobsvc.CodeMissingCredentials, "Connect with a client certificate or a signed URL.")
	case !sameOrigin(r):
		return broker.Identity{}, jobsvc.Errorf(jobsvc.CodeAccessDenied, "A page of another origin may not use this browser's certificate.")
	}
	return broker.PeerIdentity(*r.TLS), nil
}

// signed judges a signature. SDKs differ in what they sign: some add the session token to
// the URL afterwards, some leave the port out of the host.
func (h *handler) signed(ctx context.Context, r *auth.SignedRequest, sig *auth.Signature) (broker.Identity, error) {
	if sig.Service != auth.ServiceDeviceGateway {
		return broker.Identity{}, jobsvc.Errorf(jobsvc.CodeInvalidSignature, "Credential should be scoped to correct service: '%s'.", auth.ServiceDeviceGateway)
	}
	if len(sig.AccessKeyID) > 128 {
		return broker.Identity{}, jobsvc.Errorf(jobsvc.CodeUnknownAccessKey, "The security token included in the request is invalid.")
	}
	key, err := h.AccessKey(ctx, sig.AccessKeyID)
	if err != nil {
		return broker.Identity{}, err
	}
	var refusal error
	for _, host := range hosts(r.Host) {
		for _, query := range queries(r.RawQuery) {
			variant := *r
			variant.Host, variant.RawQuery = host, query
			s, err := auth.ParseSignature(&variant)
			if err != nil {
				return broker.Identity{}, err
			}
			if err = s.Verify(&variant, key.Secret, nil, h.Now()); err == nil {
				return broker.Identity{AccessKeyID: key.ID}, nil
			}
			if refusal == nil {
				refusal = err
			}
		}
	}
	return broker.Identity{}, refusal
}

func hosts(host string) []string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		return []string{host}
	}
	return []string{host, name}
}

// queries gives the query as it is, and without the token that is added to signed URLs.
func queries(raw string) []string {
	list := []string{raw}
	kept := slices.DeleteFunc(strings.Split(raw, "&"), func(p string) bool {
		name, _, _ := strings.Cut(p, "=")
		name, err := url.QueryUnescape(name)
		return err == nil && name == "X-Amz-Security-Token"
	})
	if less := strings.Join(kept, "&"); less != raw {
		list = append(list, less)
	}
	return list
}

// sameOrigin is true for everything but a page of another origin in a browser.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// NetConn is a WebSocket connection, of a server or a client, as a stream of bytes in
// binary messages. It has one reader and one writer at a time.
func NetConn(ws *websocket.Conn) net.Conn { return &conn{ws: ws} }

type conn struct {
	ws   *websocket.Conn
	rest io.Reader // of the message being read
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		if c.rest == nil {
			kind, r, err := c.ws.NextReader()
			var closed *websocket.CloseError
			switch {
			case errors.As(err, &closed):
				return 0, io.EOF
			case err != nil:
				return 0, err
			case kind != websocket.BinaryMessage:
				c.say(websocket.CloseUnsupportedData, "MQTT is binary.")
				return 0, errors.New("mqttws: a message that is not binary")
			}
			c.rest = r
		}
		n, err := c.rest.Read(b)
		if err == io.EOF {
			c.rest, err = nil, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

// Write writes one message. The broker has one writer for a connection.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.ws.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	if err := c.ws.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *conn) say(code int, text string) {
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(time.Second))
}

func (c *conn) Close() error {
	c.say(websocket.CloseNormalClosure, "")
	return c.ws.Close()
}

func (c *conn) LocalAddr() net.Addr                { return c.ws.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr               { return c.ws.RemoteAddr() }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.ws.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.ws.SetWriteDeadline(t) }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.ws.SetReadDeadline(t), c.ws.SetWriteDeadline(t))
}

var _ net.Conn = (*conn)(nil)
