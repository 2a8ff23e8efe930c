package auth

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// compute makes the signature and the sorted list of headers it covers.
func (s *Signature) compute(r *SignedRequest, signer *v4.Signer, secret, payload string) (signature string, headers []string, err error) {
	query := maps.Clone(s.Query) // the signer sorts the values in a copy of its own
	query.Del("X-Amz-Signature")
	req := &http.Request{
		Method: r.Method,
		Host:   r.Host,
		// Opaque hands the path over as it came. Without a scheme no port is a default
		// one, so Host stays as the client wrote it.
		URL:    &url.URL{Opaque: "//-" + r.Path, RawQuery: query.Encode()},
		Header: make(http.Header, len(s.SignedHeaders)+1),
	}
	for _, h := range s.SignedHeaders {
		switch name := http.CanonicalHeaderKey(h); name {
		case "Host":
		case "Content-Length":
			req.ContentLength = r.ContentLength
		default:
			if v := r.Header.Values(name); len(v) > 0 {
				req.Header[name] = slices.Clone(v)
			}
		}
	}
	cred := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: secret}
	ctx := context.Background() // the signer takes one and does no I/O
	if s.Presigned {
		uri, _, err := signer.PresignHTTP(ctx, cred, req, payload, s.Service, s.Region, s.Time)
		if err != nil {
			return "", nil, malformed("it cannot be computed")
		}
		_, raw, _ := strings.Cut(uri, "?")
		q, err := url.ParseQuery(raw)
		if err != nil {
			return "", nil, malformed("it cannot be computed")
		}
		return q.Get("X-Amz-Signature"), strings.Split(q.Get("X-Amz-SignedHeaders"), ";"), nil
	}
	if err := signer.SignHTTP(ctx, cred, req, payload, s.Service, s.Region, s.Time); err != nil {
		return "", nil, malformed("it cannot be computed")
	}
	_, rest, _ := strings.Cut(req.Header.Get("Authorization"), "SignedHeaders=")
	list, signature, _ := strings.Cut(rest, ", Signature=")
	return signature, strings.Split(list, ";"), nil
}

// maxSigners bounds what Signers remembers. Only who knows a secret adds to it.
const maxSigners = 256

// Signers remembers signers, which keep the key that they derived from a secret for a
// day: those that good signatures were made with, one for each access key, region and
// service. One signer for all would take the old secret of an access key for good, and
// grow with every region that a stranger makes up. The zero value is ready; methods are
// safe for concurrent use. A nil one remembers nothing.
type Signers struct {
	mu      sync.RWMutex
	signers map[signingScope]secretSigner // guarded by mu
}

type signingScope struct{ accessKeyID, region, service string }

type secretSigner struct {
	secret string // that it was used with
	*v4.Signer
}

func scopeOf(s *Signature) signingScope { return signingScope{s.AccessKeyID, s.Region, s.Service} }

// get gives the signer for a signature: a new one if there is none.
func (k *Signers) get(s *Signature, secret string) *v4.Signer {
	if k != nil {
		k.mu.RLock()
		r, ok := k.signers[scopeOf(s)]
		k.mu.RUnlock()
		if ok && r.secret == secret {
			return r.Signer
		}
	}
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableHeaderHoisting = true })
}

func (k *Signers) put(s *Signature, secret string, signer *v4.Signer) {
	if k == nil {
		return
	}
	scope := scopeOf(s)
	k.mu.RLock()
	known := k.signers[scope].Signer == signer
	k.mu.RUnlock()
	if known {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.signers == nil || len(k.signers) >= maxSigners {
		k.signers = make(map[signingScope]secretSigner)
	}
	// Copies: the strings are parts of the request's header.
	scope = signingScope{strings.Clone(s.AccessKeyID), strings.Clone(s.Region), strings.Clone(s.Service)}
	k.signers[scope] = secretSigner{secret, signer}
}

// Forget drops the signers of an access key, which is no longer one.
func (k *Signers) Forget(accessKeyID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for scope := range k.signers {
		if scope.accessKeyID == accessKeyID {
			delete(k.signers, scope)
		}
	}
}
