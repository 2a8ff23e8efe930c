package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func TestMQTTCodeIsOneClientsKnow(t *testing.T) {
	known := []string{
		"InvalidTopic", "InvalidJson", "InvalidRequest", "InvalidStateTransition", "ResourceNotFound",
		"VersionMismatch", "InternalError", "RequestThrottled", "TerminalStateReached",
	}
	for _, c := range jobsvc.Codes() {
		got := MQTTCode(c)
		if !slices.Contains(known, got) {
			t.Errorf("MQTTCode(%s) = %q, which no client knows", c, got)
		}
		if got == "InternalError" && c != jobsvc.CodeInternal && c != jobsvc.CodeUnavailable {
			t.Errorf("MQTTCode(%s) = InternalError, which makes a device repeat its mistake", c)
		}
	}
}

func num(n int64) *int64 { return &n }

func TestDecodeUpdateJobExecution(t *testing.T) {
	ok := func(f func(*jobsvc.UpdateJobExecutionRequest)) *jobsvc.UpdateJobExecutionRequest {
		r := &jobsvc.UpdateJobExecutionRequest{}
		r.Status = jobsvc.StatusInProgress
		if f != nil {
			f(r)
		}
		return r
	}
	tests := []struct {
		name, payload string
		want          *jobsvc.UpdateJobExecutionRequest // nil: refused
		code          jobsvc.Code
		token         string
	}{
		{"minimal", `{"status":"IN_PROGRESS"}`, ok(nil), "", ""},
		{"token", `{"status":"IN_PROGRESS","clientToken":"a\u00e9\n"}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.ClientToken = "aé\n" }), "", "aé\n"},
		{"white space", " \r\n{ \"status\" : \"IN_PROGRESS\" , \"x\" : [ 1 , { } ] }\t", ok(nil), "", ""},
		{"last duplicate wins", `{"status":7,"status":"IN_PROGRESS"}`, ok(nil), "", ""},
		{"duplicate null is absent", `{"status":"IN_PROGRESS","status":null}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"null members", `{"status":"IN_PROGRESS","clientToken":null,"statusDetails":null,"expectedVersion":null,"executionNumber":null,"stepTimeoutInMinutes":null,"includeJobDocument":null}`, ok(nil), "", ""},
		{"names are case-sensitive", `{"Status":"IN_PROGRESS"}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"escaped name", `{"st\u0061tus":"IN_PROGRESS"}`, ok(nil), "", ""},
		{"repeated in body", `{"status":"IN_PROGRESS","thingName":"t","jobId":"j"}`, ok(nil), "", ""},
		{"version string", `{"status":"IN_PROGRESS","expectedVersion":"3"}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.ExpectedVersion = num(3) }), "", ""},
		{"version negative string", `{"status":"IN_PROGRESS","expectedVersion":"-3"}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.ExpectedVersion = num(-3) }), "", ""},
		{"version zero fraction", `{"status":"IN_PROGRESS","expectedVersion":2.0}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.ExpectedVersion = num(2) }), "", ""},
		{"number", `{"status":"IN_PROGRESS","executionNumber":9223372036854775807}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.ExecutionNumber = num(9223372036854775807) }), "", ""},
		{"number too big", `{"status":"IN_PROGRESS","clientToken":"t","executionNumber":9223372036854775808}`, nil, jobsvc.CodeInvalidRequest, "t"},
		{"version fraction", `{"status":"IN_PROGRESS","expectedVersion":2.5}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"version exponent", `{"status":"IN_PROGRESS","expectedVersion":2e0}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"version empty string", `{"status":"IN_PROGRESS","expectedVersion":""}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"version plus", `{"status":"IN_PROGRESS","expectedVersion":"+3"}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"version bool", `{"status":"IN_PROGRESS","expectedVersion":true}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"step", `{"status":"IN_PROGRESS","stepTimeoutInMinutes":"10080"}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.StepTimeout = 10080 * time.Minute }), "", ""},
		{"step cancel", `{"status":"IN_PROGRESS","stepTimeoutInMinutes":-1}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.StepTimeout = jobsvc.CancelStepTimeout }), "", ""},
		{"step zero", `{"status":"IN_PROGRESS","stepTimeoutInMinutes":0}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"step big", `{"status":"IN_PROGRESS","stepTimeoutInMinutes":10081}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"details", `{"status":"IN_PROGRESS","statusDetails":{"a":"1","a":"2","b":"x\ty"}}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.StatusDetails = map[string]string{"a": "2", "b": "x\ty"} }), "", ""},
		{"details clear", `{"status":"IN_PROGRESS","statusDetails":{}}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.StatusDetails = map[string]string{} }), "", ""},
		{"details broken UTF-8", "{\"status\":\"IN_PROGRESS\",\"statusDetails\":{\"a\":\"x\xe2\x82\"}}", ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.StatusDetails = map[string]string{"a": "x\uFFFD\uFFFD"} }), "", ""},
		{"details lone surrogate", `{"status":"IN_PROGRESS","statusDetails":{"a":"\ud800x"}}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.StatusDetails = map[string]string{"a": "\uFFFDx"} }), "", ""},
		{"details pair", `{"status":"IN_PROGRESS","statusDetails":{"a":"\ud83d\ude00"}}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.StatusDetails = map[string]string{"a": "😀"} }), "", ""},
		{"details number", `{"status":"IN_PROGRESS","clientToken":"t","statusDetails":{"a":1}}`, nil, jobsvc.CodeInvalidRequest, "t"},
		{"details array", `{"status":"IN_PROGRESS","statusDetails":[]}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"status missing", `{"clientToken":""}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"document", `{"status":"IN_PROGRESS","includeJobDocument":true}`, ok(func(r *jobsvc.UpdateJobExecutionRequest) { r.IncludeDocument = true }), "", ""},
		{"bool string", `{"status":"IN_PROGRESS","includeJobDocument":"true"}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"token number", `{"status":"IN_PROGRESS","clientToken":7}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"token long", `{"status":"IN_PROGRESS","clientToken":"` + strings.Repeat("x", 1025) + `"}`, nil, jobsvc.CodeInvalidRequest, ""},
		{"empty", ``, nil, jobsvc.CodeInvalidRequest, ""},
		{"not json", `not json`, nil, jobsvc.CodeInvalidJSON, ""},
		{"array", `[]`, nil, jobsvc.CodeInvalidJSON, ""},
		{"trailing", `{"clientToken":"t"} x`, nil, jobsvc.CodeInvalidJSON, ""},
		{"raw line feed", "{\"clientToken\":\"a\nb\"}", nil, jobsvc.CodeInvalidJSON, ""},
		{"bad escape", `{"clientToken":"\x"}`, nil, jobsvc.CodeInvalidJSON, ""},
		{"leading zero", `{"x":01}`, nil, jobsvc.CodeInvalidJSON, ""},
		{"deep", `{"x":` + strings.Repeat("[", 100000), nil, jobsvc.CodeInvalidJSON, ""},
		{"deep objects", `{"x":` + strings.Repeat(`{"x":`, 20000), nil, jobsvc.CodeInvalidJSON, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r jobsvc.UpdateJobExecutionRequest
			token, _, err := DecodeUpdateJobExecution([]byte(tt.payload), &r)
			if got := jobsvc.ErrorCode(err); got != tt.code {
				t.Fatalf("code = %q (%v), want %q", got, err, tt.code)
			}
			if token.Value != tt.token {
				t.Errorf("token = %q, want %q", token.Value, tt.token)
			}
			if tt.want != nil && !reflect.DeepEqual(&r, tt.want) {
				t.Errorf("got  %+v\nwant %+v", &r, tt.want)
			}
		})
	}
}

func TestDecodeDefaults(t *testing.T) {
	for _, payload := range []string{"", "  \n", "{}"} {
		if token, err := DecodeGetPendingJobExecutions([]byte(payload)); token.Given || err != nil {
			t.Errorf("get %q: %v, %v", payload, token, err)
		}
		var s jobsvc.StartNextPendingJobExecutionRequest
		if _, err := DecodeStartNextPendingJobExecution([]byte(payload), &s); err != nil || s.StatusDetails != nil || s.StepTimeout != 0 {
			t.Errorf("start-next %q: %+v, %v", payload, s, err)
		}
		var d jobsvc.DescribeJobExecutionRequest
		if _, err := DecodeDescribeJobExecution([]byte(payload), &d); err != nil || !d.IncludeDocument || d.ExecutionNumber != nil {
			t.Errorf("describe %q: %+v, %v", payload, d, err)
		}
	}
	if token, err := DecodeGetPendingJobExecutions([]byte(`{"clientToken":"","status":5}`)); !token.Given || err != nil {
		t.Errorf("empty token: %v, %v", token, err)
	}
	var s jobsvc.StartNextPendingJobExecutionRequest
	if _, err := DecodeStartNextPendingJobExecution([]byte(`{"stepTimeoutInMinutes":-1}`), &s); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest {
		t.Errorf("start-next with step -1: %v", err)
	}
	var d jobsvc.DescribeJobExecutionRequest
	if _, err := DecodeDescribeJobExecution([]byte(`{"executionNumber":"1","includeJobDocument":false}`), &d); err != nil || d.IncludeDocument || *d.ExecutionNumber != 1 {
		t.Errorf("describe: %+v, %v", d, err)
	}
}

var (
	t0 = time.Unix(1773136802, 987e6)
	t1 = time.Unix(1773136860, 999e6)
)

func execution() *jobsvc.JobExecution {
	return &jobsvc.JobExecution{
		JobID: "fw-2026-03", Status: jobsvc.StatusInProgress, StatusDetails: map[string]string{"step": "<a&b>\n", "a": "\x1b\u2028"},
		QueuedAt: t0, StartedAt: t1, LastUpdatedAt: t1, VersionNumber: 2, ExecutionNumber: 1,
		StepDeadline: t1.Add(600 * time.Second),
	}
}

func TestEncode(t *testing.T) {
	queued := jobsvc.JobExecution{JobID: "rotate-keys-9", Status: jobsvc.StatusQueued, QueuedAt: t1, LastUpdatedAt: t1, VersionNumber: 1, ExecutionNumber: 1}
	token := ClientToken{Value: `a"2`, Given: true}
	doc := []byte(`{"n":1.0,"u":"a&b","n2":12345678901234567890}`)
	pending := &jobsvc.PendingJobExecutions{InProgress: []jobsvc.JobExecution{*execution()}, Queued: []jobsvc.JobExecution{queued}, Time: t1}
	tests := []struct{ name, got, want string }{
		{"empty queue", string(AppendExecutionAccepted(nil, ClientToken{}, &jobsvc.DeviceExecution{Time: t1}, nil)), `{"timestamp":1773136860}`},
		{"empty token", string(AppendExecutionAccepted(nil, ClientToken{Given: true}, &jobsvc.DeviceExecution{Time: t1}, nil)), `{"clientToken":"","timestamp":1773136860}`},
		{"execution", string(AppendExecutionAccepted(nil, token, &jobsvc.DeviceExecution{Execution: execution(), Time: t1}, doc)),
			`{"clientToken":"a\"2","timestamp":1773136860,"execution":{"jobId":"fw-2026-03","status":"IN_PROGRESS","statusDetails":{"a":"\u001b` + "\u2028" + `","step":"<a&b>\n"},"queuedAt":1773136802,"startedAt":1773136860,"lastUpdatedAt":1773136860,"approximateSecondsBeforeTimedOut":600,"versionNumber":2,"executionNumber":1,"jobDocument":{"n":1.0,"u":"a&b","n2":12345678901234567890}}}`},
		{"queued, no document", string(AppendExecutionAccepted(nil, ClientToken{}, &jobsvc.DeviceExecution{Execution: &queued, Time: t1}, nil)),
			`{"timestamp":1773136860,"execution":{"jobId":"rotate-keys-9","status":"QUEUED","queuedAt":1773136860,"lastUpdatedAt":1773136860,"versionNumber":1,"executionNumber":1}}`},
		{"pending", string(AppendPendingAccepted(nil, ClientToken{}, pending)),
			`{"timestamp":1773136860,"inProgressJobs":[{"jobId":"fw-2026-03","queuedAt":1773136802,"startedAt":1773136860,"lastUpdatedAt":1773136860,"versionNumber":2,"executionNumber":1}],"queuedJobs":[{"jobId":"rotate-keys-9","queuedAt":1773136860,"lastUpdatedAt":1773136860,"versionNumber":1,"executionNumber":1}]}`},
		{"nothing pending", string(AppendPendingAccepted(nil, ClientToken{}, &jobsvc.PendingJobExecutions{Time: t1})), `{"timestamp":1773136860,"inProgressJobs":[],"queuedJobs":[]}`},
		{"update", string(AppendUpdateAccepted(nil, ClientToken{}, t1, nil, nil)), `{"timestamp":1773136860}`},
		{"update with all", string(AppendUpdateAccepted(nil, ClientToken{}, t1, &jobsvc.JobExecutionState{Status: jobsvc.StatusFailed, VersionNumber: 4}, []byte(`[]`))),
			`{"timestamp":1773136860,"executionState":{"status":"FAILED","versionNumber":4},"jobDocument":[]}`},
		{"notify", string(AppendNotify(nil, pending)),
			`{"timestamp":1773136860,"jobs":{"IN_PROGRESS":[{"jobId":"fw-2026-03","queuedAt":1773136802,"startedAt":1773136860,"lastUpdatedAt":1773136860,"versionNumber":2,"executionNumber":1}],"QUEUED":[{"jobId":"rotate-keys-9","queuedAt":1773136860,"lastUpdatedAt":1773136860,"versionNumber":1,"executionNumber":1}]}}`},
		{"notify empty", string(AppendNotify(nil, &jobsvc.PendingJobExecutions{Time: t1})), `{"timestamp":1773136860,"jobs":{}}`},
		{"notify-next", string(AppendNotifyNext(nil, t1, &queued, doc)),
			`{"timestamp":1773136860,"execution":{"jobId":"rotate-keys-9","status":"QUEUED","queuedAt":1773136860,"lastUpdatedAt":1773136860,"versionNumber":1,"executionNumber":1,"jobDocument":{"n":1.0,"u":"a&b","n2":12345678901234567890}}}`},
		{"notify-next empty", string(AppendNotifyNext(nil, t1, nil, nil)), `{"timestamp":1773136860}`},
		{"rejected with state", string(AppendRejected(nil, token, t1, &jobsvc.Error{Code: jobsvc.CodeVersionMismatch, Message: "No & <no>.", State: &jobsvc.JobExecutionState{Status: jobsvc.StatusInProgress, StatusDetails: map[string]string{"a": "b"}, VersionNumber: 5}})),
			`{"code":"VersionMismatch","message":"No & <no>.","clientToken":"a\"2","timestamp":1773136860,"executionState":{"status":"IN_PROGRESS","statusDetails":{"a":"b"},"versionNumber":5}}`},
		{"rejected, secret", string(AppendRejected(nil, ClientToken{}, t1, errors.New("disk /dev/sda1"))),
			`{"code":"InternalError","message":"The service could not handle the request. Try again.","timestamp":1773136860}`},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, tt.got, tt.want)
		}
		if !json.Valid([]byte(tt.got)) {
			t.Errorf("%s: not JSON", tt.name)
		}
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	x := &jobsvc.DeviceExecution{Execution: execution(), Time: t1}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = AppendExecutionAccepted(buf[:0], ClientToken{}, x, []byte("{}")) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// fuzzDecode checks what all decoders share: what they accept, encoding/json does
// too, and what they hand on is valid UTF-8.
func fuzzDecode(f *testing.F, decode func([]byte) (ClientToken, map[string]string, error)) {
	for _, s := range []string{
		"", "{}", `{"clientToken":"a"}`, `{"status":"IN_PROGRESS","statusDetails":{"a":"b\u00e9"},"expectedVersion":"2","executionNumber":1.0,"stepTimeoutInMinutes":-1,"includeJobDocument":true}`,
		`{"a":[1,-2.5e+3,{"b":null}],"clientToken":"\ud800"}`, "{\"clientToken\":\"\xff\"}", `[`, `{"clientToken":"a`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		token, details, err := decode(payload)
		isJSON := jobsvc.ErrorCode(err) != jobsvc.CodeInvalidJSON
		var object map[string]json.RawMessage
		blank := strings.Trim(string(payload), " \t\r\n") == ""
		want := blank || json.Unmarshal(payload, &object) == nil && object != nil
		if isJSON != want && strings.Count(string(payload), "[")+strings.Count(string(payload), "{") < maxDepth {
			t.Fatalf("%q: taken as JSON: %v, by encoding/json: %v", payload, isJSON, want)
		}
		if !utf8.ValidString(token.Value) || len(token.Value) > jobsvc.MaxClientTokenBytes {
			t.Fatalf("%q: token %q", payload, token.Value)
		}
		if err == nil {
			for k, v := range details {
				if !utf8.ValidString(k) || !utf8.ValidString(v) {
					t.Fatalf("%q: details %q %q", payload, k, v)
				}
			}
		}
		out := AppendRejected(nil, token, t0, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "%q", payload))
		if !json.Valid(out) {
			t.Fatalf("%q: answer %s", payload, out)
		}
	})
}

func FuzzDecodeGetPendingJobExecutions(f *testing.F) {
	fuzzDecode(f, func(b []byte) (ClientToken, map[string]string, error) {
		t, err := DecodeGetPendingJobExecutions(b)
		return t, nil, err
	})
}

func FuzzDecodeStartNextPendingJobExecution(f *testing.F) {
	fuzzDecode(f, func(b []byte) (ClientToken, map[string]string, error) {
		var r jobsvc.StartNextPendingJobExecutionRequest
		t, err := DecodeStartNextPendingJobExecution(b, &r)
		return t, r.StatusDetails, err
	})
}

func FuzzDecodeDescribeJobExecution(f *testing.F) {
	fuzzDecode(f, func(b []byte) (ClientToken, map[string]string, error) {
		var r jobsvc.DescribeJobExecutionRequest
		t, err := DecodeDescribeJobExecution(b, &r)
		return t, nil, err
	})
}

func FuzzDecodeUpdateJobExecution(f *testing.F) {
	fuzzDecode(f, func(b []byte) (ClientToken, map[string]string, error) {
		var r jobsvc.UpdateJobExecutionRequest
		t, _, err := DecodeUpdateJobExecution(b, &r)
		return t, r.StatusDetails, err
	})
}
