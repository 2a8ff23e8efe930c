package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// policyOf is a document with one statement.
func policyOf(resource string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Connect","Resource":"arn:` + resource + `"}}`
}

func TestPolicySize(t *testing.T) {
	w := newWorld(t)
	limits := jobsvc.AWSLimits()
	w.limits = &limits
	w.restart()
	frame := len(policyOf(""))
	fits := policyOf(strings.Repeat("x", 2048-frame))
	_, err := w.CreatePolicy(w.ctx, "p", fits, nil)
	w.must(err)
	// White space is not counted, characters are, not bytes.
	_, err = w.CreatePolicyVersion(w.ctx, "p", strings.Repeat(" \n", 2000)+policyOf(strings.Repeat("ü", 2048-frame)), false)
	w.must(err)
	long := policyOf(strings.Repeat("x", 2049-frame))
	_, err = w.CreatePolicy(w.ctx, "q", long, nil)
	w.code(jobsvc.CodeMalformedPolicy, err)
	_, err = w.CreatePolicyVersion(w.ctx, "p", long, false)
	w.code(jobsvc.CodeMalformedPolicy, err)

	// What the model admits and no record has room for is refused, too.
	w.limits = nil
	w.restart()
	frame = len(policyOf(""))
	_, err = w.CreatePolicy(w.ctx, "r", policyOf(strings.Repeat("ü", jobsvc.MaxPolicyDocumentChars-frame)), nil)
	w.code(jobsvc.CodeMalformedPolicy, err)
	_, err = w.CreatePolicy(w.ctx, "r", policyOf(strings.Repeat("&", jobsvc.MaxPolicyDocumentChars-frame)), nil)
	w.code(jobsvc.CodeMalformedPolicy, err)
	_, err = w.CreatePolicy(w.ctx, "r", policyOf(strings.Repeat("x", jobsvc.MaxPolicyDocumentChars-frame)), nil)
	w.must(err)
	list, err := w.ListPolicies(w.ctx, jobsvc.ListByTimeRequest{Ascending: true})
	w.must(err)
	if got := policyNames(list); !slices.Equal(got, []string{"p", "r"}) {
		t.Errorf("policies %q", got)
	}
}

func policyNames(r *jobsvc.ListPoliciesResult) []string {
	var names []string
	for _, p := range r.Policies {
		names = append(names, p.Name)
	}
	return names
}

func TestPolicyVersions(t *testing.T) {
	w := newWorld(t)
	document := policyOf("x")
	for _, name := range []string{"", "a b", strings.Repeat("p", 129)} {
		_, err := w.CreatePolicy(w.ctx, name, document, nil)
		w.code(jobsvc.CodeInvalidRequest, err)
	}
	d, err := w.CreatePolicy(w.ctx, "p", document, []jobsvc.Tag{{Key: "k", Value: "v"}})
	w.must(err)
	if d.Version.ID() != "1" || !d.IsDefault() {
		t.Errorf("made %+v", d)
	}
	_, err = w.CreatePolicy(w.ctx, "p", document, nil)
	w.code(jobsvc.CodeAlreadyExists, err)
	_, err = w.CreatePolicyVersion(w.ctx, "none", document, false)
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.ListPolicyVersions(w.ctx, "none")
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.GetPolicy(w.ctx, "none")
	w.code(jobsvc.CodeNotFound, err)
	for _, version := range []string{"2", "0", "-1", "99999999999999999999"} {
		_, err = w.GetPolicyVersion(w.ctx, "p", version)
		w.code(jobsvc.CodeNotFound, err)
		w.code(jobsvc.CodeNotFound, w.SetDefaultPolicyVersion(w.ctx, "p", version))
		w.code(jobsvc.CodeNotFound, w.DeletePolicyVersion(w.ctx, "p", version))
	}
	if d, err := w.GetPolicy(w.ctx, "p"); err != nil || d.Version.ID() != "1" {
		t.Errorf("after all refusals: %+v, %v", d, err)
	}
	for range 4 {
		_, err = w.CreatePolicyVersion(w.ctx, "p", document, true)
		w.must(err)
	}
	_, err = w.CreatePolicyVersion(w.ctx, "p", document, false)
	w.code(jobsvc.CodeVersionsLimit, err)
	w.code(jobsvc.CodeDeleteConflict, w.DeletePolicyVersion(w.ctx, "p", "5"))
	w.code(jobsvc.CodeDeleteConflict, w.DeletePolicy(w.ctx, "p"))
	for _, version := range []string{"4", "1", "2", "3"} {
		w.must(w.DeletePolicyVersion(w.ctx, "p", version))
	}
	w.restart()
	// The last number counts, not the last version that is left.
	w.must(w.SetDefaultPolicyVersion(w.ctx, "p", "5"))
	d, err = w.CreatePolicyVersion(w.ctx, "p", document, true)
	w.must(err)
	if d.Version.ID() != "6" {
		t.Errorf("the version after 5 is %s", d.Version.ID())
	}
	w.must(w.DeletePolicyVersion(w.ctx, "p", "5"))
	w.must(w.DeletePolicy(w.ctx, "p"))
	w.code(jobsvc.CodeNotFound, w.DeletePolicy(w.ctx, "p"))
	// One of the same name begins anew, without the tags.
	d, err = w.CreatePolicy(w.ctx, "p", document, nil)
	w.must(err)
	tags, err := w.ListTagsForResource(w.ctx, account.ARN(jobsvc.ARNPolicy, "p"))
	w.must(err)
	if d.Version.ID() != "1" || len(tags) != 0 {
		t.Errorf("made again: %+v, tags %v", d, tags)
	}
}

func TestPolicyTargets(t *testing.T) {
	w := newWorld(t)
	w.group("plant", "")
	kc, err := w.CreateKeysAndCertificate(w.ctx, false)
	w.must(err)
	cert, plant := account.ARN(jobsvc.ARNCert, kc.ID), account.ARN(jobsvc.ARNThingGroup, "plant")
	var all []string
	for i := range 11 {
		name := fmt.Sprintf("p%02d", i)
		_, err := w.CreatePolicy(w.ctx, name, policyOf("x"), nil)
		w.must(err)
		all = append(all, name)
	}
	for _, name := range all[:10] {
		w.must(w.AttachPolicy(w.ctx, name, cert))
		w.must(w.AttachPolicy(w.ctx, name, cert)) // again is nothing
	}
	w.code(jobsvc.CodeLimitExceeded, w.AttachPolicy(w.ctx, all[10], cert))
	w.must(w.AttachPolicy(w.ctx, all[0], strings.Replace(cert, kc.ID, strings.ToUpper(kc.ID), 1)))
	for i, name := range all[:3] {
		if err := w.AttachPolicy(w.ctx, name, plant); (err == nil) != (i < 2) {
			t.Errorf("policy %d on a group: %v", i+1, err)
		}
	}
	w.code(jobsvc.CodeNotFound, w.AttachPolicy(w.ctx, "none", plant))
	for _, target := range []string{"nobody", account.ARN(jobsvc.ARNCert, strings.Repeat("0", 64)), account.ARN(jobsvc.ARNThingGroup, "none"), strings.Replace(plant, account.ID, "999999999999", 1)} {
		w.code(jobsvc.CodeNotFound, w.AttachPolicy(w.ctx, "p00", target))
		_, err := w.ListAttachedPolicies(w.ctx, target, false, jobsvc.Page{})
		w.code(jobsvc.CodeNotFound, err)
	}
	w.code(jobsvc.CodeInvalidRequest, w.DetachPolicy(w.ctx, "none", cert))
	w.code(jobsvc.CodeInvalidRequest, w.DetachPolicy(w.ctx, "p00", "nobody"))
	_, err = w.ListTargetsForPolicy(w.ctx, "none", false, jobsvc.Page{})
	w.code(jobsvc.CodeNotFound, err)
	r, err := w.ListTargetsForPolicy(w.ctx, "p00", false, jobsvc.Page{MaxResults: 1})
	w.must(err)
	rest, err := w.ListTargetsForPolicy(w.ctx, "p00", false, jobsvc.Page{MaxResults: 1, Token: r.NextToken})
	w.must(err)
	if got := append(r.Names, rest.Names...); !slices.Equal(got, []string{cert, plant}) || rest.NextToken != "" {
		t.Errorf("targets %q", got)
	}

	// One that is attached cannot go, and the last attachment is what counts.
	w.must(w.DetachPolicy(w.ctx, "p00", cert))
	w.code(jobsvc.CodeDeleteConflict, w.DeletePolicy(w.ctx, "p00"))
	w.must(w.DetachPolicy(w.ctx, "p00", plant))
	w.must(w.DeletePolicy(w.ctx, "p00"))

	// A certificate takes its attachments along, when that is wanted.
	w.code(jobsvc.CodeDeleteConflict, w.DeleteCertificate(w.ctx, kc.ID, false))
	w.must(w.DeleteCertificate(w.ctx, kc.ID, true))
	for _, name := range all[2:10] {
		w.must(w.DeletePolicy(w.ctx, name))
	}
	w.must(w.DetachPolicy(w.ctx, "p01", cert)) // of what is gone: detached already
	// Neither does one that is asked of a thing that is not there.
	_, err = w.GetEffectivePolicies(w.ctx, "", "nobody")
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.GetEffectivePolicies(w.ctx, cert, "")
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.TestAuthorization(w.ctx, &jobsvc.TestAuthorizationRequest{Principal: cert})
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.TestAuthorization(w.ctx, &jobsvc.TestAuthorizationRequest{Add: []string{"none"}})
	w.code(jobsvc.CodeNotFound, err)
}
