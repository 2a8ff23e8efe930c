package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// identity is a device as its folder describes it.
type identity struct {
	thing    string
	clientID string
	host     string
	port     int
	cert     tls.Certificate
	roots    *x509.CertPool
}

// folderConfig is config.json of a device folder. File names are relative to the folder.
type folderConfig struct {
	ThingName string `json:"thingName"`
	Endpoint  string `json:"endpoint"`
	Port      int    `json:"port"`
	ClientID  string `json:"clientId"`
	CAFile    string `json:"caFile"`
	CertFile  string `json:"certFile"`
	KeyFile   string `json:"keyFile"`
}

// folders selects device folders and says what to use instead of what they say.
type folders struct {
	dir      string
	glob     string // of the folder name; empty for all
	count    int    // at most so many, in order of the name; 0 for all
	endpoint string // instead of the one in config.json, if not empty
	port     int    // likewise, if not 0
}

// load reads the selected folders. The error lists every folder that cannot be used, one a line.
func (f folders) load() ([]identity, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("device folders: %w", err)
	}
	var (
		ids  []identity
		errs []error
		// A fleet shares one root; parsing it once a device would cost more than the keys do.
		pools = make(pools)
		seen  = make(map[string]string) // thing → folder
	)
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || !f.isDir(e) {
			continue
		}
		if f.glob != "" {
			if ok, err := path.Match(f.glob, name); err != nil {
				return nil, fmt.Errorf("pattern %q: %w", f.glob, err)
			} else if !ok {
				continue
			}
		}
		if f.count > 0 && len(ids)+len(errs) == f.count {
			break
		}
		id, err := f.loadOne(name, pools)
		if err == nil && seen[id.thing] != "" {
			err = fmt.Errorf("is the thing %q, as is the folder %s", id.thing, seen[id.thing])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Join(f.dir, name), err))
			continue
		}
		seen[id.thing] = name
		ids = append(ids, id)
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%d unusable device folders:\n%w", len(errs), errors.Join(errs...))
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("no device folder in %s matches", f.dir)
	}
	if f.count > len(ids) {
		return nil, fmt.Errorf("%d devices wanted, %s has %d that match", f.count, f.dir, len(ids))
	}
	return ids, nil
}

// isDir reports whether an entry is a folder or a link to one.
func (f folders) isDir(e os.DirEntry) bool {
	info, err := os.Stat(filepath.Join(f.dir, e.Name()))
	return err == nil && info.IsDir()
}

func (f folders) loadOne(name string, pools pools) (identity, error) {
	dir := filepath.Join(f.dir, name)
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return identity{}, withoutPath(err, "config.json")
	}
	var c folderConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return identity{}, fmt.Errorf("config.json: %w", err)
	}
	id := identity{
		thing: cmp.Or(c.ThingName, name),
		host:  cmp.Or(f.endpoint, c.Endpoint),
		port:  cmp.Or(f.port, c.Port, 8883),
	}
	id.clientID = cmp.Or(c.ClientID, id.thing)
	if id.host == "" {
		return identity{}, errors.New("config.json names no endpoint; give --endpoint")
	}

	in := func(file, preset string) string {
		file = cmp.Or(file, preset)
		if filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(dir, file)
	}
	certFile, keyFile := in(c.CertFile, "device.pem.crt"), in(c.KeyFile, "device.key")
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return identity{}, withoutPath(err, filepath.Base(certFile))
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return identity{}, withoutPath(err, filepath.Base(keyFile))
	}
	if id.cert, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return identity{}, fmt.Errorf("%s and %s: %w", filepath.Base(certFile), filepath.Base(keyFile), err)
	}
	caFile := in(c.CAFile, "ca.pem")
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return identity{}, withoutPath(err, filepath.Base(caFile))
	}
	if id.roots, err = pool(pools, ca); err != nil {
		return identity{}, fmt.Errorf("%s: %w", filepath.Base(caFile), err)
	}
	return id, nil
}

// pools are the roots by the bytes of their file.
type pools map[string]*x509.CertPool

// pool returns the certificates of a PEM file, the same pool for the same bytes.
func pool(pools map[string]*x509.CertPool, pem []byte) (*x509.CertPool, error) {
	text := string(bytes.TrimSpace(pem))
	if p, ok := pools[text]; ok {
		return p, nil
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in PEM form")
	}
	pools[text] = p
	return p, nil
}

// withoutPath names the file only: the message it goes into has the folder already.
func withoutPath(err error, file string) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", file, err)
}
