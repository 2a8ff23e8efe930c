package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

func TestThings(t *testing.T) {
	w := newWorld(t)
	attrs := map[string]string{"site": "north"}
	a, err := w.CreateThing(w.ctx, &jobsvc.CreateThingRequest{ThingName: "pump:1", Attributes: attrs})
	w.must(err)
	again, err := w.CreateThing(w.ctx, &jobsvc.CreateThingRequest{ThingName: "pump:1", Attributes: attrs})
	w.must(err)
	if again.ID != a.ID {
		t.Error("the same call made another thing")
	}
	_, err = w.CreateThing(w.ctx, &jobsvc.CreateThingRequest{ThingName: "pump:1"})
	w.code(jobsvc.CodeAlreadyExists, err)
	if e := err.(*jobsvc.Error); e.ResourceARN != thingARN("pump:1") || e.ResourceID != a.ID {
		t.Errorf("what is in the way: %+v", e)
	}
	for _, bad := range []*jobsvc.CreateThingRequest{
		{ThingName: ""}, {ThingName: "a b"}, {ThingName: strings.Repeat("a", 129)},
		{ThingName: "x", Attributes: map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}},
		{ThingName: "x", Attributes: map[string]string{"a b": "1"}},
		{ThingName: "x", Attributes: map[string]string{"a": "b c"}},
	} {
		_, err := w.CreateThing(w.ctx, bad)
		w.code(jobsvc.CodeInvalidRequest, err)
	}
	_, err = w.DescribeThing(w.ctx, "x")
	w.code(jobsvc.CodeNotFound, err)
	five := int64(5)
	w.code(jobsvc.CodeVersionMismatch, w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "pump:1", ExpectedVersion: &five}))
}

// pages walks a list in pages of a size.
func pages(t *testing.T, size int, page func(jobsvc.Page) ([]string, string, error)) []string {
	t.Helper()
	var all []string
	for token := ""; ; {
		list, next, err := page(jobsvc.Page{MaxResults: size, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > size {
			t.Fatalf("a page of %d, asked for %d", len(list), size)
		}
		if next != "" && (len(list) == 0 || next == token) {
			t.Fatal("a page that leads nowhere")
		}
		all = append(all, list...)
		if token = next; token == "" {
			return all
		}
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	things := names(23)
	w.thing(things...)
	w.group("g", "", things[:11]...)
	w.group("sub", "g", things[11:20]...)
	for i := range 7 {
		w.job(fmt.Sprintf("j%d", i), groupARN("g"))
	}
	w.runTimers()
	w.start(things[0])
	for _, size := range []int{1, 2, 7, 10, 23, 250} {
		if got := pages(t, size, func(p jobsvc.Page) ([]string, string, error) {
			r, err := w.ListThings(w.ctx, &jobsvc.ListThingsRequest{Page: p})
			if err != nil {
				return nil, "", err
			}
			var n []string
			for _, th := range r.Things {
				n = append(n, th.Name)
			}
			return n, r.NextToken, nil
		}); !slices.Equal(got, things) {
			t.Errorf("things in pages of %d: %v", size, got)
		}
		if got := pages(t, size, func(p jobsvc.Page) ([]string, string, error) {
			r, err := w.ListThingsInThingGroup(w.ctx, &jobsvc.ListThingsInThingGroupRequest{ThingGroupName: "g", Recursive: true, Page: p})
			if err != nil {
				return nil, "", err
			}
			return r.Names, r.NextToken, nil
		}); !slices.Equal(got, things[:20]) {
			t.Errorf("members in pages of %d: %v", size, got)
		}
		if got := pages(t, size, func(p jobsvc.Page) ([]string, string, error) {
			r, err := w.ListJobs(w.ctx, &jobsvc.ListJobsRequest{Status: jobsvc.JobInProgress, ThingGroupName: "g", Page: p})
			if err != nil {
				return nil, "", err
			}
			var n []string
			for _, j := range r.Jobs {
				n = append(n, j.ID)
			}
			return n, r.NextToken, nil
		}); !slices.Equal(got, []string{"j6", "j5", "j4", "j3", "j2", "j1", "j0"}) {
			t.Errorf("jobs in pages of %d: %v", size, got)
		}
		if got := pages(t, size, func(p jobsvc.Page) ([]string, string, error) {
			r, err := w.ListJobExecutionsForThing(w.ctx, &jobsvc.ListJobExecutionsForThingRequest{ThingName: things[0], Page: p})
			if err != nil {
				return nil, "", err
			}
			var n []string
			for _, x := range r.Executions {
				n = append(n, x.JobID)
			}
			return n, r.NextToken, nil
		}); len(got) != 7 || got[0] != "j6" {
			t.Errorf("executions of a thing in pages of %d: %v", size, got)
		}
		if got := w.executions("j0", "", size); len(got) != 20 || got[0].Status != jobsvc.StatusInProgress {
			t.Errorf("executions of a job in pages of %d: %d", size, len(got))
		}
	}
}

func TestPageTokens(t *testing.T) {
	w := newWorld(t)
	w.thing(names(5)...)
	r, err := w.ListThings(w.ctx, &jobsvc.ListThingsRequest{Page: jobsvc.Page{MaxResults: 2}})
	w.must(err)
	for _, bad := range []*jobsvc.ListThingsRequest{
		{Page: jobsvc.Page{Token: "?"}},
		{Page: jobsvc.Page{Token: "AAAA"}},
		{Page: jobsvc.Page{Token: r.NextToken}, AttributeName: "other"},
		{Page: jobsvc.Page{MaxResults: 251}},
		{Page: jobsvc.Page{MaxResults: -1}},
		{AttributeValue: "x"},
	} {
		_, err := w.ListThings(w.ctx, bad)
		w.code(jobsvc.CodeInvalidRequest, err)
	}
	_, err = w.ListJobs(w.ctx, &jobsvc.ListJobsRequest{Page: jobsvc.Page{Token: r.NextToken}})
	w.code(jobsvc.CodeInvalidRequest, err)
	_, err = w.ListJobs(w.ctx, &jobsvc.ListJobsRequest{Status: "DONE"})
	w.code(jobsvc.CodeInvalidRequest, err)
	_, err = w.ListJobs(w.ctx, &jobsvc.ListJobsRequest{ThingGroupName: "none"})
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.ListJobExecutionsForJob(w.ctx, &jobsvc.ListJobExecutionsForJobRequest{JobID: "none"})
	w.code(jobsvc.CodeNotFound, err)
}

func TestThingGroups(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.group("root", "")
	for i := range 6 {
		parent := "root"
		if i > 0 {
			parent = fmt.Sprintf("l%d", i)
		}
		w.group(fmt.Sprintf("l%d", i+1), parent)
	}
	_, err := w.CreateThingGroup(w.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: "l7", ParentName: "l6"})
	w.code(jobsvc.CodeInvalidRequest, err) // an eighth level
	_, err = w.CreateThingGroup(w.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: "x", ParentName: "none"})
	w.code(jobsvc.CodeInvalidRequest, err)
	_, err = w.CreateThingGroup(w.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: "l1"})
	w.code(jobsvc.CodeAlreadyExists, err)
	d, err := w.DescribeThingGroup(w.ctx, "l3")
	w.must(err)
	if !slices.Equal(d.Ancestors, []string{"root", "l1", "l2"}) {
		t.Errorf("ancestors: %v", d.Ancestors)
	}
	w.must(w.AddThingToThingGroup(w.ctx, "l3", "a"))
	w.must(w.AddThingToThingGroup(w.ctx, "l3", "a"))
	w.code(jobsvc.CodeInvalidRequest, w.AddThingToThingGroup(w.ctx, "root", "a"))
	w.code(jobsvc.CodeNotFound, w.AddThingToThingGroup(w.ctx, "none", "a"))
	w.code(jobsvc.CodeNotFound, w.AddThingToThingGroup(w.ctx, "root", "nobody"))
	for i := range 9 {
		w.group(fmt.Sprintf("g%d", i), "", "a")
	}
	w.group("g9", "")
	w.code(jobsvc.CodeInvalidRequest, w.AddThingToThingGroup(w.ctx, "g9", "a")) // an 11th group
	yes, no := true, false
	for name, tc := range map[string]struct {
		r    jobsvc.ListThingGroupsRequest
		want []string
	}{
		"all with prefix": {jobsvc.ListThingGroupsRequest{NamePrefix: "l"}, []string{"l1", "l2", "l3", "l4", "l5", "l6"}},
		"children":        {jobsvc.ListThingGroupsRequest{Parent: "l1"}, []string{"l2"}},
		"descendants":     {jobsvc.ListThingGroupsRequest{Parent: "l4", Recursive: &yes}, []string{"l5", "l6"}},
		"roots":           {jobsvc.ListThingGroupsRequest{Recursive: &no, NamePrefix: "r"}, []string{"root"}},
	} {
		r, err := w.ListThingGroups(w.ctx, &tc.r)
		w.must(err)
		if !slices.Equal(r.Groups, tc.want) {
			t.Errorf("%s: %v, want %v", name, r.Groups, tc.want)
		}
	}
}

func TestPrincipals(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	kc, err := w.CreateKeysAndCertificate(w.ctx, false)
	w.must(err)
	arn := account.ARN(jobsvc.ARNCert, kc.ID)
	if kc.Status != jobsvc.CertificateInactive {
		t.Errorf("status %s", kc.Status)
	}
	w.code(jobsvc.CodeNotFound, w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "nobody", Principal: arn}))
	w.code(jobsvc.CodeNotFound, w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "a", Principal: account.ARN(jobsvc.ARNCert, strings.Repeat("0", 64))}))
	w.code(jobsvc.CodeNotFound, w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "a", Principal: thingARN("a")}))
	w.code(jobsvc.CodeInvalidRequest, w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "a", Principal: ""}))
	w.must(w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "a", Principal: arn}))
	w.must(w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "a", Principal: arn}))
	w.must(w.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: "b", Principal: arn}))
	w.code(jobsvc.CodeInvalidRequest, w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "a"}))
	w.must(w.UpdateCertificate(w.ctx, strings.ToUpper(kc.ID), jobsvc.CertificateActive))
	b, err := w.Binding(w.ctx, kc.ID)
	w.must(err)
	if b.Status != jobsvc.CertificateActive || !slices.Equal(b.Things, []string{"a", "b"}) {
		t.Errorf("binding: %+v", b)
	}
	w.must(w.DetachThingPrincipal(w.ctx, "b", arn))
	w.code(jobsvc.CodeNotFound, w.DetachThingPrincipal(w.ctx, "b", arn))
	r, err := w.ListPrincipalThings(w.ctx, arn, "", jobsvc.Page{})
	w.must(err)
	if len(r.Attachments) != 1 || r.Attachments[0].Name != "a" {
		t.Errorf("things: %v", r.Attachments)
	}
	const document = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}`
	_, err = w.CreatePolicy(w.ctx, "p", document, nil)
	w.must(err)
	_, err = w.CreatePolicy(w.ctx, "p", document, nil)
	w.code(jobsvc.CodeAlreadyExists, err)
	_, err = w.CreatePolicy(w.ctx, "q", `{`, nil)
	w.code(jobsvc.CodeMalformedPolicy, err)
	w.must(w.AttachPolicy(w.ctx, "p", arn))
	w.code(jobsvc.CodeNotFound, w.AttachPolicy(w.ctx, "none", arn))
	w.code(jobsvc.CodeInvalidRequest, w.AttachPolicy(w.ctx, "p", thingARN("a")))
	if pr, err := w.ListAttachedPolicies(w.ctx, arn, false, jobsvc.Page{}); err != nil || len(pr.Policies) != 1 || pr.Policies[0].Name != "p" {
		t.Errorf("attached: %+v, %v", pr, err)
	}
	w.must(w.UpdateCertificate(w.ctx, kc.ID, jobsvc.CertificateRevoked))
	w.code(jobsvc.CodeCertificateState, w.UpdateCertificate(w.ctx, kc.ID, jobsvc.CertificateActive))
	w.code(jobsvc.CodeInvalidRequest, w.UpdateCertificate(w.ctx, kc.ID, "PENDING_TRANSFER"))
	_, err = w.Binding(w.ctx, strings.Repeat("0", 64))
	w.code(jobsvc.CodeNotFound, err)
	if l, err := w.ListCertificates(w.ctx, jobsvc.ListByTimeRequest{Page: jobsvc.Page{MaxResults: 1}}); err != nil || len(l.Certificates) != 1 || l.NextMarker != "" {
		t.Errorf("certificates: %+v, %v", l, err)
	}
}

// A snapshot has who was a member when the job was made, whatever happens to them and to
// their groups before their turn comes.
func TestSnapshotOutlivesMemberships(t *testing.T) {
	w := newWorld(t)
	w.thing("leaves", "returns", "stays", "late", "orphan")
	w.group("root", "")
	w.group("north", "root", "leaves", "returns", "stays")
	w.group("south", "root", "orphan")
	w.job("fw", account.ARN("thinggroup", "root")) // its rollout has not begun
	w.must(w.RemoveThingFromThingGroup(w.ctx, "north", "leaves"))
	w.must(w.RemoveThingFromThingGroup(w.ctx, "north", "returns"))
	w.must(w.AddThingToThingGroup(w.ctx, "north", "returns"))
	w.must(w.AddThingToThingGroup(w.ctx, "north", "late"))
	for _, version := range []int64{7, 1} {
		err := w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "south", ExpectedVersion: &version})
		if (version == 1) != (err == nil) {
			t.Errorf("DeleteThingGroup of version %d: %v", version, err)
		}
	}
	w.restart()
	w.runTimers()
	var got []string
	for _, x := range w.executions("fw", jobsvc.StatusQueued, 100) {
		got = append(got, x.ThingName)
	}
	slices.Sort(got)
	if want := []string{"leaves", "orphan", "returns", "stays"}; !slices.Equal(got, want) {
		t.Errorf("executions of %q, want %q", got, want)
	}
	w.checkCounters("fw")

	// A job made now has who is a member now.
	w.job("next", account.ARN("thinggroup", "root"))
	w.runTimers()
	got = nil
	for _, x := range w.executions("next", jobsvc.StatusQueued, 100) {
		got = append(got, x.ThingName)
	}
	slices.Sort(got)
	if want := []string{"late", "returns", "stays"}; !slices.Equal(got, want) {
		t.Errorf("executions of %q, want %q", got, want)
	}
	groups, err := w.ListThingGroupsForThing(w.ctx, "orphan", jobsvc.Page{})
	if err != nil || len(groups.Groups) != 0 {
		t.Errorf("orphan is in %v, %v", groups, err)
	}
}

// A page of a filter that hardly anything passes looks at so many things and no more.
func TestListThingsIsBounded(t *testing.T) {
	w := newWorld(t)
	const things = 21_000
	for i := range things {
		attrs := map[string]string{"site": "north"}
		if i == things-1 {
			attrs["site"] = "south"
		}
		_, err := w.CreateThing(w.ctx, &jobsvc.CreateThingRequest{ThingName: fmt.Sprintf("pump-%05d", i), Attributes: attrs})
		w.must(err)
	}
	var pages int
	var found []string
	for token := ""; ; pages++ {
		res, err := w.ListThings(w.ctx, &jobsvc.ListThingsRequest{AttributeName: "site", AttributeValue: "south", Page: jobsvc.Page{Token: token}})
		w.must(err)
		for _, t := range res.Things {
			found = append(found, t.Name)
		}
		if token = res.NextToken; token == "" {
			break
		}
	}
	if pages != 1 || !slices.Equal(found, []string{"pump-20999"}) {
		t.Errorf("%d pages more, found %q", pages, found)
	}
}

// Groups are listed by the index that has them, in pages of any size.
func TestListThingGroups(t *testing.T) {
	w := newWorld(t)
	counter := &scanCounter{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}
	w.db = counter
	w.open()
	var all, below, north []string
	for i := range 300 {
		all = append(all, fmt.Sprintf("g%03d", i))
	}
	for i, g := range all {
		parent := ""
		switch {
		case i >= 200: // below the third
			parent = all[100+i%100]
			below = append(below, g)
		case i >= 100: // below the first
			parent = all[0]
			below = append(below, g)
			north = append(north, g)
		}
		w.group(g, parent)
	}
	yes, no := true, false
	for name, tc := range map[string]struct {
		r    jobsvc.ListThingGroupsRequest
		want []string
	}{
		"all":                     {jobsvc.ListThingGroupsRequest{}, all},
		"all, recursive":          {jobsvc.ListThingGroupsRequest{Recursive: &yes}, all},
		"roots":                   {jobsvc.ListThingGroupsRequest{Recursive: &no}, all[:100]},
		"roots with prefix":       {jobsvc.ListThingGroupsRequest{Recursive: &no, NamePrefix: "g05"}, all[50:60]},
		"prefix":                  {jobsvc.ListThingGroupsRequest{NamePrefix: "g29"}, all[290:]},
		"prefix of nothing":       {jobsvc.ListThingGroupsRequest{NamePrefix: "h"}, nil},
		"children":                {jobsvc.ListThingGroupsRequest{Parent: "g000"}, north},
		"children with prefix":    {jobsvc.ListThingGroupsRequest{Parent: "g000", NamePrefix: "g11"}, all[110:120]},
		"descendants":             {jobsvc.ListThingGroupsRequest{Parent: "g000", Recursive: &yes}, below},
		"descendants with prefix": {jobsvc.ListThingGroupsRequest{Parent: "g000", Recursive: &yes, NamePrefix: "g2"}, all[200:]},
		"of a leaf":               {jobsvc.ListThingGroupsRequest{Parent: "g200", Recursive: &yes}, nil},
	} {
		for _, size := range []int{1, 7, 250} {
			got := pages(t, size, func(p jobsvc.Page) ([]string, string, error) {
				counter.items = 0
				r := tc.r
				r.Page = p
				res, err := w.ListThingGroups(w.ctx, &r)
				if err != nil {
					return nil, "", err
				}
				if (r.Parent == "" || r.Recursive == nil) && counter.items > size+2 {
					t.Errorf("%s: %d rows read for a page of %d", name, counter.items, size)
				}
				return res.Groups, res.NextToken, nil
			})
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s in pages of %d: %v, want %v", name, size, got, tc.want)
			}
		}
	}
	_, err := w.ListThingGroups(w.ctx, &jobsvc.ListThingGroupsRequest{Parent: "none"})
	w.code(jobsvc.CodeNotFound, err)
	// By its ID a group is found however many there are.
	last, err := w.DescribeThingGroup(w.ctx, "g299")
	w.must(err)
	if r, err := w.ListJobs(w.ctx, &jobsvc.ListJobsRequest{ThingGroupID: last.ID}); err != nil || r.ThingGroupID != last.ID {
		t.Errorf("jobs by the ID of a group: %+v, %v", r, err)
	}
	_, err = w.ListJobs(w.ctx, &jobsvc.ListJobsRequest{ThingGroupID: "none"})
	w.code(jobsvc.CodeNotFound, err)
}

// A filter that nothing passes looks at things many at a time, however small the page.
func TestListThingsReadsInBulk(t *testing.T) {
	w := newWorld(t)
	counter := &scanCounter{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}
	w.db = counter
	w.open()
	w.thing(names(2000)...)
	counter.scans = 0
	r, err := w.ListThings(w.ctx, &jobsvc.ListThingsRequest{AttributeName: "site", Page: jobsvc.Page{MaxResults: 1}})
	w.must(err)
	if len(r.Things) != 0 || r.NextToken != "" || counter.scans > 6 {
		t.Errorf("%d things, token %q, %d scans", len(r.Things), r.NextToken, counter.scans)
	}
}
