package main

import (
	"bufio"
	"crypto/tls"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/gorilla/websocket"

	"github.com/thingjobs/thingjobs/mqttws"
)

// overWebSocket connects by a URL and says CONNECT; it gives the CONNACK's code.
func (s *server) overWebSocket(version byte, uri string, cfg *tls.Config, clientID string) (*mqttDevice, byte) {
	s.t.Helper()
	ws, res, err := (&websocket.Dialer{TLSClientConfig: cfg, Subprotocols: []string{"mqtt"}}).Dial(uri, nil)
	if err != nil {
		s.t.Fatalf("%v: %+v", err, res)
	}
	s.t.Cleanup(func() { ws.Close() })
	conn := mqttws.NetConn(ws)
	d := &mqttDevice{t: s.t, version: version, conn: conn, in: bufio.NewReader(conn)}
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		s.t.Fatal(err)
	}
	return d, d.hello(clientID)
}

// TestWebSocket: a device and an operator over WebSocket do what they do over a socket.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	s := startServer(t, serveOptions{})
	defer s.stop()
	dir := s.enroll("pump-1")[0]
	e, err := s.dir.endpoints()
	if err != nil {
		t.Fatal(err)
	}
	bare := "wss://" + e.HTTPS + mqttws.Path
	key, _, err := s.dir.adminKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest("GET", bare, nil)
	if err != nil {
		t.Fatal(err)
	}
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}, req, emptyHash, "iotdevicegateway", "us-east-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	deviceTLS := folderTLS(t, dir)
	operatorTLS := &tls.Config{RootCAs: deviceTLS.RootCAs, ServerName: "localhost"}
	for _, version := range []byte{4, 5} {
		operator, code := s.overWebSocket(version, signed, operatorTLS, "console")
		if code != 0 {
			t.Fatalf("the operator is refused with %#x", code)
		}
		for _, filter := range []string{"$aws/events/job/#", "$aws/events/jobExecution/#"} {
			if code := operator.subscribe(filter); code != 1 {
				t.Fatalf("SUBACK %#x", code)
			}
		}
		device, code := s.overWebSocket(version, bare, deviceTLS, filepath.Base(dir))
		if code != 0 {
			t.Fatalf("the device is refused with %#x", code)
		}
		job := "job-" + string('0'+version)
		s.createJob(job, `{}`, s.thing("pump-1"))
		s.settled("rolled out", func() bool { _, counts := s.job(job); return counts.Queued == 1 })
		if outcome, _, payload, err := device.tryRequest("pump-1", "start-next", `{}`); err != nil || outcome != "accepted" {
			t.Fatalf("start-next: %s %s %v", outcome, payload, err)
		}
		if outcome, _, payload, err := device.tryRequest("pump-1", job+"/update", `{"status":"SUCCEEDED"}`); err != nil || outcome != "accepted" {
			t.Fatalf("update: %s %s %v", outcome, payload, err)
		}
		operator.mustNext("jobExecution/" + job + "/succeeded")
		operator.mustNext("job/" + job + "/completed")
		if _, code := s.overWebSocket(version, signed, operatorTLS, "pump-1"); code == 0 {
			t.Error("an access key is taken for a device")
		}
	}
}
