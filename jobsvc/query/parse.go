package query

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Parse reads a query. Errors: CodeInvalidQuery, saying what is wrong and where.
func Parse(text string) (q *Query, err error) {
	if len(text) > MaxBytes {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidQuery, "The queryString has %d bytes, more than the %d allowed.", len(text), MaxBytes)
	}
	if !utf8.ValidString(text) {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidQuery, "The queryString is not valid UTF-8.")
	}
	p := &parser{text: text}
	defer func() { // the one way out of the descent
		if r := recover(); r != nil {
			e, ok := r.(*jobsvc.Error)
			if !ok {
				panic(r)
			}
			q, err = nil, e
		}
	}()
	p.q.root = p.or()
	if !p.ended() {
		p.fail("there is a ) without its (")
	}
	return &p.q, nil
}

type parser struct {
	text  string
	at    int
	terms int
	q     Query
}

// fail gives the query up.
func (p *parser) fail(format string, args ...any) {
	panic(jobsvc.Errorf(jobsvc.CodeInvalidQuery, "The queryString is not valid at character %d: %s.",
		utf8.RuneCountInString(p.text[:p.at])+1, fmt.Sprintf(format, args...)))
}

const spaces = " \t\r\n"

// ended skips white space and tells whether nothing is left.
func (p *parser) ended() bool {
	for p.at < len(p.text) && strings.IndexByte(spaces, p.text[p.at]) >= 0 {
		p.at++
	}
	return p.at == len(p.text)
}

// peek is the next byte after white space; 0 at the end.
func (p *parser) peek() byte {
	if p.ended() {
		return 0
	}
	return p.text[p.at]
}

// take skips a text if it is next.
func (p *parser) take(s string) bool {
	p.ended()
	if !strings.HasPrefix(p.text[p.at:], s) {
		return false
	}
	p.at += len(s)
	return true
}

// isKeyword tells whether a keyword is next: one that ends where a word would.
func (p *parser) isKeyword(k string) bool {
	p.ended()
	rest, ok := strings.CutPrefix(p.text[p.at:], k)
	return ok && (rest == "" || strings.IndexByte(spaces+`()[]{}"`, rest[0]) >= 0)
}

func (p *parser) keyword(k string) bool {
	if !p.isKeyword(k) {
		return false
	}
	p.at += len(k)
	return true
}

func (p *parser) or() node {
	all := or{p.and()}
	for p.keyword("OR") {
		all = append(all, p.and())
	}
	if len(all) == 1 {
		return all[0]
	}
	return all
}

func (p *parser) and() node {
	all := and{p.not()}
	for {
		if !p.keyword("AND") && (p.ended() || p.peek() == ')' || p.isKeyword("OR")) {
			break
		}
		all = append(all, p.not())
	}
	if len(all) == 1 {
		return all[0]
	}
	return all
}

func (p *parser) not() node {
	if p.keyword("NOT") || p.take("-") {
		return not{p.atom()}
	}
	return p.atom()
}

func (p *parser) atom() node {
	switch c := p.peek(); {
	case c == 0:
		p.fail("a condition is missing")
	case c == '(':
		p.at++
		n := p.or()
		if !p.take(")") {
			p.fail("a ) is missing")
		}
		return n
	case c == '*':
		p.at++
		if p.at < len(p.text) && strings.IndexByte(spaces+")", p.text[p.at]) < 0 {
			p.fail("* names every thing and stands alone; a condition begins with a field")
		}
		p.count()
		return anything{}
	case p.isKeyword("AND"), p.isKeyword("OR"), p.isKeyword("NOT"):
		p.fail("a condition is missing before this operator")
	}
	return p.condition()
}

// count counts a comparison.
func (p *parser) count() {
	if p.terms++; p.terms > MaxTerms {
		p.fail("a query may have at most %d terms", MaxTerms)
	}
}

func (p *parser) condition() node {
	f := p.field()
	for _, op := range []string{"<=", ">=", "<", ">"} { // the longer ones first
		if p.take(op) {
			return p.comparison(f, op)
		}
	}
	if !p.take(":") {
		p.fail("a :, <, <=, > or >= must follow the field")
	}
	if !p.take("(") {
		return &term{f, p.value(f)}
	}
	all := or{&term{f, p.value(f)}}
	for p.keyword("OR") {
		all = append(all, &term{f, p.value(f)})
	}
	if !p.take(")") {
		p.fail("values in parentheses are separated by OR and end with )")
	}
	return all
}

// Of values: what stands for itself only behind a backslash.
const special = spaces + `()[]{}":<>^~`

// raw reads runes up to white space or what is special. wild tells which of them are
// wildcards: * and ? that no backslash stands before.
func (p *parser) raw() (runes []rune, wild []bool) {
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		escaped := r == '\\'
		if escaped {
			if p.at++; p.at == len(p.text) {
				p.fail("nothing follows the backslash")
			}
			r, n = utf8.DecodeRuneInString(p.text[p.at:])
		} else if strings.ContainsRune(special, r) {
			break
		}
		runes = append(runes, r)
		wild = append(wild, !escaped && (r == '*' || r == '?'))
		p.at += n
	}
	return runes, wild
}

func (p *parser) field() field {
	start := p.at
	refuse := func(format string, args ...any) {
		p.at = start
		p.fail(format, args...)
	}
	if c := p.text[start]; c == '"' || c == '/' || c == '[' || c == '{' {
		refuse("a condition begins with a field, such as thingName:")
	}
	runes, wild := p.raw()
	name := string(runes)
	switch {
	case strings.HasPrefix(name, "&&"), strings.HasPrefix(name, "||"), strings.HasPrefix(name, "!"), strings.HasPrefix(name, "+"):
		refuse("use AND, OR and NOT")
	case slices.Contains(wild, true):
		refuse("a field has no wildcards")
	}
	if name == "" || strings.IndexByte(":<>", p.peek()) < 0 {
		refuse("a condition begins with a field, such as thingName:")
	}
	switch name {
	case "thingName":
		return field{kind: fieldName}
	case "thingTypeName":
		return field{kind: fieldType}
	case "thingGroupNames":
		p.q.groups = true
		return field{kind: fieldGroups}
	case "connectivity.connected":
		p.q.connectivity = true
		return field{kind: fieldConnected}
	case "connectivity.timestamp":
		p.q.connectivity = true
		return field{kind: fieldTimestamp}
	}
	if attribute, ok := strings.CutPrefix(name, "attributes."); ok && attribute != "" {
		return field{fieldAttribute, attribute}
	}
	if strings.HasPrefix(name, "shadow.") {
		refuse("the field %s is not supported, there are no shadows", jobsvc.Clip(name))
	}
	refuse("the field %s is not supported; there are thingName, thingTypeName, thingGroupNames, attributes.NAME, connectivity.connected and connectivity.timestamp", jobsvc.Clip(name))
	return field{}
}

func (p *parser) comparison(f field, op string) node {
	p.ended()
	start := p.at
	w, ok := p.bound(f)
	if !f.numeric() {
		p.at = start
		p.fail("%s is for attributes.NAME and connectivity.timestamp", op)
	}
	if !ok || w == nil || !w.isNumber {
		p.at = start
		p.fail("a number must follow %s", op)
	}
	p.count()
	r := &between{exclusive: len(op) == 1, numeric: true, only: true}
	if op[0] == '<' {
		r.high = w
	} else {
		r.low = w
	}
	return &term{f, r}
}

func (p *parser) value(f field) test {
	c := p.peek()
	start := p.at
	p.count()
	switch c {
	case 0:
		p.fail("a value is missing")
	case '[', '{':
		return p.interval(f)
	case '"':
		w := p.phrase(f)
		p.checkConnected(f, w, start)
		return w
	case '/':
		p.fail("regular expressions are not supported; write \\/ for a value that begins with /")
	case '<', '>':
		p.fail("write the comparison behind the field, without the colon")
	}
	p.noKeyword()
	runes, wild := p.raw()
	p.checkEnd()
	if len(runes) == 0 {
		p.fail("a value is missing")
	}
	if !slices.Contains(wild, true) {
		w := newWord(f, string(runes))
		p.checkConnected(f, w, start)
		return w
	}
	if len(runes) == 1 && runes[0] == '*' {
		return present{}
	}
	p.at, start = start, p.at
	switch {
	case wild[0]:
		p.fail("a value must not begin with a wildcard")
	case f.kind == fieldConnected:
		p.fail("connectivity.connected is true or false")
	}
	p.at = start
	g := glob(fold2(runes))
	for i := range g {
		if wild[i] {
			if g[i] = oneRune; runes[i] == '*' {
				g[i] = anyRunes
			}
		}
	}
	return g
}

// fold2 folds rune by rune, so that wildcards stay in their places.
func fold2(runes []rune) []rune {
	folded := make([]rune, len(runes))
	for i, r := range runes {
		folded[i] = []rune(fold(string(r)))[0]
	}
	return folded
}

func (p *parser) checkConnected(f field, w *word, start int) {
	if f.kind == fieldConnected && w.text != "true" && w.text != "false" {
		p.at = start
		p.fail("connectivity.connected is true or false")
	}
}

// noKeyword refuses an operator in the place of a value.
func (p *parser) noKeyword() {
	for _, k := range []string{"AND", "OR", "NOT", "TO"} {
		if p.isKeyword(k) {
			p.fail("a value is missing before %s; the word itself is written in quotes", k)
		}
	}
}

// checkEnd refuses what may not follow a value directly.
func (p *parser) checkEnd() {
	if p.at == len(p.text) {
		return
	}
	switch c := p.text[p.at]; c {
	case ':', '<', '>', '"', '[', '{':
		p.fail("%c inside a value needs a backslash before it", c)
	case '^':
		p.fail("boosting is not supported; write \\^ for the character")
	case '~':
		p.fail("fuzzy search is not supported; write \\~ for the character")
	}
}

func newWord(f field, text string) *word {
	w := &word{text: fold(text)}
	if f.numeric() {
		w.number, w.isNumber = number(text)
	}
	return w
}

// phrase reads a value in quotes, in which all characters but " and \ stand for
// themselves.
func (p *parser) phrase(f field) *word {
	var b strings.Builder
	for p.at++; ; p.at++ {
		if p.at >= len(p.text) {
			p.fail("the closing quote is missing")
		}
		c := p.text[p.at]
		if c == '"' {
			break
		}
		if c == '\\' {
			if p.at++; p.at == len(p.text) {
				p.fail("the closing quote is missing")
			}
			c = p.text[p.at]
		}
		b.WriteByte(c)
	}
	p.at++
	p.checkEnd()
	return newWord(f, b.String())
}

func (p *parser) interval(f field) test {
	if f.kind == fieldConnected {
		p.fail("connectivity.connected is true or false")
	}
	r := &between{exclusive: p.text[p.at] == '{'}
	closing := "]"
	if r.exclusive {
		closing = "}"
	}
	p.at++
	var ok bool
	if r.low, ok = p.bound(f); !ok {
		p.fail("a range is written [a TO b] or {a TO b}")
	}
	if !p.keyword("TO") {
		p.fail("TO is missing in the range")
	}
	if r.high, ok = p.bound(f); !ok {
		p.fail("a range is written [a TO b] or {a TO b}")
	}
	if !p.take(closing) {
		p.fail("the range must end with %s", closing)
	}
	r.numeric = f.numeric() && (r.low == nil || r.low.isNumber) && (r.high == nil || r.high.isNumber)
	return r
}

// bound reads an end of a range; * is nil. ok is false when there is none.
func (p *parser) bound(f field) (w *word, ok bool) {
	if p.peek() == '"' {
		return p.phrase(f), true
	}
	p.noKeyword()
	runes, wild := p.raw()
	switch {
	case len(runes) == 0:
		return nil, false
	case len(runes) == 1 && wild[0] && runes[0] == '*':
		return nil, true
	case slices.Contains(wild, true):
		p.fail("there are no wildcards in ranges and comparisons")
	}
	return newWord(f, string(runes)), true
}
