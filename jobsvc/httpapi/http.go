package httpapi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

// Options is what the handler is made from. Engine and Account are required.
type Options struct {
	Engine  *engine.Engine
	Account jobsvc.Account

	// AccessKey looks an operator's key up, CodeUnknownAccessKey when there is none.
	// Nil means the engine's keys alone.
	AccessKey func(ctx context.Context, id string) (*jobsvc.AccessKey, error)
	// EndpointAddress gives the host name that DescribeEndpoint answers for one of
	// wire's endpoint types; "" when none is configured. Nil means none is.
	EndpointAddress func(endpointType string) string
	// DeviceHosts are host names, without ports, of the device plane, beside AWS's own forms.
	DeviceHosts []string

	// PerSecond gives how many requests for an operation are taken in a second, 0 for any
	// number. Nil means any number.
	PerSecond func(operation string) float64

	// Denials gives what connections of MQTT were refused, the last first. Nil: nothing.
	Denials func() []jobsvc.Denial

	// TLS: a proxy in front ends TLS, so that a request is private though it
	// comes without. Requests with TLS of their own need not be told.
	TLS bool
	// StrictRegion refuses signatures made for another region than the account's.
	StrictRegion bool
	// NoSignatures takes every request for an admin's, signed or not.
	NoSignatures bool

	Now     func() time.Time      // nil means time.Now
	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil means none
}

// api is the handler. What in it changes after New has locks of its own.
type api struct {
	Options
	routes  map[wire.Service]routes
	rates   map[string]*rate.Limiter // by operation of the control plane
	metrics *metrics
	signers auth.Signers
}

// New makes the handler of both services. It answers every path, an unknown one
// with UnknownOperationException; callers put other pages in front of it.
func New(o Options) http.Handler {
	if o.AccessKey == nil {
		o.AccessKey = o.Engine.AccessKey
	}
	if o.EndpointAddress == nil {
		o.EndpointAddress = func(string) string { return "" }
	}
	if o.Denials == nil {
		o.Denials = func() []jobsvc.Denial { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &api{
		Options: o,
		routes: map[wire.Service]routes{
			wire.ServiceIoT:      newRoutes(iotOperations, iotHandlers).and(newRoutes(operatorOperations, operatorHandlers)),
			wire.ServiceJobsData: newRoutes(jobsDataOperations, jobsDataHandlers),
		},
		rates:   newRates(o.PerSecond),
		metrics: newMetrics(o.Metrics),
	}
}

// call is what is learned about a request on its way, for its answer and the log.
type call struct {
	id        string
	service   wire.Service
	operation string          // "Unknown" until the route is found
	caller    string          // name of the operator
	device    *jobsvc.Binding // of the client certificate of a device
	input     wire.ControlInput
	buffer    *[]byte // of buffers, once there is an input
}

// buffers are for answers that are large: see wire.ControlInput.Answer.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBuffer is the largest buffer that is kept.
const maxBuffer = 256 << 10

// release gives the memory of the answer back once it is sent.
func (c *call) release() {
	if c.buffer != nil && cap(c.input.Answer) <= maxBuffer {
		*c.buffer = c.input.Answer
		buffers.Put(c.buffer)
	}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{id: requestID(), service: wire.ServiceIoT, operation: "Unknown"}
	body, err := a.serve(c, w, r)

	h := w.Header()
	status, code := http.StatusOK, ""
	if err != nil {
		var e wire.Exception
		e, body = wire.EncodeHTTPError(c.service, err)
		h["x-amzn-ErrorType"] = []string{e.Name}
		status, code = e.Status, e.Name
	}
	values := [...]string{"application/json", c.id, strconv.Itoa(len(body))}
	h["Content-Type"] = values[0:1:1]
	h["x-amzn-RequestId"] = values[1:2:2]
	h["Content-Length"] = values[2:3:3]
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is nobody's fault
	c.release()

	a.metrics.observe(c.operation, status, time.Since(start))
	a.log(c, r, status, code, err, time.Since(start))
}

// requestID makes a random UUID. It only has to differ from others: it is no secret.
func requestID() string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // of RFC 9562
	return id.String()
}

// serve does a request up to its answer, in the service's order of checks:
// authentication, authorisation, then those of the operation.
func (a *api) serve(c *call, w http.ResponseWriter, r *http.Request) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			body, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	received, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	signed := &auth.SignedRequest{
		Method:        r.Method,
		Host:          r.Host,
		Path:          r.URL.EscapedPath(),
		RawQuery:      r.URL.RawQuery,
		Header:        r.Header,
		ContentLength: int64(len(received)),
		Body:          received,
		TLS:           a.TLS || r.TLS != nil,
	}
	sig, sigErr := auth.ParseSignature(signed)
	c.service = a.serviceOf(sig, r)
	route, params := a.routes[c.service].match(r.Method, signed.Path)
	if route != nil {
		c.operation = route.operation
	}
	role, err := a.authenticate(c, r, signed, sig, sigErr)
	switch {
	case err != nil:
		return nil, err
	case route == nil:
		return nil, jobsvc.Errorf(jobsvc.CodeUnknownOperation, "The service %s has no operation at this method and path.", c.service)
	case route.handle == nil:
		return nil, jobsvc.Errorf(jobsvc.CodeUnknownOperation, "The operation %s of the service %s is not built in this version of thingjobs yet.", c.operation, c.service)
	case c.service == wire.ServiceJobsData:
		if err := mayAct(c, role, params["thingName"]); err != nil {
			return nil, err
		}
	case !auth.Allows(role, c.operation):
		return nil, jobsvc.Errorf(jobsvc.CodeAccessDenied, "User: %s is not authorized to perform: iot:%s with the role %s.", c.caller, c.operation, role)
	}
	if err := a.throttle(c); err != nil {
		return nil, err
	}
	var query url.Values
	if sig != nil {
		query = sig.Query
	} else if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The query string cannot be parsed.")
	}
	c.buffer = buffers.Get().(*[]byte)
	c.input = wire.ControlInput{Path: params, Query: query, Header: r.Header, Body: received, Answer: (*c.buffer)[:0]}
	if c.service == wire.ServiceIoT {
		if err := wire.Parse(c.operation, &c.input); err != nil {
			return nil, err
		}
	}
	return route.handle(a, r.Context(), &c.input)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	tooLarge := jobsvc.Errorf(jobsvc.CodeEntityTooLarge, "The request body has more than %d bytes.", wire.MaxControlBody)
	if r.ContentLength > wire.MaxControlBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxControlBody))
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return nil, tooLarge
	case err != nil:
		e := jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The request body could not be read.")
		e.Err = err
		return nil, e
	}
	return body, nil
}

// log writes the one line of a request.
func (a *api) log(c *call, r *http.Request, status int, code string, err error, took time.Duration) {
	level := slog.LevelInfo
	if err != nil && status >= 500 && r.Context().Err() == nil {
		level = slog.LevelError
	}
	if !a.Logger.Enabled(r.Context(), level) {
		return
	}
	var array [12]slog.Attr
	attrs := append(array[:0], slog.String("op", c.operation), slog.Int("status", status), slog.Duration("took", took),
		slog.String("request", c.id), slog.String("remote", r.RemoteAddr))
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("caller", c.caller)
	add("thing", c.input.Path["thingName"])
	add("job", c.input.Path["jobId"])
	add("aliasesUsed", strings.Join(c.input.Aliases, ", "))
	if err != nil {
		add("code", code)
		add("err", err.Error())
	}
	a.Logger.LogAttrs(r.Context(), level, "http request", attrs...)
}
