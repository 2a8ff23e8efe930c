package presign_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"crypto/sha256"
	"encoding/hex"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/presign"
)

// fakeSTS answers AssumeRole as the service does, to requests signed with its key for
// its region, with the credentials of a store.
type fakeSTS struct {
	*httptest.Server
	accessKey, secretKey, region string
	give                         aws.Credentials

	mu      sync.Mutex
	refuse  bool
	request url.Values // the last one
}

func startSTS(t *testing.T, region string, give aws.Credentials) *fakeSTS {
	f := &fakeSTS{accessKey: "AKBASE", secretKey: "base-secret-key", region: region, give: give}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	f.request = form
	refuse := f.refuse
	f.mu.Unlock()
	if got := r.Header.Get("Authorization"); refuse || got != f.authorization(r, body) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>you sent %s</Message></Error></ErrorResponse>`, got)
		return
	}
	fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><Arn>%s</Arn><AssumedRoleId>AROA:x</AssumedRoleId></AssumedRoleUser><Credentials>
<AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration>
</Credentials></AssumeRoleResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleResponse>`,
		form.Get("RoleArn"), f.give.AccessKeyID, f.give.SecretAccessKey, f.give.SessionToken, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

// authorization is what the header must be for our key and region.
func (f *fakeSTS) authorization(r *http.Request, body []byte) string {
	_, signed, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	for h := range strings.SplitSeq(signed, ";") {
		if h != "host" && h != "content-length" {
			again.Header.Set(h, r.Header.Get(h))
		}
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "no date"
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: f.accessKey, SecretAccessKey: f.secretKey}, again, hex.EncodeToString(sum[:]), "sts", f.region, at); err != nil {
		panic(err)
	}
	return again.Header.Get("Authorization")
}

// run makes a Signer and runs it until the test ends. It is back after the first
// attempt to get credentials.
func run(t *testing.T, c presign.Config) (s *presign.Signer, logged func() string) {
	t.Helper()
	log := &safeBuffer{}
	s, err := presign.New(c, presign.Options{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.Tried(t.Context())
	return s, log.String
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestAssumeRole(t *testing.T) {
	t.Parallel()
	give := aws.Credentials{AccessKeyID: "ASIATEMP", SecretAccessKey: "temporary/secret", SessionToken: "to/ken+=="}
	sts := startSTS(t, "plant-2", give)
	c := config()
	c.Roles[0].Credentials = &presign.CredentialsConfig{AccessKey: sts.accessKey, SecretKey: presign.Secret(sts.secretKey)}
	c.Roles[0].AssumeRole = &presign.AssumeRoleConfig{STS: sts.URL, Region: sts.region, Duration: 2 * time.Hour, ExternalID: "ext-1", RoleARN: "self"}
	s, logged := run(t, c)
	got := substitute(t, s, document(`"${aws:iot:s3-presigned-url:fw/k}"`, roleARN, 600*time.Second), time.Now())
	if !strings.Contains(got, "X-Amz-Credential=ASIATEMP%2F") || !strings.Contains(got, "&X-Amz-Security-Token=to%2Fken%2B%3D%3D&") || !strings.Contains(got, "&X-Amz-Expires=600&") {
		t.Errorf("signed %s", got)
	}
	want := url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {roleARN}, "RoleSessionName": {"thingjobs"},
		"DurationSeconds": {"7200"}, "ExternalId": {"ext-1"},
	}
	if got := sts.request; got.Encode() != want.Encode() {
		t.Errorf("asked %s, want %s", got.Encode(), want.Encode())
	}
	_, signature, _ := strings.Cut(got, "X-Amz-Signature=")
	for _, s := range []string{sts.secretKey, give.SecretAccessKey, give.SessionToken, strings.Trim(signature, `"`)} {
		if strings.Contains(logged(), s) {
			t.Errorf("%q is logged:\n%s", s, logged())
		}
	}
}

func TestAssumeRoleRefused(t *testing.T) {
	t.Parallel()
	sts := startSTS(t, "us-east-1", aws.Credentials{})
	sts.refuse = true
	c := config()
	c.Roles[0].Credentials = &presign.CredentialsConfig{AccessKey: sts.accessKey, SecretKey: presign.Secret(sts.secretKey)}
	c.Roles[0].AssumeRole = &presign.AssumeRoleConfig{STS: sts.URL, RoleARN: otherARN}
	s, logged := run(t, c)
	doc := document(`"${aws:iot:s3-presigned-url:fw/k}"`, roleARN, 0)
	if err := s.Ready(doc); jobsvc.ErrorCode(err) != jobsvc.CodeInternal {
		t.Errorf("ready: %v", err)
	}
	if out, err := s.Substitute(nil, doc, time.Now()); err == nil || len(out) > 0 {
		t.Errorf("signed %s, %v", out, err)
	}
	// The roles with keys of their own are not in its way.
	substitute(t, s, document(`"${aws:iot:s3-presigned-url:fw-1/pump/k}"`, narrowARN, 0), time.Now())
	log := logged()
	if !strings.Contains(log, "role=jobs-download") || !strings.Contains(log, "SignatureDoesNotMatch") {
		t.Errorf("logged %s", log)
	}
	for _, s := range []string{"you sent", "Signature=", sts.secretKey} {
		if strings.Contains(log, s) {
			t.Errorf("%q is logged: %s", s, log)
		}
	}
	if sts.request.Get("RoleArn") != otherARN {
		t.Errorf("asked for %s", sts.request.Get("RoleArn"))
	}
}

// The credentials of the environment, and of what they may assume.
func TestAmbient(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKBASE", "AWS_SECRET_ACCESS_KEY": "base-secret-key", "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none", "AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	sts := startSTS(t, "us-east-1", aws.Credentials{AccessKeyID: "ASIATEMP", SecretAccessKey: "temporary", SessionToken: "token"})
	c := config()
	c.Roles[0].Credentials, c.Roles[0].Ambient = nil, true
	c.Roles[1].Credentials, c.Roles[1].AssumeRole = nil, &presign.AssumeRoleConfig{STS: sts.URL}
	s, _ := run(t, c)
	got := substitute(t, s, document(`"${aws:iot:s3-presigned-url:fw/k}"`, roleARN, 0), time.Now())
	if !strings.Contains(got, "X-Amz-Credential=AKBASE%2F") || strings.Contains(got, "Security-Token") {
		t.Errorf("ambient: %s", got)
	}
	got = substitute(t, s, document(`"${aws:iot:s3-presigned-url:exact/key}"`, narrowARN, 0), time.Now())
	if !strings.Contains(got, "X-Amz-Credential=ASIATEMP%2F") || !strings.Contains(got, "X-Amz-Security-Token=token") {
		t.Errorf("assumed: %s", got)
	}
}

func TestNoAmbient(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_PROFILE": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "",
	} {
		t.Setenv(name, value)
	}
	c := config()
	c.Roles[0].Credentials, c.Roles[0].Ambient = nil, true
	s, logged := run(t, c)
	if err := s.Ready(document(`"${aws:iot:s3-presigned-url:fw/k}"`, roleARN, 0)); jobsvc.ErrorCode(err) != jobsvc.CodeInternal {
		t.Errorf("ready: %v, logged %s", err, logged())
	}
}

// A real S3 server takes what is signed with an STS's credentials. Ours knows no sessions,
// so there is no token to them.
func TestRealServerTakesSessions(t *testing.T) {
	t.Parallel()
	srv, c := startS3(t)
	sts := startSTS(t, srv.Region, aws.Credentials{AccessKeyID: "AKTEST", SecretAccessKey: "sk/with+chars"})
	c.Roles[0].Credentials = &presign.CredentialsConfig{AccessKey: sts.accessKey, SecretKey: presign.Secret(sts.secretKey)}
	c.Roles[0].AssumeRole = &presign.AssumeRoleConfig{STS: sts.URL}
	put(t, srv, "a b.bin", "firmware")
	s, _ := run(t, c)
	u := strings.Trim(substitute(t, s, document(`"${aws:iot:s3-presigned-url:fw/a b.bin}"`, roleARN, 60*time.Second), time.Now()), `"`)
	if code, body := request(t, http.MethodGet, u, "bytes=0-3"); code != http.StatusPartialContent || body != "firm" {
		t.Errorf("GET: %d %s", code, body)
	}
	if got, err := s.Fetch(t.Context(), "s3://fw/a b.bin"); err != nil || string(got) != "firmware" {
		t.Errorf("documentSource: %s, %v", got, err)
	}
}
