package auth

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// verifyPresigned computes the signature of a presigned URL with the signer of AWS's own
// SDK: such requests are rare.
func (s *Signature) verifyPresigned(r *SignedRequest, secret, payload string) error {
	query := make(url.Values, len(s.Query))
	for k, v := range s.Query {
		query[k] = slices.Clone(v)
	}
	query.Del("X-Amz-Signature")
	req := &http.Request{
		Method: r.Method,
		Host:   r.Host,
		// Opaque hands the path over as it came. Without a scheme no port is a default
		// one, so Host stays as the client wrote it.
		URL:    &url.URL{Opaque: "//-" + r.Path, RawQuery: query.Encode()},
		Header: http.Header{},
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
	// A signer of its own each time: it caches derived keys by access key ID and
	// region for a day, so a shared one would accept the old secret of a changed key
	// and grow with every region that a stranger makes up.
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableHeaderHoisting = true })
	cred := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: secret}
	ctx := context.Background() // the signer takes one and does no I/O
	uri, _, err := signer.PresignHTTP(ctx, cred, req, payload, s.Service, s.Region, s.Time)
	if err != nil {
		return malformed("it cannot be computed")
	}
	_, raw, _ := strings.Cut(uri, "?")
	q, err := url.ParseQuery(raw)
	if err != nil {
		return malformed("it cannot be computed")
	}
	if headers := strings.Split(q.Get("X-Amz-SignedHeaders"), ";"); !slices.Equal(headers, s.SignedHeaders) {
		return s.unverifiable(headers)
	}
	return s.match([]byte(q.Get("X-Amz-Signature")))
}
