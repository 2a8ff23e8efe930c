package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestOperators is the life of an operator's access key, through the command line.
func TestOperators(t *testing.T) {
	t.Parallel()
	path := tool(t, "/usr/bin/aws")
	s := startServer(t, serveOptions{})
	a := newAWSCLI(t, s, path, !readsEndpoints(t, path))

	run := func(args ...string) string {
		t.Helper()
		out, errs, status := thingjobs(t, append([]string{"operator", "--data", string(s.dir)}, args...)...)
		if status != 0 {
			t.Fatalf("thingjobs operator %q: exit %d\n%s%s", args, status, out, errs)
		}
		return out
	}
	var k accessKey
	if err := json.Unmarshal([]byte(run("create", "--json", "--role", "viewer", "ann")), &k); err != nil || k.SecretAccessKey == "" || k.Role != "viewer" {
		t.Fatalf("%+v, %v", k, err)
	}
	s.secrets = append(s.secrets, k.SecretAccessKey)
	if out := run("list"); !strings.Contains(out, k.AccessKeyID) || !strings.Contains(out, "viewer") || strings.Contains(out, k.SecretAccessKey) {
		t.Errorf("operator list:\n%s", out)
	}
	ann := *a
	ann.script = strings.Replace(a.script, "&& exec", `&& export AWS_ACCESS_KEY_ID="$ANN_ID" AWS_SECRET_ACCESS_KEY="$ANN_SECRET" && exec`, 1)
	ann.env = append(ann.env, "ANN_ID="+k.AccessKeyID, "ANN_SECRET="+k.SecretAccessKey)
	ann.iot("list-jobs")
	ann.refused("AccessDeniedException", "create-thing", "--thing-name", "pump-1")
	run("revoke", k.AccessKeyID)
	ann.refused("UnrecognizedClientException", "list-jobs")

	out, errs, status := thingjobs(t, "operator", "--data", string(s.dir), "create", "--role", "root", "eve")
	if status != 2 || !strings.Contains(errs, "--role") {
		t.Errorf("an unknown role: exit %d\n%s%s", status, out, errs)
	}
	if out := run("create", "bob"); !strings.Contains(out, "export AWS_ACCESS_KEY_ID='AKIA") {
		t.Errorf("operator create:\n%s", out)
	}
	s.stop()
}
