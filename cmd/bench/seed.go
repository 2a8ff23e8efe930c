package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/badgerkv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// fleetGroup is the group all seeded things are in.
const fleetGroup = "fleet"

// thingName is that of the i-th seeded thing.
func thingName(i int) string { return fmt.Sprintf("dev-%07d", i) }

// thingNames are the first n.
func thingNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = thingName(i)
	}
	return names
}

// identity is what a device proves who it is with.
type identity struct{ Cert, Key []byte } // DER

// identitiesFile is beside the store in a seeded data directory.
const identitiesFile = "bench-identities.json"

// seedCmd fills a data directory: a million things by way of the API would take as long
// as the benchmarks. It is a process of its own so that its memory is gone when the
// measuring begins.
type seedCmd struct {
	Data   string `arg:"" help:"Data directory to be made."`
	Things int    `help:"How many things, all in one group."`
	Certs  int    `help:"How many of them get a certificate."`
}

// Run writes things through the store and certificates through the engine.
func (c *seedCmd) Run(ctx context.Context) error {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	ca, err := newCA(c.Data)
	if err != nil {
		return err
	}
	db, err := badgerkv.Open(badgerkv.Options{Dir: filepath.Join(c.Data, "store"), ScopeOf: store.ScopeOf, NoSync: true})
	if err != nil {
		return err
	}
	defer db.Close()
	st, err := store.Open(ctx, db)
	if err != nil {
		return err
	}
	eng := engine.New(st, engine.Options{Issuer: ca})
	g, err := eng.CreateThingGroup(ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: fleetGroup})
	if err != nil {
		return err
	}
	if err := c.things(ctx, st, g); err != nil {
		return err
	}
	if err := c.certificates(ctx, eng); err != nil {
		return err
	}
	return db.Close()
}

// newCA makes the installation's CA and a server certificate, as serve would.
func newCA(dir string) (*auth.CA, error) {
	now := time.Now()
	ca, err := auth.NewCA(now)
	if err != nil {
		return nil, err
	}
	key, err := ca.PrivateKeyPEM()
	if err != nil {
		return nil, err
	}
	cert, certKey, err := ca.IssueServer([]string{"localhost", "127.0.0.1"}, now)
	if err != nil {
		return nil, err
	}
	for name, b := range map[string][]byte{"ca.key": key, "ca.pem": ca.CertificatePEM(), "server.pem": cert, "server.key": certKey} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	return ca, nil
}

func (c *seedCmd) things(ctx context.Context, st *store.Store, g *jobsvc.ThingGroup) error {
	const chunk = 10_000
	for from := 0; from < c.Things; from += chunk {
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		ops := make([]store.Op, min(chunk, c.Things-from))
		for i := range ops {
			t := &jobsvc.Thing{Name: thingName(from + i), ID: uuid.NewString(), Version: 1, CreatedAt: now}
			ops[i] = store.Op{Scope: kv.Thing(t.Name), Fn: func(tx *store.Tx) error {
				tx.PutThing(t)
				tx.PutMembership(t.Name, g.Name, &store.Membership{ThingID: t.ID, GroupID: g.ID, JoinedAt: now})
				return nil
			}}
		}
		for _, r := range st.UpdateMany(ctx, ops) {
			if r.Err != nil {
				return r.Err
			}
		}
	}
	return nil
}

func (c *seedCmd) certificates(ctx context.Context, eng *engine.Engine) error {
	ids := make([]identity, c.Certs)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(128)
	for i := range ids {
		g.Go(func() (err error) {
			ids[i], err = enroll(ctx, eng, thingName(i))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	b, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Data, identitiesFile), b, 0o600)
}

// enroll gives a thing an ECDSA P-256 certificate.
func enroll(ctx context.Context, eng *engine.Engine, thing string) (id identity, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return id, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return id, err
	}
	cert, err := eng.CreateCertificateFromCSR(ctx, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), true)
	if err != nil {
		return id, err
	}
	arn := eng.Account().ARN(jobsvc.ARNCert, cert.ID)
	if err := eng.AttachThingPrincipal(ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: thing, Principal: arn}); err != nil {
		return id, err
	}
	block, _ := pem.Decode([]byte(cert.PEM))
	id.Cert = block.Bytes
	id.Key, err = x509.MarshalPKCS8PrivateKey(key)
	return id, err
}
