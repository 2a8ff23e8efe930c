package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/badgerkv"
)

// seed works on the data of a broker that does not run.
func seed(t testing.TB, dir dataDir, issuer engine.Issuer, f func(ctx context.Context, e *engine.Engine) error) {
	t.Helper()
	if err := dir.create(); err != nil {
		t.Fatal(err)
	}
	db, err := badgerkv.Open(badgerkv.Options{Dir: dir.store(), ScopeOf: store.ScopeOf, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), db)
	if err == nil {
		err = f(t.Context(), engine.New(st, engine.Options{Issuer: issuer}))
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// expiredIssuer makes certificates whose time is over.
type expiredIssuer struct{}

func (expiredIssuer) IssueKeys(now time.Time) (cert, private, public string, err error) {
	cert, private, err = selfSigned(now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0))
	return cert, private, "", err
}

func (expiredIssuer) IssueCSR(string, time.Time) (string, error) { return "", errors.ErrUnsupported }

func selfSigned(from, to time.Time) (certPEM, keyPEM string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(from.UnixNano()), NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", "", err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), nil
}

// TestBadRequests sends the control plane what it must refuse. Nothing may change by it.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{})
	arn := s.thing("pump-1")
	s.createJob("good", `{"op":"hello"}`, arn)
	s.settled("the job is rolled out", func() bool {
		var out struct{ Job struct{ IsConcurrent bool } }
		s.api("GET", "/jobs/good", nil, &out)
		return !out.Job.IsConcurrent
	})
	state := func() string {
		var all [3]json.RawMessage
		s.api("GET", "/jobs", nil, &all[0])
		s.api("GET", "/things", nil, &all[1])
		s.api("GET", "/things/pump-1/jobs", nil, &all[2])
		return string(bytes.Join([][]byte{all[0], all[1], all[2]}, nil))
	}
	before := state()

	job := func(document string, targets ...string) string {
		b, err := json.Marshal(map[string]any{"targets": targets, "document": document})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const wrongSecret = "not-the-secret-of-this-key"
	plain := func(r *http.Request) {}
	for _, tc := range []struct {
		what, method, path, body string
		sign                     func(r *http.Request, at time.Time) // nil: not signed
		at                       time.Duration                       // the date of the signature, from now
		after                    func(r *http.Request)
		status                   int
		exception, message       string
	}{
		{"malformed document", "PUT", "/jobs/bad", job(`{"op":`, arn), s.sign(s.client), 0, plain, 400, "InvalidRequestException", "ocument"},
		{"document that is no JSON object", "PUT", "/jobs/bad", job(`hello`, arn), s.sign(s.client), 0, plain, 400, "InvalidRequestException", "ocument"},
		{"document of 32,769 bytes", "PUT", "/jobs/bad", job(documentOf(32769), arn), s.sign(s.client), 0, plain, 400, "InvalidRequestException", "32768"},
		{"unknown thing", "PUT", "/jobs/bad", job(`{}`, arn+"x"), s.sign(s.client), 0, plain, 404, "ResourceNotFoundException", "pump-1x"},
		{"unknown group", "PUT", "/jobs/bad", job(`{}`, "arn:aws:iot:us-east-1:123456789012:thinggroup/none"), s.sign(s.client), 0, plain, 404, "ResourceNotFoundException", "none"},
		{"no target", "PUT", "/jobs/bad", job(`{}`), s.sign(s.client), 0, plain, 400, "InvalidRequestException", "targets"},
		{"job ID", "PUT", "/jobs/b%20d", job(`{}`, arn), s.sign(s.client), 0, plain, 400, "InvalidRequestException", "jobId"},
		{"unknown placeholder", "PUT", "/jobs/bad", job(`{"u":"${aws:iot:s3-presigned-url:https://evil.example/fw/k}"}`, arn), s.sign(s.client), 0, plain, 400, "InvalidRequestException", ""},
		{"invalid JSON", "PUT", "/jobs/bad", `{"targets":`, s.sign(s.client), 0, plain, 400, "SerializationException", ""},
		{"unknown job", "GET", "/jobs/nobody", "", s.sign(s.client), 0, plain, 404, "ResourceNotFoundException", "nobody"},
		{"unsigned", "PUT", "/jobs/bad", job(`{}`, arn), nil, 0, plain, 403, "MissingAuthenticationTokenException", ""},
		{"wrong secret", "PUT", "/jobs/bad", job(`{}`, arn), s.sign(s.withKey(s.key.AccessKeyID, wrongSecret)), 0, plain, 403, "InvalidSignatureException", "does not match"},
		{"unknown access key", "PUT", "/jobs/bad", job(`{}`, arn), s.sign(s.withKey("AKIASTRANGER00000000", s.key.SecretAccessKey)), 0, plain, 403, "UnrecognizedClientException", ""},
		{"signed 10 minutes ago", "PUT", "/jobs/bad", job(`{}`, arn), s.sign(s.client), -10 * time.Minute, plain, 403, "InvalidSignatureException", "expired"},
		{"signed in 10 minutes", "PUT", "/jobs/bad", job(`{}`, arn), s.sign(s.client), 10 * time.Minute, plain, 403, "InvalidSignatureException", "not yet current"},
		{"body changed after signing", "PUT", "/jobs/bad", job(`{}`, arn), s.sign(s.client), 0, func(r *http.Request) {
			b := job(`{"op":"forged"}`, arn)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(b)), int64(len(b))
		}, 403, "InvalidSignatureException", ""},
		{"path changed after signing", "DELETE", "/jobs/other", "", s.sign(s.client), 0, func(r *http.Request) { r.URL.Path = "/jobs/good" }, 403, "InvalidSignatureException", ""},
		{"a body of 2 MiB", "PUT", "/jobs/bad", job(documentOf(2<<20), arn), s.sign(s.client), 0, plain, 413, "RequestEntityTooLargeException", ""},
		{"unknown path", "GET", "/no/such/operation", "", s.sign(s.client), 0, plain, 404, "UnknownOperationException", ""},
	} {
		req, err := http.NewRequestWithContext(within(t), tc.method, s.url+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		if tc.sign != nil {
			tc.sign(req, time.Now().Add(tc.at))
		}
		tc.after(req)
		resp, err := s.http.Do(req)
		if err != nil {
			t.Errorf("%s: %v", tc.what, err)
			continue
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		var e apiError
		if json.Unmarshal(answer, &e) != nil {
			t.Errorf("%s: no AWS answer: %.200s", tc.what, answer)
		}
		if got := resp.Header.Get("x-amzn-ErrorType"); resp.StatusCode != tc.status || got != tc.exception || !strings.Contains(e.Message, tc.message) {
			t.Errorf("%s: %d %s %q, want %d %s with %q", tc.what, resp.StatusCode, got, e.Message, tc.status, tc.exception, tc.message)
		}
	}
	if after := state(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	// The limit itself is fine.
	s.createJob("largest", documentOf(32768), arn)
	s.secrets = append(s.secrets, wrongSecret)
	s.stop()
}

// sign signs requests at a time with a client's key.
func (s *server) sign(c *client) func(*http.Request, time.Time) {
	return func(r *http.Request, at time.Time) {
		s.t.Helper()
		body, err := r.GetBody()
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			s.t.Fatal(err)
		}
		hash := sha256.Sum256(b)
		if err := c.signer.SignHTTP(s.t.Context(), c.key, r, hex.EncodeToString(hash[:]), "iot", c.region, at); err != nil {
			s.t.Fatal(err)
		}
	}
}

// withKey is the client with another key. Its signer is a new one: they remember what they
// derived from the secret of an ID.
func (s *server) withKey(id, secret string) *client {
	c := *s.client
	c.signer = v4.NewSigner()
	c.key.AccessKeyID, c.key.SecretAccessKey = id, secret
	return &c
}

// documentOf gives a document of so many bytes.
func documentOf(n int) string {
	const frame = `{"x":""}`
	return `{"x":"` + strings.Repeat("x", n-len(frame)) + `"}`
}

// TestBadCertificates: who is not let in, and is told why in the CONNACK.
func TestBadCertificates(t *testing.T) {
	t.Parallel()
	dir := dataDir(filepath.Join(t.TempDir(), "data"))
	var expired *jobsvc.KeysAndCertificate
	seed(t, dir, expiredIssuer{}, func(ctx context.Context, e *engine.Engine) (err error) {
		if _, err = e.CreateThing(ctx, &jobsvc.CreateThingRequest{ThingName: "pump-1"}); err != nil {
			return err
		}
		if expired, err = e.CreateKeysAndCertificate(ctx, true); err != nil {
			return err
		}
		return e.AttachThingPrincipal(ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "pump-1", Principal: jobsvc.DefaultAccount.ARN("cert", expired.ID)})
	})
	s := startServer(t, serveOptions{data: string(dir)})
	s.thing("pump-2")

	_, good, goodKey := s.keysAndCertificate("pump-1")
	inactiveARN, inactive, inactiveKey := s.keysAndCertificate("pump-1")
	s.api("PUT", "/certificates/"+inactiveARN[strings.LastIndex(inactiveARN, "/")+1:]+"?newStatus=INACTIVE", nil, nil)
	_, unattached, unattachedKey := s.keysAndCertificate()
	foreign, foreignKey, err := selfSigned(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	// One of our own CA that was never registered is foreign too.
	ca, err := dir.ca(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	unregistered, unregisteredKey, _, err := ca.IssueKeys(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ what, cert, key, client string }{
		{"expired", expired.PEM, expired.PrivateKeyPEM, "pump-1"},
		{"INACTIVE", inactive, inactiveKey, "pump-1"},
		{"foreign", foreign, foreignKey, "pump-1"},
		{"of our CA but not registered", unregistered, unregisteredKey, "pump-1"},
		{"attached to nothing", unattached, unattachedKey, "pump-1"},
		{"of another thing than the client ID", good, goodKey, "pump-2"},
	} {
		for version, refused := range map[byte]byte{4: 5, 5: 0x87} {
			d, code := s.connect(version, s.certTLS(tc.cert, tc.key), tc.client)
			if code != refused {
				t.Errorf("%s, MQTT %d: CONNACK %#x, want %#x", tc.what, version, code, refused)
			}
			if code != 0 {
				d.ended()
			}
		}
	}
	if _, code := s.connect(5, s.certTLS(good, goodKey), "pump-1"); code != 0 {
		t.Errorf("a good certificate: CONNACK %#x", code)
	}
	none := s.certTLS(good, goodKey)
	none.Certificates = nil
	if d, err := s.dial(4, none); err == nil { // TLS 1.3: it shows at the first read
		if p, err := d.read(); err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("without a certificate: %v %v", p, err)
		}
	}
	s.stop()
}

// TestBadMessages: what a device with a good certificate must not do.
func TestBadMessages(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{})
	dirs := s.enroll("pump-1", "pump-2")
	s.createJob("fw", `{"op":"hello"}`, s.thing("pump-1"), s.thing("pump-2"))
	s.settled("the job is rolled out", func() bool { _, counts := s.job("fw"); return counts.Queued == 2 })

	d := s.device(5, dirs[0])
	if outcome, _, raw := d.request("pump-1", "start-next", `{}`); outcome != "accepted" {
		t.Fatalf("start-next: %s", raw)
	}
	mine, other := s.executionOf("pump-1", "fw"), s.executionOf("pump-2", "fw")

	eleven := make([]string, 11)
	for i := range eleven {
		eleven[i] = fmt.Sprintf(`"k%d":"v"`, i)
	}
	for _, tc := range []struct{ what, op, payload, code, message string }{
		{"not JSON", "get", `not json`, "InvalidJson", ""},
		{"an array", "start-next", `[]`, "InvalidJson", ""},
		{"JSON with more behind it", "fw/update", `{"status":"SUCCEEDED"} x`, "InvalidJson", ""},
		{"no status", "fw/update", `{}`, "InvalidRequest", "status"},
		{"unknown status", "fw/update", `{"status":"SUCCESS"}`, "InvalidRequest", "status"},
		{"a status of the service", "fw/update", `{"status":"CANCELED"}`, "InvalidStateTransition", ""},
		{"stale expectedVersion", "fw/update", `{"status":"SUCCEEDED","expectedVersion":1}`, "VersionMismatch", ""},
		{"11 status details", "fw/update", `{"status":"SUCCEEDED","statusDetails":{` + strings.Join(eleven, ",") + `}}`, "InvalidRequest", "statusDetails"},
		{"a value of 1,025 characters", "fw/update", `{"status":"SUCCEEDED","statusDetails":{"log":"` + strings.Repeat("x", 1025) + `"}}`, "InvalidRequest", "log"},
		{"a key with a space", "fw/update", `{"status":"SUCCEEDED","statusDetails":{"a b":"c"}}`, "InvalidRequest", "a b"},
		{"a value that is a number", "fw/update", `{"status":"SUCCEEDED","statusDetails":{"n":1}}`, "InvalidRequest", ""},
		{"a step timeout of 0", "fw/update", `{"status":"IN_PROGRESS","stepTimeoutInMinutes":0}`, "InvalidRequest", "stepTimeoutInMinutes"},
		{"unknown job", "nobody/update", `{"status":"SUCCEEDED"}`, "ResourceNotFound", ""},
		{"unknown job to describe", "nobody/get", `{}`, "ResourceNotFound", ""},
		{"unknown execution", "fw/update", `{"status":"SUCCEEDED","executionNumber":7}`, "ResourceNotFound", ""},
		{"no operation", "fw/bar/baz", `{}`, "InvalidTopic", ""},
	} {
		outcome, r, raw := d.request("pump-1", tc.op, tc.payload)
		if outcome != "rejected" || r.Code != tc.code || !strings.Contains(r.Message, tc.message) {
			t.Errorf("%s: %s %s, want %s", tc.what, outcome, raw, tc.code)
		}
		if state := r.ExecutionState; (tc.code == "VersionMismatch" || tc.code == "InvalidStateTransition") && (state == nil || state.Status != "IN_PROGRESS" || state.VersionNumber != 2) {
			t.Errorf("%s: without the state: %s", tc.what, raw)
		}
	}

	// Topics that are not its own: MQTT 5 says so and goes on, 3.1.1 has no word for it.
	for _, topic := range []string{"$aws/things/pump-2/jobs/fw/update", "$aws/things/pump-1/jobs/notify-next", "$aws/things/pump-1/jobs/fw/update/accepted", "elsewhere"} {
		d.publish(topic, []byte(`{"status":"SUCCEEDED"}`))
		if code := d.puback(); code != 0x87 {
			t.Errorf("publish on %s: PUBACK %#x", topic, code)
		}
		old := s.device(4, dirs[1])
		if topic == "$aws/things/pump-2/jobs/fw/update" { // its own
			topic = "$aws/things/pump-1/jobs/fw/update"
		}
		old.publish(topic, []byte(`{"status":"SUCCEEDED"}`))
		old.ended()
	}
	if code := d.subscribe("$aws/things/pump-2/jobs/#"); code != 0x87 {
		t.Errorf("subscribe to another thing: SUBACK %#x", code)
	}
	if code := d.subscribe("$aws/things/+/jobs/notify-next"); code != 0x87 {
		t.Errorf("subscribe to all things: SUBACK %#x", code)
	}
	if outcome, _, raw := d.request("pump-1", "fw/get", `{}`); outcome != "accepted" {
		t.Errorf("the connection is of no use any more: %s", raw)
	}

	large := []byte(`{"status":"SUCCEEDED","statusDetails":{"x":"` + strings.Repeat("x", 129<<10) + `"}}`)
	old := s.device(4, dirs[1])
	old.publish("$aws/things/pump-2/jobs/fw/update", large)
	old.ended()
	d.publish("$aws/things/pump-1/jobs/fw/update", large)
	if code := d.ended(); code != 0x95 {
		t.Errorf("a payload of 129 KB: DISCONNECT %#x", code)
	}

	for thing, was := range map[string]execution{"pump-1": mine, "pump-2": other} {
		if is := s.executionOf(thing, "fw"); is.Status != was.Status || is.VersionNumber != was.VersionNumber || len(is.StatusDetails.DetailsMap) != 0 {
			t.Errorf("the execution of %s was %+v and is %+v", thing, was, is)
		}
	}
	s.stop()
}

// inParallel does f for 0 to n-1, some at a time, and gives the first error.
func inParallel(n, workers int, f func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = f(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
