package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// A page token is standard base64, as the pattern of `marker` wants it, of a version
// byte, a code that authenticates the rest and the request's filters, and the place the
// page ended at. It names keys, not offsets: rows that come and go between pages shift
// nothing. The key is the store's, so a token is good across restarts, and nobody can
// make one: what it names need not be checked again.
const (
	tokenVersion = 2
	tokenMAC     = 16 // bytes of HMAC-SHA256
)

func (e *Engine) encodeToken(filters any, place any) string {
	p, err := json.Marshal(place)
	if err != nil {
		panic("engine: page token: " + err.Error()) // the places are plain structs
	}
	b := append([]byte{tokenVersion}, e.tokenCode(filters, p)...)
	return base64.StdEncoding.EncodeToString(append(b, p...))
}

// decodeToken fills place from a token; an empty one leaves it zero. Errors:
// CodeInvalidRequest for a token that this store did not make for these filters.
func (e *Engine) decodeToken(token string, filters any, place any) error {
	if token == "" {
		return nil
	}
	const head = 1 + tokenMAC
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(b) < head || b[0] != tokenVersion ||
		!hmac.Equal(b[1:head], e.tokenCode(filters, b[head:])) || json.Unmarshal(b[head:], place) != nil {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The page token is not one that an earlier answer to this request gave.")
	}
	return nil
}

func (e *Engine) tokenCode(filters any, place []byte) []byte {
	h := hmac.New(sha256.New, e.store.TokenKey())
	if err := json.NewEncoder(h).Encode(filters); err != nil { // ends with a line feed, which it has nowhere else
		panic("engine: page token: " + err.Error())
	}
	h.Write(place)
	return h.Sum(nil)[:tokenMAC]
}
