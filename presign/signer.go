package presign

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Signer checks documents and signs for them. It is safe for concurrent use.
type Signer struct {
	roles           map[string]*role // by ARN
	defaultRole     string
	maxPlaceholders int
	source          DocumentSourceConfig
	sourceHosts     []string // lower case
	// For documentSource: the stores with an endpoint of their own, AWS, and other hosts.
	endpointClient, awsClient, hostClient *http.Client
	// Uploads have a cache of their own: they are of one execution each, and many could
	// push out the few URLs that a fleet shares.
	urls, uploads urlCache
	verify        string // verifyObjects: "off", "warn", "error"
	log           *slog.Logger
	metrics       *metrics
	now           func() time.Time
}

// Options is what a Signer takes besides its configuration. Logger nil discards.
type Options struct {
	Logger *slog.Logger
	// Now is the time by which credentials have expired, and that requests of the
	// Signer's own are signed with; nil means time.Now. Substitute is told the time.
	Now func() time.Time
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
}

// New makes a Signer and reads the key files the configuration names. Roles with
// temporary credentials cannot sign before Run. Errors name the key of the
// configuration that is wrong.
func New(c Config, o Options) (*Signer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Signer{
		roles:           make(map[string]*role),
		defaultRole:     c.DefaultRole,
		maxPlaceholders: c.MaxPlaceholders,
		source:          c.DocumentSource,
		verify:          c.VerifyObjects,
		log:             o.Logger,
		now:             o.Now,
	}
	if s.maxPlaceholders == 0 {
		s.maxPlaceholders = defaultMaxPlaceholders
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	stores := make(map[string]*store)
	for i := range c.Stores {
		st, err := newStore(&c.Stores[i])
		if err != nil {
			return nil, fmt.Errorf("presign.stores[%d].endpoint: %w", i, err)
		}
		stores[st.name] = st
	}
	for i := range c.Roles {
		r, err := newRole(&c.Roles[i], stores[c.Roles[i].Store], fmt.Sprintf("presign.roles[%d]", i), s)
		if err != nil {
			return nil, err
		}
		s.roles[r.arn] = r
	}
	s.setupFetch()
	return s, nil
}

// Run keeps the temporary credentials of roles fresh until ctx ends.
func (s *Signer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, r := range s.roles {
		if r.session != nil {
			wg.Go(func() { r.session.run(ctx) })
		}
	}
	wg.Wait()
	return nil
}

// Tried waits until Run has asked for the credentials of every role once, or ctx ends:
// whoever serves only then does not turn the first devices away.
func (s *Signer) Tried(ctx context.Context) {
	for _, r := range s.roles {
		if r.session == nil {
			continue
		}
		select {
		case <-r.session.tried:
		case <-ctx.Done():
		}
	}
}

// Check tells whether a document may be in a job with that configuration, which may
// be nil: valid JSON, at most jobsvc.MaxDocumentBytes, at most MaxPlaceholders
// placeholders, each of them known, well-formed, in a store of the role and allowed
// for it, and the message not too large with the URLs in. It does no I/O: whether the
// objects exist is not asked.
//
// Without placeholders only the format of the configuration is checked.
//
// Errors: CodeInvalidRequest, with a message that names the placeholder.
//
// AWS: CreateJob. Differs from AWS: unknown placeholders are refused rather than
// passed on, for a device can make nothing of them.
func (s *Signer) Check(doc []byte, cfg *jobsvc.PresignedURLConfig) error {
	tokens, n, err := s.syntax(doc)
	if err != nil {
		return err
	}
	arn := s.roleARN(cfg)
	if n > 0 && arn == "" {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The placeholders in the job document need presignedUrlConfig.roleArn.")
	}
	if cfg != nil {
		if err := cfg.Validate(); err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	r := s.roles[arn]
	if r == nil {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "presignedUrlConfig.roleArn: the role %s is not configured on this server.", roleName(arn))
	}
	size := len(doc)
	for p := range placeholders(tokens) {
		t, err := r.target(p.loc, anyExecution)
		if err != nil {
			return refuse(p.text, err.Error())
		}
		size += len(t.origin) + 3*len(p.loc.of(longestExecution).key) + 3*len(t.version) + r.queryBytes() - len(p.text)
	}
	r.want(expires(cfg))
	if size > maxSubstituted {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The job document may have %d bytes with its placeholders replaced, more than the %d allowed.", size, maxSubstituted)
	}
	return nil
}

// CheckSyntax tells whether a document may be in a job template: as Check, but for what
// depends on the role and its store.
//
// AWS: CreateJobTemplate.
func (s *Signer) CheckSyntax(doc []byte) error {
	_, _, err := s.syntax(doc)
	return err
}

// syntax checks all of a document that does not depend on the role, and counts its
// placeholders.
func (s *Signer) syntax(doc []byte) (tokens []token, n int, err error) {
	if err := jobsvc.ValidateDocument(doc); err != nil {
		return nil, 0, err
	}
	if tokens, err = parse(doc); err != nil {
		return nil, 0, err
	}
	for p := range placeholders(tokens) {
		if n++; n > s.maxPlaceholders {
			return nil, 0, refuse(p.text, fmt.Sprintf("a document may have at most %d placeholders", s.maxPlaceholders))
		}
	}
	return tokens, n, nil
}

// maxSubstituted leaves 16 KiB of a message for the envelope and statusDetails.
const maxSubstituted = jobsvc.MaxMessageBytes - 16<<10

// Ready tells whether the document could be signed now. It does no I/O. A nil
// document, or one without placeholders, is always ready.
//
// Errors: CodeInternal, for a device; the reason is in Err, for the log.
func (s *Signer) Ready(doc *jobsvc.Document) error {
	if doc == nil {
		return nil
	}
	tokens, err := parse(doc.Text)
	if err != nil || len(tokens) == 0 {
		return s.failed(doc, err)
	}
	r := s.roles[s.roleARN(doc.PresignedURLConfig)]
	if r == nil {
		return s.failed(doc, errRole)
	}
	if _, err := r.keys(s.now()); err != nil {
		return s.failed(doc, err)
	}
	x := executionOf(doc)
	for p := range placeholders(tokens) {
		if _, err := r.target(p.loc, x); err != nil {
			return s.failed(doc, refuse(p.text, err.Error()))
		}
	}
	return nil
}

// Substitute appends the document to dst with every placeholder replaced by a signed
// URL, and returns the extended buffer. All bytes outside of strings with
// placeholders stay as they are stored, and those strings get the fewest escapes.
// The result contains secrets. The same document within a tenth of the lifetime
// (5 s to 60 s) gives the same bytes.
//
// On error dst comes back as it was. Errors: CodeInternal, for a device; the reason
// is in Err, for the log.
func (s *Signer) Substitute(dst []byte, doc *jobsvc.Document, now time.Time) ([]byte, error) {
	tokens, err := parse(doc.Text)
	if err != nil {
		return dst, s.failed(doc, err)
	}
	if len(tokens) == 0 {
		return append(dst, doc.Text...), nil
	}
	r := s.roles[s.roleARN(doc.PresignedURLConfig)]
	if r == nil {
		return dst, s.failed(doc, errRole)
	}
	k, err := r.keys(now)
	if err != nil {
		return dst, s.failed(doc, err)
	}
	life, x := expires(doc.PresignedURLConfig), executionOf(doc)
	r.want(life)
	before, copied := len(dst), 0
	for _, tok := range tokens {
		dst = append(dst, doc.Text[copied:tok.start]...)
		dst = append(dst, '"')
		for _, p := range tok.parts {
			if p.loc == nil {
				dst = appendEscaped(dst, p.text)
				continue
			}
			u, err := s.url(r, k, p.loc, x, life, now)
			if err != nil {
				clear(dst[before:])
				return dst[:before], s.failed(doc, err)
			}
			dst = append(dst, u...) // has nothing to escape
		}
		dst = append(dst, '"')
		copied = tok.end
	}
	return append(dst, doc.Text[copied:]...), nil
}

func (s *Signer) url(r *role, k *keys, l *location, x execution, expires time.Duration, now time.Time) (string, error) {
	t, err := r.target(l, x)
	if err != nil {
		return "", err
	}
	cache := &s.urls
	if l.upload {
		cache = &s.uploads
	}
	u, fresh, err := cache.get(k, &t, expires, now)
	if fresh {
		s.log.Debug("presigned", "method", t.method, "bucket", t.bucket, "object", t.key, "role", r.name(), "expires", expires)
	}
	return u, err
}

var errRole = errors.New("the role is not configured")

// failed is what a device is told when its document cannot be signed; nil for nil.
func (s *Signer) failed(doc *jobsvc.Document, err error) error {
	if err == nil {
		return nil
	}
	label := notConfigured
	if r := s.roles[s.roleARN(doc.PresignedURLConfig)]; r != nil {
		label = r.name()
	}
	s.metrics.failures.WithLabelValues(label).Inc()
	e := &jobsvc.Error{Code: jobsvc.CodeInternal, Message: "Cannot sign URLs without a role.", Err: err}
	if arn := s.roleARN(doc.PresignedURLConfig); arn != "" {
		e.Message = "Cannot sign URLs with role " + roleName(arn) + "."
	}
	return e
}

func (s *Signer) roleARN(cfg *jobsvc.PresignedURLConfig) string {
	if cfg == nil || cfg.RoleARN == "" {
		return s.defaultRole
	}
	return cfg.RoleARN
}

func expires(cfg *jobsvc.PresignedURLConfig) time.Duration {
	if cfg == nil || cfg.Expires == 0 {
		return jobsvc.DefaultPresignExpires
	}
	return cfg.Expires
}

// placeholders goes through those of all tokens.
func placeholders(tokens []token) func(yield func(part) bool) {
	return func(yield func(part) bool) {
		for _, t := range tokens {
			for _, p := range t.parts {
				if p.loc != nil && !yield(p) {
					return
				}
			}
		}
	}
}
