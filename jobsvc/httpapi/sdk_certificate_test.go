package httpapi_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
)

func TestSDKRegisteredCertificates(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	ca, other := newTestCA(t, "plant CA"), newTestCA(t, "plant CA")
	device := ca.issue(t, "pump-17")

	_, err := c.RegisterCertificate(ctx, &iot.RegisterCertificateInput{CertificatePem: &device})
	as[*types.CertificateValidationException](t, "RegisterCertificate of no CA", err)
	code := ok[*iot.GetRegistrationCodeOutput](t, "GetRegistrationCode")(c.GetRegistrationCode(ctx, &iot.GetRegistrationCodeInput{})).RegistrationCode
	if again := ok[*iot.GetRegistrationCodeOutput](t, "GetRegistrationCode")(c.GetRegistrationCode(ctx, &iot.GetRegistrationCodeInput{})).RegistrationCode; len(*code) != 64 || *again != *code {
		t.Errorf("registration codes %q and %q", *code, *again)
	}
	register := func(ca *testCA, verification string, tags ...types.Tag) (*iot.RegisterCACertificateOutput, error) {
		return c.RegisterCACertificate(ctx, &iot.RegisterCACertificateInput{CaCertificate: &ca.pem, VerificationCertificate: &verification, SetAsActive: true, AllowAutoRegistration: true, Tags: tags,
			RegistrationConfig: &types.RegistrationConfig{TemplateBody: aws.String("{}")}})
	}
	_, err = register(ca, ca.issue(t, "not the code"))
	as[*types.RegistrationCodeValidationException](t, "RegisterCACertificate, another code", err)
	_, err = register(ca, other.issue(t, *code))
	as[*types.CertificateValidationException](t, "RegisterCACertificate, signed by another", err)
	_, err = c.RegisterCACertificate(ctx, &iot.RegisterCACertificateInput{CaCertificate: &ca.pem})
	as[*types.InvalidRequestException](t, "RegisterCACertificate, no verification", err)
	_, err = c.RegisterCACertificate(ctx, &iot.RegisterCACertificateInput{CaCertificate: &device, CertificateMode: types.CertificateModeSniOnly})
	as[*types.CertificateValidationException](t, "RegisterCACertificate of no CA", err)
	made := ok[*iot.RegisterCACertificateOutput](t, "RegisterCACertificate")(register(ca, ca.issue(t, *code), types.Tag{Key: aws.String("k"), Value: aws.String("v")}))
	_, err = register(ca, ca.issue(t, *code))
	as[*types.ResourceAlreadyExistsException](t, "RegisterCACertificate, again", err)
	if tags := ok[*iot.ListTagsForResourceOutput](t, "ListTagsForResource")(c.ListTagsForResource(ctx, &iot.ListTagsForResourceInput{ResourceArn: made.CertificateArn})).Tags; len(tags) != 1 {
		t.Errorf("tags of the CA: %v", tags)
	}

	// Certificates that it signed.
	_, err = c.RegisterCertificate(ctx, &iot.RegisterCertificateInput{CertificatePem: &device, Status: types.CertificateStatusPendingTransfer})
	as[*types.InvalidRequestException](t, "RegisterCertificate, status", err)
	cert := ok[*iot.RegisterCertificateOutput](t, "RegisterCertificate")(c.RegisterCertificate(ctx, &iot.RegisterCertificateInput{CertificatePem: &device, Status: types.CertificateStatusActive}))
	_, err = c.RegisterCertificate(ctx, &iot.RegisterCertificateInput{CertificatePem: &device})
	if e := as[*types.ResourceAlreadyExistsException](t, "RegisterCertificate, again", err); aws.ToString(e.ResourceId) != aws.ToString(cert.CertificateId) {
		t.Errorf("what is in the way: %+v", e)
	}
	d := ok[*iot.DescribeCertificateOutput](t, "DescribeCertificate")(c.DescribeCertificate(ctx, &iot.DescribeCertificateInput{CertificateId: cert.CertificateId})).CertificateDescription
	if d.Status != types.CertificateStatusActive || d.CertificateMode != types.CertificateModeDefault || aws.ToString(d.CaCertificateId) != aws.ToString(made.CertificateId) || aws.ToString(d.CertificatePem) != device {
		t.Errorf("DescribeCertificate: %+v", d)
	}
	byCA := ok[*iot.ListCertificatesByCAOutput](t, "ListCertificatesByCA")(c.ListCertificatesByCA(ctx, &iot.ListCertificatesByCAInput{CaCertificateId: made.CertificateId})).Certificates
	if len(byCA) != 1 || aws.ToString(byCA[0].CertificateId) != aws.ToString(cert.CertificateId) {
		t.Errorf("ListCertificatesByCA: %+v", byCA)
	}
	otherCA := ok[*iot.RegisterCACertificateOutput](t, "RegisterCACertificate")(c.RegisterCACertificate(ctx, &iot.RegisterCACertificateInput{CaCertificate: &other.pem, CertificateMode: types.CertificateModeSniOnly}))
	foreign := other.issue(t, "pump-18") // of a CA with the same name, INACTIVE
	_, err = c.RegisterCertificate(ctx, &iot.RegisterCertificateInput{CertificatePem: &foreign})
	as[*types.CertificateStateException](t, "RegisterCertificate of an INACTIVE CA", err)
	_, err = c.RegisterCertificate(ctx, &iot.RegisterCertificateInput{CertificatePem: &foreign, CaCertificatePem: &ca.pem})
	as[*types.CertificateValidationException](t, "RegisterCertificate, another CA", err)

	// Without a CA.
	free := ok[*iot.RegisterCertificateWithoutCAOutput](t, "RegisterCertificateWithoutCA")(c.RegisterCertificateWithoutCA(ctx, &iot.RegisterCertificateWithoutCAInput{CertificatePem: &foreign}))
	if d := ok[*iot.DescribeCertificateOutput](t, "DescribeCertificate")(c.DescribeCertificate(ctx, &iot.DescribeCertificateInput{CertificateId: free.CertificateId})).CertificateDescription; d.CertificateMode != types.CertificateModeSniOnly || d.Status != types.CertificateStatusInactive || d.CaCertificateId != nil {
		t.Errorf("DescribeCertificate: %+v", d)
	}
	_, err = c.RegisterCertificateWithoutCA(ctx, &iot.RegisterCertificateWithoutCAInput{CertificatePem: aws.String("nonsense")})
	as[*types.CertificateValidationException](t, "RegisterCertificateWithoutCA", err)
	ids := func(ascending bool) (ids []string) {
		for p := iot.NewListCertificatesPaginator(c, &iot.ListCertificatesInput{AscendingOrder: ascending, PageSize: aws.Int32(1)}); p.HasMorePages(); {
			for _, x := range ok[*iot.ListCertificatesOutput](t, "ListCertificates")(p.NextPage(ctx)).Certificates {
				ids = append(ids, aws.ToString(x.CertificateId))
			}
		}
		return ids
	}
	up := []string{aws.ToString(cert.CertificateId), aws.ToString(free.CertificateId)}
	if got := ids(true); !slices.Equal(got, up) {
		t.Errorf("ascending %q, want %q", got, up)
	}
	slices.Reverse(up)
	if got := ids(false); !slices.Equal(got, up) {
		t.Errorf("descending %q, want %q", got, up)
	}

	// The end of them.
	_, err = c.DeleteCertificate(ctx, &iot.DeleteCertificateInput{CertificateId: cert.CertificateId, ForceDelete: true})
	as[*types.CertificateStateException](t, "DeleteCertificate, ACTIVE", err)
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("pump")}))
	ok[*iot.AttachThingPrincipalOutput](t, "AttachThingPrincipal")(c.AttachThingPrincipal(ctx, &iot.AttachThingPrincipalInput{ThingName: aws.String("pump"), Principal: free.CertificateArn}))
	_, err = c.DeleteCertificate(ctx, &iot.DeleteCertificateInput{CertificateId: free.CertificateId, ForceDelete: true})
	as[*types.DeleteConflictException](t, "DeleteCertificate, attached to a thing", err)
	ok[*iot.DetachThingPrincipalOutput](t, "DetachThingPrincipal")(c.DetachThingPrincipal(ctx, &iot.DetachThingPrincipalInput{ThingName: aws.String("pump"), Principal: free.CertificateArn}))
	ok[*iot.CreatePolicyOutput](t, "CreatePolicy")(c.CreatePolicy(ctx, &iot.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: aws.String(aPolicy)}))
	ok[*iot.AttachPolicyOutput](t, "AttachPolicy")(c.AttachPolicy(ctx, &iot.AttachPolicyInput{PolicyName: aws.String("p"), Target: free.CertificateArn}))
	_, err = c.DeleteCertificate(ctx, &iot.DeleteCertificateInput{CertificateId: free.CertificateId})
	as[*types.DeleteConflictException](t, "DeleteCertificate with a policy", err)
	ok[*iot.DeleteCertificateOutput](t, "DeleteCertificate, force")(c.DeleteCertificate(ctx, &iot.DeleteCertificateInput{CertificateId: free.CertificateId, ForceDelete: true}))
	_, err = c.DescribeCertificate(ctx, &iot.DescribeCertificateInput{CertificateId: free.CertificateId})
	as[*types.ResourceNotFoundException](t, "DescribeCertificate", err)
	ok[*iot.DeletePolicyOutput](t, "DeletePolicy")(c.DeletePolicy(ctx, &iot.DeletePolicyInput{PolicyName: aws.String("p")}))

	_, err = c.DeleteCACertificate(ctx, &iot.DeleteCACertificateInput{CertificateId: made.CertificateId})
	as[*types.CertificateStateException](t, "DeleteCACertificate, ACTIVE", err)
	ok[*iot.UpdateCACertificateOutput](t, "UpdateCACertificate")(c.UpdateCACertificate(ctx, &iot.UpdateCACertificateInput{CertificateId: made.CertificateId, NewStatus: types.CACertificateStatusInactive, NewAutoRegistrationStatus: types.AutoRegistrationStatusDisable, RemoveAutoRegistration: true}))
	got := ok[*iot.DescribeCACertificateOutput](t, "DescribeCACertificate")(c.DescribeCACertificate(ctx, &iot.DescribeCACertificateInput{CertificateId: made.CertificateId}))
	if x := got.CertificateDescription; x.Status != types.CACertificateStatusInactive || x.AutoRegistrationStatus != types.AutoRegistrationStatusDisable || aws.ToInt32(x.CustomerVersion) != 2 || got.RegistrationConfig != nil {
		t.Errorf("DescribeCACertificate: %+v", x)
	}
	ok[*iot.DeleteCACertificateOutput](t, "DeleteCACertificate")(c.DeleteCACertificate(ctx, &iot.DeleteCACertificateInput{CertificateId: made.CertificateId}))
	_, err = c.DescribeCACertificate(ctx, &iot.DescribeCACertificateInput{CertificateId: made.CertificateId})
	as[*types.ResourceNotFoundException](t, "DescribeCACertificate", err)
	cas := ok[*iot.ListCACertificatesOutput](t, "ListCACertificates")(c.ListCACertificates(ctx, &iot.ListCACertificatesInput{})).Certificates
	if len(cas) != 1 || aws.ToString(cas[0].CertificateId) != aws.ToString(otherCA.CertificateId) {
		t.Errorf("ListCACertificates: %+v", cas)
	}
	ok[*iot.DeleteRegistrationCodeOutput](t, "DeleteRegistrationCode")(c.DeleteRegistrationCode(ctx, &iot.DeleteRegistrationCodeInput{}))
	_, err = c.DeleteRegistrationCode(ctx, &iot.DeleteRegistrationCodeInput{})
	as[*types.ResourceNotFoundException](t, "DeleteRegistrationCode, again", err)
}

func TestSDKExclusivePrincipals(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	for _, name := range []string{"a", "b"} {
		ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: &name}))
	}
	cert := ok[*iot.CreateCertificateFromCsrOutput](t, "CreateCertificateFromCsr")(c.CreateCertificateFromCsr(ctx, &iot.CreateCertificateFromCsrInput{CertificateSigningRequest: aws.String(csr(t))})).CertificateArn
	attach := func(thing string, kind types.ThingPrincipalType) error {
		_, err := c.AttachThingPrincipal(ctx, &iot.AttachThingPrincipalInput{ThingName: &thing, Principal: cert, ThingPrincipalType: kind})
		return err
	}
	if err := attach("a", ""); err != nil {
		t.Error(err)
	}
	as[*types.InvalidRequestException](t, "exclusive beside another thing", attach("b", types.ThingPrincipalTypeExclusiveThing))
	if err := attach("a", types.ThingPrincipalTypeExclusiveThing); err != nil {
		t.Error(err)
	}
	as[*types.InvalidRequestException](t, "beside an exclusive one", attach("b", types.ThingPrincipalTypeNonExclusiveThing))
	for _, of := range []types.ThingPrincipalType{"", types.ThingPrincipalTypeExclusiveThing, types.ThingPrincipalTypeNonExclusiveThing} {
		principals := ok[*iot.ListThingPrincipalsV2Output](t, "ListThingPrincipalsV2")(c.ListThingPrincipalsV2(ctx, &iot.ListThingPrincipalsV2Input{ThingName: aws.String("a"), ThingPrincipalType: of})).ThingPrincipalObjects
		things := ok[*iot.ListPrincipalThingsV2Output](t, "ListPrincipalThingsV2")(c.ListPrincipalThingsV2(ctx, &iot.ListPrincipalThingsV2Input{Principal: cert, ThingPrincipalType: of})).PrincipalThingObjects
		if of == types.ThingPrincipalTypeNonExclusiveThing {
			if len(principals) != 0 || len(things) != 0 {
				t.Errorf("not exclusive: %v, %v", principals, things)
			}
			continue
		}
		if len(principals) != 1 || principals[0].ThingPrincipalType != types.ThingPrincipalTypeExclusiveThing || aws.ToString(principals[0].Principal) != *cert ||
			len(things) != 1 || aws.ToString(things[0].ThingName) != "a" {
			t.Errorf("%q: %v, %v", of, principals, things)
		}
	}
}

func TestSDKPolicyVersions(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	name := aws.String("devices")
	ok[*iot.CreatePolicyOutput](t, "CreatePolicy")(c.CreatePolicy(ctx, &iot.CreatePolicyInput{PolicyName: name, PolicyDocument: aws.String(aPolicy), Tags: []types.Tag{{Key: aws.String("k")}}}))
	version := func(setAsDefault bool) (*iot.CreatePolicyVersionOutput, error) {
		return c.CreatePolicyVersion(ctx, &iot.CreatePolicyVersionInput{PolicyName: name, PolicyDocument: aws.String(aPolicy), SetAsDefault: setAsDefault})
	}
	for i, want := range []string{"2", "3", "4", "5"} {
		if v := ok[*iot.CreatePolicyVersionOutput](t, "CreatePolicyVersion")(version(i == 1)); aws.ToString(v.PolicyVersionId) != want || v.IsDefaultVersion != (i == 1) {
			t.Errorf("CreatePolicyVersion: %+v, want %s", v, want)
		}
	}
	_, err := version(false)
	as[*types.VersionsLimitExceededException](t, "a sixth version", err)
	_, err = c.CreatePolicyVersion(ctx, &iot.CreatePolicyVersionInput{PolicyName: name, PolicyDocument: aws.String(`{"Statement":[]}`)})
	as[*types.MalformedPolicyException](t, "CreatePolicyVersion", err)
	_, err = c.DeletePolicyVersion(ctx, &iot.DeletePolicyVersionInput{PolicyName: name, PolicyVersionId: aws.String("3")})
	as[*types.DeleteConflictException](t, "DeletePolicyVersion of the default", err)
	ok[*iot.DeletePolicyVersionOutput](t, "DeletePolicyVersion")(c.DeletePolicyVersion(ctx, &iot.DeletePolicyVersionInput{PolicyName: name, PolicyVersionId: aws.String("5")}))
	_, err = c.DeletePolicyVersion(ctx, &iot.DeletePolicyVersionInput{PolicyName: name, PolicyVersionId: aws.String("5")})
	as[*types.ResourceNotFoundException](t, "DeletePolicyVersion, again", err)
	if v := ok[*iot.CreatePolicyVersionOutput](t, "CreatePolicyVersion")(version(false)); aws.ToString(v.PolicyVersionId) != "6" {
		t.Errorf("a number is used again: %+v", v)
	}
	ok[*iot.SetDefaultPolicyVersionOutput](t, "SetDefaultPolicyVersion")(c.SetDefaultPolicyVersion(ctx, &iot.SetDefaultPolicyVersionInput{PolicyName: name, PolicyVersionId: aws.String("6")}))
	_, err = c.SetDefaultPolicyVersion(ctx, &iot.SetDefaultPolicyVersionInput{PolicyName: name, PolicyVersionId: aws.String("5")})
	as[*types.ResourceNotFoundException](t, "SetDefaultPolicyVersion", err)
	var ids []string
	for _, v := range ok[*iot.ListPolicyVersionsOutput](t, "ListPolicyVersions")(c.ListPolicyVersions(ctx, &iot.ListPolicyVersionsInput{PolicyName: name})).PolicyVersions {
		ids = append(ids, aws.ToString(v.VersionId))
		if v.IsDefaultVersion != (aws.ToString(v.VersionId) == "6") || v.CreateDate == nil {
			t.Errorf("version %+v", v)
		}
	}
	if !slices.Equal(ids, []string{"6", "4", "3", "2", "1"}) {
		t.Errorf("ListPolicyVersions: %q", ids)
	}
	if v := ok[*iot.GetPolicyVersionOutput](t, "GetPolicyVersion")(c.GetPolicyVersion(ctx, &iot.GetPolicyVersionInput{PolicyName: name, PolicyVersionId: aws.String("2")})); v.IsDefaultVersion || aws.ToString(v.PolicyDocument) != aPolicy {
		t.Errorf("GetPolicyVersion: %+v", v)
	}
	_, err = c.DeletePolicy(ctx, &iot.DeletePolicyInput{PolicyName: name})
	as[*types.DeleteConflictException](t, "DeletePolicy with versions", err)
	for _, id := range []string{"1", "2", "3", "4"} {
		ok[*iot.DeletePolicyVersionOutput](t, "DeletePolicyVersion")(c.DeletePolicyVersion(ctx, &iot.DeletePolicyVersionInput{PolicyName: name, PolicyVersionId: &id}))
	}
	ok[*iot.DeletePolicyOutput](t, "DeletePolicy")(c.DeletePolicy(ctx, &iot.DeletePolicyInput{PolicyName: name}))
	_, err = c.GetPolicy(ctx, &iot.GetPolicyInput{PolicyName: name})
	as[*types.ResourceNotFoundException](t, "GetPolicy", err)
}

func TestSDKPolicyTargets(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	document := func(action, effect string) *string {
		return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":"` + action + `","Resource":"arn:aws:iot:eu-west-1:111122223333:*/${iot:Connection.Thing.ThingName}*"}]}`)
	}
	for name, doc := range map[string]*string{"connect": document("iot:Connect", "Allow"), "publish": document("iot:Publish", "Allow"), "never": document("iot:Publish", "Deny"), "spare": document("iot:*", "Allow")} {
		ok[*iot.CreatePolicyOutput](t, "CreatePolicy")(c.CreatePolicy(ctx, &iot.CreatePolicyInput{PolicyName: &name, PolicyDocument: doc}))
	}
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("plant")}))
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("north"), ParentGroupName: aws.String("plant")}))
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("pump")}))
	ok[*iot.AddThingToThingGroupOutput](t, "AddThingToThingGroup")(c.AddThingToThingGroup(ctx, &iot.AddThingToThingGroupInput{ThingName: aws.String("pump"), ThingGroupName: aws.String("north")}))
	cert := ok[*iot.CreateCertificateFromCsrOutput](t, "CreateCertificateFromCsr")(c.CreateCertificateFromCsr(ctx, &iot.CreateCertificateFromCsrInput{CertificateSigningRequest: aws.String(csr(t))})).CertificateArn
	ok[*iot.AttachThingPrincipalOutput](t, "AttachThingPrincipal")(c.AttachThingPrincipal(ctx, &iot.AttachThingPrincipalInput{ThingName: aws.String("pump"), Principal: cert}))
	plant, north := aws.String(account.ARN("thinggroup", "plant")), aws.String(account.ARN("thinggroup", "north"))
	attach := func(policy string, target *string) error {
		_, err := c.AttachPolicy(ctx, &iot.AttachPolicyInput{PolicyName: &policy, Target: target})
		return err
	}
	for _, a := range []struct {
		policy string
		target *string
	}{{"connect", cert}, {"publish", plant}, {"connect", north}, {"spare", north}, {"spare", north}} {
		if err := attach(a.policy, a.target); err != nil {
			t.Errorf("AttachPolicy %s: %v", a.policy, err)
		}
	}
	as[*types.LimitExceededException](t, "a third policy on a group", attach("never", north))
	as[*types.InvalidRequestException](t, "a policy on a thing", attach("never", aws.String(account.ARN("thing", "pump"))))

	attached := func(target *string, recursive bool) (names []string) {
		for p := iot.NewListAttachedPoliciesPaginator(c, &iot.ListAttachedPoliciesInput{Target: target, Recursive: recursive, PageSize: aws.Int32(1)}); p.HasMorePages(); {
			for _, x := range ok[*iot.ListAttachedPoliciesOutput](t, "ListAttachedPolicies")(p.NextPage(ctx)).Policies {
				names = append(names, aws.ToString(x.PolicyName))
			}
		}
		return names
	}
	if a, b := attached(north, false), attached(north, true); !slices.Equal(a, []string{"connect", "spare"}) || !slices.Equal(b, []string{"connect", "publish", "spare"}) {
		t.Errorf("ListAttachedPolicies: %q, recursive %q", a, b)
	}
	targets := ok[*iot.ListTargetsForPolicyOutput](t, "ListTargetsForPolicy")(c.ListTargetsForPolicy(ctx, &iot.ListTargetsForPolicyInput{PolicyName: aws.String("connect")})).Targets
	if !slices.Equal(targets, []string{*cert, *north}) {
		t.Errorf("ListTargetsForPolicy: %q", targets)
	}
	//lint:ignore SA1019 deprecated forms are still in use
	principals := ok[*iot.ListPolicyPrincipalsOutput](t, "ListPolicyPrincipals")(c.ListPolicyPrincipals(ctx, &iot.ListPolicyPrincipalsInput{PolicyName: aws.String("connect")})).Principals
	//lint:ignore SA1019 deprecated forms are still in use
	policies := ok[*iot.ListPrincipalPoliciesOutput](t, "ListPrincipalPolicies")(c.ListPrincipalPolicies(ctx, &iot.ListPrincipalPoliciesInput{Principal: cert})).Policies
	if !slices.Equal(principals, []string{*cert}) || len(policies) != 1 || aws.ToString(policies[0].PolicyName) != "connect" {
		t.Errorf("ListPolicyPrincipals: %q, ListPrincipalPolicies: %v", principals, policies)
	}
	var effective []string
	for _, p := range ok[*iot.GetEffectivePoliciesOutput](t, "GetEffectivePolicies")(c.GetEffectivePolicies(ctx, &iot.GetEffectivePoliciesInput{Principal: cert, ThingName: aws.String("pump")})).EffectivePolicies {
		effective = append(effective, aws.ToString(p.PolicyName))
	}
	if !slices.Equal(effective, []string{"connect", "publish", "spare"}) {
		t.Errorf("GetEffectivePolicies: %q", effective)
	}
	_, err := c.GetEffectivePolicies(ctx, &iot.GetEffectivePoliciesInput{})
	as[*types.InvalidRequestException](t, "GetEffectivePolicies of nobody", err)

	test := func(in *iot.TestAuthorizationInput) []types.AuthResult {
		in.AuthInfos = []types.AuthInfo{
			{ActionType: types.ActionTypeConnect, Resources: []string{account.ARN("client", "pump")}},
			{ActionType: types.ActionTypePublish, Resources: []string{account.ARN("topic", "pump/state"), account.ARN("topic", "pump/more")}},
			{ActionType: types.ActionTypeSubscribe, Resources: []string{account.ARN("topicfilter", "other/#")}},
		}
		in.Principal = cert
		return ok[*iot.TestAuthorizationOutput](t, "TestAuthorization")(c.TestAuthorization(ctx, in)).AuthResults
	}
	decisions := func(in *iot.TestAuthorizationInput) (d []types.AuthDecision) {
		for _, r := range test(in) {
			d = append(d, r.AuthDecision)
		}
		return d
	}
	const allowed, implicit, explicit = types.AuthDecisionAllowed, types.AuthDecisionImplicitDeny, types.AuthDecisionExplicitDeny
	for what, tc := range map[string]struct {
		in   *iot.TestAuthorizationInput
		want []types.AuthDecision
	}{
		"as the thing":          {&iot.TestAuthorizationInput{ClientId: aws.String("pump")}, []types.AuthDecision{allowed, allowed, implicit}},
		"as another client":     {&iot.TestAuthorizationInput{ClientId: aws.String("else")}, []types.AuthDecision{implicit, implicit, implicit}},
		"with a deny":           {&iot.TestAuthorizationInput{ClientId: aws.String("pump"), PolicyNamesToAdd: []string{"never"}}, []types.AuthDecision{allowed, explicit, implicit}},
		"without some policies": {&iot.TestAuthorizationInput{ClientId: aws.String("pump"), PolicyNamesToSkip: []string{"spare", "publish"}}, []types.AuthDecision{allowed, implicit, implicit}},
	} {
		if got := decisions(tc.in); !slices.Equal(got, tc.want) {
			t.Errorf("TestAuthorization %s: %q, want %q", what, got, tc.want)
		}
	}
	if r := test(&iot.TestAuthorizationInput{ClientId: aws.String("pump"), PolicyNamesToAdd: []string{"never"}})[1]; len(r.Allowed.Policies) != 2 || len(r.Denied.ExplicitDeny.Policies) != 1 || aws.ToString(r.Denied.ExplicitDeny.Policies[0].PolicyName) != "never" {
		t.Errorf("TestAuthorization: %+v", r)
	}

	for range 2 { // again does nothing
		ok[*iot.DetachPolicyOutput](t, "DetachPolicy")(c.DetachPolicy(ctx, &iot.DetachPolicyInput{PolicyName: aws.String("connect"), Target: cert}))
	}
	_, err = c.DetachPolicy(ctx, &iot.DetachPolicyInput{PolicyName: aws.String("nothing"), Target: cert})
	as[*types.InvalidRequestException](t, "DetachPolicy of nothing", err)
	//lint:ignore SA1019 deprecated forms are still in use
	ok[*iot.AttachPrincipalPolicyOutput](t, "AttachPrincipalPolicy")(c.AttachPrincipalPolicy(ctx, &iot.AttachPrincipalPolicyInput{PolicyName: aws.String("never"), Principal: cert}))
	//lint:ignore SA1019 deprecated forms are still in use
	ok[*iot.DetachPrincipalPolicyOutput](t, "DetachPrincipalPolicy")(c.DetachPrincipalPolicy(ctx, &iot.DetachPrincipalPolicyInput{PolicyName: aws.String("never"), Principal: cert}))
	if got := attached(cert, false); len(got) != 0 {
		t.Errorf("after detaching: %q", got)
	}
	for _, name := range []string{"publish", "never"} {
		if err := attach(name, cert); err != nil {
			t.Error(err)
		}
	}
	for _, ascending := range []bool{true, false} { // by name in any case
		var names []string
		//lint:ignore SA1019 deprecated forms are still in use
		for _, p := range ok[*iot.ListPrincipalPoliciesOutput](t, "ListPrincipalPolicies")(c.ListPrincipalPolicies(ctx, &iot.ListPrincipalPoliciesInput{Principal: cert, AscendingOrder: ascending})).Policies {
			names = append(names, aws.ToString(p.PolicyName))
		}
		if !slices.Equal(names, []string{"never", "publish"}) {
			t.Errorf("ListPrincipalPolicies: %q", names)
		}
	}
	identity := aws.String("eu-west-1:0b6f0d1a-93b0-4c8c-9d9b-9d1a2b5a7e10")
	ok[*iot.AttachThingPrincipalOutput](t, "AttachThingPrincipal")(c.AttachThingPrincipal(ctx, &iot.AttachThingPrincipalInput{ThingName: aws.String("pump"), Principal: identity}))
	if err := attach("never", identity); err != nil {
		t.Error(err)
	}
	if got := attached(identity, false); !slices.Equal(got, []string{"never"}) {
		t.Errorf("of a Cognito identity: %q", got)
	}
	// A group that goes takes its attachments along.
	ok[*iot.DeleteThingGroupOutput](t, "DeleteThingGroup")(c.DeleteThingGroup(ctx, &iot.DeleteThingGroupInput{ThingGroupName: aws.String("north")}))
	ok[*iot.DeletePolicyOutput](t, "DeletePolicy")(c.DeletePolicy(ctx, &iot.DeletePolicyInput{PolicyName: aws.String("spare")}))
}
