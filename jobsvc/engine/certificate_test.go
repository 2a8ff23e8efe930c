package engine_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// authority is somebody's CA.
type authority struct {
	t    *testing.T
	name string
	key  crypto.Signer
	cert *x509.Certificate
	pem  string
}

func newAuthority(t *testing.T, name string, key crypto.Signer) *authority {
	t.Helper()
	a := &authority{t: t, name: name, key: key}
	template := leaf(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.cert = template
	a.pem = a.sign(template, key)
	block, _ := pem.Decode([]byte(a.pem))
	var err error
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return a
}

func leaf(name string) *x509.Certificate {
	now := time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
}

func ecKey(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template *x509.Certificate, key crypto.Signer) string {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (a *authority) issue(name string) string {
	a.t.Helper()
	return a.sign(leaf(name), ecKey(a.t, elliptic.P256()))
}

func TestRegisterCertificate(t *testing.T) {
	w := newWorld(t)
	key := ecKey(t, elliptic.P256())
	// Two certificates of one CA: the same name and key. Which one signed cannot be told.
	first, second := newAuthority(t, "plant", key), newAuthority(t, "plant", key)
	other := newAuthority(t, "plant", ecKey(t, elliptic.P384()))
	register := func(r jobsvc.RegisterCertificateRequest) error {
		_, err := w.RegisterCertificate(w.ctx, &r)
		return err
	}
	ca := func(a *authority, active bool) string {
		c, err := w.RegisterCACertificate(w.ctx, &jobsvc.RegisterCACertificateRequest{PEM: a.pem, Mode: jobsvc.ModeSNIOnly, SetAsActive: active})
		w.must(err)
		return c.ID
	}
	device := first.issue("pump-1")
	w.code(jobsvc.CodeCertificateValidation, register(jobsvc.RegisterCertificateRequest{PEM: device}))
	w.code(jobsvc.CodeCertificateValidation, register(jobsvc.RegisterCertificateRequest{PEM: device, CAPEM: first.pem}))
	w.code(jobsvc.CodeCertificateValidation, register(jobsvc.RegisterCertificateRequest{PEM: device, CAPEM: "nonsense"}))
	firstID := ca(first, true)
	ca(other, true) // the name alone says nothing
	w.must(register(jobsvc.RegisterCertificateRequest{PEM: device}))
	w.code(jobsvc.CodeAlreadyExists, register(jobsvc.RegisterCertificateRequest{PEM: device}))
	secondID := ca(second, false)
	device = second.issue("pump-2")
	w.code(jobsvc.CodeCertificateConflict, register(jobsvc.RegisterCertificateRequest{PEM: device}))
	w.code(jobsvc.CodeCertificateState, register(jobsvc.RegisterCertificateRequest{PEM: device, CAPEM: second.pem}))
	w.code(jobsvc.CodeCertificateValidation, register(jobsvc.RegisterCertificateRequest{PEM: device, CAPEM: other.pem}))
	w.must(register(jobsvc.RegisterCertificateRequest{PEM: device, CAPEM: first.pem, Status: jobsvc.CertificateRevoked}))
	w.code(jobsvc.CodeInvalidRequest, register(jobsvc.RegisterCertificateRequest{PEM: first.issue("pump-3"), CAPEM: first.pem, Status: "PENDING_ACTIVATION"}))

	res, err := w.ListCertificatesByCA(w.ctx, firstID, jobsvc.Page{})
	w.must(err)
	none, err := w.ListCertificatesByCA(w.ctx, secondID, jobsvc.Page{})
	w.must(err)
	if len(res.Certificates) != 2 || len(none.Certificates) != 0 {
		t.Errorf("signed by the CAs: %+v, %+v", res.Certificates, none.Certificates)
	}
	for _, c := range res.Certificates {
		if want := map[string]jobsvc.CertificateStatus{device: jobsvc.CertificateRevoked}[c.PEM]; want != "" && c.Status != want {
			t.Errorf("registered as %s, want %s", c.Status, want)
		}
	}
}

// What is no certificate, or one with a weak key, is refused whichever way it comes.
func TestCertificatesRefused(t *testing.T) {
	w := newWorld(t)
	ca := newAuthority(t, "plant", ecKey(t, elliptic.P256()))
	_, err := w.RegisterCACertificate(w.ctx, &jobsvc.RegisterCACertificateRequest{PEM: ca.pem, Mode: jobsvc.ModeSNIOnly, SetAsActive: true})
	w.must(err)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	w.must(err)
	block, _ := pem.Decode([]byte(ca.issue("x")))
	for what, text := range map[string]string{
		"nothing":         "",
		"text":            "certificate",
		"half":            string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes[:len(block.Bytes)/2]})),
		"a key":           string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block.Bytes})),
		"RSA of 1024":     ca.sign(leaf("x"), weak),
		"the curve P-224": ca.sign(leaf("x"), ecKey(t, elliptic.P224())),
	} {
		for how, register := range map[string]func() error{
			"with a CA": func() error {
				_, err := w.RegisterCertificate(w.ctx, &jobsvc.RegisterCertificateRequest{PEM: text})
				return err
			},
			"without a CA": func() error {
				_, err := w.RegisterCertificateWithoutCA(w.ctx, &jobsvc.RegisterCertificateRequest{PEM: text})
				return err
			},
			"as a CA": func() error {
				_, err := w.RegisterCACertificate(w.ctx, &jobsvc.RegisterCACertificateRequest{PEM: text, Mode: jobsvc.ModeSNIOnly})
				return err
			},
		} {
			if err := register(); jobsvc.ErrorCode(err) != jobsvc.CodeCertificateValidation {
				t.Errorf("%s %s: %v", what, how, err)
			}
		}
	}
	for _, key := range []crypto.Signer{ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())} {
		_, err := w.RegisterCertificateWithoutCA(w.ctx, &jobsvc.RegisterCertificateRequest{PEM: ca.sign(leaf("x"), key)})
		w.must(err)
	}
	if l, err := w.ListCertificates(w.ctx, jobsvc.ListByTimeRequest{}); err != nil || len(l.Certificates) != 2 {
		t.Errorf("%d certificates, %v", len(l.Certificates), err)
	}
}

func TestRegisterCA(t *testing.T) {
	w := newWorld(t)
	ca := newAuthority(t, "plant", ecKey(t, elliptic.P256()))
	register := func(verification string, mode jobsvc.CertificateMode) error {
		_, err := w.RegisterCACertificate(w.ctx, &jobsvc.RegisterCACertificateRequest{PEM: ca.pem, VerificationPEM: verification, Mode: mode})
		return err
	}
	w.code(jobsvc.CodeRegistrationCode, register(ca.issue("no code was given"), ""))
	w.code(jobsvc.CodeRegistrationCode, register(ca.issue(""), "")) // no code is not the empty one
	code, err := w.RegistrationCode(w.ctx)
	w.must(err)
	old := ca.issue(code)
	w.must(w.DeleteRegistrationCode(w.ctx))
	w.code(jobsvc.CodeNotFound, w.DeleteRegistrationCode(w.ctx))
	again, err := w.RegistrationCode(w.ctx)
	w.must(err)
	if again == code || len(again) != 64 {
		t.Errorf("the code after %q is %q", code, again)
	}
	w.code(jobsvc.CodeRegistrationCode, register(old, jobsvc.ModeDefault))
	w.code(jobsvc.CodeInvalidRequest, register("", jobsvc.ModeDefault))
	w.code(jobsvc.CodeInvalidRequest, register(ca.issue(again), jobsvc.ModeSNIOnly))
	w.must(register(ca.issue(again), jobsvc.ModeDefault))
	w.code(jobsvc.CodeAlreadyExists, register(ca.issue(again), jobsvc.ModeDefault))

	l, err := w.ListCACertificates(w.ctx, "", jobsvc.ListByTimeRequest{})
	w.must(err)
	id := l.Certificates[0].ID
	on := true
	w.must(w.UpdateCACertificate(w.ctx, &jobsvc.UpdateCACertificateRequest{ID: id, Status: jobsvc.CertificateActive, AutoRegistration: &on, Registration: &jobsvc.RegistrationConfig{TemplateName: "t"}}))
	w.code(jobsvc.CodeInvalidRequest, w.UpdateCACertificate(w.ctx, &jobsvc.UpdateCACertificateRequest{ID: id, Registration: &jobsvc.RegistrationConfig{}, RemoveRegistration: true}))
	w.code(jobsvc.CodeNotFound, w.UpdateCACertificate(w.ctx, &jobsvc.UpdateCACertificateRequest{ID: strings.Repeat("0", 64)}))
	w.code(jobsvc.CodeInvalidRequest, w.UpdateCACertificate(w.ctx, &jobsvc.UpdateCACertificateRequest{ID: "x"}))
	w.code(jobsvc.CodeCertificateState, w.DeleteCACertificate(w.ctx, id))
	w.restart()
	c, err := w.DescribeCACertificate(w.ctx, id)
	w.must(err)
	if c.Status != jobsvc.CertificateActive || !c.AutoRegistration || c.Registration.TemplateName != "t" || c.Version != 2 {
		t.Errorf("%+v", c)
	}
	// What it signed stays when it goes.
	device, err := w.RegisterCertificate(w.ctx, &jobsvc.RegisterCertificateRequest{PEM: ca.issue("pump"), Status: jobsvc.CertificateActive})
	w.must(err)
	w.must(w.UpdateCACertificate(w.ctx, &jobsvc.UpdateCACertificateRequest{ID: id, Status: jobsvc.CertificateInactive}))
	w.must(w.DeleteCACertificate(w.ctx, id))
	w.code(jobsvc.CodeNotFound, w.DeleteCACertificate(w.ctx, id))
	if b, err := w.Binding(w.ctx, device.ID); err != nil || b.Status != jobsvc.CertificateActive {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestDeleteCertificate(t *testing.T) {
	w := newWorld(t)
	w.thing("pump")
	ca := newAuthority(t, "nobody's", ecKey(t, elliptic.P256()))
	device := &jobsvc.RegisterCertificateRequest{PEM: ca.issue("pump"), Status: jobsvc.CertificateActive}
	c, err := w.RegisterCertificateWithoutCA(w.ctx, device)
	w.must(err)
	arn := account.ARN(jobsvc.ARNCert, c.ID)
	w.code(jobsvc.CodeInvalidRequest, w.DeleteCertificate(w.ctx, "x", false))
	w.code(jobsvc.CodeNotFound, w.DeleteCertificate(w.ctx, strings.Repeat("0", 64), false))
	w.code(jobsvc.CodeCertificateState, w.DeleteCertificate(w.ctx, c.ID, true))
	w.must(w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "pump", Principal: arn}))
	w.must(w.UpdateCertificate(w.ctx, c.ID, jobsvc.CertificateInactive))
	w.code(jobsvc.CodeDeleteConflict, w.DeleteCertificate(w.ctx, c.ID, true))
	w.must(w.DetachThingPrincipal(w.ctx, "pump", arn))
	w.must(w.DeleteCertificate(w.ctx, c.ID, false))
	w.code(jobsvc.CodeNotFound, w.UpdateCertificate(w.ctx, c.ID, jobsvc.CertificateActive))
	_, err = w.ListPrincipalThings(w.ctx, arn, "", jobsvc.Page{})
	w.code(jobsvc.CodeNotFound, err)
	// Registered again it begins anew.
	_, err = w.RegisterCertificateWithoutCA(w.ctx, device)
	w.must(err)
	if b, err := w.Binding(w.ctx, c.ID); err != nil || len(b.Things) != 0 || b.Version != 1 {
		t.Errorf("%+v, %v", b, err)
	}
}

// together runs f for numbers up to n at once and tells which succeeded.
func together(n int, f func(i int) error) (succeeded []int) {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for i, err := range errs {
		if err == nil {
			succeeded = append(succeeded, i)
		}
	}
	return succeeded
}

// Of requests at once to attach a certificate, one of them exclusively, either that one
// succeeds alone or it is refused; what is refused leaves nothing.
func TestExclusiveAtOnce(t *testing.T) {
	w := newWorld(t)
	things := []string{"a", "b", "c"}
	w.thing(things...)
	for round := range 50 {
		kc, err := w.CreateKeysAndCertificate(w.ctx, false)
		w.must(err)
		arn := account.ARN(jobsvc.ARNCert, kc.ID)
		exclusive := round % len(things)
		done := together(len(things), func(i int) error {
			return w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: things[i], Principal: arn, Exclusive: i == exclusive})
		})
		if slices.Contains(done, exclusive) && len(done) > 1 {
			t.Fatalf("attached at once: %v, %d exclusively", done, exclusive)
		}
		var want, got []string
		for _, i := range done {
			want = append(want, things[i])
		}
		r, err := w.ListPrincipalThings(w.ctx, arn, "", jobsvc.Page{})
		w.must(err)
		for _, a := range r.Attachments {
			got = append(got, a.Name)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("attached to %q, acknowledged %q", got, want)
		}
	}
}

// A certificate that is deleted while it is being attached has nothing when it is
// registered again, and no policy is kept from being deleted by it.
func TestAttachWhileDeleting(t *testing.T) {
	w := newWorld(t)
	w.thing("pump")
	_, err := w.CreatePolicy(w.ctx, "p", policyOf("x"), nil)
	w.must(err)
	ca := newAuthority(t, "nobody's", ecKey(t, elliptic.P256()))
	device := &jobsvc.RegisterCertificateRequest{PEM: ca.issue("pump")}
	for range 100 {
		c, err := w.RegisterCertificateWithoutCA(w.ctx, device)
		w.must(err)
		arn := account.ARN(jobsvc.ARNCert, c.ID)
		requests := []func() error{
			func() error { return w.DeleteCertificate(w.ctx, c.ID, true) },
			func() error {
				return w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "pump", Principal: arn})
			},
			func() error { return w.AttachPolicy(w.ctx, "p", arn) },
		}
		if done := together(len(requests), func(i int) error { return requests[i]() }); slices.Contains(done, 0) {
			_, err = w.RegisterCertificateWithoutCA(w.ctx, device)
			w.must(err)
			b, err := w.Binding(w.ctx, c.ID)
			w.must(err)
			targets, err := w.ListTargetsForPolicy(w.ctx, "p", false, jobsvc.Page{})
			w.must(err)
			if len(b.Things) != 0 || len(b.Policies) != 0 || len(targets.Names) != 0 {
				t.Fatalf("after %v: things %q, policies %q, targets %q", done, b.Things, b.Policies, targets.Names)
			}
		} else if slices.Contains(done, 1) {
			w.must(w.DetachThingPrincipal(w.ctx, "pump", arn))
		}
		w.must(w.DeleteCertificate(w.ctx, c.ID, true))
	}
}

// A Cognito identity can be attached as a certificate can. Nobody connects with one.
func TestCognitoIdentity(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	const identity = "eu-west-1:0b6f0d1a-93b0-4c8c-9d9b-9d1a2b5a7e10"
	attach := func(thing string, exclusive bool) error {
		return w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: thing, Principal: identity, Exclusive: exclusive})
	}
	w.must(attach("a", true))
	w.code(jobsvc.CodeInvalidRequest, attach("b", false))
	of, err := w.ListThingPrincipals(w.ctx, "a", "", jobsvc.Page{})
	w.must(err)
	things, err := w.ListPrincipalThings(w.ctx, identity, "", jobsvc.Page{})
	w.must(err)
	if len(of.Attachments) != 1 || of.Attachments[0].Name != identity || len(things.Attachments) != 1 || things.Attachments[0].Name != "a" {
		t.Errorf("%+v, %+v", of, things)
	}
	_, err = w.Binding(w.ctx, identity)
	w.code(jobsvc.CodeNotFound, err)
	w.must(w.DetachThingPrincipal(w.ctx, "a", identity))
	w.code(jobsvc.CodeNotFound, w.DetachThingPrincipal(w.ctx, "a", identity))

	_, err = w.CreatePolicy(w.ctx, "p", policyOf("aws:iot:*"), nil)
	w.must(err)
	w.must(w.AttachPolicy(w.ctx, "p", identity))
	attached, err := w.ListAttachedPolicies(w.ctx, identity, true, jobsvc.Page{})
	w.must(err)
	principals, err := w.ListTargetsForPolicy(w.ctx, "p", true, jobsvc.Page{})
	w.must(err)
	results, err := w.TestAuthorization(w.ctx, &jobsvc.TestAuthorizationRequest{Principal: identity, ClientID: "a", Infos: []jobsvc.AuthInfo{{ActionType: "CONNECT", Resources: []string{account.ARN("client", "a")}}}})
	w.must(err)
	if got := policyNames(attached); !slices.Equal(got, []string{"p"}) || !slices.Equal(principals.Names, []string{identity}) || results[0].Decision != "ALLOWED" {
		t.Errorf("%q, %q, %+v", got, principals.Names, results)
	}
	w.must(w.DetachPolicy(w.ctx, "p", identity))
	w.must(w.DeletePolicy(w.ctx, "p"))
	for _, stranger := range []string{"eu-west-1", ":x", "eu-west-1:", "eu-west-1:x/y", identity + "\x00"} {
		w.code(jobsvc.CodeNotFound, w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "a", Principal: stranger}))
	}
}
