package presign_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/presign"
	"github.com/thingjobs/thingjobs/presign/s3server"
)

// startS3 runs a real S3 server and gives a configuration for it: the independent
// judge of our signatures.
func startS3(t *testing.T) (*s3server.Server, presign.Config) {
	t.Helper()
	if _, err := s3server.Find(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	srv, err := s3server.Start(t.Context(), s3server.Options{Dir: t.TempDir(), AccessKey: "AKTEST", SecretKey: "sk/with+chars", Region: "plant-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := srv.CreateBucket(t.Context(), "fw"); err != nil {
		t.Fatal(err)
	}
	return srv, presign.Config{
		Stores: []presign.StoreConfig{{
			Name:     "site",
			Match:    []string{"s3.*.amazonaws.com", "s3.amazonaws.com", strings.TrimPrefix(srv.Endpoint, "http://")},
			Endpoint: srv.Endpoint,
			Region:   srv.Region,
		}},
		Roles: []presign.RoleConfig{{
			ARN: roleARN, Store: "site", Allow: []string{"fw/*"},
			Credentials: &presign.CredentialsConfig{AccessKey: "AKTEST", SecretKey: "sk/with+chars"},
		}},
		DocumentSource: presign.DocumentSourceConfig{Role: roleARN},
	}
}

func put(t *testing.T, srv *s3server.Server, key, body string) (version string) {
	t.Helper()
	version, err := srv.PutObject(t.Context(), "fw", key, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// request fetches as a device does and gives status and body.
func request(t *testing.T, method, url, byteRange string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestRealServerAcceptsSignatures(t *testing.T) {
	t.Parallel()
	srv, c := startS3(t)
	s := newSigner(t, c)
	tests := []struct{ key, placeholder string }{
		{"pump/v3.bin", "s3-presigned-url:https://s3.eu-west-1.amazonaws.com/fw/pump/v3.bin"},
		{"a b+c%20d?x.bin", "s3-presigned-url:fw/a b+c%20d?x.bin"},
		{"a b+c.bin", "s3-presigned-url-v2:https://s3.amazonaws.com/fw/a%20b%2Bc.bin"},
		{"odd}name", "s3-presigned-url-v2:https://s3.amazonaws.com/fw/odd%7Dname"},
		{"é/&=$@!*'(),;:~#[]", "s3-presigned-url:fw/é/&=$@!*'(),;:~#[]"},
	}
	for i, tt := range tests {
		body := fmt.Sprintf("firmware %d", i)
		put(t, srv, tt.key, body)
		doc := document(`"${aws:iot:`+tt.placeholder+`}"`, roleARN, 60*time.Second)
		url := strings.Trim(substitute(t, s, doc, time.Now()), `"`)
		if code, got := request(t, http.MethodGet, url, ""); code != http.StatusOK || got != body {
			t.Errorf("GET %s: %d %s", tt.key, code, got)
		}
		if code, got := request(t, http.MethodGet, url, "bytes=3-5"); code != http.StatusPartialContent || got != body[3:6] {
			t.Errorf("GET %s with Range: %d %s", tt.key, code, got)
		}
	}

	url := strings.Trim(substitute(t, s, document(`"${aws:iot:s3-presigned-url:fw/pump/v3.bin}"`, roleARN, 60*time.Second), time.Now()), `"`)
	put(t, srv, "pump/v4.bin", "another")
	expired := strings.Trim(substitute(t, newSigner(t, c), document(`"${aws:iot:s3-presigned-url:fw/pump/v3.bin}"`, roleARN, 60*time.Second), time.Now().Add(-61*time.Second)), `"`)
	for _, tt := range []struct{ name, method, url string }{
		{"HEAD", http.MethodHead, url},
		{"changed key", http.MethodGet, strings.Replace(url, "v3.bin", "v4.bin", 1)},
		{"changed lifetime", http.MethodGet, strings.Replace(url, "Expires=60", "Expires=600", 1)},
		{"added version", http.MethodGet, url + "&versionId=1"},
		{"expired", http.MethodGet, expired},
	} {
		if code, _ := request(t, tt.method, tt.url, ""); code != http.StatusForbidden {
			t.Errorf("%s: %d", tt.name, code)
		}
	}
}

func TestRealServerGivesVersions(t *testing.T) {
	t.Parallel()
	srv, c := startS3(t)
	if err := srv.EnableVersioning(t.Context(), "fw"); err != nil {
		t.Fatal(err)
	}
	first := put(t, srv, "v.bin", "one")
	put(t, srv, "v.bin", "two")
	s := newSigner(t, c)
	for placeholder, want := range map[string]string{
		"https://s3.amazonaws.com/fw/v.bin":                              "two",
		"https://s3.amazonaws.com/fw/v.bin%3FversionId%3D" + first:       "one",
		srv.Endpoint + "/fw/v.bin?versionId=" + first:                    "one",
		"https://s3.us-east-1.amazonaws.com/fw/v.bin?versionId=" + first: "one",
	} {
		url := strings.Trim(substitute(t, s, document(`"${aws:iot:s3-presigned-url-v2:`+placeholder+`}"`, roleARN, 0), time.Now()), `"`)
		if code, got := request(t, http.MethodGet, url, ""); code != http.StatusOK || got != want {
			t.Errorf("%s: %d %s, want %s", placeholder, code, got, want)
		}
	}
}

func TestFetchFromRealServer(t *testing.T) {
	t.Parallel()
	srv, c := startS3(t)
	put(t, srv, "jobs/a b.json", `{"a":1}`)
	put(t, srv, "jobs/large.json", strings.Repeat("x", 40000))
	s := newSigner(t, c)
	for _, source := range []string{
		"s3://fw/jobs/a b.json",
		"https://s3.amazonaws.com/fw/jobs/a%20b.json",
		"https://s3.eu-west-1.amazonaws.com/fw/jobs/a b.json",
		srv.Endpoint + "/fw/jobs/a%20b.json",
	} {
		if got, err := s.Fetch(t.Context(), source); err != nil || string(got) != `{"a":1}` {
			t.Errorf("%s: %s, %v", source, got, err)
		}
	}
	if got, err := s.Fetch(t.Context(), "s3://fw/jobs/large.json"); err != nil || len(got) != 32769 {
		t.Errorf("large document: %d bytes, %v", len(got), err)
	}
	for source, want := range map[string]string{
		"s3://fw/none.json":                   "404 Not Found",
		"s3://other/none.json":                "not allowed to sign",
		"https://s3.amazonaws.com/fw/k?acl":   "versionId",
		"https://s3.amazonaws.com/other/x":    "not allowed to sign",
		"https://fw.s3.amazonaws.com/a":       "host is not one of the store",
		"https://elsewhere.example/fw/a.json": "host is not allowed",
		"s3://fw":                             "no key",
	} {
		refused(t, s, source, want)
	}
}
