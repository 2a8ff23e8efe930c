package main

import (
	"testing"
	"time"
)

// TestForeignCertificate: a certificate that a factory made is registered without its CA.
// The broker lets its devices in for what it is, while it is ACTIVE.
func TestForeignCertificate(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{})
	pump := s.thing("pump-1")
	now := time.Now()
	certPEM, keyPEM, err := selfSigned(now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	otherPEM, otherKey, err := selfSigned(now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	const refused = 0x87
	connect := func(what string, want byte) *mqttDevice {
		t.Helper()
		d, code := s.connect(5, s.certTLS(certPEM, keyPEM), "pump-1")
		if code != want {
			t.Fatalf("%s: CONNACK %#x, want %#x", what, code, want)
		}
		return d
	}
	status := func(id, to string) { t.Helper(); s.api("PUT", "/certificates/"+id+"?newStatus="+to, nil, nil) }
	connect("not registered", refused).ended()

	var cert struct{ CertificateARN, CertificateID string }
	s.api("POST", "/certificate/register-no-ca", map[string]string{"certificatePem": certPEM}, &cert)
	if err := s.call(s.t.Context(), "PUT", "/things/pump-1/principals", map[string]string{"x-amzn-principal": cert.CertificateARN}, nil, nil); err != nil {
		t.Fatal(err)
	}
	connect("INACTIVE", refused).ended()

	status(cert.CertificateID, "ACTIVE")
	d := connect("ACTIVE", 0)
	s.createJob("fw", `{"op":"hello"}`, pump)
	s.settled("the job is rolled out", func() bool { _, counts := s.job("fw"); return counts.Queued == 1 })
	for _, request := range [][2]string{{"start-next", `{}`}, {"fw/update", `{"status":"SUCCEEDED"}`}} {
		if outcome, _, raw := d.request("pump-1", request[0], request[1]); outcome != "accepted" {
			t.Errorf("%s: %s", request[0], raw)
		}
	}
	// One of the same subject and issuer that is not registered is somebody else's.
	if stranger, code := s.connect(5, s.certTLS(otherPEM, otherKey), "pump-1"); code != refused {
		t.Errorf("another certificate: CONNACK %#x", code)
	} else {
		stranger.ended()
	}

	status(cert.CertificateID, "REVOKED") // ends the connection
	d.ended()
	connect("REVOKED", refused).ended()
	s.stop()
}
