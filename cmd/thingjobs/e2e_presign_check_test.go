package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestTemporaryCredentials has URLs for a download and an upload signed with what an STS
// gives: none while it gives nothing, and nothing moves then. No secret is in the log,
// not even one that the STS repeats.
func TestTemporaryCredentials(t *testing.T) {
	t.Parallel()
	s3, config, secret := startS3(t)
	put(t, s3, "pump.bin", "the firmware")
	var open atomic.Bool
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		if !open.Load() || form.Get("Action") != "AssumeRole" || form.Get("RoleArn") != s3Role {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not with %s</Message></Error></ErrorResponse>", r.Header.Get("Authorization"))
			return
		}
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><Arn>%s</Arn><AssumedRoleId>A:b</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>firmware</AccessKeyId>
<SecretAccessKey>%s</SecretAccessKey><SessionToken></SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			s3Role, secret, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(sts.Close)
	const base = "The-Base-Secret-9876543210"
	config = strings.Replace(config, "secretKey: "+secret+"}", "secretKey: "+base+"}\n      assumeRole: {sts: \""+sts.URL+"\", externalId: The-External-Id}", 1)
	config = strings.Replace(config, "presign:\n", "presign:\n  verifyObjects: warn\n", 1)
	s := startServer(t, serveOptions{config: config})
	s.secrets = append(s.secrets, secret, base, "The-External-Id", "Signature=", "not with AWS4")
	d := s.device(4, s.enroll("pump-1")[0])
	if code := d.subscribe("$aws/things/pump-1/jobs/notify-next"); code != 1 {
		t.Fatalf("subscribed with %d", code)
	}
	const document = `{"get":"${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/firmware/pump.bin}",` +
		`"put":"${aws:iot:s3-presigned-url-upload:https://s3.us-east-1.amazonaws.com/firmware/logs/${thingName}/${jobId}-${executionNumber}.txt}"}`
	create := func(id, document string) {
		t.Helper()
		s.api("PUT", "/jobs/"+id, map[string]any{
			"targets": []string{s.thing("pump-1")}, "document": document, "presignedUrlConfig": map[string]any{"roleArn": s3Role, "expiresInSec": 900},
		}, nil)
	}
	create("fw-1", document)
	s.settled("the execution is there", func() bool { _, counts := s.job("fw-1"); return counts.total() == 1 })
	outcome, r, raw := d.request("pump-1", "start-next", `{}`)
	if outcome != "rejected" || r.Code != "InternalError" || r.Message != "Cannot sign URLs with role jobs-download." {
		t.Errorf("without credentials: %s %s", outcome, raw)
	}
	if x := s.executionOf("pump-1", "fw-1"); x.Status != "QUEUED" || x.VersionNumber != 1 {
		t.Errorf("it moved: %+v", x)
	}
	out, errs, status := thingjobs(t, "presign", "--data", string(s.dir), "check", "fw-1")
	if status != 1 || !strings.Contains(out, "FAILED  GET     -      \"firmware/pump.bin\"") || !strings.Contains(out, "has no credentials yet") || !strings.Contains(errs, "2 of 2 URLs") {
		t.Errorf("check without credentials: %d %s %s", status, out, errs)
	}

	open.Store(true)
	var notified, started reply
	if err := unmarshal(d.mustNext("/notify-next").payload, &notified); err != nil || notified.Execution == nil {
		t.Fatalf("notify-next: %+v, %v", notified, err)
	}
	if outcome, started, raw = d.request("pump-1", "start-next", `{}`); outcome != "accepted" || string(started.Execution.JobDocument) != string(notified.Execution.JobDocument) {
		t.Errorf("start-next: %s, the notification had %s", raw, notified.Execution.JobDocument)
	}
	var urls struct{ Get, Put string }
	if err := unmarshal(started.Execution.JobDocument, &urls); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, http.MethodGet, urls.Get); status != http.StatusOK || body != "the firmware" {
		t.Errorf("GET: %d %q", status, body)
	}
	if !strings.HasPrefix(urls.Put, s3.Endpoint+"/firmware/logs/pump-1/fw-1-1.txt?") {
		t.Errorf("the URL for the upload is %s", urls.Put)
	}
	req, err := http.NewRequestWithContext(within(t), http.MethodPut, urls.Put, strings.NewReader("the log"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("PUT: %s", resp.Status)
	}
	for _, u := range []string{urls.Get, urls.Put} {
		_, signature, _ := strings.Cut(u, "X-Amz-Signature=")
		s.secrets = append(s.secrets, signature)
	}

	out, errs, status = thingjobs(t, "presign", "--data", string(s.dir), "check", "fw-1")
	const table = `RESULT  METHOD  BYTES  OBJECT                                                    VERSION  DETAIL
OK      GET     12     "firmware/pump.bin"                                       -        206 Partial Content
SIGNED  PUT     -      "firmware/logs/${thingName}/${jobId}-${executionNumber}.txt"  -        not tried: it would write
`
	if status != 0 || strings.Join(strings.Fields(out), " ") != strings.Join(strings.Fields(table), " ") {
		t.Errorf("check: %d %s\n%s", status, errs, out)
	}
	create("fw-2", `"${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/firmware/logs/pump-1/fw-1-1.txt}"`)
	create("fw-3", `"${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/firmware/none.bin}"`)
	create("fw-4", `"nothing to sign"`)
	for id, want := range map[string]struct {
		status int
		out    string
	}{
		"fw-2": {0, `"bytes": 7`},
		"fw-3": {1, `"detail": "404 Not Found, NoSuchKey"`},
		"fw-4": {0, `[]`},
		"none": {1, ``},
	} {
		out, errs, status := thingjobs(t, "presign", "--data", string(s.dir), "check", "--json", id)
		if status != want.status || !strings.Contains(out, want.out) || strings.Contains(out, "X-Amz") {
			t.Errorf("check %s: %d %s %s", id, status, out, errs)
		}
	}
	if log := s.logged(); !strings.Contains(log, "an object of a job cannot be had") || !strings.Contains(log, "firmware/none.bin") {
		t.Error("the missing object is not in the log")
	}
	e, err := s.dir.endpoints()
	if err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, http.MethodGet, "http://"+e.Admin+"/metrics"); status != http.StatusOK ||
		!strings.Contains(body, `thingjobs_presign_credential_renewals_total{outcome="ok",role="jobs-download"} 1`) ||
		!strings.Contains(body, `thingjobs_presign_failures_total{role="jobs-download"}`) || !strings.Contains(body, `thingjobs_presign_credentials_expire_timestamp_seconds{role="jobs-download"}`) {
		t.Errorf("metrics: %d", status)
	}
	s.stop()
}
