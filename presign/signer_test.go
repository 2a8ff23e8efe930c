package presign_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/presign"
)

var _ engine.Documents = (*presign.Signer)(nil)

const (
	roleARN   = "arn:aws:iam::111122223333:role/jobs-download"
	narrowARN = "arn:aws:iam::111122223333:role/path/narrow"
	tokenARN  = "arn:aws:iam::111122223333:role/temporary"
	otherARN  = "arn:aws:iam::111122223333:role/elsewhere"
	secret    = "the-secret-key"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 890e6, time.UTC)

func config() presign.Config {
	keys := &presign.CredentialsConfig{AccessKey: "AKEXAMPLE", SecretKey: secret}
	return presign.Config{
		Stores: []presign.StoreConfig{{
			Name:     "site",
			Match:    []string{"s3.*.amazonaws.com", "*.s3.*.amazonaws.com", "s3.amazonaws.com", "files.plant.example:9000"},
			Endpoint: "https://files.plant.example:9000",
			Region:   "us-east-1",
		}},
		Roles: []presign.RoleConfig{
			{ARN: roleARN, Store: "site", Credentials: keys, Allow: []string{"*"}},
			{ARN: narrowARN, Store: "site", Credentials: keys, Allow: []string{"fw-*/pump/*", "exact/key"}},
			{ARN: tokenARN, Store: "site", Credentials: &presign.CredentialsConfig{AccessKey: "AKEXAMPLE", SecretKey: "another-secret", SessionToken: "to/ken+=="}, Allow: []string{"*"}},
		},
	}
}

func newSigner(t testing.TB, c presign.Config) *presign.Signer {
	t.Helper()
	s, err := presign.New(c, presign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func document(text, arn string, expires time.Duration) *jobsvc.Document {
	return &jobsvc.Document{Text: []byte(text), PresignedURLConfig: &jobsvc.PresignedURLConfig{RoleARN: arn, Expires: expires}}
}

func substitute(t testing.TB, s *presign.Signer, doc *jobsvc.Document, now time.Time) string {
	t.Helper()
	if err := s.Check(doc.Text, doc.PresignedURLConfig); err != nil {
		t.Fatalf("%s: %v", doc.Text, err)
	}
	if err := s.Ready(doc); err != nil {
		t.Fatalf("%s: %v", doc.Text, err)
	}
	out, err := s.Substitute([]byte("before"), doc, now)
	if err != nil {
		t.Fatalf("%s: %v", doc.Text, err)
	}
	text, ok := strings.CutPrefix(string(out), "before")
	if !ok || !json.Valid([]byte(text)) {
		t.Fatalf("%s: substituted %s", doc.Text, out)
	}
	return text
}

// The lettered vectors of the specification that concern this package.
func TestSubstitute(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config())
	const query = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKEXAMPLE%2F20260304%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260304T050607Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host"
	tests := []struct{ stored, want string }{ // U(path) stands for the signed URL
		{`{"u":"${aws:iot:s3-presigned-url:https:\/\/s3.eu-west-1.amazonaws.com\/fw\/k}"}`, `{"u":"U(/fw/k)"}`}, // a
		{`{"s":"echo ${HOME} $${x}","n":1.0,"b":12345678901234567890,"a":1,"a":2}`, ``},                         // b
		{`{"u":"x ${aws:iot:s3-presigned-url:fw/k} y ${aws:iot:s3-presigned-url:fw/l} z"}`, `{"u":"x U(/fw/k) y U(/fw/l) z"}`},
		{"{ \"u\" :\n\t\"${aws:iot:s3-presigned-url:fw/k}\" ,\"n\":1.0, \"s\":\"\\u0041\\/\"}\n", "{ \"u\" :\n\t\"U(/fw/k)\" ,\"n\":1.0, \"s\":\"\\u0041\\/\"}\n"},
		{`{"c":"curl -o \/tmp\/a '${aws:iot:s3-presigned-url:fw/k}' \u0026\u0026 echo \"\u003cok\u003e\"\n"}`, `{"c":"curl -o /tmp/a 'U(/fw/k)' && echo \"<ok>\"\n"}`},
		{`"${aws:iot:s3-presigned-url:fw/k}"`, `"U(/fw/k)"`},
		{`[["\u0024{aws:iot:s3-presigned-url-v2:https://s3.amazonaws.com/fw/a%7Db}"]]`, `[["U(/fw/a%7Db)"]]`},
		{`{"k":"\u0041","s":"\ud800 \u00e9","empty":""}`, ``},
	}
	for _, tt := range tests {
		got := substitute(t, s, document(tt.stored, roleARN, 0), now)
		want := tt.want
		if want == "" {
			want = tt.stored
		}
		// Put U(path) back in place of each URL, and look at the rest of it.
		const host = "https://files.plant.example:9000"
		var plain strings.Builder
		rest := got
		for {
			before, after, ok := strings.Cut(rest, host)
			plain.WriteString(before)
			if !ok {
				break
			}
			path, after, _ := strings.Cut(after, query)
			sig, ok := strings.CutPrefix(after, "&X-Amz-Signature=")
			if !ok || len(sig) < 64 || strings.Trim(sig[:64], "0123456789abcdef") != "" {
				t.Fatalf("%s: unexpected query in %s", tt.stored, got)
			}
			plain.WriteString("U(" + path + ")")
			rest = sig[64:]
		}
		if plain.String() != want {
			t.Errorf("%s\n got %s\nwant %s", tt.stored, plain.String(), want)
		}
	}
}

func TestSignedQuery(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config())
	got := substitute(t, s, document(`"${aws:iot:s3-presigned-url-v2:https://fw.s3.eu-west-1.amazonaws.com/v3.bin%3FversionId%3DkT9_x.1%2F}"`, tokenARN, 600*time.Second), now)
	if !strings.Contains(got, "&X-Amz-Security-Token=to%2Fken%2B%3D%3D&X-Amz-SignedHeaders=host&versionId=kT9_x.1%2F&X-Amz-Signature=") || !strings.Contains(got, "&X-Amz-Expires=600&") {
		t.Errorf("query of %s", got)
	}
	u, err := url.Parse(strings.Trim(got, `"`))
	if err != nil || u.Query().Get("versionId") != "kT9_x.1/" {
		t.Errorf("%s: %v", got, err)
	}
	// The same access key with another secret gives another signature.
	doc := `"${aws:iot:s3-presigned-url:fw/k}"`
	a := substitute(t, s, document(doc, roleARN, 0), now)
	b := substitute(t, s, document(doc, tokenARN, 0), now)
	c := config()
	c.Roles[2].Credentials.SessionToken = ""
	d := substitute(t, newSigner(t, c), document(doc, tokenARN, 0), now)
	if a == b || a == d {
		t.Errorf("signed with the secret of another role: %s", a)
	}
}

func TestStableURLs(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config())
	const text = `{"u":"${aws:iot:s3-presigned-url:fw/k}"}`
	tests := []struct {
		expires, same, fresh time.Duration
	}{
		{0, 59 * time.Second, 60 * time.Second},
		{300 * time.Second, 29 * time.Second, 30 * time.Second},
		{60 * time.Second, 5 * time.Second, 6 * time.Second},
	}
	for _, tt := range tests {
		// Signed at .89 s: the date in the URL is the whole second before.
		first := substitute(t, s, document(text, roleARN, tt.expires), now)
		if got := substitute(t, s, document(text, roleARN, tt.expires), now.Add(tt.same)); got != first {
			t.Errorf("%v: changed after %v", tt.expires, tt.same)
		}
		if got := substitute(t, s, document(text, roleARN, tt.expires), now.Add(tt.fresh)); got == first {
			t.Errorf("%v: not renewed after %v", tt.expires, tt.fresh)
		}
		if got := substitute(t, s, document(text, roleARN, tt.expires), now.Add(-time.Hour)); got == first {
			t.Errorf("%v: URL of the future after the clock was set back", tt.expires)
		}
	}
	// Another lifetime, as after UpdateJob, is another URL.
	long := substitute(t, s, document(text, roleARN, 600*time.Second), now)
	short := substitute(t, s, document(text, roleARN, 60*time.Second), now)
	if !strings.Contains(long, "X-Amz-Expires=600&") || !strings.Contains(short, "X-Amz-Expires=60&") {
		t.Errorf("lifetimes of %s and %s", long, short)
	}
}

func TestConcurrentDeliveriesAgree(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config())
	got := make([]string, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			at := now.Add(time.Duration(i) * time.Second / 4) // the dates in the URLs would differ
			out, err := s.Substitute(nil, document(`"${aws:iot:s3-presigned-url:fw/k}"`, roleARN, 3600*time.Second), at)
			if err != nil {
				t.Error(err)
			}
			got[i] = string(out)
		})
	}
	wg.Wait()
	if slices.Sort(got); len(slices.Compact(got)) != 1 {
		t.Errorf("different URLs: %q", got)
	}
}

func TestManyURLs(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config())
	sign := func(i int) string {
		out, err := s.Substitute(nil, document(fmt.Sprintf(`"${aws:iot:s3-presigned-url:fw/%d}"`, i), roleARN, 0), now.Add(time.Duration(i/1000)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	var urls []string
	for i := range 10000 {
		urls = append(urls, sign(i))
	}
	// Those of the last generation are still the same.
	for i := len(urls) - 4096; i < len(urls); i++ {
		if got, err := s.Substitute(nil, document(fmt.Sprintf(`"${aws:iot:s3-presigned-url:fw/%d}"`, i), roleARN, 0), now.Add(15*time.Second)); err != nil || string(got) != urls[i] {
			t.Fatalf("URL %d changed: %v", i, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config())
	withDefault := config()
	withDefault.DefaultRole = narrowARN
	few := config()
	few.MaxPlaceholders = 1
	many := config()
	many.MaxPlaceholders = 1000
	cfg := func(arn string) *jobsvc.PresignedURLConfig { return &jobsvc.PresignedURLConfig{RoleARN: arn} }
	const ph = "${aws:iot:s3-presigned-url:fw-1/pump/k}"
	list := func(n int) string { return `["` + strings.Repeat(ph+`","`, n-1) + ph + `"]` }
	tests := []struct {
		name, doc string
		signer    *presign.Signer
		cfg       *jobsvc.PresignedURLConfig
		want      string // part of the message, "" for accepted
	}{
		{"plain", `{}`, s, nil, ""},
		{"no JSON", `{`, s, nil, "not valid JSON"},
		{"too large", `"` + strings.Repeat("x", 32767) + `"`, s, nil, "32768"},
		{"largest", `"` + strings.Repeat("x", 32766) + `"`, s, nil, ""},
		{"ten", list(10), s, cfg(roleARN), ""},
		{"eleven", list(11), s, cfg(roleARN), "at most 10 placeholders"}, // f
		{"two of one", list(2), newSigner(t, few), cfg(roleARN), "at most 1 placeholders"},
		{"not closed", `{"u":"${aws:iot:s3-presigned-url:fw/k"}`, s, cfg(roleARN), "not closed"}, // d
		{"no role", list(1), s, nil, "presignedUrlConfig.roleArn"},
		{"empty role", list(1), s, cfg(""), "presignedUrlConfig.roleArn"},
		{"default role", list(1), newSigner(t, withDefault), nil, ""},
		{"default role, lifetime given", list(1), newSigner(t, withDefault), &jobsvc.PresignedURLConfig{Expires: time.Minute}, ""},
		{"unknown role", list(1), s, cfg(otherARN), "role elsewhere is not configured"},
		{"unknown role, inert", `{}`, s, cfg(otherARN), ""},
		{"no ARN of a role, inert", `{}`, s, cfg("arn:aws:iam::1:user/someone"), "ARN of a role"},
		{"lifetime", list(1), s, &jobsvc.PresignedURLConfig{RoleARN: roleARN, Expires: 59 * time.Second}, "between 60 and 604800"},
		{"host", `"${aws:iot:s3-presigned-url:https://evil.example/fw/k}"`, s, cfg(roleARN), "host is not one of the store site"},
		{"allowed", list(1), s, cfg(narrowARN), ""},
		{"allowed exactly", `"${aws:iot:s3-presigned-url:exact/key}"`, s, cfg(narrowARN), ""},
		{"bucket not allowed", `"${aws:iot:s3-presigned-url:other/pump/k}"`, s, cfg(narrowARN), "narrow is not allowed"},
		{"key not allowed", `"${aws:iot:s3-presigned-url:fw-1/k}"`, s, cfg(narrowARN), "narrow is not allowed"},
		{"star of a bucket ends with it", `"${aws:iot:s3-presigned-url:fw-1/secret/pump/k}"`, s, cfg(narrowARN), "narrow is not allowed"},
		{"encoded key not allowed", `"${aws:iot:s3-presigned-url-v2:https://s3.amazonaws.com/exact/%6bey2}"`, s, cfg(narrowARN), "narrow is not allowed"},
		{"encoded key allowed", `"${aws:iot:s3-presigned-url-v2:https://s3.amazonaws.com/exact/%6bey}"`, s, cfg(narrowARN), ""},
		{"worst case fits", list(230), newSigner(t, many), cfg(roleARN), ""},
		{"worst case does not", list(260), newSigner(t, many), cfg(roleARN), "more than the 114688 allowed"},
		{"temporary keys, worst case does not", list(38), newSigner(t, many), cfg(tokenARN), "more than the 114688 allowed"},
	}
	for _, tt := range tests {
		err := tt.signer.Check([]byte(tt.doc), tt.cfg)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want … %s …", tt.name, err, tt.want)
		}
	}
}

// A document that was accepted under another configuration is not delivered, and
// what the device reads names the role and nothing else (j).
func TestNotReady(t *testing.T) {
	t.Parallel()
	s := newSigner(t, config())
	tests := []struct {
		doc     *jobsvc.Document
		message string
	}{
		{document(`"${aws:iot:s3-presigned-url:fw/k}"`, "arn:aws:iam::111122223333:role/gone", 0), "Cannot sign URLs with role gone."},
		{document(`"${aws:iot:s3-presigned-url:other/k}"`, narrowARN, 0), "Cannot sign URLs with role narrow."},
		{document(`["${aws:iot:s3-presigned-url:fw-1/pump/k}","${aws:iot:s3-presigned-url:other/k}"]`, narrowARN, 0), "Cannot sign URLs with role narrow."},
		{document(`"${aws:iot:s3-presigned-url:https://old.example/fw/k}"`, roleARN, 0), "Cannot sign URLs with role jobs-download."},
		{&jobsvc.Document{Text: []byte(`"${aws:iot:s3-presigned-url:fw/k}"`)}, "Cannot sign URLs without a role."},
	}
	for _, tt := range tests {
		out, err := s.Substitute([]byte("before"), tt.doc, now)
		if string(out) != "before" {
			t.Errorf("%s: dst came back as %s", tt.doc.Text, out)
		}
		for _, err := range []error{s.Ready(tt.doc), err} {
			var e *jobsvc.Error
			if !errors.As(err, &e) || e.Code != jobsvc.CodeInternal || e.Message != tt.message || e.Err == nil {
				t.Errorf("%s: %v, want %s", tt.doc.Text, err, tt.message)
			}
		}
	}
	for _, doc := range []*jobsvc.Document{nil, {}, {Text: []byte(`{"a":"\u0041"}`)}, document(`{}`, otherARN, 0)} {
		if err := s.Ready(doc); err != nil {
			t.Errorf("%v: %v", doc, err)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		want string
		edit func(*presign.Config)
	}{
		{"presign.stores[0].name: is missing", func(c *presign.Config) { c.Stores[0].Name = "" }},
		{"presign.stores[1].name: \"site\" is taken", func(c *presign.Config) { c.Stores = append(c.Stores, c.Stores[0]) }},
		{"presign.stores[0].match: is missing", func(c *presign.Config) { c.Stores[0].Match = nil }},
		{"presign.stores[0].match[1]:", func(c *presign.Config) { c.Stores[0].Match[1] = "https://x/" }},
		{"presign.stores[0].endpoint: is missing", func(c *presign.Config) { c.Stores[0].Endpoint = "" }},
		{"presign.stores[0].endpoint: must be", func(c *presign.Config) { c.Stores[0].Endpoint = "files:9000" }},
		{"presign.stores[0].endpoint: must be scheme", func(c *presign.Config) { c.Stores[0].Endpoint = "https://files/prefix" }},
		{"presign.stores[0].region: is missing", func(c *presign.Config) { c.Stores[0].Region = "" }},
		{"presign.stores[0].region: \"a/b\"", func(c *presign.Config) { c.Stores[0].Region = "a/b" }},
		{"presign.stores[0].style: virtual needs", func(c *presign.Config) {
			c.Stores[0].Style = "virtual"
			c.Stores[0].Endpoint = "https://10.0.0.1:9000"
		}},
		{"presign.roles[0]: the store site is unsigned", func(c *presign.Config) { c.Stores[0].Style = "unsigned" }},
		{"presign.stores[0].style: must be", func(c *presign.Config) { c.Stores[0].Style = "dns" }},
		{"presign.roles[0].arn:", func(c *presign.Config) { c.Roles[0].ARN = "jobs-download" }},
		{"presign.roles[1].arn:", func(c *presign.Config) { c.Roles[1].ARN = roleARN }},
		{"presign.roles[0].store: there is no store", func(c *presign.Config) { c.Roles[0].Store = "x" }},
		{"presign.roles[0].credentials: is missing", func(c *presign.Config) { c.Roles[0].Credentials = nil }},
		{"presign.roles[0].credentials.accessKey: is missing", func(c *presign.Config) { c.Roles[0].Credentials.AccessKey = "" }},
		{"presign.roles[0].credentials.secretKey: give it or", func(c *presign.Config) { c.Roles[0].Credentials.SecretKeyFile = empty }},
		{"presign.roles[0].credentials.secretKeyFile:", func(c *presign.Config) {
			c.Roles[0].Credentials.SecretKey, c.Roles[0].Credentials.SecretKeyFile = "", filepath.Join(dir, "none")
		}},
		{"presign.roles[0].credentials.accessKeyFile:", func(c *presign.Config) {
			c.Roles[0].Credentials.AccessKey, c.Roles[0].Credentials.AccessKeyFile = "", empty
		}},
		{"presign.roles[0].ambient: give one of", func(c *presign.Config) { c.Roles[0].Ambient = true }},
		{"presign.roles[0].ambient: give one of", func(c *presign.Config) {
			c.Roles[0].Credentials, c.Roles[0].Ambient, c.Roles[0].AssumeRole = nil, true, &presign.AssumeRoleConfig{}
		}},
		{"presign.roles[0].assumeRole.roleArn:", assume(presign.AssumeRoleConfig{RoleARN: "jobs-download"})},
		{"presign.roles[0].assumeRole.sts:", assume(presign.AssumeRoleConfig{STS: "aws"})},
		{"presign.roles[0].assumeRole.sts:", assume(presign.AssumeRoleConfig{STS: "https://sts.example/path"})},
		{"presign.roles[0].assumeRole.region: \"a/b\"", assume(presign.AssumeRoleConfig{Region: "a/b"})},
		{"presign.roles[0].assumeRole.duration:", assume(presign.AssumeRoleConfig{Duration: 14 * time.Minute})},
		{"presign.roles[0].assumeRole.duration:", assume(presign.AssumeRoleConfig{Duration: 13 * time.Hour})},
		{"presign.roles[0].assumeRole.sessionName:", assume(presign.AssumeRoleConfig{SessionName: "a b"})},
		{"presign.roles[0].assumeRole.region: is missing", func(c *presign.Config) {
			c.Stores[0].Endpoint, c.Stores[0].Region, c.Roles[0].AssumeRole = "aws", "", &presign.AssumeRoleConfig{}
		}},
		{"presign.roles[0].allow: is missing", func(c *presign.Config) { c.Roles[0].Allow = nil }},
		{"presign.roles[0].allow[0]: \"fw\"", func(c *presign.Config) { c.Roles[0].Allow[0] = "fw" }},
		{"presign.defaultRole:", func(c *presign.Config) { c.DefaultRole = otherARN }},
		{"presign.maxPlaceholders:", func(c *presign.Config) { c.MaxPlaceholders = -1 }},
		{"presign.verifyObjects: must be", func(c *presign.Config) { c.VerifyObjects = "yes" }},
		{"presign.documentSource.role:", func(c *presign.Config) { c.DocumentSource.Role = otherARN }},
		{"presign.documentSource.allowHosts[0]:", func(c *presign.Config) { c.DocumentSource.AllowHosts = []string{"https://x"} }},
	}
	for _, tt := range tests {
		c := config()
		tt.edit(&c)
		_, err := presign.New(c, presign.Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want … %s …", err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("secret in %v", err)
		}
	}
	if _, err := presign.New(presign.Config{}, presign.Options{}); err != nil {
		t.Errorf("zero configuration: %v", err)
	}
}

// assume gives a role credentials by AssumeRole.
func assume(a presign.AssumeRoleConfig) func(*presign.Config) {
	return func(c *presign.Config) { c.Roles[0].AssumeRole = &a }
}

func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	c := config()
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	creds := *c.Roles[0].Credentials
	for _, text := range []string{string(encoded), fmt.Sprintf("%v %+v %#v %s", creds, creds, creds, creds.SecretKey), creds.SecretKey.LogValue().String()} {
		if strings.Contains(text, secret) {
			t.Errorf("secret in %s", text)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config()
	want := substitute(t, newSigner(t, c), document(`"${aws:iot:s3-presigned-url:fw/k}"`, roleARN, 0), now)
	c.Roles[0].Credentials = &presign.CredentialsConfig{AccessKeyFile: filepath.Join(dir, "ak"), SecretKeyFile: filepath.Join(dir, "sk")}
	for name, text := range map[string]string{"ak": "AKEXAMPLE\n", "sk": secret + "\r\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := substitute(t, newSigner(t, c), document(`"${aws:iot:s3-presigned-url:fw/k}"`, roleARN, 0), now); got != want {
		t.Errorf("keys of files sign %s, inline ones %s", got, want)
	}
}

// Of this module, presign imports the domain alone.
func TestImports(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/thingjobs/thingjobs/"
	for dep := range strings.Lines(string(out)) {
		if dep = strings.TrimSpace(dep); strings.HasPrefix(dep, module) && dep != module+"presign" && dep != module+"jobsvc" {
			t.Errorf("presign depends on %s", dep)
		}
	}
}

func FuzzSubstitute(f *testing.F) {
	f.Add(`{"u":"x ${aws:iot:s3-presigned-url:fw/k} \ud800\u0026 ${aws:iot:s3-presigned-url-v2:https://s3.amazonaws.com/fw/%22%5C%7D}"}`)
	f.Add(`["\u0024{aws:iot:s3-presigned-url:fw/\"\\\u0001}", 1.0]`)
	f.Add(`["${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/fw/${thingName}/${x}{\u0001}"]`)
	f.Add(`["${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/fw/${thingName}/{\u0001}"]`)
	s := newSigner(f, config())
	f.Fuzz(func(t *testing.T, text string) {
		doc := upload(text, 1)
		if s.Check(doc.Text, doc.PresignedURLConfig) != nil {
			return
		}
		if err := s.Ready(doc); err != nil {
			t.Fatalf("%q: accepted but not ready: %v", text, err)
		}
		out, err := s.Substitute(nil, doc, now)
		if err != nil || !json.Valid(out) {
			t.Fatalf("%q: %q, %v", text, out, err)
		}
		if strings.Contains(string(out), "${aws:iot:") {
			t.Fatalf("%q: placeholder left in %q", text, out)
		}
		again, err := s.Substitute(nil, doc, now.Add(time.Second))
		if err != nil || string(again) != string(out) {
			t.Fatalf("%q: %q, then %q, %v", text, out, again, err)
		}
	})
}

func BenchmarkSubstitute(b *testing.B) {
	s := newSigner(b, config())
	script := strings.Repeat(`echo \"${HOME}\"\n`, 100)
	for name, text := range map[string]string{
		"none":    `{"script":"` + script + `"}`,
		"three":   `{"a":"${aws:iot:s3-presigned-url:fw/a}","b":"${aws:iot:s3-presigned-url:fw/b}","c":"${aws:iot:s3-presigned-url:fw/c}","script":"` + script + `"}`,
		"escaped": `{"script":"\u00e9` + script + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			doc := document(text, roleARN, 0)
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = s.Substitute(buf[:0], doc, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
