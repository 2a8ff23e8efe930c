package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// TypeError is a member of the body with the wrong JSON type. It is about syntax,
// so it comes before every Violations.
type TypeError struct {
	Member string // path: "abortConfig.criteriaList.1.member.action"
	Want   string // "a string"
}

func (e *TypeError) Error() string { return fmt.Sprintf("The member %s must be %s.", e.Member, e.Want) }

// Violations are the constraints that a request breaks, in the order of the model.
type Violations []Violation

// A Violation is one constraint that is broken.
type Violation struct {
	Member     string // path, by the names of the model
	Value      string // "null" for a member that is missing
	Constraint string // "Member must not be null"
}

// Error words them as the service does.
func (v Violations) Error() string {
	const shown = 10
	var b strings.Builder
	fmt.Fprintf(&b, "%d validation error", len(v))
	if len(v) > 1 {
		b.WriteByte('s')
	}
	b.WriteString(" detected: ")
	for i, x := range v[:min(len(v), shown)] {
		if i > 0 {
			b.WriteString("; ")
		}
		value := "'" + clip(x.Value) + "'"
		if x.Value == null {
			value = null
		}
		fmt.Fprintf(&b, "Value %s at '%s' failed to satisfy constraint: %s", value, x.Member, x.Constraint)
	}
	return b.String()
}

const null = "null"

// Check compares a request with the operation's input. The error is a *TypeError or
// Violations. Members the model does not have are not looked at, null is the same as
// leaving a member out.
func (op *Operation) Check(in Input) error {
	c := &checker{}
	input := shapes[op.Input]
	if input == nil {
		return nil
	}
	for _, m := range input.Members {
		switch m.In {
		case InBody:
			c.member(m, m.Name, in.Body[m.Name])
		case InPath:
			c.text(m, in.Path[m.wire()], true)
		case InQuery:
			c.text(m, in.Query.Get(m.wire()), in.Query.Has(m.wire()))
		case InHeader:
			v := in.Header.Get(m.wire())
			c.text(m, v, v != "")
		}
	}
	switch {
	case c.wrongType != nil:
		return c.wrongType
	case len(c.broken) > 0:
		return c.broken
	}
	return nil
}

type checker struct {
	wrongType *TypeError
	broken    Violations
}

func (c *checker) want(path, kind string) {
	if c.wrongType == nil {
		c.wrongType = &TypeError{path, kind}
	}
}

func (c *checker) fail(path, value, format string, args ...any) {
	c.broken = append(c.broken, Violation{path, value, fmt.Sprintf(format, args...)})
}

func (c *checker) missing(path string) { c.fail(path, null, "Member must not be null") }

func (c *checker) member(m Member, path string, v any) {
	switch {
	case v != nil:
		c.value(m.Shape, path, v)
	case m.Required:
		c.missing(path)
	}
}

// text checks what comes as text: a member of the path, the query or a header.
func (c *checker) text(m Member, v string, given bool) {
	s := shapes[m.Shape]
	switch {
	case !given:
		if m.Required {
			c.missing(m.Name)
		}
	case s.Kind == Boolean:
		if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
			c.fail(m.Name, v, "Member must be true or false")
		}
	case s.Kind == Integer, s.Kind == Long:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			c.fail(m.Name, v, "Member must be a number")
			return
		}
		c.number(s, m.Name, v, float64(n))
	default:
		c.value(m.Shape, m.Name, v)
	}
}

// value checks a value of the body against a shape and all below it.
func (c *checker) value(shape, path string, v any) {
	s := shapes[shape]
	switch s.Kind {
	case Structure:
		o, ok := v.(map[string]any)
		if !ok {
			c.want(path, "an object")
			return
		}
		for _, m := range s.Members {
			c.member(m, path+"."+m.Name, o[m.Name])
		}
	case Map:
		o, ok := v.(map[string]any)
		if !ok {
			c.want(path, "an object")
			return
		}
		c.elements(s, path, len(o))
		for _, k := range slices.Sorted(maps.Keys(o)) {
			c.key(shapes[s.Key], path, k)
			if o[k] != nil {
				c.value(s.Value, path+"."+printable(k)+".member", o[k])
			}
		}
	case List:
		l, ok := v.([]any)
		if !ok {
			c.want(path, "a list")
			return
		}
		c.elements(s, path, len(l))
		for i, e := range l {
			at := fmt.Sprintf("%s.%d.member", path, i+1)
			if e == nil {
				c.missing(at)
				continue
			}
			c.value(s.Value, at, e)
		}
	case String:
		t, ok := v.(string)
		if !ok {
			c.want(path, "a string")
			return
		}
		for _, constraint := range s.brokenBy(t) {
			c.fail(path, t, "%s", constraint)
		}
	case Boolean:
		if _, ok := v.(bool); !ok {
			c.want(path, "a boolean")
		}
	case Integer, Long:
		n, ok := v.(json.Number)
		f, isInteger := integer(n)
		if !ok || !isInteger {
			c.want(path, "an integer")
			return
		}
		c.number(s, path, string(n), f)
	case Double:
		n, ok := v.(json.Number)
		if !ok {
			c.want(path, "a number")
			return
		}
		f, _ := n.Float64() // ±Inf when out of range, which is in no range below
		c.number(s, path, string(n), f)
	}
}

// integer reads a JSON number that is one, however written: 3, 3.0, 30e-1.
func integer(n json.Number) (float64, bool) {
	f, err := n.Float64()
	return f, err == nil && f == math.Trunc(f) || errors.Is(err, strconv.ErrRange) && !strings.ContainsAny(string(n), ".eE")
}

func (c *checker) elements(s *Shape, path string, n int) {
	value := fmt.Sprintf("of length %d", n)
	if s.Min != nil && float64(n) < *s.Min {
		c.fail(path, value, "Member must have length greater than or equal to %v", *s.Min)
	}
	if s.Max != nil && float64(n) > *s.Max {
		c.fail(path, value, "Member must have length less than or equal to %v", *s.Max)
	}
}

func (c *checker) key(s *Shape, path, k string) {
	if broken := s.brokenBy(k); len(broken) > 0 {
		c.fail(path, k, "Map keys must satisfy constraint: [%s]", strings.Join(broken, ", "))
	}
}

func (c *checker) number(s *Shape, path, value string, f float64) {
	low, high := s.Min, s.Max
	if low == nil && s.Kind == Integer {
		low = bound(math.MinInt32)
	}
	if high == nil {
		switch s.Kind {
		case Integer:
			high = bound(math.MaxInt32)
		case Long:
			high = bound(math.MaxInt64)
		}
	}
	if low == nil && s.Kind == Long {
		low = bound(math.MinInt64)
	}
	if low != nil && f < *low {
		c.fail(path, value, "Member must have value greater than or equal to %v", plain(*low))
	}
	if high != nil && f > *high || math.IsInf(f, 1) {
		c.fail(path, value, "Member must have value less than or equal to %v", plain(*high))
	}
}

func plain(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// brokenBy lists the constraints of a string shape that a value breaks.
func (s *Shape) brokenBy(v string) []string {
	var broken []string
	n := float64(utf8.RuneCountInString(v))
	if s.Min != nil && n < *s.Min {
		broken = append(broken, fmt.Sprintf("Member must have length greater than or equal to %v", *s.Min))
	}
	if s.Max != nil && n > *s.Max {
		// Not matched against the pattern: that is work a stranger can make us do.
		return append(broken, fmt.Sprintf("Member must have length less than or equal to %v", *s.Max))
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		broken = append(broken, fmt.Sprintf("Member must satisfy enum value set: [%s]", strings.Join(s.Enum, ", ")))
	}
	if s.Pattern != "" && !expression(s.Pattern).MatchString(v) {
		broken = append(broken, "Member must satisfy regular expression pattern: "+s.Pattern)
	}
	return broken
}

func printable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// clip keeps a value that goes into a message to a readable length.
func clip(s string) string {
	const limit = 128
	r := []rune(printable(s))
	if len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return string(r)
}
