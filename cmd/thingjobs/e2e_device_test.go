package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keysAndCertificate makes a certificate as an operator does and gives it with its key.
func (s *server) keysAndCertificate(things ...string) (arn, certPEM, keyPEM string) {
	s.t.Helper()
	var out struct {
		CertificateARN, CertificatePEM string
		KeyPair                        struct{ PrivateKey string }
	}
	s.api("POST", "/keys-and-certificate?setAsActive=true", nil, &out)
	for _, t := range things {
		if err := s.call(s.t.Context(), "PUT", "/things/"+t+"/principals", map[string]string{"x-amzn-principal": out.CertificateARN}, nil, nil); err != nil {
			s.t.Fatal(err)
		}
	}
	s.secrets = append(s.secrets, strings.Split(out.KeyPair.PrivateKey, "\n")[1])
	return out.CertificateARN, out.CertificatePEM, out.KeyPair.PrivateKey
}

// background is a client that runs beside the test.
type background struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	lines chan string // of its output, closed at its end
	errs  bytes.Buffer
}

func startBackground(t *testing.T, name string, args ...string) *background {
	t.Helper()
	b := &background{t: t, name: name, cmd: exec.CommandContext(within(t), name, args...), lines: make(chan string, 100)}
	b.cmd.Env = cleanEnv(t)
	b.cmd.Stderr = &b.errs
	b.cmd.WaitDelay = time.Second
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(b.lines)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			b.lines <- in.Text()
		}
		_, _ = io.Copy(io.Discard, stdout) // a line too long
	}()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill() // gone already: as wanted
		for range b.lines {      // nobody reads on
		}
		<-ended
		_ = b.cmd.Wait()
	})
	return b
}

// line waits for a line of the output that has a text.
func (b *background) line(text string) string {
	b.t.Helper()
	for {
		select {
		case line, ok := <-b.lines:
			if !ok {
				_ = b.cmd.Wait()
				b.t.Fatalf("%s ended without %q: %s %s", b.name, text, b.cmd.ProcessState, &b.errs)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-time.After(patience):
			b.t.Fatalf("%s: no %q within %s", b.name, text, patience)
		}
	}
}

// TestMosquitto runs jobs with mosquitto's clients, MQTT 3.1.1 and mutual TLS, with a
// certificate and an RSA key that the service made: the README's Raspberry Pi.
func TestMosquitto(t *testing.T) {
	t.Parallel()
	sub, pub, rr := tool(t, "mosquitto_sub"), tool(t, "mosquitto_pub"), tool(t, "mosquitto_rr")
	s := startServer(t, serveOptions{})
	arn := s.thing("pump-1")
	_, cert, key := s.keysAndCertificate("pump-1")
	dir := t.TempDir()
	for name, text := range map[string]string{"device.pem.crt": cert, "device.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := s.dir.endpoints()
	if err != nil {
		t.Fatal(err)
	}
	for _, over := range []struct{ job, port, alpn string }{
		{"by-8883", mqttPort(e.MQTTS), ""},
		{"by-alpn", mqttPort(e.HTTPS), "x-amzn-mqtt-ca"},
	} {
		tls := []string{"-h", "localhost", "-p", over.port, "-V", "mqttv311", "-q", "1", "--cafile", s.dir.caFile(),
			"--cert", filepath.Join(dir, "device.pem.crt"), "--key", filepath.Join(dir, "device.key")}
		if over.alpn != "" {
			tls = append(tls, "--tls-alpn", over.alpn)
		}
		with := func(args ...string) []string { return append(append([]string(nil), tls...), args...) }
		const jobs = "$aws/things/pump-1/jobs/"

		// stdbuf: mosquitto_sub keeps what it says of its connection back in a pipe.
		listener := startBackground(t, tool(t, "stdbuf"), append([]string{"-oL", sub}, with("-i", "pump-1", "-d", "-v", "-t", jobs+"notify-next", "-C", "1")...)...)
		listener.line("Subscribed")
		s.createJob(over.job, `{"op":"hello"}`, arn)
		notified := listener.line(jobs + "notify-next ")
		if !strings.Contains(notified, `"jobId":"`+over.job+`"`) || !strings.Contains(notified, `"jobDocument":{"op":"hello"}`) {
			t.Errorf("%s: notify-next brought %s", over.job, notified)
		}
		out, errs, status := runCommand(t, cleanEnv(t), rr, with("-i", "pump-1#rr", "-t", jobs+"start-next", "-m", `{"clientToken":"t1"}`, "-e", jobs+"start-next/accepted", "-W", "20")...)
		if status != 0 || !strings.Contains(out, `"status":"IN_PROGRESS"`) || !strings.Contains(out, `"clientToken":"t1"`) {
			t.Errorf("%s: start-next: %d %s %s", over.job, status, out, errs)
		}
		_, errs, status = runCommand(t, cleanEnv(t), pub, with("-i", "pump-1#pub", "-t", jobs+over.job+"/update", "-m", `{"status":"SUCCEEDED"}`)...)
		if status != 0 {
			t.Errorf("%s: update: %d %s", over.job, status, errs)
		}
		// Acknowledged means that it is so.
		if x := s.executionOf("pump-1", over.job); x.Status != "SUCCEEDED" {
			t.Errorf("%s: the execution is %+v", over.job, x)
		}
		s.settled("the job is complete", func() bool { status, counts := s.job(over.job); return status == "COMPLETED" && counts.Succeeded == 1 })
	}
	s.stop()
}

// TestPaho runs jobs with Python's paho, MQTT 5, as a device made by enroll.
func TestPaho(t *testing.T) {
	t.Parallel()
	python := debianPython(t, "paho.mqtt.client")
	s := startServer(t, serveOptions{})
	dir := s.enroll("pump-1")[0]
	e, err := s.dir.endpoints()
	if err != nil {
		t.Fatal(err)
	}
	for _, over := range []struct{ job, port, alpn string }{
		{"by-8883", mqttPort(e.MQTTS), ""},
		{"by-alpn", mqttPort(e.HTTPS), "x-amzn-mqtt-ca"},
	} {
		device := startBackground(t, python, "testdata/paho_device.py", dir, "localhost", over.port, over.job, over.alpn)
		device.line("ready")
		s.createJob(over.job, `{"op":"hello"}`, s.thing("pump-1"))
		device.line("ok")
		x := s.executionOf("pump-1", over.job)
		if d := x.StatusDetails.DetailsMap; x.Status != "SUCCEEDED" || x.VersionNumber != 4 || d["step"] != "done" || len(d) != 1 {
			t.Errorf("%s: the execution is %+v", over.job, x)
		}
		s.settled("the job is complete", func() bool { status, counts := s.job(over.job); return status == "COMPLETED" && counts.Succeeded == 1 })
	}
	s.stop()
}
