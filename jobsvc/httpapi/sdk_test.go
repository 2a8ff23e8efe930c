package httpapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// newEngine makes an engine over memory, of the account of these tests and with a
// CA to issue certificates. settle fires the timers that are due, until none is:
// rollouts and sweeps are done when it returns.
func newEngine(t *testing.T) (e *engine.Engine, settle func()) {
	t.Helper()
	st, err := store.Open(t.Context(), memkv.Open(memkv.Options{ScopeOf: store.ScopeOf}))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := auth.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e = engine.New(st, engine.Options{Account: account, Issuer: ca})
	return e, func() {
		t.Helper()
		for fired := true; fired; {
			fired = false
			timers, err := e.Timers(t.Context(), 10)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			for _, timer := range timers {
				if timer.Due.After(now) {
					continue
				}
				fired = true
				if err := e.Fire(t.Context(), timer, now); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := e.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// newSDK is AWS's own client of the control plane, with an operator's key.
func newSDK(t *testing.T) (c *iot.Client, e *engine.Engine, settle func()) {
	t.Helper()
	e, settle = newEngine(t)
	o := options()
	o.Engine = e
	return sdk(serve(t, o), keys[jobsvc.RoleOperator]), e, settle
}

// as asserts the exception's type and gives it.
func as[E error](t *testing.T, what string, err error) E {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Errorf("%s: %v, want %T", what, err, e)
	}
	return e
}

func ok[T any](t *testing.T, what string) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return v
	}
}

func TestSDKThings(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	site := &types.AttributePayload{Attributes: map[string]string{"site": "north"}}
	created := ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("a:1"), AttributePayload: site}))
	if aws.ToString(created.ThingName) != "a:1" || aws.ToString(created.ThingArn) != account.ARN("thing", "a:1") || aws.ToString(created.ThingId) == "" {
		t.Errorf("CreateThing: %+v", created)
	}
	again := ok[*iot.CreateThingOutput](t, "CreateThing, the same")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("a:1"), AttributePayload: site}))
	if aws.ToString(again.ThingId) != aws.ToString(created.ThingId) {
		t.Error("the same thing again has another ID")
	}
	_, err := c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("a:1")})
	if e := as[*types.ResourceAlreadyExistsException](t, "CreateThing, another", err); e != nil && (aws.ToString(e.ResourceId) == "" || aws.ToString(e.ResourceArn) != account.ARN("thing", "a:1")) {
		t.Errorf("resource %q %q", aws.ToString(e.ResourceId), aws.ToString(e.ResourceArn))
	}
	_, err = c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("b"), ThingTypeName: aws.String("pump")})
	as[*types.ResourceNotFoundException](t, "CreateThing, type", err)
	_, err = c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("a b")})
	as[*types.InvalidRequestException](t, "CreateThing, space", err)

	got := ok[*iot.DescribeThingOutput](t, "DescribeThing")(c.DescribeThing(ctx, &iot.DescribeThingInput{ThingName: aws.String("a:1")}))
	if aws.ToString(got.DefaultClientId) != "a:1" || got.Attributes["site"] != "north" || got.Version != 1 || aws.ToString(got.ThingId) != aws.ToString(created.ThingId) {
		t.Errorf("DescribeThing: %+v", got)
	}
	_, err = c.DescribeThing(ctx, &iot.DescribeThingInput{ThingName: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "DescribeThing", err)

	for _, name := range []string{"b", "c", "d", "e"} {
		ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: &name}))
	}
	var names []string
	for p := iot.NewListThingsPaginator(c, &iot.ListThingsInput{MaxResults: aws.Int32(2)}); p.HasMorePages(); {
		for _, th := range ok[*iot.ListThingsOutput](t, "ListThings")(p.NextPage(ctx)).Things {
			names = append(names, aws.ToString(th.ThingName))
		}
	}
	if want := []string{"a:1", "b", "c", "d", "e"}; !slices.Equal(names, want) {
		t.Errorf("ListThings: %q", names)
	}
	filtered := ok[*iot.ListThingsOutput](t, "ListThings by attribute")(c.ListThings(ctx, &iot.ListThingsInput{AttributeName: aws.String("site"), AttributeValue: aws.String("nor"), UsePrefixAttributeValue: true}))
	if len(filtered.Things) != 1 || filtered.Things[0].Attributes["site"] != "north" {
		t.Errorf("ListThings by attribute: %+v", filtered.Things)
	}
	_, err = c.ListThings(ctx, &iot.ListThingsInput{NextToken: aws.String("nonsense")})
	as[*types.InvalidRequestException](t, "ListThings, token", err)
	_, err = c.ListThings(ctx, &iot.ListThingsInput{MaxResults: aws.Int32(251)})
	as[*types.InvalidRequestException](t, "ListThings, maxResults", err)

	_, err = c.DeleteThing(ctx, &iot.DeleteThingInput{ThingName: aws.String("a:1"), ExpectedVersion: aws.Int64(7)})
	as[*types.VersionConflictException](t, "DeleteThing, version", err)
	ok[*iot.DeleteThingOutput](t, "DeleteThing")(c.DeleteThing(ctx, &iot.DeleteThingInput{ThingName: aws.String("a:1"), ExpectedVersion: aws.Int64(1)}))
	ok[*iot.DeleteThingOutput](t, "DeleteThing, gone")(c.DeleteThing(ctx, &iot.DeleteThingInput{ThingName: aws.String("a:1")}))
}

func TestSDKThingGroups(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	root := ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("pumps")}))
	if aws.ToString(root.ThingGroupArn) != account.ARN("thinggroup", "pumps") || aws.ToString(root.ThingGroupId) == "" {
		t.Errorf("CreateThingGroup: %+v", root)
	}
	properties := &types.ThingGroupProperties{ThingGroupDescription: aws.String("EU pumps"), AttributePayload: &types.AttributePayload{Attributes: map[string]string{"region": "eu"}}}
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("pumps-eu"), ParentGroupName: aws.String("pumps"), ThingGroupProperties: properties}))
	_, err := c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("pumps-eu")})
	as[*types.ResourceAlreadyExistsException](t, "CreateThingGroup, another", err)
	_, err = c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("x"), ParentGroupName: aws.String("nobody")})
	as[*types.InvalidRequestException](t, "CreateThingGroup, parent", err)

	got := ok[*iot.DescribeThingGroupOutput](t, "DescribeThingGroup")(c.DescribeThingGroup(ctx, &iot.DescribeThingGroupInput{ThingGroupName: aws.String("pumps-eu")}))
	m := got.ThingGroupMetadata
	if aws.ToString(m.ParentGroupName) != "pumps" || len(m.RootToParentThingGroups) != 1 || aws.ToString(m.RootToParentThingGroups[0].GroupArn) != aws.ToString(root.ThingGroupArn) ||
		m.CreationDate == nil || got.Version != 1 || aws.ToString(got.ThingGroupProperties.ThingGroupDescription) != "EU pumps" || got.ThingGroupProperties.AttributePayload.Attributes["region"] != "eu" {
		t.Errorf("DescribeThingGroup: %+v", got)
	}
	_, err = c.DescribeThingGroup(ctx, &iot.DescribeThingGroupInput{ThingGroupName: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "DescribeThingGroup", err)

	groups := func(in *iot.ListThingGroupsInput) (names []string) {
		for _, g := range ok[*iot.ListThingGroupsOutput](t, "ListThingGroups")(c.ListThingGroups(ctx, in)).ThingGroups {
			names = append(names, aws.ToString(g.GroupName))
		}
		return names
	}
	for _, tc := range []struct {
		in   iot.ListThingGroupsInput
		want []string
	}{
		{iot.ListThingGroupsInput{}, []string{"pumps", "pumps-eu"}},
		{iot.ListThingGroupsInput{Recursive: aws.Bool(false)}, []string{"pumps"}},
		{iot.ListThingGroupsInput{ParentGroup: aws.String("pumps")}, []string{"pumps-eu"}},
		{iot.ListThingGroupsInput{NamePrefixFilter: aws.String("pumps-")}, []string{"pumps-eu"}},
	} {
		if got := groups(&tc.in); !slices.Equal(got, tc.want) {
			t.Errorf("ListThingGroups %+v: %q", tc.in, got)
		}
	}

	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("p1")}))
	for _, in := range []iot.AddThingToThingGroupInput{
		{ThingGroupName: aws.String("pumps-eu"), ThingName: aws.String("p1")},
		{ThingGroupArn: aws.String(account.ARN("thinggroup", "pumps-eu")), ThingArn: aws.String(account.ARN("thing", "p1"))},
	} {
		ok[*iot.AddThingToThingGroupOutput](t, "AddThingToThingGroup")(c.AddThingToThingGroup(ctx, &in))
	}
	_, err = c.AddThingToThingGroup(ctx, &iot.AddThingToThingGroupInput{ThingGroupName: aws.String("pumps"), ThingName: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "AddThingToThingGroup", err)
	_, err = c.AddThingToThingGroup(ctx, &iot.AddThingToThingGroupInput{ThingName: aws.String("p1")})
	as[*types.InvalidRequestException](t, "AddThingToThingGroup, no group", err)

	members := func(group string, recursive bool) []string {
		return ok[*iot.ListThingsInThingGroupOutput](t, "ListThingsInThingGroup")(c.ListThingsInThingGroup(ctx, &iot.ListThingsInThingGroupInput{ThingGroupName: &group, Recursive: recursive})).Things
	}
	if a, b, d := members("pumps-eu", false), members("pumps", false), members("pumps", true); !slices.Equal(a, []string{"p1"}) || len(b) != 0 || !slices.Equal(d, []string{"p1"}) {
		t.Errorf("ListThingsInThingGroup: %q %q %q", a, b, d)
	}
}

func csr(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func TestSDKCertificatesAndPolicies(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	one := ok[*iot.CreateKeysAndCertificateOutput](t, "CreateKeysAndCertificate")(c.CreateKeysAndCertificate(ctx, &iot.CreateKeysAndCertificateInput{SetAsActive: true}))
	if aws.ToString(one.CertificateArn) != account.ARN("cert", aws.ToString(one.CertificateId)) ||
		!strings.HasPrefix(aws.ToString(one.KeyPair.PrivateKey), "-----BEGIN RSA PRIVATE KEY-----") || !strings.HasPrefix(aws.ToString(one.KeyPair.PublicKey), "-----BEGIN PUBLIC KEY-----") {
		t.Errorf("CreateKeysAndCertificate: %s", aws.ToString(one.CertificateArn))
	}
	two := ok[*iot.CreateCertificateFromCsrOutput](t, "CreateCertificateFromCsr")(c.CreateCertificateFromCsr(ctx, &iot.CreateCertificateFromCsrInput{CertificateSigningRequest: aws.String(csr(t))}))
	_, err := c.CreateCertificateFromCsr(ctx, &iot.CreateCertificateFromCsrInput{CertificateSigningRequest: aws.String("nonsense")})
	as[*types.InvalidRequestException](t, "CreateCertificateFromCsr", err)

	status := func(id *string) types.CertificateStatus {
		d := ok[*iot.DescribeCertificateOutput](t, "DescribeCertificate")(c.DescribeCertificate(ctx, &iot.DescribeCertificateInput{CertificateId: id})).CertificateDescription
		if aws.ToString(d.OwnedBy) != account.ID || d.CertificateMode != types.CertificateModeDefault || d.CreationDate == nil || d.Validity.NotAfter.Year() != 2049 {
			t.Errorf("DescribeCertificate: %+v", d)
		}
		return d.Status
	}
	if a, b := status(one.CertificateId), status(two.CertificateId); a != types.CertificateStatusActive || b != types.CertificateStatusInactive {
		t.Errorf("statuses %s, %s", a, b)
	}
	if got := status(aws.String(strings.ToUpper(aws.ToString(one.CertificateId)))); got != types.CertificateStatusActive {
		t.Errorf("in upper case: %s", got)
	}
	_, err = c.DescribeCertificate(ctx, &iot.DescribeCertificateInput{CertificateId: aws.String(strings.Repeat("0", 64))})
	as[*types.ResourceNotFoundException](t, "DescribeCertificate", err)
	list := ok[*iot.ListCertificatesOutput](t, "ListCertificates")(c.ListCertificates(ctx, &iot.ListCertificatesInput{PageSize: aws.Int32(1)}))
	if len(list.Certificates) != 1 || aws.ToString(list.NextMarker) == "" {
		t.Errorf("ListCertificates: %+v", list)
	}
	rest := ok[*iot.ListCertificatesOutput](t, "ListCertificates")(c.ListCertificates(ctx, &iot.ListCertificatesInput{Marker: list.NextMarker}))
	if len(rest.Certificates) != 1 || rest.NextMarker != nil {
		t.Errorf("ListCertificates, rest: %+v", rest)
	}

	// Things.
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("p1")}))
	ok[*iot.AttachThingPrincipalOutput](t, "AttachThingPrincipal")(c.AttachThingPrincipal(ctx, &iot.AttachThingPrincipalInput{ThingName: aws.String("p1"), Principal: one.CertificateArn}))
	ok[*iot.AttachThingPrincipalOutput](t, "AttachThingPrincipal, again")(c.AttachThingPrincipal(ctx, &iot.AttachThingPrincipalInput{ThingName: aws.String("p1"), Principal: one.CertificateArn}))
	_, err = c.AttachThingPrincipal(ctx, &iot.AttachThingPrincipalInput{ThingName: aws.String("nobody"), Principal: one.CertificateArn})
	as[*types.ResourceNotFoundException](t, "AttachThingPrincipal", err)
	principals := ok[*iot.ListThingPrincipalsOutput](t, "ListThingPrincipals")(c.ListThingPrincipals(ctx, &iot.ListThingPrincipalsInput{ThingName: aws.String("p1")}))
	things := ok[*iot.ListPrincipalThingsOutput](t, "ListPrincipalThings")(c.ListPrincipalThings(ctx, &iot.ListPrincipalThingsInput{Principal: one.CertificateArn}))
	if !slices.Equal(principals.Principals, []string{aws.ToString(one.CertificateArn)}) || !slices.Equal(things.Things, []string{"p1"}) {
		t.Errorf("principals %q, things %q", principals.Principals, things.Things)
	}
	_, err = c.DeleteThing(ctx, &iot.DeleteThingInput{ThingName: aws.String("p1")})
	as[*types.InvalidRequestException](t, "DeleteThing, attached", err)

	// Policies.
	const document = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}`
	policy := ok[*iot.CreatePolicyOutput](t, "CreatePolicy")(c.CreatePolicy(ctx, &iot.CreatePolicyInput{PolicyName: aws.String("p+1=a,b.c@d"), PolicyDocument: aws.String(document)}))
	if aws.ToString(policy.PolicyVersionId) != "1" || aws.ToString(policy.PolicyDocument) != document {
		t.Errorf("CreatePolicy: %+v", policy)
	}
	_, err = c.CreatePolicy(ctx, &iot.CreatePolicyInput{PolicyName: policy.PolicyName, PolicyDocument: aws.String(document)})
	as[*types.ResourceAlreadyExistsException](t, "CreatePolicy", err)
	_, err = c.CreatePolicy(ctx, &iot.CreatePolicyInput{PolicyName: aws.String("bad"), PolicyDocument: aws.String("nonsense")})
	as[*types.MalformedPolicyException](t, "CreatePolicy", err)
	got := ok[*iot.GetPolicyOutput](t, "GetPolicy")(c.GetPolicy(ctx, &iot.GetPolicyInput{PolicyName: policy.PolicyName}))
	if aws.ToString(got.PolicyDocument) != document || aws.ToString(got.DefaultVersionId) != "1" || got.CreationDate == nil || aws.ToString(got.GenerationId) == "" {
		t.Errorf("GetPolicy: %+v", got)
	}
	_, err = c.GetPolicy(ctx, &iot.GetPolicyInput{PolicyName: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "GetPolicy", err)
	if l := ok[*iot.ListPoliciesOutput](t, "ListPolicies")(c.ListPolicies(ctx, &iot.ListPoliciesInput{})); len(l.Policies) != 1 || aws.ToString(l.Policies[0].PolicyArn) != aws.ToString(policy.PolicyArn) {
		t.Errorf("ListPolicies: %+v", l)
	}
	ok[*iot.AttachPolicyOutput](t, "AttachPolicy")(c.AttachPolicy(ctx, &iot.AttachPolicyInput{PolicyName: policy.PolicyName, Target: one.CertificateArn}))
	_, err = c.AttachPolicy(ctx, &iot.AttachPolicyInput{PolicyName: aws.String("nobody"), Target: one.CertificateArn})
	as[*types.ResourceNotFoundException](t, "AttachPolicy", err)
	attached := ok[*iot.ListAttachedPoliciesOutput](t, "ListAttachedPolicies")(c.ListAttachedPolicies(ctx, &iot.ListAttachedPoliciesInput{Target: one.CertificateArn, Recursive: true}))
	if len(attached.Policies) != 1 || aws.ToString(attached.Policies[0].PolicyName) != aws.ToString(policy.PolicyName) {
		t.Errorf("ListAttachedPolicies: %+v", attached)
	}

	// The end of both.
	ok[*iot.DetachThingPrincipalOutput](t, "DetachThingPrincipal")(c.DetachThingPrincipal(ctx, &iot.DetachThingPrincipalInput{ThingName: aws.String("p1"), Principal: one.CertificateArn}))
	_, err = c.DetachThingPrincipal(ctx, &iot.DetachThingPrincipalInput{ThingName: aws.String("p1"), Principal: one.CertificateArn})
	as[*types.ResourceNotFoundException](t, "DetachThingPrincipal", err)
	for _, s := range []types.CertificateStatus{types.CertificateStatusInactive, types.CertificateStatusActive, types.CertificateStatusRevoked} {
		ok[*iot.UpdateCertificateOutput](t, string(s))(c.UpdateCertificate(ctx, &iot.UpdateCertificateInput{CertificateId: one.CertificateId, NewStatus: s}))
		if got := status(one.CertificateId); got != s {
			t.Errorf("status %s, want %s", got, s)
		}
	}
	_, err = c.UpdateCertificate(ctx, &iot.UpdateCertificateInput{CertificateId: one.CertificateId, NewStatus: types.CertificateStatusActive})
	as[*types.CertificateStateException](t, "UpdateCertificate, revoked", err)
	for _, s := range []types.CertificateStatus{types.CertificateStatusPendingTransfer, types.CertificateStatusPendingActivation, "NONSENSE"} {
		_, err = c.UpdateCertificate(ctx, &iot.UpdateCertificateInput{CertificateId: two.CertificateId, NewStatus: s})
		as[*types.InvalidRequestException](t, string(s), err)
	}
}

func TestSDKJobs(t *testing.T) {
	c, e, settle := newSDK(t)
	ctx := t.Context()
	for _, name := range []string{"p1", "p2", "p3"} {
		ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: &name}))
	}
	group := ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("pumps")}))
	for _, name := range []string{"p1", "p2"} {
		ok[*iot.AddThingToThingGroupOutput](t, "AddThingToThingGroup")(c.AddThingToThingGroup(ctx, &iot.AddThingToThingGroupInput{ThingGroupName: group.ThingGroupName, ThingName: &name}))
	}
	const document = "{ \"op\" : \"<reboot> & ü\" }\n"
	in := &iot.CreateJobInput{
		JobId: aws.String("fw-1"), Targets: []string{aws.ToString(group.ThingGroupArn), account.ARN("thing", "p3")},
		Document: aws.String(document), Description: aws.String("Pump firmware"), TimeoutConfig: &types.TimeoutConfig{InProgressTimeoutInMinutes: aws.Int64(30)},
	}
	created := ok[*iot.CreateJobOutput](t, "CreateJob")(c.CreateJob(ctx, in))
	if aws.ToString(created.JobArn) != account.ARN("job", "fw-1") || aws.ToString(created.Description) != "Pump firmware" {
		t.Errorf("CreateJob: %+v", created)
	}
	_, err := c.CreateJob(ctx, in)
	if x := as[*types.ResourceAlreadyExistsException](t, "CreateJob again", err); x != nil && (aws.ToString(x.ResourceId) != "fw-1" || aws.ToString(x.ResourceArn) != account.ARN("job", "fw-1")) {
		t.Errorf("resource %q %q", aws.ToString(x.ResourceId), aws.ToString(x.ResourceArn))
	}
	refuse := func(change func(*iot.CreateJobInput)) error {
		other := *in
		other.JobId = aws.String("fw-2")
		change(&other)
		_, err := c.CreateJob(ctx, &other)
		return err
	}
	for what, change := range map[string]func(*iot.CreateJobInput){
		"jobId":      func(in *iot.CreateJobInput) { in.JobId = aws.String("a:b") },
		"no targets": func(in *iot.CreateJobInput) { in.Targets = []string{} },
		"document":   func(in *iot.CreateJobInput) { in.Document = aws.String("nonsense") },
		"both":       func(in *iot.CreateJobInput) { in.DocumentSource = aws.String("https://s3.amazonaws.com/b/k") },
		"timeout": func(in *iot.CreateJobInput) {
			in.TimeoutConfig = &types.TimeoutConfig{InProgressTimeoutInMinutes: aws.Int64(10081)}
		},
		"abort": func(in *iot.CreateJobInput) {
			in.AbortConfig = &types.AbortConfig{CriteriaList: []types.AbortCriteria{}}
		},
	} {
		as[*types.InvalidRequestException](t, what, refuse(change))
	}
	as[*types.ResourceNotFoundException](t, "target", refuse(func(in *iot.CreateJobInput) { in.Targets = []string{account.ARN("thing", "nobody")} }))
	as[*types.LimitExceededException](t, "101 targets", refuse(func(in *iot.CreateJobInput) {
		in.Targets = slices.Repeat([]string{account.ARN("thing", "p1")}, 101)
	}))
	settle()

	described := ok[*iot.DescribeJobOutput](t, "DescribeJob")(c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: in.JobId})).Job
	if described.Status != types.JobStatusInProgress || described.TargetSelection != types.TargetSelectionSnapshot || !slices.Equal(described.Targets, in.Targets) ||
		aws.ToInt64(described.TimeoutConfig.InProgressTimeoutInMinutes) != 30 || described.PresignedUrlConfig == nil || described.JobExecutionsRolloutConfig == nil ||
		described.AbortConfig != nil || aws.ToInt32(described.JobProcessDetails.NumberOfQueuedThings) != 3 || described.CompletedAt != nil || described.IsConcurrent == nil {
		t.Errorf("DescribeJob: %+v, %+v", described, described.JobProcessDetails)
	}
	_, err = c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "DescribeJob", err)
	if d := ok[*iot.GetJobDocumentOutput](t, "GetJobDocument")(c.GetJobDocument(ctx, &iot.GetJobDocumentInput{JobId: in.JobId})); aws.ToString(d.Document) != document {
		t.Errorf("GetJobDocument: %q", aws.ToString(d.Document))
	}
	listed := ok[*iot.ListJobsOutput](t, "ListJobs")(c.ListJobs(ctx, &iot.ListJobsInput{Status: types.JobStatusInProgress, ThingGroupName: group.ThingGroupName}))
	if len(listed.Jobs) != 1 || aws.ToString(listed.Jobs[0].JobId) != "fw-1" || aws.ToString(listed.Jobs[0].ThingGroupId) != aws.ToString(group.ThingGroupId) {
		t.Errorf("ListJobs: %+v", listed.Jobs)
	}
	if l := ok[*iot.ListJobsOutput](t, "ListJobs")(c.ListJobs(ctx, &iot.ListJobsInput{})); len(l.Jobs) != 1 || l.Jobs[0].ThingGroupId != nil || l.NextToken != nil {
		t.Errorf("ListJobs, all: %+v", l)
	}
	if l := ok[*iot.ListJobsOutput](t, "ListJobs")(c.ListJobs(ctx, &iot.ListJobsInput{Status: "SUCCEEDED"})); len(l.Jobs) != 0 {
		t.Errorf("ListJobs, SUCCEEDED: %+v", l)
	}
	_, err = c.ListJobs(ctx, &iot.ListJobsInput{Status: "NONSENSE"})
	as[*types.InvalidRequestException](t, "ListJobs, status", err)
	_, err = c.ListJobs(ctx, &iot.ListJobsInput{ThingGroupName: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "ListJobs, group", err)

	// One device works, so that a plain cancel leaves it alone.
	start(t, e, "p1")
	var things []string
	for p := iot.NewListJobExecutionsForJobPaginator(c, &iot.ListJobExecutionsForJobInput{JobId: in.JobId, MaxResults: aws.Int32(2)}); p.HasMorePages(); {
		for _, x := range ok[*iot.ListJobExecutionsForJobOutput](t, "ListJobExecutionsForJob")(p.NextPage(ctx)).ExecutionSummaries {
			things = append(things, aws.ToString(x.ThingArn)+" "+string(x.JobExecutionSummary.Status))
		}
	}
	slices.Sort(things)
	if want := []string{account.ARN("thing", "p1") + " IN_PROGRESS", account.ARN("thing", "p2") + " QUEUED", account.ARN("thing", "p3") + " QUEUED"}; !slices.Equal(things, want) {
		t.Errorf("ListJobExecutionsForJob: %q", things)
	}
	queued := ok[*iot.ListJobExecutionsForJobOutput](t, "ListJobExecutionsForJob")(c.ListJobExecutionsForJob(ctx, &iot.ListJobExecutionsForJobInput{JobId: in.JobId, Status: types.JobExecutionStatusQueued}))
	if len(queued.ExecutionSummaries) != 2 {
		t.Errorf("ListJobExecutionsForJob, QUEUED: %+v", queued)
	}
	_, err = c.ListJobExecutionsForJob(ctx, &iot.ListJobExecutionsForJobInput{JobId: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "ListJobExecutionsForJob", err)
	forThing := ok[*iot.ListJobExecutionsForThingOutput](t, "ListJobExecutionsForThing")(c.ListJobExecutionsForThing(ctx, &iot.ListJobExecutionsForThingInput{ThingName: aws.String("p1")}))
	if len(forThing.ExecutionSummaries) != 1 || aws.ToString(forThing.ExecutionSummaries[0].JobId) != "fw-1" || aws.ToInt64(forThing.ExecutionSummaries[0].JobExecutionSummary.ExecutionNumber) != 1 ||
		forThing.ExecutionSummaries[0].JobExecutionSummary.RetryAttempt == nil || forThing.ExecutionSummaries[0].JobExecutionSummary.StartedAt == nil {
		t.Errorf("ListJobExecutionsForThing: %+v", forThing)
	}
	_, err = c.ListJobExecutionsForThing(ctx, &iot.ListJobExecutionsForThingInput{ThingName: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "ListJobExecutionsForThing", err)

	execution := ok[*iot.DescribeJobExecutionOutput](t, "DescribeJobExecution")(c.DescribeJobExecution(ctx, &iot.DescribeJobExecutionInput{ThingName: aws.String("p1"), JobId: in.JobId, ExecutionNumber: aws.Int64(1)})).Execution
	if execution.Status != types.JobExecutionStatusInProgress || aws.ToString(execution.ThingArn) != account.ARN("thing", "p1") || execution.VersionNumber != 2 ||
		execution.StatusDetails.DetailsMap["step"] != "flash" || execution.ApproximateSecondsBeforeTimedOut == nil {
		t.Errorf("DescribeJobExecution: %+v", execution)
	}
	_, err = c.DescribeJobExecution(ctx, &iot.DescribeJobExecutionInput{ThingName: aws.String("p1"), JobId: in.JobId, ExecutionNumber: aws.Int64(2)})
	as[*types.ResourceNotFoundException](t, "DescribeJobExecution", err)
	_, err = c.DescribeJobExecution(ctx, &iot.DescribeJobExecutionInput{ThingName: aws.String("p1"), JobId: aws.String("$next")})
	as[*types.InvalidRequestException](t, "DescribeJobExecution, $next", err)

	_, err = c.DeleteJob(ctx, &iot.DeleteJobInput{JobId: in.JobId})
	as[*types.InvalidStateTransitionException](t, "DeleteJob, active", err)
	_, err = c.CancelJob(ctx, &iot.CancelJobInput{JobId: in.JobId, ReasonCode: aws.String("bad image")})
	as[*types.InvalidRequestException](t, "CancelJob, reasonCode", err)
	canceled := ok[*iot.CancelJobOutput](t, "CancelJob")(c.CancelJob(ctx, &iot.CancelJobInput{JobId: in.JobId, ReasonCode: aws.String("BAD_IMAGE"), Comment: aws.String("checksum wrong")}))
	if aws.ToString(canceled.JobId) != "fw-1" || aws.ToString(canceled.Description) != "Pump firmware" {
		t.Errorf("CancelJob: %+v", canceled)
	}
	settle()
	described = ok[*iot.DescribeJobOutput](t, "DescribeJob")(c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: in.JobId})).Job
	if described.Status != types.JobStatusCanceled || aws.ToString(described.ReasonCode) != "BAD_IMAGE" || aws.ToString(described.Comment) != "checksum wrong" || described.ForceCanceled != nil ||
		aws.ToInt32(described.JobProcessDetails.NumberOfCanceledThings) != 2 || aws.ToInt32(described.JobProcessDetails.NumberOfInProgressThings) != 1 {
		t.Errorf("canceled: %+v, %+v", described, described.JobProcessDetails)
	}
	_, err = c.CancelJob(ctx, &iot.CancelJobInput{JobId: in.JobId})
	as[*types.InvalidRequestException](t, "CancelJob again", err)
	_, err = c.CancelJob(ctx, &iot.CancelJobInput{JobId: aws.String("nobody")})
	as[*types.ResourceNotFoundException](t, "CancelJob", err)

	_, err = c.DeleteJob(ctx, &iot.DeleteJobInput{JobId: in.JobId, NamespaceId: aws.String("other")})
	as[*types.ResourceNotFoundException](t, "DeleteJob, namespace", err)
	ok[*iot.DeleteJobOutput](t, "DeleteJob")(c.DeleteJob(ctx, &iot.DeleteJobInput{JobId: in.JobId, Force: true}))
	settle()
	_, err = c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: in.JobId})
	as[*types.ResourceNotFoundException](t, "DescribeJob, deleted", err)
	ok[*iot.CreateJobOutput](t, "CreateJob, the ID again")(c.CreateJob(ctx, in))
}

// start lets a device begin its next execution.
func start(t *testing.T, e *engine.Engine, thing string) {
	t.Helper()
	x, err := e.StartNextPendingJobExecution(context.Background(), &jobsvc.StartNextPendingJobExecutionRequest{ThingName: thing, StatusDetails: map[string]string{"step": "flash"}})
	if err != nil || x.Execution == nil {
		t.Fatalf("start-next of %s: %+v, %v", thing, x, err)
	}
}

// The dialect of old scripts, which no SDK sends, ends in the same job.
func TestDialect(t *testing.T) {
	e, settle := newEngine(t)
	o := options()
	o.Engine = e
	srv := serve(t, o)
	if _, err := e.CreateThing(t.Context(), &jobsvc.CreateThingRequest{ThingName: "p1"}); err != nil {
		t.Fatal(err)
	}
	do := func(method, target, body string) answer {
		return request{method: method, target: target, body: body}.do(t, srv.Client(), srv.URL)
	}
	body := `{"targets":["` + account.ARN("thing", "p1") + `"],"document":"{}","presignedUrlConfigData":{"roleArn":"arn:aws:iam::111122223333:role/presign","expiresInSec":"900"}}`
	if got := do("PUT", "/jobs/old", body); got.status != 200 {
		t.Fatalf("CreateJob: %d %s", got.status, got.body)
	}
	settle()
	var described struct {
		Job struct {
			PresignedURLConfig json.RawMessage `json:"presignedUrlConfig"`
			ForceCanceled      bool            `json:"forceCanceled"`
		} `json:"job"`
	}
	describe := func() {
		if err := json.Unmarshal([]byte(do("GET", "/jobs/old", "").body), &described); err != nil {
			t.Fatal(err)
		}
	}
	if describe(); string(described.Job.PresignedURLConfig) != `{"roleArn":"arn:aws:iam::111122223333:role/presign","expiresInSec":900}` {
		t.Errorf("presignedUrlConfig %s", described.Job.PresignedURLConfig)
	}
	if got := do("PUT", "/jobs/old/cancel", `{"force":true,"reasonCode":"BAD_IMAGE"}`); got.status != 200 {
		t.Fatalf("CancelJob: %d %s", got.status, got.body)
	}
	if describe(); !described.Job.ForceCanceled {
		t.Error("force in the body was not taken")
	}
	if got := do("DELETE", "/jobs/old", ""); got.status != 200 || got.body != "" {
		t.Errorf("DeleteJob: %d %q", got.status, got.body)
	}
}
