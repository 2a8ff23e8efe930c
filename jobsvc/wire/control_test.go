package wire_test

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

var controlAccount = jobsvc.Account{Partition: "aws", Region: "eu-west-1", ID: "111122223333"}

func input(t testing.TB, path map[string]string, query, body string) *wire.ControlInput {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return &wire.ControlInput{Path: path, Query: q, Body: []byte(body)}
}

// parsed is what a decoder makes of a request that has passed Parse.
func parsed[T any](operation string, in *wire.ControlInput, decode func(*wire.ControlInput) (T, error)) (v T, err error) {
	if err := wire.Parse(operation, in); err != nil {
		return v, err
	}
	return decode(in)
}

func ptr[T any](v T) *T { return &v }

// The request of specification C.1, less the configuration of rollouts.
const createJobBody = `{
  "targets": [
    "arn:aws:iot:eu-west-1:111122223333:thinggroup/pumps",
    "arn:aws:iot:eu-west-1:111122223333:thing/valve-3"
  ],
  "document": "{\"op\":\"ota\"}",
  "description": "Pump firmware 4.2",
  "targetSelection": "CONTINUOUS",
  "presignedUrlConfig": {"roleArn": "arn:aws:iam::111122223333:role/presign", "expiresInSec": 900},
  "timeoutConfig": {"inProgressTimeoutInMinutes": 45},
  "namespaceId": "ns"
}`

func createJobRequest() *jobsvc.CreateJobRequest {
	return &jobsvc.CreateJobRequest{
		JobID: "fw-2026-03",
		Targets: []string{
			"arn:aws:iot:eu-west-1:111122223333:thinggroup/pumps",
			"arn:aws:iot:eu-west-1:111122223333:thing/valve-3",
		},
		Document:           ptr(`{"op":"ota"}`),
		Description:        ptr("Pump firmware 4.2"),
		TargetSelection:    jobsvc.TargetContinuous,
		PresignedURLConfig: &jobsvc.PresignedURLConfig{RoleARN: "arn:aws:iam::111122223333:role/presign", Expires: 900 * time.Second},
		TimeoutConfig:      &jobsvc.TimeoutConfig{InProgress: 45 * time.Minute},
		NamespaceID:        ptr("ns"),
	}
}

func TestDecodeCreateJob(t *testing.T) {
	everything := strings.TrimSuffix(createJobBody, "}") + `,
  "jobExecutionsRolloutConfig": {
    "maximumPerMinute": 400,
    "exponentialRate": {"baseRatePerMinute": 20, "incrementFactor": 1.5, "rateIncreaseCriteria": {"numberOfNotifiedThings": 7, "numberOfSucceededThings": 100}}
  },
  "abortConfig": {
    "criteriaList": [
      {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 12.5, "minNumberOfExecutedThings": 40},
      {"failureType": "ALL", "action": "CANCEL", "thresholdPercentage": 33.33, "minNumberOfExecutedThings": 20}
    ]
  },
  "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 2}, {"failureType": "TIMED_OUT", "numberOfRetries": 1}]},
  "schedulingConfig": {
    "startTime": "2026-03-12T22:00:00Z", "endTime": "2026-06-12 22:00", "endBehavior": "CANCEL",
    "maintenanceWindows": [{"startTime": "cron(0 2 ? * SAT *)", "durationInMinutes": 180}]
  },
  "jobTemplateArn": "arn:aws:iot:eu-west-1:111122223333:jobtemplate/x",
  "documentParameters": {"a": "b"},
  "destinationPackageVersions": ["arn:aws:iot:eu-west-1:111122223333:package/p/version/1"],
  "tags": [{"Key": "team", "Value": "ota"}, {"Key": "site"}]
}`
	configured := func(r *jobsvc.CreateJobRequest) {
		r.RolloutConfig = &jobsvc.RolloutConfig{MaximumPerMinute: 400, ExponentialRate: &jobsvc.ExponentialRate{
			BaseRatePerMinute: 20, IncrementFactor: 15, RateIncreaseCriteria: jobsvc.RateIncreaseCriteria{NumberOfNotifiedThings: 7, NumberOfSucceededThings: 100},
		}}
		r.AbortConfig = &jobsvc.AbortConfig{CriteriaList: []jobsvc.AbortCriterion{
			{FailureType: jobsvc.FailureFailed, Action: "CANCEL", ThresholdPercentage: 1250, MinNumberOfExecutedThings: 40},
			{FailureType: jobsvc.FailureAll, Action: "CANCEL", ThresholdPercentage: 3333, MinNumberOfExecutedThings: 20},
		}}
		r.RetryConfig = &jobsvc.RetryConfig{CriteriaList: []jobsvc.RetryCriterion{{FailureType: jobsvc.FailureFailed, NumberOfRetries: 2}, {FailureType: jobsvc.FailureTimedOut, NumberOfRetries: 1}}}
		r.SchedulingConfig = &jobsvc.SchedulingConfig{
			StartTime: "2026-03-12T22:00:00Z", EndTime: "2026-06-12 22:00", EndBehavior: jobsvc.EndCancel,
			MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(0 2 ? * SAT *)", DurationInMinutes: 180}},
		}
		r.JobTemplateARN = "arn:aws:iot:eu-west-1:111122223333:jobtemplate/x"
		r.DocumentParameters = map[string]string{"a": "b"}
		r.DestinationPackageVersions = []string{"arn:aws:iot:eu-west-1:111122223333:package/p/version/1"}
		r.Tags = []jobsvc.Tag{{Key: "team", Value: "ota"}, {Key: "site"}}
	}
	zone := func(r *jobsvc.CreateJobRequest) {
		configured(r)
		r.SchedulingConfig.TimeZone = "Europe/Berlin"
	}
	dialect := strings.NewReplacer(
		`"presignedUrlConfig"`, `"presignedUrlConfigData"`,
		`900`, `"900"`,
		`"timeoutConfig": {"inProgressTimeoutInMinutes": 45}`, `"jobExecutionsRolloutConfig": {"timeoutConfig": {"inProgressTimeoutInMinutes": 45}}`,
	).Replace(createJobBody)

	misplaced := strings.NewReplacer(
		`"maximumPerMinute": 400,`, ``,
		`"baseRatePerMinute"`, `"maximumPerMinute": 400, "baseRatePerMinute"`,
		`"schedulingConfig": {`, `"SchedulingConfig": {"timeZone": "Europe/Berlin",`,
		`"endBehavior"`, `"endTimeBehavior"`,
	).Replace(everything)

	for _, tc := range []struct {
		name, body string
		change     func(*jobsvc.CreateJobRequest)
		aliases    []string
	}{
		{name: "the model's", body: createJobBody},
		{name: "everything", body: everything, change: configured},
		{name: "everything in dialect", body: misplaced, change: zone, aliases: []string{
			"SchedulingConfig", "schedulingConfig.endTimeBehavior", "schedulingConfig.timeZone", "jobExecutionsRolloutConfig.exponentialRate.maximumPerMinute",
		}},
		{name: "dialect", body: dialect, aliases: []string{
			"presignedUrlConfigData", "presignedUrlConfig.expiresInSec as a string", "jobExecutionsRolloutConfig.timeoutConfig",
		}},
		{
			name:    "the model's spelling wins",
			body:    strings.TrimSuffix(createJobBody, "}") + `,"presignedUrlConfigData":{"roleArn":"arn:aws:iam::111122223333:role/other"}}`,
			aliases: []string{"presignedUrlConfigData"},
		},
		{
			name: "empty configurations are not configured",
			body: strings.TrimSuffix(createJobBody, "}") + `,"jobExecutionsRolloutConfig":{},"abortConfig":null,"tags":[ ],
				"schedulingConfig":{"startTime":null},"documentParameters":{},"destinationPackageVersions":[]}`,
		},
		{
			name: "unknown members and other cases are ignored",
			body: strings.TrimSuffix(createJobBody, "}") + `,"nonsense":[1],"DESCRIPTION":5,"Document":7,"Targets":["x"]}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := input(t, map[string]string{"jobId": "fw-2026-03"}, "", tc.body)
			got, err := parsed("CreateJob", in, wire.DecodeCreateJob)
			if err != nil {
				t.Fatal(err)
			}
			want := createJobRequest()
			if tc.change != nil {
				tc.change(want)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if !slices.Equal(in.Aliases, tc.aliases) {
				t.Errorf("aliases %q, want %q", in.Aliases, tc.aliases)
			}
		})
	}
}

func TestDecodeCreateJobEmpty(t *testing.T) {
	for _, body := range []string{"", "  ", "{}", `{"targets":null,"timeoutConfig":{},"presignedUrlConfig":{"roleArn":null}}`} {
		got, err := wire.DecodeCreateJob(input(t, map[string]string{"jobId": "j"}, "", body))
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if want := (&jobsvc.CreateJobRequest{JobID: "j"}); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v", body, got)
		}
	}
}

func TestDecodeCreateJobRefusals(t *testing.T) {
	for _, tc := range []struct {
		body string
		code jobsvc.Code
	}{
		{`{`, jobsvc.CodeInvalidJSON},
		{`{} {}`, jobsvc.CodeInvalidJSON},
		{`[]`, jobsvc.CodeInvalidJSON},
		{`null`, jobsvc.CodeInvalidJSON},
		{"{\"description\":\"\xff\"}", jobsvc.CodeInvalidJSON},
		{`{"targets":"x"}`, jobsvc.CodeInvalidJSON},
		{`{"targets":[1]}`, jobsvc.CodeInvalidJSON},
		{`{"targets":[null]}`, jobsvc.CodeInvalidRequest},
		{`{"document":{}}`, jobsvc.CodeInvalidJSON},
		{`{"timeoutConfig":[]}`, jobsvc.CodeInvalidJSON},
		{`{"timeoutConfig":{"inProgressTimeoutInMinutes":"5"}}`, jobsvc.CodeInvalidJSON},
		{`{"timeoutConfig":{"inProgressTimeoutInMinutes":1.5}}`, jobsvc.CodeInvalidJSON},
		{`{"timeoutConfig":{"inProgressTimeoutInMinutes":0}}`, jobsvc.CodeInvalidRequest},
		{`{"presignedUrlConfig":{"expiresInSec":0}}`, jobsvc.CodeInvalidRequest},
		{`{"presignedUrlConfig":{"expiresInSec":"soon"}}`, jobsvc.CodeInvalidRequest},
		{`{"presignedUrlConfig":{"expiresInSec":true}}`, jobsvc.CodeInvalidJSON},
		{`{"abortConfig":7}`, jobsvc.CodeInvalidJSON},
		{`{"abortConfig":{"criteriaList":{}}}`, jobsvc.CodeInvalidJSON},
		{`{"abortConfig":{"criteriaList":[1]}}`, jobsvc.CodeInvalidJSON},
		{`{"abortConfig":{"criteriaList":[null]}}`, jobsvc.CodeInvalidRequest},
		{`{"abortConfig":{"criteriaList":[{"thresholdPercentage":"5"}]}}`, jobsvc.CodeInvalidJSON},
		{`{"abortConfig":{"criteriaList":[{"thresholdPercentage":true}]}}`, jobsvc.CodeInvalidJSON},
		{`{"abortConfig":{"criteriaList":[{"thresholdPercentage":12.505}]}}`, jobsvc.CodeInvalidRequest},
		{`{"abortConfig":{"criteriaList":[{"thresholdPercentage":1e-999999999}]}}`, ""},
		{`{"abortConfig":{"criteriaList":[{"thresholdPercentage":12.50}]}}`, ""},
		{`{"jobExecutionsRolloutConfig":{"exponentialRate":{"incrementFactor":1.55}}}`, jobsvc.CodeInvalidRequest},
		{`{"jobExecutionsRolloutConfig":{"exponentialRate":{"incrementFactor":1.50}}}`, ""},
		{`{"jobExecutionsRolloutConfig":{"exponentialRate":{"incrementFactor":15e-1}}}`, ""},
		{`{"jobExecutionsRolloutConfig":{"maximumPerMinute":1.5}}`, jobsvc.CodeInvalidJSON},
		{`{"schedulingConfig":{"maintenanceWindows":[{"startTime":5}]}}`, jobsvc.CodeInvalidJSON},
		{`{"documentParameters":{"a":1}}`, jobsvc.CodeInvalidJSON},
		{`{"tags":{}}`, jobsvc.CodeInvalidJSON},
		{`{"jobTemplateArn":["x"]}`, jobsvc.CodeInvalidJSON},
		// JSON is judged before values are.
		{`{"presignedUrlConfig":{"expiresInSec":1},"namespaceId":5}`, jobsvc.CodeInvalidJSON},
	} {
		in := input(t, map[string]string{"jobId": "j"}, "", tc.body)
		_, err := parsed("CreateJob", in, wire.DecodeCreateJob)
		if tc.code == "" { // what the model misses in it is not the matter here
			_, err = wire.DecodeCreateJob(in)
		}
		if got := jobsvc.ErrorCode(err); got != tc.code {
			t.Errorf("%s: %v, want %s", tc.body, err, tc.code)
		}
	}
}

// Numbers so large that they would wrap around into the allowed range.
func TestDecodeHugeNumbers(t *testing.T) {
	base := `{"targets":["t"],"document":"{}",`
	for _, member := range []string{
		`"timeoutConfig":{"inProgressTimeoutInMinutes":307445734561825861}`,
		`"timeoutConfig":{"inProgressTimeoutInMinutes":-9223372036854775808}`,
		`"presignedUrlConfig":{"expiresInSec":18446744074}`,
		`"presignedUrlConfig":{"expiresInSec":1e400}`,
		`"jobExecutionsRolloutConfig":{"maximumPerMinute":9223372036854775807}`,
		`"jobExecutionsRolloutConfig":{"exponentialRate":{"incrementFactor":1e300}}`,
		`"abortConfig":{"criteriaList":[{"thresholdPercentage":1e400}]}`,
		`"abortConfig":{"criteriaList":[{"thresholdPercentage":-1e400}]}`,
	} {
		_, err := parsed("CreateJob", input(t, map[string]string{"jobId": "j"}, "", base+member+"}"), wire.DecodeCreateJob)
		if c := jobsvc.ErrorCode(err); c != jobsvc.CodeInvalidRequest && !strings.Contains(member, "1e400") || err == nil {
			t.Errorf("%s: %v", member, err)
		}
	}
	for _, q := range []string{"maxResults=4294967396", "maxResults=99999999999999999999", "maxResults=-1", "maxResults=251"} {
		if _, err := parsed("ListJobs", input(t, nil, q, ""), wire.DecodeListJobs); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest {
			t.Errorf("%s: %v", q, err)
		}
	}
	if r, err := parsed("CreateJob", input(t, map[string]string{"jobId": "j"}, "", base+`"timeoutConfig":{"inProgressTimeoutInMinutes":3e1}}`), wire.DecodeCreateJob); err != nil || r.TimeoutConfig.InProgress != 30*time.Minute {
		t.Errorf("3e1: %+v, %v", r, err)
	}
}

func TestDecodeCancelJob(t *testing.T) {
	for _, tc := range []struct {
		query, body string
		force       bool
		aliases     int
	}{
		{"", "", false, 0},
		{"", "{}", false, 0},
		{"force=true", "", true, 0},
		{"force=TRUE", "", true, 0},
		{"force=false", `{"force":true}`, false, 1},
		{"", `{"force":true}`, true, 1},
	} {
		in := input(t, map[string]string{"jobId": "j"}, tc.query, tc.body)
		r, err := parsed("CancelJob", in, wire.DecodeCancelJob)
		if err != nil {
			t.Fatal(err)
		}
		if r.Force != tc.force || len(in.Aliases) != tc.aliases {
			t.Errorf("%q %q: force %v, aliases %q", tc.query, tc.body, r.Force, in.Aliases)
		}
	}
	in := input(t, map[string]string{"jobId": "j"}, "force=true", `{"reasonCode":"BAD_IMAGE","comment":"checksum wrong"}`)
	r, err := wire.DecodeCancelJob(in)
	if want := (&jobsvc.CancelJobRequest{JobID: "j", Force: true, ReasonCode: ptr("BAD_IMAGE"), Comment: ptr("checksum wrong")}); err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v, %v", r, err)
	}
	for _, query := range []string{"force=", "force=force", "force=1"} {
		if _, err := wire.DecodeCancelJob(input(t, nil, query, "")); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestDecodeQueries(t *testing.T) {
	in := input(t, nil, "status=SUCCEEDED&targetSelection=SNAPSHOT&thingGroupName=g&thingGroupId=i&namespaceId=n&maxResults=7&nextToken=a%2Bb%3D", "")
	jobs, err := parsed("ListJobs", in, wire.DecodeListJobs)
	want := &jobsvc.ListJobsRequest{
		Status: jobsvc.JobCompleted, TargetSelection: jobsvc.TargetSnapshot, ThingGroupName: "g", ThingGroupID: "i", NamespaceID: "n",
		Page: jobsvc.Page{MaxResults: 7, Token: "a+b="},
	}
	if err != nil || !reflect.DeepEqual(jobs, want) || !slices.Equal(in.Aliases, []string{"status=SUCCEEDED"}) {
		t.Errorf("got %+v, %q, %v", jobs, in.Aliases, err)
	}
	groups, err := wire.DecodeListThingGroups(input(t, nil, "recursive=false&parentGroup=p&namePrefixFilter=x", ""))
	if wantG := (&jobsvc.ListThingGroupsRequest{Parent: "p", NamePrefix: "x", Recursive: ptr(false)}); err != nil || !reflect.DeepEqual(groups, wantG) {
		t.Errorf("got %+v, %v", groups, err)
	}
	_, _, number, err := wire.DecodeControlDescribeJobExecution(input(t, nil, "executionNumber=3", ""))
	if err != nil || *number != 3 {
		t.Errorf("got %v, %v", number, err)
	}

	refused := func(query string, err error) {
		t.Helper()
		if jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest {
			t.Errorf("%s: %v", query, err)
		}
	}
	for _, q := range []string{"maxResults=0", "maxResults=", "maxResults=many"} {
		_, err = wire.DecodeListJobs(input(t, nil, q, ""))
		refused(q, err)
	}
	_, _, _, err = wire.DecodeControlDescribeJobExecution(input(t, nil, "executionNumber=x", ""))
	refused("executionNumber", err)
	_, err = wire.DecodeDescribeJob(input(t, nil, "beforeSubstitution=maybe", ""))
	refused("beforeSubstitution", err)
	_, err = wire.DecodeDescribeEndpoint(input(t, nil, "endpointType=iot:Nothing", ""))
	refused("endpointType", err)
	_, _, err = wire.DecodeUpdateCertificate(input(t, nil, "", ""))
	refused("newStatus", err)
	refused("principal", wire.Parse("AttachThingPrincipal", input(t, map[string]string{"thingName": "t"}, "", "")))
}

func TestDecodeThings(t *testing.T) {
	thing, err := wire.DecodeCreateThing(input(t, map[string]string{"thingName": "p:1"}, "", `{"attributePayload":{"attributes":{"site":"north","x":null},"merge":false},"thingTypeName":"pump"}`))
	if want := (&jobsvc.CreateThingRequest{ThingName: "p:1", Attributes: map[string]string{"site": "north"}, TypeName: "pump"}); err != nil || !reflect.DeepEqual(thing, want) {
		t.Errorf("got %+v, %v", thing, err)
	}
	group, err := wire.DecodeCreateThingGroup(input(t, map[string]string{"thingGroupName": "pumps-eu"}, "",
		`{"parentGroupName":"pumps","thingGroupProperties":{"thingGroupDescription":"EU pumps","attributePayload":{"attributes":{"region":"eu"}}},"tags":[{"Key":"k"}]}`))
	if want := (&jobsvc.CreateThingGroupRequest{
		ThingGroupName: "pumps-eu", ParentName: "pumps", Description: "EU pumps", Attributes: map[string]string{"region": "eu"}, Tags: []jobsvc.Tag{{Key: "k"}},
	}); err != nil || !reflect.DeepEqual(group, want) {
		t.Errorf("got %+v, %v", group, err)
	}
	for _, tc := range []struct {
		body string
		code jobsvc.Code
	}{
		{`{"thingGroupName":"g","thingName":"t"}`, ""},
		{`{"thingGroupArn":"arn:aws:iot:eu-west-1:111122223333:thinggroup/g","thingArn":"arn:aws:iot:eu-west-1:111122223333:thing/t"}`, ""},
		{`{"thingGroupName":"g","thingGroupArn":"arn:aws:iot:eu-west-1:111122223333:thinggroup/g","thingName":"t","overrideDynamicGroups":true}`, ""},
		{`{"thingGroupName":"h","thingGroupArn":"arn:aws:iot:eu-west-1:111122223333:thinggroup/g","thingName":"t"}`, jobsvc.CodeInvalidRequest},
		{`{"thingGroupName":"g"}`, jobsvc.CodeInvalidRequest},
		{`{}`, jobsvc.CodeInvalidRequest},
		{`{"thingGroupArn":"arn:aws:iot:eu-west-1:999999999999:thinggroup/g","thingName":"t"}`, jobsvc.CodeNotFound},
		{`{"thingGroupArn":"arn:aws:iot:eu-west-1:111122223333:thing/g","thingName":"t"}`, jobsvc.CodeNotFound},
		{`{"thingGroupName":1,"thingName":"t"}`, jobsvc.CodeInvalidJSON},
	} {
		g, th, err := wire.DecodeThingAndGroup(input(t, nil, "", tc.body), controlAccount)
		if got := jobsvc.ErrorCode(err); got != tc.code {
			t.Errorf("%s: %v, want %q", tc.body, err, tc.code)
		} else if err == nil && (g != "g" || th != "t") {
			t.Errorf("%s: %q %q", tc.body, g, th)
		}
	}
	id, status, err := wire.DecodeUpdateCertificate(input(t, map[string]string{"certificateId": "ABC"}, "newStatus=REGISTER_INACTIVE", ""))
	if id != "abc" || status != jobsvc.CertificateInactive || err != nil {
		t.Errorf("got %q %q %v", id, status, err)
	}
}

func fuzzBody[T any](f *testing.F, decode func(*wire.ControlInput) (T, error), seeds ...string) {
	for _, s := range append(seeds, "", "{}", "null", `{"a":`, "{\"a\":\"\xff\"}") {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := decode(&wire.ControlInput{Path: map[string]string{}, Body: body})
		if err != nil {
			if c := jobsvc.ErrorCode(err); c != jobsvc.CodeInvalidJSON && c != jobsvc.CodeInvalidRequest && c != jobsvc.CodeNotFound {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if r, ok := any(v).(interface{ Validate() error }); ok {
			_ = r.Validate()
		}
	})
}

func FuzzDecodeCreateJob(f *testing.F) {
	fuzzBody(f, wire.DecodeCreateJob, createJobBody, `{"jobExecutionsRolloutConfig":{"abortConfig":{},"timeoutConfig":{"x":1}},"tags":[1],"presignedUrlConfigData":{"expiresInSec":"5"}}`)
}

func FuzzDecodeCancelJob(f *testing.F) {
	fuzzBody(f, wire.DecodeCancelJob, `{"force":true,"reasonCode":"A","comment":"c"}`)
}

func FuzzDecodeCreateThing(f *testing.F) {
	fuzzBody(f, wire.DecodeCreateThing, `{"attributePayload":{"attributes":{"a":"b"},"merge":true},"thingTypeName":"t"}`)
}

func FuzzDecodeCreateThingGroup(f *testing.F) {
	fuzzBody(f, wire.DecodeCreateThingGroup, `{"parentGroupName":"p","thingGroupProperties":{"thingGroupDescription":"d"}}`)
}

func FuzzDecodeAddThingToThingGroup(f *testing.F) {
	fuzzBody(f, func(in *wire.ControlInput) ([2]string, error) {
		g, t, err := wire.DecodeThingAndGroup(in, controlAccount)
		return [2]string{g, t}, err
	}, `{"thingGroupName":"g","thingArn":"arn:aws:iot:eu-west-1:111122223333:thing/t"}`)
}

func FuzzDecodeCreateCertificateFromCSR(f *testing.F) {
	fuzzBody(f, func(in *wire.ControlInput) (string, error) {
		csr, _, err := wire.DecodeCreateCertificateFromCSR(in)
		return csr, err
	}, `{"certificateSigningRequest":"-----BEGIN"}`)
}

func FuzzDecodeCreatePolicy(f *testing.F) {
	fuzzBody(f, func(in *wire.ControlInput) (string, error) {
		_, doc, _, err := wire.DecodeCreatePolicy(in)
		return doc, err
	}, `{"policyDocument":"{}","tags":[]}`)
}

func FuzzDecodeAttachPolicy(f *testing.F) {
	fuzzBody(f, func(in *wire.ControlInput) (string, error) {
		_, target, err := wire.DecodePolicyTarget(in)
		return target, err
	}, `{"target":"arn"}`)
}

func TestDecodeUpdateJob(t *testing.T) {
	decode := func(query, body string) (*jobsvc.UpdateJobRequest, error) {
		return wire.DecodeUpdateJob(input(t, map[string]string{"jobId": "j"}, query, body))
	}
	got, err := decode("", "")
	if want := (&jobsvc.UpdateJobRequest{JobID: "j"}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("nothing: %+v, %v", got, err)
	}
	got, err = decode("namespaceId=ns", `{"description":"d","timeoutConfig":{"inProgressTimeoutInMinutes":5},"jobExecutionsRetryConfig":{"criteriaList":[{"failureType":"ALL","numberOfRetries":0}]},
		"abortConfig":null,"targets":["x"],"schedulingConfig":7}`)
	if want := (&jobsvc.UpdateJobRequest{JobID: "j", NamespaceID: ptr("ns"), Description: ptr("d"), JobConfig: jobsvc.JobConfig{
		TimeoutConfig: &jobsvc.TimeoutConfig{InProgress: 5 * time.Minute},
		RetryConfig:   &jobsvc.RetryConfig{CriteriaList: []jobsvc.RetryCriterion{{FailureType: jobsvc.FailureAll}}},
	}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("some: %+v, %v", got, err)
	}
	// {} is to take away what there is.
	got, err = decode("", `{"timeoutConfig":{},"presignedUrlConfig":{},"jobExecutionsRolloutConfig":{"maximumPerMinute":null}}`)
	if want := (&jobsvc.UpdateJobRequest{JobID: "j", JobConfig: jobsvc.JobConfig{
		PresignedURLConfig: &jobsvc.PresignedURLConfig{}, RolloutConfig: &jobsvc.RolloutConfig{}, TimeoutConfig: &jobsvc.TimeoutConfig{},
	}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("empty: %+v, %v", got, err)
	}
	if _, err := decode("", `{"timeoutConfig":5}`); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidJSON {
		t.Errorf("a wrong type: %v", err)
	}
}

func TestDecodeExecutionControl(t *testing.T) {
	path := map[string]string{"thingName": "t:1", "jobId": "j", "executionNumber": "3"}
	in := input(t, path, "", `{"expectedVersion":"4","statusDetails":{},"force":true}`)
	got, err := parsed("CancelJobExecution", in, wire.DecodeCancelJobExecution)
	if want := (&jobsvc.CancelJobExecutionRequest{ThingName: "t:1", JobID: "j", Force: true, ExpectedVersion: ptr(int64(4)), StatusDetails: map[string]string{}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if want := []string{"force in the body", "expectedVersion as a string"}; !slices.Equal(in.Aliases, want) {
		t.Errorf("aliases %q", in.Aliases)
	}
	got, err = parsed("CancelJobExecution", input(t, path, "force=false", `{"statusDetails":{"a":"b"},"force":true}`), wire.DecodeCancelJobExecution)
	if want := (&jobsvc.CancelJobExecutionRequest{ThingName: "t:1", JobID: "j", StatusDetails: map[string]string{"a": "b"}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	deleted, err := wire.DecodeDeleteJobExecution(input(t, path, "force=TRUE&namespaceId=ns", ""))
	if want := (&jobsvc.DeleteJobExecutionRequest{ThingName: "t:1", JobID: "j", ExecutionNumber: 3, Force: true, NamespaceID: ptr("ns")}); err != nil || !reflect.DeepEqual(deleted, want) {
		t.Errorf("got %+v, %v", deleted, err)
	}
	for _, n := range []string{"", "x", "1.5", "9223372036854775808"} {
		if _, err := wire.DecodeDeleteJobExecution(input(t, map[string]string{"executionNumber": n}, "", "")); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest {
			t.Errorf("execution number %q: %v", n, err)
		}
	}
}
