package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/httpapi"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// world is a server over memory whose requests need no signature.
type world struct {
	t       *testing.T
	model   *serviceModel
	db      *memkv.DB
	engine  *engine.Engine
	handler http.Handler
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, model: readModel(t), db: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}
	st, err := store.Open(t.Context(), w.db)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := auth.NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.engine = engine.New(st, engine.Options{Account: account, Issuer: ca})
	o := options()
	o.Engine, o.NoSignatures = w.engine, true
	w.handler = httpapi.New(o)
	return w
}

// digest is a hash of all that is stored.
func (w *world) digest(t *testing.T) [32]byte {
	t.Helper()
	var b bytes.Buffer
	if err := w.db.Export(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	d, err := kv.NewDumpReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for {
		e, err := d.Read()
		if err == io.EOF {
			return [32]byte(h.Sum(nil))
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%q %q %d\n", e.Key, e.Value, e.Counter)
	}
}

// do sends a request that must succeed and gives the answer's members.
func (w *world) do(operation string, members modelRequest) map[string]any {
	w.t.Helper()
	got := w.model.send(w.t, w.handler, operation, members)
	if got.Code != http.StatusOK {
		w.t.Fatalf("%s: %d %s", operation, got.Code, got.Body)
	}
	answer := map[string]any{}
	if got.Body.Len() > 0 {
		if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil {
			w.t.Fatalf("%s: %v", operation, err)
		}
	}
	return answer
}

func (w *world) thing() string { w.do("CreateThing", modelRequest{"thingName": "t"}); return "t" }
func (w *world) group() string {
	w.do("CreateThingGroup", modelRequest{"thingGroupName": "g"})
	return "g"
}

const aPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}`

func (w *world) policy() string {
	w.do("CreatePolicy", modelRequest{"policyName": "p", "policyDocument": aPolicy})
	return "p"
}

func (w *world) thingType() string {
	w.do("CreateThingType", modelRequest{"thingTypeName": "y"})
	return "y"
}

func (w *world) template() string {
	w.do("CreateJobTemplate", modelRequest{"jobTemplateId": "m", "description": "d", "document": "{}"})
	return "m"
}

// job is on the thing "t", which has not answered yet.
func (w *world) job() string {
	w.do("CreateJob", modelRequest{"jobId": "j", "targets": []any{account.ARN("thing", w.thing())}, "document": "{}"})
	w.settle()
	return "j"
}

func (w *world) settle() {
	w.t.Helper()
	for {
		timers, err := w.engine.Timers(w.t.Context(), 10)
		if err != nil {
			w.t.Fatal(err)
		}
		now, fired := time.Now(), false
		for _, timer := range timers {
			if !timer.Due.After(now) {
				fired = true
				if err := w.engine.Fire(w.t.Context(), timer, now); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		if !fired {
			return
		}
	}
}

func (w *world) certificate(query modelRequest) (id, arn string) {
	if query == nil {
		query = modelRequest{}
	}
	query["certificateSigningRequest"] = csr(w.t)
	a := w.do("CreateCertificateFromCsr", query)
	return a["certificateId"].(string), a["certificateArn"].(string)
}

// ca registers a CA and gives its ID.
func (w *world) ca() string {
	return w.do("RegisterCACertificate", modelRequest{"caCertificate": newTestCA(w.t, "a CA").pem, "certificateMode": "SNI_ONLY"})["certificateId"].(string)
}

func (w *world) principal() string { _, arn := w.certificate(nil); return arn }

func with(members modelRequest) func(*world) modelRequest {
	return func(*world) modelRequest { return members }
}

// minimal makes for each operation the smallest request that succeeds, in a world in
// which it does.
var minimal = map[string]func(*world) modelRequest{
	"AssociateTargetsWithJob": func(w *world) modelRequest {
		w.do("CreateJob", modelRequest{"jobId": "j", "targets": []any{account.ARN("thing", w.thing())}, "document": "{}", "targetSelection": "CONTINUOUS"})
		return modelRequest{"jobId": "j", "targets": []any{account.ARN("thinggroup", w.group())}}
	},
	"CancelJob": func(w *world) modelRequest { return modelRequest{"jobId": w.job()} },
	"CancelJobExecution": func(w *world) modelRequest {
		return modelRequest{"jobId": w.job(), "thingName": "t"}
	},
	"CreateJob": func(w *world) modelRequest {
		return modelRequest{"jobId": "j", "targets": []any{account.ARN("thing", w.thing())}, "document": "{}"}
	},
	"DeleteJob": func(w *world) modelRequest { return modelRequest{"jobId": w.job(), "force": true} },
	"DeleteJobExecution": func(w *world) modelRequest {
		return modelRequest{"jobId": w.job(), "thingName": "t", "executionNumber": 1}
	},
	"DescribeJob": func(w *world) modelRequest { return modelRequest{"jobId": w.job()} },
	"DescribeJobExecution": func(w *world) modelRequest {
		return modelRequest{"jobId": w.job(), "thingName": "t"}
	},
	"GetJobDocument":            func(w *world) modelRequest { return modelRequest{"jobId": w.job()} },
	"ListJobExecutionsForJob":   func(w *world) modelRequest { return modelRequest{"jobId": w.job()} },
	"ListJobExecutionsForThing": func(w *world) modelRequest { return modelRequest{"thingName": w.thing()} },
	"ListJobs":                  with(nil),
	"UpdateJob":                 func(w *world) modelRequest { return modelRequest{"jobId": w.job()} },

	"CreateJobTemplate":          with(modelRequest{"jobTemplateId": "m", "description": "d", "document": "{}"}),
	"DeleteJobTemplate":          func(w *world) modelRequest { return modelRequest{"jobTemplateId": w.template()} },
	"DescribeJobTemplate":        func(w *world) modelRequest { return modelRequest{"jobTemplateId": w.template()} },
	"ListJobTemplates":           with(nil),
	"DescribeManagedJobTemplate": with(modelRequest{"templateName": "AWS-Reboot"}),
	"ListManagedJobTemplates":    with(nil),

	"DescribeEndpoint":            with(nil),
	"DescribeEventConfigurations": with(nil),
	"UpdateEventConfigurations":   with(nil),
	"ListTagsForResource":         func(w *world) modelRequest { return modelRequest{"resourceArn": account.ARN("thinggroup", w.group())} },
	"TagResource": func(w *world) modelRequest {
		return modelRequest{"resourceArn": account.ARN("thinggroup", w.group()), "tags": []any{map[string]any{"Key": "k", "Value": "v"}}}
	},
	"UntagResource": func(w *world) modelRequest {
		return modelRequest{"resourceArn": account.ARN("thinggroup", w.group()), "tagKeys": []any{"k"}}
	},

	"CreateThing":   with(modelRequest{"thingName": "t"}),
	"DeleteThing":   with(modelRequest{"thingName": "t"}),
	"DescribeThing": func(w *world) modelRequest { return modelRequest{"thingName": w.thing()} },
	"ListThings":    with(nil),
	"UpdateThing":   func(w *world) modelRequest { return modelRequest{"thingName": w.thing()} },

	"CreateThingType": with(modelRequest{"thingTypeName": "y"}),
	"DeleteThingType": func(w *world) modelRequest {
		w.do("DeprecateThingType", modelRequest{"thingTypeName": w.thingType()})
		return modelRequest{"thingTypeName": "y"}
	},
	"DeprecateThingType": func(w *world) modelRequest { return modelRequest{"thingTypeName": w.thingType()} },
	"DescribeThingType":  func(w *world) modelRequest { return modelRequest{"thingTypeName": w.thingType()} },
	"ListThingTypes":     with(nil),

	"AddThingToThingGroup": func(w *world) modelRequest {
		return modelRequest{"thingName": w.thing(), "thingGroupName": w.group()}
	},
	"CreateThingGroup":        with(modelRequest{"thingGroupName": "g"}),
	"DeleteThingGroup":        with(modelRequest{"thingGroupName": "g"}),
	"DescribeThingGroup":      func(w *world) modelRequest { return modelRequest{"thingGroupName": w.group()} },
	"ListThingGroups":         with(nil),
	"ListThingGroupsForThing": func(w *world) modelRequest { return modelRequest{"thingName": w.thing()} },
	"ListThingsInThingGroup":  func(w *world) modelRequest { return modelRequest{"thingGroupName": w.group()} },
	"RemoveThingFromThingGroup": func(w *world) modelRequest {
		return modelRequest{"thingName": w.thing(), "thingGroupName": w.group()}
	},
	"UpdateThingGroup": func(w *world) modelRequest {
		return modelRequest{"thingGroupName": w.group(), "thingGroupProperties": map[string]any{}}
	},
	"UpdateThingGroupsForThing": func(w *world) modelRequest {
		return modelRequest{"thingName": w.thing(), "thingGroupsToAdd": []any{w.group()}}
	},
	"CreateDynamicThingGroup": with(modelRequest{"thingGroupName": "d", "queryString": "attributes.site:north"}),
	"DeleteDynamicThingGroup": with(modelRequest{"thingGroupName": "d"}),
	"UpdateDynamicThingGroup": func(w *world) modelRequest {
		w.do("CreateDynamicThingGroup", modelRequest{"thingGroupName": "d", "queryString": "attributes.site:north"})
		return modelRequest{"thingGroupName": "d", "thingGroupProperties": map[string]any{}}
	},
	"SearchIndex": with(modelRequest{"queryString": "thingName:a*"}),

	"CreateKeysAndCertificate": with(nil),
	"CreateCertificateFromCsr": func(w *world) modelRequest { return modelRequest{"certificateSigningRequest": csr(w.t)} },
	"DeleteCertificate":        func(w *world) modelRequest { id, _ := w.certificate(nil); return modelRequest{"certificateId": id} },
	"DescribeCertificate":      func(w *world) modelRequest { id, _ := w.certificate(nil); return modelRequest{"certificateId": id} },
	"ListCertificates":         with(nil),
	"UpdateCertificate": func(w *world) modelRequest {
		id, _ := w.certificate(nil)
		return modelRequest{"certificateId": id, "newStatus": "ACTIVE"}
	},
	"RegisterCertificate": func(w *world) modelRequest {
		ca := newTestCA(w.t, "a CA")
		w.do("RegisterCACertificate", modelRequest{"caCertificate": ca.pem, "certificateMode": "SNI_ONLY", "setAsActive": true})
		return modelRequest{"certificatePem": ca.issue(w.t, "a device")}
	},
	"RegisterCertificateWithoutCA": func(w *world) modelRequest {
		return modelRequest{"certificatePem": newTestCA(w.t, "anybody").issue(w.t, "a device")}
	},
	"RegisterCACertificate": func(w *world) modelRequest {
		ca := newTestCA(w.t, "a CA")
		code := w.do("GetRegistrationCode", nil)["registrationCode"].(string)
		return modelRequest{"caCertificate": ca.pem, "verificationCertificate": ca.issue(w.t, code)}
	},
	"DescribeCACertificate": func(w *world) modelRequest { return modelRequest{"certificateId": w.ca()} },
	"UpdateCACertificate":   func(w *world) modelRequest { return modelRequest{"certificateId": w.ca(), "newStatus": "ACTIVE"} },
	"DeleteCACertificate":   func(w *world) modelRequest { return modelRequest{"certificateId": w.ca()} },
	"ListCACertificates":    with(nil),
	"ListCertificatesByCA":  func(w *world) modelRequest { return modelRequest{"caCertificateId": w.ca()} },
	"GetRegistrationCode":   with(nil),
	"DeleteRegistrationCode": func(w *world) modelRequest {
		w.do("GetRegistrationCode", nil)
		return nil
	},
	"AttachThingPrincipal": func(w *world) modelRequest {
		return modelRequest{"thingName": w.thing(), "principal": w.principal()}
	},
	"DetachThingPrincipal": func(w *world) modelRequest {
		r := modelRequest{"thingName": w.thing(), "principal": w.principal()}
		w.do("AttachThingPrincipal", r)
		return r
	},
	"ListThingPrincipals": func(w *world) modelRequest { return modelRequest{"thingName": w.thing()} },
	"ListPrincipalThings": func(w *world) modelRequest { return modelRequest{"principal": w.principal()} },

	"AttachPolicy": func(w *world) modelRequest { return modelRequest{"policyName": w.policy(), "target": w.principal()} },
	"DetachPolicy": func(w *world) modelRequest { return modelRequest{"policyName": w.policy(), "target": w.principal()} },
	"CreatePolicy": with(modelRequest{"policyName": "p", "policyDocument": aPolicy}),
	"CreatePolicyVersion": func(w *world) modelRequest {
		return modelRequest{"policyName": w.policy(), "policyDocument": aPolicy}
	},
	"DeletePolicy": func(w *world) modelRequest { return modelRequest{"policyName": w.policy()} },
	"DeletePolicyVersion": func(w *world) modelRequest {
		w.do("CreatePolicyVersion", modelRequest{"policyName": w.policy(), "policyDocument": aPolicy})
		return modelRequest{"policyName": "p", "policyVersionId": "2"}
	},
	"GetPolicy":               func(w *world) modelRequest { return modelRequest{"policyName": w.policy()} },
	"GetPolicyVersion":        func(w *world) modelRequest { return modelRequest{"policyName": w.policy(), "policyVersionId": "1"} },
	"ListPolicies":            with(nil),
	"ListPolicyVersions":      func(w *world) modelRequest { return modelRequest{"policyName": w.policy()} },
	"SetDefaultPolicyVersion": func(w *world) modelRequest { return modelRequest{"policyName": w.policy(), "policyVersionId": "1"} },
	"ListAttachedPolicies":    func(w *world) modelRequest { return modelRequest{"target": w.principal()} },
	"ListTargetsForPolicy":    func(w *world) modelRequest { return modelRequest{"policyName": w.policy()} },
	"GetEffectivePolicies":    func(w *world) modelRequest { return modelRequest{"principal": w.principal()} },
	"TestAuthorization": func(w *world) modelRequest {
		return modelRequest{"principal": w.principal(), "authInfos": []any{map[string]any{"actionType": "CONNECT", "resources": []any{account.ARN("client", "c")}}}}
	},
	"AttachPrincipalPolicy": func(w *world) modelRequest { return modelRequest{"policyName": w.policy(), "principal": w.principal()} },
	"DetachPrincipalPolicy": func(w *world) modelRequest {
		r := modelRequest{"policyName": w.policy(), "principal": w.principal()}
		w.do("AttachPrincipalPolicy", r)
		return r
	},
	"ListPrincipalPolicies": func(w *world) modelRequest { return modelRequest{"principal": w.principal()} },
	"ListPolicyPrincipals":  func(w *world) modelRequest { return modelRequest{"policyName": w.policy()} },
}

// notSupported are operations that every request is refused to, with a sentence.
var notSupported = []string{
	"AddThingToBillingGroup", "CreateBillingGroup", "DeleteBillingGroup", "DescribeBillingGroup",
	"ListBillingGroups", "ListThingsInBillingGroup", "RemoveThingFromBillingGroup", "UpdateBillingGroup",
	"AcceptCertificateTransfer", "CancelCertificateTransfer", "ListOutgoingCertificates", "RejectCertificateTransfer", "TransferCertificate",
}

// tolerated are violations that the service, or the specification, takes on purpose.
var tolerated = map[string][]string{}
