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
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// controlPlane asks an operator's questions, signed as any AWS SDK does. The SDK's own client of
// the service would be most of this program.
type controlPlane struct {
	url    string
	region string
	key    aws.Credentials
	http   *http.Client
}

// newControlPlane takes the address and the credentials where the aws CLI does.
func newControlPlane(env func(string) string, roots *x509.CertPool) (*controlPlane, error) {
	c := &controlPlane{
		url:    strings.TrimSuffix(env("AWS_ENDPOINT_URL_IOT"), "/"),
		region: env("AWS_REGION"),
		key: aws.Credentials{AccessKeyID: env("AWS_ACCESS_KEY_ID"), SecretAccessKey: env("AWS_SECRET_ACCESS_KEY"),
			SessionToken: env("AWS_SESSION_TOKEN")},
	}
	if c.url == "" {
		c.url = strings.TrimSuffix(env("AWS_ENDPOINT_URL"), "/")
	}
	if c.region == "" {
		c.region = env("AWS_DEFAULT_REGION")
	}
	if c.url == "" && c.region != "" {
		c.url = "https://iot." + c.region + ".amazonaws.com"
	}
	if c.url == "" || c.region == "" || c.key.AccessKeyID == "" || c.key.SecretAccessKey == "" {
		return nil, errors.New("an operator's questions need AWS_ENDPOINT_URL_IOT, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	if file := env("AWS_CA_BUNDLE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
		if roots == nil {
			roots = x509.NewCertPool()
		} else {
			roots = roots.Clone()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: no certificate in %s", file)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	c.http = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return c, nil
}

// processDetails are the counters of a job.
type processDetails struct {
	Succeeded int `json:"numberOfSucceededThings"`
	Failed    int `json:"numberOfFailedThings"`
	Rejected  int `json:"numberOfRejectedThings"`
}

// call makes a signed request. in and out are bodies in JSON; nil for none.
func (c *controlPlane) call(ctx context.Context, method, path string, in, out any) error {
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
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, c.key, req, hex.EncodeToString(hash[:]), "iot", c.region, time.Now()); err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to the end
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s %.200s", method, path, resp.Status, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// describeJob returns the counters of a job.
func (c *controlPlane) describeJob(ctx context.Context, job string) (processDetails, error) {
	var answer struct {
		Job struct {
			JobProcessDetails processDetails `json:"jobProcessDetails"`
		} `json:"job"`
	}
	err := c.call(ctx, http.MethodGet, "/jobs/"+url.PathEscape(job), nil, &answer)
	return answer.Job.JobProcessDetails, err
}

// tally counts how the last attempts of each job ended, as devices know it: of the jobs whose ID
// begins with prefix.
func tally(all []*witness, prefix string) map[string]processDetails {
	jobs := make(map[string]processDetails)
	for _, w := range all {
		last := make(map[string]executionKey)
		ended := make(map[executionKey]string)
		w.outcomes(func(k executionKey, status string) {
			ended[k] = status
			if k.number >= last[k.job].number {
				last[k.job] = k
			}
		})
		for job, k := range last {
			if !strings.HasPrefix(job, prefix) {
				continue
			}
			n := jobs[job]
			switch ended[k] {
			case statusSucceeded:
				n.Succeeded++
			case statusFailed:
				n.Failed++
			case statusRejected:
				n.Rejected++
			}
			jobs[job] = n
		}
	}
	return jobs
}

// compare judges the counters of every job that devices of the fleet had. All targets of those jobs
// must be in the fleet: a run that makes jobs answers for those alone (prefix). A service may count some time later than it answers: it has until grace ends.
func (c *controlPlane) compare(ctx context.Context, all []*witness, v *verdicts, prefix string, grace time.Duration) {
	overdue := time.Now().Add(grace)
	jobs := tally(all, prefix)
	for _, job := range slices.Sorted(maps.Keys(jobs)) {
		want := jobs[job]
		got, err := c.describeJob(ctx, job)
		for err == nil && got != want && time.Now().Before(overdue) && sleep(ctx, 100*time.Millisecond) == nil {
			got, err = c.describeJob(ctx, job)
		}
		switch {
		case err != nil:
			v.failed(checkCounters, "%v", err)
		case got != want:
			v.failed(checkCounters, "%s: the server counts %+v, the devices reported %+v", job, got, want)
		default:
			v.passed(checkCounters, 1)
		}
	}
}
