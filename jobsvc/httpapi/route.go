package httpapi

import (
	"context"
	"net/url"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

//go:generate go run gen.go

// binding says where an operation of a service model is.
type binding struct {
	method    string
	path      string // "/jobs/{jobId}/cancel"
	operation string
}

// jobsDataOperations are those of AWS's service iot-jobs-data.
var jobsDataOperations = []binding{
	{"POST", "/command-executions", "StartCommandExecution"},
	{"GET", "/things/{thingName}/jobs", "GetPendingJobExecutions"},
	{"PUT", "/things/{thingName}/jobs/$next", "StartNextPendingJobExecution"},
	{"GET", "/things/{thingName}/jobs/{jobId}", "DescribeJobExecution"},
	{"POST", "/things/{thingName}/jobs/{jobId}", "UpdateJobExecution"},
}

// A handler does an operation: decode, call the engine, encode. A nil body is an
// empty one.
type handler func(*api, context.Context, *wire.ControlInput) (body []byte, err error)

// iotHandlers are the operations of the service iot that are built.
var iotHandlers = map[string]handler{
	"CreateJob":                 (*api).createJob,
	"DescribeJob":               (*api).describeJob,
	"GetJobDocument":            (*api).getJobDocument,
	"ListJobs":                  (*api).listJobs,
	"CancelJob":                 (*api).cancelJob,
	"DeleteJob":                 (*api).deleteJob,
	"UpdateJob":                 (*api).updateJob,
	"AssociateTargetsWithJob":   (*api).associateTargetsWithJob,
	"ListJobExecutionsForJob":   (*api).listJobExecutionsForJob,
	"ListJobExecutionsForThing": (*api).listJobExecutionsForThing,
	"DescribeJobExecution":      (*api).describeJobExecution,
	"CancelJobExecution":        (*api).cancelJobExecution,
	"DeleteJobExecution":        (*api).deleteJobExecution,

	"CreateJobTemplate":          (*api).createJobTemplate,
	"DescribeJobTemplate":        (*api).describeJobTemplate,
	"DeleteJobTemplate":          (*api).deleteJobTemplate,
	"ListJobTemplates":           (*api).listJobTemplates,
	"DescribeManagedJobTemplate": (*api).describeManagedJobTemplate,
	"ListManagedJobTemplates":    (*api).listManagedJobTemplates,

	"ListTagsForResource": (*api).listTagsForResource,
	"TagResource":         (*api).tagResource,
	"UntagResource":       (*api).untagResource,

	"DescribeEventConfigurations": (*api).describeEventConfigurations,
	"UpdateEventConfigurations":   (*api).updateEventConfigurations,

	"CreateThing":   (*api).createThing,
	"DescribeThing": (*api).describeThing,
	"ListThings":    (*api).listThings,
	"UpdateThing":   (*api).updateThing,
	"DeleteThing":   (*api).deleteThing,

	"CreateThingType":    (*api).createThingType,
	"DescribeThingType":  (*api).describeThingType,
	"UpdateThingType":    (*api).updateThingType,
	"DeprecateThingType": (*api).deprecateThingType,
	"DeleteThingType":    (*api).deleteThingType,
	"ListThingTypes":     (*api).listThingTypes,

	"CreateThingGroup":          (*api).createThingGroup,
	"DescribeThingGroup":        (*api).describeThingGroup,
	"ListThingGroups":           (*api).listThingGroups,
	"UpdateThingGroup":          (*api).updateThingGroup,
	"DeleteThingGroup":          (*api).deleteThingGroup,
	"ListThingGroupsForThing":   (*api).listThingGroupsForThing,
	"UpdateThingGroupsForThing": (*api).updateThingGroupsForThing,
	"RemoveThingFromThingGroup": (*api).removeThingFromThingGroup,
	"AddThingToThingGroup":      (*api).addThingToThingGroup,
	"ListThingsInThingGroup":    (*api).listThingsInThingGroup,

	"CreateDynamicThingGroup": (*api).createDynamicThingGroup,
	"UpdateDynamicThingGroup": (*api).updateDynamicThingGroup,
	"DeleteDynamicThingGroup": (*api).deleteDynamicThingGroup,
	"SearchIndex":             (*api).searchIndex,

	"AddThingToBillingGroup":      (*api).billingGroup,
	"CreateBillingGroup":          (*api).billingGroup,
	"DeleteBillingGroup":          (*api).billingGroup,
	"DescribeBillingGroup":        (*api).billingGroup,
	"ListBillingGroups":           (*api).billingGroup,
	"ListThingsInBillingGroup":    (*api).billingGroup,
	"RemoveThingFromBillingGroup": (*api).billingGroup,
	"UpdateBillingGroup":          (*api).billingGroup,

	"CreateKeysAndCertificate":     (*api).createKeysAndCertificate,
	"CreateCertificateFromCsr":     (*api).createCertificateFromCSR,
	"RegisterCertificate":          (*api).registerCertificate,
	"RegisterCertificateWithoutCA": (*api).registerCertificateWithoutCA,
	"DescribeCertificate":          (*api).describeCertificate,
	"ListCertificates":             (*api).listCertificates,
	"UpdateCertificate":            (*api).updateCertificate,
	"DeleteCertificate":            (*api).deleteCertificate,

	"AcceptCertificateTransfer": (*api).certificateTransfer,
	"CancelCertificateTransfer": (*api).certificateTransfer,
	"ListOutgoingCertificates":  (*api).certificateTransfer,
	"RejectCertificateTransfer": (*api).certificateTransfer,
	"TransferCertificate":       (*api).certificateTransfer,

	"RegisterCACertificate":  (*api).registerCACertificate,
	"DescribeCACertificate":  (*api).describeCACertificate,
	"UpdateCACertificate":    (*api).updateCACertificate,
	"DeleteCACertificate":    (*api).deleteCACertificate,
	"ListCACertificates":     (*api).listCACertificates,
	"ListCertificatesByCA":   (*api).listCertificatesByCA,
	"GetRegistrationCode":    (*api).getRegistrationCode,
	"DeleteRegistrationCode": (*api).deleteRegistrationCode,

	"AttachThingPrincipal":  (*api).attachThingPrincipal,
	"DetachThingPrincipal":  (*api).detachThingPrincipal,
	"ListThingPrincipals":   (*api).listThingPrincipals,
	"ListThingPrincipalsV2": (*api).listThingPrincipalsV2,
	"ListPrincipalThings":   (*api).listPrincipalThings,
	"ListPrincipalThingsV2": (*api).listPrincipalThingsV2,

	"CreatePolicy":            (*api).createPolicy,
	"GetPolicy":               (*api).getPolicy,
	"DeletePolicy":            (*api).deletePolicy,
	"ListPolicies":            (*api).listPolicies,
	"CreatePolicyVersion":     (*api).createPolicyVersion,
	"GetPolicyVersion":        (*api).getPolicyVersion,
	"ListPolicyVersions":      (*api).listPolicyVersions,
	"SetDefaultPolicyVersion": (*api).setDefaultPolicyVersion,
	"DeletePolicyVersion":     (*api).deletePolicyVersion,
	"AttachPolicy":            (*api).attachPolicy,
	"DetachPolicy":            (*api).detachPolicy,
	"ListAttachedPolicies":    (*api).listAttachedPolicies,
	"ListTargetsForPolicy":    (*api).listTargetsForPolicy,
	"GetEffectivePolicies":    (*api).getEffectivePolicies,
	"TestAuthorization":       (*api).testAuthorization,
	"AttachPrincipalPolicy":   (*api).attachPrincipalPolicy,
	"DetachPrincipalPolicy":   (*api).detachPrincipalPolicy,
	"ListPrincipalPolicies":   (*api).listPrincipalPolicies,
	"ListPolicyPrincipals":    (*api).listPolicyPrincipals,

	"DescribeEndpoint": (*api).describeEndpoint,
}

// A route is a binding made ready to match. handle is nil for an operation that
// is not built.
type route struct {
	operation string
	segments  []string
	handle    handler
}

// routes are those of one service by method and first segment, which is a literal in
// all of them, in the order of the bindings: a literal segment before a parameter in
// its place.
type routes map[routeKey][]route

type routeKey struct{ method, first string }

func newRoutes(bindings []binding, handlers map[string]handler) routes {
	rs := routes{}
	for _, b := range bindings {
		segments := strings.Split(b.path[1:], "/")
		if strings.HasPrefix(segments[0], "{") {
			panic("httpapi: " + b.operation + " begins with a parameter") // the tables are fixed: a bug
		}
		k := routeKey{b.method, segments[0]}
		rs[k] = append(rs[k], route{b.operation, segments, handlers[b.operation]})
	}
	return rs
}

// and gives the routes of both.
func (rs routes) and(more routes) routes {
	for method, list := range more {
		rs[method] = append(rs[method], list...)
	}
	return rs
}

// match finds the operation of a request and the parameters in its path. The
// escaped path is split first and each segment decoded once, since names contain
// ':' and even '/' in escaped form. Nothing is cleaned: a thing may be called
// "jobs", and segments are counted exactly.
func (rs routes) match(method, escapedPath string) (*route, map[string]string) {
	rest, ok := strings.CutPrefix(escapedPath, "/")
	if !ok {
		return nil, nil
	}
	var array [8]string
	segments := array[:0]
	for s := range strings.SplitSeq(rest, "/") {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return nil, nil
		}
		segments = append(segments, decoded)
	}
	list := rs[routeKey{method, segments[0]}]
	for i := range list {
		if params, ok := list[i].params(segments); ok {
			return &list[i], params
		}
	}
	return nil, nil
}

func (r *route) params(segments []string) (map[string]string, bool) {
	// {arn+} in the last place takes all the rest.
	if last := len(r.segments) - 1; len(segments) > last && strings.HasSuffix(r.segments[last], "+}") {
		segments = append(segments[:last:last], strings.Join(segments[last:], "/"))
	}
	if len(segments) != len(r.segments) {
		return nil, false
	}
	for i, want := range r.segments {
		if !strings.HasPrefix(want, "{") && segments[i] != want {
			return nil, false
		}
	}
	params := map[string]string{}
	for i, want := range r.segments {
		if name, isParam := strings.CutPrefix(want, "{"); isParam {
			params[strings.TrimRight(name, "+}")] = segments[i]
		}
	}
	return params, true
}

// Built tells whether this build does an operation of the service iot.
func Built(operation string) bool { return iotHandlers[operation] != nil }
