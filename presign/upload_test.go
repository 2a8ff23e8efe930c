package presign_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/presign"
)

func upload(text string, number int64) *jobsvc.Document {
	doc := document(text, roleARN, 60*time.Second)
	doc.ThingName, doc.JobID, doc.ExecutionNumber = "pump:1", "logs-7", number
	return doc
}

func TestUploadLocations(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config())
	const aws = "https://s3.eu-west-1.amazonaws.com/"
	for body, want := range map[string]string{ // path of the URL
		aws + "up/logs/a.txt":                                            "/up/logs/a.txt",
		"https://s3.cn-north-1.amazonaws.com.cn/up/a":                    "",
		"https://files.plant.example:9000/up/${thingName}/x":             "/up/pump%3A1/x",
		aws + "up/${thingName}-${jobId}-${executionNumber}/${jobId}.txt": "/up/pump%3A1-logs-7-3/logs-7.txt",
		aws + "up/a b%20?versionId=1":                                    "/up/a%20b%2520%3FversionId%3D1",
		aws + "up/$x{y/${thingName}${thingName}":                         "/up/%24x%7By/pump%3A1pump%3A1",
	} {
		out, err := s.Substitute(nil, upload(`"${aws:iot:s3-presigned-url-upload:`+body+`}"`, 3), now)
		if want == "" {
			if err == nil {
				t.Errorf("%s: %s", body, out)
			}
			continue
		}
		if err != nil || !strings.HasPrefix(string(out), `"https://files.plant.example:9000`+want+"?X-Amz-Algorithm=") {
			t.Errorf("%s: %s, %v, want %s", body, out, err, want)
		}
	}
	for body, want := range map[string]string{
		"up/key":                        "must be a URL",
		"https://s3.amazonaws.com/up/k": "an upload at AWS is written",
		"https://s3-eu-west-1.amazonaws.com/up/k":                "an upload at AWS is written",
		"https://up.s3.eu-west-1.amazonaws.com/k":                "an upload at AWS is written",
		"https://s3.dualstack.eu-west-1.amazonaws.com/up/k":      "an upload at AWS is written",
		"https://evil.example/up/k":                              "host is not one of the store site",
		aws + "up":                                               "no key",
		aws + "up/":                                              "no key",
		aws:                                                      "no valid bucket",
		strings.TrimSuffix(aws, "/"):                             "no valid bucket",
		aws + "${thingName}/k":                                   "no valid bucket",
		"https://${thingName}/up/k":                              "no valid host",
		aws + "up/${thing}":                                      "alone",
		aws + "up/${${thingName}}":                               "alone",
		aws + "up/${aws:iot:s3-presigned-url:fw/k}":              "alone",
		aws + "up/${jobId}${jobId}${jobId}":                      "${jobId} more than twice",
		aws + "up/" + strings.Repeat("k", 1000) + "${thingName}": "more than 1024 bytes",
		aws + "up/${thingName":                                   "not closed",
	} {
		err := s.Check([]byte(`"${aws:iot:s3-presigned-url-upload:`+body+`}"`), &jobsvc.PresignedURLConfig{RoleARN: roleARN})
		if jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want … %s …", body, err, want)
		}
	}
	for _, form := range []string{"s3-presigned-url:fw/${thingName}", "s3-presigned-url-v2:https://s3.amazonaws.com/fw/${jobId}"} {
		if err := s.Check([]byte(`"${aws:iot:`+form+`}"`), &jobsvc.PresignedURLConfig{RoleARN: roleARN}); err == nil || !strings.Contains(err.Error(), "cannot contain another") {
			t.Errorf("%s: %v", form, err)
		}
	}
}

// What is allowed for a key with placeholders must be allowed whatever stands for them.
func TestUploadPermission(t *testing.T) {
	t.Parallel()
	const placeholder = `"${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/up/logs/${thingName}.txt}"`
	for allow, want := range map[string]bool{
		"up/logs/*": true, "up/*.txt": true, "*": true, "up/logs/*.txt": true,
		"up/logs/pump*": false, "up/logs/${thingName}.txt": false, "other/*": false,
	} {
		c := config()
		c.Roles[0].Allow = []string{allow}
		s := newSigner(t, c)
		doc := upload(placeholder, 1)
		if err := s.Check(doc.Text, doc.PresignedURLConfig); (err == nil) != want {
			t.Errorf("%s: %v", allow, err)
		}
		if err := s.Ready(doc); want && err != nil {
			t.Errorf("%s: accepted, but not ready: %v", allow, err)
		}
	}
}

// All deliveries of an execution name the same object; those of a retry another.
func TestUploadURLs(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config())
	const key = "https://files.plant.example:9000/up/${thingName}/${executionNumber}"
	const text = `["${aws:iot:s3-presigned-url-upload:` + key + `}","${aws:iot:s3-presigned-url:https://files.plant.example:9000/up/pump:1/1}"]`
	first := substitute(t, s, upload(text, 1), now)
	if again := substitute(t, s, upload(text, 1), now.Add(4*time.Second)); again != first {
		t.Errorf("changed:\n%s\n%s", first, again)
	}
	if retry := substitute(t, s, upload(text, 2), now); !strings.Contains(retry, "/up/pump%3A1/2?") {
		t.Errorf("retry: %s", retry)
	}
	put, get, _ := strings.Cut(strings.Trim(first, `[]"`), `","`)
	base, _, _ := strings.Cut(put, "&X-Amz-Signature=")
	if put == get || !strings.HasPrefix(get, base) {
		t.Errorf("of one object, PUT %s, GET %s", put, get)
	}
	// Nothing is signed for no execution.
	plain := document(text, roleARN, 0)
	for _, err := range []error{s.Ready(plain), func() error { _, err := s.Substitute(nil, plain, now); return err }()} {
		var e *jobsvc.Error
		if !errors.As(err, &e) || e.Code != jobsvc.CodeInternal || e.Message != "Cannot sign URLs with role jobs-download." {
			t.Errorf("without an execution: %v", err)
		}
	}
}

func TestUnsignedStore(t *testing.T) {
	t.Parallel()
	c := config()
	c.Stores[0].Style = "unsigned"
	c.Roles = []presign.RoleConfig{{ARN: roleARN, Store: "site", Allow: []string{"fw/*"}}}
	s := newSigner(t, c)
	got := substitute(t, s, document(`["${aws:iot:s3-presigned-url:fw/a b}","${aws:iot:s3-presigned-url-v2:https://s3.amazonaws.com/fw/k?versionId=a/b}"]`, roleARN, 0), now)
	if want := `["https://files.plant.example:9000/fw/a%20b","https://files.plant.example:9000/fw/k?versionId=a%2Fb"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	err := s.Check([]byte(`"${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/fw/k}"`), &jobsvc.PresignedURLConfig{RoleARN: roleARN})
	if err == nil || !strings.Contains(err.Error(), "takes no uploads") {
		t.Errorf("upload: %v", err)
	}
}

func TestRealServerTakesUploads(t *testing.T) {
	t.Parallel()
	srv, c := startS3(t)
	s := newSigner(t, c)
	url := strings.Trim(substitute(t, s, upload(`"${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/fw/logs/${thingName}/${jobId} ${executionNumber}.txt}"`, 2), time.Now()), `"`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader("the log"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("PUT: %s", res.Status)
	}
	if code, _ := request(t, http.MethodGet, url, ""); code != http.StatusForbidden {
		t.Errorf("GET with the URL of an upload: %d", code)
	}
	got := strings.Trim(substitute(t, s, document(`"${aws:iot:s3-presigned-url:fw/logs/pump:1/logs-7 2.txt}"`, roleARN, 60*time.Second), time.Now()), `"`)
	if code, body := request(t, http.MethodGet, got, ""); code != http.StatusOK || body != "the log" {
		t.Errorf("what was put: %d %s (%s)", code, body, srv.Endpoint)
	}
}
