// Package kv is the storage contract everything above it relies on: an ordered
// key-value store whose transactions each belong to one scope.
//
// A scope is a Thing, a Job or a small system object. No transaction spans two
// of them. That one rule lets many independent transactions share one physical
// commit today (badgerkv), and lets the same engine run on a database with many
// nodes later.
//
// What implementations promise, and kvtest checks:
//
//   - When Update returns nil the write survives a crash of the process and of
//     the machine.
//   - Transactions of one scope are serial: each sees everything the earlier
//     ones committed, and nothing of those that failed.
//   - fn may run more than once and runs on a goroutine of the store's choosing.
//     It touches nothing but its Tx and variables it sets anew on every run. It
//     does no I/O, takes no lock that is held while calling the store, and never
//     calls the DB.
//   - An error returned by fn undoes that transaction alone and comes back
//     unchanged. A panic in fn comes back as an error of that transaction.
//   - A write that breaks a rule (ErrScope, ErrTooLarge) undoes its transaction
//     too, whatever fn returns: Put, Delete and Add have no error of their own.
//   - Reads outside a transaction (Get, Scan, Counters) see all that was
//     committed before they began, only what is durable, and are not one
//     snapshot across calls.
//
// Keys and values handed to the store are not to be changed afterwards; those
// it hands out are not to be changed at all. A key is never empty, and is used
// for values or for a counter, never for both.
package kv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// Errors of a store. Callers test with errors.Is.
var (
	// ErrConflict: the transaction lost against another one. Implementations
	// retry it themselves; a caller sees it only when the retries ran out.
	ErrConflict = errors.New("kv: conflict")
	// ErrUnavailable: nothing was written, and the store cannot take writes now
	// (closing, disk full, connection lost). Trying later may help.
	ErrUnavailable = errors.New("kv: store unavailable")
	// ErrTooLarge: the transaction or one of its values is over the store's
	// limit. Nothing was written.
	ErrTooLarge = errors.New("kv: transaction too large")
	// ErrUnknown: the commit was begun and its outcome is not known. The write
	// may be there or not; read to find out. Whatever is done again after it
	// must be harmless when it was done already.
	ErrUnknown = errors.New("kv: outcome of the commit is unknown")
	// ErrScope: the transaction touched a key of another scope. A bug of the
	// caller, reported by stores opened with a ScopeOf function.
	ErrScope = errors.New("kv: key outside the transaction's scope")
)

// Limits every store keeps, so that what fits in one fits in all. Beyond them a
// transaction fails with ErrTooLarge.
const (
	MaxKeyBytes   = 2 << 10
	MaxValueBytes = 1 << 19
	// MaxTxBytes bounds what one transaction writes: its keys and values, with
	// TxOverhead more for each write (Put, Delete or Add). That is room for about
	// 12,000 small writes.
	MaxTxBytes = 2 << 20
	TxOverhead = 128
)

// ScopeKind says what kind of object a Scope is.
type ScopeKind byte

// The kinds of scopes.
const (
	KindSys   ScopeKind = 's' // a small system object: group, certificate, policy, key, lease
	KindThing ScopeKind = 't'
	KindJob   ScopeKind = 'j'
)

// Scope names the one object a transaction belongs to.
type Scope struct {
	Kind ScopeKind
	ID   string
}

// Thing is the scope of the Thing with that name.
func Thing(name string) Scope { return Scope{KindThing, name} }

// Job is the scope of the Job with that ID.
func Job(id string) Scope { return Scope{KindJob, id} }

// Sys is the scope of a system object. By convention the name is "kind/name".
func Sys(name string) Scope { return Scope{KindSys, name} }

// String gives "thing/pump-17" and the like, for logs and test failures.
func (s Scope) String() string {
	switch s.Kind {
	case KindThing:
		return "thing/" + s.ID
	case KindJob:
		return "job/" + s.ID
	}
	return "sys/" + s.ID
}

// Item is a key with its value. Value is nil exactly when the key does not
// exist; an existing key with an empty value has a non-nil empty one.
type Item struct {
	Key, Value []byte
}

// Exists tells whether the key was there.
func (it Item) Exists() bool { return it.Value != nil }

// Range is the half-open interval of keys [Start, End). A nil End means: to the
// end of the key space. Limit, the most items wanted, is mandatory.
type Range struct {
	Start, End []byte
	Limit      int
	Reverse    bool // from the last key before End downwards
	KeysOnly   bool // values may be left out (non-nil, but empty)
}

// Prefix is the Range of all keys that begin with prefix.
func Prefix(prefix []byte, limit int) Range {
	return Range{Start: prefix, End: PrefixEnd(prefix), Limit: limit}
}

// PrefixEnd is the first key after all keys that begin with prefix; nil when
// there is none.
func PrefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// Event is whatever a transaction wants to tell its caller once it is
// committed, see Tx.After.
type Event any

// Op is one transaction of UpdateMany.
type Op struct {
	Scope Scope
	Fn    func(Tx) error
	// Reads are keys of the scope that Fn is likely to Get. They are a hint: a store may
	// read them ahead, many at a time, best when the operations are in the order of
	// their keys. What Fn gets, and may get, is the same without them.
	Reads [][]byte
}

// Result is the outcome of one Op. Events is nil unless Err is.
type Result struct {
	Events []Event
	Err    error
}

// DB is an ordered key-value store. All methods are safe for concurrent use.
type DB interface {
	// Get returns one Item for each key, in their order, in one round trip. The keys
	// of a call may be read at different moments, but none at an earlier one than the
	// key before it.
	Get(ctx context.Context, keys ...[]byte) ([]Item, error)

	// Scan returns the items of r in key order, at most r.Limit of them. next is
	// nil when the range is exhausted; otherwise continue with it as Start (End,
	// exclusive, when Reverse). A store may return fewer items than Limit.
	Scan(ctx context.Context, r Range) (items []Item, next []byte, err error)

	// Counters returns all counters whose key begins with prefix, in one
	// consistent snapshot. A counter that was never added to is missing.
	Counters(ctx context.Context, prefix []byte) (map[string]int64, error)

	// Update runs fn as one transaction of the scope and returns when its outcome
	// is known, with the events fn left by Tx.After (nil when it failed). A commit
	// is never tied to ctx: a canceled one only stops a transaction that has not
	// begun, which then fails with ctx.Err().
	Update(ctx context.Context, s Scope, fn func(Tx) error) ([]Event, error)

	// UpdateMany runs independent transactions, which may share one physical
	// commit, and returns a Result for each. Two of one scope run in their order.
	UpdateMany(ctx context.Context, ops []Op) []Result

	// Now is the store's clock. It moves forward by at least a nanosecond from
	// call to call, over restarts too, whatever the machine's clock does.
	Now(ctx context.Context) (time.Time, error)

	// Export writes everything in the store in a form Import of any
	// implementation reads. Import wants an empty store.
	Export(ctx context.Context, w io.Writer) error
	Import(ctx context.Context, r io.Reader) error

	// Close waits for the transactions under way, then closes. Later calls of
	// any method return ErrUnavailable.
	Close() error
}

// Tx is one transaction. It is valid until its fn returns.
type Tx interface {
	// Get reads keys of the own scope, to decide on; own writes are visible.
	Get(keys ...[]byte) ([]Item, error)
	// Peek reads keys of any scope. Between the read and the commit another
	// transaction may change them: advisory.
	Peek(keys ...[]byte) ([]Item, error)
	// Scan reads a range of the own scope, own writes included; nobody else can
	// add to it before the commit. It returns at most r.Limit items.
	Scan(r Range) ([]Item, error)
	// Put and Delete write keys of the own scope. Deleting a key that does not
	// exist is fine. Delete takes a counter away as well.
	Put(key, val []byte)
	Delete(key []byte)
	// Add changes a counter, of any scope, by delta. It never conflicts, and
	// counters are seen by DB.Counters only, not by Get, Peek or Scan.
	Add(counter []byte, delta int64)
	// Stamp gives a number by which to order what the transaction writes, in a key
	// mostly: more than any of another transaction that was committed before this one
	// began, and never given twice, over restarts and imports too. What is committed with
	// it becomes readable in its order: a reader that has seen a stamp finds no new lower
	// one. It is the time of the store's clock, in Unix nanoseconds.
	Stamp() int64
	// After leaves an event for the caller. It is handed over when the commit is
	// known to have succeeded; a run of fn that does not commit leaves nothing.
	After(Event)
}

// ScopeOf maps a key to the scope it belongs to. Stores opened with one check
// every Put, Delete, Get and Scan of a transaction against it (ErrScope); a key
// it does not know (false) is in no scope, so only Add and Peek may name it.
type ScopeOf func(key []byte) (Scope, bool)
