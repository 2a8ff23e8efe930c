package wire_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

// golden compares an answer with the specification's text: the same JSON values,
// which for numbers means the same digits.
func golden(t *testing.T, name string, got []byte, want string) {
	t.Helper()
	parse := func(b []byte) (v any) {
		d := json.NewDecoder(bytesReader(b))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v in %s", name, err, b)
		}
		return v
	}
	if !reflect.DeepEqual(parse(got), parse([]byte(want))) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func at(ms int64) time.Time { return time.UnixMilli(ms) }

// The answers of the specification: sections 3, 8, 9 and appendix C.
func TestControlGolden(t *testing.T) {
	a := controlAccount
	fw := jobsvc.Job{
		ID: "fw-2026-03", Status: jobsvc.JobInProgress, TargetSelection: jobsvc.TargetSnapshot,
		Targets: []string{a.ARN("thinggroup", "pumps")}, Description: "Pump firmware 4.2",
		TimeoutConfig: &jobsvc.TimeoutConfig{InProgress: 30 * time.Minute},
		CreatedAt:     at(1773136800125), LastUpdatedAt: at(1773136803410), Concurrent: true,
	}
	golden(t, "CreateJob", wire.EncodeJobIdentity(a, &fw), `{
  "jobArn": "arn:aws:iot:eu-west-1:111122223333:job/fw-2026-03",
  "jobId": "fw-2026-03",
  "description": "Pump firmware 4.2"
}`)
	golden(t, "CreateJob without description", wire.EncodeJobIdentity(a, &jobsvc.Job{ID: "j"}), `{"jobArn":"arn:aws:iot:eu-west-1:111122223333:job/j","jobId":"j"}`)
	golden(t, "DescribeJob", wire.EncodeDescribeJob(a, &jobsvc.JobDescription{Job: fw, ProcessDetails: jobsvc.JobProcessDetails{
		ProcessingTargets: []string{a.ARN("thinggroup", "pumps")}, Succeeded: 3, Failed: 1, Queued: 44, InProgress: 2,
	}}), `{
  "job": {
    "jobArn": "arn:aws:iot:eu-west-1:111122223333:job/fw-2026-03",
    "jobId": "fw-2026-03",
    "targetSelection": "SNAPSHOT",
    "status": "IN_PROGRESS",
    "targets": ["arn:aws:iot:eu-west-1:111122223333:thinggroup/pumps"],
    "description": "Pump firmware 4.2",
    "presignedUrlConfig": {},
    "jobExecutionsRolloutConfig": {},
    "createdAt": 1773136800.125,
    "lastUpdatedAt": 1773136803.41,
    "jobProcessDetails": {
      "processingTargets": ["arn:aws:iot:eu-west-1:111122223333:thinggroup/pumps"],
      "numberOfCanceledThings": 0,
      "numberOfSucceededThings": 3,
      "numberOfFailedThings": 1,
      "numberOfRejectedThings": 0,
      "numberOfQueuedThings": 44,
      "numberOfInProgressThings": 2,
      "numberOfRemovedThings": 0,
      "numberOfTimedOutThings": 0
    },
    "timeoutConfig": {"inProgressTimeoutInMinutes": 30},
    "isConcurrent": true
  }
}`)
	canceled := jobsvc.Job{
		ID: "j", Status: jobsvc.JobCanceled, TargetSelection: jobsvc.TargetSnapshot, ForceCanceled: true, ReasonCode: "BAD_IMAGE", Comment: "checksum wrong",
		DocumentSource: "https://s3.amazonaws.com/b/k", NamespaceID: "ns",
		PresignedURLConfig: &jobsvc.PresignedURLConfig{RoleARN: "arn:aws:iam::111122223333:role/presign", Expires: 900 * time.Second},
		CreatedAt:          at(1773136800000), LastUpdatedAt: at(1773136800001),
	}
	golden(t, "DescribeJob, canceled", wire.EncodeDescribeJob(a, &jobsvc.JobDescription{Job: canceled}), `{
  "documentSource": "https://s3.amazonaws.com/b/k",
  "job": {
    "jobArn": "arn:aws:iot:eu-west-1:111122223333:job/j", "jobId": "j", "targetSelection": "SNAPSHOT", "status": "CANCELED",
    "forceCanceled": true, "reasonCode": "BAD_IMAGE", "comment": "checksum wrong", "targets": [],
    "presignedUrlConfig": {"roleArn": "arn:aws:iam::111122223333:role/presign", "expiresInSec": 900},
    "jobExecutionsRolloutConfig": {}, "timeoutConfig": {}, "createdAt": 1773136800, "lastUpdatedAt": 1773136800.001,
    "jobProcessDetails": {
      "numberOfCanceledThings": 0, "numberOfSucceededThings": 0, "numberOfFailedThings": 0, "numberOfRejectedThings": 0,
      "numberOfQueuedThings": 0, "numberOfInProgressThings": 0, "numberOfRemovedThings": 0, "numberOfTimedOutThings": 0
    },
    "namespaceId": "ns", "isConcurrent": false
  }
}`)
	golden(t, "ListJobs", wire.EncodeListJobs(a, &jobsvc.ListJobsResult{NextToken: "AQB4Zm9vYmFy", Jobs: []jobsvc.Job{{
		ID: "reboot-7", TargetSelection: jobsvc.TargetSnapshot, Status: jobsvc.JobInProgress, CreatedAt: at(1773136800125), LastUpdatedAt: at(1773136803410),
	}}}), `{
  "jobs": [
    {
      "jobArn": "arn:aws:iot:eu-west-1:111122223333:job/reboot-7",
      "jobId": "reboot-7",
      "targetSelection": "SNAPSHOT",
      "status": "IN_PROGRESS",
      "createdAt": 1773136800.125,
      "lastUpdatedAt": 1773136803.41,
      "isConcurrent": false
    }
  ],
  "nextToken": "AQB4Zm9vYmFy"
}`)
	golden(t, "ListJobs by group", wire.EncodeListJobs(a, &jobsvc.ListJobsResult{ThingGroupID: "gid", Jobs: []jobsvc.Job{{
		ID: "j", TargetSelection: jobsvc.TargetSnapshot, Status: jobsvc.JobCompleted, CreatedAt: at(1000), LastUpdatedAt: at(1020), CompletedAt: at(1020),
	}}}), `{"jobs":[{"jobArn":"arn:aws:iot:eu-west-1:111122223333:job/j","jobId":"j","thingGroupId":"gid","targetSelection":"SNAPSHOT","status":"COMPLETED","createdAt":1,"lastUpdatedAt":1.02,"completedAt":1.02,"isConcurrent":false}]}`)
	golden(t, "ListJobs, none", wire.EncodeListJobs(a, &jobsvc.ListJobsResult{}), `{"jobs":[]}`)
	golden(t, "GetJobDocument", wire.EncodeJobDocument([]byte("{ \"a\" : \"<ü>\" }\n")), `{"document":"{ \"a\" : \"<ü>\" }\n"}`)

	e := jobsvc.JobExecution{
		ThingName: "pump-17", JobID: "fw-2026-03", Status: jobsvc.StatusInProgress, StatusDetails: map[string]string{"step": "flash", "percent": "40"},
		QueuedAt: at(1773136802500), StartedAt: at(1773136860250), LastUpdatedAt: at(1773136875000), ExecutionNumber: 1, VersionNumber: 4,
		InProgressDeadline: at(1773136875000).Add(1785 * time.Second),
	}
	golden(t, "DescribeJobExecution", wire.EncodeDescribeJobExecution(a, &e, at(1773136875000)), `{
  "execution": {
    "jobId": "fw-2026-03",
    "status": "IN_PROGRESS",
    "statusDetails": {"detailsMap": {"step": "flash", "percent": "40"}},
    "thingArn": "arn:aws:iot:eu-west-1:111122223333:thing/pump-17",
    "queuedAt": 1773136802.5,
    "startedAt": 1773136860.25,
    "lastUpdatedAt": 1773136875,
    "executionNumber": 1,
    "versionNumber": 4,
    "approximateSecondsBeforeTimedOut": 1785
  }
}`)
	forced := jobsvc.JobExecution{ThingName: "t", JobID: "j", Status: jobsvc.StatusCanceled, ForceCanceled: true, QueuedAt: at(1000), LastUpdatedAt: at(1000), ExecutionNumber: 1, VersionNumber: 2}
	golden(t, "DescribeJobExecution, canceled", wire.EncodeDescribeJobExecution(a, &forced, at(0)),
		`{"execution":{"jobId":"j","status":"CANCELED","forceCanceled":true,"statusDetails":{},"thingArn":"arn:aws:iot:eu-west-1:111122223333:thing/t","queuedAt":1,"lastUpdatedAt":1,"executionNumber":1,"versionNumber":2}}`)
	golden(t, "ListJobExecutionsForJob", wire.AppendJobExecutionsForJob(nil, a, &jobsvc.ListJobExecutionsResult{Executions: []jobsvc.JobExecution{{
		ThingName: "pump-17", JobID: "j", Status: jobsvc.StatusQueued, QueuedAt: at(1773136802500), LastUpdatedAt: at(1773136802500), ExecutionNumber: 2, RetryAttempt: 1,
	}}}), `{
  "executionSummaries": [
    {
      "thingArn": "arn:aws:iot:eu-west-1:111122223333:thing/pump-17",
      "jobExecutionSummary": {
        "status": "QUEUED",
        "queuedAt": 1773136802.5,
        "lastUpdatedAt": 1773136802.5,
        "executionNumber": 2,
        "retryAttempt": 1
      }
    }
  ]
}`)
	// Written by hand, so to the byte; behind what was there.
	got := string(wire.AppendJobExecutionsForJob([]byte("x"), a, &jobsvc.ListJobExecutionsResult{NextToken: "AQ==", Executions: []jobsvc.JobExecution{
		{ThingName: "a:b", Status: jobsvc.StatusInProgress, QueuedAt: at(1001), StartedAt: at(1010), LastUpdatedAt: at(-1100), ExecutionNumber: 1},
		{ThingName: "c", Status: jobsvc.StatusQueued, QueuedAt: at(0), LastUpdatedAt: at(20999), ExecutionNumber: 2, RetryAttempt: 3},
	}}))
	if want := `x{"executionSummaries":[` +
		`{"thingArn":"arn:aws:iot:eu-west-1:111122223333:thing/a:b","jobExecutionSummary":{"status":"IN_PROGRESS","queuedAt":1.001,"startedAt":1.01,"lastUpdatedAt":-1.1,"executionNumber":1,"retryAttempt":0}},` +
		`{"thingArn":"arn:aws:iot:eu-west-1:111122223333:thing/c","jobExecutionSummary":{"status":"QUEUED","queuedAt":0,"lastUpdatedAt":20.999,"executionNumber":2,"retryAttempt":3}}` +
		`],"nextToken":"AQ=="}`; got != want {
		t.Errorf("ListJobExecutionsForJob: got\n%s\nwant\n%s", got, want)
	}
	if got := string(wire.AppendJobExecutionsForJob(nil, a, &jobsvc.ListJobExecutionsResult{})); got != `{"executionSummaries":[]}` {
		t.Errorf("ListJobExecutionsForJob, none: %s", got)
	}
	e.JobID = "reboot-7"
	golden(t, "ListJobExecutionsForThing", wire.EncodeJobExecutionsForThing(&jobsvc.ListJobExecutionsResult{Executions: []jobsvc.JobExecution{e}}), `{
  "executionSummaries": [
    {
      "jobId": "reboot-7",
      "jobExecutionSummary": {
        "status": "IN_PROGRESS",
        "queuedAt": 1773136802.5,
        "startedAt": 1773136860.25,
        "lastUpdatedAt": 1773136875,
        "executionNumber": 1,
        "retryAttempt": 0
      }
    }
  ]
}`)

	pump := jobsvc.Thing{Name: "pump-17", ID: "6d0d0a52-6d1e-4bb7-9d8b-0f4f0f3f5b10", Attributes: map[string]string{"site": "north"}, Version: 1}
	golden(t, "CreateThing", wire.EncodeCreateThing(a, &pump),
		`{"thingName":"pump-17","thingArn":"arn:aws:iot:eu-west-1:111122223333:thing/pump-17","thingId":"6d0d0a52-6d1e-4bb7-9d8b-0f4f0f3f5b10"}`)
	golden(t, "DescribeThing", wire.EncodeDescribeThing(a, &pump), `{
  "thingName": "pump-17",
  "thingId": "6d0d0a52-6d1e-4bb7-9d8b-0f4f0f3f5b10",
  "thingArn": "arn:aws:iot:eu-west-1:111122223333:thing/pump-17",
  "defaultClientId": "pump-17",
  "attributes": {"site": "north"},
  "version": 1
}`)
	golden(t, "ListThings", wire.EncodeListThings(a, &jobsvc.ListThingsResult{Things: []jobsvc.Thing{{Name: "t", Version: 2}}, NextToken: "n"}),
		`{"things":[{"thingName":"t","thingArn":"arn:aws:iot:eu-west-1:111122223333:thing/t","attributes":{},"version":2}],"nextToken":"n"}`)
	golden(t, "ListPrincipalThings", wire.EncodePrincipalThings(&jobsvc.PrincipalsResult{}), `{"things":[]}`)
	golden(t, "ListThingPrincipals", wire.EncodePrincipals(&jobsvc.PrincipalsResult{Attachments: []jobsvc.PrincipalAttachment{{Name: "p"}}, NextToken: "n"}), `{"principals":["p"],"nextToken":"n"}`)
	golden(t, "DescribeThingGroup", wire.EncodeDescribeThingGroup(a, &jobsvc.ThingGroupDescription{
		ThingGroup: jobsvc.ThingGroup{
			Name: "pumps-eu", ID: "1f1ff3e4-0f61-4df1-9a5e-6bb1f4b1c9a7", Parent: "pumps", Description: "EU pumps",
			Attributes: map[string]string{"region": "eu"}, Version: 1, CreatedAt: at(1773136800125),
		},
		Ancestors: []string{"pumps"},
	}), `{
  "thingGroupName": "pumps-eu",
  "thingGroupId": "1f1ff3e4-0f61-4df1-9a5e-6bb1f4b1c9a7",
  "thingGroupArn": "arn:aws:iot:eu-west-1:111122223333:thinggroup/pumps-eu",
  "version": 1,
  "thingGroupProperties": {
    "thingGroupDescription": "EU pumps",
    "attributePayload": {"attributes": {"region": "eu"}}
  },
  "thingGroupMetadata": {
    "parentGroupName": "pumps",
    "rootToParentThingGroups": [
      {"groupName": "pumps", "groupArn": "arn:aws:iot:eu-west-1:111122223333:thinggroup/pumps"}
    ],
    "creationDate": 1773136800.125
  }
}`)
	golden(t, "ListThingGroups", wire.EncodeListThingGroups(a, &jobsvc.ListThingGroupsResult{Groups: []string{"g"}}),
		`{"thingGroups":[{"groupName":"g","groupArn":"arn:aws:iot:eu-west-1:111122223333:thinggroup/g"}]}`)
	golden(t, "CreateThingGroup", wire.EncodeCreateThingGroup(a, &jobsvc.ThingGroup{Name: "g", ID: "i"}),
		`{"thingGroupName":"g","thingGroupArn":"arn:aws:iot:eu-west-1:111122223333:thinggroup/g","thingGroupId":"i"}`)

	cert := jobsvc.Certificate{
		ID: "7c2a9d0e4f8b1c3d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5", PEM: "-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n",
		Status: jobsvc.CertificateActive, Mode: jobsvc.ModeDefault, GenerationID: "0b6f0d1a-93b0-4c8c-9d9b-9d1a2b5a7e10", NotBefore: at(1773136680000), NotAfter: at(2524607999000),
		CreatedAt: at(1773136800125), UpdatedAt: at(1773136800125), Version: 1,
	}
	golden(t, "DescribeCertificate", wire.EncodeDescribeCertificate(a, &cert), `{
  "certificateDescription": {
    "certificateArn": "arn:aws:iot:eu-west-1:111122223333:cert/7c2a9d0e4f8b1c3d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5",
    "certificateId": "7c2a9d0e4f8b1c3d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5",
    "status": "ACTIVE",
    "certificatePem": "-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n",
    "ownedBy": "111122223333",
    "creationDate": 1773136800.125,
    "lastModifiedDate": 1773136800.125,
    "customerVersion": 1,
    "transferData": {},
    "generationId": "0b6f0d1a-93b0-4c8c-9d9b-9d1a2b5a7e10",
    "validity": {"notBefore": 1773136680, "notAfter": 2524607999},
    "certificateMode": "DEFAULT"
  }
}`)
	cert.ID, cert.PEM = "c", "pem"
	golden(t, "CreateKeysAndCertificate", wire.EncodeKeysAndCertificate(a, &jobsvc.KeysAndCertificate{Certificate: cert, PrivateKeyPEM: "priv", PublicKeyPEM: "pub"}),
		`{"certificateArn":"arn:aws:iot:eu-west-1:111122223333:cert/c","certificateId":"c","certificatePem":"pem","keyPair":{"PublicKey":"pub","PrivateKey":"priv"}}`)
	golden(t, "CreateCertificateFromCsr", wire.EncodeCreateCertificateFromCSR(a, &cert),
		`{"certificateArn":"arn:aws:iot:eu-west-1:111122223333:cert/c","certificateId":"c","certificatePem":"pem"}`)
	golden(t, "ListCertificates", wire.EncodeListCertificates(a, &jobsvc.ListCertificatesResult{Certificates: []jobsvc.Certificate{cert}, NextMarker: "m"}),
		`{"certificates":[{"certificateArn":"arn:aws:iot:eu-west-1:111122223333:cert/c","certificateId":"c","status":"ACTIVE","certificateMode":"DEFAULT","creationDate":1773136800.125}],"nextMarker":"m"}`)

	policy := jobsvc.PolicyDescription{
		Policy:  jobsvc.Policy{Name: "p", DefaultVersion: 1, LastVersion: 1, GenerationID: "g", CreatedAt: at(1000), UpdatedAt: at(2000)},
		Version: jobsvc.PolicyVersion{Number: 1, Document: `{"a":1}`, CreatedAt: at(1000)},
	}
	golden(t, "CreatePolicy", wire.EncodeCreatePolicy(a, &policy),
		`{"policyName":"p","policyArn":"arn:aws:iot:eu-west-1:111122223333:policy/p","policyDocument":"{\"a\":1}","policyVersionId":"1"}`)
	golden(t, "GetPolicy", wire.EncodeGetPolicy(a, &policy),
		`{"policyName":"p","policyArn":"arn:aws:iot:eu-west-1:111122223333:policy/p","policyDocument":"{\"a\":1}","defaultVersionId":"1","creationDate":1,"lastModifiedDate":2,"generationId":"g"}`)
	golden(t, "ListPolicies", wire.EncodePolicies(a, &jobsvc.ListPoliciesResult{Policies: []jobsvc.Policy{policy.Policy}, NextMarker: "m"}),
		`{"policies":[{"policyName":"p","policyArn":"arn:aws:iot:eu-west-1:111122223333:policy/p"}],"nextMarker":"m"}`)
	golden(t, "DescribeEndpoint", wire.EncodeDescribeEndpoint("iot.example.net"), `{"endpointAddress":"iot.example.net"}`)
}

// TestConfiguredJobGolden has a job with every configuration.
func TestConfiguredJobGolden(t *testing.T) {
	a := controlAccount
	j := jobsvc.Job{
		ID: "fw", Status: jobsvc.JobScheduled, TargetSelection: jobsvc.TargetContinuous, Targets: []string{a.ARN("thinggroup", "pumps")},
		RolloutConfig: &jobsvc.RolloutConfig{MaximumPerMinute: 400, ExponentialRate: &jobsvc.ExponentialRate{
			BaseRatePerMinute: 20, IncrementFactor: 15, RateIncreaseCriteria: jobsvc.RateIncreaseCriteria{NumberOfSucceededThings: 100},
		}},
		AbortConfig: &jobsvc.AbortConfig{CriteriaList: []jobsvc.AbortCriterion{
			{FailureType: jobsvc.FailureFailed, Action: "CANCEL", ThresholdPercentage: 1250, MinNumberOfExecutedThings: 40},
			{FailureType: jobsvc.FailureAll, Action: "CANCEL", ThresholdPercentage: 3000, MinNumberOfExecutedThings: 20},
		}},
		RetryConfig: &jobsvc.RetryConfig{CriteriaList: []jobsvc.RetryCriterion{{FailureType: jobsvc.FailureFailed, NumberOfRetries: 2}, {FailureType: jobsvc.FailureTimedOut}}},
		SchedulingConfig: &jobsvc.SchedulingConfig{
			StartTime: "2026-03-12 23:00", EndTime: "2026-06-12T22:00:00Z", EndBehavior: jobsvc.EndCancel, TimeZone: "+01:00",
			MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(0 2 ? * SAT *)", DurationInMinutes: 180}},
		},
		JobTemplateARN: "arn:t", DocumentParameters: map[string]string{"a": "b"}, DestinationPackageVersions: []string{"arn:p"},
		CreatedAt: at(1773136800000), LastUpdatedAt: at(1773136800000),
	}
	golden(t, "DescribeJob", wire.EncodeDescribeJob(a, &jobsvc.JobDescription{Job: j, ScheduledRollouts: []time.Time{time.Date(2026, 3, 14, 2, 0, 0, 0, time.UTC)}}), `{
  "job": {
    "jobArn": "arn:aws:iot:eu-west-1:111122223333:job/fw", "jobId": "fw", "targetSelection": "CONTINUOUS", "status": "SCHEDULED",
    "targets": ["arn:aws:iot:eu-west-1:111122223333:thinggroup/pumps"],
    "presignedUrlConfig": {}, "timeoutConfig": {},
    "jobExecutionsRolloutConfig": {
      "maximumPerMinute": 400,
      "exponentialRate": {"baseRatePerMinute": 20, "incrementFactor": 1.5, "rateIncreaseCriteria": {"numberOfSucceededThings": 100}}
    },
    "abortConfig": {
      "criteriaList": [
        {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 12.5, "minNumberOfExecutedThings": 40},
        {"failureType": "ALL", "action": "CANCEL", "thresholdPercentage": 30, "minNumberOfExecutedThings": 20}
      ]
    },
    "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 2}, {"failureType": "TIMED_OUT", "numberOfRetries": 0}]},
    "schedulingConfig": {
      "startTime": "2026-03-12 23:00", "endTime": "2026-06-12T22:00:00Z", "endBehavior": "CANCEL",
      "maintenanceWindows": [{"startTime": "cron(0 2 ? * SAT *)", "durationInMinutes": 180}]
    },
    "scheduledJobRollouts": [{"startTime": "2026-03-14T02:00:00Z"}],
    "jobTemplateArn": "arn:t", "documentParameters": {"a": "b"}, "destinationPackageVersions": ["arn:p"],
    "createdAt": 1773136800, "lastUpdatedAt": 1773136800,
    "jobProcessDetails": {
      "numberOfCanceledThings": 0, "numberOfSucceededThings": 0, "numberOfFailedThings": 0, "numberOfRejectedThings": 0,
      "numberOfQueuedThings": 0, "numberOfInProgressThings": 0, "numberOfRemovedThings": 0, "numberOfTimedOutThings": 0
    },
    "isConcurrent": false
  }
}`)
}
