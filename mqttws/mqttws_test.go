package mqttws_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/gorilla/websocket"

	"github.com/thingjobs/thingjobs/broker"
	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/mqttws"
)

const (
	keyID  = "AKIAEXAMPLE"
	secret = "Only-For-This-Test"
	// emptyHash is that of no payload.
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// start serves echoes, and tells who came.
func start(t *testing.T) (srv *httptest.Server, came chan broker.Identity) {
	t.Helper()
	came = make(chan broker.Identity, 10)
	srv = httptest.NewUnstartedServer(mqttws.New(mqttws.Options{
		Serve: func(c net.Conn, id broker.Identity) {
			defer c.Close()
			came <- id
			_, _ = io.Copy(c, c)
		},
		AccessKey: func(_ context.Context, id string) (*jobsvc.AccessKey, error) {
			if id != keyID {
				return nil, jobsvc.Errorf(jobsvc.CodeUnknownAccessKey, "The security token included in the request is invalid.")
			}
			return &jobsvc.AccessKey{ID: keyID, Secret: secret}, nil
		},
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, came
}

func clientCert(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// signedURL is signed as the AWS SDKs do.
func signedURL(t *testing.T, host, key, service, query string, at time.Time) string {
	t.Helper()
	req, err := http.NewRequest("GET", "wss://"+host+mqttws.Path+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, req, emptyHash, service, "us-east-1", at)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

func TestWebSocket(t *testing.T) {
	srv, came := start(t)
	host := srv.Listener.Addr().String()
	name, port, _ := net.SplitHostPort(host)
	now := time.Now()
	good := signedURL(t, host, keyID, "iotdevicegateway", "", now)
	bare := "wss://" + host + mqttws.Path
	cert := clientCert(t)
	for _, tc := range []struct {
		name, url string
		certs     []tls.Certificate
		header    http.Header
		protocol  string
		status    int // of a refusal; 0: taken
		message   string
		key       string // by which it is taken
	}{
		{name: "signed", url: good, key: keyID},
		{name: "signed with an expiry", url: signedURL(t, host, keyID, "iotdevicegateway", "?X-Amz-Expires=86400", now), key: keyID},
		{name: "a token is added afterwards", url: good + "&X-Amz-Security-Token=a%2Fb", key: keyID},
		{name: "the host is signed without its port", url: strings.Replace(signedURL(t, name, keyID, "iotdevicegateway", "", now), "wss://"+name, "wss://"+name+":"+port, 1), key: keyID},
		{name: "a page of another origin signed it", url: good, header: http.Header{"Origin": {"https://elsewhere.example"}}, key: keyID},
		{name: "the older name of MQTT", url: good, protocol: "mqttv3.1", key: keyID},
		{name: "certificate", url: bare, certs: []tls.Certificate{cert}},
		{name: "certificate, own origin", url: bare, certs: []tls.Certificate{cert}, header: http.Header{"Origin": {"https://" + host}}},
		{name: "certificate, another origin", url: bare, certs: []tls.Certificate{cert}, header: http.Header{"Origin": {"https://elsewhere.example"}}, status: 403, message: "origin"},
		{name: "signature before certificate", url: strings.Replace(good, "Signature=", "Signature=0", 1), certs: []tls.Certificate{cert}, status: 403, message: "Signature"},
		{name: "nothing", url: bare, status: 403, message: "certificate or a signed URL"},
		{name: "a stranger's key", url: signedURL(t, host, "AKIANOBODY", "iotdevicegateway", "", now), status: 403, message: "security token"},
		{name: "another service", url: signedURL(t, host, keyID, "iot", "?X-Amz-Expires=60", now), status: 403, message: "iotdevicegateway"},
		{name: "old", url: signedURL(t, host, keyID, "iotdevicegateway", "", now.Add(-6*time.Minute)), status: 403, message: "expired"},
		{name: "tampered", url: strings.Replace(good, "us-east-1", "us-east-2", 1), status: 403, message: "does not match"},
		{name: "no MQTT", url: good, protocol: "chat", status: 400, message: "subprotocol"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			protocol := tc.protocol
			if protocol == "" {
				protocol = "mqtt"
			}
			d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: tc.certs}, Subprotocols: []string{protocol}}
			ws, res, err := d.Dial(tc.url, tc.header)
			if tc.status != 0 {
				if err == nil || res == nil || res.StatusCode != tc.status {
					t.Fatalf("%v, %v, want %d", res, err, tc.status)
				}
				body, _ := io.ReadAll(res.Body)
				if !strings.Contains(string(body), tc.message) {
					t.Errorf("the answer is %s", body)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer ws.Close()
			if ws.Subprotocol() != protocol {
				t.Errorf("the subprotocol is %q", ws.Subprotocol())
			}
			id := <-came
			if id.AccessKeyID != tc.key || (id.CertificateID != "") != (len(tc.certs) > 0) || id.Insecure {
				t.Errorf("it is taken for %+v", id)
			}
			// A stream: however the bytes are cut into messages.
			sent := bytes.Repeat([]byte("0123456789"), 5000)
			for _, part := range [][]byte{sent[:1], {}, sent[1:30000], sent[30000:]} {
				if err := ws.WriteMessage(websocket.BinaryMessage, part); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(mqttws.NetConn(ws), got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("what came back is not what was sent: %v", err)
			}
			// MQTT is binary.
			if err := ws.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseUnsupportedData) {
				t.Errorf("after text: %v", err)
			}
		})
	}
	res, err := srv.Client().Get(srv.URL + mqttws.Path)
	if err != nil || res.StatusCode != http.StatusUpgradeRequired || res.Header.Get("Upgrade") != "websocket" {
		t.Errorf("plain HTTP: %v, %v", res, err)
	}
}

// TestTooLarge: a message that is larger than any packet may be ends the connection.
func TestTooLarge(t *testing.T) {
	srv, _ := start(t)
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Subprotocols: []string{"mqtt"}}
	ws, _, err := d.Dial(signedURL(t, srv.Listener.Addr().String(), keyID, "iotdevicegateway", "", time.Now()), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if err := ws.WriteMessage(websocket.BinaryMessage, make([]byte, 257<<10)); err != nil {
		t.Fatal(err)
	}
	if err := ws.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// The server may be gone before its word arrives.
	n, err := io.Copy(io.Discard, mqttws.NetConn(ws))
	if late := (net.Error)(nil); errors.As(err, &late) && late.Timeout() || n >= 257<<10 {
		t.Errorf("%d bytes came back, and the connection ended with %v", n, err)
	}
}
