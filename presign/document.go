package presign

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/thingjobs/thingjobs/jobsvc"
)

const placeholderPrefix = "${aws:iot:"

// token is a JSON string of a document that has placeholders in it.
type token struct {
	start, end int // in the document, quotes included
	parts      []part
}

// part is a piece of a token's decoded text: a placeholder if loc is set, else
// text to keep.
type part struct {
	text string
	loc  *location
}

// mayHavePlaceholders is false for a document that cannot have one. The prefix can
// hide from a search of the bytes only behind \u escapes: none of its characters
// has another one.
func mayHavePlaceholders(doc []byte) bool {
	return bytes.Contains(doc, []byte(placeholderPrefix)) || bytes.Contains(doc, []byte(`\u`))
}

// parse finds the placeholders of a document. doc is valid JSON; of anything else
// the result is meaningless but harmless. Errors: CodeInvalidRequest, naming the
// placeholder.
//
// CreateJob and delivery both come through here, so that they cannot disagree.
func parse(doc []byte) ([]token, error) {
	if !mayHavePlaceholders(doc) {
		return nil, nil
	}
	var tokens []token
	for i := 0; i < len(doc); {
		open := bytes.IndexByte(doc[i:], '"')
		if open < 0 {
			break
		}
		start := i + open
		end := stringEnd(doc, start)
		i = end
		raw := doc[start+1 : max(start+1, end-1)]
		if !mayHavePlaceholders(raw) {
			continue
		}
		text := unescape(raw)
		if !strings.Contains(text, placeholderPrefix) {
			continue
		}
		if isName(doc, end) {
			return nil, refuse(text, "a placeholder cannot be in the name of a member")
		}
		parts, err := split(text)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token{start: start, end: end, parts: parts})
	}
	return tokens, nil
}

// stringEnd gives the index after the closing quote of the string that opens at start.
func stringEnd(doc []byte, start int) int {
	for i := start + 1; i < len(doc); i++ {
		switch doc[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(doc)
}

// isName tells whether the string that ends before end is the name of a member: a
// colon follows those, and no others.
func isName(doc []byte, end int) bool {
	rest := bytes.TrimLeft(doc[end:], " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

// split cuts the decoded text of a token into placeholders and what is between.
func split(text string) ([]part, error) {
	var parts []part
	for {
		at := strings.Index(text, placeholderPrefix)
		if at < 0 {
			break
		}
		if at > 0 {
			parts = append(parts, part{text: text[:at]})
		}
		n, err := placeholderLen(text[at:])
		if err != nil {
			return nil, err
		}
		p, err := parsePlaceholder(text[at : at+n])
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		text = text[at+n:]
	}
	if text != "" {
		parts = append(parts, part{text: text})
	}
	return parts, nil
}

// placeholderLen measures the placeholder s begins with, to the brace that matches.
func placeholderLen(s string) (int, error) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "${"):
			depth++
			i++
		case s[i] == '}':
			if depth--; depth == 0 {
				return i + 1, nil
			}
		}
	}
	return 0, refuse(s, "the placeholder is not closed")
}

// parsePlaceholder understands one whole placeholder.
func parsePlaceholder(s string) (part, error) {
	name, body, _ := strings.Cut(s[len(placeholderPrefix):len(s)-1], ":")
	var syntax func(string) (location, error)
	switch name {
	case "s3-presigned-url":
		syntax = parseV1
	case "s3-presigned-url-v2":
		syntax = parseV2
	case "s3-presigned-url-upload":
		syntax = parseUpload
	case "parameter":
		return part{}, refuse(s, "parameters are not supported by this version yet: write the value")
	case "code-sign-signature":
		return part{}, refuse(s, "code signing placeholders are not supported: put the signature into the document")
	case "package":
		return part{}, refuse(s, "software package placeholders are not supported")
	default:
		return part{}, refuse(s, "the placeholder is unknown")
	}
	if name != "s3-presigned-url-upload" && strings.Contains(body, "${") {
		return part{}, refuse(s, "a placeholder cannot contain another one")
	}
	loc, err := syntax(body)
	if err != nil {
		return part{}, refuse(s, err.Error())
	}
	return part{text: s, loc: &loc}, nil
}

// refuse is the error for a placeholder that cannot be in a job.
func refuse(placeholder, reason string) *jobsvc.Error {
	return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Invalid placeholder %q in the job document: %s.", clip(placeholder), reason)
}

func clip(s string) string {
	const limit = 160
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	cut := limit
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// unescape decodes what is between the quotes of a JSON string. Half of a surrogate
// pair, which JSON allows and UTF-8 does not, comes out as the three bytes UTF-8 would
// have for it (WTF-8), so that appendEscaped can write it again.
func unescape(raw []byte) string {
	at := bytes.IndexByte(raw, '\\')
	if at < 0 {
		return string(raw)
	}
	out := make([]byte, 0, len(raw))
	for ; at >= 0; at = bytes.IndexByte(raw, '\\') {
		out = append(out, raw[:at]...)
		raw = raw[at+1:]
		if len(raw) == 0 {
			break
		}
		c := raw[0]
		raw = raw[1:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			u := hex4(raw)
			raw = raw[min(4, len(raw)):]
			if isHigh(u) && bytes.HasPrefix(raw, []byte(`\u`)) && isLow(hex4(raw[2:])) {
				u = 0x10000 + (u-0xD800)<<10 + (hex4(raw[2:]) - 0xDC00)
				raw = raw[6:]
			}
			if isHigh(u) || isLow(u) {
				out = append(out, 0xE0|byte(u>>12), 0x80|byte(u>>6)&0x3F, 0x80|byte(u)&0x3F)
			} else {
				out = utf8.AppendRune(out, u)
			}
			continue
		}
		out = append(out, c) // '"', '\\' and '/' stand for themselves
	}
	return string(append(out, raw...))
}

func isHigh(u rune) bool { return 0xD800 <= u && u < 0xDC00 }
func isLow(u rune) bool  { return 0xDC00 <= u && u < 0xE000 }

// hex4 reads four hexadecimal digits; -1 when there are none.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var u rune
	for _, c := range b[:4] {
		d := fromHex(c)
		if d < 0 {
			return -1
		}
		u = u<<4 | rune(d)
	}
	return u
}

// fromHex is the value of a hexadecimal digit, -1 for any other byte.
func fromHex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

const lowerHex = "0123456789abcdef"

// appendEscaped writes text as the inside of a JSON string with the fewest escapes
// JSON allows. Slash, ampersand and percent sign stay themselves: there are clients
// that use the contents of a string without decoding it.
func appendEscaped(dst []byte, text string) []byte {
	kept := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		surrogate := c == 0xED && i+2 < len(text) && text[i+1] >= 0xA0
		if c >= ' ' && c != '"' && c != '\\' && !surrogate {
			continue
		}
		dst = append(dst, text[kept:i]...)
		switch {
		case surrogate:
			u := uint16(0xD000) | uint16(text[i+1]&0x3F)<<6 | uint16(text[i+2]&0x3F)
			dst = append(dst, '\\', 'u', lowerHex[u>>12], lowerHex[u>>8&15], lowerHex[u>>4&15], lowerHex[u&15])
			i += 2
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
		}
		kept = i + 1
	}
	return append(dst, text[kept:]...)
}
