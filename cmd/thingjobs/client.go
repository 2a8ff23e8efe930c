package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// client calls the control plane as any AWS SDK does, for the commands that help at a
// shell. The SDK's own client of the service would weigh more than the broker: its
// signer is enough.
type client struct {
	url    string
	region string
	key    aws.Credentials
	http   *http.Client
	signer *v4.Signer
}

// localClient is the client of the broker that runs on a data directory.
func localClient(dir dataDir) (*client, error) {
	e, err := dir.endpoints()
	if err != nil {
		return nil, err
	}
	key, err := dir.credentials()
	if err != nil {
		return nil, err
	}
	return newClient("https://localhost:"+strconv.Itoa(portOf(e.HTTPS)), e.Region, dir.caFile(),
		aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey})
}

func newClient(endpoint, region, caFile string, key aws.Credentials) (*client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", caFile)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	transport.MaxIdleConnsPerHost = enrollParallel
	return &client{
		url: endpoint, region: region, key: key, signer: v4.NewSigner(),
		http: &http.Client{Transport: transport, Timeout: time.Minute},
	}, nil
}

// apiError is an error the service answered.
type apiError struct {
	Status  int
	Type    string
	Message string `json:"message"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d): %s", e.Type, e.Status, e.Message) }

func isAPIError(err error, kind string) bool {
	var e *apiError
	return errors.As(err, &e) && e.Type == kind
}

// call does one operation. path is escaped; in and out may be nil.
func (c *client) call(ctx context.Context, method, path string, header map[string]string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	hash := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, c.key, req, hex.EncodeToString(hash[:]), "iot", c.region, time.Now()); err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		e := &apiError{Status: resp.StatusCode, Type: resp.Header.Get("x-amzn-ErrorType")}
		if json.Unmarshal(answer, e) != nil {
			e.Message = http.StatusText(resp.StatusCode)
		}
		return fmt.Errorf("%s %s: %w", method, path, e)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// segment escapes one segment of a path.
func segment(s string) string { return url.PathEscape(s) }
