package engine

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// A page token is standard base64, as the pattern of `marker` wants it, of a version
// byte, a hash of the request's filters, and the place the page ended at. It names
// keys, not offsets: rows that come and go between pages shift nothing.
const tokenVersion = 1

func encodeToken(filters any, place any) string {
	b := binary.BigEndian.AppendUint32([]byte{tokenVersion}, filterHash(filters))
	p, err := json.Marshal(place)
	if err != nil {
		panic("engine: page token: " + err.Error()) // the places are plain structs
	}
	return base64.StdEncoding.EncodeToString(append(b, p...))
}

// decodeToken fills place from a token; an empty one leaves it zero.
func decodeToken(token string, filters any, place any) error {
	if token == "" {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(b) < 5 || b[0] != tokenVersion {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The page token is not valid.")
	}
	if binary.BigEndian.Uint32(b[1:]) != filterHash(filters) {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The page token belongs to a request with other filters.")
	}
	if json.Unmarshal(b[5:], place) != nil {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The page token is not valid.")
	}
	return nil
}

func filterHash(filters any) uint32 {
	h := fnv.New32a()
	if err := json.NewEncoder(h).Encode(filters); err != nil {
		panic("engine: page token: " + err.Error())
	}
	return h.Sum32()
}
