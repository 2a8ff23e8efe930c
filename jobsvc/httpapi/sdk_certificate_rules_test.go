package httpapi_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
)

// certificateOf makes a certificate for a key, signed by the CA.
func (ca *testCA) certificateOf(t *testing.T, key crypto.Signer) string {
	t.Helper()
	return ca.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "pump"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, key)
}

func TestSDKCertificateKeys(t *testing.T) {
	c, _, _ := newSDK(t)
	ca := newTestCA(t, "plant CA")
	ok[*iot.RegisterCACertificateOutput](t, "RegisterCACertificate")(c.RegisterCACertificate(t.Context(), &iot.RegisterCACertificateInput{CaCertificate: &ca.pem, CertificateMode: types.CertificateModeSniOnly, SetAsActive: true}))
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, key := range map[string]crypto.Signer{"RSA 1024": weak, "P-224": p224, "Ed25519": ed} {
		certificate := ca.certificateOf(t, key)
		_, err := c.RegisterCertificateWithoutCA(t.Context(), &iot.RegisterCertificateWithoutCAInput{CertificatePem: &certificate})
		as[*types.CertificateValidationException](t, "RegisterCertificateWithoutCA, "+what, err)
		_, err = c.RegisterCertificate(t.Context(), &iot.RegisterCertificateInput{CertificatePem: &certificate})
		as[*types.CertificateValidationException](t, "RegisterCertificate, "+what, err)
	}
	if list := ok[*iot.ListCertificatesOutput](t, "ListCertificates")(c.ListCertificates(t.Context(), &iot.ListCertificatesInput{})).Certificates; len(list) != 0 {
		t.Errorf("what was refused is listed: %+v", list)
	}
}

// A file with a certificate may have its private key, too. It is not kept, nor shown.
func TestSDKCertificateWithoutItsKey(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	ca := newTestCA(t, "plant CA")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	certificate := ca.certificateOf(t, key)
	made := ok[*iot.RegisterCertificateWithoutCAOutput](t, "RegisterCertificateWithoutCA")(c.RegisterCertificateWithoutCA(ctx, &iot.RegisterCertificateWithoutCAInput{CertificatePem: aws.String("subject=pump\n" + certificate + secret)}))
	if d := ok[*iot.DescribeCertificateOutput](t, "DescribeCertificate")(c.DescribeCertificate(ctx, &iot.DescribeCertificateInput{CertificateId: made.CertificateId})).CertificateDescription; aws.ToString(d.CertificatePem) != certificate {
		t.Errorf("kept: %s", aws.ToString(d.CertificatePem))
	}
	registered := ok[*iot.RegisterCACertificateOutput](t, "RegisterCACertificate")(c.RegisterCACertificate(ctx, &iot.RegisterCACertificateInput{CaCertificate: aws.String(ca.pem + secret), CertificateMode: types.CertificateModeSniOnly}))
	if d := ok[*iot.DescribeCACertificateOutput](t, "DescribeCACertificate")(c.DescribeCACertificate(ctx, &iot.DescribeCACertificateInput{CertificateId: registered.CertificateId})).CertificateDescription; aws.ToString(d.CertificatePem) != ca.pem {
		t.Errorf("kept: %s", aws.ToString(d.CertificatePem))
	}
	_, err = c.RegisterCertificateWithoutCA(ctx, &iot.RegisterCertificateWithoutCAInput{CertificatePem: &secret})
	as[*types.CertificateValidationException](t, "RegisterCertificateWithoutCA of a key", err)
}

// Two CAs with one key and name: both signed whatever either did.
func TestSDKAmbiguousCA(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	ca := newTestCA(t, "plant CA")
	renewed := *ca
	template := *ca.cert
	template.SerialNumber, template.NotAfter = big.NewInt(7), ca.cert.NotAfter.Add(time.Hour)
	renewed.pem = ca.sign(t, &template, ca.key)
	for _, text := range []string{ca.pem, renewed.pem} {
		ok[*iot.RegisterCACertificateOutput](t, "RegisterCACertificate")(c.RegisterCACertificate(ctx, &iot.RegisterCACertificateInput{CaCertificate: &text, CertificateMode: types.CertificateModeSniOnly, SetAsActive: true}))
	}
	device := ca.issue(t, "pump")
	_, err := c.RegisterCertificate(ctx, &iot.RegisterCertificateInput{CertificatePem: &device})
	as[*types.CertificateConflictException](t, "RegisterCertificate of one of two CAs", err)
	ok[*iot.RegisterCertificateOutput](t, "RegisterCertificate")(c.RegisterCertificate(ctx, &iot.RegisterCertificateInput{CertificatePem: &device, CaCertificatePem: &renewed.pem}))
}

func TestSDKListCACertificatesByTemplate(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	var want []string
	for i, template := range []string{"pumps", "", "valves", "pumps"} {
		in := &iot.RegisterCACertificateInput{CaCertificate: aws.String(newTestCA(t, "CA").pem), CertificateMode: types.CertificateModeSniOnly}
		if template != "" {
			in.RegistrationConfig = &types.RegistrationConfig{TemplateName: &template}
		}
		made := ok[*iot.RegisterCACertificateOutput](t, "RegisterCACertificate")(c.RegisterCACertificate(ctx, in))
		if i == 0 || i == 3 {
			want = append(want, aws.ToString(made.CertificateId))
		}
	}
	var got []string
	for p := iot.NewListCACertificatesPaginator(c, &iot.ListCACertificatesInput{TemplateName: aws.String("pumps"), AscendingOrder: true, PageSize: aws.Int32(1)}); p.HasMorePages(); {
		for _, x := range ok[*iot.ListCACertificatesOutput](t, "ListCACertificates")(p.NextPage(ctx)).Certificates {
			got = append(got, aws.ToString(x.CertificateId))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("of the template pumps: %q, want %q", got, want)
	}
}

func TestSDKCertificateTransfer(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	id := aws.String(strings.Repeat("a", 64))
	for operation, call := range map[string]func() error{
		"TransferCertificate": func() error {
			_, err := c.TransferCertificate(ctx, &iot.TransferCertificateInput{CertificateId: id, TargetAwsAccount: aws.String("999988887777")})
			return err
		},
		"AcceptCertificateTransfer": func() error {
			_, err := c.AcceptCertificateTransfer(ctx, &iot.AcceptCertificateTransferInput{CertificateId: id})
			return err
		},
		"RejectCertificateTransfer": func() error {
			_, err := c.RejectCertificateTransfer(ctx, &iot.RejectCertificateTransferInput{CertificateId: id})
			return err
		},
		"CancelCertificateTransfer": func() error {
			_, err := c.CancelCertificateTransfer(ctx, &iot.CancelCertificateTransferInput{CertificateId: id})
			return err
		},
		"ListOutgoingCertificates": func() error {
			_, err := c.ListOutgoingCertificates(ctx, &iot.ListOutgoingCertificatesInput{})
			return err
		},
	} {
		if e := as[*types.InvalidRequestException](t, operation, call()); e != nil && !strings.Contains(e.ErrorMessage(), "not supported") {
			t.Errorf("%s: %s", operation, e.ErrorMessage())
		}
	}
}

// TestAuthorization and GetEffectivePolicies of a group look at its ancestors, too, and say
// which variables had no value.
func TestSDKAuthorizationOfGroup(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("plant")}))
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("north"), ParentGroupName: aws.String("plant")}))
	document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Connect","Resource":["` + account.ARN("client", "${iot:Connection.Thing.ThingName}") + `","` + account.ARN("client", "pump") + `"]}}`
	ok[*iot.CreatePolicyOutput](t, "CreatePolicy")(c.CreatePolicy(ctx, &iot.CreatePolicyInput{PolicyName: aws.String("p"), PolicyDocument: &document}))
	ok[*iot.AttachPolicyOutput](t, "AttachPolicy")(c.AttachPolicy(ctx, &iot.AttachPolicyInput{PolicyName: aws.String("p"), Target: aws.String(account.ARN("thinggroup", "plant"))}))
	north := aws.String(account.ARN("thinggroup", "north"))
	effective := ok[*iot.GetEffectivePoliciesOutput](t, "GetEffectivePolicies")(c.GetEffectivePolicies(ctx, &iot.GetEffectivePoliciesInput{Principal: north})).EffectivePolicies
	if len(effective) != 1 || aws.ToString(effective[0].PolicyDocument) != document || aws.ToString(effective[0].PolicyArn) != account.ARN("policy", "p") {
		t.Errorf("GetEffectivePolicies: %+v", effective)
	}
	results := ok[*iot.TestAuthorizationOutput](t, "TestAuthorization")(c.TestAuthorization(ctx, &iot.TestAuthorizationInput{Principal: north, AuthInfos: []types.AuthInfo{
		{ActionType: types.ActionTypeConnect, Resources: []string{account.ARN("client", "pump")}},
		{ActionType: types.ActionTypePublish, Resources: []string{account.ARN("topic", "pump")}},
	}})).AuthResults
	if len(results) != 2 || results[0].AuthDecision != types.AuthDecisionAllowed || results[1].AuthDecision != types.AuthDecisionImplicitDeny {
		t.Fatalf("TestAuthorization: %+v", results)
	}
	if got := results[0].MissingContextValues; !slices.Equal(got, []string{"iot:Connection.Thing.ThingName"}) || len(results[1].MissingContextValues) != 0 {
		t.Errorf("missing: %q, %q", got, results[1].MissingContextValues)
	}
	_, err := c.TestAuthorization(ctx, &iot.TestAuthorizationInput{Principal: aws.String(account.ARN("thinggroup", "none")), AuthInfos: []types.AuthInfo{{Resources: []string{"*"}}}})
	as[*types.ResourceNotFoundException](t, "TestAuthorization of no group", err)
}
