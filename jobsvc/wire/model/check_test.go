package model

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func body(t *testing.T, text string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestCheckWording(t *testing.T) {
	job := map[string]string{"jobId": "j"}
	const valid = `"targets":["a"]`
	for _, tc := range []struct{ body, want string }{
		{`{` + valid + `}`, ""},
		{`{` + valid + `,"unknown":{"a":[1]},"Targets":7,"description":null}`, ""},
		{`{}`, "1 validation error detected: Value null at 'targets' failed to satisfy constraint: Member must not be null"},
		{`{"targets":[],"comment":1}`, "1 validation error detected: Value 'of length 0' at 'targets' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{`{"targets":[7]}`, "The member targets.1.member must be a string."},
		{`{` + valid + `,"description":"a\tb"}`, `1 validation error detected: Value 'a	b' at 'description' failed to satisfy constraint: Member must satisfy regular expression pattern: [^\p{C}]+`},
		{`{` + valid + `,"description":"unassigned: \u0378"}`, `1 validation error detected: Value 'unassigned: ` + "\u0378" + `' at 'description' failed to satisfy constraint: Member must satisfy regular expression pattern: [^\p{C}]+`},
		{`{` + valid + `,"targetSelection":"ALL"}`, "1 validation error detected: Value 'ALL' at 'targetSelection' failed to satisfy constraint: Member must satisfy enum value set: [CONTINUOUS, SNAPSHOT]"},
		{`{` + valid + `,"timeoutConfig":{"inProgressTimeoutInMinutes":10081}}`, "1 validation error detected: Value '10081' at 'timeoutConfig.inProgressTimeoutInMinutes' failed to satisfy constraint: Member must have value less than or equal to 10080"},
		{`{` + valid + `,"timeoutConfig":{"inProgressTimeoutInMinutes":1.5}}`, "The member timeoutConfig.inProgressTimeoutInMinutes must be an integer."},
		{`{` + valid + `,"jobExecutionsRolloutConfig":{"maximumPerMinute":0,"exponentialRate":{"baseRatePerMinute":0,"incrementFactor":1.1}}}`,
			"3 validation errors detected: Value '0' at 'jobExecutionsRolloutConfig.exponentialRate.baseRatePerMinute' failed to satisfy constraint: Member must have value greater than or equal to 1; " +
				"Value null at 'jobExecutionsRolloutConfig.exponentialRate.rateIncreaseCriteria' failed to satisfy constraint: Member must not be null; " +
				"Value '0' at 'jobExecutionsRolloutConfig.maximumPerMinute' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{`{` + valid + `,"documentParameters":{"a b":"c"}}`, "1 validation error detected: Value 'a b' at 'documentParameters' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+]"},
		// Syntax is judged before constraints.
		{`{"targets":[],"description":5}`, "The member description must be a string."},
	} {
		err := Lookup("CreateJob").Check(Input{Path: job, Body: body(t, tc.body)})
		if got := text(err); got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.body, got, tc.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestCheckTextMembers(t *testing.T) {
	for _, tc := range []struct {
		operation, query string
		header           http.Header
		member           string // "" when it is fine
	}{
		{"ListJobs", "", nil, ""},
		{"ListJobs", "maxResults=250&status=COMPLETED&nothing=known", nil, ""},
		{"ListJobs", "maxResults=251", nil, "maxResults"},
		{"ListJobs", "maxResults=", nil, "maxResults"},
		{"ListJobs", "maxResults=99999999999999999999", nil, "maxResults"},
		{"ListJobs", "status=", nil, "status"},
		{"ListJobs", "thingGroupName=", nil, "thingGroupName"},
		{"ListThings", "usePrefixAttributeValue=TRUE", nil, ""},
		{"ListThings", "usePrefixAttributeValue=1", nil, "usePrefixAttributeValue"},
		{"ListPrincipalThings", "", nil, "principal"},
		{"ListPrincipalThings", "", http.Header{"X-Amzn-Principal": {"arn"}}, ""},
	} {
		q, err := url.ParseQuery(tc.query)
		if err != nil {
			t.Fatal(err)
		}
		err = Lookup(tc.operation).Check(Input{Query: q, Header: tc.header})
		var v Violations
		switch {
		case tc.member == "" && err != nil:
			t.Errorf("%s?%s: %v", tc.operation, tc.query, err)
		case tc.member != "" && (!errors.As(err, &v) || v[0].Member != tc.member):
			t.Errorf("%s?%s: %v, want %s refused", tc.operation, tc.query, err, tc.member)
		}
	}
}

// Every pattern of the model is one that RE2 takes.
func TestPatterns(t *testing.T) {
	for name, s := range shapes {
		if s.Pattern != "" {
			t.Run(name, func(*testing.T) { expression(s.Pattern) })
		}
	}
	for _, tc := range []struct {
		shape, value string
		ok           bool
	}{
		{"ThingGroupDescription", "größe, «ok» 1", true},
		{"ThingGroupDescription", "a\nb", false},
		{"ReasonCode", "BAD_IMAGE_2", true},
		{"ReasonCode", "bad", false},
		{"ReasonCode", "A\n", false},
		{"TagKey", "a b/c:d=+@é", true},
		{"TagKey", "a*b", false},
		{"CertificatePem", "any\n\x00thing", true},
	} {
		if got := len(shapes[tc.shape].brokenBy(tc.value)) == 0; got != tc.ok {
			t.Errorf("%s %q: %v, want %v", tc.shape, tc.value, got, tc.ok)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(`{"targets":["a"],"abortConfig":{"criteriaList":[{"failureType":"FAILED"}]},"tags":[{"Key":1}]}`)
	f.Add(`{"documentParameters":{"a":{"b":[null]}},"schedulingConfig":{"maintenanceWindows":[[]]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var o map[string]any
		if d.Decode(&o) != nil {
			return
		}
		for _, op := range operations {
			if err := op.Check(Input{Body: o}); err != nil && err.Error() == "" {
				t.Errorf("%s: an error without a text", op.Name)
			}
		}
	})
}
