package presign

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Config is the section "presign" of the configuration. The zero Config signs
// nothing: documents with placeholders are refused.
type Config struct {
	// Stores are the S3-compatible object stores that devices download from.
	Stores []StoreConfig `yaml:"stores"`
	// Roles are the credentials to sign with, under the ARNs that jobs name.
	Roles []RoleConfig `yaml:"roles"`
	// DefaultRole is the ARN of the role that signs for jobs without
	// presignedUrlConfig.roleArn. Empty: such jobs cannot have placeholders.
	DefaultRole string `yaml:"defaultRole"`
	// MaxPlaceholders is how many placeholders a document may have. Zero means 10.
	MaxPlaceholders int `yaml:"maxPlaceholders"`
	// VerifyObjects says whether CreateJob asks the store for the objects to download:
	// "off", the default, "warn" (log what is missing), "error" (refuse the job).
	VerifyObjects string `yaml:"verifyObjects"`
	// DocumentSource says where job documents may be fetched from.
	DocumentSource DocumentSourceConfig `yaml:"documentSource"`
}

// StoreConfig is an object store.
type StoreConfig struct {
	Name string `yaml:"name"`
	// Match lists the hosts, * standing for any characters, whose locations this store
	// serves. A host with a port is written with it.
	Match []string `yaml:"match"`
	// Endpoint is the address devices dial: "https://host:port", or "aws" for that of
	// AWS in the region the location names.
	Endpoint string `yaml:"endpoint"`
	// Region is signed. With the endpoint "aws" it is only for locations without one.
	Region string `yaml:"region"`
	// Style is "path" or "virtual" (the bucket in front of the host). Default: virtual
	// for "aws", else path. Buckets with a dot are always path: the wildcard of a
	// certificate does not cover them. "unsigned" is path style without a signature, for
	// stores that anybody may read.
	Style string `yaml:"style"`
	// NormalizesPaths: the store resolves . and .. in keys or joins double slashes.
	// Such keys are refused then, for they would slip past allow.
	NormalizesPaths bool `yaml:"normalizesPaths"`
}

// RoleConfig is what an ARN in presignedUrlConfig.roleArn stands for here.
type RoleConfig struct {
	ARN string `yaml:"arn"`
	// Store is the name of the store all locations of this role's jobs are in.
	Store string `yaml:"store"`
	// One of the three says where credentials come from; with AssumeRole, Credentials
	// are what asks the STS, and without them those of the machine do. A store whose
	// style is unsigned needs none.
	Credentials *CredentialsConfig `yaml:"credentials"`
	AssumeRole  *AssumeRoleConfig  `yaml:"assumeRole"`
	// Ambient takes the credentials of the machine: environment variables, shared files,
	// web identity, container, instance metadata.
	Ambient bool `yaml:"ambient"`
	// Allow lists the objects as BUCKET/KEY, * standing for any characters of either;
	// "*" alone is everything.
	Allow []string `yaml:"allow"`
}

// AssumeRoleConfig gets temporary credentials from an STS, that of AWS or of an
// S3-compatible store.
type AssumeRoleConfig struct {
	// RoleARN is the role to assume; empty or "self" is the ARN that jobs name.
	RoleARN string `yaml:"roleArn"`
	// STS is the URL of the service; empty means that of AWS in the region.
	STS string `yaml:"sts"`
	// Region is signed for the STS; empty means that in the host of STS, else the store's.
	Region string `yaml:"region"`
	// Duration is how long credentials are to live, 15 minutes to 12 hours; zero means
	// one hour. The role must allow it.
	Duration    time.Duration `yaml:"duration"`
	SessionName string        `yaml:"sessionName"` // empty means thingjobs
	ExternalID  Secret        `yaml:"externalId"`  // if the role asks for one
}

// target is the ARN of the role to assume. own is that of the RoleConfig.
func (c *AssumeRoleConfig) target(own string) string {
	if c.RoleARN == "" || c.RoleARN == selfRole {
		return own
	}
	return c.RoleARN
}

// region is what requests to the STS are signed for. store is that of the store.
func (c *AssumeRoleConfig) region(store string) string {
	if c.Region != "" {
		return c.Region
	}
	if u, err := url.Parse(c.STS); err == nil {
		if m := stsHostPattern.FindStringSubmatch(strings.ToLower(u.Host)); m != nil {
			return m[1]
		}
	}
	return store
}

func (c *AssumeRoleConfig) duration() time.Duration {
	if c.Duration == 0 {
		return time.Hour
	}
	return c.Duration
}

func (c *AssumeRoleConfig) validate(f *faults, key, storeRegion string) {
	if c.RoleARN != "" && c.RoleARN != selfRole && (&jobsvc.PresignedURLConfig{RoleARN: c.RoleARN}).Validate() != nil {
		f.add("%s.roleArn: %q is not the ARN of a role", key, c.RoleARN)
	}
	if c.STS != "" {
		if u, err := parseEndpoint(c.STS); err != nil || u.Host == "" {
			f.add("%s.sts: must be a URL like https://sts.eu-west-1.amazonaws.com, without a path", key)
		}
	}
	switch region := c.region(storeRegion); {
	case region == "":
		f.add("%s.region: is missing", key)
	case !storeRegionPattern.MatchString(region):
		f.add("%s.region: %q is not a region", key, region)
	}
	if d := c.duration(); d < minSession || d > maxSession || d%time.Second != 0 {
		f.add("%s.duration: must be between %v and %v, in seconds", key, minSession, maxSession)
	}
	if c.SessionName != "" && !sessionNamePattern.MatchString(c.SessionName) {
		f.add("%s.sessionName: must be 2 to 64 letters, digits and _+=,.@-", key)
	}
}

// CredentialsConfig is a pair of static keys: each written here or, better, in a
// file of its own, read once at the start.
type CredentialsConfig struct {
	AccessKey     string `yaml:"accessKey"`
	SecretKey     Secret `yaml:"secretKey"`
	AccessKeyFile string `yaml:"accessKeyFile"`
	SecretKeyFile string `yaml:"secretKeyFile"`
	// SessionToken comes with temporary keys made elsewhere; renewing them is up to
	// whoever wrote them here.
	SessionToken Secret `yaml:"sessionToken"`
}

// DocumentSourceConfig says where the documents of jobs created with documentSource
// come from.
type DocumentSourceConfig struct {
	// Role is the ARN of the role that reads S3 locations. Empty: they are refused.
	Role string `yaml:"role"`
	// AllowHosts lists other hosts, with their port unless it is the default one, that
	// documents may be fetched from without credentials. * stands for any characters.
	AllowHosts []string `yaml:"allowHosts"`
	// AllowLocal lets those hosts have loopback and link-local addresses.
	AllowLocal bool `yaml:"allowLocal"`
}

// Secret is a string that does not show itself when a configuration is printed.
type Secret string

const redacted = "[redacted]"

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from showing it.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// MarshalText keeps encoders from showing it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps logs from showing it.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

const (
	endpointAWS            = "aws"
	stylePath              = "path"
	styleVirtual           = "virtual"
	styleUnsigned          = "unsigned"
	verifyOff              = "off"
	verifyWarn             = "warn"
	verifyError            = "error"
	selfRole               = "self"
	defaultSessionName     = "thingjobs"
	minSession             = 15 * time.Minute
	maxSession             = 12 * time.Hour
	defaultMaxPlaceholders = 10
	maxMaxPlaceholders     = 1000
)

var (
	storeRegionPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	stsHostPattern     = regexp.MustCompile(`^sts\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$`)
	sessionNamePattern = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)
	hostGlobPattern    = regexp.MustCompile(`^[a-z0-9.*_:\[\]-]+$`)
)

// Validate checks all that can be checked without reading files. The error has a
// line for each fault and names its key.
func (c *Config) Validate() error {
	var f faults
	stores := make(map[string]*StoreConfig)
	for i := range c.Stores {
		s := &c.Stores[i]
		s.validate(&f, fmt.Sprintf("presign.stores[%d]", i))
		if stores[s.Name] != nil {
			f.add("presign.stores[%d].name: %q is taken", i, s.Name)
		}
		stores[s.Name] = s
	}
	roles := make(map[string]bool)
	for i := range c.Roles {
		r := &c.Roles[i]
		key := fmt.Sprintf("presign.roles[%d]", i)
		st := stores[r.Store]
		r.validate(&f, key, st)
		if st == nil {
			f.add("%s.store: there is no store %q", key, r.Store)
		}
		if roles[r.ARN] {
			f.add("%s.arn: %q is taken", key, r.ARN)
		}
		roles[r.ARN] = true
	}
	if c.DefaultRole != "" && !roles[c.DefaultRole] {
		f.add("presign.defaultRole: there is no role %q", c.DefaultRole)
	}
	if c.MaxPlaceholders < 0 || c.MaxPlaceholders > maxMaxPlaceholders {
		f.add("presign.maxPlaceholders: must be between 1 and %d", maxMaxPlaceholders)
	}
	switch c.VerifyObjects {
	case "", verifyOff, verifyWarn, verifyError:
	default:
		f.add("presign.verifyObjects: must be off, warn or error, not %q", c.VerifyObjects)
	}
	if d := &c.DocumentSource; d.Role != "" && !roles[d.Role] {
		f.add("presign.documentSource.role: there is no role %q", d.Role)
	}
	f.hosts("presign.documentSource.allowHosts", c.DocumentSource.AllowHosts)
	return f.err()
}

func (s *StoreConfig) validate(f *faults, key string) {
	if s.Name == "" {
		f.add("%s.name: is missing", key)
	}
	if len(s.Match) == 0 {
		f.add("%s.match: is missing; list the hosts that locations in documents may have", key)
	}
	f.hosts(key+".match", s.Match)
	endpoint, err := parseEndpoint(s.Endpoint)
	if err != nil {
		f.add("%s.endpoint: %v", key, err)
	}
	switch {
	case s.Region == "" && s.Endpoint != endpointAWS:
		f.add("%s.region: is missing; signatures need the one the store checks, often us-east-1", key)
	case s.Region != "" && !storeRegionPattern.MatchString(s.Region):
		f.add("%s.region: %q is not a region", key, s.Region)
	}
	switch s.Style {
	case "", stylePath, styleUnsigned:
	case styleVirtual:
		if _, err := netip.ParseAddr(endpoint.Hostname()); err == nil {
			f.add("%s.style: virtual needs an endpoint with a host name", key)
		}
	default:
		f.add("%s.style: must be path, virtual or unsigned, not %q", key, s.Style)
	}
}

// parseEndpoint normalizes an endpoint to what clients send as Host: lower case,
// without the default port. "aws" has no URL.
func parseEndpoint(s string) (*url.URL, error) {
	if s == endpointAWS {
		return &url.URL{}, nil
	}
	u, err := url.Parse(s)
	switch {
	case s == "":
		return &url.URL{}, errors.New(`is missing; give "aws" or the URL that devices dial`)
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return &url.URL{}, errors.New(`must be "aws" or a URL like https://files.example:9000`)
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return &url.URL{}, errors.New("must be scheme, host and port alone")
	}
	host := hostHeader(u)
	if !hostPattern.MatchString(host) {
		return &url.URL{}, fmt.Errorf("%q is not a host", u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: host}, nil
}

// hostHeader is what clients send as Host for a URL.
func hostHeader(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// validate checks a role; st, its store, is nil when there is none.
func (r *RoleConfig) validate(f *faults, key string, st *StoreConfig) {
	if err := (&jobsvc.PresignedURLConfig{RoleARN: r.ARN}).Validate(); r.ARN == "" || err != nil {
		f.add("%s.arn: %q is not the ARN of a role of 20 to %d characters", key, r.ARN, jobsvc.MaxARN)
	}
	switch {
	case st != nil && st.Style == styleUnsigned:
		if r.Credentials != nil || r.AssumeRole != nil || r.Ambient {
			f.add("%s: the store %s is unsigned: leave out credentials, assumeRole and ambient", key, st.Name)
		}
	case r.Ambient && (r.Credentials != nil || r.AssumeRole != nil):
		f.add("%s.ambient: give one of credentials, assumeRole and ambient", key)
	case r.Ambient:
	case r.AssumeRole == nil && r.Credentials == nil:
		f.add("%s.credentials: is missing; give credentials, assumeRole or ambient", key)
	default:
		if r.AssumeRole != nil {
			region := ""
			if st != nil {
				region = st.Region
			}
			r.AssumeRole.validate(f, key+".assumeRole", region)
		}
		if r.Credentials != nil {
			r.Credentials.validate(f, key+".credentials")
		}
	}
	if len(r.Allow) == 0 {
		f.add(`%s.allow: is missing; list BUCKET/KEY patterns, or "*" for all the keys can read`, key)
	}
	for i, a := range r.Allow {
		if bucket, object, ok := strings.Cut(a, "/"); a != "*" && (!ok || bucket == "" || object == "") {
			f.add("%s.allow[%d]: %q is not BUCKET/KEY", key, i, a)
		}
	}
}

func (c *CredentialsConfig) validate(f *faults, key string) {
	one := func(name, inline, file string) {
		switch {
		case inline != "" && file != "":
			f.add("%s.%s: give it or %sFile, not both", key, name, name)
		case inline == "" && file == "":
			f.add("%s.%s: is missing; give it or %sFile", key, name, name)
		}
	}
	one("accessKey", c.AccessKey, c.AccessKeyFile)
	one("secretKey", string(c.SecretKey), c.SecretKeyFile)
}

// faults collects what is wrong with a configuration.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (f *faults) hosts(key string, globs []string) {
	for i, g := range globs {
		if !hostGlobPattern.MatchString(strings.ToLower(g)) {
			f.add("%s[%d]: %q is not a host; leave out scheme and path", key, i, g)
		}
	}
}

func (f *faults) err() error { return errors.Join(*f...) }
