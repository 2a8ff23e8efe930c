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
	"log/slog"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
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
	// Ready tells whether the document could be signed now. It does no I/O: it
	// is asked inside transactions. The error is CodeInternal, for a device.
	Ready(doc *jobsvc.Document) error
	// Fetch gets a job document from where documentSource points, at most
	// jobsvc.MaxDocumentBytes+1 bytes of it. Errors: CodeInvalidRequest.
	Fetch(ctx context.Context, source string) ([]byte, error)
}

// Sessions hears of changes that live connections must feel at once. It must not block.
type Sessions interface {
	// CertificateChanged: its status or its things are not what they were.
	CertificateChanged(certificateID string)
	// ThingDeleted: connections bound to it lose it.
	ThingDeleted(thingName string)
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
	// Now is the clock of every decision; nil means the store's.
	Now func() time.Time
}
