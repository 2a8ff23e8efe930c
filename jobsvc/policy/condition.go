package policy

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// condition is one key of a condition block: all of them must hold.
type condition struct {
	op       operator
	set      quantifier
	ifExists bool
	key      string
	values   []pattern
}

type quantifier byte

const (
	oneValue     quantifier = iota
	forAnyValue             // some value of the request fits
	forAllValues            // every value of the request fits; none is all of none
)

// operator compares one value of the request with one of the policy. Negated ones hold
// when no value of the policy fits.
type operator struct {
	fits    func(c *Context, request string, v *pattern) bool
	valid   func(value string) bool // nil: every value is
	negated bool
	null    bool // looks at whether the key is there
}

// conditions reads {operator: {key: value or values}}.
func (p *parser) conditions(raw json.RawMessage) ([]condition, error) {
	block, err := members(raw, "Condition")
	if err != nil {
		return nil, err
	}
	var list []condition
	for _, name := range slices.Sorted(maps.Keys(block)) {
		c := condition{}
		op := name
		if rest, ok := strings.CutPrefix(op, "ForAnyValue:"); ok {
			c.set, op = forAnyValue, rest
		} else if rest, ok := strings.CutPrefix(op, "ForAllValues:"); ok {
			c.set, op = forAllValues, rest
		}
		if rest, ok := strings.CutSuffix(op, "IfExists"); ok {
			c.ifExists, op = true, rest
		}
		var ok bool
		if c.op, ok = operators[op]; !ok || c.op.null && c.ifExists {
			return nil, malformed("The condition operator %s is not known.", jobsvc.Clip(name))
		}
		keys, err := members(block[name], "The condition "+jobsvc.Clip(name))
		if err != nil {
			return nil, err
		}
		if len(keys) == 0 {
			return nil, malformed("The condition %s has no key.", jobsvc.Clip(name))
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			values, err := conditionValues(keys[key], key)
			if err != nil {
				return nil, err
			}
			if c.op.null && len(values) > 1 {
				return nil, malformed("The condition %s on %s must have one value.", jobsvc.Clip(name), jobsvc.Clip(key))
			}
			c := c
			c.key = key
			for _, v := range values {
				value := parsePattern(v, p.variables)
				// What a variable stands for is known only at a request.
				if value.fixed && c.op.valid != nil && !c.op.valid(value.plain) {
					return nil, malformed("The condition %s on %s cannot have the value %q.", jobsvc.Clip(name), jobsvc.Clip(key), jobsvc.Clip(v))
				}
				c.values = append(c.values, value)
			}
			list = append(list, c)
		}
	}
	return list, nil
}

// conditionValues reads one or several values; booleans and numbers are text, too.
func conditionValues(raw json.RawMessage, key string) ([]string, error) {
	list := []json.RawMessage{raw}
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	if len(list) == 0 {
		return nil, malformed("The condition on %s has no value.", jobsvc.Clip(key))
	}
	values := make([]string, len(list))
	for i, v := range list {
		s, err := text(v, key)
		if err != nil {
			s = string(v)
			if s != "true" && s != "false" && !isNumber(s) {
				return nil, malformed("The values of the condition on %s must be strings.", jobsvc.Clip(key))
			}
		}
		values[i] = s
	}
	return values, nil
}

func isBool(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }

func isTime(s string) bool { _, ok := parseTime(s); return ok }

// isNumber knows decimals. What ParseFloat takes besides, like NaN, compares with nothing.
func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil && strings.Trim(s, "0123456789+-.eE") == ""
}

// holds tells whether the condition is met.
func (k *condition) holds(c *Context) bool {
	// That a value is unlike something unknown is no reason to allow or forbid.
	if k.op.negated && slices.ContainsFunc(k.values, func(v pattern) bool { return !v.fixed && !v.resolved(c) }) {
		return false
	}
	var room [1]string
	request := c.lookup(k.key, &room)
	if k.op.null {
		want := strings.EqualFold(k.values[0].value(c), "true")
		return (len(request) == 0) == want
	}
	if len(request) == 0 {
		// A negated operator holds of what is not there, IfExists does not ask.
		return k.ifExists || k.op.negated && k.set != forAnyValue || k.set == forAllValues
	}
	for _, r := range request {
		fits := k.fits(c, r)
		switch {
		case k.set == forAllValues && !fits:
			return false
		case k.set != forAllValues && fits:
			return true
		}
	}
	return k.set == forAllValues
}

func (k *condition) fits(c *Context, request string) bool {
	for i := range k.values {
		if k.op.fits(c, request, &k.values[i]) {
			return !k.op.negated
		}
	}
	return k.op.negated
}

var operators = func() map[string]operator {
	m := map[string]operator{}
	both := func(name, negatedName string, valid func(string) bool, fits func(c *Context, request string, v *pattern) bool) {
		m[name] = operator{fits: fits, valid: valid}
		m[negatedName] = operator{fits: fits, valid: valid, negated: true}
	}
	both("StringEquals", "StringNotEquals", nil, func(c *Context, r string, v *pattern) bool { return r == v.value(c) })
	both("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", nil, func(c *Context, r string, v *pattern) bool { return strings.EqualFold(r, v.value(c)) })
	both("StringLike", "StringNotLike", nil, func(c *Context, r string, v *pattern) bool { return v.matches(r, c, false) })
	both("IpAddress", "NotIpAddress", isNetwork, func(c *Context, r string, v *pattern) bool { return inNetwork(r, v.value(c)) })
	m["Bool"] = operator{valid: isBool, fits: func(c *Context, r string, v *pattern) bool { return strings.EqualFold(r, v.value(c)) }}
	m["Null"] = operator{valid: isBool, null: true}
	number := func(holds func(a, b float64) bool) func(*Context, string, *pattern) bool {
		return func(c *Context, r string, v *pattern) bool {
			a, err1 := strconv.ParseFloat(r, 64)
			b, err2 := strconv.ParseFloat(v.value(c), 64)
			return err1 == nil && err2 == nil && holds(a, b)
		}
	}
	both("NumericEquals", "NumericNotEquals", isNumber, number(func(a, b float64) bool { return a == b }))
	m["NumericLessThan"] = operator{valid: isNumber, fits: number(func(a, b float64) bool { return a < b })}
	m["NumericLessThanEquals"] = operator{valid: isNumber, fits: number(func(a, b float64) bool { return a <= b })}
	m["NumericGreaterThan"] = operator{valid: isNumber, fits: number(func(a, b float64) bool { return a > b })}
	m["NumericGreaterThanEquals"] = operator{valid: isNumber, fits: number(func(a, b float64) bool { return a >= b })}
	date := func(holds func(order int) bool) func(*Context, string, *pattern) bool {
		return func(c *Context, r string, v *pattern) bool {
			a, ok1 := parseTime(r)
			b, ok2 := parseTime(v.value(c))
			return ok1 && ok2 && holds(a.Compare(b))
		}
	}
	both("DateEquals", "DateNotEquals", isTime, date(func(o int) bool { return o == 0 }))
	m["DateLessThan"] = operator{valid: isTime, fits: date(func(o int) bool { return o < 0 })}
	m["DateLessThanEquals"] = operator{valid: isTime, fits: date(func(o int) bool { return o <= 0 })}
	m["DateGreaterThan"] = operator{valid: isTime, fits: date(func(o int) bool { return o > 0 })}
	m["DateGreaterThanEquals"] = operator{valid: isTime, fits: date(func(o int) bool { return o >= 0 })}
	return m
}()

// inNetwork tells whether an address is in a network, or is the address given. The zone
// of a link-local address is the server's own affair.
func inNetwork(address, network string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	if n, err := netip.ParsePrefix(network); err == nil {
		return n.Contains(a)
	}
	b, err := netip.ParseAddr(network)
	return err == nil && a == b.Unmap().WithZone("")
}

func isNetwork(s string) bool {
	if _, err := netip.ParsePrefix(s); err == nil {
		return true
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

// parseTime reads a date of ISO 8601, or seconds since 1970.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return time.Unix(n, 0), err == nil
}
