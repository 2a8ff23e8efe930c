package httpapi_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/httpapi"
)

const deviceDocument = `{ "op": "ota",  "url": "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/fw/a.bin}" }`

// newDevicePlane is a server with one job queued on the things t and u.
func newDevicePlane(t *testing.T) (*httptest.Server, *engine.Engine) {
	t.Helper()
	e, settle := newEngine(t)
	o := options()
	o.Engine = e
	srv := httptest.NewUnstartedServer(httpapi.New(o))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	var targets []string
	for _, name := range []string{"t", "u:1"} {
		if _, err := e.CreateThing(t.Context(), &jobsvc.CreateThingRequest{ThingName: name}); err != nil {
			t.Fatal(err)
		}
		targets = append(targets, account.ARN("thing", name))
	}
	doc := deviceDocument
	_, err := e.CreateJob(t.Context(), &jobsvc.CreateJobRequest{JobID: "j", Targets: targets, Document: &doc, PresignedURLConfig: &jobsvc.PresignedURLConfig{RoleARN: "arn:aws:iam::111122223333:role/presign"}})
	if err != nil {
		t.Fatal(err)
	}
	settle()
	return srv, e
}

// members decodes an answer.
func (a answer) members(t *testing.T) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || a.status != 200 {
		t.Fatalf("%d %s: %s (%v)", a.status, a.errType, a.body, err)
	}
	return m
}

func TestDevicePlane(t *testing.T) {
	srv, _ := newDevicePlane(t)
	do := func(method, target, body string) answer {
		t.Helper()
		return request{method: method, target: target, body: body, service: "iot-jobs-data"}.do(t, srv.Client(), srv.URL)
	}
	m := do("GET", "/things/t/jobs", "").members(t)
	if q := m["queuedJobs"].([]any); len(q) != 1 || len(m) != 2 || q[0].(map[string]any)["versionNumber"] != 1.0 {
		t.Errorf("GetPendingJobExecutions: %v", m)
	}
	m = do("GET", "/things/u%3A1/jobs/%24next", "").members(t)["execution"].(map[string]any)
	if m["thingName"] != "u:1" || m["status"] != "QUEUED" || m["jobDocument"] != deviceDocument || m["executionNumber"] != 1.0 {
		t.Errorf("DescribeJobExecution: %v", m)
	}
	m = do("GET", "/things/t/jobs/j?includeJobDocument=false&executionNumber=1", "").members(t)["execution"].(map[string]any)
	if m["jobId"] != "j" || m["jobDocument"] != nil {
		t.Errorf("DescribeJobExecution without the document: %v", m)
	}
	m = do("PUT", "/things/t/jobs/$next", `{"statusDetails":{"step":"fetch"},"stepTimeoutInMinutes":7,"clientToken":"ignored"}`).members(t)["execution"].(map[string]any)
	if m["status"] != "IN_PROGRESS" || m["jobDocument"] != deviceDocument || m["versionNumber"] != 2.0 ||
		m["statusDetails"].(map[string]any)["step"] != "fetch" || m["approximateSecondsBeforeTimedOut"] == nil {
		t.Errorf("StartNextPendingJobExecution: %v", m)
	}
	if got := do("POST", "/things/t/jobs/j", `{"status":"IN_PROGRESS","expectedVersion":2}`); got.body != "{}" {
		t.Errorf("UpdateJobExecution: %s", got.body)
	}
	if got := do("POST", "/things/t/jobs/j", `{"status":"IN_PROGRESS","expectedVersion":2}`); got.status != 409 || got.errType != "VersionConflictException" || !strings.Contains(got.body, `"executionState":{"status":"IN_PROGRESS"`) {
		t.Errorf("a stale version: %d %s", got.status, got.body)
	}
	m = do("POST", "/things/t/jobs/j", `{"status":"SUCCEEDED","includeJobExecutionState":true,"includeJobDocument":true}`).members(t)
	if m["jobDocument"] != deviceDocument || m["executionState"].(map[string]any)["status"] != "SUCCEEDED" || len(m) != 2 {
		t.Errorf("UpdateJobExecution: %v", m)
	}
	if got := do("PUT", "/things/t/jobs/%24next", ""); got.body != "{}" {
		t.Errorf("StartNextPendingJobExecution on an empty queue: %s", got.body)
	}
	if got := do("GET", "/things/t/jobs/$next", ""); got.body != "{}" {
		t.Errorf("DescribeJobExecution of an empty queue: %s", got.body)
	}
	for _, tc := range []struct {
		method, target, body string
		status               int
		errType              string
	}{
		{"GET", "/things/nobody/jobs", "", 404, "ResourceNotFoundException"},
		{"GET", "/things//jobs", "", 400, "InvalidRequestException"},
		{"GET", "/things/a%20b/jobs", "", 400, "InvalidRequestException"},
		{"GET", "/things/t/jobs/j", "", 410, "TerminalStateException"},
		{"GET", "/things/t/jobs/nothing", "", 404, "ResourceNotFoundException"},
		{"GET", "/things/t/jobs/a%20b", "", 400, "InvalidRequestException"},
		{"GET", "/things/t/jobs/j?includeJobDocument=perhaps", "", 400, "InvalidRequestException"},
		{"GET", "/things/t/jobs/j?executionNumber=x", "", 400, "InvalidRequestException"},
		{"POST", "/things/t/jobs/j", `{"status":"FAILED"}`, 409, "InvalidStateTransitionException"},
		{"POST", "/things/t/jobs/j", `{"status":`, 400, "InvalidRequestException"},
		{"POST", "/things/t/jobs/j", `{}`, 400, "InvalidRequestException"},
		{"POST", "/things/t/jobs/$next", `{"status":"FAILED"}`, 400, "InvalidRequestException"},
		{"PUT", "/things/t/jobs/$next", `{"stepTimeoutInMinutes":0}`, 400, "InvalidRequestException"},
		{"POST", "/command-executions", `{}`, 404, "UnknownOperationException"},
	} {
		if got := do(tc.method, tc.target, tc.body); got.status != tc.status || got.errType != tc.errType || got.message == "" {
			t.Errorf("%s %s %s: %d %s %q, want %d %s", tc.method, tc.target, tc.body, got.status, got.errType, got.message, tc.status, tc.errType)
		}
	}
	viewer := request{method: "PUT", target: "/things/t/jobs/$next", service: "iot-jobs-data", key: keys[jobsvc.RoleViewer]}
	if got := viewer.do(t, srv.Client(), srv.URL); got.status != 403 || got.errType != "AccessDeniedException" {
		t.Errorf("a viewer starts a job: %d %s", got.status, got.errType)
	}
}

// A device proves who it is with its certificate and may act for its things alone.
func TestDevicePlaneCertificates(t *testing.T) {
	srv, e := newDevicePlane(t)
	created, err := e.CreateKeysAndCertificate(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.AttachThingPrincipal(t.Context(), &jobsvc.AttachThingPrincipalRequest{ThingName: "t", Principal: account.ARN("cert", created.ID)}); err != nil {
		t.Fatal(err)
	}
	use := func(certPEM, keyPEM string) *http.Client {
		t.Helper()
		cert, err := tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
		if err != nil {
			t.Fatal(err)
		}
		transport := srv.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = []tls.Certificate{cert}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	device := use(created.PEM, created.PrivateKeyPEM)
	get := func(c *http.Client, target string) answer {
		t.Helper()
		return request{method: "GET", target: target, unsigned: true}.do(t, c, srv.URL)
	}
	if got := get(device, "/things/t/jobs/$next"); got.status != 200 || !strings.Contains(got.body, `"jobDocument"`) {
		t.Errorf("its own thing: %d %s", got.status, got.body)
	}
	if got := get(device, "/things/u%3A1/jobs"); got.status != 403 || got.errType != "ForbiddenException" {
		t.Errorf("another thing: %d %s", got.status, got.errType)
	}
	if got := get(device, "/jobs"); got.status != 404 || got.errType != "UnknownOperationException" {
		t.Errorf("the control plane: %d %s", got.status, got.errType)
	}
	// A signature says more than a certificate.
	if got := (request{method: "GET", target: "/endpoint"}).do(t, device, srv.URL); got.status != 200 {
		t.Errorf("signed, with a certificate: %d %s", got.status, got.message)
	}
	if err := e.UpdateCertificate(t.Context(), created.ID, jobsvc.CertificateInactive); err != nil {
		t.Fatal(err)
	}
	if got := get(device, "/things/t/jobs"); got.status != 400 || got.errType != "CertificateValidationException" || !strings.Contains(got.message, "INACTIVE") {
		t.Errorf("an inactive certificate: %d %s %s", got.status, got.errType, got.message)
	}
	ca, err := auth.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, _, err := ca.IssueKeys(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := get(use(certPEM, keyPEM), "/things/t/jobs"); got.status != 400 || got.errType != "CertificateValidationException" {
		t.Errorf("a certificate nobody registered: %d %s", got.status, got.errType)
	}
	if got := get(srv.Client(), "/things/t/jobs"); got.status != 403 || got.errType != "MissingAuthenticationTokenException" {
		t.Errorf("neither certificate nor signature: %d %s", got.status, got.errType)
	}
}
