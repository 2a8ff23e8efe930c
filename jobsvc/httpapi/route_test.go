package httpapi

import (
	"maps"
	"slices"
	"testing"
)

func TestMatch(t *testing.T) {
	iot, data := newRoutes(iotOperations, iotHandlers), newRoutes(jobsDataOperations, jobsDataHandlers)
	for _, tc := range []struct {
		routes       routes
		method, path string
		operation    string // "" for none
		params       map[string]string
	}{
		{iot, "PUT", "/jobs/fw-1", "CreateJob", map[string]string{"jobId": "fw-1"}},
		{iot, "PUT", "/jobs/cancel", "CreateJob", map[string]string{"jobId": "cancel"}},
		{iot, "PUT", "/jobs/cancel/cancel", "CancelJob", map[string]string{"jobId": "cancel"}},
		{iot, "PUT", "/%6Aobs/%66w-1", "CreateJob", map[string]string{"jobId": "fw-1"}},
		{iot, "GET", "/jobs", "ListJobs", map[string]string{}},
		{iot, "GET", "/things/jobs", "DescribeThing", map[string]string{"thingName": "jobs"}},
		{iot, "GET", "/things/jobs/jobs", "ListJobExecutionsForThing", map[string]string{"thingName": "jobs"}},
		{iot, "GET", "/things/a%3Ab", "DescribeThing", map[string]string{"thingName": "a:b"}},
		{iot, "GET", "/things/a:b", "DescribeThing", map[string]string{"thingName": "a:b"}},
		{iot, "GET", "/things/a%252Fb", "DescribeThing", map[string]string{"thingName": "a%2Fb"}},
		{iot, "GET", "/things/..", "DescribeThing", map[string]string{"thingName": ".."}},
		{iot, "GET", "/things/pump/jobs/%24next", "DescribeJobExecution", map[string]string{"thingName": "pump", "jobId": "$next"}},
		{iot, "POST", "/attached-policies/arn%3Aaws%3Aiot%3Aus-east-1%3A123456789012%3Acert%2Fabc", "ListAttachedPolicies", map[string]string{"target": "arn:aws:iot:us-east-1:123456789012:cert/abc"}},
		{iot, "POST", "/attached-policies/arn:aws:iot:us-east-1:123456789012:cert/abc", "", nil},
		{iot, "GET", "/policies/a+b=c,d.e@f", "GetPolicy", map[string]string{"policyName": "a+b=c,d.e@f"}},
		{iot, "PUT", "/thing-groups/addThingToThingGroup", "AddThingToThingGroup", map[string]string{}},
		{iot, "GET", "/thing-groups/addThingToThingGroup", "DescribeThingGroup", map[string]string{"thingGroupName": "addThingToThingGroup"}},
		{iot, "GET", "/principals/things", "ListPrincipalThings", map[string]string{}},
		{iot, "GET", "/destinations/arn:x/http/y", "GetTopicRuleDestination", map[string]string{"arn": "arn:x/http/y"}},
		{iot, "PUT", "/things/t/jobs/$next", "", nil},
		{iot, "POST", "/things/t/jobs/j", "", nil},
		{iot, "GET", "/jobs/", "DescribeJob", map[string]string{"jobId": ""}},
		{iot, "GET", "//jobs", "", nil},
		{iot, "GET", "/jobs//things", "ListJobExecutionsForJob", map[string]string{"jobId": ""}}, // the model refuses it
		{iot, "GET", "/", "", nil},
		{iot, "GET", "", "", nil},
		{iot, "OPTIONS", "*", "", nil},
		{iot, "BREW", "/jobs", "", nil},
		{data, "GET", "/things/pump/jobs", "GetPendingJobExecutions", map[string]string{"thingName": "pump"}},
		{data, "PUT", "/things/pump/jobs/$next", "StartNextPendingJobExecution", map[string]string{"thingName": "pump"}},
		{data, "PUT", "/things/pump/jobs/%24next", "StartNextPendingJobExecution", map[string]string{"thingName": "pump"}},
		{data, "GET", "/things/pump/jobs/%24next", "DescribeJobExecution", map[string]string{"thingName": "pump", "jobId": "$next"}},
		{data, "POST", "/things/pump/jobs/j", "UpdateJobExecution", map[string]string{"thingName": "pump", "jobId": "j"}},
		{data, "PUT", "/things/pump/jobs/j", "", nil},
		{data, "PUT", "/jobs/j", "", nil},
	} {
		r, params := tc.routes.match(tc.method, tc.path)
		operation := ""
		if r != nil {
			operation = r.operation
		}
		if operation != tc.operation || !maps.Equal(params, tc.params) {
			t.Errorf("%s %s: %q %v, want %q %v", tc.method, tc.path, operation, params, tc.operation, tc.params)
		}
	}
}

// Every binding is reached by its own path, and every handler has a binding.
func TestBindings(t *testing.T) {
	for _, set := range []struct {
		bindings []binding
		routes   routes
	}{{iotOperations, newRoutes(iotOperations, iotHandlers)}, {jobsDataOperations, newRoutes(jobsDataOperations, jobsDataHandlers)}} {
		for _, b := range set.bindings {
			if r, _ := set.routes.match(b.method, b.path); r == nil || r.operation != b.operation {
				t.Errorf("%s %s leads to %v, not %s", b.method, b.path, r, b.operation)
			}
		}
	}
	for operation := range iotHandlers {
		if !slices.ContainsFunc(iotOperations, func(b binding) bool { return b.operation == operation }) {
			t.Errorf("%s is not an operation of AWS", operation)
		}
	}
}

func TestIsDeviceHost(t *testing.T) {
	a := &api{Options: Options{DeviceHosts: []string{"jobs.example.net"}}}
	for host, want := range map[string]bool{
		"jobs.example.net":                           true,
		"JOBS.example.net:8443":                      true,
		"data.jobs.iot.eu-west-1.amazonaws.com":      true,
		"a1b2c3.jobs.iot.eu-west-1.amazonaws.com":    true,
		"a.b.jobs.iot.eu-west-1.amazonaws.com":       false,
		".jobs.iot.eu-west-1.amazonaws.com":          false,
		"iot.eu-west-1.amazonaws.com":                false,
		"jobs.iot.eu-west-1.amazonaws.com":           false,
		"localhost:8443":                             false,
		"[::1]:8443":                                 false,
		"":                                           false,
		"evil.example.org/data.jobs.iot.example.com": false,
	} {
		if got := a.isDeviceHost(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
