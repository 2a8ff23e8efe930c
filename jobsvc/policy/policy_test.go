package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func parse(t testing.TB, document string) *Document {
	t.Helper()
	d, err := Parse(document)
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	return d
}

// one is a document of one statement.
func one(members string) string {
	return `{"Version":"2012-10-17","Statement":{` + members + `}}`
}

const allowAll = `"Effect":"Allow","Action":"iot:*","Resource":"*"`

func TestParseRefusals(t *testing.T) {
	for _, tc := range []struct{ document, names string }{
		{``, "JSON"},
		{`[]`, "object"},
		{`null`, "object"},
		{`{}`, "Statement"},
		{`{"Statement":[]}`, "Statement"},
		{`{"Statement":[7]}`, "object"},
		{`{"Statement":7}`, "object"},
		{`{"Version":"2013-01-01","Statement":{` + allowAll + `}}`, "Version"},
		{`{"Version":2012,"Statement":{` + allowAll + `}}`, "Version"},
		{`{"statement":{` + allowAll + `}}`, `"statement"`},
		{one(`"Action":"iot:*","Resource":"*"`), "Effect"},
		{one(`"Effect":"allow","Action":"iot:*","Resource":"*"`), "Effect"},
		{one(`"Effect":"Allow","Resource":"*"`), "Action"},
		{one(`"Effect":"Allow","Action":[],"Resource":"*"`), "Action"},
		{one(`"Effect":"Allow","Action":["iot:Connect",null],"Resource":"*"`), "Action"},
		{one(`"Effect":"Allow","Action":"Connect","Resource":"*"`), `"Connect"`},
		{one(`"Effect":"Allow","Action":"iot:Connect"`), "Resource"},
		{one(`"Effect":"Allow","Action":"iot:Connect","Resource":"topic/a"`), `"topic/a"`},
		{one(`"Effect":"Allow","NotAction":"iot:Connect","Resource":"*"`), "NotAction"},
		{one(allowAll + `,"NotResource":"*"`), "NotResource"},
		{one(allowAll + `,"Principal":"*"`), "Principal"},
		{one(allowAll + `,"Condition":{"StringMatches":{"a":"b"}}`), "StringMatches"},
		{one(allowAll + `,"Condition":{"NullIfExists":{"a":"true"}}`), "NullIfExists"},
		{one(allowAll + `,"Condition":{"StringEquals":{}}`), "StringEquals"},
		{one(allowAll + `,"Condition":{"StringEquals":{"a":{}}}`), "on a"},
		{one(allowAll + `,"Condition":{"StringEquals":{"a":[]}}`), "on a"},
		{one(allowAll + `,"Condition":[]`), "Condition"},
		{one(allowAll + `,"Condition":{"Bool":{"a":"yes"}}`), `"yes"`},
		{one(allowAll + `,"Condition":{"Null":{"a":"maybe"}}`), `"maybe"`},
		{one(allowAll + `,"Condition":{"Null":{"a":["true","false"]}}`), "one value"},
		{one(allowAll + `,"Condition":{"NotIpAddress":{"a":"10.0.0.0/33"}}`), `"10.0.0.0/33"`},
		{one(allowAll + `,"Condition":{"IpAddressIfExists":{"a":["10.0.0.1","10.0.0"]}}`), `"10.0.0"`},
		{one(allowAll + `,"Condition":{"NumericNotEquals":{"a":"NaN"}}`), `"NaN"`},
		{one(allowAll + `,"Condition":{"ForAnyValue:NumericLessThan":{"a":true}}`), `"true"`},
		{one(allowAll + `,"Condition":{"DateGreaterThan":{"a":"tomorrow"}}`), `"tomorrow"`},
		{`{"Statement":{` + allowAll + `,"Condition":{"Bool":{"a":"${x}"}}}}`, `"${x}"`}, // no variables in this version
		{one(`"Effect":"Deny",` + allowAll), `"Effect" twice`},
		{`{"Statement":{` + allowAll + `},"Statement":{` + allowAll + `}}`, `"Statement" twice`},
		{one(allowAll + `,"Condition":{"StringEquals":{"a":"1","a":"2"}}`), `"a" twice`},
	} {
		_, err := Parse(tc.document)
		if jobsvc.ErrorCode(err) != jobsvc.CodeMalformedPolicy || !strings.Contains(err.Error(), tc.names) {
			t.Errorf("%s: %v, want a refusal that names %s", tc.document, err, tc.names)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"*", "a/b", true},
		{"a*", "a", true},
		{"a*", "ba", false},
		{"*a", "ba", true},
		{"*a", "ab", false},
		{"a*c", "abbc", true},
		{"a*c", "ac", true},
		{"a*c", "abcb", false},
		{"a*b*c", "aXbYbZc", true},
		{"a*bc*bc", "abcbc", true},
		{"a*bc*bc", "abc", false},
		{"a?c", "abc", true},
		{"a?c", "aüc", true},
		{"a?c", "ac", false},
		{"?*", "", false},
		{"*?b", "aab", true},
		{"a**b", "ab", true},
		{"topicfilter/a/+", "topicfilter/a/+", true},
		{"topicfilter/a/+", "topicfilter/a/b", false},
		{strings.Repeat("a*", 30) + "b", strings.Repeat("a", 3000), false},
	} {
		p := parsePattern(tc.pattern, true)
		if got := p.matches(tc.text, &Context{}, false); got != tc.want {
			t.Errorf("%q on %.40q: %v", tc.pattern, tc.text, got)
		}
	}
}

// The sample of the specification, for a device whose client ID is its thing.
const sample = `{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "iot:Connect",
     "Resource": "arn:aws:iot:eu-west-1:111122223333:client/${iot:Connection.Thing.ThingName}",
     "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}},
    {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"],
     "Resource": "arn:aws:iot:eu-west-1:111122223333:topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*"},
    {"Effect": "Allow", "Action": "iot:Subscribe",
     "Resource": "arn:aws:iot:eu-west-1:111122223333:topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*"}
  ]
}`

const arn = "arn:aws:iot:eu-west-1:111122223333:"

func TestEvaluateSample(t *testing.T) {
	policies := []Named{{"sample", parse(t, sample)}}
	device := &Context{ClientID: "pump-1", Attached: true, ThingName: "pump-1"}
	for _, tc := range []struct {
		action, resource string
		c                *Context
		want             Effect
	}{
		{"iot:Connect", "client/pump-1", device, Allowed},
		{"IOT:connect", "client/pump-1", device, Allowed}, // the case of actions does not matter
		{"iot:Connect", "client/Pump-1", device, ImplicitDeny},
		{"iot:Connect", "client/pump-1", &Context{ClientID: "pump-1"}, ImplicitDeny},
		{"iot:Publish", "topic/$aws/things/pump-1/jobs/get", device, Allowed},
		{"iot:Publish", "topic/$aws/things/pump-17/jobs/get", device, ImplicitDeny},
		{"iot:Publish", "topic/$aws/things/pump-1/shadow/get", device, ImplicitDeny},
		{"iot:Subscribe", "topicfilter/$aws/things/pump-1/jobs/#", device, Allowed},
		{"iot:Subscribe", "topicfilter/$aws/things/+/jobs/#", device, ImplicitDeny},
		{"iot:RetainPublish", "topic/$aws/things/pump-1/jobs/get", device, ImplicitDeny},
	} {
		if d := Evaluate(policies, tc.action, arn+tc.resource, tc.c); d.Effect != tc.want {
			t.Errorf("%s on %s as %+v: %s, want %s", tc.action, tc.resource, tc.c, d.Effect, tc.want)
		}
	}
}

// What the sample policies of the device SDKs list, topic by topic, is what a device of jobs
// does: * crosses levels, so that jobs/*/get is of $next and of jobs in namespaces, too.
func TestEvaluateSDKSamples(t *testing.T) {
	list := func(kind string, names ...string) string {
		for i, n := range names {
			names[i] = `"` + arn + kind + "/$aws/things/pump-1/jobs/" + n + `"`
		}
		return "[" + strings.Join(names, ",") + "]"
	}
	received := []string{"notify", "notify-next", "start-next/*", "*/update/*", "get/*", "*/get/*"}
	policies := []Named{{"sdk", parse(t, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"iot:Publish","Resource":`+list("topic", "start-next", "*/update", "get", "*/get")+`},
		{"Effect":"Allow","Action":"iot:Receive","Resource":`+list("topic", slices.Clone(received)...)+`},
		{"Effect":"Allow","Action":"iot:Subscribe","Resource":`+list("topicfilter", slices.Clone(received)...)+`},
		{"Effect":"Allow","Action":"iot:Connect","Resource":"`+arn+`client/*"},
		{"Effect":"Allow","Action":"iotjobsdata:*","Resource":"`+arn+`thing/${iot:Connection.Thing.ThingName}"}]}`)}}
	c := &Context{ClientID: "any", Attached: true, ThingName: "pump-1"}
	const jobs = "/$aws/things/pump-1/jobs/"
	for action, asked := range map[string][2][]string{
		"iot:Connect": {{"client/any", "client/a/b"}, {"clients/any"}},
		"iot:Publish": {
			{"topic" + jobs + "start-next", "topic" + jobs + "job-1/update", "topic" + jobs + "get", "topic" + jobs + "$next/get", "topic" + jobs + "job-1/namespace-n/get"},
			{"topic" + jobs + "notify", "topic" + jobs + "job-1/update/accepted", "topic/$aws/things/pump-17/jobs/get"},
		},
		"iot:Receive": {
			{"topic" + jobs + "notify", "topic" + jobs + "notify-next", "topic" + jobs + "start-next/accepted", "topic" + jobs + "job-1/update/rejected", "topic" + jobs + "get/accepted", "topic" + jobs + "$next/get/accepted"},
			{"topic" + jobs + "notify-namespace-n", "topic" + jobs + "get"},
		},
		"iot:Subscribe": {
			{"topicfilter" + jobs + "notify", "topicfilter" + jobs + "$next/get/+", "topicfilter" + jobs + "+/update/accepted", "topicfilter" + jobs + "start-next/#"},
			{"topicfilter" + jobs + "#", "topicfilter/$aws/things/+/jobs/notify", "topic" + jobs + "notify"},
		},
		"iotjobsdata:StartNextPendingJobExecution": {{"thing/pump-1"}, {"thing/pump-17"}},
		"iot:RetainPublish":                        {nil, {"topic" + jobs + "get"}},
	} {
		for i, want := range []Effect{Allowed, ImplicitDeny} {
			for _, resource := range asked[i] {
				if got := Decide(policies, action, arn+resource, c); got != want {
					t.Errorf("%s on %s: %s, want %s", action, resource, got, want)
				}
			}
		}
	}
}

// Actions of the jobs data plane have two names, in policies and in questions. Other
// actions are no part of that.
func TestTwoNamesOfActions(t *testing.T) {
	for _, tc := range []struct {
		written, asked string
		want           Effect
	}{
		{"iot:UpdateJobExecution", "iot:UpdateJobExecution", Allowed},
		{"iot:UpdateJobExecution", "iotjobsdata:UpdateJobExecution", Allowed},
		{"iotjobsdata:*", "iot:UpdateJobExecution", Allowed},
		{"iotjobsdata:updatejobexecution", "iotjobsdata:UpdateJobExecution", Allowed},
		{"iotjobsdata:DescribeJobExecution", "iot:UpdateJobExecution", ImplicitDeny},
		{"iotjobsdata:*", "IOT:UPDATEJOBEXECUTION", Allowed},
		{"iotjobsdata:*", "iot:Publish", ImplicitDeny},
		{"iot:*", "other:Thing", ImplicitDeny},
		{"other:thing", "Other:Thing", Allowed},
	} {
		for _, effect := range []string{"Allow", "Deny"} {
			d := parse(t, one(`"Effect":"`+effect+`","Action":"`+tc.written+`","Resource":"*"`))
			want := tc.want
			if effect == "Deny" && want == Allowed {
				want = ExplicitDeny
			}
			if got := Evaluate([]Named{{"p", d}}, tc.asked, arn+"thing/pump", &Context{}).Effect; got != want {
				t.Errorf("%s %s, asked for %s: %s, want %s", effect, tc.written, tc.asked, got, want)
			}
		}
	}
}

func TestDenyWins(t *testing.T) {
	allow := Named{"allow", parse(t, one(allowAll))}
	deny := Named{"deny", parse(t, one(`"Effect":"Deny","Action":"iot:Publish","Resource":"`+arn+`topic/secret/*"`))}
	for _, order := range [][]Named{{allow, deny}, {deny, allow}} {
		d := Evaluate(order, "iot:Publish", arn+"topic/secret/a", &Context{})
		if d.Effect != ExplicitDeny || !slices.Equal(d.Allow, []string{"allow"}) || !slices.Equal(d.Deny, []string{"deny"}) {
			t.Errorf("%+v", d)
		}
		if d := Evaluate(order, "iot:Publish", arn+"topic/open", &Context{}); d.Effect != Allowed || len(d.Deny) != 0 {
			t.Errorf("%+v", d)
		}
	}
	if d := Evaluate(nil, "iot:Publish", arn+"topic/a", &Context{}); d.Effect != ImplicitDeny || d.Effect.String() != "IMPLICIT_DENY" {
		t.Errorf("%+v", d)
	}
}

// Values of variables are text: they bring no wildcards, and a variable without a value
// matches nothing that anybody would name.
func TestVariables(t *testing.T) {
	c := &Context{
		ClientID: "a*", SourceIP: "10.0.0.7", Attached: true, ThingName: "pump", ThingTypeName: "pumps", ThingAttribute: map[string]string{"site": "north", "star": "*"},
		Certificate: map[string][]string{
			"iot:Certificate.Subject.Organization": {"first", "second"}, "iot:Certificate.Subject.CommonName": {"bad*"}, "iot:Certificate.SerialNumber": {"0a"},
			"iot:Certificate.Subject.Title": {strings.Repeat("x", 1025)},
		},
	}
	for _, tc := range []struct {
		resource, on string
		want         bool
	}{
		{"topic/${iot:ClientId}", "topic/a*", true},
		{"topic/${iot:ClientId}", "topic/ab", false},
		{"topic/${iot:Connection.Thing.Attributes[star]}", "topic/x", false},
		{"topic/${iot:Connection.Thing.Attributes[site]}/*", "topic/north/x", true},
		{"topic/${iot:Connection.Thing.Attributes[none]}", "topic/", false},
		{"topic/${iot:Connection.Thing.Attributes[none]}", "topic/${iot:Connection.Thing.Attributes[none]}", true},
		{"topic/${iot:Connection.Thing.ThingTypeName}", "topic/pumps", true},
		{"topic/${aws:SourceIp}", "topic/10.0.0.7", true},
		{"topic/${iot:Certificate.Subject.Organization}", "topic/first", true},
		{"topic/${iot:Certificate.Subject.Organization.1}", "topic/second", true},
		{"topic/${iot:Certificate.Subject.Organization.2}", "topic/second", false},
		{"topic/${iot:Certificate.Subject.CommonName}", "topic/bad*", false},
		{"topic/${iot:Certificate.Subject.Title}", "topic/" + strings.Repeat("x", 1025), false},
		{"topic/${iot:Certificate.SerialNumber}", "topic/0a", true},
		{"topic/${*}/${?}/${$}", "topic/*/?/$", true},
		{"topic/${*}", "topic/a", false},
		{"topic/${unended", "topic/${unended", true},
		{"topic/$aws/*", "topic/$aws/x", true},
	} {
		d := parse(t, one(`"Effect":"Allow","Action":"iot:Publish","Resource":"`+arn+tc.resource+`"`))
		got := Evaluate([]Named{{"p", d}}, "iot:Publish", arn+tc.on, c).Effect == Allowed
		if got != tc.want {
			t.Errorf("%s on %.60s: %v", tc.resource, tc.on, got)
		}
	}
	old := parse(t, `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"iot:Publish","Resource":"`+arn+`topic/${iot:ClientId}"}}`)
	if Evaluate([]Named{{"p", old}}, "iot:Publish", arn+"topic/a*", c).Effect == Allowed {
		t.Error("the old language has no variables")
	}
}

func TestConditions(t *testing.T) {
	c := &Context{
		ClientID: "pump-1", SourceIP: "192.168.1.20", Now: time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC), Attached: true, ThingName: "pump-1",
		ThingAttribute: map[string]string{"level": "7"},
		Certificate:    map[string][]string{"iot:Certificate.Subject.OrganizationalUnit": {"a", "b"}, "iot:Certificate.AvailableKeys": {"one", "two"}},
	}
	for _, tc := range []struct {
		condition string
		want      bool
	}{
		{`"StringEquals":{"iot:ClientId":"pump-1"}`, true},
		{`"StringEquals":{"iot:ClientId":["x","pump-1"]}`, true},
		{`"StringEquals":{"iot:ClientId":"pump-*"}`, false},
		{`"StringEquals":{"iot:ClientId":"${iot:Connection.Thing.ThingName}"}`, true},
		{`"StringEquals":{"no:key":"x"}`, false},
		{`"StringEqualsIfExists":{"no:key":"x"}`, true},
		{`"StringNotEquals":{"iot:ClientId":["x","y"]}`, true},
		{`"StringNotEquals":{"iot:ClientId":["x","pump-1"]}`, false},
		{`"StringNotEquals":{"no:key":"x"}`, true},
		{`"StringEqualsIgnoreCase":{"iot:ClientId":"PUMP-1"}`, true},
		{`"StringLike":{"iot:ClientId":"pump-?"}`, true},
		{`"StringNotLike":{"iot:ClientId":"pump-*"}`, false},
		{`"Bool":{"iot:Connection.Thing.IsAttached":true}`, true},
		{`"Bool":{"iot:Connection.Thing.IsAttached":"false"}`, false},
		{`"IpAddress":{"aws:SourceIp":"192.168.0.0/16"}`, true},
		{`"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.168.1.20"]}`, true},
		{`"NotIpAddress":{"aws:SourceIp":"192.168.0.0/16"}`, false},
		{`"IpAddress":{"aws:SourceIp":"${iot:ClientId}"}`, false}, // known to be no address only now
		{`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, true},
		{`"NumericEquals":{"iot:Connection.Thing.Attributes[level]":7}`, true},
		{`"NumericNotEquals":{"iot:Connection.Thing.Attributes[level]":"7.0"}`, false},
		{`"NumericLessThan":{"iot:Connection.Thing.Attributes[level]":"7"}`, false},
		{`"NumericLessThanEquals":{"iot:Connection.Thing.Attributes[level]":"7"}`, true},
		{`"NumericGreaterThan":{"iot:Connection.Thing.Attributes[level]":"6.5"}`, true},
		{`"NumericGreaterThanEquals":{"iot:Connection.Thing.Attributes[level]":"8"}`, false},
		{`"DateLessThan":{"aws:CurrentTime":"2026-03-11T00:00:00Z"}`, true},
		{`"DateGreaterThan":{"aws:CurrentTime":"2026-03-11"}`, false},
		{`"DateGreaterThanEquals":{"aws:EpochTime":"1773144000"}`, true},
		{`"Null":{"no:key":"true"}`, true},
		{`"Null":{"iot:ClientId":"true"}`, false},
		{`"Null":{"iot:ClientId":false}`, true},
		{`"ForAnyValue:StringEquals":{"iot:Certificate.Subject.OrganizationalUnit.List":["b","c"]}`, true},
		{`"ForAllValues:StringEquals":{"iot:Certificate.Subject.OrganizationalUnit.List":["a","b","c"]}`, true},
		{`"ForAllValues:StringEquals":{"iot:Certificate.Subject.OrganizationalUnit.List":["a"]}`, false},
		{`"ForAllValues:StringEquals":{"no:key":["a"]}`, true},
		{`"ForAnyValue:StringEquals":{"no:key":["a"]}`, false},
		// A variable without a value: the statement does not match, whatever the operator.
		{`"StringEquals":{"iot:ClientId":"${iot:Connection.Thing.ThingTypeName}"}`, false},
		{`"StringEquals":{"iot:ClientId":["pump-1","${iot:Connection.Thing.ThingTypeName}"]}`, true},
		{`"StringNotEquals":{"iot:ClientId":"${iot:Connection.Thing.ThingTypeName}"}`, false},
		{`"StringNotLikeIfExists":{"iot:ClientId":["x","a-${iot:Connection.Thing.ThingTypeName}"]}`, false},
		{`"NotIpAddress":{"aws:SourceIp":"${no:key}"}`, false},
		{`"StringNotEquals":{"iot:ClientId":"${iot:Connection.Thing.Attributes[level]}"}`, true},
		{`"ForAllValues:StringEquals":{"iot:Certificate.AvailableKeys":["one","two"]}`, true},
		{`"ForAllValues:StringEquals":{"iot:Certificate.AvailableKeys":["one"]}`, false},
		{`"StringEquals":{"iot:ClientId":"pump-1"},"Bool":{"iot:Connection.Thing.IsAttached":"false"}`, false},
		{`"StringEquals":{"iot:ClientId":"pump-1","aws:SourceIp":"x"}`, false},
	} {
		d := parse(t, one(allowAll+`,"Condition":{`+tc.condition+`}`))
		if got := Evaluate([]Named{{"p", d}}, "iot:Connect", arn+"client/x", c).Effect == Allowed; got != tc.want {
			t.Errorf("%s: %v", tc.condition, got)
		}
	}
}

// A client ID is what a device says. As a level of a filter it must not be everybody's.
func TestClientIDIsNoFilter(t *testing.T) {
	mine := "topicfilter/$aws/things/${iot:ClientId}/jobs/*"
	for _, tc := range []struct {
		effect, action, written, asked, client string
		want                                   Effect
	}{
		{"Allow", "iot:Subscribe", mine, "topicfilter/$aws/things/pump-1/jobs/#", "pump-1", Allowed},
		{"Allow", "iot:Subscribe", mine, "topicfilter/$aws/things/+/jobs/#", "+", ImplicitDeny},
		{"Allow", "iot:Subscribe", "topicfilter/a/${iot:ClientId}", "topicfilter/a/#", "#", ImplicitDeny},
		{"Allow", "iot:Subscribe", "*/${iot:ClientId}", "topicfilter/+", "+", ImplicitDeny},
		{"Allow", "iot:Subscribe", "topicfilter/+/${iot:ClientId}", "topicfilter/+/a", "a", Allowed}, // the policy's own
		{"Allow", "iot:Connect", "client/${iot:ClientId}", "client/pump#2", "pump#2", Allowed},
		{"Deny", "iot:Subscribe", mine, "topicfilter/$aws/things/+/jobs/#", "+", ExplicitDeny},
	} {
		d := parse(t, one(`"Effect":"`+tc.effect+`","Action":"`+tc.action+`","Resource":"`+arn+tc.written+`"`))
		if got := Evaluate([]Named{{"p", d}}, tc.action, arn+tc.asked, &Context{ClientID: tc.client}).Effect; got != tc.want {
			t.Errorf("%s %s, client ID %s, on %s: %s, want %s", tc.effect, tc.written, tc.client, tc.asked, got, tc.want)
		}
	}
}

func TestLinkLocalAddress(t *testing.T) {
	c := &Context{SourceIP: "fe80::1%eth0"}
	for condition, want := range map[string]bool{
		`"IpAddress":{"aws:SourceIp":"fe80::/10"}`:    true,
		`"NotIpAddress":{"aws:SourceIp":"fe80::/10"}`: false,
		`"IpAddress":{"aws:SourceIp":"fe80::1"}`:      true,
	} {
		d := parse(t, one(allowAll+`,"Condition":{`+condition+`}`))
		if got := Evaluate([]Named{{"p", d}}, "iot:Connect", arn+"client/x", c).Effect == Allowed; got != want {
			t.Errorf("%s: %v", condition, got)
		}
	}
}

func TestMissing(t *testing.T) {
	policies := []Named{{"sample", parse(t, sample)}, {"conditions", parse(t, one(`"Effect":"Deny","Action":"iot:Publish","Resource":"*","Condition":{
		"StringEquals":{"iot:Certificate.Subject.CommonName":"${aws:SourceIp}"},"StringEqualsIfExists":{"a:b":"c"},"Null":{"d:e":"true"}}`))}}
	thing := "iot:Connection.Thing.ThingName"
	for _, tc := range []struct {
		action string
		c      *Context
		want   []string
	}{
		{"iot:Connect", &Context{}, []string{thing}},
		{"iot:Publish", &Context{}, []string{"aws:SourceIp", "iot:Certificate.Subject.CommonName", thing}},
		{"iot:Publish", &Context{SourceIP: "::1", Attached: true, ThingName: "pump-1"}, []string{"iot:Certificate.Subject.CommonName"}},
		{"iot:RetainPublish", &Context{}, nil},
	} {
		if got := Missing(policies, tc.action, tc.c); !slices.Equal(got, tc.want) {
			t.Errorf("%s as %+v: %q, want %q", tc.action, tc.c, got, tc.want)
		}
	}
}

// Decide is on the path of every message of a device.
func TestDecideDoesNotAllocate(t *testing.T) {
	policies := []Named{{"sample", parse(t, sample)}, {"deny", parse(t, one(`"Effect":"Deny","Action":"iot:Publish","Resource":"`+arn+`topic/secret/*"`))}}
	c := &Context{ClientID: "pump-1", Attached: true, ThingName: "pump-1"}
	for resource, want := range map[string]Effect{arn + "topic/$aws/things/pump-1/jobs/j/update": Allowed, arn + "topic/secret/x": ExplicitDeny, arn + "topic/x": ImplicitDeny} {
		if got := Decide(policies, "iot:Publish", resource, c); got != want {
			t.Errorf("%s: %s, want %s", resource, got, want)
		}
		if n := testing.AllocsPerRun(100, func() { Decide(policies, "iot:Publish", resource, c) }); n != 0 {
			t.Errorf("%s: %v allocations", resource, n)
		}
	}
}

func TestCertificateValues(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse("urn:pump:1")
	directory, err := asn1.Marshal(pkix.Name{CommonName: "plant"}.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x0a0b),
		Subject:      pkix.Name{CommonName: "pump", Organization: []string{"one", "two"}, Country: []string{"DE"}},
		NotBefore:    time.Now(), NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: issuerAltName, Value: generalNames(t, map[int][]byte{1: []byte("ca@example.net"), 2: []byte("ca.example.net"), 6: []byte("urn:ca"), 7: {10, 0, 0, 9}, 8: {42, 3}, 4: directory})}},
		DNSNames:        []string{"pump.example.net"}, EmailAddresses: []string{"a@example.net"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}, URIs: []*url.URL{uri},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c := &Context{Certificate: CertificateValues(cert, "id")}
	for name, want := range map[string][]string{
		"iot:CertificateId":                                                     {"id"},
		"iot:Certificate.SerialNumber":                                          {"0a0b"},
		"iot:Certificate.Subject.CommonName":                                    {"pump"},
		"iot:Certificate.Issuer.CommonName":                                     {"pump"},
		"iot:Certificate.Subject.Organization.List":                             {"one", "two"},
		"iot:Certificate.Subject.Organization.1":                                {"two"},
		"iot:Certificate.Subject.Country":                                       {"DE"},
		"iot:Certificate.Subject.AlternativeName.DNSName":                       {"pump.example.net"},
		"iot:Certificate.Subject.AlternativeName.RFC822Name":                    {"a@example.net"},
		"iot:Certificate.Subject.AlternativeName.IPAddress":                     {"10.0.0.1"},
		"iot:Certificate.Subject.AlternativeName.UniformResourceIdentifier":     {"urn:pump:1"},
		"iot:Certificate.Issuer.AlternativeName.RFC822Name":                     {"ca@example.net"},
		"iot:Certificate.Issuer.AlternativeName.DNSName":                        {"ca.example.net"},
		"iot:Certificate.Issuer.AlternativeName.UniformResourceIdentifier":      {"urn:ca"},
		"iot:Certificate.Issuer.AlternativeName.IPAddress":                      {"10.0.0.9"},
		"iot:Certificate.Issuer.AlternativeName.DirectoryName":                  {"CN=plant"},
		"iot:Certificate.Subject.Pseudonym":                                     nil,
		"iot:Certificate.Subject.AlternativeName.UniformResourceIdentifier.Lis": nil,
	} {
		if got := c.lookup(name, new([1]string)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if keys := c.lookup("iot:Certificate.AvailableKeys", new([1]string)); !slices.Contains(keys, "iot:Certificate.Subject.CommonName") {
		t.Errorf("available keys: %q", keys)
	}
}

// generalNames encodes GeneralNames by their tags.
func generalNames(t *testing.T, names map[int][]byte) []byte {
	t.Helper()
	var list []asn1.RawValue
	for tag, content := range names {
		list = append(list, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: tag == 4, Bytes: content})
	}
	der, err := asn1.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A certificate is whatever a factory wrote: names that cannot be read have no value.
func FuzzAlternatives(f *testing.F) {
	f.Add([]byte{0x30, 0x0c, 0x82, 0x01, 'a', 0x87, 0x03, 1, 2, 3, 0xa4, 0x02, 0x30, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		values := map[string][]string{}
		alternatives(values, "", der)
		for kind, list := range values {
			if len(list) == 0 || slices.Contains(list, "") {
				t.Errorf("%s: %q", kind, list)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(sample, "iot:Publish", arn+"topic/a")
	f.Add(one(allowAll+`,"Condition":{"ForAllValues:StringLikeIfExists":{"iot:ClientId":["a*",true,1]}}`), "iot:Connect", "*")
	f.Add(`{"Version":"2008-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["arn:${x}?*"],"Sid":"s"}]}`, "a:b", "arn:x")
	f.Fuzz(func(t *testing.T, document, action, resource string) {
		d, err := Parse(document)
		if err != nil {
			if jobsvc.ErrorCode(err) != jobsvc.CodeMalformedPolicy {
				t.Fatal(err)
			}
			return
		}
		c := &Context{ClientID: "*", SourceIP: "::1", Attached: true, ThingName: "a", Now: time.Unix(0, 0)}
		first := Evaluate([]Named{{"p", d}}, action, resource, c)
		if again := Evaluate([]Named{{"p", parse(t, document)}}, strings.ToUpper(strings.ToLower(action)), resource, c); again.Effect != first.Effect && isASCII(action) {
			t.Errorf("%s, and %s with the action in capitals", first.Effect, again.Effect)
		}
		if got := Decide([]Named{{"p", d}}, action, resource, c); got != first.Effect {
			t.Errorf("Decide says %s, Evaluate %s", got, first.Effect)
		}
		Missing([]Named{{"p", d}}, action, &Context{})
		deny := Named{"deny", parse(t, one(`"Effect":"Deny","Action":"*","Resource":"*"`))}
		if last := Evaluate([]Named{{"p", d}, deny}, action, resource, c); last.Effect != ExplicitDeny {
			t.Errorf("with a deny of all: %s", last.Effect)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

func BenchmarkDecide(b *testing.B) {
	policies := []Named{{"sample", parse(b, sample)}}
	c := &Context{ClientID: "pump-1", Attached: true, ThingName: "pump-1"}
	resource := arn + "topic/$aws/things/pump-1/jobs/job-1/update"
	for b.Loop() {
		if Decide(policies, "iot:Publish", resource, c) != Allowed {
			b.Fatal("denied")
		}
	}
}
