package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// A controlDecoder collects what is wrong with a request while the Decode functions read
// member after member. JSON comes before constraints, as in the service's order of
// checks, so a later fault in the JSON replaces an earlier one of a value.
type controlDecoder struct {
	in  *ControlInput
	err *jobsvc.Error
}

func (d *controlDecoder) fail(err *jobsvc.Error) {
	if d.err == nil || err.Code == jobsvc.CodeInvalidJSON && d.err.Code != jobsvc.CodeInvalidJSON {
		d.err = err
	}
}

// result is what a Decode function returns: nil, not a nil *Error, when all is well.
func (d *controlDecoder) result() error {
	if d.err == nil {
		return nil
	}
	return d.err
}

func (d *controlDecoder) path(member string) string { return d.in.Path[member] }

// body is the request's JSON object; an empty body is {}.
func (d *controlDecoder) body() *object {
	if d.in.members == nil {
		members, err := parseBody(d.in.Body)
		var e *jobsvc.Error
		if errors.As(err, &e) {
			d.fail(e)
		}
		d.in.members = members
	}
	return &object{d: d, members: d.in.members}
}

// object is a JSON object of which members are read by their exact names, unlike
// encoding/json, which ignores case. Unknown members are ignored and null is the
// same as leaving a member out.
type object struct {
	d       *controlDecoder
	name    string // where it stands: "" for the body, else "presignedUrlConfig."
	members map[string]any
}

func (o *object) wrongType(member, want string) {
	o.d.fail(jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The member %s%s must be %s.", o.name, member, want))
}

func (o *object) string(member string) *string {
	switch v := o.members[member].(type) {
	case nil:
	case string:
		return &v
	default:
		o.wrongType(member, "a string")
	}
	return nil
}

// text is a string member for which the domain does not tell "" from not given.
func (o *object) text(member string) string {
	if s := o.string(member); s != nil {
		return *s
	}
	return ""
}

// list gives the elements of a list, nil when it is not there.
func (o *object) list(member string) []any {
	switch v := o.members[member].(type) {
	case nil:
	case []any:
		return v
	default:
		o.wrongType(member, "a list")
	}
	return nil
}

func (o *object) strings(member string) []string {
	elements := o.list(member)
	if elements == nil {
		return nil
	}
	list := make([]string, 0, len(elements))
	for _, e := range elements {
		s, ok := e.(string)
		if !ok {
			o.wrongType(member, "a list of strings")
			return nil
		}
		list = append(list, s)
	}
	return list
}

// objects gives the elements of a list of objects.
func (o *object) objects(member string) []*object {
	elements := o.list(member)
	list := make([]*object, 0, len(elements))
	for i, e := range elements {
		m, ok := e.(map[string]any)
		if !ok {
			o.wrongType(member, "a list of objects")
			return nil
		}
		list = append(list, &object{d: o.d, name: fmt.Sprintf("%s%s.%d.member.", o.name, member, i+1), members: m})
	}
	return list
}

func (o *object) stringMap(member string) map[string]string {
	m := o.object(member)
	if len(m.members) == 0 {
		return nil
	}
	values := make(map[string]string, len(m.members))
	for _, k := range slices.Sorted(maps.Keys(m.members)) {
		if s := m.string(k); s != nil {
			values[k] = *s
		}
	}
	return values
}

func (o *object) bool(member string) *bool {
	switch v := o.members[member].(type) {
	case nil:
	case bool:
		return &v
	default:
		o.wrongType(member, "a boolean")
	}
	return nil
}

// int64 reads an integer: a JSON number without a fraction, however written.
func (o *object) int64(member string) *int64 {
	switch v := o.members[member].(type) {
	case nil:
		return nil
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return &n
		}
		// 3.0 and 3e1 are integers too. Above 2^53 a float64 cannot tell.
		if f, err := v.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			n := int64(f)
			return &n
		}
	}
	o.wrongType(member, "an integer")
	return nil
}

// decimal reads a number with at most so many decimals, exactly, in units of the last
// of them: 12.5 with two is 1250. One that is too large is the largest there is room for.
func (o *object) decimal(member string, decimals int) int64 {
	f := o.float64(member)
	if f == nil {
		return 0
	}
	const limit = 1 << 40
	unit := math.Pow10(decimals)
	x := max(-limit, min(limit, *f))
	// The nearest number to 12.5 is the one that 1250/100 rounds to; 12.505 has another.
	n := math.Round(x * unit)
	if n/unit != x {
		o.d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The member %s%s may have at most %d decimal digits.", o.name, member, decimals))
	}
	return int64(n)
}

// given is an integer member for which the domain does not tell 0 from not given.
func (o *object) given(member string) int64 {
	if n := o.int64(member); n != nil {
		return *n
	}
	return 0
}

func (o *object) float64(member string) *float64 {
	switch v := o.members[member].(type) {
	case nil:
		return nil
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return &f
		}
	}
	o.wrongType(member, "a number")
	return nil
}

// object reads a nested object. One that is not there has no members.
func (o *object) object(member string) *object {
	nested := &object{d: o.d, name: o.name + member + "."}
	switch v := o.members[member].(type) {
	case nil:
	case map[string]any:
		nested.members = v
	default:
		o.wrongType(member, "an object")
	}
	return nested
}

// empty tells whether nothing is set: {} and {"a":null} are the same.
func (o *object) empty() bool {
	for _, v := range o.members {
		if v != nil {
			return false
		}
	}
	return true
}

// required gives the value of a member that must be there.
func (d *controlDecoder) required(member string, s *string) string {
	if s == nil {
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member))
		return ""
	}
	return *s
}

// header is a header that carries a member.
func (d *controlDecoder) header(name string) string { return d.in.Header.Get(name) }

// notZero refuses a zero that was given, where the domain's zero means that
// nothing was: the one value it cannot judge.
func (d *controlDecoder) notZero(member string, n *int64, low, high int64) int64 {
	if n == nil {
		return 0
	}
	if *n == 0 {
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "1 validation error detected: Value '0' at '%s' failed to satisfy constraint: Member must be between %d and %d", member, low, high))
	}
	return *n
}

// pathInt64 is an integer in the path.
func (d *controlDecoder) pathInt64(member string) int64 {
	n, err := strconv.ParseInt(d.path(member), 10, 64)
	if err != nil {
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The %s in the path must be a number, not '%s'.", member, printable(d.path(member))))
	}
	return n
}

// queryText is a query parameter for which "" is the same as leaving it out.
func (d *controlDecoder) queryText(name string) string { return d.in.Query.Get(name) }

// queryString is nil when the parameter is not given or empty.
func (d *controlDecoder) queryString(name string) *string {
	if s := d.in.Query.Get(name); s != "" {
		return &s
	}
	return nil
}

// queryBool reads true or false, in any case. Nothing else will do, "" included.
func (d *controlDecoder) queryBool(name string) *bool {
	if !d.in.Query.Has(name) {
		return nil
	}
	var b bool
	switch s := d.in.Query.Get(name); strings.ToLower(s) {
	case "true":
		b = true
	case "false":
	default:
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The query parameter %s must be true or false, not '%s'.", name, printable(s)))
		return nil
	}
	return &b
}

func (d *controlDecoder) queryInt64(name string) *int64 {
	if !d.in.Query.Has(name) {
		return nil
	}
	n, err := strconv.ParseInt(d.in.Query.Get(name), 10, 64)
	if err != nil {
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The query parameter %s must be a number, not '%s'.", name, printable(d.in.Query.Get(name))))
		return nil
	}
	return &n
}

// page reads the paging parameters: maxResults and nextToken, or pageSize and
// marker for the certificate and policy lists.
func (d *controlDecoder) page(size, token string) jobsvc.Page {
	n := d.notZero(size, d.queryInt64(size), 1, jobsvc.MaxPageSize)
	return jobsvc.Page{MaxResults: int(clamp(n, math.MaxInt32)), Token: d.queryText(token)}
}

// clamp keeps a number within ±limit, so that a conversion cannot wrap it around
// into the range that the domain allows.
func clamp(n, limit int64) int64 { return max(-limit, min(limit, n)) }

func isTrue(b *bool) bool { return b != nil && *b }

// printable keeps a value that a message quotes short and valid.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
