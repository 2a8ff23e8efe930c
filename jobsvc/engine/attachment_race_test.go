package engine_test

import (
	"context"
	"slices"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// between lets something happen right before the next transaction of a scope, or after the
// next read of a key that begins with a letter: what another request does meanwhile.
type between struct {
	kv.DB
	scope kv.Scope
	key   byte
	do    func()
}

func (b *between) take() func() {
	do := b.do
	b.do = nil
	return do
}

func (b *between) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	if b.do != nil && s == b.scope {
		b.take()()
	}
	return b.DB.Update(ctx, s, fn)
}

func (b *between) Get(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	items, err := b.DB.Get(ctx, keys...)
	if b.do != nil && b.key != 0 && keys[0][0] == b.key {
		b.take()()
	}
	return items, err
}

// newMeanwhile is a world and what happens between its steps.
func newMeanwhile(t *testing.T) (*world, *between) {
	w := newWorld(t)
	b := &between{DB: w.db}
	w.db = b
	w.open()
	return w, b
}

func (w *world) certificate(active bool) (id, arn string) {
	w.t.Helper()
	kc, err := w.CreateKeysAndCertificate(w.ctx, active)
	w.must(err)
	return kc.ID, account.ARN(jobsvc.ARNCert, kc.ID)
}

func (w *world) attachPrincipal(thing, arn string, exclusive bool) error {
	return w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: thing, Principal: arn, Exclusive: exclusive})
}

func (w *world) principalThings(arn string, of jobsvc.PrincipalType) (names []string) {
	w.t.Helper()
	r, err := w.ListPrincipalThings(w.ctx, arn, of, jobsvc.Page{})
	w.must(err)
	for _, a := range r.Attachments {
		names = append(names, a.Name)
	}
	return names
}

// Two things are two scopes: neither transaction sees the other's attachment. Whichever
// commits last gives way, and nothing of it is left.
func TestExclusiveAttachmentsAtOnce(t *testing.T) {
	for _, exclusive := range [][2]bool{{true, true}, {true, false}, {false, true}} {
		w, b := newMeanwhile(t)
		w.thing("a", "b")
		_, arn := w.certificate(true)
		b.scope = kv.Thing("a")
		b.do = func() { w.must(w.attachPrincipal("b", arn, exclusive[1])) }
		w.code(jobsvc.CodeInvalidRequest, w.attachPrincipal("a", arn, exclusive[0]))
		if got := w.principalThings(arn, ""); !slices.Equal(got, []string{"b"}) {
			t.Errorf("exclusive %v: attached to %q", exclusive, got)
		}
		w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "a"})) // has no principal
	}
	// An attachment that only became exclusive is again what it was.
	w, b := newMeanwhile(t)
	w.thing("a", "b")
	_, arn := w.certificate(true)
	w.must(w.attachPrincipal("a", arn, false))
	b.scope = kv.Thing("a")
	b.do = func() { w.must(w.attachPrincipal("b", arn, false)) }
	w.code(jobsvc.CodeInvalidRequest, w.attachPrincipal("a", arn, true))
	if got := w.principalThings(arn, jobsvc.NonExclusiveThing); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("not exclusive: %q", got)
	}
}

// A certificate that is deleted takes with it what is attached meanwhile: it may be
// registered again, and must not find things and policies it was not given.
func TestAttachWhileCertificateIsDeleted(t *testing.T) {
	for what, attach := range map[string]func(w *world, arn string) error{
		"thing":  func(w *world, arn string) error { return w.attachPrincipal("a", arn, false) },
		"policy": func(w *world, arn string) error { return w.AttachPolicy(w.ctx, "p", arn) },
	} {
		begin := func() (*world, *between, string, string) {
			w, b := newMeanwhile(t)
			w.thing("a")
			_, err := w.CreatePolicy(w.ctx, "p", `{"Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}`, nil)
			w.must(err)
			id, arn := w.certificate(false)
			return w, b, id, arn
		}
		nothingLeft := func(w *world) {
			t.Helper()
			w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "a"}))
			w.must(w.DeletePolicy(w.ctx, "p"))
		}
		// It goes between the check and the attachment.
		w, b, id, arn := begin()
		b.scope = map[string]kv.Scope{"thing": kv.Thing("a"), "policy": store.PolicyScope("p")}[what]
		b.do = func() { w.must(w.DeleteCertificate(w.ctx, id, false)) }
		w.code(jobsvc.CodeNotFound, attach(w, arn))
		nothingLeft(w)
		// The attachment comes between the check and the deletion.
		w, b, id, arn = begin()
		b.scope = store.CertScope(id)
		b.do = func() { w.must(attach(w, arn)) }
		w.must(w.DeleteCertificate(w.ctx, id, false))
		nothingLeft(w)
	}
}

// The default version is looked up and then read: it is found whatever happens between.
func TestGetPolicyWhileItsDefaultChanges(t *testing.T) {
	w, b := newMeanwhile(t)
	document := func(effect string) string {
		return `{"Statement":{"Effect":"` + effect + `","Action":"iot:*","Resource":"*"}}`
	}
	_, err := w.CreatePolicy(w.ctx, "p", document("Deny"), nil)
	w.must(err)
	b.key = 'p'
	b.do = func() {
		_, err := w.CreatePolicyVersion(w.ctx, "p", document("Allow"), true)
		w.must(err)
		w.must(w.DeletePolicyVersion(w.ctx, "p", "1"))
	}
	d, err := w.GetPolicy(w.ctx, "p")
	w.must(err)
	if b.do != nil {
		t.Fatal("nothing happened meanwhile")
	}
	if d.Version.ID() != "2" || d.Version.Document != document("Allow") || !d.IsDefault() {
		t.Errorf("policy: %+v", d)
	}
	b.do = func() { w.must(w.DeletePolicy(w.ctx, "p")) }
	_, err = w.GetPolicy(w.ctx, "p")
	w.code(jobsvc.CodeNotFound, err)
}
