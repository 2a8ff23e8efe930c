package policy

import (
	"strings"
	"testing"
	"time"
)

func judgeOf(t *testing.T, c Context, statement string) *Judge {
	t.Helper()
	return NewJudge([]Named{{"p", parsed(t, statement)}}, "arn:aws:iot:r:1:", c, func() map[string][]string { return map[string][]string{"iot:CertificateId": {"id"}} })
}

func parsed(t *testing.T, statement string) *Document {
	t.Helper()
	doc, err := Parse(`{"Version":"2012-10-17","Statement":{` + statement + `}}`)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestJudge(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	connect := `"Effect":"Allow","Action":"iot:Connect","Resource":"arn:aws:iot:r:1:client/`
	j := judgeOf(t, Context{ClientID: "x"}, connect+`${iot:ClientId}"`)
	if j.Timed || j.Context.Certificate != nil || j.Decide("iot:Connect", ClientResource, "x", now) != Allowed || j.Decide("iot:Connect", ClientResource, "y", now) != ImplicitDeny {
		t.Errorf("%+v", j)
	}
	if _, reason := j.Explain("iot:Publish", TopicResource, "a/b", now); !strings.HasPrefix(reason, "no statement of the policy p allows iot:Publish on topic/a/b") {
		t.Error(reason)
	}
	// The time is that of each question.
	j = judgeOf(t, Context{ClientID: "x"}, connect+`x","Condition":{"DateLessThan":{"aws:CurrentTime":"2026-06-01T00:00:00Z"}}`)
	if !j.Timed || j.Decide("iot:Connect", ClientResource, "x", now) != Allowed || j.Decide("iot:Connect", ClientResource, "x", now.AddDate(1, 0, 0)) == Allowed {
		t.Errorf("%+v", j)
	}
	// The values of a certificate are taken only when they are asked for.
	j = judgeOf(t, Context{}, connect+`${iot:CertificateId}"`)
	if j.Context.Certificate == nil || j.Decide("iot:Connect", ClientResource, "id", now) != Allowed {
		t.Errorf("%+v", j)
	}
	if reason := func() string {
		_, r := NewJudge(nil, "arn:", Context{}, nil).Explain("iot:Connect", ClientResource, "x", now)
		return r
	}(); !strings.HasPrefix(reason, "no policy is attached") {
		t.Error(reason)
	}
}

// Another version in the place of the old, unless it asks what is not known.
func TestJudgeWith(t *testing.T) {
	now := time.Now()
	allow := `"Effect":"Allow","Action":"iot:Connect","Resource":"*"`
	j := judgeOf(t, Context{ClientID: "x"}, allow)
	changed := j.With("p", parsed(t, strings.Replace(allow, "Allow", "Deny", 1)))
	if changed == nil || changed.Decide("iot:Connect", ClientResource, "x", now) != ExplicitDeny || j.Decide("iot:Connect", ClientResource, "x", now) != Allowed {
		t.Errorf("%+v", changed)
	}
	if changed = j.With("q", parsed(t, strings.Replace(allow, "Allow", "Deny", 1))); changed.Decide("iot:Connect", ClientResource, "x", now) != Allowed {
		t.Error("a policy that it is not under")
	}
	for _, condition := range []string{"iot:Connection.Thing.Attributes[a]", "iot:Connection.Thing.ThingTypeName", "iot:Certificate.Subject.CommonName"} {
		if j.With("p", parsed(t, allow+`,"Condition":{"StringEquals":{"`+condition+`":"x"}}`)) != nil {
			t.Errorf("%s is not known", condition)
		}
	}
	if timed := j.With("p", parsed(t, allow+`,"Condition":{"DateLessThan":{"aws:CurrentTime":"2100-01-01T00:00:00Z"}}`)); !timed.Timed || !timed.Under("p") || timed.Under("q") {
		t.Errorf("%+v", timed)
	}
}

// Requests of devices are judged so: no allocation but the name of the resource.
func TestJudgeAllocations(t *testing.T) {
	j := judgeOf(t, Context{Attached: true, ThingName: "pump-1"}, `"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:r:1:topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*"`)
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		if j.Decide("iot:Publish", TopicResource, "$aws/things/pump-1/jobs/start-next", now) != Allowed {
			t.Error("not allowed")
		}
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
