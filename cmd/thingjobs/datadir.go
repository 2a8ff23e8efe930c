package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

// dataDir is the directory of all state. What is in it:
//
//	store/             the store
//	ca.pem, ca.key     the CA that signs devices and this server: the fleet's trust
//	server.pem, .key   the server certificate, made again when names change or it ages
//	credentials.json   the first admin access key
//	endpoints.json     where the running broker listens; not there when it does not run
//	devices/           folders made by enroll
type dataDir string

func (d dataDir) path(name string) string { return filepath.Join(string(d), name) }
func (d dataDir) store() string           { return d.path("store") }
func (d dataDir) caFile() string          { return d.path("ca.pem") }
func (d dataDir) devices() string         { return d.path("devices") }
func (d dataDir) operators() string       { return d.path("operators") }

// create makes the directory, for its owner alone.
func (d dataDir) create() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	return os.Chmod(string(d), 0o700)
}

// ca loads the installation's CA, or makes it.
func (d dataDir) ca(now time.Time) (*auth.CA, error) {
	cert, errCert := os.ReadFile(d.caFile())
	key, errKey := os.ReadFile(d.path("ca.key"))
	switch {
	case errCert == nil && errKey == nil:
		ca, err := auth.LoadCA(cert, key)
		if err != nil {
			return nil, fmt.Errorf("load the CA of %s: %w", d, err)
		}
		return ca, nil
	case errors.Is(errKey, fs.ErrNotExist) && errors.Is(errCert, fs.ErrNotExist):
	default: // one of the two: making another CA would lock the fleet out
		return nil, fmt.Errorf("load the CA of %s: %w", d, errors.Join(errCert, errKey))
	}
	ca, err := auth.NewCA(now)
	if err != nil {
		return nil, err
	}
	keyPEM, err := ca.PrivateKeyPEM()
	if err != nil {
		return nil, err
	}
	// The key first: a crash in between leaves a key alone, which is reported above.
	if err := writeFile(d.path("ca.key"), keyPEM, 0o600); err != nil {
		return nil, err
	}
	return ca, writeFile(d.caFile(), ca.CertificatePEM(), 0o644)
}

// renewBefore is how long before its end a server certificate is replaced at start.
const renewBefore = 30 * 24 * time.Hour

// serverCertificate loads the server's certificate, or makes one for these names.
func (d dataDir) serverCertificate(ca *auth.CA, hosts []string, now time.Time) (tls.Certificate, error) {
	certFile, keyFile := d.path("server.pem"), d.path("server.key")
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil && cert.Leaf.CheckSignatureFrom(ca.Certificate()) == nil && now.Add(renewBefore).Before(cert.Leaf.NotAfter) &&
		!slices.ContainsFunc(hosts, func(h string) bool { return cert.Leaf.VerifyHostname(h) != nil }) {
		return cert, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cert, fmt.Errorf("load the server certificate of %s: %w", d, err)
	}
	certPEM, keyPEM, err := ca.IssueServer(hosts, now)
	if err != nil {
		return cert, err
	}
	if err := writeFile(keyFile, keyPEM, 0o600); err != nil {
		return cert, err
	}
	if err := writeFile(certFile, certPEM, 0o644); err != nil {
		return cert, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// hostNames are the names and addresses this machine answers to.
func hostNames(more []string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if h, err := os.Hostname(); err == nil {
		hosts = append(hosts, h)
	}
	addrs, _ := net.InterfaceAddrs() // without them the names above do
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			hosts = append(hosts, n.IP.String())
		}
	}
	for _, h := range more {
		if h != "" {
			hosts = append(hosts, h)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// credentials is the file with an access key.
type credentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

func (d dataDir) credentials() (c credentials, err error) {
	err = readJSON(d.path("credentials.json"), &c)
	return c, err
}

// adminKey gives the admin's access key of the file. It is made, and fresh, when there
// is none.
func (d dataDir) adminKey(now time.Time) (key jobsvc.AccessKey, fresh bool, err error) {
	c, err := d.credentials()
	switch {
	case err == nil:
		return jobsvc.AccessKey{ID: c.AccessKeyID, Secret: c.SecretAccessKey, Role: jobsvc.RoleAdmin, Name: "admin", CreatedAt: now}, false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return jobsvc.AccessKey{}, false, err
	}
	k := auth.NewAccessKey(jobsvc.RoleAdmin, "admin", now)
	return k, true, writeJSONFile(d.path("credentials.json"), credentials{k.ID, k.Secret}, 0o600)
}

// endpoints is where a running broker listens.
type endpoints struct {
	Host   string `json:"host"` // what devices are given
	MQTTS  string `json:"mqtts"`
	HTTPS  string `json:"https"`
	Admin  string `json:"admin,omitempty"`
	MQTT   string `json:"mqtt,omitempty"`
	Region string `json:"region"`
	PID    int    `json:"pid"`
}

func (d dataDir) endpointsFile() string { return d.path("endpoints.json") }

func (d dataDir) endpoints() (e endpoints, err error) {
	err = readJSON(d.endpointsFile(), &e)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("no broker runs on %s: start it with `thingjobs serve --data %s`", d, d)
	}
	return e, err
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSONFile(path string, v any, mode fs.FileMode) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'), mode)
}

// writeFile replaces a file whole: nobody ever reads half of it.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
