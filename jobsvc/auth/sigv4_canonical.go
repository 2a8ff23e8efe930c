package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// What is computed here for the header form is what the signer of AWS's SDK computes,
// byte for byte, for a fraction of the cost: a fuzz test compares them.

// neverSigned are headers that AWS's signer leaves out, because proxies change them.
func neverSigned(canonicalName string) bool {
	switch canonicalName {
	case "Authorization", "User-Agent", "X-Amzn-Trace-Id", "Expect", "Transfer-Encoding":
		return true
	}
	return false
}

// canonicalName is http.CanonicalHeaderKey, which allocates for names it does not know.
func canonicalName(h string) string {
	switch h {
	case "x-amz-date":
		return "X-Amz-Date"
	case "x-amz-content-sha256":
		return "X-Amz-Content-Sha256"
	}
	return http.CanonicalHeaderKey(h)
}

// canHold tells whether the request has a header that a signature can cover.
func (r *SignedRequest) canHold(canonicalName string) bool {
	switch canonicalName {
	case "Host":
		return true
	case "Content-Length":
		return r.ContentLength > 0
	}
	return len(r.Header[canonicalName]) > 0 && !neverSigned(canonicalName)
}

// headersVerifiable tells whether the signed headers are in their order, once each, and
// all there.
func (s *Signature) headersVerifiable(r *SignedRequest) bool {
	last := ""
	for _, h := range s.SignedHeaders {
		if h <= last || h != strings.ToLower(h) || !r.canHold(canonicalName(h)) {
			return false
		}
		last = h
	}
	return true
}

// verifiableHeaders lists what SignedHeaders would have to be.
func (s *Signature) verifiableHeaders(r *SignedRequest) []string {
	var list []string
	for _, h := range s.SignedHeaders {
		if r.canHold(canonicalName(h)) {
			list = append(list, strings.ToLower(h))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// sign computes the signature of a request, in hexadecimal.
func (s *Signature) sign(r *SignedRequest, key []byte, payload string) []byte {
	var array [1024]byte
	canonical := s.appendCanonical(array[:0], r, payload)
	hash := sha256.Sum256(canonical)

	b := append(canonical[:0], sigV4Algorithm+"\n"...)
	b = s.Time.UTC().AppendFormat(b, amzDateLayout)
	for _, part := range [...]string{"\n", s.scopeDate, "/", s.Region, "/", s.Service, "/" + scopeTerminator + "\n"} {
		b = append(b, part...)
	}
	b = hex.AppendEncode(b, hash[:])
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return hex.AppendEncode(nil, h.Sum(hash[:0]))
}

func (s *Signature) appendCanonical(b []byte, r *SignedRequest, payload string) []byte {
	b = append(append(b, r.Method...), '\n')
	b = append(appendCanonicalPath(b, r.Path), '\n')
	b = append(appendCanonicalQuery(b, s.Query), '\n')
	for _, h := range s.SignedHeaders {
		b = append(append(b, h...), ':')
		switch h {
		case "host":
			b = appendSquashed(b, strings.Trim(r.Host, " "))
		case "content-length":
			b = strconv.AppendInt(b, r.ContentLength, 10)
		case "x-amz-date": // one, and as it was understood
			b = s.Time.UTC().AppendFormat(b, amzDateLayout)
		default:
			for i, v := range r.Header[canonicalName(h)] {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendSquashed(b, strings.TrimSpace(v))
			}
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, h := range s.SignedHeaders {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, h...)
	}
	return append(append(b, '\n'), payload...)
}

// appendSquashed makes runs of spaces one space.
func appendSquashed(b []byte, v string) []byte {
	for i := range len(v) {
		if v[i] != ' ' || i == 0 || v[i-1] != ' ' {
			b = append(b, v[i])
		}
	}
	return b
}

// appendCanonicalPath escapes an escaped path once more.
func appendCanonicalPath(b []byte, path string) []byte {
	path, _, _ = strings.Cut(path, "?")
	i := strings.IndexByte(path, '/')
	if i < 0 {
		return append(b, '/')
	}
	return appendEscaped(b, path[i:], true)
}

// appendCanonicalQuery writes parameters by name and value.
func appendCanonicalQuery(b []byte, query url.Values) []byte {
	if len(query) == 0 {
		return b
	}
	params := make([]string, 0, 8)
	for k, values := range query {
		if k == "X-Amz-Signature" {
			continue
		}
		for _, v := range values {
			params = append(params, string(appendEscaped(append(appendEscaped(nil, k, false), '='), v, false)))
		}
	}
	slices.SortFunc(params, compareParams)
	for i, p := range params {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p...)
	}
	return b
}

func compareParams(a, b string) int {
	nameA, valueA, _ := strings.Cut(a, "=")
	nameB, valueB, _ := strings.Cut(b, "=")
	if c := strings.Compare(nameA, nameB); c != 0 {
		return c
	}
	return strings.Compare(valueA, valueB)
}

const upperHex = "0123456789ABCDEF"

// appendEscaped escapes all but unreserved characters, and '/' unless it is kept.
func appendEscaped(b []byte, s string, keepSlash bool) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~', c == '/' && keepSlash:
			b = append(b, c)
		default:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

type signingKey [sha256.Size]byte

// deriveKey makes the key that signs on one day, in one region, for one service.
func (s *Signature) deriveKey(secret string) (key signingKey) {
	k := []byte("AWS4" + secret)
	for _, part := range []string{s.scopeDate, s.Region, s.Service, scopeTerminator} {
		h := hmac.New(sha256.New, k)
		h.Write([]byte(part))
		k = h.Sum(nil)
	}
	copy(key[:], k)
	return key
}

// maxSigningKeys bounds what SigningKeys remembers. Only who knows a secret adds to it.
const maxSigningKeys = 256

// SigningKeys remembers keys derived from secrets: the last of each access key, region
// and service that a good signature was made for. The zero value is ready; methods are
// safe for concurrent use. A nil one remembers nothing.
type SigningKeys struct {
	mu   sync.RWMutex
	keys map[signingScope]derivedKey // guarded by mu
}

type signingScope struct{ accessKeyID, region, service string }

type derivedKey struct {
	secret, date string // what it was derived from
	key          signingKey
}

func (k *SigningKeys) get(s *Signature, secret string) (key signingKey, ok bool) {
	if k == nil {
		return key, false
	}
	k.mu.RLock()
	d, ok := k.keys[signingScope{s.AccessKeyID, s.Region, s.Service}]
	k.mu.RUnlock()
	return d.key, ok && d.date == s.scopeDate && d.secret == secret
}

func (k *SigningKeys) put(s *Signature, secret string, key signingKey) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil || len(k.keys) >= maxSigningKeys {
		k.keys = make(map[signingScope]derivedKey)
	}
	// Copies: the strings are parts of the request's header.
	scope := signingScope{strings.Clone(s.AccessKeyID), strings.Clone(s.Region), strings.Clone(s.Service)}
	k.keys[scope] = derivedKey{secret, strings.Clone(s.scopeDate), key}
}

// Forget drops the keys of an access key, which is no longer one.
func (k *SigningKeys) Forget(accessKeyID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for scope := range k.keys {
		if scope.accessKeyID == accessKeyID {
			delete(k.keys, scope)
		}
	}
}
