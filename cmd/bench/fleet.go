package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/thingjobs/thingjobs/cmd/bench/load"
)

// credentials make the TLS side of the devices of a data directory.
type credentials struct {
	roots *x509.CertPool
	byID  map[string]tls.Certificate // by thing
	// sessions, when set, lets a device resume its last session.
	sessions map[string]tls.ClientSessionCache
}

func loadCredentials(dir string) (*credentials, error) {
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, identitiesFile))
	if err != nil {
		return nil, err
	}
	var ids []identity
	if err := json.Unmarshal(b, &ids); err != nil {
		return nil, err
	}
	c := &credentials{roots: x509.NewCertPool(), byID: make(map[string]tls.Certificate, len(ids))}
	c.roots.AppendCertsFromPEM(ca)
	for i, id := range ids {
		key, err := x509.ParsePKCS8PrivateKey(id.Key)
		if err != nil {
			return nil, err
		}
		c.byID[thingName(i)] = tls.Certificate{Certificate: [][]byte{id.Cert}, PrivateKey: key}
	}
	return c, nil
}

// resuming gives every device a session cache.
func (c *credentials) resuming() *credentials {
	r := *c
	r.sessions = make(map[string]tls.ClientSessionCache, len(c.byID))
	for thing := range c.byID {
		r.sessions[thing] = tls.NewLRUClientSessionCache(1)
	}
	return &r
}

// config is what a thing dials with. The key exchange is the one devices offer and all
// peers know, so that none is slower for a stronger one.
func (c *credentials) config(thing string) *tls.Config {
	cfg := &tls.Config{
		RootCAs:          c.roots,
		ServerName:       "localhost",
		Certificates:     []tls.Certificate{c.byID[thing]},
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
	if c.sessions != nil {
		cfg.ClientSessionCache = c.sessions[thing]
	}
	return cfg
}

// dialParallel is how many devices connect at a time.
const dialParallel = 32

// dial connects devices in plain MQTT.
func (s *server) dial(things []string) ([]*load.Device, error) {
	return load.DialAll(things, dialParallel, func(thing string) load.Options {
		return load.Options{Addr: s.plain, Thing: thing}
	})
}

// dialTLS connects devices with their certificates.
func (s *server) dialTLS(things []string, c *credentials) ([]*load.Device, error) {
	return load.DialAll(things, dialParallel, func(thing string) load.Options {
		return load.Options{Addr: s.tls, Thing: thing, TLS: c.config(thing)}
	})
}

func jobsTopic(thing, rest string) string { return "$aws/things/" + thing + "/jobs/" + rest }

// subscribeAnswers subscribes devices to the answers of their updates, as devices do.
func subscribeAnswers(devices []*load.Device) error {
	return load.All(devices, dialParallel, func(d *load.Device) error {
		return d.Subscribe(0, jobsTopic(d.Thing, "+/update/accepted"), jobsTopic(d.Thing, "+/update/rejected"))
	})
}

// reportProgress is a device that tells how far it is with a job.
func reportProgress(job string) load.Op {
	return func(d *load.Device) error {
		d.Step++
		_, err := d.Request(jobsTopic(d.Thing, job+"/update"), appendProgress(nil, d))
		return err
	}
}

func appendProgress(b []byte, d *load.Device) []byte {
	b = append(b, `{"status":"IN_PROGRESS","statusDetails":{"step":"download","progress":"`...)
	b = strconv.AppendInt(b, int64(d.Step%101), 10)
	return append(appendToken(append(b, `"},"clientToken":"`...), d), `"}`...)
}

func appendToken(b []byte, d *load.Device) []byte {
	return strconv.AppendInt(append(append(b, d.Thing...), '-'), int64(d.Step), 10)
}

// startNext begins the head of the queue. Job is then the job begun; ErrDone says that
// there was none.
func startNext(d *load.Device) error {
	d.Step++
	answer, err := d.Request(jobsTopic(d.Thing, "start-next"), append(appendToken([]byte(`{"clientToken":"`), d), `"}`...))
	if err != nil {
		return err
	}
	job := load.Member(answer, "jobId")
	if job == nil {
		return load.ErrDone
	}
	d.Job = append(d.Job[:0], job...)
	return nil
}

// succeed ends the job begun.
func succeed(d *load.Device) error {
	d.Step++
	_, err := d.Request(jobsTopic(d.Thing, string(d.Job)+"/update"), append(appendToken([]byte(`{"status":"SUCCEEDED","clientToken":"`), d), `"}`...))
	d.Job = d.Job[:0]
	return err
}

// changeStatus begins and ends jobs in turn, so many changes.
func changeStatus(changes int) load.Op {
	return func(d *load.Device) error {
		switch {
		case d.Step >= changes && len(d.Job) == 0:
			return load.ErrDone
		case len(d.Job) == 0:
			return startNext(d)
		}
		return succeed(d)
	}
}

// readQueue asks for the pending jobs and for the next one, in turn.
func readQueue(d *load.Device) error {
	d.Step++
	rest := "get"
	if d.Step%2 == 0 {
		rest = "$next/get"
	}
	_, err := d.Request(jobsTopic(d.Thing, rest), append(appendToken([]byte(`{"clientToken":"`), d), `"}`...))
	return err
}

// captureAnswers asks the product one of each and keeps what it says, so that the echo
// says as much. The device's head is begun by it.
func captureAnswers(d *load.Device) (answers, error) {
	a := answers{}
	ask := func(op, rest, payload string) (err error) {
		var b []byte
		if b, err = d.Request(jobsTopic(d.Thing, rest), []byte(payload)); err == nil {
			a[op] = string(b)
		}
		return err
	}
	const token = `"clientToken":"dev-0000000-1000"}`
	if err := ask("start-next", "start-next", "{"+token); err != nil {
		return nil, err
	}
	job := string(load.Member([]byte(a["start-next"]), "jobId"))
	if job == "" {
		return nil, fmt.Errorf("%s has no job to begin", d.Thing)
	}
	for _, q := range [][3]string{
		{"get", "get", "{" + token},
		{"next", "$next/get", "{" + token},
		{"update", job + "/update", `{"status":"IN_PROGRESS",` + token},
	} {
		if err := ask(q[0], q[1], q[2]); err != nil {
			return nil, err
		}
	}
	return a, nil
}
