package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/thingjobs/thingjobs/jobsvc"
)

const (
	sigV4Algorithm  = "AWS4-HMAC-SHA256"
	scopeTerminator = "aws4_request"
	amzDateLayout   = "20060102T150405Z"
	unsignedPayload = "UNSIGNED-PAYLOAD"

	// MaxClockSkew is how far the date of a signature may be from ours.
	MaxClockSkew = 5 * time.Minute
	// maxPresigned is how long a presigned URL may be valid; AWS's bound.
	maxPresigned = 7 * 24 * time.Hour
)

// inputHeaders carry input of operations, so one that is not signed could be put
// there by anybody on the way.
var inputHeaders = []string{"x-amzn-principal", "x-amzn-iot-principal", "x-amzn-iot-policy"}

// SignedRequest is what of a request a signature covers, as it was received.
type SignedRequest struct {
	Method        string
	Host          string
	Path          string // escaped, as on the wire
	RawQuery      string
	Header        http.Header // canonical names
	ContentLength int64
	Body          []byte // the whole of it: the hash is computed here
	TLS           bool   // an unsigned body is accepted under TLS only
}

// Signature is an AWS Signature Version 4 that a request claims to have: from the
// Authorization header, or from the query of a presigned URL. Until Verify has
// said so, none of it is true.
type Signature struct {
	AccessKeyID   string
	Region        string
	Service       string // decides the plane: control-plane.md 1.3
	SignedHeaders []string
	Time          time.Time
	Presigned     bool
	Expires       time.Duration // of a presigned URL

	scopeDate string
	value     string
	query     url.Values
}

// ParseSignature takes the signature of a request apart.
//
// Errors: CodeMissingCredentials when there is none; CodeInvalidSignature for one
// that is malformed.
func ParseSignature(r *SignedRequest) (*Signature, error) {
	query, err := url.ParseQuery(r.RawQuery)
	if err != nil {
		// A parameter dropped here would be one that nobody signed.
		return nil, malformed("the query string cannot be parsed")
	}
	s := &Signature{query: query}
	var credential, headers, date string
	if params, ok := strings.CutPrefix(r.Header.Get("Authorization"), sigV4Algorithm+" "); ok {
		for part := range strings.SplitSeq(params, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "Credential":
				credential = value
			case "SignedHeaders":
				headers = value
			case "Signature":
				s.value = value
			}
		}
		date = r.Header.Get("X-Amz-Date")
	} else if query.Has("X-Amz-Signature") {
		if query.Get("X-Amz-Algorithm") != sigV4Algorithm {
			return nil, malformed("X-Amz-Algorithm must be " + sigV4Algorithm)
		}
		s.Presigned = true
		credential, headers, s.value = query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature")
		date = query.Get("X-Amz-Date")
		seconds, err := strconv.ParseInt(query.Get("X-Amz-Expires"), 10, 64)
		if err != nil || seconds < 1 || seconds > int64(maxPresigned/time.Second) {
			return nil, malformed("X-Amz-Expires must be a number of seconds between 1 and 604800")
		}
		s.Expires = time.Duration(seconds) * time.Second
	} else {
		return nil, jobsvc.Errorf(jobsvc.CodeMissingCredentials, "Missing Authentication Token")
	}

	// The access key ID is what is left of the scope; ours have no slash.
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[4] != scopeTerminator || slices.Contains(scope, "") {
		return nil, malformed("Credential must be ACCESS-KEY/DATE/REGION/SERVICE/" + scopeTerminator)
	}
	s.AccessKeyID, s.scopeDate, s.Region, s.Service = scope[0], scope[1], scope[2], scope[3]
	if s.Time, err = time.Parse(amzDateLayout, date); err != nil {
		return nil, malformed("X-Amz-Date must be given in the form YYYYMMDD'T'HHMMSS'Z'")
	}
	if s.scopeDate != date[:8] {
		return nil, malformed("the date of the credential scope is not that of X-Amz-Date")
	}
	s.SignedHeaders = strings.Split(headers, ";")
	if len(s.value) != hex.EncodedLen(sha256.Size) {
		return nil, malformed("Signature must have 64 hexadecimal digits")
	}
	return s, nil
}

func malformed(what string) error {
	return jobsvc.Errorf(jobsvc.CodeInvalidSignature, "The signature of the request is malformed: %s.", what)
}

// Verify tells whether the request r was signed with the secret, at a time within
// MaxClockSkew of now. Errors: CodeInvalidSignature.
//
// The signature is computed anew by the signer of AWS's own SDK and compared in
// constant time. Neither service is S3, so the escaped path is escaped once more.
// What goes into the computation:
//
//   - The headers named in SignedHeaders and no others: proxies add some. host and,
//     in the header form, x-amz-date must be among them, and so must a header that is
//     input of an operation.
//   - content-length only if named. The SDK's signer adds it for a body that is not
//     empty; so a signature over the content length 0 cannot be verified, nor one
//     over user-agent, expect, transfer-encoding, authorization or x-amzn-trace-id,
//     which that signer leaves out because proxies change them.
//   - The hash of the body received. X-Amz-Content-Sha256, where a client sends it,
//     must be that hash, or UNSIGNED-PAYLOAD over TLS.
func (s *Signature) Verify(r *SignedRequest, secret string, now time.Time) error {
	if err := s.checkTime(now); err != nil {
		return err
	}
	if err := s.checkSignedHeaders(r); err != nil {
		return err
	}
	payload, err := s.payloadHash(r)
	if err != nil {
		return err
	}
	want, headers, err := s.compute(r, secret, payload)
	if err != nil {
		return err
	}
	if !slices.Equal(headers, s.SignedHeaders) {
		return jobsvc.Errorf(jobsvc.CodeInvalidSignature, "The signed headers (%s) cannot be verified; of this request they would be: %s.",
			strings.Join(s.SignedHeaders, ";"), strings.Join(headers, ";"))
	}
	if subtle.ConstantTimeCompare([]byte(want), []byte(s.value)) != 1 {
		return jobsvc.Errorf(jobsvc.CodeInvalidSignature, "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return nil
}

// checkTime refuses a signature that is too old or not yet valid, in AWS's words:
// clients recognise them and correct their clock.
func (s *Signature) checkTime(now time.Time) error {
	now = now.UTC()
	age, unit := MaxClockSkew, "5 min."
	if s.Presigned {
		age, unit = s.Expires, strconv.Itoa(int(s.Expires/time.Second))+" s."
	}
	oldest, newest := now.Add(-age), now.Add(MaxClockSkew)
	at := s.Time.Format(amzDateLayout)
	switch {
	case s.Time.Before(oldest):
		return jobsvc.Errorf(jobsvc.CodeInvalidSignature, "Signature expired: %s is now earlier than %s (%s - %s)",
			at, oldest.Format(amzDateLayout), now.Format(amzDateLayout), unit)
	case s.Time.After(newest):
		return jobsvc.Errorf(jobsvc.CodeInvalidSignature, "Signature not yet current: %s is still later than %s (%s + 5 min.)",
			at, newest.Format(amzDateLayout), now.Format(amzDateLayout))
	}
	return nil
}

func (s *Signature) checkSignedHeaders(r *SignedRequest) error {
	required := []string{"host"}
	if !s.Presigned {
		required = append(required, "x-amz-date")
	}
	for _, h := range inputHeaders {
		if r.Header.Get(h) != "" {
			required = append(required, h)
		}
	}
	for _, h := range required {
		if !slices.Contains(s.SignedHeaders, h) {
			return jobsvc.Errorf(jobsvc.CodeInvalidSignature, "The header '%s' must be signed.", h)
		}
	}
	return nil
}

func (s *Signature) payloadHash(r *SignedRequest) (string, error) {
	sum := sha256.Sum256(r.Body)
	hash := hex.EncodeToString(sum[:])
	claimed := r.Header.Get("X-Amz-Content-Sha256")
	if claimed == "" && s.Presigned {
		claimed = s.query.Get("X-Amz-Content-Sha256")
	}
	switch {
	case claimed == "" || claimed == hash:
		return hash, nil
	case claimed == unsignedPayload && r.TLS:
		return claimed, nil
	case claimed == unsignedPayload:
		return "", jobsvc.Errorf(jobsvc.CodeInvalidSignature, "x-amz-content-sha256 may be %s over TLS only.", unsignedPayload)
	}
	return "", jobsvc.Errorf(jobsvc.CodeInvalidSignature, "The provided 'x-amz-content-sha256' header does not match what was computed.")
}

// compute makes the signature and the sorted list of headers it covers.
func (s *Signature) compute(r *SignedRequest, secret, payload string) (signature string, headers []string, err error) {
	query := make(url.Values, len(s.query))
	for k, v := range s.query {
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
