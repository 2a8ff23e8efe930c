package main

import (
	"fmt"
	"strconv"
	"strings"
)

// goal is what a row is judged by: a bound on the ratio product : anchor, or on the
// product's own number in a row without an anchor.
type goal struct {
	atMost bool // else at least
	bound  float64
}

func atLeast(bound float64) *goal { return &goal{false, bound} }
func atMost(bound float64) *goal  { return &goal{true, bound} }

func (g *goal) String() string {
	if g == nil {
		return ""
	}
	op := ">= "
	if g.atMost {
		op = "<= "
	}
	return op + strconv.FormatFloat(g.bound, 'f', -1, 64)
}

// UnmarshalText reads what String writes.
func (g *goal) UnmarshalText(b []byte) (err error) {
	op, n, ok := strings.Cut(string(b), " ")
	if !ok || op != ">=" && op != "<=" {
		return fmt.Errorf("%q is no goal", b)
	}
	g.atMost = op == "<="
	g.bound, err = strconv.ParseFloat(n, 64)
	return err
}

// MarshalText is for bench.json.
func (g *goal) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

func (g *goal) met(x float64) bool {
	if g.atMost {
		return x <= g.bound
	}
	return x >= g.bound
}
