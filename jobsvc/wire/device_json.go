package wire

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// maxDepth bounds the nesting of a request. Nothing we read is deeper than two;
// the rest is unknown members, which are skipped and must not eat the stack.
const maxDepth = 200

// member names what requests of the device plane may contain.
type member int

const (
	memberClientToken member = iota
	memberStatus
	memberStatusDetails
	memberExpectedVersion
	memberExecutionNumber
	memberStepTimeout
	memberIncludeState
	memberIncludeDocument
	memberCount
)

var memberNames = [memberCount]string{
	"clientToken", "status", "statusDetails", "expectedVersion", "executionNumber",
	"stepTimeoutInMinutes", "includeJobExecutionState", "includeJobDocument",
}

// members holds the raw value of each member's last occurrence; nil when it is
// absent or null, which mean the same.
type members [memberCount][]byte

func memberOf(key []byte) (member, bool) {
	for m, name := range memberNames {
		if string(key) == name {
			return member(m), true
		}
	}
	return 0, false
}

// scan finds the members of a request. encoding/json is not used because it
// matches names in any letter case and decodes what nobody asked for.
func scan(payload []byte) (m members, err error) {
	s := scanner{data: payload}
	s.space()
	if s.pos == len(s.data) {
		return m, nil // several embedded clients publish nothing at all
	}
	if !s.object(&m) {
		return members{}, errInvalidJSON()
	}
	s.space()
	if s.pos != len(s.data) {
		return members{}, errInvalidJSON()
	}
	return m, nil
}

func errInvalidJSON() error {
	return jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The payload is not a JSON object.")
}

// scanner walks over JSON text and checks it. Its methods tell whether the text
// is well-formed and leave pos behind what they read.
type scanner struct {
	data []byte
	pos  int
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// object reads the outermost object and notes the members we know.
func (s *scanner) object(m *members) bool {
	return s.each(func(key []byte) bool {
		i, known := memberOf(key)
		start := s.pos
		if !s.value(1) {
			return false
		}
		if known {
			m[i] = s.data[start:s.pos]
			if string(m[i]) == "null" {
				m[i] = nil
			}
		}
		return true
	})
}

// each reads an object and calls value for each member with pos at its value,
// which value must read. Keys come without quotes and with escapes resolved.
func (s *scanner) each(value func(key []byte) bool) bool {
	if !s.take('{') {
		return false
	}
	s.space()
	if s.take('}') {
		return true
	}
	for {
		s.space()
		start := s.pos
		plain, ok := s.str()
		if !ok {
			return false
		}
		key := s.data[start+1 : s.pos-1]
		if !plain {
			key = []byte(unquote(s.data[start:s.pos]))
		}
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		if !value(key) {
			return false
		}
		s.space()
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// value reads any value.
func (s *scanner) value(depth int) bool {
	if s.pos == len(s.data) || depth > maxDepth {
		return false
	}
	switch c := s.data[s.pos]; {
	case c == '"':
		_, ok := s.str()
		return ok
	case c == '{':
		return s.each(func([]byte) bool { return s.value(depth + 1) })
	case c == '[':
		return s.array(depth)
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	default:
		return s.word("true") || s.word("false") || s.word("null")
	}
}

func (s *scanner) array(depth int) bool {
	s.pos++
	s.space()
	if s.take(']') {
		return true
	}
	for {
		s.space()
		if !s.value(depth + 1) {
			return false
		}
		s.space()
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) word(w string) bool {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return false
	}
	s.pos += len(w)
	return true
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

// str reads a string. plain means that its bytes are its value: no escapes, no
// invalid UTF-8.
func (s *scanner) str() (plain, ok bool) {
	if !s.take('"') {
		return false, false
	}
	start, ascii, escaped := s.pos, true, false
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			plain = !escaped && (ascii || utf8.Valid(s.data[start:s.pos]))
			s.pos++
			return plain, true
		case c < ' ':
			return false, false
		case c == '\\':
			escaped = true
			if !s.escape() {
				return false, false
			}
		default:
			if c >= utf8.RuneSelf {
				ascii = false
			}
			s.pos++
		}
	}
	return false, false
}

func (s *scanner) escape() bool {
	s.pos++
	if s.pos == len(s.data) {
		return false
	}
	c := s.data[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		if len(s.data)-s.pos < 4 {
			return false
		}
		_, ok := hex4(s.data[s.pos:])
		s.pos += 4
		return ok
	}
	return false
}

func hex4(b []byte) (r rune, ok bool) {
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unquote gives the value of a string that str accepted, quotes included. Bytes
// that are not UTF-8 become U+FFFD, as do surrogates without a partner: AWS's
// device client cuts command output in the middle of a character.
func unquote(raw []byte) string {
	raw = raw[1 : len(raw)-1]
	if i := special(raw); i < 0 {
		return string(raw)
	}
	out := make([]byte, 0, len(raw)+8)
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c == '\\' && raw[i+1] == 'u':
			r, _ := hex4(raw[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				r2 := rune(-1)
				if len(raw)-i >= 6 && raw[i] == '\\' && raw[i+1] == 'u' {
					r2, _ = hex4(raw[i+2:])
				}
				if r = utf16.DecodeRune(r, r2); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		case c == '\\':
			out = append(out, unescape(raw[i+1]))
			i += 2
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, n := utf8.DecodeRune(raw[i:])
			out = utf8.AppendRune(out, r)
			i += n
		}
	}
	return string(out)
}

func special(raw []byte) int {
	ascii := true
	for i, c := range raw {
		if c == '\\' {
			return i
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii || utf8.Valid(raw) {
		return -1
	}
	return 0
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// integer reads a JSON integer, one with a zero fraction, or a string of digits:
// the C Jobs library and the first Python SDK send numbers as strings.
func integer(raw []byte) (n int64, ok bool) {
	text := string(raw)
	if raw[0] == '"' {
		text = unquote(raw)
	} else if i := strings.IndexByte(text, '.'); i >= 0 {
		for _, c := range text[i+1:] {
			if c != '0' {
				return 0, false
			}
		}
		text = text[:i]
	}
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// stringMap reads an object of string to string that scan accepted. ok is false
// when a value is anything else.
func stringMap(raw []byte) (m map[string]string, ok bool) {
	if raw[0] != '{' {
		return nil, false
	}
	m = make(map[string]string, 4)
	s := scanner{data: raw}
	ok = s.each(func(key []byte) bool {
		start := s.pos
		if _, isString := s.str(); !isString {
			return false
		}
		m[toValid(key)] = unquote(s.data[start:s.pos])
		return true
	})
	return m, ok
}

func toValid(key []byte) string {
	if utf8.Valid(key) {
		return string(key)
	}
	return string([]rune(string(key)))
}
