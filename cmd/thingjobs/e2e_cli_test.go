package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// awsCLI is an aws CLI in a shell that evaluated `thingjobs env`, and nothing else.
type awsCLI struct {
	t      *testing.T
	s      *server
	path   string
	script string
	env    []string
}

// newAWSCLI uses the CLI at path. endpoint: it is too old to read endpoint variables.
func newAWSCLI(t *testing.T, s *server, path string, endpoint bool) *awsCLI {
	a := &awsCLI{t: t, s: s, path: path, env: cleanEnv(t)}
	a.script = `eval "$("$THINGJOBS_BIN" env --data "$DATA")" && exec "$AWS" "$@"`
	if endpoint {
		a.script += ` --endpoint-url "$AWS_ENDPOINT_URL_IOT"`
	}
	a.env = append(a.env, "THINGJOBS_BIN="+program(t, "thingjobs"), "DATA="+string(s.dir), "AWS="+path,
		"AWS_SESSION_TOKEN=left-over", "AWS_PROFILE=left-over", "AWS_MAX_ATTEMPTS=1")
	return a
}

func (a *awsCLI) run(args ...string) (stdout, stderr string, status int) {
	a.t.Helper()
	return runCommand(a.t, a.env, "/bin/sh", append([]string{"-c", a.script, "sh"}, args...)...)
}

// iot runs an operation that must succeed, and gives its output.
func (a *awsCLI) iot(args ...string) string {
	a.t.Helper()
	out, errs, status := a.run(append([]string{"iot"}, args...)...)
	if status != 0 {
		a.t.Fatalf("aws iot %q: exit %d\n%s%s", args, status, out, errs)
	}
	return strings.TrimSpace(out)
}

// query runs an operation and gives one value of its answer, or several with tabs.
func (a *awsCLI) query(query string, args ...string) string {
	a.t.Helper()
	return a.iot(append(args, "--query", query, "--output", "text")...)
}

// jobsData runs an operation of the device plane and gives one value of its answer.
func (a *awsCLI) jobsData(query string, args ...string) string {
	a.t.Helper()
	out, errs, status := a.run(append(append([]string{"iot-jobs-data"}, args...), "--query", query, "--output", "text")...)
	if status != 0 {
		a.t.Fatalf("aws iot-jobs-data %q: exit %d\n%s%s", args, status, out, errs)
	}
	return strings.TrimSpace(out)
}

// refused runs an operation that must fail with an exception of the service.
func (a *awsCLI) refused(exception string, args ...string) string {
	a.t.Helper()
	out, errs, status := a.run(append([]string{"iot"}, args...)...)
	if status == 0 || !strings.Contains(errs, "("+exception+")") {
		a.t.Errorf("aws iot %q: exit %d, want %s\n%s%s", args, status, exception, out, errs)
	}
	return errs
}

func (a *awsCLI) want(what, got, want string) {
	a.t.Helper()
	if got != want {
		a.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestAWSCLI is an operator's day with Debian's aws CLI, which is too old to read
// endpoint variables.
func TestAWSCLI(t *testing.T) {
	t.Parallel()
	path := tool(t, "/usr/bin/aws")
	s3, config, secret := startS3(t)
	s := startServer(t, serveOptions{config: config})
	s.secrets = append(s.secrets, secret)
	a := newAWSCLI(t, s, path, !readsEndpoints(t, path))

	thing := a.query("thingArn", "create-thing", "--thing-name", "pump-1", "--attribute-payload", "attributes={site=north}")
	a.want("create-thing", thing, "arn:aws:iot:us-east-1:123456789012:thing/pump-1")
	group := a.query("thingGroupArn", "create-thing-group", "--thing-group-name", "pumps")
	a.iot("add-thing-to-thing-group", "--thing-group-name", "pumps", "--thing-name", "pump-1")

	dir := t.TempDir()
	cert := a.query("certificateArn", "create-keys-and-certificate", "--set-as-active",
		"--certificate-pem-outfile", filepath.Join(dir, "device.pem.crt"), "--private-key-outfile", filepath.Join(dir, "device.key"))
	key, err := os.ReadFile(filepath.Join(dir, "device.key"))
	if err != nil || !strings.Contains(string(key), "PRIVATE KEY") {
		t.Errorf("the CLI wrote the key %.40q, %v", key, err)
	}
	s.secrets = append(s.secrets, strings.Split(string(key), "\n")[1])
	a.iot("create-policy", "--policy-name", "devices", "--policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}`)
	a.iot("attach-policy", "--policy-name", "devices", "--target", cert)
	a.iot("attach-thing-principal", "--thing-name", "pump-1", "--principal", cert)

	const document = `{"op":"install","url":"${aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/firmware/pump.bin}","a":"x&y"}`
	a.want("create-job", a.query("jobArn", "create-job", "--job-id", "fw-1", "--targets", group, "--document", document,
		"--description", "Pump firmware", "--presigned-url-config", "roleArn="+s3Role+",expiresInSec=900"),
		"arn:aws:iot:us-east-1:123456789012:job/fw-1")
	a.want("get-job-document", a.query("document", "get-job-document", "--job-id", "fw-1"), document)

	const fromS3 = `{"op":"from S3"}`
	put(t, s3, "jobs/doc.json", fromS3)
	a.iot("create-job", "--job-id", "from-s3", "--targets", thing, "--document-source", "https://s3.us-east-1.amazonaws.com/firmware/jobs/doc.json")
	a.want("get-job-document of a document source", a.query("document", "get-job-document", "--job-id", "from-s3"), fromS3)

	s.settled("both jobs are rolled out", func() bool {
		_, one := s.job("fw-1")
		_, two := s.job("from-s3")
		return one.Queued == 1 && two.Queued == 1
	})
	a.want("describe-job", a.query("job.[status,targetSelection,description,jobProcessDetails.numberOfQueuedThings,presignedUrlConfig.expiresInSec]",
		"describe-job", "--job-id", "fw-1"), "IN_PROGRESS\tSNAPSHOT\tPump firmware\t1\t900")
	a.want("list-jobs", a.query("jobs[].jobId", "list-jobs"), "from-s3\tfw-1")
	a.want("list-job-executions-for-job", a.query("executionSummaries[].[thingArn,jobExecutionSummary.status]",
		"list-job-executions-for-job", "--job-id", "fw-1"), thing+"\tQUEUED")
	a.want("list-job-executions-for-thing", a.query("executionSummaries[].jobId",
		"list-job-executions-for-thing", "--thing-name", "pump-1", "--status", "QUEUED"), "from-s3\tfw-1")
	a.want("describe-job-execution", a.query("execution.[jobId,status,executionNumber,versionNumber]",
		"describe-job-execution", "--job-id", "fw-1", "--thing-name", "pump-1"), "fw-1\tQUEUED\t1\t1")

	// The device plane over HTTP, as an operator: the document comes as it was written.
	a.want("iot-jobs-data describe-job-execution", a.jobsData("execution.[thingName,jobDocument]", "describe-job-execution", "--job-id", "$next", "--thing-name", "pump-1"),
		"pump-1\t"+document)
	a.want("iot-jobs-data start-next-pending-job-execution", a.jobsData("execution.[jobId,status]", "start-next-pending-job-execution", "--thing-name", "pump-1"),
		"fw-1\tIN_PROGRESS")
	a.want("iot-jobs-data get-pending-job-executions", a.jobsData("[inProgressJobs[].jobId,queuedJobs[].jobId]", "get-pending-job-executions", "--thing-name", "pump-1"),
		"fw-1\nfrom-s3")
	a.want("iot-jobs-data update-job-execution", a.jobsData("executionState.statusDetails.step", "update-job-execution", "--job-id", "fw-1", "--thing-name", "pump-1",
		"--status", "IN_PROGRESS", "--status-details", "step=fetch", "--include-job-execution-state"), "fetch")

	a.iot("cancel-job", "--job-id", "fw-1", "--force", "--comment", "not today")
	s.settled("the job is canceled", func() bool { status, counts := s.job("fw-1"); return status == "CANCELED" && counts.Canceled == 1 })
	a.want("describe-job, canceled", a.query("job.[status,forceCanceled,comment]", "describe-job", "--job-id", "fw-1"), "CANCELED\tTrue\tnot today")
	a.iot("delete-job", "--job-id", "from-s3", "--force")
	s.settled("the job is gone", func() bool {
		return isAPIError(s.call(t.Context(), "GET", "/jobs/from-s3", nil, nil, nil), "ResourceNotFoundException")
	})

	address := a.query("endpointAddress", "describe-endpoint", "--endpoint-type", "iot:Data-ATS")
	if !strings.HasPrefix(address, "localhost") {
		t.Errorf("describe-endpoint: %q", address)
	}
	if errs := a.refused("ResourceNotFoundException", "describe-job", "--job-id", "no-such-job"); !strings.Contains(errs, "no-such-job") {
		t.Errorf("the error does not name the job: %s", errs)
	}
	if errs := a.refused("UnknownOperationException", "list-role-aliases"); !strings.Contains(errs, "ListRoleAliases") || !strings.Contains(errs, "not built") {
		t.Errorf("the error does not say what is missing: %s", errs)
	}
	s.stop()
}

// TestAWSCLIVariables uses a CLI that reads endpoint variables: after `thingjobs env`
// nothing more is to be said.
func TestAWSCLIVariables(t *testing.T) {
	t.Parallel()
	path := ""
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		candidate := filepath.Join(dir, "aws")
		if _, err := exec.LookPath(candidate); err == nil && readsEndpoints(t, candidate) {
			path = candidate
			break
		}
	}
	if path == "" {
		t.Skip("no aws CLI that reads endpoint variables (2.13, or 1.29) is on PATH; Debian has none")
	}
	s := startServer(t, serveOptions{})
	a := newAWSCLI(t, s, path, false)
	thing := a.query("thingArn", "create-thing", "--thing-name", "pump-1")
	a.iot("create-job", "--job-id", "hello", "--targets", thing, "--document", `{"op":"hello"}`)
	s.settled("the job is rolled out", func() bool { _, counts := s.job("hello"); return counts.Queued == 1 })
	var described struct {
		DocumentSource string
		Job            struct {
			JobID             string `json:"jobId"`
			Status            string
			JobProcessDetails jobCounts
			CreatedAt         any
		}
	}
	if err := json.Unmarshal([]byte(a.iot("describe-job", "--job-id", "hello", "--output", "json")), &described); err != nil {
		t.Fatal(err)
	}
	if j := described.Job; j.JobID != "hello" || j.Status != "IN_PROGRESS" || j.JobProcessDetails.Queued != 1 || j.CreatedAt == nil {
		t.Errorf("describe-job: %+v", j)
	}
	a.want("list-job-executions-for-thing", a.query("executionSummaries[].jobId", "list-job-executions-for-thing", "--thing-name", "pump-1"), "hello")
	a.refused("ResourceNotFoundException", "describe-job", "--job-id", "no-such-job")
	s.stop()
}

var awsVersion = regexp.MustCompile(`aws-cli/(\d+)\.(\d+)`)

// readsEndpoints tells whether an aws CLI knows AWS_ENDPOINT_URL_IOT.
func readsEndpoints(t *testing.T, path string) bool {
	t.Helper()
	out, errs, _ := runCommand(t, cleanEnv(t), path, "--version")
	m := awsVersion.FindStringSubmatch(out + errs)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return major == 1 && minor >= 29 || major == 2 && minor >= 13 || major > 2
}

// shellEnv gives the environment of a shell that evaluated `thingjobs env`: of the
// variables of AWS, those and no others.
func (s *server) shellEnv() []string {
	s.t.Helper()
	out, errs, status := runCommand(s.t, cleanEnv(s.t), "/bin/sh", "-c",
		fmt.Sprintf(`eval "$(%s env --data %s)" && env -0`, shellQuote(program(s.t, "thingjobs")), shellQuote(string(s.dir))))
	if status != 0 {
		s.t.Fatalf("env: %s", errs)
	}
	return strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
}
