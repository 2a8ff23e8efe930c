// Package engine does what the operations of AWS IoT Jobs do: one method for each,
// one file per noun. It decides in transactions of the store, one scope each, and
// says afterwards what devices are to be told.
//
// It knows nothing of MQTT, HTTP or JSON. Both edges call it, the scheduler fires
// the timers it stored, and tests run the real one over memkv.
//
// Requests that are refused come back as *jobsvc.Error; any other error is an
// internal one.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"golang.org/x/time/rate"
)

// Hint says that the queue of a Thing in a namespace is not what it was. It is only
// a hint: the receiver reads the queue (Engine.ThingQueue) and tells the device
// when the versions are newer than those it told last. A lost hint is repaired by
// the device, which asks whenever it connects.
type Hint struct {
	ThingName   string
	NamespaceID string
	SetVersion  uint64
	HeadVersion uint64
}

// Notifier takes hints after the commit they come from. It must not block and must
// not call the engine on the caller's goroutine.
type Notifier interface {
	Notify(hints []Hint)
}

// Documents is what the engine asks of presign.
type Documents interface {
	// Check tells whether a document may be in a job with that configuration:
	// placeholders known, well-formed, allowed for the role. It returns a
	// *jobsvc.Error of CodeInvalidRequest that names the placeholder.
	Check(doc []byte, cfg *jobsvc.PresignedURLConfig) error
	// CheckSyntax tells whether a document may be in a job template: placeholders known
	// and well-formed. Errors: those of Check.
	CheckSyntax(doc []byte) error
	// Ready tells whether the document could be signed now. It does no I/O: it
	// is asked inside transactions. The error is CodeInternal, for a device.
	Ready(doc *jobsvc.Document) error
	// Fetch gets a job document from where documentSource points, at most
	// jobsvc.MaxDocumentBytes+1 bytes of it. Errors: CodeInvalidRequest.
	Fetch(ctx context.Context, source string) ([]byte, error)
	// Verify asks the store for the objects of a document that passed Check, if the
	// installation wants that. Errors: CodeInvalidRequest, CodeUnavailable.
	Verify(ctx context.Context, doc []byte, cfg *jobsvc.PresignedURLConfig) error
	// Probe makes the URLs of a document and tries them, as a device would.
	Probe(ctx context.Context, doc *jobsvc.Document) ([]jobsvc.PresignedURLCheck, error)
}

// Sessions hears of changes that live connections must feel at once. It must not block.
type Sessions interface {
	// CertificateChanged: its status, its things or its policies are not what they were.
	CertificateChanged(certificateID string)
	// ThingDeleted: connections bound to it lose it.
	ThingDeleted(thingName string)
	// AccessKeyDeleted: who signed with it may do nothing any more.
	AccessKeyDeleted(accessKeyID string)
	// Connected lists the client IDs that are connected for a thing.
	Connected(thingName string) []string
	// ThingChanged: its type, its attributes or its groups are not what they were.
	ThingChanged(thingName string)
	// ThingGroupChanged: its policies are not what they were, or it was deleted.
	ThingGroupChanged(groupName string)
	// PolicyChanged: its default version is not what it was.
	PolicyChanged(policyName string)
}

// Issuer makes device certificates with the installation's CA.
type Issuer interface {
	// IssueKeys makes an RSA 2048 key and a certificate for it.
	IssueKeys(now time.Time) (certPEM, privateKeyPEM, publicKeyPEM string, err error)
	// IssueCSR makes a certificate for a PEM certificate signing request. A bad one
	// is a *jobsvc.Error of CodeInvalidRequest.
	IssueCSR(csrPEM string, now time.Time) (certPEM string, err error)
}

// Options is what an Engine is made from. Logger nil discards; every other nil
// interface turns its part off.
type Options struct {
	Account   jobsvc.Account
	Notifier  Notifier
	Documents Documents
	Sessions  Sessions
	Issuer    Issuer
	Logger    *slog.Logger
	// Rules bound jobs; nil means jobsvc.DefaultJobRules.
	Rules *jobsvc.JobRules
	// Limits bound requests and what there may be; nil means jobsvc.GenerousLimits.
	Limits *jobsvc.Limits
	// EventsOff: no events are sent until UpdateEventConfigurations says so.
	EventsOff bool
	// Now is the clock of every decision; nil means the store's.
	Now func() time.Time
}

// Engine does the operations. All methods are safe for concurrent use.
type Engine struct {
	store         *store.Store
	opts          Options
	rules         jobsvc.JobRules
	limits        jobsvc.Limits
	reads, writes *rate.Limiter // of devices; nil: any number
	log           *slog.Logger

	// wake has room for one word to the scheduler that a timer was set.
	wake chan struct{}
	// settle has room for one word to Run that there are jobs to settle.
	settle chan struct{}

	eventsWanted atomic.Bool

	compiledPolicies policyCache

	dynamic  dynamicCache
	presence presence

	mu              sync.Mutex
	unsettled       map[string]struct{} // jobs whose completion is to be looked at; guarded by mu
	activeUnsettled bool                // all active jobs are; guarded by mu
}

// New makes an engine on a store.
func New(s *store.Store, o Options) *Engine {
	if o.Account == (jobsvc.Account{}) {
		o.Account = jobsvc.DefaultAccount
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	rules := jobsvc.DefaultJobRules()
	if o.Rules != nil {
		rules = *o.Rules
	}
	limits := jobsvc.GenerousLimits()
	if o.Limits != nil {
		limits = *o.Limits
	}
	return &Engine{
		store:     s,
		limits:    limits,
		reads:     limiter(limits.DeviceReadsPerSecond),
		writes:    limiter(limits.DeviceWritesPerSecond),
		opts:      o,
		rules:     rules,
		log:       o.Logger,
		wake:      make(chan struct{}, 1),
		settle:    make(chan struct{}, 1),
		unsettled: make(map[string]struct{}),
	}
}

// limiter lets through so many in a second; nil is any number.
func limiter(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

// throttle refuses a request of a device that is one too many. Errors: CodeThrottled.
func throttle(l *rate.Limiter) error {
	if l == nil || l.Allow() {
		return nil
	}
	return jobsvc.Errorf(jobsvc.CodeThrottled, "Rate exceeded.")
}

// Account is the installation's account.
func (e *Engine) Account() jobsvc.Account { return e.opts.Account }

// Wake tells, by a value, that a timer was stored that may be due before all others.
func (e *Engine) Wake() <-chan struct{} { return e.wake }

func (e *Engine) now(ctx context.Context) (time.Time, error) {
	if e.opts.Now != nil {
		return e.opts.Now(), nil
	}
	now, err := e.store.Now(ctx)
	return now, storeError(err)
}

func (e *Engine) notify(hints []Hint) {
	if len(hints) > 0 && e.opts.Notifier != nil {
		e.opts.Notifier.Notify(hints)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// storeError turns what a store may fail with into what a client is told. Refusals
// that fn returned pass through.
func storeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kv.ErrUnavailable):
		return &jobsvc.Error{Code: jobsvc.CodeUnavailable, Message: "The service cannot store anything at the moment. Try again later.", Err: err}
	case errors.Is(err, kv.ErrUnknown), errors.Is(err, kv.ErrConflict):
		return &jobsvc.Error{Code: jobsvc.CodeUnavailable, Message: "Whether the request took effect is not known. Look before trying again.", Err: err}
	}
	return err
}

// failed gives what a client is told of a transaction that failed. When it may have been
// made all the same, what follows from it is looked for as if it had been: nobody will
// find it to do again, neither the device nor the scheduler.
func (e *Engine) failed(err error, jobs ...string) error {
	if errors.Is(err, kv.ErrUnknown) {
		poke(e.wake)
		e.unsettle(jobs...)
	}
	return storeError(err)
}

func notFound(kind, name string) *jobsvc.Error {
	return jobsvc.Errorf(jobsvc.CodeNotFound, "%s %s does not exist.", kind, name)
}

func jobNotFound(id string) *jobsvc.Error     { return notFound("Job", id) }
func thingNotFound(name string) *jobsvc.Error { return notFound("Thing", name) }

func executionNotFound(thing, job string) *jobsvc.Error {
	return jobsvc.Errorf(jobsvc.CodeNotFound, "Thing %s has no execution of job %s.", thing, job)
}

// internal says what was being done when something failed that is nobody's request's
// fault.
func internal(err error, format string, args ...any) error {
	var refused *jobsvc.Error
	if err == nil || errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
