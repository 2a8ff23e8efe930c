package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// encode writes an answer of the control plane. The types of this package always
// encode, so a failure is a bug.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("wire: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// EncodeEmpty is the answer of operations whose output has no members.
func EncodeEmpty() []byte { return []byte("{}") }

// controlTime is a timestamp of the control plane: a JSON number of seconds since
// the epoch, with up to three decimals and none when the milliseconds are zero.
type controlTime time.Time

func (t controlTime) IsZero() bool { return time.Time(t).IsZero() }

func (t controlTime) MarshalJSON() ([]byte, error) {
	return appendControlTime(nil, time.Time(t)), nil
}

func appendControlTime(dst []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		dst, ms = append(dst, '-'), -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	frac := ms % 1000
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// orEmpty keeps a list from becoming null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func orEmptyMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
