// Package query is the language in which dynamic thing groups and SearchIndex name
// things, a part of what AWS's fleet index knows:
//
//	query  = and { "OR" and }
//	and    = not { ["AND"] not }
//	not    = [ "NOT" | "-" ] atom
//	atom   = "(" query ")" | "*" | field ":" value | field op number
//	       | field ":" "(" value { "OR" value } ")"
//	op     = "<" | "<=" | ">" | ">="
//	value  = word | "phrase" | range
//	range  = "[" bound "TO" bound "]"      bounds included
//	       | "{" bound "TO" bound "}"      bounds excluded; a bound is a word, a phrase or *
//	field  = thingName | thingTypeName | thingGroupNames | attributes.NAME
//	       | connectivity.connected | connectivity.timestamp
//
// In a word * stands for any characters and ? for one, but not in the first place; *
// alone is any value there is. A backslash takes the meaning of the character behind it.
//
// Fields are case-sensitive, values are not. Attributes and times are compared as
// numbers when both sides are numbers, as text otherwise. What a thing does not have
// matches nothing.
package query

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a query.
const (
	MaxBytes = 1000
	MaxTerms = 7 // comparisons
)

// A Thing is what a query looks at.
type Thing struct {
	Name       string
	TypeName   string   // "" for none
	Groups     []string // names of the static groups it is a direct member of
	Attributes map[string]string
	Connected  bool
	Timestamp  int64 // when the connection began, in Unix milliseconds; 0 when not known
}

// A Query is a parsed query. It is not changed by use.
type Query struct {
	root                 node
	groups, connectivity bool
}

// Match tells whether the query names the thing.
func (q *Query) Match(t *Thing) bool { return q.root.match(t) }

// UsesGroups tells whether the answer depends on Thing.Groups.
func (q *Query) UsesGroups() bool { return q.groups }

// UsesConnectivity tells whether the answer depends on Thing.Connected or Timestamp.
func (q *Query) UsesConnectivity() bool { return q.connectivity }

// Names gives the names, in lower case, of which one must be that of a thing the query
// names, whatever its case; ok is false when there is no such list.
func (q *Query) Names() (names []string, ok bool) { return q.root.names() }

// A node is a part of a query. names is as Query.Names.
type node interface {
	match(*Thing) bool
	names() ([]string, bool)
}

type anything struct{}

func (anything) match(*Thing) bool       { return true }
func (anything) names() ([]string, bool) { return nil, false }

type not struct{ of node }

func (n not) match(t *Thing) bool   { return !n.of.match(t) }
func (not) names() ([]string, bool) { return nil, false }

type and []node

func (n and) match(t *Thing) bool {
	for _, of := range n {
		if !of.match(t) {
			return false
		}
	}
	return true
}

func (n and) names() ([]string, bool) {
	for _, of := range n {
		if names, ok := of.names(); ok {
			return names, true
		}
	}
	return nil, false
}

type or []node

func (n or) match(t *Thing) bool {
	for _, of := range n {
		if of.match(t) {
			return true
		}
	}
	return false
}

func (n or) names() (all []string, ok bool) {
	for _, of := range n {
		names, ok := of.names()
		if !ok {
			return nil, false
		}
		all = append(all, names...)
	}
	return all, true
}

// term compares what a thing has in a field.
type term struct {
	field field
	test  test
}

func (n *term) match(t *Thing) bool {
	if n.field.kind == fieldGroups {
		return slices.ContainsFunc(t.Groups, n.test.match)
	}
	v, ok := n.field.value(t)
	return ok && n.test.match(v)
}

func (n *term) names() ([]string, bool) {
	if w, ok := n.test.(*word); ok && n.field.kind == fieldName {
		return []string{w.text}, true
	}
	return nil, false
}

type fieldKind byte

const (
	fieldName fieldKind = iota
	fieldType
	fieldGroups
	fieldAttribute
	fieldConnected
	fieldTimestamp
)

type field struct {
	kind fieldKind
	name string // of an attribute
}

// numeric tells whether values that are numbers are compared as numbers: a thing called
// 007 is not the one called 7.
func (f field) numeric() bool { return f.kind == fieldAttribute || f.kind == fieldTimestamp }

func (f field) value(t *Thing) (string, bool) {
	switch f.kind {
	case fieldName:
		return t.Name, true
	case fieldType:
		return t.TypeName, t.TypeName != ""
	case fieldAttribute:
		v, ok := t.Attributes[f.name]
		return v, ok
	case fieldConnected:
		return strconv.FormatBool(t.Connected), true
	case fieldTimestamp:
		return strconv.FormatInt(t.Timestamp, 10), t.Timestamp != 0
	}
	return "", false
}

// A test judges one value.
type test interface{ match(string) bool }

type present struct{}

func (present) match(string) bool { return true }

// word is equality.
type word struct {
	text     string // folded
	number   float64
	isNumber bool
}

func (w *word) match(v string) bool {
	if w.isNumber {
		if n, ok := number(v); ok {
			return n == w.number
		}
	}
	return fold(v) == w.text
}

// A glob is a folded word in which negative runes are wildcards.
type glob []rune

const (
	anyRunes rune = -1
	oneRune  rune = -2
)

func (g glob) match(v string) bool {
	s := []rune(fold(v))
	i, j := 0, 0
	star, from := -1, 0 // where the last * is, and where what follows it was tried
	for j < len(s) {
		switch {
		case i < len(g) && g[i] == anyRunes:
			star, from = i, j
			i++
		case i < len(g) && (g[i] == oneRune || g[i] == s[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(g) && g[i] == anyRunes {
		i++
	}
	return i == len(g)
}

// between is a range; a bound that is nil is open.
type between struct {
	low, high *word
	exclusive bool
	numeric   bool // all bounds are numbers, of a field where that counts
	only      bool // what is no number does not match
}

func (r *between) match(v string) bool {
	n, isNumber := number(v)
	if r.only && !isNumber {
		return false
	}
	compare := func(b *word) int {
		switch {
		case !r.numeric || !isNumber:
			return strings.Compare(fold(v), b.text)
		case n < b.number:
			return -1
		case n > b.number:
			return 1
		}
		return 0
	}
	edge := 0
	if r.exclusive {
		edge = 1
	}
	return (r.low == nil || compare(r.low) >= edge) && (r.high == nil || compare(r.high) <= -edge)
}

func fold(s string) string { return strings.ToLower(s) }

// number reads a decimal number, with nothing that Go alone takes for one.
func number(s string) (float64, bool) {
	if s == "" || strings.Trim(s, "0123456789.+-eE") != "" || strings.Trim(s, ".+-eE") == "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && !math.IsInf(n, 0)
}
