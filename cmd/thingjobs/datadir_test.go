package main

import (
	"bytes"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

func newDataDir(t *testing.T) dataDir {
	t.Helper()
	d := dataDir(filepath.Join(t.TempDir(), "some", "data"))
	if err := d.create(); err != nil {
		t.Fatal(err)
	}
	return d
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestDataDirModes(t *testing.T) {
	t.Parallel()
	d := newDataDir(t)
	if err := os.Chmod(string(d), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.create(); err != nil { // one that is there already
		t.Fatal(err)
	}
	now := time.Now()
	ca := newCA(t, d, now)
	if _, err := d.serverCertificate(ca, hostNames(nil), now); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.adminKey(now); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"": 0o700, "ca.key": 0o600, "server.key": 0o600, "credentials.json": 0o600, "ca.pem": 0o644, "server.pem": 0o644} {
		if got := mode(t, d.path(name)); got != want {
			t.Errorf("%q has mode %o, want %o", name, got, want)
		}
	}
	left, err := filepath.Glob(d.path(".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %q %v", left, err)
	}
}

func newCA(t *testing.T, d dataDir, now time.Time) *auth.CA {
	t.Helper()
	ca, err := d.ca(now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestHalfCA: with one half lost, another CA would lock out the fleet.
func TestHalfCA(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"ca.pem", "ca.key"} {
		d := newDataDir(t)
		ca := newCA(t, d, time.Now())
		if again := newCA(t, d, time.Now()); !bytes.Equal(again.CertificatePEM(), ca.CertificatePEM()) {
			t.Error("the second start has another CA")
		}
		if err := os.Remove(d.path(lost)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ca(time.Now()); err == nil || !strings.Contains(err.Error(), lost) {
			t.Errorf("without %s: %v", lost, err)
		}
		if _, err := os.Stat(d.path(lost)); err == nil {
			t.Errorf("%s was made again", lost)
		}
	}
	d := newDataDir(t)
	newCA(t, d, time.Now())
	if err := os.WriteFile(d.path("ca.pem"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ca(time.Now()); err == nil {
		t.Error("a damaged CA was loaded")
	}
}

func TestServerCertificate(t *testing.T) {
	t.Parallel()
	d := newDataDir(t)
	now := time.Now()
	ca := newCA(t, d, now)
	get := func(ca *auth.CA, now time.Time, hosts ...string) *x509.Certificate {
		t.Helper()
		cert, err := d.serverCertificate(ca, hosts, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hosts {
			if err := cert.Leaf.VerifyHostname(h); err != nil {
				t.Error(err)
			}
		}
		return cert.Leaf
	}
	first := get(ca, now, "localhost", "127.0.0.1", "a.example")
	if again := get(ca, now, "localhost", "a.example"); !again.Equal(first) {
		t.Error("made again although it has all names")
	}
	second := get(ca, now, "localhost", "127.0.0.1", "b.example", "192.0.2.1")
	if second.Equal(first) {
		t.Error("not made again for other names")
	}
	late := second.NotAfter.Add(-renewBefore + time.Hour)
	third := get(ca, late, "localhost", "b.example")
	if third.Equal(second) || !third.NotAfter.After(second.NotAfter) {
		t.Errorf("valid until %s, at %s there is one until %s", second.NotAfter, late, third.NotAfter)
	}
	other := newCA(t, newDataDir(t), now)
	if fourth := get(other, now, "localhost"); fourth.CheckSignatureFrom(other.Certificate()) != nil {
		t.Error("not made again for another CA")
	}
	if err := os.WriteFile(d.path("server.key"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.serverCertificate(ca, []string{"localhost"}, now); err == nil {
		t.Error("a damaged key was overwritten without a word")
	}
}

func TestAdminKey(t *testing.T) {
	t.Parallel()
	d := newDataDir(t)
	k, fresh, err := d.adminKey(time.Now())
	if err != nil || !fresh || k.ID == "" || len(k.Secret) < 40 {
		t.Fatalf("made %q with a secret of %d characters, %v", k.ID, len(k.Secret), err)
	}
	if again, _, err := d.adminKey(time.Now()); err != nil || again.ID != k.ID || again.Secret != k.Secret {
		t.Errorf("the second start has another key: %v", err)
	}
	if err := os.WriteFile(d.path("credentials.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.adminKey(time.Now()); err == nil {
		t.Error("a damaged file was overwritten without a word")
	}
}

func TestEndpointsOfNoBroker(t *testing.T) {
	t.Parallel()
	if _, err := newDataDir(t).endpoints(); err == nil || !strings.Contains(err.Error(), "thingjobs serve") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}
