package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// DecodePolicyName reads the requests that name a policy and nothing more.
func DecodePolicyName(in *ControlInput) string { return in.Path["policyName"] }

// DecodePolicyVersion reads the requests that name a version of a policy.
func DecodePolicyVersion(in *ControlInput) (name, version string) {
	return in.Path["policyName"], in.Path["policyVersionId"]
}

// DecodeCreatePolicy reads POST /policies/{policyName}.
func DecodeCreatePolicy(in *ControlInput) (name, document string, tags []jobsvc.Tag, err error) {
	d := &controlDecoder{in: in}
	o := d.body()
	return d.path("policyName"), o.text("policyDocument"), o.tags("tags"), d.result()
}

// DecodeCreatePolicyVersion reads POST /policies/{policyName}/version.
func DecodeCreatePolicyVersion(in *ControlInput) (name, document string, setAsDefault bool, err error) {
	d := &controlDecoder{in: in}
	return d.path("policyName"), d.body().text("policyDocument"), isTrue(d.queryBool("setAsDefault")), d.result()
}

// DecodePolicyTarget reads PUT and POST /target-policies/{policyName}.
func DecodePolicyTarget(in *ControlInput) (name, target string, err error) {
	d := &controlDecoder{in: in}
	return d.path("policyName"), d.body().text("target"), d.result()
}

// DecodePrincipalPolicy reads PUT and DELETE /principal-policies/{policyName}, the
// deprecated forms with the principal in a header.
func DecodePrincipalPolicy(in *ControlInput) (name, principal string) {
	d := &controlDecoder{in: in}
	return d.path("policyName"), d.header("x-amzn-iot-principal")
}

// DecodeListPrincipalPolicies reads GET /principal-policies.
func DecodeListPrincipalPolicies(in *ControlInput) (principal string, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	d.queryBool("isAscendingOrder")
	return d.header("x-amzn-iot-principal"), d.page("pageSize", "marker"), d.result()
}

// DecodeListPolicyPrincipals reads GET /policy-principals.
func DecodeListPolicyPrincipals(in *ControlInput) (name string, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	d.queryBool("isAscendingOrder")
	return d.header("x-amzn-iot-policy"), d.page("pageSize", "marker"), d.result()
}

// DecodeListAttachedPolicies reads POST /attached-policies/{target}. recursive adds the
// policies of a group's ancestors.
func DecodeListAttachedPolicies(in *ControlInput) (target string, recursive bool, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	return d.path("target"), isTrue(d.queryBool("recursive")), d.page("pageSize", "marker"), d.result()
}

// DecodeListTargetsForPolicy reads POST /policy-targets/{policyName}.
func DecodeListTargetsForPolicy(in *ControlInput) (name string, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	return d.path("policyName"), d.page("pageSize", "marker"), d.result()
}

// DecodeGetEffectivePolicies reads POST /effective-policies.
func DecodeGetEffectivePolicies(in *ControlInput) (principal, thing string, err error) {
	d := &controlDecoder{in: in}
	return d.body().text("principal"), d.queryText("thingName"), d.result()
}

// DecodeTestAuthorization reads POST /test-authorization.
func DecodeTestAuthorization(in *ControlInput) (*jobsvc.TestAuthorizationRequest, error) {
	d := &controlDecoder{in: in}
	o := d.body()
	r := &jobsvc.TestAuthorizationRequest{
		Principal: o.text("principal"),
		ClientID:  d.queryText("clientId"),
		Add:       o.strings("policyNamesToAdd"),
		Skip:      o.strings("policyNamesToSkip"),
	}
	for _, info := range o.objects("authInfos") {
		r.Infos = append(r.Infos, jobsvc.AuthInfo{ActionType: info.text("actionType"), Resources: info.strings("resources")})
	}
	return r, d.result()
}

// EncodeCreatePolicy answers CreatePolicy.
func EncodeCreatePolicy(a jobsvc.Account, d *jobsvc.PolicyDescription) []byte {
	return encode(struct {
		PolicyName      string `json:"policyName"`
		PolicyARN       string `json:"policyArn"`
		PolicyDocument  string `json:"policyDocument"`
		PolicyVersionID string `json:"policyVersionId"`
	}{d.Name, a.ARN(jobsvc.ARNPolicy, d.Name), d.Version.Document, d.Version.ID()})
}

// EncodeGetPolicy answers GetPolicy.
func EncodeGetPolicy(a jobsvc.Account, d *jobsvc.PolicyDescription) []byte {
	return encode(struct {
		PolicyName       string      `json:"policyName"`
		PolicyARN        string      `json:"policyArn"`
		PolicyDocument   string      `json:"policyDocument"`
		DefaultVersionID string      `json:"defaultVersionId"`
		CreationDate     controlTime `json:"creationDate"`
		LastModifiedDate controlTime `json:"lastModifiedDate"`
		GenerationID     string      `json:"generationId"`
	}{d.Name, a.ARN(jobsvc.ARNPolicy, d.Name), d.Version.Document, d.Version.ID(), controlTime(d.CreatedAt), controlTime(d.UpdatedAt), d.GenerationID})
}

// EncodeCreatePolicyVersion answers CreatePolicyVersion.
func EncodeCreatePolicyVersion(a jobsvc.Account, d *jobsvc.PolicyDescription) []byte {
	return encode(struct {
		PolicyARN        string `json:"policyArn"`
		PolicyDocument   string `json:"policyDocument"`
		PolicyVersionID  string `json:"policyVersionId"`
		IsDefaultVersion bool   `json:"isDefaultVersion"`
	}{a.ARN(jobsvc.ARNPolicy, d.Name), d.Version.Document, d.Version.ID(), d.IsDefault()})
}

// EncodeGetPolicyVersion answers GetPolicyVersion.
func EncodeGetPolicyVersion(a jobsvc.Account, d *jobsvc.PolicyDescription) []byte {
	return encode(struct {
		PolicyARN        string      `json:"policyArn"`
		PolicyName       string      `json:"policyName"`
		PolicyDocument   string      `json:"policyDocument"`
		PolicyVersionID  string      `json:"policyVersionId"`
		IsDefaultVersion bool        `json:"isDefaultVersion"`
		CreationDate     controlTime `json:"creationDate"`
		LastModifiedDate controlTime `json:"lastModifiedDate"`
		GenerationID     string      `json:"generationId"`
	}{a.ARN(jobsvc.ARNPolicy, d.Name), d.Name, d.Version.Document, d.Version.ID(), d.IsDefault(),
		controlTime(d.Version.CreatedAt), controlTime(d.Version.CreatedAt), d.GenerationID})
}

type policyVersion struct {
	VersionID        string      `json:"versionId"`
	IsDefaultVersion bool        `json:"isDefaultVersion"`
	CreateDate       controlTime `json:"createDate"`
}

// EncodeListPolicyVersions answers ListPolicyVersions.
func EncodeListPolicyVersions(r *jobsvc.ListPolicyVersionsResult) []byte {
	list := make([]policyVersion, 0, len(r.Versions))
	for i := range r.Versions {
		v := &r.Versions[i]
		list = append(list, policyVersion{v.ID(), v.Number == r.Policy.DefaultVersion, controlTime(v.CreatedAt)})
	}
	return encode(struct {
		PolicyVersions []policyVersion `json:"policyVersions"`
	}{list})
}

type policyElement struct {
	PolicyName string `json:"policyName"`
	PolicyARN  string `json:"policyArn"`
}

func policyElements(a jobsvc.Account, names []string) []policyElement {
	list := make([]policyElement, 0, len(names))
	for _, n := range names {
		list = append(list, policyElement{n, a.ARN(jobsvc.ARNPolicy, n)})
	}
	return list
}

// EncodePolicies answers ListPolicies, ListAttachedPolicies and ListPrincipalPolicies.
func EncodePolicies(a jobsvc.Account, r *jobsvc.ListPoliciesResult) []byte {
	names := make([]string, len(r.Policies))
	for i := range r.Policies {
		names[i] = r.Policies[i].Name
	}
	return encode(struct {
		Policies   []policyElement `json:"policies"`
		NextMarker string          `json:"nextMarker,omitempty"`
	}{policyElements(a, names), r.NextMarker})
}

// EncodeTargets answers ListTargetsForPolicy.
func EncodeTargets(r *jobsvc.NamesResult) []byte {
	return encode(struct {
		Targets    []string `json:"targets"`
		NextMarker string   `json:"nextMarker,omitempty"`
	}{orEmpty(r.Names), r.NextToken})
}

// EncodePolicyPrincipals answers ListPolicyPrincipals.
func EncodePolicyPrincipals(r *jobsvc.NamesResult) []byte {
	return encode(struct {
		Principals []string `json:"principals"`
		NextMarker string   `json:"nextMarker,omitempty"`
	}{orEmpty(r.Names), r.NextToken})
}

type effectivePolicy struct {
	policyElement
	PolicyDocument string `json:"policyDocument"`
}

// EncodeEffectivePolicies answers GetEffectivePolicies.
func EncodeEffectivePolicies(a jobsvc.Account, policies []jobsvc.PolicyDescription) []byte {
	list := make([]effectivePolicy, 0, len(policies))
	for i := range policies {
		d := &policies[i]
		list = append(list, effectivePolicy{policyElement{d.Name, a.ARN(jobsvc.ARNPolicy, d.Name)}, d.Version.Document})
	}
	return encode(struct {
		EffectivePolicies []effectivePolicy `json:"effectivePolicies"`
	}{list})
}

type (
	authInfo struct {
		ActionType string   `json:"actionType,omitempty"`
		Resources  []string `json:"resources"`
	}
	authPolicies struct {
		Policies []policyElement `json:"policies"`
	}
	authDenied struct {
		ImplicitDeny *authPolicies `json:"implicitDeny,omitempty"`
		ExplicitDeny *authPolicies `json:"explicitDeny,omitempty"`
	}
	authResult struct {
		AuthInfo             authInfo     `json:"authInfo"`
		Allowed              authPolicies `json:"allowed"`
		Denied               authDenied   `json:"denied"`
		AuthDecision         string       `json:"authDecision"`
		MissingContextValues []string     `json:"missingContextValues"`
	}
)

// EncodeTestAuthorization answers TestAuthorization.
func EncodeTestAuthorization(a jobsvc.Account, results []jobsvc.AuthResult) []byte {
	list := make([]authResult, 0, len(results))
	for i := range results {
		r := &results[i]
		out := authResult{
			AuthInfo:             authInfo{r.ActionType, orEmpty(r.Resources)},
			Allowed:              authPolicies{policyElements(a, r.Allow)},
			AuthDecision:         r.Decision,
			MissingContextValues: orEmpty(r.Missing),
		}
		if len(r.Deny) > 0 {
			out.Denied.ExplicitDeny = &authPolicies{policyElements(a, r.Deny)}
		} else if r.Decision != "ALLOWED" {
			out.Denied.ImplicitDeny = &authPolicies{[]policyElement{}}
		}
		list = append(list, out)
	}
	return encode(struct {
		AuthResults []authResult `json:"authResults"`
	}{list})
}
