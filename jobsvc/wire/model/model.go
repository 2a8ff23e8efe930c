// Package model holds what AWS's service model says of the requests of the control
// plane, and checks requests against it: types, what is required, lengths, ranges,
// patterns, values of enumerations. It knows nothing of what operations mean.
//
// iot.go is generated from the model as AWS publishes it; amend.go has what is
// newer than that, and where the service takes more or less than its model says.
package model

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

//go:generate go run gen.go

// Kind is the type of a shape.
type Kind byte

// The kinds.
const (
	Structure Kind = iota
	List
	Map
	String
	Integer // 32 bits
	Long    // 64 bits
	Double
	Boolean
)

// In is the place of a member in a request.
type In byte

// The places.
const (
	InBody In = iota
	InPath
	InQuery
	InHeader
)

// A Shape is a type of the service model.
type Shape struct {
	Kind     Kind
	Min, Max *float64 // of a number; the length of a string in characters, of a list or map in elements
	Pattern  string   // as the service model has it, for the whole value
	Enum     []string
	Key      string // shape of a map's keys
	Value    string // shape of a map's values, of a list's elements
	Members  []Member
}

// A Member of a structure.
type Member struct {
	Name     string
	Shape    string
	In       In
	Wire     string // name in the path, query or header; "" when it is Name
	Required bool
}

func (m Member) wire() string {
	if m.Wire != "" {
		return m.Wire
	}
	return m.Name
}

// Operation is an operation of the service.
type Operation struct {
	Name   string
	Input  string   // shape; "" when it has none
	Errors []string // the exceptions it declares, sorted
}

// Input is a request taken apart.
type Input struct {
	Path   map[string]string
	Query  url.Values
	Header http.Header
	Body   map[string]any // as encoding/json decodes it with UseNumber
}

// Lookup finds an operation, nil when the model has none of this name.
func Lookup(name string) *Operation { return operations[name] }

func bound(n float64) *float64 { return &n }

// expression compiles a pattern once, for the whole value. Java's classes that RE2
// does not have are written out, and so is "not \p{C}": Go's C lacks what Unicode
// has not assigned.
func expression(pattern string) *regexp.Regexp {
	if re, ok := expressions.Load(pattern); ok {
		return re.(*regexp.Regexp)
	}
	p := strings.TrimSuffix(strings.TrimPrefix(pattern, "^"), "$")
	re := regexp.MustCompile(`^(?:` + javaClasses.Replace(p) + `)$`)
	expressions.Store(pattern, re)
	return re
}

var (
	expressions sync.Map // pattern to *regexp.Regexp
	javaClasses = strings.NewReplacer(
		`\p{Upper}`, `A-Z`,
		`\p{Digit}`, `0-9`,
		`\p{Graph}`, `\p{L}\p{M}\p{N}\p{P}\p{S}`,
		`[^\p{C}]`, `[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Z}]`,
	)
)
