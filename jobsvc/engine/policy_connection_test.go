package engine_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/policy"
)

// judge is what a connection of a certificate is judged by.
func (w *world) judge(cert, clientID string, always bool) (*policy.Judge, []string) {
	w.t.Helper()
	b, err := w.Binding(w.ctx, cert)
	w.must(err)
	j, groups, err := w.ConnectionJudge(w.ctx, b, clientID, "10.0.0.1", always)
	w.must(err)
	return j, groups
}

func (w *world) allPolicy(name string, targets ...string) {
	w.t.Helper()
	_, err := w.CreatePolicy(w.ctx, name, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}`, nil)
	w.must(err)
	for _, target := range targets {
		w.must(w.AttachPolicy(w.ctx, name, target))
	}
}

func policiesOf(j *policy.Judge) (names []string) {
	for _, p := range j.Policies {
		names = append(names, p.Name)
	}
	return names
}

// Which policies a connection is under, by its client ID.
func TestConnectionJudge(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	w.group("plant", "")
	w.group("hall", "plant", "a")
	cert, arn := w.certificate(true)
	w.must(w.attachPrincipal("a", arn, false))
	w.must(w.attachPrincipal("b", arn, false))
	if j, groups := w.judge(cert, "a", false); j != nil || !slices.Equal(groups, []string{"plant", "hall"}) {
		t.Errorf("without policies: %+v, groups %q", j, groups)
	}
	if j, _ := w.judge(cert, "a", true); j == nil || len(j.Policies) != 0 {
		t.Errorf("without policies, always: %+v", j)
	}
	w.allPolicy("group", w.Account().ARN(jobsvc.ARNThingGroup, "plant"))
	for id, want := range map[string]string{"a": "[group]", "a#2": "[group]", "x": "[]"} {
		if j, _ := w.judge(cert, id, false); j == nil || fmt.Sprint(policiesOf(j)) != want || j.Context.Attached != (id != "x") {
			t.Errorf("%s: %+v, want %s", id, j, want)
		}
	}
	if j, _ := w.judge(cert, "b", false); j != nil {
		t.Errorf("b, which is in no group: %+v", j)
	}
	w.allPolicy("cert", arn)
	for id, want := range map[string]string{"a": "[cert group]", "b": "[cert]", "x": "[cert]"} {
		if j, _ := w.judge(cert, id, false); fmt.Sprint(policiesOf(j)) != want {
			t.Errorf("%s: %q, want %s", id, policiesOf(j), want)
		}
	}
	// An exclusive attachment ties any client ID to the thing.
	w.thing("c")
	only, onlyARN := w.certificate(true)
	w.must(w.attachPrincipal("c", onlyARN, true))
	w.allPolicy("only", onlyARN)
	test, err := w.TestAuthorization(w.ctx, &jobsvc.TestAuthorizationRequest{Principal: onlyARN, ClientID: "x", Infos: []jobsvc.AuthInfo{{ActionType: "CONNECT", Resources: []string{"arn:x"}}}})
	if w.must(err); test[0].Decision != "ALLOWED" {
		t.Errorf("TestAuthorization: %+v", test[0])
	}
	if j, _ := w.judge(only, "x", false); j.Context.ThingName != "c" || !j.Context.Attached {
		t.Errorf("exclusive: %+v", j.Context)
	}
}

// A compiled policy is kept until it changes, and not too many are.
func TestCompiledPolicies(t *testing.T) {
	w := newWorld(t)
	w.allPolicy("p")
	doc := func(name string) *policy.Document {
		t.Helper()
		d, err := w.PolicyDocument(w.ctx, name)
		w.must(err)
		return d
	}
	first := doc("p")
	if doc("p") != first {
		t.Error("it is compiled again")
	}
	_, err := w.CreatePolicyVersion(w.ctx, "p", `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"iot:*","Resource":"*"}}`, false)
	w.must(err)
	allows := func() bool {
		return policy.Decide([]policy.Named{{Name: "p", Document: doc("p")}}, "iot:Connect", "arn:x", &policy.Context{}) == policy.Allowed
	}
	if !allows() {
		t.Error("a version that is not the default is in force")
	}
	w.must(w.SetDefaultPolicyVersion(w.ctx, "p", "2"))
	if allows() {
		t.Error("the old version is in force")
	}
	w.must(w.DeletePolicyVersion(w.ctx, "p", "1"))
	w.must(w.DeletePolicy(w.ctx, "p"))
	if doc("p") != nil {
		t.Error("a deleted policy is in force")
	}
	w.allPolicy("p")
	if !allows() {
		t.Error("made again it is the deleted one")
	}
	for i := range engine.MaxCompiledPolicies + 10 {
		name := fmt.Sprint("q", i)
		w.allPolicy(name)
		doc(name)
	}
	if n := w.CompiledPolicies(); n > engine.MaxCompiledPolicies {
		t.Errorf("%d are kept", n)
	}
}
