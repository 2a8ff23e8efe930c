package jobsvc

import (
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	generous, aws := GenerousLimits(), AWSLimits()
	full := JobCounts{ActiveSnapshot: 100, ActiveContinuous: 100, Concurrent: 500, Deleting: 10}
	for _, tc := range []struct {
		what     string
		err      error
		code     Code
		contains string
	}{
		{"100 targets", generous.CheckTargets(100), "", ""},
		{"101 targets", generous.CheckTargets(101), CodeLimitExceeded, "100 targets"},
		{"10 windows", generous.CheckWindows(10), "", ""},
		{"11 windows", generous.CheckWindows(11), CodeInvalidRequest, "maintenanceWindows"},
		{"2 windows, aws", aws.CheckWindows(2), CodeInvalidRequest, "maintenanceWindows"},
		{"generous has no quota", generous.CheckCreate(full, TargetSnapshot, true), "", ""},
		{"generous deletes", generous.CheckDelete(full), "", ""},
		{"snapshot jobs", aws.CheckCreate(JobCounts{ActiveSnapshot: 100}, "", false), CodeLimitExceeded, "snapshot"},
		{"one less", aws.CheckCreate(JobCounts{ActiveSnapshot: 99, ActiveContinuous: 100}, TargetSnapshot, true), "", ""},
		{"continuous jobs", aws.CheckCreate(JobCounts{ActiveContinuous: 100}, TargetContinuous, true), CodeLimitExceeded, "continuous"},
		{"concurrent jobs", aws.CheckCreate(JobCounts{Concurrent: 500}, TargetSnapshot, true), CodeLimitExceeded, "concurrent"},
		{"a job that waits", aws.CheckCreate(JobCounts{Concurrent: 500}, TargetSnapshot, false), "", ""},
		{"deletions", aws.CheckDelete(full), CodeLimitExceeded, "DELETION_IN_PROGRESS"},
		{"a document", generous.CheckDocument([]byte(`{"a":"` + strings.Repeat("x", MaxDocumentBytes) + `"}`)), CodeInvalidRequest, "32768"},
		{"no JSON", generous.CheckDocument([]byte("{")), CodeInvalidRequest, "JSON"},
	} {
		if ErrorCode(tc.err) != tc.code || tc.err != nil && !strings.Contains(tc.err.Error(), tc.contains) {
			t.Errorf("%s: %v, want %q", tc.what, tc.err, tc.code)
		}
	}
	if generous.PerSecond("CreateJob") != 0 || aws.PerSecond("CreateJob") != 10 || aws.PerSecond("DescribeThing") != 350 || aws.PerSecond("TagResource") != 0 {
		t.Error("rates")
	}
}
