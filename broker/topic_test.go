package broker

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func TestParseTopic(t *testing.T) {
	long := strings.Repeat("x", 65)
	tests := []struct {
		suffix string
		want   jobsTopic
	}{
		{"get", jobsTopic{op: opGetPending}},
		{"start-next", jobsTopic{op: opStartNext}},
		{"notify", jobsTopic{op: opServer}},
		{"notify-next", jobsTopic{op: opServer}},
		{"notify-namespace-aws-gg", jobsTopic{op: opServer}},
		{"notify-next-namespace-aws-gg", jobsTopic{op: opServer}},
		{"notify-namespace-", jobsTopic{}},
		{"notify-next-", jobsTopic{}},
		{"update", jobsTopic{}},
		{"accepted", jobsTopic{}},
		{"", jobsTopic{}},
		{"j1/get", jobsTopic{op: opDescribe, jobID: "j1"}},
		{"$next/get", jobsTopic{op: opDescribe, jobID: "$next"}},
		{"get/get", jobsTopic{op: opDescribe, jobID: "get"}},
		{"update/update", jobsTopic{op: opUpdate, jobID: "update"}},
		{"notify/get", jobsTopic{op: opDescribe, jobID: "notify"}},
		{"start-next/update", jobsTopic{op: opUpdate, jobID: "start-next"}},
		{"namespace-x/get", jobsTopic{op: opDescribe, jobID: "namespace-x"}},
		{"j1/update", jobsTopic{op: opUpdate, jobID: "j1"}},
		{"$next/update", jobsTopic{jobID: "$next"}},
		{"j 1/update", jobsTopic{jobID: "j 1"}},
		{long + "/update", jobsTopic{jobID: long}},
		{"/get", jobsTopic{}},
		{"get/", jobsTopic{jobID: "get"}},
		{"get/accepted", jobsTopic{op: opServer}},
		{"start-next/rejected", jobsTopic{op: opServer}},
		{"update/accepted", jobsTopic{jobID: "update"}},
		{"j1/get/accepted", jobsTopic{op: opServer}},
		{"$next/get/rejected", jobsTopic{op: opServer}},
		{"j1/update/accepted", jobsTopic{op: opServer}},
		{"j1/namespace-n/get", jobsTopic{op: opDescribe, jobID: "j1", namespace: "n"}},
		{"$next/namespace-n/get", jobsTopic{op: opDescribe, jobID: "$next", namespace: "n"}},
		{"j1/namespace-n/update", jobsTopic{op: opUpdate, jobID: "j1", namespace: "n"}},
		{"$next/namespace-n/update", jobsTopic{jobID: "$next", namespace: "n"}},
		{"j1/namespace-/update", jobsTopic{}},
		{"j1/namespace-n/get/accepted", jobsTopic{op: opServer}},
		{"foo/bar/baz", jobsTopic{}},
		{"j1/namespace-n/update/accepted/x", jobsTopic{}},
		{"a/b/c/d/e/f/g", jobsTopic{}},
	}
	for _, tt := range tests {
		tt.want.thing = "pump-17"
		got, ok := parseTopic("$aws/things/pump-17/jobs/" + tt.suffix)
		if !ok || got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v", tt.suffix, got, ok, tt.want)
		}
	}
	for _, topic := range []string{
		"", "$aws", "$aws/things/t", "$aws/things/t/jobs", "$aws/things/t/shadow/get", "$aws/things//jobs", "x/things/t/jobs/get",
		"/$aws/things/t/jobs/get", "$AWS/things/t/jobs/get",
	} {
		if got, ok := parseTopic(topic); ok {
			t.Errorf("%q is taken for %+v", topic, got)
		}
	}
	if got, ok := parseTopic("$aws/things/bad name/jobs/get"); !ok || got.op != opInvalid {
		t.Errorf("bad thing name: %+v, %v", got, ok)
	}
}

func TestParseTopicDoesNotAllocate(t *testing.T) {
	for _, topic := range []string{"$aws/things/pump-17/jobs/get", "$aws/things/pump-17/jobs/j1/namespace-n/update"} {
		if n := testing.AllocsPerRun(100, func() { parseTopic(topic) }); n > 0 {
			t.Errorf("%s: %v allocations", topic, n)
		}
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		filter, topic string
		want          bool
	}{
		{"jobs/notify", "jobs/notify", true},
		{"jobs/notify", "jobs/notify-next", false},
		{"jobs/#", "jobs/notify", true},
		{"jobs/#", "jobs", true},
		{"#", "jobs/notify", true},
		{"+/notify", "jobs/notify", true},
		{"jobs/+", "jobs/notify-next", true},
		{"jobs/+", "jobs/j/get", false},
		{"jobs/+/+", "jobs/notify", false},
		{"jobs", "jobs/notify", false},
		{"jobs/notify/", "jobs/notify", false},
		{"+", "jobs/notify", false},
		{"jobs/notify/#", "jobs/notify", true},
	}
	for _, tt := range tests {
		if got := matches(tt.filter, tt.topic); got != tt.want {
			t.Errorf("matches(%q, %q) = %v", tt.filter, tt.topic, got)
		}
	}
}

func TestCutShare(t *testing.T) {
	tests := []struct {
		filter, rest string
		shared       bool
	}{
		{"$share/g/$aws/things/t/jobs/notify", "$aws/things/t/jobs/notify", true},
		{"$SHARE/g/#", "#", true},
		{"$share/g", "", true},
		{"$shared/g/x", "$shared/g/x", false},
		{"a/b", "a/b", false},
	}
	for _, tt := range tests {
		if rest, shared := cutShare(tt.filter); rest != tt.rest || shared != tt.shared {
			t.Errorf("cutShare(%q) = %q, %v", tt.filter, rest, shared)
		}
	}
}

func FuzzParseTopic(f *testing.F) {
	for _, s := range []string{"$aws/things/t/jobs/get", "$aws/things/t/jobs/$next/namespace-n/get/accepted", "$aws/things/t/jobs/notify-next-namespace-n", "$aws/things//jobs///", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		got, ok := parseTopic(topic)
		if !ok {
			return
		}
		switch got.op {
		case opGetPending, opStartNext:
			if got.jobID != "" {
				t.Errorf("%q: %+v", topic, got)
			}
		case opDescribe, opUpdate:
			if !jobsvc.IsJobID(got.jobID) && (got.op == opUpdate || got.jobID != jobsvc.NextJobID) {
				t.Errorf("%q: %+v", topic, got)
			}
			if got.namespace != "" && !jobsvc.IsJobID(got.namespace) {
				t.Errorf("%q: %+v", topic, got)
			}
		}
		if got.op != opInvalid && !jobsvc.IsThingName(got.thing) {
			t.Errorf("%q: %+v", topic, got)
		}
		// What stream.learn relies on.
		if got.op > opServer && (strings.ContainsAny(topic, "+#\x00") || !utf8.ValidString(topic)) {
			t.Errorf("%q is a request: %+v", topic, got)
		}
		// A client that may publish there must not reach what the service says.
		for _, end := range []string{"/accepted", "/rejected"} {
			if strings.HasSuffix(topic, end) && got.op > opServer {
				t.Errorf("%q is a request: %+v", topic, got)
			}
		}
	})
}
