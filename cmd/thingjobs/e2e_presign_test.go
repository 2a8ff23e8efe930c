package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestPresignedURL follows a placeholder from CreateJob to the bytes of the object.
func TestPresignedURL(t *testing.T) {
	t.Parallel()
	s3, config, secret := startS3(t)
	const firmware = "the firmware of pump 1"
	put(t, s3, "pump/a b+c.bin", firmware)
	s := startServer(t, serveOptions{config: config})
	s.secrets = append(s.secrets, secret)
	d := s.device(4, s.enroll("pump-1")[0])
	if code := d.subscribe("$aws/things/pump-1/jobs/notify-next"); code != 1 {
		t.Fatalf("subscribed with %d", code)
	}

	const document = `{"n":1.0, "amp":"a&b<c>", "url":"${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/firmware/pump/a b+c.bin}"}`
	s.api("PUT", "/jobs/fw-1", map[string]any{
		"targets": []string{s.thing("pump-1")}, "document": document,
		"presignedUrlConfig": map[string]any{"roleArn": s3Role, "expiresInSec": 900},
	}, nil)

	urlOf := func(what string, raw []byte) string {
		t.Helper()
		var r reply
		var doc struct{ URL, Amp string }
		if err := unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		if r.Execution == nil {
			t.Fatalf("%s without an execution: %s", what, raw)
		}
		if err := unmarshal(r.Execution.JobDocument, &doc); err != nil {
			t.Fatal(err)
		}
		// What an embedded client sees that does not undo escapes.
		if strings.Contains(string(raw), `\u00`) || !strings.Contains(string(raw), "&X-Amz-Expires=900") {
			t.Errorf("%s is escaped: %s", what, raw)
		}
		if strings.Contains(string(raw), "${aws:") || doc.Amp != "a&b<c>" || !strings.Contains(string(raw), `"n":1.0`) {
			t.Errorf("%s: %s", what, raw)
		}
		return doc.URL
	}
	notified := urlOf("notify-next", d.mustNext("/notify-next").payload)
	outcome, _, raw := d.request("pump-1", "start-next", `{}`)
	if outcome != "accepted" {
		t.Fatalf("start-next: %s", raw)
	}
	if started := urlOf("start-next", []byte(raw)); started != notified {
		t.Errorf("start-next has another URL than the notification:\n%s\n%s", notified, started)
	}
	if !strings.HasPrefix(notified, s3.Endpoint+"/firmware/pump/a%20b%2Bc.bin?") {
		t.Errorf("the URL is %s", notified)
	}
	if status, body := get(t, http.MethodGet, notified); status != http.StatusOK || body != firmware {
		t.Errorf("GET: %d %q", status, body)
	}
	if status, _ := get(t, http.MethodGet, strings.Replace(notified, "a%20b%2Bc.bin", "other.bin", 1)); status != http.StatusForbidden {
		t.Errorf("GET of another object with the signature: %d", status)
	}

	var got struct{ Document string }
	s.api("GET", "/jobs/fw-1/job-document", nil, &got)
	if got.Document != document {
		t.Errorf("GetJobDocument: %s", got.Document)
	}
	s.stop()
}

func get(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
