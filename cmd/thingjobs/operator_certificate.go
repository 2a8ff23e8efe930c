package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

type operatorCertificateCmd struct {
	Name string `arg:"" help:"Name of the operator, which is the folder's too: letters, digits and _+=,.@-"`
	Out  string `name:"out" help:"Where the folder is made. Default: operators below the data directory." placeholder:"DIR"`
}

// operatorNamePattern: no folder begins with a dot.
var operatorNamePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_+=,.@-]{0,63}$`)

// operatorConfig is config.json of an operator's folder. The files are beside it.
type operatorConfig struct {
	CertificateID string `json:"certificateId"`
	Endpoint      string `json:"endpoint"`
	Port          int    `json:"port"`
	ClientID      string `json:"clientId"`
	CAFile        string `json:"caFile"`
	CertFile      string `json:"certFile"`
	KeyFile       string `json:"keyFile"`
}

// Run makes a key and a certificate that is attached to no thing, and prints the
// certificate's ID. What it may do is for the configuration to say.
func (c *operatorCertificateCmd) Run(ctx context.Context, s streams, parent *operatorCmd) error {
	if !operatorNamePattern.MatchString(c.Name) {
		return fmt.Errorf("%q is no name of an operator", c.Name)
	}
	dir := dataDir(parent.Data)
	e, err := localEnroller(dir, c.Out)
	if err != nil {
		return err
	}
	if c.Out == "" {
		e.out = dir.operators()
	}
	folder := filepath.Join(e.out, c.Name)
	cfg, err := e.operator(ctx, c.Name, folder)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "%s has what an MQTT client needs. Let it subscribe to events with\n\nauth:\n  operatorCertificates: [%s]\n\nin the configuration, or --auth-operator-certificates, and a restart.\n", folder, cfg.CertificateID)
	_, err = fmt.Fprintln(s.out, cfg.CertificateID)
	return err
}

// operator makes the folder, unless it is complete.
func (e *enroller) operator(ctx context.Context, name, dir string) (*operatorConfig, error) {
	cfg := operatorConfig{
		Endpoint: e.host, Port: e.port, ClientID: name,
		CAFile: "ca.pem", CertFile: "operator.pem.crt", KeyFile: "operator.key",
	}
	// config.json is written last: with it the folder is complete.
	config := filepath.Join(dir, "config.json")
	if _, err := os.Stat(config); err == nil {
		return &cfg, readJSON(config, &cfg)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	keyPEM, csrPEM, err := newSigningRequest(name)
	if err != nil {
		return nil, err
	}
	var cert struct{ CertificateID, CertificatePEM string }
	err = e.client.call(ctx, "POST", "/certificates?setAsActive=true", nil, map[string]string{"certificateSigningRequest": string(csrPEM)}, &cert)
	if err != nil {
		return nil, err
	}
	cfg.CertificateID = cert.CertificateID
	for _, f := range []struct {
		name string
		text []byte
		mode os.FileMode
	}{{cfg.KeyFile, keyPEM, 0o600}, {cfg.CertFile, []byte(cert.CertificatePEM), 0o644}, {cfg.CAFile, e.ca, 0o644}} {
		if err := writeFile(filepath.Join(dir, f.name), f.text, f.mode); err != nil {
			return nil, err
		}
	}
	return &cfg, writeJSONFile(config, cfg, 0o644)
}
