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
	ms := time.Time(t).UnixMilli()
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	s := sign + strconv.FormatInt(ms/1000, 10)
	if frac := ms % 1000; frac != 0 {
		digits := strconv.FormatInt(1000+frac, 10)[1:]
		s += "." + string(bytes.TrimRight([]byte(digits), "0"))
	}
	return []byte(s), nil
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
