package presign

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/smithy-go/encoding/httpbinding"
)

// store is where the objects are: it turns a location into the URL that devices fetch.
type store struct {
	name            string
	match           []string // host globs, lower case
	scheme, host    string   // of the endpoint; host "" for AWS
	region          string
	virtual         bool
	unsigned        bool
	normalizesPaths bool
}

// target is an object ready to be signed.
type target struct {
	bucket, key string
	origin      string // of the URL, up to the key
	base        string // the URL without its query: origin and encoded key
	region      string
	version     string
	method      string // of the requests the URL is for
	unsigned    bool
}

func newStore(c *StoreConfig) (*store, error) {
	endpoint, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	s := &store{
		name:            c.Name,
		scheme:          endpoint.Scheme,
		host:            endpoint.Host,
		region:          c.Region,
		virtual:         c.Style == styleVirtual || c.Style == "" && c.Endpoint == endpointAWS,
		unsigned:        c.Style == styleUnsigned,
		normalizesPaths: c.NormalizesPaths,
	}
	for _, m := range c.Match {
		s.match = append(s.match, strings.ToLower(m))
	}
	return s, nil
}

// covers tells whether a location with that host may be in this store.
func (s *store) covers(host string) bool {
	return slices.ContainsFunc(s.match, func(m string) bool { return glob(m, host) })
}

// object gives bucket and key of a location in this store. They differ from what
// the location says when its host is the store's own with the bucket in front.
func (s *store) object(l *location) (bucket, key string) {
	if l.aws || !s.virtual || s.host == "" {
		return l.bucket, l.key
	}
	if b, ok := strings.CutSuffix(l.host, "."+s.host); ok {
		return b, l.bucket + "/" + l.key
	}
	return l.bucket, l.key
}

// resolve makes the URL of a location. The error says why the location cannot be in
// this store.
func (s *store) resolve(l *location) (target, error) {
	if l.host != "" && !s.covers(l.host) {
		return target{}, errors.New("its host is not one of the store " + s.name)
	}
	bucket, key := s.object(l)
	if !bucketPattern.MatchString(bucket) {
		return target{}, errors.New("the location has no valid bucket name")
	}
	if s.normalizesPaths && !plainPath(key) {
		return target{}, errors.New("its key has empty, . or .. segments, which the store " + s.name + " does not keep apart")
	}
	t := target{bucket: bucket, key: key, region: s.region, version: l.version, method: http.MethodGet, unsigned: s.unsigned}
	if l.upload {
		t.method = http.MethodPut
		if s.unsigned {
			return target{}, errors.New("the store " + s.name + " takes no uploads: its URLs are not signed")
		}
	}
	scheme, host := s.scheme, s.host
	if host == "" {
		if l.host != "" && !l.aws {
			return target{}, errors.New("its host is not one of AWS, as those of the store " + s.name + " are")
		}
		if l.region != "" {
			t.region = l.region
		}
		if t.region == "" {
			return target{}, errors.New("it has no region, and neither has the store " + s.name)
		}
		scheme, host = "https", awsHost(t.region, l.dualstack)
	}
	if s.virtual && dnsLabel(bucket) {
		t.origin = scheme + "://" + bucket + "." + host + "/"
	} else {
		t.origin = scheme + "://" + host + "/" + bucket + "/"
	}
	t.base = t.origin + httpbinding.EscapePath(key, false)
	return t, nil
}

func awsHost(region string, dualstack bool) string {
	host := "s3."
	if dualstack {
		host += "dualstack."
	}
	host += region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	return host
}

// dnsLabel tells whether a bucket can stand in front of a host: one label, which the
// wildcard of a certificate covers and no client changes.
func dnsLabel(bucket string) bool {
	if len(bucket) > 63 || strings.HasSuffix(bucket, "-") {
		return false
	}
	for i := range len(bucket) {
		if c := bucket[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// plainPath tells whether a key means itself to a store that cleans paths.
func plainPath(key string) bool {
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

// glob tells whether s matches a pattern in which * stands for any characters.
func glob(pattern, s string) bool {
	pieces := strings.Split(pattern, "*")
	last := len(pieces) - 1
	if last == 0 {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, pieces[0])
	if !ok {
		return false
	}
	for _, p := range pieces[1:last] {
		at := strings.Index(s, p)
		if at < 0 {
			return false
		}
		s = s[at+len(p):]
	}
	return strings.HasSuffix(s, pieces[last])
}
