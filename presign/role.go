package presign

import (
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// role is what an ARN stands for: credentials for a store, and how far they may be used.
type role struct {
	arn     string
	store   *store
	static  *keys       // nil with a session
	session *session    // temporary credentials, else nil
	allow   [][2]string // globs of bucket and key
}

// newRole reads the key files of a role. key is where it is in the configuration.
func newRole(c *RoleConfig, st *store, key string, s *Signer) (*role, error) {
	r := &role{arn: c.ARN, store: st}
	var given *aws.Credentials
	if c.Credentials != nil {
		read, err := staticCredentials(c.Credentials, key)
		if err != nil {
			return nil, err
		}
		given = &read
	}
	switch {
	case st.unsigned:
		r.static = newKeys(aws.Credentials{})
	case c.AssumeRole != nil:
		r.newSession(s).retrieve = assumeRole(c.AssumeRole, c.AssumeRole.target(c.ARN), c.AssumeRole.region(st.region), given)
	case c.Ambient:
		r.newSession(s).retrieve = ambient()
	default:
		r.static = newKeys(*given)
	}
	for _, a := range c.Allow {
		bucket, object, ok := strings.Cut(a, "/")
		if !ok {
			object = "*"
		}
		r.allow = append(r.allow, [2]string{bucket, object})
	}
	return r, nil
}

func (r *role) newSession(s *Signer) *session {
	r.session = &session{
		role: r.name(), now: s.now, log: s.log, metrics: s.metrics,
		longer: make(chan struct{}, 1), tried: make(chan struct{}),
	}
	return r.session
}

// keys gives what the role signs with now. It does no I/O.
func (r *role) keys(now time.Time) (*keys, error) {
	if r.session == nil {
		return r.static, nil
	}
	return r.session.keys(now)
}

// want notes how long URLs of the role are to live.
func (r *role) want(life time.Duration) {
	if r.session != nil {
		r.session.want(life)
	}
}

// name is the last part of the ARN, which is what devices and operators are told.
func (r *role) name() string { return roleName(r.arn) }

func roleName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// target resolves a location for the role. The error says why it cannot be.
func (r *role) target(l *location, x execution) (target, error) {
	if l.upload && x == (execution{}) {
		return target{}, errNoExecution
	}
	filled := l.of(x)
	if bucket, key := r.store.object(&filled); !r.allows(bucket, key) {
		return target{}, errors.New("the role " + r.name() + " is not allowed to sign for this object")
	}
	return r.store.resolve(&filled)
}

// allows tells whether the role may sign for an object. Bucket and key are matched
// apart, or a * of the bucket could reach into the key.
func (r *role) allows(bucket, key string) bool {
	for _, a := range r.allow {
		if glob(a[0], bucket) && glob(a[1], key) {
			return true
		}
	}
	return false
}

// queryBytes bounds the query of a URL the role signs, without versionId.
func (r *role) queryBytes() int {
	if r.session != nil || r.static.SessionToken != "" {
		return 3000
	}
	return 400
}
