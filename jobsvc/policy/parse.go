package policy

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// Document is a policy ready to be evaluated. It does not change and may be shared.
type Document struct {
	statements []statement
}

type statement struct {
	sid        string
	deny       bool
	actions    []pattern // in lower case
	resources  []pattern
	conditions []condition
}

// Parse reads a policy document. Errors: CodeMalformedPolicy that says what is wrong.
func Parse(document string) (*Document, error) {
	if !utf8.ValidString(document) {
		return nil, malformed("The policy document is not valid UTF-8.")
	}
	if !json.Valid([]byte(document)) {
		return nil, malformed("The policy document is not valid JSON.")
	}
	root, err := members([]byte(document), "The policy document")
	if err != nil {
		return nil, err
	}
	p := &parser{}
	for _, name := range slices.Sorted(maps.Keys(root)) {
		switch name {
		case "Version":
			var version string
			if json.Unmarshal(root[name], &version) != nil || version != "2012-10-17" && version != "2008-10-17" {
				return nil, malformed("Version must be 2012-10-17 or 2008-10-17.")
			}
			p.variables = version == "2012-10-17"
		case "Id":
			if _, err := text(root[name], "Id"); err != nil {
				return nil, err
			}
		case "Statement":
		default:
			return nil, malformed("The policy document has an element %q that is not known.", jobsvc.Clip(name))
		}
	}
	raw, ok := root["Statement"]
	if !ok {
		return nil, malformed("The policy document has no Statement.")
	}
	list := []json.RawMessage{raw}
	if bytes.TrimSpace(raw)[0] == '[' {
		list = nil
		if json.Unmarshal(raw, &list) != nil {
			return nil, malformed("Statement must be an object or a list of objects.")
		}
	}
	if len(list) == 0 {
		return nil, malformed("The policy document has no Statement.")
	}
	doc := &Document{}
	for _, s := range list {
		st, err := p.statement(s)
		if err != nil {
			return nil, err
		}
		doc.statements = append(doc.statements, *st)
	}
	return doc, nil
}

type parser struct {
	variables bool // the version of the language has them
}

func (p *parser) statement(raw json.RawMessage) (*statement, error) {
	m, err := members(raw, "A statement")
	if err != nil {
		return nil, err
	}
	st := &statement{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		switch name {
		case "Sid":
			if st.sid, err = text(m[name], name); err != nil {
				return nil, err
			}
		case "Effect":
			switch effect, err := text(m[name], name); {
			case err != nil:
				return nil, err
			case effect == "Deny":
				st.deny = true
			case effect != "Allow":
				return nil, malformed("Effect must be Allow or Deny.")
			}
		case "Action":
			actions, err := texts(m[name], name)
			if err != nil {
				return nil, err
			}
			for _, a := range actions {
				if a != "*" && !strings.Contains(a, ":") {
					return nil, malformed("The action %q has no service: iot:Connect is one that has.", jobsvc.Clip(a))
				}
				st.actions = append(st.actions, parsePattern(strings.ToLower(a), false))
			}
		case "Resource":
			resources, err := texts(m[name], name)
			if err != nil {
				return nil, err
			}
			for _, r := range resources {
				if r != "*" && !strings.HasPrefix(r, "arn:") {
					return nil, malformed("The resource %q is neither * nor an ARN.", jobsvc.Clip(r))
				}
				st.resources = append(st.resources, parsePattern(r, p.variables))
			}
		case "Condition":
			if st.conditions, err = p.conditions(m[name]); err != nil {
				return nil, err
			}
		default: // NotAction, NotResource, Principal among them
			return nil, malformed("A statement has the element %s, which is not supported.", jobsvc.Clip(name))
		}
	}
	for _, name := range []string{"Effect", "Action", "Resource"} {
		if _, ok := m[name]; !ok {
			return nil, malformed("A statement has no %s.", name)
		}
	}
	return st, nil
}

// members reads a JSON object whose members have to be written exactly, and once: of two
// effects nobody knows which is meant.
func members(raw json.RawMessage, what string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, malformed("%s must be a JSON object.", what)
	}
	m := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, malformed("%s must be a JSON object.", what)
		}
		key := name.(string) // the names of an object are strings
		if _, twice := m[key]; twice {
			return nil, malformed("%s has %q twice.", what, jobsvc.Clip(key))
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, malformed("%s must be a JSON object.", what)
		}
		m[key] = value
	}
	return m, nil
}

func text(raw json.RawMessage, name string) (string, error) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", malformed("%s must be a string.", name)
	}
	return *s, nil
}

// texts reads a string or a list of strings, one at least.
func texts(raw json.RawMessage, name string) ([]string, error) {
	if s, err := text(raw, name); err == nil {
		return []string{s}, nil
	}
	var list []*string
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || slices.Contains(list, nil) {
		return nil, malformed("%s must be a string or a list of strings.", name)
	}
	values := make([]string, len(list))
	for i, s := range list {
		values[i] = *s
	}
	return values, nil
}

func malformed(format string, args ...any) error {
	return jobsvc.Errorf(jobsvc.CodeMalformedPolicy, format, args...)
}
