package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
)

// An admin makes keys for operators, sees them without secrets, and takes them back.
func TestAccessKeys(t *testing.T) {
	e, _ := newEngine(t)
	admin := auth.NewAccessKey(jobsvc.RoleAdmin, "admin", time.Now())
	if err := e.CreateAccessKey(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Engine, o.AccessKey = e, e.AccessKey
	srv := serve(t, o)
	do := func(key jobsvc.AccessKey, method, target, body string) answer {
		t.Helper()
		return request{method: method, target: target, body: body, key: key}.do(t, srv.Client(), srv.URL)
	}
	create := func(name, role string) jobsvc.AccessKey {
		t.Helper()
		got := do(admin, "POST", "/operators/access-keys", `{"name":"`+name+`","role":"`+role+`"}`)
		var k struct{ AccessKeyID, SecretAccessKey, Name, Role string }
		if err := json.Unmarshal([]byte(got.body), &k); err != nil || got.status != 200 || k.Name != name || k.Role != role {
			t.Fatalf("CreateAccessKey: %d %s", got.status, got.body)
		}
		return jobsvc.AccessKey{ID: k.AccessKeyID, Secret: k.SecretAccessKey}
	}
	viewer, operator := create("ann", "viewer"), create("bob@example.net", "operator")
	for _, tc := range []struct {
		who            string
		key            jobsvc.AccessKey
		method, target string
		status         int
		errType        string
	}{
		{"viewer reads", viewer, "GET", "/things", 200, ""},
		{"viewer writes", viewer, "POST", "/things/t", 403, "AccessDeniedException"},
		{"viewer lists keys", viewer, "GET", "/operators/access-keys", 403, "AccessDeniedException"},
		{"viewer tries URLs", viewer, "POST", "/operators/jobs/none/check-presigned-urls", 403, "AccessDeniedException"},
		{"operator tries URLs", operator, "POST", "/operators/jobs/none/check-presigned-urls", 404, "ResourceNotFoundException"},
		{"operator writes", operator, "POST", "/things/t", 200, ""},
		{"viewer asks why", viewer, "GET", "/operators/things/t/explanation", 200, ""},
		{"viewer asks why nobody", viewer, "GET", "/operators/things/nobody/explanation", 404, "ResourceNotFoundException"},
		{"operator lists keys", operator, "GET", "/operators/access-keys", 403, "AccessDeniedException"},
		{"operator revokes", operator, "DELETE", "/operators/access-keys/" + viewer.ID, 403, "AccessDeniedException"},
		{"revoke nobody's", admin, "DELETE", "/operators/access-keys/AKIANOBODY", 404, "ResourceNotFoundException"},
		{"revoke the last admin", admin, "DELETE", "/operators/access-keys/" + admin.ID, 409, "DeleteConflictException"},
		{"revoke the viewer", admin, "DELETE", "/operators/access-keys/" + viewer.ID, 200, ""},
		{"viewer, revoked", viewer, "GET", "/things", 403, "UnrecognizedClientException"},
	} {
		if got := do(tc.key, tc.method, tc.target, ""); got.status != tc.status || got.errType != tc.errType {
			t.Errorf("%s: %d %s %s, want %d %s", tc.who, got.status, got.errType, got.message, tc.status, tc.errType)
		}
	}
	list := do(admin, "GET", "/operators/access-keys", "")
	if list.status != 200 || !strings.Contains(list.body, operator.ID) || strings.Contains(list.body, viewer.ID) || strings.Contains(list.body, "ecret") {
		t.Errorf("ListAccessKeys: %s", list.body)
	}
	for _, body := range []string{"", `{"name":"a b","role":"viewer"}`, `{"name":"a","role":"root"}`} {
		if got := do(admin, "POST", "/operators/access-keys", body); got.status != 400 || got.errType != "InvalidRequestException" {
			t.Errorf("%s: %d %s", body, got.status, got.errType)
		}
	}
	second := create("carol", "admin")
	if got := do(second, "DELETE", "/operators/access-keys/"+admin.ID, ""); got.status != 200 {
		t.Errorf("revoke the first admin when there is a second: %d %s", got.status, got.message)
	}
}
