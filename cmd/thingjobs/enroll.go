package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/errgroup"

	"github.com/thingjobs/thingjobs/jobsvc"
)

type enrollCmd struct {
	Things   []string `arg:"" name:"thing" help:"Names of the things."`
	Data     string   `name:"data" default:"./thingjobs-data" help:"Data directory of the running broker."`
	Endpoint string   `name:"endpoint" help:"URL of a broker elsewhere, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION set, and --ca." placeholder:"URL"`
	CA       string   `name:"ca" help:"CA certificate of the broker elsewhere; it goes into the folders." type:"existingfile" placeholder:"FILE"`
	MQTTPort int      `name:"mqtt-port" default:"8883" help:"MQTT port of the broker elsewhere."`
	Out      string   `name:"out" help:"Where the folders are made. Default: devices below the data directory." placeholder:"DIR"`
}

// Run enrolls the things, a few at a time.
func (c *enrollCmd) Run(ctx context.Context, s streams) error {
	e, err := c.enroller()
	if err != nil {
		return err
	}
	dirs, err := e.enrollAll(ctx, c.Things)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		fmt.Fprintln(s.out, d)
	}
	return nil
}

func (c *enrollCmd) enroller() (*enroller, error) {
	if c.Endpoint == "" {
		return localEnroller(dataDir(c.Data), c.Out)
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("--endpoint %q is not an https URL", c.Endpoint)
	}
	if c.CA == "" {
		return nil, errors.New("--endpoint needs --ca: devices must know whom to trust")
	}
	region := os.Getenv("AWS_REGION")
	if region == "" {
		return nil, errors.New("--endpoint needs AWS_REGION")
	}
	ca, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, err
	}
	cl, err := newClient(strings.TrimSuffix(c.Endpoint, "/"), region, c.CA, aws.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	})
	if err != nil {
		return nil, err
	}
	out := c.Out
	if out == "" {
		out = "devices"
	}
	return &enroller{client: cl, ca: ca, host: u.Hostname(), port: c.MQTTPort, out: out}, nil
}

// localEnroller enrolls at the broker that runs on a data directory.
func localEnroller(dir dataDir, out string) (*enroller, error) {
	cl, err := localClient(dir)
	if err != nil {
		return nil, err
	}
	e, err := dir.endpoints()
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(dir.caFile())
	if err != nil {
		return nil, err
	}
	if out == "" {
		out = dir.devices()
	}
	return &enroller{client: cl, ca: ca, host: e.Host, port: portOf(e.MQTTS), out: out}, nil
}

// enroller makes devices known and gives each what it needs to connect.
type enroller struct {
	client *client
	ca     []byte
	host   string
	port   int
	out    string
}

// enrollParallel is how many things are enrolled at a time.
const enrollParallel = 8

// devicePolicy is the name of the policy that enrolled certificates get: what a device
// needs for its own jobs and nothing else.
const devicePolicy = "thingjobs-device"

// deviceConfig is config.json of a device's folder. The files are beside it.
type deviceConfig struct {
	ThingName string `json:"thingName"`
	Endpoint  string `json:"endpoint"`
	Port      int    `json:"port"`
	ClientID  string `json:"clientId"`
	CAFile    string `json:"caFile"`
	CertFile  string `json:"certFile"`
	KeyFile   string `json:"keyFile"`
}

// policy makes the devices' policy unless it is there. The ARN of any thing tells the
// account.
func (e *enroller) policy(ctx context.Context, thingARN string) error {
	account, _, ok := strings.Cut(thingARN, ":"+jobsvc.ARNThing+"/")
	if !ok {
		return fmt.Errorf("the service gave %q as the ARN of a thing", thingARN)
	}
	arn := func(kind, name string) string { return account + ":" + kind + "/" + name }
	const thing = "${iot:Connection.Thing.ThingName}"
	doc, err := json.Marshal(map[string]any{
		"Version": "2012-10-17",
		"Statement": []map[string]any{
			// Agents open several connections, as pump-1 and pump-1#2.
			{"Effect": "Allow", "Action": "iot:Connect", "Resource": []string{arn("client", thing), arn("client", thing+"#*")}},
			{"Effect": "Allow", "Action": []string{"iot:Publish", "iot:Receive"}, "Resource": arn("topic", "$aws/things/"+thing+"/jobs/*")},
			// They subscribe to shadows by habit, where nothing is ever published.
			{"Effect": "Allow", "Action": "iot:Subscribe", "Resource": arn("topicfilter", "$aws/things/"+thing+"/*")},
			{"Effect": "Allow", "Action": "iotjobsdata:*", "Resource": arn("thing", thing)},
		},
	})
	if err != nil {
		return err
	}
	err = e.client.call(ctx, "POST", "/policies/"+devicePolicy, nil, map[string]string{"policyDocument": string(doc)}, nil)
	if isAPIError(err, "ResourceAlreadyExistsException") {
		return nil
	}
	return err
}

// enrollAll enrolls things and gives their folders, in order. A thing whose folder is
// complete is left as it is.
func (e *enroller) enrollAll(ctx context.Context, things []string) ([]string, error) {
	for _, t := range things {
		if err := jobsvc.ValidateName("thingName", t); err != nil {
			return nil, err
		}
	}
	// The first thing alone: it tells the account, which the policy needs.
	arn, err := e.createThing(ctx, things[0])
	if err != nil {
		return nil, err
	}
	if err := e.policy(ctx, arn); err != nil {
		return nil, err
	}
	dirs := make([]string, len(things))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(enrollParallel)
	for i, t := range things {
		dirs[i] = filepath.Join(e.out, t)
		g.Go(func() error {
			if err := e.enroll(ctx, t, dirs[i]); err != nil {
				return fmt.Errorf("enroll %s: %w", t, err)
			}
			return nil
		})
	}
	return dirs, g.Wait()
}

func (e *enroller) enroll(ctx context.Context, thing, dir string) error {
	if _, err := e.createThing(ctx, thing); err != nil {
		return err
	}
	cfg := deviceConfig{
		ThingName: thing, Endpoint: e.host, Port: e.port, ClientID: thing,
		CAFile: "ca.pem", CertFile: "device.pem.crt", KeyFile: "device.key",
	}
	// config.json is written last: with it the folder is complete. Its address may have
	// changed since.
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil {
		return writeJSONFile(filepath.Join(dir, "config.json"), cfg, 0o644)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The key is made here and never travels: the service sees a signing request.
	keyPEM, csrPEM, err := newSigningRequest(thing)
	if err != nil {
		return err
	}
	var cert struct{ CertificateARN, CertificatePEM string }
	err = e.client.call(ctx, "POST", "/certificates?setAsActive=true", nil, map[string]string{"certificateSigningRequest": string(csrPEM)}, &cert)
	if err != nil {
		return err
	}
	if err := e.client.call(ctx, "PUT", "/target-policies/"+devicePolicy, nil, map[string]string{"target": cert.CertificateARN}, nil); err != nil {
		return err
	}
	if err := e.client.call(ctx, "PUT", "/things/"+segment(thing)+"/principals", map[string]string{"x-amzn-principal": cert.CertificateARN}, nil, nil); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, cfg.KeyFile), keyPEM, 0o600); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, cfg.CertFile), []byte(cert.CertificatePEM), 0o644); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, cfg.CAFile), e.ca, 0o644); err != nil {
		return err
	}
	return writeJSONFile(filepath.Join(dir, "config.json"), cfg, 0o644)
}

// createThing makes a thing, or finds it, and gives its ARN.
func (e *enroller) createThing(ctx context.Context, name string) (string, error) {
	var thing struct{ ThingARN string }
	err := e.client.call(ctx, "POST", "/things/"+segment(name), nil, struct{}{}, &thing)
	if isAPIError(err, "ResourceAlreadyExistsException") { // with attributes: not ours to change
		err = e.client.call(ctx, "GET", "/things/"+segment(name), nil, nil, &thing)
	}
	return thing.ThingARN, err
}

func newSigningRequest(thing string) (keyPEM, csrPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: thing}}, key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), nil
}
