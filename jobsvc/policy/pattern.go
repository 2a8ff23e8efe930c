package policy

import (
	"strings"
	"unicode/utf8"
)

// pattern is a text with wildcards and variables, taken apart.
type pattern struct {
	parts []part
	// fixed: there is no variable in it, and parts are all there is to match.
	fixed bool
	plain string // of a fixed one the text in which wildcards mean themselves
}

type part struct {
	kind partKind
	text string // of a literal; of a variable as it was written
	name string // of a variable
}

type partKind byte

const (
	literal  partKind = iota
	anyRun            // *
	anyOne            // ?
	variable          // ${name}
)

// parsePattern takes a pattern apart. Without variables ${ is text like any other.
func parsePattern(s string, variables bool) pattern {
	p := pattern{fixed: true}
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			p.parts = append(p.parts, part{kind: literal, text: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case s[i] == '*':
			flush()
			p.parts = append(p.parts, part{kind: anyRun})
			i++
		case s[i] == '?':
			flush()
			p.parts = append(p.parts, part{kind: anyOne})
			i++
		case variables && strings.HasPrefix(s[i:], "${"):
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				lit.WriteString(s[i:])
				i = len(s)
				break
			}
			name := s[i+2 : i+end]
			switch name {
			case "*", "?", "$": // the characters themselves
				lit.WriteString(name)
			default:
				flush()
				p.parts = append(p.parts, part{kind: variable, text: s[i : i+end+1], name: name})
				p.fixed = false
			}
			i += end + 1
		default:
			lit.WriteByte(s[i])
			i++
		}
	}
	flush()
	if p.fixed {
		p.plain = plainText(p.parts)
	}
	return p
}

// resolve puts the values of variables in, as literal text, into room if it is enough. A
// variable without a value stays as it was written, so that nothing matches it
// by accident. With plain, so does one whose value has a wildcard of MQTT.
func (p *pattern) resolve(c *Context, plain bool, room []part) []part {
	for _, q := range p.parts {
		if q.kind == variable {
			q.kind = literal
			if v, ok := c.single(q.name); ok && !(plain && strings.ContainsAny(v, "+#")) {
				q.text = v
			}
		}
		room = append(room, q)
	}
	return room
}

// partsOnStack are more than patterns usually have.
const partsOnStack = 8

// value is the text of a pattern in which wildcards mean themselves.
func (p *pattern) value(c *Context) string {
	if p.fixed {
		return p.plain
	}
	var room [partsOnStack]part
	return plainText(p.resolve(c, false, room[:0]))
}

// resolved tells whether all its variables have a value.
func (p *pattern) resolved(c *Context) bool {
	for i := range p.parts {
		if p.parts[i].kind == variable {
			if _, ok := c.single(p.parts[i].name); !ok {
				return false
			}
		}
	}
	return true
}

func plainText(parts []part) string {
	var b strings.Builder
	for _, q := range parts {
		switch q.kind {
		case anyRun:
			b.WriteByte('*')
		case anyOne:
			b.WriteByte('?')
		default:
			b.WriteString(q.text)
		}
	}
	return b.String()
}

// matches compares a text with the pattern; plain: see resolve.
func (p *pattern) matches(s string, c *Context, plain bool) bool {
	if p.fixed {
		return match(p.parts, s)
	}
	var room [partsOnStack]part
	return match(p.resolve(c, plain, room[:0]), s)
}

// match compares a whole text. Between two * the leftmost place that fits is taken,
// which is never worse than another, so the work is bounded by the product of the
// lengths.
func match(parts []part, s string) bool {
	head, parts, more := cutRun(parts)
	s, ok := prefix(head, s)
	if !ok || !more {
		return ok && s == ""
	}
	for {
		var group []part
		group, parts, more = cutRun(parts)
		if !more {
			return suffix(group, s)
		}
		if s, ok = find(group, s); !ok {
			return false
		}
	}
}

// cutRun gives the parts before the first *, and those behind it when there is one.
func cutRun(parts []part) (before, behind []part, found bool) {
	for i := range parts {
		if parts[i].kind == anyRun {
			return parts[:i], parts[i+1:], true
		}
	}
	return parts, nil, false
}

// prefix matches parts without * at the beginning of s and gives what is left of it.
func prefix(parts []part, s string) (rest string, ok bool) {
	for _, p := range parts {
		if p.kind == anyOne {
			_, n := utf8.DecodeRuneInString(s)
			if n == 0 {
				return "", false
			}
			s = s[n:]
			continue
		}
		if s, ok = strings.CutPrefix(s, p.text); !ok {
			return "", false
		}
	}
	return s, true
}

// find matches parts without * at the first place in s where they fit.
func find(parts []part, s string) (rest string, ok bool) {
	for {
		if rest, ok = prefix(parts, s); ok {
			return rest, true
		}
		_, n := utf8.DecodeRuneInString(s)
		if n == 0 {
			return "", false
		}
		s = s[n:]
	}
}

// suffix matches parts without * at the end of s.
func suffix(parts []part, s string) bool {
	for {
		if rest, ok := prefix(parts, s); ok && rest == "" {
			return true
		}
		_, n := utf8.DecodeRuneInString(s)
		if n == 0 {
			return false
		}
		s = s[n:]
	}
}
