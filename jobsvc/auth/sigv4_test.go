package auth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

const (
	testKeyID  = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

var sigNow = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// The vector get-vanilla-query-order-key-case of AWS's SigV4 test suite: a
// signature that did not come from the library that verifies it.
func TestVerifyVector(t *testing.T) {
	r := &auth.SignedRequest{
		Method: "GET", Host: "example.amazonaws.com", Path: "/", RawQuery: "Param2=value2&Param1=value1",
		Header: http.Header{
			"X-Amz-Date": {"20150830T123600Z"},
			"Authorization": {"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " +
				"Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		},
	}
	s, err := auth.ParseSignature(r)
	if err != nil {
		t.Fatal(err)
	}
	if s.AccessKeyID != "AKIDEXAMPLE" || s.Region != "us-east-1" || s.Service != "service" {
		t.Errorf("got %+v", s)
	}
	if err := s.Verify(r, testSecret, nil, sigNow); err != nil {
		t.Error(err)
	}
}

// signed makes a request and signs it, as an SDK does, in the header form.
func signed(t testing.TB, method, rawURL, body string, headers map[string]string) *auth.SignedRequest {
	t.Helper()
	req := httpRequest(t, method, rawURL, body, headers)
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret},
		req, hashOf(req, body), "iot", "us-east-1", sigNow); err != nil {
		t.Fatal(err)
	}
	return received(req, body)
}

func presigned(t testing.TB, method, rawURL, body string, headers map[string]string) *auth.SignedRequest {
	t.Helper()
	req := httpRequest(t, method, rawURL, body, headers)
	uri, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret},
		req, hashOf(req, body), "iot", "us-east-1", sigNow)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	req.URL = u
	return received(req, body)
}

func httpRequest(t testing.TB, method, rawURL, body string, headers map[string]string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, rawURL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	return req
}

func hashOf(req *http.Request, body string) string {
	if h := req.Header.Get("X-Amz-Content-Sha256"); h != "" {
		return h
	}
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func received(req *http.Request, body string) *auth.SignedRequest {
	return &auth.SignedRequest{
		Method: req.Method, Host: req.URL.Host, Path: req.URL.EscapedPath(), RawQuery: req.URL.RawQuery,
		Header: req.Header.Clone(), ContentLength: int64(len(body)), Body: []byte(body), TLS: true,
	}
}

func verify(r *auth.SignedRequest, secret string, now time.Time) error {
	s, err := auth.ParseSignature(r)
	if err != nil {
		return err
	}
	return s.Verify(r, secret, nil, now)
}

const base = "https://localhost:8443"

// The paths and queries that go wrong when somebody cleans or encodes them twice
// or once too little.
var signedTargets = []string{
	"/jobs/fw-1",
	"/",
	"//jobs//a/../b",
	"/things/a%3Ab/jobs/$next",
	"/things/a:b/jobs/%24next",
	"/attached-policies/arn%3Aaws%3Aiot%3Aus-east-1%3A123456789012%3Acert%2Fabc",
	"/policies/a+b=c,d.e@f",
	"/things?attributeName=a&attributeValue=%C3%BC%20b%2Bc%2F%26&maxResults=5",
	"/things?b=2&a=1&a=0&a&empty=",
	"/jobs?nextToken=AQB4%2Bm9v%2FYmFy%3D%3D",
}

func TestVerify(t *testing.T) {
	for _, target := range signedTargets {
		for name, r := range map[string]*auth.SignedRequest{
			"headers":          signed(t, "GET", base+target, "", nil),
			"headers and body": signed(t, "PUT", base+target, `{"a":"ü"}`, map[string]string{"Content-Type": "application/json", "X-Amzn-Principal": "arn:x"}),
			"presigned":        presigned(t, "GET", base+withQuery(target, "X-Amz-Expires=60"), "", nil),
			"presigned, body":  presigned(t, "PUT", base+withQuery(target, "X-Amz-Expires=60"), `{}`, map[string]string{"X-Amzn-Principal": "arn:x"}),
		} {
			if err := verify(r, testSecret, sigNow); err != nil {
				t.Errorf("%s, %s: %v", target, name, err)
			}
			// What a proxy adds is not signed and does not matter.
			r.Header.Set("X-Forwarded-For", "192.0.2.1")
			r.Header.Set("User-Agent", "other")
			r.Header.Set("X-Amzn-Trace-Id", "Root=1")
			if err := verify(r, testSecret, sigNow.Add(time.Minute)); err != nil {
				t.Errorf("%s, %s, behind a proxy: %v", target, name, err)
			}
		}
	}
}

func withQuery(target, param string) string {
	if strings.Contains(target, "?") {
		return target + "&" + param
	}
	return target + "?" + param
}

func TestVerifyTampered(t *testing.T) {
	tamper := map[string]func(r *auth.SignedRequest){
		"method":    func(r *auth.SignedRequest) { r.Method = "POST" },
		"host":      func(r *auth.SignedRequest) { r.Host = "localhost:8444" },
		"path":      func(r *auth.SignedRequest) { r.Path = "/things/t2" },
		"escaping":  func(r *auth.SignedRequest) { r.Path = "/things/%741" },
		"parameter": func(r *auth.SignedRequest) { r.RawQuery += "&force=true" },
		"body":      func(r *auth.SignedRequest) { r.Body = bytes.Replace(r.Body, []byte("1"), []byte("2"), 1) },
		"header":    func(r *auth.SignedRequest) { r.Header.Set("X-Amzn-Principal", "arn:other") },
		"more of a header": func(r *auth.SignedRequest) {
			r.Header.Add("X-Amzn-Principal", "arn:other")
		},
		"header gone": func(r *auth.SignedRequest) { r.Header.Del("X-Amzn-Principal") },
		"policy header added": func(r *auth.SignedRequest) {
			r.Header.Set("X-Amzn-Iot-Policy", "p")
		},
		"semicolon": func(r *auth.SignedRequest) { r.RawQuery += "&a;b=c" },
	}
	headers := map[string]string{"X-Amzn-Principal": "arn:mine"}
	for name, change := range tamper {
		for form, r := range map[string]*auth.SignedRequest{
			"header":    signed(t, "PUT", base+"/things/t1?a=b", `{"n":1}`, headers),
			"presigned": presigned(t, "PUT", base+"/things/t1?a=b&X-Amz-Expires=60", `{"n":1}`, headers),
		} {
			change(r)
			if err := verify(r, testSecret, sigNow); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidSignature {
				t.Errorf("%s, %s: %v", form, name, err)
			}
		}
	}
	r := signed(t, "GET", base+"/jobs", "", nil)
	if err := verify(r, testSecret+"x", sigNow); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidSignature {
		t.Errorf("another secret: %v", err)
	}
	// The date is signed: a later one cannot be put in.
	r.Header.Set("X-Amz-Date", "20150830T123601Z")
	if err := verify(r, testSecret, sigNow); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidSignature {
		t.Errorf("another date: %v", err)
	}
}

func TestVerifyClock(t *testing.T) {
	header := signed(t, "GET", base+"/jobs", "", nil)
	url := presigned(t, "GET", base+"/jobs?X-Amz-Expires=60", "", nil)
	for _, tc := range []struct {
		name   string
		r      *auth.SignedRequest
		offset time.Duration
		want   string
	}{
		{"now", header, 0, ""},
		{"5 minutes old", header, 5 * time.Minute, ""},
		{"too old", header, 5*time.Minute + time.Second, "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"},
		{"5 minutes ahead", header, -5 * time.Minute, ""},
		{"too far ahead", header, -5*time.Minute - time.Second, "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"},
		{"URL at its end", url, time.Minute, ""},
		{"URL past its end", url, time.Minute + time.Second, "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T123701Z - 60 s.)"},
		{"URL not yet", url, -6 * time.Minute, "Signature not yet current: "},
	} {
		err := verify(tc.r, testSecret, sigNow.Add(tc.offset))
		if (err == nil) != (tc.want == "") || err != nil && (jobsvc.ErrorCode(err) != jobsvc.CodeInvalidSignature || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestVerifyPayload(t *testing.T) {
	unsigned := map[string]string{"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}
	r := signed(t, "PUT", base+"/jobs/j", `{}`, unsigned)
	if err := verify(r, testSecret, sigNow); err != nil {
		t.Errorf("unsigned payload over TLS: %v", err)
	}
	r.TLS = false
	if err := verify(r, testSecret, sigNow); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidSignature {
		t.Errorf("unsigned payload without TLS: %v", err)
	}
	sum := sha256.Sum256([]byte(`{}`))
	claimed := map[string]string{"X-Amz-Content-Sha256": hex.EncodeToString(sum[:])}
	r = signed(t, "PUT", base+"/jobs/j", `{}`, claimed)
	if err := verify(r, testSecret, sigNow); err != nil {
		t.Errorf("claimed hash: %v", err)
	}
	r.Body = []byte(`{"a":1}`)
	if err := verify(r, testSecret, sigNow); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidSignature {
		t.Errorf("claimed hash of another body: %v", err)
	}
}

func TestParseSignatureRefusals(t *testing.T) {
	good := signed(t, "GET", base+"/jobs", "", nil)
	authorization := good.Header.Get("Authorization")
	for name, tc := range map[string]struct {
		header string
		query  string
		code   jobsvc.Code
	}{
		"nothing":          {"", "", jobsvc.CodeMissingCredentials},
		"another scheme":   {"Bearer abc", "", jobsvc.CodeMissingCredentials},
		"no parameters":    {"AWS4-HMAC-SHA256 ", "", jobsvc.CodeInvalidSignature},
		"short scope":      {strings.Replace(authorization, "/aws4_request", "", 1), "", jobsvc.CodeInvalidSignature},
		"other terminator": {strings.Replace(authorization, "aws4_request", "aws5_request", 1), "", jobsvc.CodeInvalidSignature},
		"empty region":     {strings.Replace(authorization, "us-east-1", "", 1), "", jobsvc.CodeInvalidSignature},
		"other day":        {strings.Replace(authorization, "20150830", "20150831", 1), "", jobsvc.CodeInvalidSignature},
		"short signature":  {authorization[:len(authorization)-1], "", jobsvc.CodeInvalidSignature},
		"other algorithm":  {"", "X-Amz-Signature=a&X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256", jobsvc.CodeInvalidSignature},
		"no expiry":        {"", "X-Amz-Signature=a&X-Amz-Algorithm=AWS4-HMAC-SHA256", jobsvc.CodeInvalidSignature},
		"8 days":           {"", "X-Amz-Signature=a&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=691200", jobsvc.CodeInvalidSignature},
	} {
		r := *good
		r.Header = http.Header{"X-Amz-Date": good.Header["X-Amz-Date"]}
		if tc.header != "" {
			r.Header.Set("Authorization", tc.header)
		}
		r.RawQuery = tc.query
		if _, err := auth.ParseSignature(&r); jobsvc.ErrorCode(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Headers that must be signed, signed headers that cannot be verified.
	for name, list := range map[string]string{
		"no host":    "x-amz-date",
		"no date":    "host",
		"user agent": "host;user-agent;x-amz-date",
		"absent":     "host;x-absent;x-amz-date",
		"order":      "x-amz-date;host",
		"twice":      "host;host;x-amz-date",
	} {
		r := *good
		r.Header = good.Header.Clone()
		r.Header.Set("User-Agent", "me")
		r.Header.Set("Authorization", strings.Replace(authorization, "host;x-amz-date", list, 1))
		if err := verify(&r, testSecret, sigNow); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	good := signed(f, "GET", base+"/jobs", "", nil)
	f.Add(good.Header.Get("Authorization"), good.Header.Get("X-Amz-Date"), "/jobs", "")
	url := presigned(f, "GET", base+"/jobs?X-Amz-Expires=60", "", nil)
	f.Add("", "", "/jobs", url.RawQuery)
	f.Fuzz(func(t *testing.T, authorization, date, path, query string) {
		r := &auth.SignedRequest{Method: "GET", Host: "h", Path: path, RawQuery: query, Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}}}
		s, err := auth.ParseSignature(r)
		if err == nil {
			err = s.Verify(r, "another secret", nil, sigNow)
		}
		if c := jobsvc.ErrorCode(err); c != jobsvc.CodeInvalidSignature && c != jobsvc.CodeMissingCredentials {
			t.Fatalf("%v", err)
		}
	})
}

// Whatever AWS's signer signs is verified, with keys remembered or not.
func FuzzVerifySDK(f *testing.F) {
	for _, target := range signedTargets {
		path, query, _ := strings.Cut(target, "?")
		f.Add(path, query, "localhost:8443", " a  b\t", "{}")
	}
	f.Add("/a?b", "a=%20+&a-=1&a=1&a.b=&a%3D=2&X-Amz-Signature=x", " h  x ", "\u00a0\u00fc", "")
	var signers auth.Signers
	f.Fuzz(func(t *testing.T, path, query, host, value, body string) {
		values, err := url.ParseQuery(query)
		if err != nil || host == "" {
			return
		}
		values.Del("X-Amz-Signature")
		req := &http.Request{
			Method: "PUT", Host: host, ContentLength: int64(len(body)),
			URL:    &url.URL{Opaque: "//-" + path, RawQuery: values.Encode()},
			Header: http.Header{"X-Amzn-Principal": {value, "second"}, "Content-Type": {value}},
		}
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret},
			req, hashOf(req, body), "iot", "us-east-1", sigNow); err != nil {
			t.Skip(err)
		}
		r := &auth.SignedRequest{Method: "PUT", Host: host, Path: path, RawQuery: query, Header: req.Header, ContentLength: req.ContentLength, Body: []byte(body)}
		s, err := auth.ParseSignature(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []*auth.Signers{nil, &signers} {
			if err := s.Verify(r, testSecret, k, sigNow); err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(r, testSecret+"x", k, sigNow); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidSignature {
				t.Fatalf("another secret: %v", err)
			}
		}
	})
}

// A remembered signer is good for its secret alone, and not once it is forgotten.
func TestSigners(t *testing.T) {
	var signers auth.Signers
	r := signed(t, "GET", base+"/jobs", "", nil)
	check := func(r *auth.SignedRequest, secret string, now time.Time, want jobsvc.Code) {
		t.Helper()
		s, err := auth.ParseSignature(r)
		if err == nil {
			err = s.Verify(r, secret, &signers, now)
		}
		if jobsvc.ErrorCode(err) != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check(r, testSecret, sigNow, "")
	check(r, testSecret, sigNow, "")
	check(r, "a new secret", sigNow, jobsvc.CodeInvalidSignature)
	elsewhere := received(httpRequest(t, "GET", base+"/jobs", "", nil), "")
	elsewhere.Header = r.Header.Clone()
	elsewhere.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "us-east-1", "made-up-1", 1))
	check(elsewhere, testSecret, sigNow, jobsvc.CodeInvalidSignature)
	check(r, testSecret, sigNow, "")

	tomorrow := sigNow.Add(24 * time.Hour)
	req := httpRequest(t, "GET", base+"/jobs", "", nil)
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret},
		req, hashOf(req, ""), "iot", "us-east-1", tomorrow); err != nil {
		t.Fatal(err)
	}
	check(received(req, ""), testSecret, tomorrow, "")
	check(r, testSecret, sigNow, "")
	signers.Forget("AKIDOTHER")
	if n := signers.Len(); n != 1 {
		t.Errorf("%d signers remembered of one access key, region and service", n)
	}
	signers.Forget(testKeyID)
	if n := signers.Len(); n != 0 {
		t.Errorf("%d signers remembered after Forget", n)
	}
	check(r, testSecret, sigNow, "")
}

func BenchmarkVerify(b *testing.B) {
	r := signed(b, "GET", base+"/jobs/fw-1/things?maxResults=250", "", nil)
	var signers auth.Signers
	b.ReportAllocs()
	for b.Loop() {
		s, err := auth.ParseSignature(r)
		if err == nil {
			err = s.Verify(r, testSecret, &signers, sigNow)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
