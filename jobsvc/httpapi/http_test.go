package httpapi_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/httpapi"
)

var account = jobsvc.Account{Partition: "aws", Region: "eu-west-1", ID: "111122223333"}

// The keys of three operators.
var keys = func() map[jobsvc.Role]jobsvc.AccessKey {
	m := map[jobsvc.Role]jobsvc.AccessKey{}
	for _, role := range []jobsvc.Role{jobsvc.RoleAdmin, jobsvc.RoleOperator, jobsvc.RoleViewer} {
		m[role] = auth.NewAccessKey(role, string(role)+"-name", time.Now())
	}
	return m
}()

func lookup(_ context.Context, id string) (*jobsvc.AccessKey, error) {
	for _, k := range keys {
		if k.ID == id {
			return &k, nil
		}
	}
	return nil, jobsvc.Errorf(jobsvc.CodeUnknownAccessKey, "The security token included in the request is invalid.")
}

// options are those of a handler whose engine must not be needed.
func options() httpapi.Options {
	return httpapi.Options{
		Engine:    &engine.Engine{},
		Account:   account,
		AccessKey: lookup,
		EndpointAddress: func(t string) string {
			return map[string]string{"iot:Data": "data.example.net", "iot:Jobs": "jobs.example.net"}[t]
		},
	}
}

func serve(t *testing.T, o httpapi.Options) *httptest.Server {
	t.Helper()
	srv := httptest.NewTLSServer(httpapi.New(o))
	t.Cleanup(srv.Close)
	return srv
}

func sdk(srv *httptest.Server, key jobsvc.AccessKey) *iot.Client {
	return iot.New(iot.Options{
		BaseEndpoint: aws.String(srv.URL),
		Region:       account.Region,
		HTTPClient:   srv.Client(),
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}, nil
		}),
	})
}

// request is one made by hand. Zero members are those of an admin's good request
// to the control plane.
type request struct {
	method, target, body string
	service              string
	key                  jobsvc.AccessKey
	unsigned             bool
	skew                 time.Duration
	header               map[string]string // signed
	tamper               func(*http.Request)
}

type answer struct {
	status  int
	header  http.Header
	errType string
	message string
	body    string
}

func (q request) do(t *testing.T, client *http.Client, base string) answer {
	t.Helper()
	req, err := http.NewRequest(q.method, base+q.target, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range q.header {
		req.Header.Set(k, v)
	}
	if !q.unsigned {
		key := keys[jobsvc.RoleAdmin]
		if q.key.ID != "" {
			key = q.key
		}
		service := cmp.Or(q.service, "iot")
		sum := sha256.Sum256([]byte(q.body))
		cred := aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
		if err := v4.NewSigner().SignHTTP(t.Context(), cred, req, hex.EncodeToString(sum[:]), service, account.Region, time.Now().Add(q.skew)); err != nil {
			t.Fatal(err)
		}
	}
	if q.tamper != nil {
		q.tamper(req)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, errType: resp.Header.Get("x-amzn-ErrorType"), body: string(body)}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s %s: Content-Type %q", q.method, q.target, got)
	}
	if _, err := uuid.Parse(resp.Header.Get("x-amzn-RequestId")); err != nil {
		t.Errorf("%s %s: request ID: %v", q.method, q.target, err)
	}
	if a.status != http.StatusOK {
		var e struct{ Message string }
		if err := json.Unmarshal(body, &e); err != nil || e.Message == "" || a.errType == "" {
			t.Errorf("%s %s: not an AWS error: %d %q %s", q.method, q.target, a.status, a.errType, body)
		}
		a.message = e.Message
	}
	return a
}

func TestSDKReachesEverything(t *testing.T) {
	srv := serve(t, options())
	ctx := t.Context()
	c := sdk(srv, keys[jobsvc.RoleOperator])

	out, err := c.DescribeEndpoint(ctx, &iot.DescribeEndpointInput{EndpointType: aws.String("iot:Jobs")})
	if err != nil || aws.ToString(out.EndpointAddress) != "jobs.example.net" {
		t.Errorf("DescribeEndpoint: %v, %v", out, err)
	}
	if out, err = c.DescribeEndpoint(ctx, &iot.DescribeEndpointInput{}); err != nil || aws.ToString(out.EndpointAddress) != "data.example.net" {
		t.Errorf("DescribeEndpoint without a type: %v, %v", out, err)
	}
	for _, endpointType := range []string{"iot:CredentialProvider", "iot:Nonsense"} {
		_, err = c.DescribeEndpoint(ctx, &iot.DescribeEndpointInput{EndpointType: &endpointType})
		wantCode(t, endpointType, err, "InvalidRequestException")
	}

	// The SDK signs these, and the signature is found good: what comes after is the
	// engine's answer, or that there is no such operation.
	arn := account.ARN("cert", strings.Repeat("ab", 32))
	for name, call := range map[string]func() error{
		"colon in a path": func() error {
			_, err := c.DescribeThing(ctx, &iot.DescribeThingInput{ThingName: aws.String("a:b")})
			return err
		},
		"ARN in a path": func() error {
			_, err := c.ListAttachedPolicies(ctx, &iot.ListAttachedPoliciesInput{Target: &arn})
			return err
		},
		"punctuation": func() error {
			_, err := c.GetPolicy(ctx, &iot.GetPolicyInput{PolicyName: aws.String("a+b=c,d.e@f-_")})
			return err
		},
		"$next": func() error {
			_, err := c.DescribeJobExecution(ctx, &iot.DescribeJobExecutionInput{ThingName: aws.String("t"), JobId: aws.String("$next")})
			return err
		},
		"query": func() error {
			_, err := c.ListThings(ctx, &iot.ListThingsInput{AttributeName: aws.String("a"), AttributeValue: aws.String("ü b+c/&=?%"), MaxResults: aws.Int32(5)})
			return err
		},
		"token": func() error {
			_, err := c.ListPolicies(ctx, &iot.ListPoliciesInput{Marker: aws.String("AQB4+m9v/YmFy==")})
			return err
		},
		"header": func() error {
			_, err := c.AttachThingPrincipal(ctx, &iot.AttachThingPrincipalInput{ThingName: aws.String("t"), Principal: &arn})
			return err
		},
		"body": func() error {
			_, err := c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("j"), Targets: []string{arn}, Description: aws.String("ü <&>")})
			return err
		},
		"empty body": func() error {
			_, err := c.CancelJob(ctx, &iot.CancelJobInput{JobId: aws.String("j"), Force: true})
			return err
		},
		"no body": func() error {
			_, err := c.DeleteJob(ctx, &iot.DeleteJobInput{JobId: aws.String("j")})
			return err
		},
	} {
		var e smithy.APIError
		if err := call(); errors.As(err, &e) && (strings.Contains(e.ErrorCode(), "Signature") || e.ErrorCode() == "UnknownOperationException" || e.ErrorCode() == "SerializationException") {
			t.Errorf("%s: %v", name, err)
		}
	}

	_, err = c.ListStreams(ctx, &iot.ListStreamsInput{})
	wantCode(t, "ListStreams", err, "UnknownOperationException")
	if !strings.Contains(err.Error(), "ListStreams") {
		t.Errorf("the error does not name the operation: %v", err)
	}
	_, err = c.ListTopicRules(ctx, &iot.ListTopicRulesInput{})
	wantCode(t, "ListTopicRules", err, "UnknownOperationException")
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func TestAuthentication(t *testing.T) {
	srv := serve(t, options())
	admin := keys[jobsvc.RoleAdmin]
	wrong := admin
	wrong.Secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	stranger := jobsvc.AccessKey{ID: "AKIAIOSFODNN7EXAMPLE", Secret: wrong.Secret}
	get := func(q request) request {
		q.method, q.target = "GET", "/endpoint"
		return q
	}
	setQuery := func(s string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery = s } }
	for _, tc := range []struct {
		name    string
		q       request
		status  int
		errType string
	}{
		{"good", get(request{}), 200, ""},
		{"a viewer reads", get(request{key: keys[jobsvc.RoleViewer]}), 200, ""},
		{"the old service name", get(request{service: "execute-api"}), 200, ""},
		{"four minutes slow", get(request{skew: -4 * time.Minute}), 200, ""},
		{"nothing", get(request{unsigned: true}), 403, "MissingAuthenticationTokenException"},
		{"no credentials, unknown path", request{method: "GET", target: "/nowhere", unsigned: true}, 403, "MissingAuthenticationTokenException"},
		{"basic", get(request{unsigned: true, header: map[string]string{"Authorization": "Basic YTpi"}}), 403, "MissingAuthenticationTokenException"},
		{"malformed", get(request{unsigned: true, header: map[string]string{"Authorization": "AWS4-HMAC-SHA256 x"}}), 403, "InvalidSignatureException"},
		{"unknown key", get(request{key: stranger}), 403, "UnrecognizedClientException"},
		{"wrong secret", get(request{key: wrong}), 403, "InvalidSignatureException"},
		{"clock too slow", get(request{skew: -6 * time.Minute}), 403, "InvalidSignatureException"},
		{"clock too fast", get(request{skew: 6 * time.Minute}), 403, "InvalidSignatureException"},
		{"other path", get(request{tamper: func(r *http.Request) { r.URL.Path = "/things" }}), 403, "InvalidSignatureException"},
		{"other query", get(request{tamper: setQuery("endpointType=iot:Jobs")}), 403, "InvalidSignatureException"},
		{"broken query", get(request{tamper: setQuery("a=%zz")}), 403, "InvalidSignatureException"},
		{"other method", get(request{tamper: func(r *http.Request) { r.Method = "PUT" }}), 403, "InvalidSignatureException"},
		{"other body", request{method: "PUT", target: "/jobs/j", body: `{"a":1}`, tamper: func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(`{"a":2}`))
		}}, 403, "InvalidSignatureException"},
		{"principal put in", request{method: "PUT", target: "/things/t/principals", tamper: func(r *http.Request) { r.Header.Set("X-Amzn-Principal", "arn:x") }}, 403, "InvalidSignatureException"},
		{"principal changed", request{method: "PUT", target: "/things/t/principals", header: map[string]string{"X-Amzn-Principal": "arn:y"}, tamper: func(r *http.Request) {
			r.Header.Set("X-Amzn-Principal", "arn:x")
		}}, 403, "InvalidSignatureException"},
		{"a viewer writes", request{method: "PUT", target: "/jobs/j", key: keys[jobsvc.RoleViewer]}, 403, "AccessDeniedException"},
		{"a viewer writes nonsense", request{method: "PUT", target: "/jobs/j", body: "{", key: keys[jobsvc.RoleViewer]}, 403, "AccessDeniedException"},
		{"an operator writes nonsense", request{method: "PUT", target: "/jobs/j", body: "{", key: keys[jobsvc.RoleOperator]}, 400, "SerializationException"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.q.do(t, srv.Client(), srv.URL); got.status != tc.status || got.errType != tc.errType {
				t.Errorf("got %d %s: %s", got.status, got.errType, got.message)
			}
		})
	}
}

func TestPresignedURL(t *testing.T) {
	srv := serve(t, options())
	req, err := http.NewRequest("GET", srv.URL+"/endpoint?endpointType=iot:Jobs&X-Amz-Expires=60", nil)
	if err != nil {
		t.Fatal(err)
	}
	key := keys[jobsvc.RoleViewer]
	sum := sha256.Sum256(nil)
	uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}, req, hex.EncodeToString(sum[:]), "iot", account.Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	target := strings.TrimPrefix(uri, srv.URL)
	if got := (request{method: "GET", target: target, unsigned: true}).do(t, srv.Client(), srv.URL); got.status != 200 || got.body != `{"endpointAddress":"jobs.example.net"}` {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := (request{method: "GET", target: target + "&a=b", unsigned: true}).do(t, srv.Client(), srv.URL); got.errType != "InvalidSignatureException" {
		t.Errorf("with a parameter more: %d %s", got.status, got.errType)
	}
}

// The same path belongs to two services.
func TestPlanes(t *testing.T) {
	o := options()
	o.DeviceHosts = []string{"devices.example.net"}
	srv := serve(t, o)
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	for _, tc := range []struct {
		name string
		q    request
		want string // in the message
	}{
		{"data scope", request{method: "POST", target: "/command-executions", service: "iot-jobs-data"}, "AWS IoT commands"},
		{"data scope, control path", request{method: "GET", target: "/jobs", service: "iot-jobs-data"}, "no operation"},
		{"control scope, update", request{method: "POST", target: "/things/t/jobs/j", body: "{}"}, "no operation"},
		{"data scope, cancel execution", request{method: "PUT", target: "/things/t/jobs/j/cancel", service: "iot-jobs-data"}, "no operation"},
		{"control scope, not built", request{method: "GET", target: "/streams"}, "ListStreams"},
		{"another service", request{method: "GET", target: "/things/t/shadow", service: "iotdata"}, "iotdata"},
		{"control path, unknown", request{method: "GET", target: "/jobs/a/b/c"}, "no operation"},
		{"trailing slash", request{method: "GET", target: "/endpoint/"}, "no operation"},
		{"root", request{method: "GET", target: "/"}, "no operation"},
		{"method", request{method: "PATCH", target: "/endpoint"}, "no operation"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.q.do(t, srv.Client(), srv.URL)
			if got.status != 404 || got.errType != "UnknownOperationException" || !strings.Contains(got.message, tc.want) {
				t.Errorf("got %d %s: %s", got.status, got.errType, got.message)
			}
		})
	}
	// Without a signature the host name decides. Without credentials both refuse.
	o.NoSignatures = true
	open := serve(t, o)
	for h, want := range map[string]string{
		"devices.example.net":                   "AWS IoT commands",
		"data.jobs.iot.eu-west-1.amazonaws.com": "AWS IoT commands",
	} {
		got := request{method: "POST", target: "/command-executions", unsigned: true, tamper: host(h)}.do(t, open.Client(), open.URL)
		if got.status != 404 || !strings.Contains(got.message, want) {
			t.Errorf("%s: %d %s", h, got.status, got.message)
		}
	}
	// The scope is read even so.
	got := request{method: "POST", target: "/command-executions", service: "iot-jobs-data", key: jobsvc.AccessKey{ID: "AKIAANYONE", Secret: "x"}}.do(t, open.Client(), open.URL)
	if got.status != 404 || !strings.Contains(got.message, "AWS IoT commands") {
		t.Errorf("unverified scope: %d %s", got.status, got.message)
	}
	if got := (request{method: "GET", target: "/endpoint", unsigned: true}).do(t, open.Client(), open.URL); got.status != 200 {
		t.Errorf("without signatures: %d %s", got.status, got.message)
	}
}

func TestStrictRegion(t *testing.T) {
	o := options()
	o.Account.Region = "eu-central-1"
	if got := (request{method: "GET", target: "/endpoint"}).do(t, serve(t, o).Client(), serve(t, o).URL); got.status != 200 {
		t.Errorf("another region: %d %s", got.status, got.message)
	}
	o.StrictRegion = true
	srv := serve(t, o)
	if got := (request{method: "GET", target: "/endpoint"}).do(t, srv.Client(), srv.URL); got.errType != "InvalidSignatureException" {
		t.Errorf("another region, strict: %d %s", got.status, got.errType)
	}
}

func TestBodyLimit(t *testing.T) {
	srv := serve(t, options())
	for name, size := range map[string]int{"just": 1<<20 + 1, "much": 3 << 20} {
		got := request{method: "PUT", target: "/jobs/j", body: strings.Repeat(" ", size)}.do(t, srv.Client(), srv.URL)
		if got.status != 413 || got.errType != "RequestEntityTooLargeException" {
			t.Errorf("%s too large: %d %s", name, got.status, got.errType)
		}
	}
	// Without a length in the header as well.
	chunked := func(r *http.Request) {
		r.ContentLength = -1
		r.Body = io.NopCloser(io.LimitReader(zeros{}, 1<<20+1))
	}
	if got := (request{method: "PUT", target: "/jobs/j", tamper: chunked}).do(t, srv.Client(), srv.URL); got.status != 413 {
		t.Errorf("chunked: %d %s", got.status, got.errType)
	}
	got := request{method: "PUT", target: "/jobs/j", body: "[" + strings.Repeat(" ", 1<<20-2) + "]"}.do(t, srv.Client(), srv.URL)
	if got.errType != "SerializationException" {
		t.Errorf("of the largest size: %d %s", got.status, got.errType)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A panic is an internal error outside and a log line inside; the server goes on.
func TestPanic(t *testing.T) {
	var log bytes.Buffer // each line is written before the answer leaves
	o := options()
	o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	o.EndpointAddress = func(string) string { panic("the secret of the house") }
	reg := prometheus.NewRegistry()
	o.Metrics = reg
	srv := serve(t, o)
	do := func(q request) answer { return q.do(t, srv.Client(), srv.URL) }
	got := do(request{method: "GET", target: "/endpoint"})
	if got.status != 500 || got.errType != "InternalFailureException" || strings.Contains(got.body, "secret") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	for _, want := range []string{`"level":"ERROR"`, "the secret of the house", `"op":"DescribeEndpoint"`, `"caller":"admin-name"`, `"request":"` + got.header.Get("x-amzn-RequestId")} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s: %s", want, &log)
		}
	}
	log.Reset()
	got = do(request{method: "PUT", target: "/jobs/j/cancel?force=maybe", body: `{"force":true}`})
	if got.errType != "InvalidRequestException" || !strings.Contains(log.String(), `"aliasesUsed":"force in the body"`) || !strings.Contains(log.String(), `"job":"j"`) {
		t.Errorf("got %d, log %s", got.status, &log)
	}
	do(request{method: "GET", target: "/nowhere"})

	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if c := m.GetCounter(); c != nil {
				counts[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = c.GetValue()
			}
		}
	}
	if counts["DescribeEndpoint 500"] != 1 || counts["CancelJob 400"] != 1 || counts["Unknown 404"] != 1 || len(families) != 2 {
		t.Errorf("metrics %v", counts)
	}
}

// BenchmarkHandler is DescribeEndpoint, signed: what every request costs beside its
// operation and net/http.
func BenchmarkHandler(b *testing.B) {
	o := options()
	o.Metrics = prometheus.NewRegistry()
	h := httpapi.New(o)
	key := keys[jobsvc.RoleAdmin]
	req := httptest.NewRequest("GET", "/endpoint?endpointType=iot%3AJobs", nil)
	sum := sha256.Sum256(nil)
	cred := aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
	if err := v4.NewSigner().SignHTTP(b.Context(), cred, req, hex.EncodeToString(sum[:]), "iot", account.Region, time.Now()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, req); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}
