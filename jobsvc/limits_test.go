package jobsvc

import (
	"strings"
	"testing"
	"time"
)

func TestCreateJobRequestValidate(t *testing.T) {
	str := func(s string) *string { return &s }
	base := func() *CreateJobRequest {
		return &CreateJobRequest{JobID: "fw-1", Targets: []string{"arn:aws:iot:us-east-1:123456789012:thing/t"}, Document: str("{}")}
	}
	if err := base().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*CreateJobRequest)
		code   Code
		field  string
	}{
		"empty id":             {func(r *CreateJobRequest) { r.JobID = "" }, CodeInvalidRequest, "jobId"},
		"space in id":          {func(r *CreateJobRequest) { r.JobID = "a b" }, CodeInvalidRequest, "jobId"},
		"id of 65":             {func(r *CreateJobRequest) { r.JobID = strings.Repeat("a", 65) }, CodeInvalidRequest, "jobId"},
		"no targets":           {func(r *CreateJobRequest) { r.Targets = nil }, CodeInvalidRequest, "targets"},
		"long target":          {func(r *CreateJobRequest) { r.Targets[0] = strings.Repeat("a", 2049) }, CodeInvalidRequest, "targets"},
		"no document":          {func(r *CreateJobRequest) { r.Document = nil }, CodeInvalidRequest, "document"},
		"both documents":       {func(r *CreateJobRequest) { r.DocumentSource = "https://x" }, CodeInvalidRequest, "documentSource"},
		"long source":          {func(r *CreateJobRequest) { r.Document = nil; r.DocumentSource = strings.Repeat("a", 1351) }, CodeInvalidRequest, "documentSource"},
		"odd selection":        {func(r *CreateJobRequest) { r.TargetSelection = "ALL" }, CodeInvalidRequest, "targetSelection"},
		"empty description":    {func(r *CreateJobRequest) { r.Description = str("") }, CodeInvalidRequest, "description"},
		"newline":              {func(r *CreateJobRequest) { r.Description = str("a\nb") }, CodeInvalidRequest, "description"},
		"format character":     {func(r *CreateJobRequest) { r.Description = str("a\u200bb") }, CodeInvalidRequest, "description"},
		"unassigned character": {func(r *CreateJobRequest) { r.Description = str("a\U0003fffe") }, CodeInvalidRequest, "description"},
		"broken utf-8":         {func(r *CreateJobRequest) { r.Description = str("a\xff") }, CodeInvalidRequest, "description"},
		"description of 2029":  {func(r *CreateJobRequest) { r.Description = str(strings.Repeat("ä", 2029)) }, CodeInvalidRequest, "description"},
		"bad namespace":        {func(r *CreateJobRequest) { r.NamespaceID = str("a/b") }, CodeInvalidRequest, "namespaceId"},
		"namespace too long": {func(r *CreateJobRequest) {
			r.JobID, r.NamespaceID = strings.Repeat("j", 64), str(strings.Repeat("n", 20))
		}, CodeInvalidRequest, "namespaceId"},
		"role of 19": {func(r *CreateJobRequest) { r.PresignedURLConfig = &PresignedURLConfig{RoleARN: "arn:aws:iam::1:role/"} }, CodeInvalidRequest, "roleArn"},
		"no role": {func(r *CreateJobRequest) {
			r.PresignedURLConfig = &PresignedURLConfig{RoleARN: "arn:aws:s3:::bucket/some/key"}
		}, CodeInvalidRequest, "roleArn"},
		"expires 59":        {func(r *CreateJobRequest) { r.PresignedURLConfig = &PresignedURLConfig{Expires: 59 * time.Second} }, CodeInvalidRequest, "expiresInSec"},
		"expires 604801":    {func(r *CreateJobRequest) { r.PresignedURLConfig = &PresignedURLConfig{Expires: 604801 * time.Second} }, CodeInvalidRequest, "expiresInSec"},
		"timeout 10081":     {func(r *CreateJobRequest) { r.TimeoutConfig = &TimeoutConfig{InProgress: 10081 * time.Minute} }, CodeInvalidRequest, "inProgressTimeoutInMinutes"},
		"parameters alone":  {func(r *CreateJobRequest) { r.DocumentParameters = map[string]string{"a": "b"} }, CodeInvalidRequest, "documentParameters"},
		"26 packages":       {func(r *CreateJobRequest) { r.DestinationPackageVersions = make([]string, 26) }, CodeInvalidRequest, "destinationPackageVersions"},
		"51 tags":           {func(r *CreateJobRequest) { r.Tags = make([]Tag, 51) }, CodeLimitExceeded, "50 tags"},
		"the service's tag": {func(r *CreateJobRequest) { r.Tags = []Tag{{Key: "Aws:x"}} }, CodeInvalidRequest, "Aws:x"},
		"a tag twice":       {func(r *CreateJobRequest) { r.Tags = []Tag{{Key: "x"}, {Key: "X"}, {Key: "x", Value: "1"}} }, CodeInvalidRequest, `"x"`},
	} {
		r := base()
		tc.change(r)
		err := r.Validate()
		if got := ErrorCode(err); got != tc.code {
			t.Errorf("%s: code %q, want %q (%v)", name, got, tc.code, err)
		} else if !strings.Contains(err.Error(), tc.field) {
			t.Errorf("%s: the message does not name %s: %v", name, tc.field, err)
		}
	}
	ok := base()
	ok.Description = str("Pumpe ä 4.2 – fürs Werk 😀")
	ok.TimeoutConfig = &TimeoutConfig{InProgress: 10080 * time.Minute}
	ok.TargetSelection = TargetContinuous
	ok.Tags = []Tag{{Key: "awsome", Value: ""}, {Key: "x"}, {Key: "X"}}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateDocument(t *testing.T) {
	fits := `"` + strings.Repeat("x", MaxDocumentBytes-2) + `"`
	for name, tc := range map[string]struct {
		doc string
		ok  bool
	}{
		"exactly 32768 bytes": {fits, true},
		"32769 bytes":         {fits[:1] + "x" + fits[1:], false},
		"empty":               {"", false},
		"not json":            {"{", false},
		"two values":          {"{} {}", false},
		"bom":                 {"\xef\xbb\xbf{}", false},
		"not utf-8":           {"\"\xff\"", false},
		"array":               {"[1]", true},
	} {
		if err := ValidateDocument([]byte(tc.doc)); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateStatusDetails(t *testing.T) {
	many := map[string]string{}
	for i := range 11 {
		many[string(rune('a'+i))] = "x"
	}
	for name, tc := range map[string]struct {
		d  map[string]string
		ok bool
	}{
		"line feed, tab, escape": {map[string]string{"stdout": "a\nb\t\x1b"}, true},
		"1024 characters":        {map[string]string{"k": strings.Repeat("ä", 1024)}, true},
		"1025 characters":        {map[string]string{"k": strings.Repeat("a", 1025)}, false},
		"empty value":            {map[string]string{"k": ""}, false},
		"key with a space":       {map[string]string{"a b": "x"}, false},
		"empty key":              {map[string]string{"": "x"}, false},
		"key of 129":             {map[string]string{strings.Repeat("k", 129): "x"}, false},
		"11 pairs":               {many, false},
	} {
		limits := GenerousLimits()
		if err := limits.CheckStatusDetails(tc.d); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, s := range []string{"", "a", "a:b_c-9", "a b", "a/b", "ä", strings.Repeat("a", 128), strings.Repeat("a", 129), "a+b", "a#"} {
		if got, want := IsThingName(s), ValidateName("thingName", s) == nil; got != want {
			t.Errorf("IsThingName(%q) = %v, the pattern says %v", s, got, want)
		}
		if got, want := IsJobID(s), ValidateJobID(s) == nil; got != want {
			t.Errorf("IsJobID(%q) = %v, the pattern says %v", s, got, want)
		}
	}
}

func TestARN(t *testing.T) {
	a := Account{"aws", "eu-west-1", "111122223333"}
	arn := a.ARN(ARNThing, "pump:1")
	if kind, name, ok := a.Parse(arn); !ok || kind != "thing" || name != "pump:1" {
		t.Errorf("Parse(%q) = %q, %q, %v", arn, kind, name, ok)
	}
	for _, bad := range []string{"", "arn", "arn:aws:iot:eu-west-2:111122223333:thing/x", "arn:aws:iot:eu-west-1:1:thing/x", "arn:aws:iot:eu-west-1:111122223333:thing/", "arn:aws:iot:eu-west-1:111122223333:/x", "arn:aws:iot:eu-west-1:111122223333:thing"} {
		if _, _, ok := a.Parse(bad); ok {
			t.Errorf("Parse(%q) succeeds", bad)
		}
	}
}
