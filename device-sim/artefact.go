package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// artefact is the file a job document asks a device to download.
type artefact struct {
	url    string
	sha256 []byte
	size   int64 // -1 when the document does not say
}

// artefactKeys names the members of the document that describe the artefact.
type artefactKeys struct {
	url    string
	sha256 string
	size   string
}

// find returns the first object of the document, in reading order and at any depth, that has both
// the URL and the hash as strings. It returns nil, nil for a document that names no artefact: such
// a job is work without a download. An error means that the document is bad, and that trying again
// does not help.
//
// A document that is a JSON string is read as the document inside it: some agents accept both, and
// the HTTP API delivers it that way.
func (k artefactKeys) find(document json.RawMessage) (*artefact, error) {
	var text string
	if err := json.Unmarshal(document, &text); err == nil {
		document = json.RawMessage(text)
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	members, err := k.search(d)
	if err != nil {
		return nil, fmt.Errorf("the job document is not JSON: %w", err)
	}
	if members == nil {
		return nil, nil
	}
	return k.parse(members)
}

// search reads one value and returns the scalar members of the first object in it that describes
// an artefact. "First" goes by where an object begins, so an object wins over those inside it.
func (k artefactKeys) search(d *json.Decoder) (map[string]any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil, nil
	}
	var inner map[string]any // found in a child
	own := make(map[string]any)
	for d.More() {
		var name string
		if delim == '{' {
			t, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ = t.(string)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		if raw[0] == '{' || raw[0] == '[' {
			if inner != nil {
				continue
			}
			child := json.NewDecoder(bytes.NewReader(raw))
			child.UseNumber()
			if inner, err = k.search(child); err != nil {
				return nil, err
			}
			continue
		}
		var value any
		scalar := json.NewDecoder(bytes.NewReader(raw))
		scalar.UseNumber()
		if err := scalar.Decode(&value); err != nil {
			return nil, err
		}
		own[name] = value
	}
	if _, err := d.Token(); err != nil { // the closing bracket
		return nil, err
	}
	_, hasURL := own[k.url].(string)
	_, hasHash := own[k.sha256].(string)
	if delim == '{' && hasURL && hasHash {
		return own, nil
	}
	return inner, nil
}

func (k artefactKeys) parse(members map[string]any) (*artefact, error) {
	a := &artefact{url: members[k.url].(string), size: -1}
	u, err := url.Parse(a.url)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("member %q is not an http or https URL", k.url)
	}
	text := strings.TrimPrefix(members[k.sha256].(string), "sha256:")
	if a.sha256, err = hex.DecodeString(text); err != nil || len(a.sha256) != 32 {
		return nil, fmt.Errorf("member %q is not a SHA-256 in 64 hexadecimal digits", k.sha256)
	}
	if v, ok := members[k.size]; ok && v != nil {
		if a.size, err = integer(v); err != nil {
			return nil, fmt.Errorf("member %q is not a size in bytes", k.size)
		}
	}
	return a, nil
}

// integer accepts a number or its digits in a string, as documents written by hand have both.
func integer(v any) (int64, error) {
	text, ok := v.(string)
	if n, isNumber := v.(json.Number); isNumber {
		text, ok = n.String(), true
	}
	if !ok {
		return 0, errors.New("not a number")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil && n < 0 {
		err = errors.New("negative")
	}
	return n, err
}
