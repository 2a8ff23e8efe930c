package presign

import (
	"net/url"
	"strings"
	"testing"
)

func testStore(t testing.TB, c StoreConfig) *store {
	t.Helper()
	s, err := newStore(&c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var siteStore = StoreConfig{
	Name:     "site",
	Match:    []string{"s3.*.amazonaws.com", "s3-*.amazonaws.com", "*.s3.*.amazonaws.com", "*.s3-*.amazonaws.com", "s3.amazonaws.com", "*.s3.amazonaws.com", "files.plant.example:9000"},
	Endpoint: "https://files.plant.example:9000",
	Region:   "us-east-1",
	Style:    "path",
}

func parseBody(syntax, body string) (location, error) {
	if syntax == "v1" {
		return parseV1(body)
	}
	return parseV2(body)
}

// The numbered vectors of the specification, and more of their kind.
func TestLocations(t *testing.T) {
	site := testStore(t, siteStore)
	tests := []struct{ syntax, body, bucket, key, version, path string }{
		{"v1", "https://s3.eu-west-1.amazonaws.com/fw/pump/v3.bin", "fw", "pump/v3.bin", "", "/fw/pump/v3.bin"},           // 1
		{"v1", "https://fw.s3.eu-west-1.amazonaws.com/pump/v3.bin", "fw", "pump/v3.bin", "", "/fw/pump/v3.bin"},           // 2
		{"v1", "fw/pump/v3.bin", "fw", "pump/v3.bin", "", "/fw/pump/v3.bin"},                                              // 3
		{"v1", "https://s3.amazonaws.com/fw/a b+c%20d?x.bin", "fw", "a b+c%20d?x.bin", "", "/fw/a%20b%2Bc%2520d%3Fx.bin"}, // 4
		{"v2", "https://s3.eu-west-1.amazonaws.com/fw/a%20b%2Bc.bin", "fw", "a b+c.bin", "", "/fw/a%20b%2Bc.bin"},         // 5
		{"v2", "https://fw.s3.eu-west-1.amazonaws.com/v3.bin%3FversionId%3DkT9_x.1", "fw", "v3.bin", "kT9_x.1", "/fw/v3.bin"},
		{"v2", "https://s3.eu-west-1.amazonaws.com/fw/odd%7Dname", "fw", "odd}name", "", "/fw/odd%7Dname"},
		{"v2", "https://my.dotted.bucket.s3.eu-west-1.amazonaws.com/k", "my.dotted.bucket", "k", "", "/my.dotted.bucket/k"}, // 8
		{"v2", "https://s3.amazonaws.com/fw/k?versionId=a%2Fb", "fw", "k", "a/b", "/fw/k"},
		{"v2", "https://s3.amazonaws.com/fw/k%3Fx%3FversionId%3Dv", "fw", "k?x", "v", "/fw/k%3Fx"},
		{"v2", "https://s3.amazonaws.com/fw/a%3FversionId%3D1%3FversionId%3D2", "fw", "a?versionId=1", "2", "/fw/a%3FversionId%3D1"},
		{"v2", "https://s3.amazonaws.com/fw/a%3FpartNumber%3D2", "fw", "a?partNumber=2", "", "/fw/a%3FpartNumber%3D2"},
		{"v2", "https://s3.amazonaws.com/fw/a b@+c", "fw", "a b@+c", "", "/fw/a%20b%40%2Bc"},
		{"v2", "https://s3.amazonaws.com/fw%2Fk%2fl", "fw", "k/l", "", "/fw/k/l"},
		{"v1", "https://s3-us-west-2.amazonaws.com/fw/k", "fw", "k", "", "/fw/k"},
		{"v1", "https://s3.dualstack.us-west-2.amazonaws.com/fw/k", "fw", "k", "", "/fw/k"},
		{"v1", "https://fw.s3-us-west-2.amazonaws.com/k", "fw", "k", "", "/fw/k"},
		{"v1", "https://fw.s3.amazonaws.com/k", "fw", "k", "", "/fw/k"},
		{"v1", "https://S3.us-gov-west-1.AMAZONAWS.com/fw/k", "fw", "k", "", "/fw/k"},
		{"v1", "https://a.s3.b.s3.eu-west-1.amazonaws.com/k", "a.s3.b", "k", "", "/a.s3.b/k"},
		{"v1", "https://a.s3-b.s3-eu-west-1.amazonaws.com/k", "a.s3-b", "k", "", "/a.s3-b/k"},
		{"v1", "https://s3.s3.eu-west-1.amazonaws.com/k", "s3", "k", "", "/s3/k"},
		{"v1", "https://files.plant.example:9000/fw/k", "fw", "k", "", "/fw/k"},
		{"v1", "http://FILES.plant.example:9000/fw/k", "fw", "k", "", "/fw/k"},
		{"v1", "fw/https://x", "fw", "https://x", "", "/fw/https%3A//x"},
		{"v1", "fw//k", "fw", "/k", "", "/fw//k"},
		{"v1", "fw/../k", "fw", "../k", "", "/fw/../k"},
		{"v1", "fw/é#{", "fw", "é#{", "", "/fw/%C3%A9%23%7B"},
	}
	for _, tt := range tests {
		l, err := parseBody(tt.syntax, tt.body)
		if err != nil {
			t.Errorf("%s %s: %v", tt.syntax, tt.body, err)
			continue
		}
		if l.bucket != tt.bucket || l.key != tt.key || l.version != tt.version {
			t.Errorf("%s %s: got %q %q %q", tt.syntax, tt.body, l.bucket, l.key, l.version)
		}
		got, err := site.resolve(&l)
		if want := "https://files.plant.example:9000" + tt.path; err != nil || got.base != want || got.region != "us-east-1" {
			t.Errorf("%s %s: got %s, %v, want %s", tt.syntax, tt.body, got.base, err, want)
		}
	}
}

func TestLocationsRefused(t *testing.T) {
	site := testStore(t, siteStore)
	tests := []struct{ syntax, body string }{
		{"v2", "https://s3.eu-west-1.amazonaws.com/fw/k?partNumber=2"}, // 9
		{"v1", "https://evil.example/fw/k"},                            // 10
		{"v1", "https://s3.eu-west-1.amazonaws.com/fw/"},               // 11
		{"v1", ""},
		{"v1", "fw"},
		{"v1", "fw/"},
		{"v1", "/fw/k"},
		{"v1", "s3://fw/k"},
		{"v1", "ftp://s3.amazonaws.com/fw/k"},
		{"v1", "http://s3.amazonaws.com/fw/k"},
		{"v1", "https://s3.amazonaws.com"},
		{"v1", "https:///fw/k"},
		{"v1", "https://s3.amazonaws.com@evil.example/fw/k"},
		{"v1", "https://files.plant.example/fw/k"},
		{"v1", "https://files.plant.example:9000/../k"},
		{"v1", "https://s3.amazonaws.com.cn/fw/k"},           // not in match
		{"v1", "https://s3.cn-north-1.amazonaws.com/fw/k"},   // partition and region differ
		{"v1", "https://s3.eu-west-1.amazonaws.com.cn/fw/k"}, // same
		{"v1", "https://s3-website-us-east-1.amazonaws.com/fw/k"},
		{"v1", "https://s3-fips.us-gov-west-1.amazonaws.com/fw/k"},
		{"v1", "https://b.s3.dualstack.eu-west-1.amazonaws.com/k"},
		{"v1", "https://ec2.eu-west-1.amazonaws.com/fw/k"},
		{"v1", "https://.s3.eu-west-1.amazonaws.com/k"},
		{"v1", "https://s3.amazonaws.com/fw/" + strings.Repeat("k", 1025)},
		{"v2", "fw/k"},
		{"v2", "https://s3.amazonaws.com/fw/%zz"},
		{"v2", "https://s3.amazonaws.com/fw/k%2"},
		{"v2", "https://s3.amazonaws.com/fw/%FF"},
		{"v2", "https://s3.amazonaws.com/fw/k#x"},
		{"v2", "https://s3.amazonaws.com/fw/k?versionId="},
		{"v2", "https://s3.amazonaws.com/fw/k%3FversionId%3D"},
		{"v2", "https://s3.amazonaws.com/fw/k?versionId=a&partNumber=1"},
		{"v2", "https://s3.amazonaws.com/fw/k?versionId=" + strings.Repeat("v", 1025)},
	}
	for _, tt := range tests {
		l, err := parseBody(tt.syntax, tt.body)
		if err == nil {
			_, err = site.resolve(&l)
		}
		if err == nil {
			t.Errorf("%s %s: not refused", tt.syntax, tt.body)
		}
	}
}

func TestStoreURLs(t *testing.T) {
	match := []string{"*"}
	awsStore := StoreConfig{Name: "aws", Match: match, Endpoint: "aws"}
	awsRegion := StoreConfig{Name: "aws", Match: match, Endpoint: "aws", Region: "eu-west-1"}
	virtual := StoreConfig{Name: "v", Match: match, Endpoint: "http://Files.Example:80/", Region: "garage", Style: "virtual"}
	tests := []struct {
		store              StoreConfig
		body, base, region string // base "" means refused
	}{
		{awsStore, "https://s3.eu-west-1.amazonaws.com/fw/k", "https://fw.s3.eu-west-1.amazonaws.com/k", "eu-west-1"},
		{awsStore, "https://fw.s3-eu-west-1.amazonaws.com/k", "https://fw.s3.eu-west-1.amazonaws.com/k", "eu-west-1"},
		{awsStore, "https://s3.dualstack.eu-west-1.amazonaws.com/fw/k", "https://fw.s3.dualstack.eu-west-1.amazonaws.com/k", "eu-west-1"},
		{awsStore, "https://s3.cn-north-1.amazonaws.com.cn/fw/k", "https://fw.s3.cn-north-1.amazonaws.com.cn/k", "cn-north-1"},
		{awsStore, "https://a.b.s3.eu-west-1.amazonaws.com/k", "https://s3.eu-west-1.amazonaws.com/a.b/k", "eu-west-1"},
		{awsStore, "https://s3.eu-west-1.amazonaws.com/Old_Bucket/k", "https://s3.eu-west-1.amazonaws.com/Old_Bucket/k", "eu-west-1"},
		{awsStore, "https://s3.amazonaws.com/fw/k", "", ""},
		{awsStore, "https://files.example/fw/k", "", ""},
		{awsRegion, "https://s3.amazonaws.com/fw/k", "https://fw.s3.eu-west-1.amazonaws.com/k", "eu-west-1"},
		{awsRegion, "https://s3.us-east-2.amazonaws.com/fw/k", "https://fw.s3.us-east-2.amazonaws.com/k", "us-east-2"},
		{awsRegion, "fw/k", "https://fw.s3.eu-west-1.amazonaws.com/k", "eu-west-1"},
		{virtual, "https://files.example/fw/k", "http://fw.files.example/k", "garage"},
		{virtual, "https://fw.files.example/a/b", "http://fw.files.example/a/b", "garage"},
		{virtual, "https://s3.eu-west-1.amazonaws.com/fw/k", "http://fw.files.example/k", "garage"},
		{virtual, "fw.x/k", "http://files.example/fw.x/k", "garage"},
	}
	for _, tt := range tests {
		l, err := parseV1(tt.body)
		if err != nil {
			t.Fatalf("%s: %v", tt.body, err)
		}
		got, err := testStore(t, tt.store).resolve(&l)
		if tt.base == "" {
			if err == nil {
				t.Errorf("%s: not refused: %s", tt.body, got.base)
			}
			continue
		}
		if err != nil || got.base != tt.base || got.region != tt.region {
			t.Errorf("%s %s: got %s %s %v, want %s %s", tt.store.Endpoint, tt.body, got.base, got.region, err, tt.base, tt.region)
		}
	}
	normalizing := siteStore
	normalizing.NormalizesPaths = true
	for _, body := range []string{"fw/../k", "fw/a/./b", "fw//k", "fw/a//b", "fw/a/"} {
		l, err := parseV1(body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := testStore(t, normalizing).resolve(&l); err == nil {
			t.Errorf("%s: not refused by a store that normalizes: %s", body, got.base)
		}
	}
}

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "a/b", true}, {"a*", "a", true}, {"a*a", "a", false},
		{"a*b*c", "a-b-b-c", true}, {"a*b*c", "acb", false}, {"*.bin", "x.bin", true}, {"*.bin", "x.bin.txt", false}, {"a**b", "ab", true},
		{"", "", true}, {"", "a", false}, {"x*y*y", "xyy", true}, {"x*y*y", "xy", false},
	}
	for _, tt := range tests {
		if got := glob(tt.pattern, tt.s); got != tt.want {
			t.Errorf("glob(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}

func FuzzLocation(f *testing.F) {
	for _, s := range []string{
		"https://s3.eu-west-1.amazonaws.com/fw/pump/v3.bin", "https://fw.s3-eu-west-1.amazonaws.com/a%20b", "fw/k",
		"https://s3.amazonaws.com/fw/k%3FversionId%3Dv", "https://s3.amazonaws.com/fw/k?versionId=v", "https://.s3.amazonaws.com/k",
		"https://[::1]:9/b/k", "https://files.example/fw/%", "s3://b/k", "://", "https://s3-.amazonaws.com.cn/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, syntax := range []string{"v1", "v2"} {
			l, err := parseBody(syntax, body)
			if err != nil {
				continue
			}
			if l.bucket == "" || l.key == "" || strings.Contains(l.bucket, "/") {
				t.Fatalf("%s %q: %+v", syntax, body, l)
			}
			for _, c := range []StoreConfig{
				{Match: []string{"*"}, Endpoint: "https://files.example", Region: "r"},
				{Match: []string{"*"}, Endpoint: "aws", Region: "eu-west-1"},
			} {
				got, err := testStore(t, c).resolve(&l)
				if err != nil {
					continue
				}
				// Another parser finds host, bucket and key where they belong.
				u, err := url.Parse(got.base)
				if err != nil {
					t.Fatalf("%q: %v", got.base, err)
				}
				path, host := strings.TrimPrefix(u.Path, "/"), u.Host
				if b, rest, ok := strings.Cut(host, ".s3."); ok {
					path, host = b+"/"+path, "s3."+rest
				}
				if path != l.bucket+"/"+l.key || host != "files.example" && host != awsHost(got.region, l.dualstack) || u.RawQuery != "" || u.Fragment != "" {
					t.Fatalf("%s %q: %s is not %q %q", syntax, body, got.base, l.bucket, l.key)
				}
			}
		}
	})
}
