package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/httpapi"
)

// The tests here are generated from AWS's service model as it is published, not from
// the table that requests are checked with: for every operation a valid minimal
// request succeeds, and each single violation of a constraint gives its 400 and
// changes nothing.

type modelRef struct {
	Shape, Location, LocationName string
}

func (r modelRef) wire(name string) string {
	if r.LocationName != "" {
		return r.LocationName
	}
	return name
}

type modelShape struct {
	Type       string
	Members    map[string]modelRef
	Required   []string
	Member     modelRef
	Key, Value modelRef
	Min, Max   *float64
	Pattern    string
	Enum       []string
}

type serviceModel struct {
	Operations map[string]struct {
		HTTP struct {
			Method, RequestURI string
		}
		Input  modelRef
		Errors []modelRef
	}
	Shapes map[string]modelShape
}

// readModel finds AWS's model in the module that the table is generated from.
func readModel(t *testing.T) *serviceModel {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", "github.com/aws/aws-sdk-go")
	cmd.Dir = "../../cmd/internal/tools"
	out, err := cmd.Output()
	var module struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("get AWS's service model: %v", err)
		}
		t.Skipf("no AWS service model: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(module.Dir, "models/apis/iot/2015-05-28/api-2.json"))
	if err != nil {
		t.Fatal(err)
	}
	m := &serviceModel{}
	if err := json.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// A modelRequest is a request by the members of the model's input shape.
type modelRequest map[string]any

// send makes the HTTP request of an operation. raw members are put in as they are.
func (m *serviceModel) send(t *testing.T, h http.Handler, operation string, members modelRequest) *httptest.ResponseRecorder {
	t.Helper()
	op := m.Operations[operation]
	path := op.HTTP.RequestURI
	query, header, body := url.Values{}, http.Header{}, map[string]any{}
	for name, v := range members {
		ref := m.Shapes[op.Input.Shape].Members[name]
		switch ref.Location {
		case "uri":
			path = strings.Replace(path, "{"+ref.wire(name)+"}", url.PathEscape(fmt.Sprint(v)), 1)
		case "querystring":
			query.Set(ref.wire(name), fmt.Sprint(v))
		case "header":
			header.Set(ref.wire(name), fmt.Sprint(v))
		default:
			body[name] = v
		}
	}
	var text []byte
	if len(body) > 0 {
		var err error
		if text, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	target := path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req := httptest.NewRequest(op.HTTP.Method, target, bytes.NewReader(text))
	maps.Copy(req.Header, header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// A violation is a request that breaks one constraint.
type violation struct {
	what    string
	request modelRequest
	errType string
}

// violations breaks each constraint on each member of a request's input in turn.
func (m *serviceModel) violations(operation string, valid modelRequest) []violation {
	op := m.Operations[operation]
	input := m.Shapes[op.Input.Shape]
	var all []violation
	for _, name := range slices.Sorted(maps.Keys(input.Members)) {
		ref := input.Members[name]
		inBody := ref.Location == ""
		with := func(what string, v any, errType string) {
			r := maps.Clone(valid)
			if r == nil {
				r = modelRequest{}
			}
			r[name] = v
			all = append(all, violation{name + ": " + what, r, errType})
		}
		if slices.Contains(input.Required, name) && ref.Location != "uri" {
			r := maps.Clone(valid)
			delete(r, name)
			all = append(all, violation{name + ": missing", r, "InvalidRequestException"})
		}
		m.breakShape(ref.Shape, inBody, valid[name], 0, with)
	}
	return all
}

// breakShape makes values that break a shape, one constraint each. valid is a value that
// does not break it, nil when none is at hand.
func (m *serviceModel) breakShape(shape string, inBody bool, valid any, depth int, with func(what string, v any, errType string)) {
	const invalid, wrongType = "InvalidRequestException", "SerializationException"
	s := m.Shapes[shape]
	if depth > 6 {
		return
	}
	if inBody {
		for kind, v := range map[string]any{"string": "x", "list": []any{}, "structure": map[string]any{}, "boolean": true, "integer": 1} {
			same := kind == s.Type || kind == "structure" && s.Type == "map" || kind == "integer" && (s.Type == "long" || s.Type == "double")
			// A quoted number has an answer of its own.
			quoted := kind == "string" && (shape == "ExpiresInSec" || shape == "ExpectedVersion")
			if !same && !quoted {
				with(kind+" for a "+s.Type, v, wrongType)
			}
		}
	}
	switch s.Type {
	case "string":
		if s.Max != nil && *s.Max < 500_000 {
			with("too long", strings.Repeat("a", int(*s.Max)+1), invalid)
		}
		if s.Min != nil && *s.Min > 0 {
			with("too short", strings.Repeat("a", int(*s.Min)-1), invalid)
		}
		if s.Enum != nil {
			with("not in the enumeration", "NO_SUCH_VALUE", invalid)
		}
		if s.Pattern != "" && s.Pattern != `[\s\S]*` {
			with("not of the pattern", "\x01 ~\x7f", invalid)
		}
	case "integer", "long", "double":
		if s.Max != nil {
			with("too large", int64(*s.Max)+1, invalid)
		}
		if s.Min != nil {
			with("too small", int64(*s.Min)-1, invalid)
		}
		if !inBody {
			with("no number", "many", invalid)
		}
	case "boolean":
		if !inBody {
			with("neither true nor false", "perhaps", invalid)
		}
	case "list":
		if s.Min != nil && *s.Min > 0 {
			with("too few", []any{}, invalid)
		}
		element := m.valid(s.Member.Shape, depth)
		if s.Max != nil {
			with("too many", slices.Repeat([]any{element}, int(*s.Max)+1), invalid)
		}
		m.breakShape(s.Member.Shape, true, element, depth+1, func(what string, v any, errType string) { with("element "+what, []any{v}, errType) })
	case "map":
		if s.Min != nil && *s.Min > 0 {
			with("too few", map[string]any{}, invalid)
		}
		m.breakShape(s.Key.Shape, false, nil, depth+1, func(what string, v any, errType string) {
			with("key "+what, map[string]any{v.(string): m.valid(s.Value.Shape, depth)}, errType)
		})
		m.breakShape(s.Value.Shape, true, nil, depth+1, func(what string, v any, errType string) {
			with("value "+what, map[string]any{"k": v}, errType)
		})
	case "structure":
		base, _ := valid.(map[string]any)
		if base == nil {
			base, _ = m.valid(shape, depth).(map[string]any)
		}
		for _, name := range slices.Sorted(maps.Keys(s.Members)) {
			if slices.Contains(s.Required, name) {
				o := maps.Clone(base)
				delete(o, name)
				with("without "+name, o, invalid)
			}
			m.breakShape(s.Members[name].Shape, true, base[name], depth+1, func(what string, v any, errType string) {
				o := maps.Clone(base)
				o[name] = v
				with(name+" "+what, o, errType)
			})
		}
	}
}

// valid makes a value of a shape that breaks nothing, as small as can be.
func (m *serviceModel) valid(shape string, depth int) any {
	s := m.Shapes[shape]
	switch s.Type {
	case "string":
		switch {
		case s.Enum != nil:
			return s.Enum[0]
		case shape == "RoleArn", strings.HasSuffix(strings.ToLower(shape), "arn"):
			return "arn:aws:iam::111122223333:role/r"
		case s.Min != nil && *s.Min > 1:
			if s.Pattern == "[0-9]+" {
				return strings.Repeat("1", int(*s.Min))
			}
			return strings.Repeat("a", int(*s.Min))
		case s.Pattern == "[0-9]+":
			return "1"
		}
		return "a"
	case "integer", "long":
		if s.Min != nil {
			return int64(*s.Min)
		}
		return 1
	case "double":
		if s.Min != nil {
			return *s.Min
		}
		return 1.5
	case "boolean":
		return true
	case "list":
		if depth > 6 {
			return []any{}
		}
		return []any{m.valid(s.Member.Shape, depth+1)}
	case "map":
		return map[string]any{}
	}
	o := map[string]any{}
	for _, name := range s.Required {
		o[name] = m.valid(s.Members[name].Shape, depth+1)
	}
	return o
}

func TestModel(t *testing.T) {
	m := readModel(t)
	for _, operation := range slices.Sorted(maps.Keys(m.Operations)) {
		if !httpapi.Built(operation) || slices.Contains(notSupported, operation) {
			continue
		}
		fix, ok := minimal[operation]
		if !ok {
			t.Errorf("%s: no minimal request in model_requests_test.go", operation)
			continue
		}
		t.Run(operation, func(t *testing.T) {
			w := newWorld(t)
			valid := fix(w)
			before := w.digest(t)
			for _, v := range m.violations(operation, valid) {
				if slices.Contains(tolerated[operation], v.what) {
					continue
				}
				got := m.send(t, w.handler, operation, v.request)
				if errType := headerOf(got, "x-amzn-ErrorType"); got.Code != http.StatusBadRequest || errType != v.errType {
					t.Errorf("%s: %d %s, want 400 %s; %s", v.what, got.Code, errType, v.errType, got.Body)
				}
				if headerOf(got, "x-amzn-RequestId") == "" || !strings.Contains(got.Body.String(), `"message":"`) {
					t.Errorf("%s: no request ID or message: %s", v.what, got.Body)
				}
			}
			if w.digest(t) != before {
				t.Errorf("a refused request changed something")
			}
			if got := m.send(t, w.handler, operation, valid); got.Code != http.StatusOK {
				t.Errorf("the minimal request: %d %s %s", got.Code, headerOf(got, "x-amzn-ErrorType"), got.Body)
			}
		})
	}
}

// What is not supported says so to every valid request.
func TestNotSupported(t *testing.T) {
	w := newWorld(t)
	for _, operation := range notSupported {
		input := w.model.Operations[operation].Input.Shape
		got := w.model.send(t, w.handler, operation, w.model.valid(input, 0).(map[string]any))
		if got.Code != http.StatusBadRequest || headerOf(got, "x-amzn-ErrorType") != "InvalidRequestException" || !strings.Contains(got.Body.String(), "not supported") {
			t.Errorf("%s: %d %s", operation, got.Code, got.Body)
		}
	}
}

// headerOf reads a header as it was written: these are not in Go's canonical case.
func headerOf(w *httptest.ResponseRecorder, name string) string {
	return strings.Join(w.Header()[name], ",")
}
