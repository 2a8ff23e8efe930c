package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// MaxControlBody is the largest request body of the control plane, for every
// operation.
const MaxControlBody = 1 << 20

// ControlInput is a request of the control plane as routing took it apart. The
// decoders read it; what they accept in a spelling that is not the service
// model's they add to Aliases.
type ControlInput struct {
	Path      map[string]string // decoded path segments by member name
	Query     url.Values
	Principal string // header x-amzn-principal
	Body      []byte // empty is the same as {}

	// Answer is memory that a large answer may be appended to. Who does so leaves the
	// result here: the memory is used again once the answer is sent.
	Answer []byte

	// Aliases names the spellings used that AWS does not have, for the log.
	Aliases []string
}

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

func (d *controlDecoder) alias(name string) { d.in.Aliases = append(d.in.Aliases, name) }

func (d *controlDecoder) path(member string) string { return d.in.Path[member] }

// body is the request's JSON object; an empty body is {}.
func (d *controlDecoder) body() *object {
	o := &object{d: d}
	body := bytes.TrimLeft(d.in.Body, " \t\r\n")
	switch {
	case len(body) == 0:
	case !utf8.Valid(body):
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The request body is not valid UTF-8."))
	case !json.Valid(body):
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The request body is not valid JSON."))
	case body[0] != '{' || json.Unmarshal(body, &o.members) != nil:
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The request body must be a JSON object."))
	}
	return o
}

// object is a JSON object of which members are read by their exact names, unlike
// encoding/json, which ignores case. Unknown members are ignored and null is the
// same as leaving a member out.
type object struct {
	d       *controlDecoder
	name    string // where it stands: "" for the body, else "presignedUrlConfig."
	members map[string]json.RawMessage
}

// get is the text of a member, nil when it is not there.
func (o *object) get(member string) json.RawMessage {
	if v := o.members[member]; v != nil && string(v) != "null" {
		return v
	}
	return nil
}

func (o *object) wrongType(member, want string) {
	o.d.fail(jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The member %s%s must be %s.", o.name, member, want))
}

func (o *object) string(member string) *string {
	v := o.get(member)
	if v == nil {
		return nil
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		o.wrongType(member, "a string")
		return nil
	}
	return &s
}

// text is a string member for which the domain does not tell "" from not given.
func (o *object) text(member string) string {
	if s := o.string(member); s != nil {
		return *s
	}
	return ""
}

func (o *object) strings(member string) []string {
	v := o.get(member)
	if v == nil {
		return nil
	}
	var elements []*string
	if json.Unmarshal(v, &elements) != nil {
		o.wrongType(member, "a list of strings")
		return nil
	}
	list := make([]string, 0, len(elements))
	for _, s := range elements {
		if s == nil {
			o.wrongType(member, "a list of strings")
			return nil
		}
		list = append(list, *s)
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
	v := o.get(member)
	if v == nil {
		return nil
	}
	var b bool
	if json.Unmarshal(v, &b) != nil {
		o.wrongType(member, "a boolean")
		return nil
	}
	return &b
}

// int64 reads an integer: a JSON number without a fraction, however written.
func (o *object) int64(member string) *int64 {
	v := o.get(member)
	if v == nil {
		return nil
	}
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return &n
	}
	// 3.0 and 3e1 are integers too. Above 2^53 a float64 cannot tell.
	if f, err := strconv.ParseFloat(string(v), 64); err == nil && v[0] != '"' && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		n := int64(f)
		return &n
	}
	o.wrongType(member, "an integer")
	return nil
}

// int64OrDecimal reads an integer that some callers quote.
func (o *object) int64OrDecimal(member string) *int64 {
	v := o.get(member)
	if v == nil || v[0] != '"' {
		return o.int64(member)
	}
	s := o.text(member)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		o.d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The member %s%s is not a number.", o.name, member))
		return nil
	}
	o.d.alias(o.name + member + " as a string")
	return &n
}

// object reads a nested object. One that is not there has no members.
func (o *object) object(member string) *object {
	nested := &object{d: o.d, name: o.name + member + "."}
	if v := o.get(member); v != nil {
		if v[0] != '{' || json.Unmarshal(v, &nested.members) != nil {
			o.wrongType(member, "an object")
		}
	}
	return nested
}

// empty tells whether nothing is set: {} and {"a":null} are the same.
func (o *object) empty() bool {
	for m := range o.members {
		if o.get(m) != nil {
			return false
		}
	}
	return true
}

// rename accepts a member under another name, unless it is there under its own.
func (o *object) rename(alias, member string) {
	v := o.get(alias)
	if v == nil {
		return
	}
	o.d.alias(o.name + alias)
	if o.get(member) == nil {
		o.members[member] = v
	}
}

// hoist takes members out of a nested object that has them by mistake, unless
// they are where they belong as well.
func (o *object) hoist(nested string, members ...string) {
	from := o.object(nested)
	for _, m := range members {
		v := from.get(m)
		if v == nil {
			continue
		}
		o.d.alias(from.name + m)
		if o.get(m) == nil {
			o.members[m] = v
		}
		delete(from.members, m)
		o.members[nested], _ = json.Marshal(from.members)
	}
}

// kind is the JSON type that the service model gives a member.
type kind byte

const (
	aString kind = '"'
	aList   kind = '['
	aMap    kind = '{'
)

// unsupported names the members that are set to something, in the order given:
// {}, [] and "" are nothing. They are members this build cannot honour, which the
// service refuses rather than ignores.
func (o *object) unsupported(members map[string]kind) []string {
	var names []string
	for _, m := range slices.Sorted(maps.Keys(members)) {
		v := o.get(m)
		switch k := members[m]; {
		case v == nil:
			continue
		case v[0] != byte(k):
			o.wrongType(m, map[kind]string{aString: "a string", aList: "a list", aMap: "an object"}[k])
			continue
		case k == aMap && o.object(m).empty(), k == aString && len(v) == 2:
			continue
		case k == aList && string(bytes.TrimSpace(v[1:len(v)-1])) == "":
			continue
		}
		names = append(names, m)
	}
	return names
}

// refuse is the domain's answer to unsupported members, for requests that are too
// small to have a type with an Unsupported member.
func (d *controlDecoder) refuse(names ...string) {
	if len(names) > 0 {
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Not supported by this version yet: %s.", strings.Join(names, ", ")))
	}
}

// required gives the value of a member that must be there.
func (d *controlDecoder) required(member string, s *string) string {
	if s == nil {
		d.fail(jobsvc.Errorf(jobsvc.CodeInvalidRequest, "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member))
		return ""
	}
	return *s
}

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
