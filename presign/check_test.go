package presign_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/presign"
)

func TestVerifyObjects(t *testing.T) {
	t.Parallel()
	srv, c := startS3(t)
	put(t, srv, "there.bin", "firmware")
	cfg := &jobsvc.PresignedURLConfig{RoleARN: roleARN}
	const there, missing = `"${aws:iot:s3-presigned-url:fw/there.bin}"`, `"${aws:iot:s3-presigned-url:fw/missing.bin}"`
	const up = `"${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/fw/up/${thingName}}"`
	for _, tt := range []struct{ mode, doc, want string }{
		{"off", missing, ""},
		{"error", `[` + there + `,` + there + `,` + up + `]`, ""},
		{"error", `{}`, ""},
		{"error", `[` + there + `,` + missing + `]`, "fw/missing.bin"},
		{"warn", `[` + there + `,` + missing + `]`, ""},
	} {
		c.VerifyObjects = tt.mode
		s, logged := run(t, c)
		if err := s.Check([]byte(tt.doc), cfg); err != nil {
			t.Fatal(err)
		}
		err := s.Verify(t.Context(), []byte(tt.doc), cfg)
		if tt.want == "" && err != nil || tt.want != "" && (jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %s: %v", tt.mode, tt.doc, err)
		}
		if warned := strings.Contains(logged(), "fw/missing.bin"); warned != (tt.mode == "warn") {
			t.Errorf("%s %s: logged %s", tt.mode, tt.doc, logged())
		}
		noURLs(t, fmt.Sprint(err, logged()))
	}
}

// noURLs looks for what a URL is a secret by.
func noURLs(t *testing.T, text string) {
	t.Helper()
	for _, s := range []string{"X-Amz-", "Signature", "sk/with+chars"} {
		if strings.Contains(text, s) {
			t.Errorf("%q is in %s", s, text)
		}
	}
}

// brokenStore answers as stores do that are down or set up wrongly.
func brokenStore(t *testing.T, h http.HandlerFunc) presign.Config {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c := config()
	c.Stores[0].Endpoint = srv.URL
	return c
}

func TestStoreGivesNoAnswer(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	doc := []byte(`"${aws:iot:s3-presigned-url:fw/k}"`)
	cfg := &jobsvc.PresignedURLConfig{RoleARN: roleARN}
	for want, c := range map[string]presign.Config{
		"503 Service Unavailable, SlowDown": brokenStore(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, "<Error><Code>SlowDown</Code><Message>%s</Message></Error>", r.URL)
		}),
		"redirects": brokenStore(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere?"+r.URL.RawQuery, http.StatusFound)
		}),
		"refused": func() presign.Config {
			c := config()
			c.Stores[0].Endpoint = gone.URL
			return c
		}(),
		"EOF": brokenStore(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	} {
		c.VerifyObjects = "error"
		s := newSigner(t, c)
		err := s.Verify(t.Context(), doc, cfg)
		if jobsvc.ErrorCode(err) != jobsvc.CodeUnavailable || !strings.Contains(err.Error(), strings.TrimSuffix(want, ", SlowDown")) {
			t.Errorf("%s: %v", want, err)
		}
		noURLs(t, err.Error())
		checks, err := s.Probe(t.Context(), &jobsvc.Document{Text: doc, PresignedURLConfig: cfg})
		if err != nil || len(checks) != 1 || checks[0].Result != jobsvc.PresignedURLFailed || !strings.Contains(checks[0].Detail, want) {
			t.Errorf("%s: probed %+v, %v", want, checks, err)
		}
		noURLs(t, fmt.Sprintf("%+v", checks))
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	srv, c := startS3(t)
	if err := srv.EnableVersioning(t.Context(), "fw"); err != nil {
		t.Fatal(err)
	}
	first := put(t, srv, "a b.bin", "firmware")
	put(t, srv, "a b.bin", "newer firmware")
	put(t, srv, "empty.bin", "")
	c.Roles = append(c.Roles, c.Roles[0])
	c.Roles[1].ARN, c.Roles[1].Credentials = otherARN, &presign.CredentialsConfig{AccessKey: "AKTEST", SecretKey: "wrong-secret"}
	s := newSigner(t, c)
	const head = "${aws:iot:s3-presigned-url"
	text := `["` + head + `:fw/a b.bin}","` + head + `-v2:https://s3.amazonaws.com/fw/a%20b.bin?versionId=` + first + `}","` + head + `:fw/empty.bin}","` +
		head + `:fw/none.bin}","` + head + `-upload:https://s3.eu-west-1.amazonaws.com/fw/up/${thingName}}","` + head + `:other/k}"]`
	checks, err := s.Probe(t.Context(), document(text, roleARN, 0))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, c := range checks {
		fmt.Fprintf(&got, "%s %s %s/%s %t %d %s\n", c.Result, c.Method, c.Bucket, c.Key, c.VersionID == first, c.Bytes, c.Detail)
	}
	const want = `OK GET fw/a b.bin false 14 206 Partial Content
OK GET fw/a b.bin true 8 206 Partial Content
OK GET fw/empty.bin false 0 EMPTY
FAILED GET fw/none.bin false -1 404 Not Found, NoSuchKey
SIGNED PUT fw/up/${thingName} false -1 not tried: it would write
FAILED GET other/k false -1 the role jobs-download is not allowed to sign for this object
`
	if got := emptyDetail(got.String()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	checks, err = s.Probe(t.Context(), document(`"`+head+`:fw/a b.bin}"`, otherARN, 0))
	if err != nil || len(checks) != 1 || checks[0].Result != jobsvc.PresignedURLFailed || checks[0].Detail != "403 Forbidden, SignatureDoesNotMatch" {
		t.Errorf("with a wrong key: %+v, %v", checks, err)
	}
	checks, err = s.Probe(t.Context(), document(`"`+head+`:fw/a b.bin}"`, tokenARN, 0))
	if err != nil || len(checks) != 1 || checks[0].Detail != "the role is not configured" {
		t.Errorf("without a role: %+v, %v", checks, err)
	}
	if request, body := request(t, http.MethodGet, srv.Endpoint+"/fw/up/thing", ""); request == http.StatusOK {
		t.Errorf("the upload was tried: %s", body)
	}
}

// emptyDetail hides how the server says that an object is empty: there are two ways.
func emptyDetail(s string) string {
	for _, way := range []string{"200 OK", "206 Partial Content", "416 Requested Range Not Satisfiable, InvalidRange"} {
		s = strings.Replace(s, "empty.bin false 0 "+way, "empty.bin false 0 EMPTY", 1)
	}
	return s
}
