package wire

import "github.com/thingjobs/thingjobs/jobsvc"

// DecodePolicyName reads the requests that name a policy and nothing more.
func DecodePolicyName(in *ControlInput) string { return in.Path["policyName"] }

// DecodeCreatePolicy reads POST /policies/{policyName}.
func DecodeCreatePolicy(in *ControlInput) (name, document string, err error) {
	d := &controlDecoder{in: in}
	o := d.body()
	document = d.required("policyDocument", o.string("policyDocument"))
	d.refuse(o.unsupported(map[string]kind{"tags": aList})...)
	return d.path("policyName"), document, d.result()
}

// DecodeListPolicies reads GET /policies. isAscendingOrder true is refused rather
// than ignored.
func DecodeListPolicies(in *ControlInput) (jobsvc.Page, error) { return DecodeListCertificates(in) }

// DecodeAttachPolicy reads PUT /target-policies/{policyName}.
func DecodeAttachPolicy(in *ControlInput) (name, target string, err error) {
	d := &controlDecoder{in: in}
	target = d.required("target", d.body().string("target"))
	return d.path("policyName"), target, d.result()
}

// DecodeListAttachedPolicies reads POST /attached-policies/{target}. recursive
// adds the policies of a group's ancestors, so it changes nothing for a
// certificate; for a group it is refused rather than ignored.
func DecodeListAttachedPolicies(in *ControlInput, a jobsvc.Account) (target string, p jobsvc.Page, err error) {
	d := &controlDecoder{in: in}
	target = d.path("target")
	if k, _, _ := a.Parse(target); isTrue(d.queryBool("recursive")) && k == jobsvc.ARNThingGroup {
		d.refuse("recursive")
	}
	p = d.page("pageSize", "marker")
	return target, p, d.result()
}

// EncodeCreatePolicy answers CreatePolicy.
func EncodeCreatePolicy(a jobsvc.Account, p *jobsvc.Policy) []byte {
	return encode(struct {
		PolicyName      string `json:"policyName"`
		PolicyARN       string `json:"policyArn"`
		PolicyDocument  string `json:"policyDocument"`
		PolicyVersionID string `json:"policyVersionId"`
	}{p.Name, a.ARN(jobsvc.ARNPolicy, p.Name), p.Document, p.VersionID})
}

// EncodeGetPolicy answers GetPolicy.
func EncodeGetPolicy(a jobsvc.Account, p *jobsvc.Policy) []byte {
	return encode(struct {
		PolicyName       string      `json:"policyName"`
		PolicyARN        string      `json:"policyArn"`
		PolicyDocument   string      `json:"policyDocument"`
		DefaultVersionID string      `json:"defaultVersionId"`
		CreationDate     controlTime `json:"creationDate"`
		LastModifiedDate controlTime `json:"lastModifiedDate"`
		GenerationID     string      `json:"generationId"`
	}{p.Name, a.ARN(jobsvc.ARNPolicy, p.Name), p.Document, p.VersionID, controlTime(p.CreatedAt), controlTime(p.UpdatedAt), p.GenerationID})
}

type policyElement struct {
	PolicyName string `json:"policyName"`
	PolicyARN  string `json:"policyArn"`
}

// EncodePolicies answers ListPolicies and ListAttachedPolicies.
func EncodePolicies(a jobsvc.Account, r *jobsvc.ListPoliciesResult) []byte {
	list := make([]policyElement, 0, len(r.Policies))
	for i := range r.Policies {
		list = append(list, policyElement{r.Policies[i].Name, a.ARN(jobsvc.ARNPolicy, r.Policies[i].Name)})
	}
	return encode(struct {
		Policies   []policyElement `json:"policies"`
		NextMarker string          `json:"nextMarker,omitempty"`
	}{list, r.NextMarker})
}
