package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire/model"
)

// MaxControlBody is the largest request body of the control plane, for every
// operation.
const MaxControlBody = 1 << 20

// ControlInput is a request of the control plane as routing took it apart.
type ControlInput struct {
	Path   map[string]string // decoded path segments by member name
	Query  url.Values
	Header http.Header
	Body   []byte // empty is the same as {}

	// Answer is memory that a large answer may be appended to. Who does so leaves the
	// result here: the memory is used again once the answer is sent.
	Answer []byte

	// Aliases names the spellings used that AWS does not have, for the log. Parse sets it.
	Aliases []string

	members map[string]any // the body, in the service model's spelling
}

// Parse reads the body of a request for an operation, rewrites the spellings that are
// accepted beside the service model's (aliases), and checks every member against the
// model: this is the one place that does. The decoders read what it leaves, and need
// not look at types, lengths, ranges, patterns and enumerations again.
//
// Errors: CodeInvalidJSON for a body that is no JSON object or has a member of another
// type than the model's, CodeInvalidRequest for a constraint.
func Parse(operation string, in *ControlInput) error {
	members, err := parseBody(in.Body)
	if err != nil {
		return err
	}
	in.members = members
	if rewrite := aliases[operation]; rewrite != nil {
		s := &spelling{in: in}
		rewrite(s)
		if s.err != nil {
			return s.err
		}
	}
	op := model.Lookup(operation)
	if op == nil {
		return nil
	}
	err = op.Check(model.Input{Path: in.Path, Query: in.Query, Header: in.Header, Body: in.members})
	var wrongType *model.TypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		return jobsvc.Errorf(jobsvc.CodeInvalidJSON, "%s", err)
	}
	return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "%s", err)
}

// parseBody gives the members of the JSON object in a body, by their exact names.
func parseBody(body []byte) (map[string]any, error) {
	body = bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(body) == 0:
		return map[string]any{}, nil
	case !utf8.Valid(body):
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The request body is not valid UTF-8.")
	case !json.Valid(body):
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The request body is not valid JSON.")
	case body[0] != '{':
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The request body must be a JSON object.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	members := map[string]any{}
	if err := d.Decode(&members); err != nil && !errors.Is(err, io.EOF) {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidJSON, "The request body is not valid JSON.")
	}
	return members, nil
}
