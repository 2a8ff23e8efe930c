package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
)

var _ engine.Issuer = (*auth.CA)(nil)

var caNow = time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)

func newCA(t *testing.T) *auth.CA {
	t.Helper()
	ca, err := auth.NewCA(caNow)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func parseCert(t *testing.T, certPEM string) *x509.Certificate {
	t.Helper()
	block, rest := pem.Decode([]byte(certPEM))
	if block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		t.Fatalf("not one PEM certificate: %q", certPEM)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func checkDevice(t *testing.T, ca *auth.CA, certPEM string) *x509.Certificate {
	t.Helper()
	c := parseCert(t, certPEM)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate())
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: caNow, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("as a client: %v", err)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: caNow}); err == nil {
		t.Error("a device certificate passes for a server's")
	}
	if got := c.Subject.String(); got != "CN=AWS IoT Certificate" {
		t.Errorf("subject %q", got)
	}
	if got, want := c.NotAfter, time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC); !got.Equal(want) {
		t.Errorf("notAfter %v", got)
	}
	if c.SerialNumber.Sign() <= 0 || len(c.SerialNumber.Bytes()) > 20 || c.IsCA {
		t.Errorf("serial %v, CA %v", c.SerialNumber, c.IsCA)
	}
	if id := auth.CertificateID(c.Raw); len(id) != 64 || strings.ToLower(id) != id {
		t.Errorf("ID %q", id)
	}
	return c
}

func TestCAKeeps(t *testing.T) {
	ca := newCA(t)
	key, err := ca.PrivateKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := auth.LoadCA(ca.CertificatePEM(), key)
	if err != nil {
		t.Fatal(err)
	}
	csr := makeCSR(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	certPEM, err := loaded.IssueCSR(csr, caNow)
	if err != nil {
		t.Fatal(err)
	}
	checkDevice(t, ca, certPEM)

	other := newCA(t)
	if _, err := auth.LoadCA(other.CertificatePEM(), key); err == nil {
		t.Error("the key of another CA is accepted")
	}
	if _, err := auth.LoadCA([]byte(certPEM), key); err == nil {
		t.Error("a device certificate is accepted as a CA")
	}
	if _, err := auth.LoadCA(nil, nil); err == nil {
		t.Error("nothing is accepted as a CA")
	}
	if other.Certificate().Subject.String() == ca.Certificate().Subject.String() {
		t.Error("two CAs have the same name")
	}
}

func TestIssueServer(t *testing.T) {
	ca := newCA(t)
	certPEM, keyPEM, err := ca.IssueServer([]string{"localhost", "iot.example.net", "127.0.0.1", "::1"}, caNow)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	c := parseCert(t, string(certPEM))
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate())
	for _, host := range []string{"localhost", "iot.example.net", "127.0.0.1", "::1"} {
		if _, err := c.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: caNow.AddDate(2, 0, 0)}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestIssueKeys(t *testing.T) {
	ca := newCA(t)
	certPEM, privPEM, pubPEM, err := ca.IssueKeys(caNow)
	if err != nil {
		t.Fatal(err)
	}
	c := checkDevice(t, ca, certPEM)
	if got := caNow.Sub(c.NotBefore); got != 2*time.Minute {
		t.Errorf("notBefore is %v before now", got)
	}
	priv, _ := pem.Decode([]byte(privPEM))
	pub, _ := pem.Decode([]byte(pubPEM))
	if priv.Type != "RSA PRIVATE KEY" || pub.Type != "PUBLIC KEY" {
		t.Fatalf("types %q, %q", priv.Type, pub.Type)
	}
	key, err := x509.ParsePKCS1PrivateKey(priv.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pubKey, err := x509.ParsePKIXPublicKey(pub.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if key.N.BitLen() != 2048 || !key.PublicKey.Equal(pubKey) || !key.PublicKey.Equal(c.PublicKey) {
		t.Error("the keys do not belong together")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func makeCSR(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "mine"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func TestIssueCSR(t *testing.T) {
	ca := newCA(t)
	for name, key := range map[string]crypto.Signer{
		"P-256":    must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"P-384":    must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"P-521":    must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"RSA 2048": must(rsa.GenerateKey(rand.Reader, 2048)),
	} {
		csr := makeCSR(t, key)
		one, err := ca.IssueCSR(csr, caNow)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkDevice(t, ca, one)
		if two, err := ca.IssueCSR(csr, caNow); err != nil || one == two {
			t.Errorf("%s: the same CSR gives the same certificate, or %v", name, err)
		}
	}

	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	good := makeCSR(t, p256)
	block, _ := pem.Decode([]byte(good))
	forged := append([]byte(nil), block.Bytes...)
	forged[len(forged)-1] ^= 1
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, csr := range map[string]string{
		"empty":       "",
		"no PEM":      "hello",
		"two":         good + good,
		"long":        good + strings.Repeat("\n", 4096),
		"certificate": strings.ReplaceAll(good, "CERTIFICATE REQUEST", "CERTIFICATE"),
		"garbage":     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("garbage")})),
		"forged":      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: forged})),
		"P-224":       makeCSR(t, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))),
		"Ed25519":     makeCSR(t, ed),
		"RSA 1024":    makeCSR(t, must(rsa.GenerateKey(rand.Reader, 1024))),
	} {
		if _, err := ca.IssueCSR(csr, caNow); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzIssueCSR(f *testing.F) {
	f.Add(makeCSR(f, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))))
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n")
	ca := must(auth.NewCA(caNow))
	f.Fuzz(func(t *testing.T, csr string) {
		if _, err := ca.IssueCSR(csr, caNow); err != nil && jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest {
			t.Fatal(err)
		}
	})
}

func TestNewAccessKey(t *testing.T) {
	a, b := auth.NewAccessKey(jobsvc.RoleViewer, "eve", caNow), auth.NewAccessKey(jobsvc.RoleViewer, "eve", caNow)
	if len(a.ID) != 20 || !strings.HasPrefix(a.ID, "AKIA") || len(a.Secret) != 40 || a.ID == b.ID || a.Secret == b.Secret {
		t.Errorf("got %+v and %+v", a, b)
	}
	if a.Role != jobsvc.RoleViewer || a.Name != "eve" || !a.CreatedAt.Equal(caNow) {
		t.Errorf("got %+v", a)
	}
}

func TestAllows(t *testing.T) {
	for _, tc := range []struct {
		op                      string
		viewer, operator, admin bool
	}{
		{"DescribeJob", true, true, true},
		{"GetJobDocument", true, true, true},
		{"ListAttachedPolicies", true, true, true},
		{"CreateJob", false, true, true},
		{"CancelJob", false, true, true},
		{"CreateKeysAndCertificate", false, true, true},
		{"CreateAccessKey", false, false, true},
		{"ListAccessKeys", false, false, true},
	} {
		for role, want := range map[jobsvc.Role]bool{jobsvc.RoleViewer: tc.viewer, jobsvc.RoleOperator: tc.operator, jobsvc.RoleAdmin: tc.admin, "": false, "root": false} {
			if got := auth.Allows(role, tc.op); got != want {
				t.Errorf("%s as %q: %v", tc.op, role, got)
			}
		}
	}
}
