package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

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
var inputHeaders = []struct{ name, signed string }{
	{"X-Amzn-Principal", "x-amzn-principal"},
	{"X-Amzn-Iot-Principal", "x-amzn-iot-principal"},
	{"X-Amzn-Iot-Policy", "x-amzn-iot-policy"},
}

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
	Query         url.Values    // the query of the request

	scopeDate string
	value     string
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
	s := &Signature{Query: query}
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
	} else {
		return nil, jobsvc.Errorf(jobsvc.CodeMissingCredentials, "Missing Authentication Token")
	}

	// The access key ID is what is left of the scope; ours have no slash.
	scope, ok := splitScope(credential)
	if !ok {
		return nil, malformed("Credential must be ACCESS-KEY/DATE/REGION/SERVICE/" + scopeTerminator)
	}
	s.AccessKeyID, s.scopeDate, s.Region, s.Service = scope[0], scope[1], scope[2], scope[3]
	if s.Time, err = time.Parse(amzDateLayout, date); err != nil {
		return nil, malformed("X-Amz-Date must be given in the form YYYYMMDD'T'HHMMSS'Z'")
	}
	if s.Presigned {
		if s.Expires, err = s.validity(); err != nil {
			return nil, err
		}
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

// ServiceDeviceGateway is the service that clients sign for which speak MQTT over WebSocket.
const ServiceDeviceGateway = "iotdevicegateway"

// validity is how long a presigned URL is valid. Those for the device gateway, which is
// dialed at once, need not say it.
func (s *Signature) validity() (time.Duration, error) {
	if s.Service == ServiceDeviceGateway && !s.Query.Has("X-Amz-Expires") {
		return MaxClockSkew, nil
	}
	seconds, err := strconv.ParseInt(s.Query.Get("X-Amz-Expires"), 10, 64)
	if err != nil || seconds < 1 || seconds > int64(maxPresigned/time.Second) {
		return 0, malformed("X-Amz-Expires must be a number of seconds between 1 and 604800")
	}
	return time.Duration(seconds) * time.Second, nil
}

// splitScope takes apart ACCESS-KEY/DATE/REGION/SERVICE/aws4_request.
func splitScope(credential string) (scope [5]string, ok bool) {
	rest := credential
	for i := range scope {
		if scope[i], rest, ok = strings.Cut(rest, "/"); scope[i] == "" || ok != (i < len(scope)-1) {
			return scope, false
		}
	}
	return scope, scope[4] == scopeTerminator
}

func malformed(what string) error {
	return jobsvc.Errorf(jobsvc.CodeInvalidSignature, "The signature of the request is malformed: %s.", what)
}

// Verify tells whether the request r was signed with the secret, at a time within
// MaxClockSkew of now. signers, which may be nil, remembers what is derived from the
// secret. Errors: CodeInvalidSignature.
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
func (s *Signature) Verify(r *SignedRequest, secret string, signers *Signers, now time.Time) error {
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
	signer := signers.get(s, secret)
	want, headers, err := s.compute(r, signer, secret, payload)
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
	signers.put(s, secret, signer)
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
	missing := ""
	switch {
	case !slices.Contains(s.SignedHeaders, "host"):
		missing = "host"
	case !s.Presigned && !slices.Contains(s.SignedHeaders, "x-amz-date"):
		missing = "x-amz-date"
	default:
		for _, h := range inputHeaders {
			if r.Header.Get(h.name) != "" && !slices.Contains(s.SignedHeaders, h.signed) {
				missing = h.signed
				break
			}
		}
	}
	if missing == "" {
		return nil
	}
	return jobsvc.Errorf(jobsvc.CodeInvalidSignature, "The header '%s' must be signed.", missing)
}

// emptyHash is the hash of no body, in hexadecimal.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func (s *Signature) payloadHash(r *SignedRequest) (string, error) {
	hash := emptyHash
	if len(r.Body) > 0 {
		sum := sha256.Sum256(r.Body)
		hash = hex.EncodeToString(sum[:])
	}
	claimed := r.Header.Get("X-Amz-Content-Sha256")
	if claimed == "" && s.Presigned {
		claimed = s.Query.Get("X-Amz-Content-Sha256")
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
