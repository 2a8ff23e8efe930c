package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/aws/smithy-go"
)

// TestAWSSDK runs itself again as an operator's program: with the environment of a shell
// that evaluated `thingjobs env`, and not a word more.
func TestAWSSDK(t *testing.T) {
	t.Parallel()
	const asProgram = "E2E_SDK_PROGRAM"
	if os.Getenv(asProgram) != "" {
		sdkProgram(t)
		return
	}
	s := startServer(t, serveOptions{})
	out, errs, status := runCommand(t, append(s.shellEnv(), asProgram+"=1"), os.Args[0], "-test.run=^TestAWSSDK$", "-test.v")
	if status != 0 {
		t.Errorf("the program with the SDK: exit %d\n%s%s", status, out, errs)
	}
	if _, counts := s.job("sdk-0"); counts.total() != 1 { // and it was this broker that it spoke to
		t.Errorf("executions of its job: %+v", counts)
	}
	s.stop()
}

func sdkProgram(t *testing.T) {
	ctx := within(t)
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := iot.NewFromConfig(cfg)
	thing, err := c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("pump-1")})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 5 {
		id := fmt.Sprintf("sdk-%d", i)
		want = append(want, id)
		job, err := c.CreateJob(ctx, &iot.CreateJobInput{JobId: &id, Targets: []string{*thing.ThingArn}, Document: aws.String(`{"op":"hello"}`)})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(aws.ToString(job.JobArn), ":job/"+id) {
			t.Errorf("CreateJob: %q", aws.ToString(job.JobArn))
		}
	}
	slices.Reverse(want) // newest first
	var got []string
	pages := 0
	for p := iot.NewListJobsPaginator(c, &iot.ListJobsInput{MaxResults: aws.Int32(2)}); p.HasMorePages(); pages++ {
		page, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range page.Jobs {
			got = append(got, aws.ToString(j.JobId))
		}
	}
	if !slices.Equal(got, want) || pages != 3 {
		t.Errorf("ListJobs: %q on %d pages, want %q on 3", got, pages, want)
	}
	described, err := c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: aws.String("sdk-0")})
	if err != nil {
		t.Fatal(err)
	}
	if j := described.Job; j.Status != types.JobStatusInProgress || j.TargetSelection != types.TargetSelectionSnapshot || j.CreatedAt == nil {
		t.Errorf("DescribeJob: %+v", j)
	}

	_, err = c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: aws.String("nobody")})
	if e := (*types.ResourceNotFoundException)(nil); !errors.As(err, &e) {
		t.Errorf("an unknown job: %v", err)
	}
	_, err = c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("sdk-0"), Targets: []string{*thing.ThingArn}, Document: aws.String(`{"op":"other"}`)})
	if e := (*types.ResourceAlreadyExistsException)(nil); !errors.As(err, &e) {
		t.Errorf("a job that exists: %v", err)
	}
	_, err = c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("bad"), Targets: []string{*thing.ThingArn}, Document: aws.String(`{"op":`)})
	if e := (*types.InvalidRequestException)(nil); !errors.As(err, &e) || !strings.Contains(e.ErrorMessage(), "ocument") {
		t.Errorf("a malformed document: %v", err)
	}
	_, err = c.ListAuthorizers(ctx, &iot.ListAuthorizersInput{})
	if e := (smithy.APIError)(nil); !errors.As(err, &e) || e.ErrorCode() != "UnknownOperationException" || !strings.Contains(e.ErrorMessage(), "ListAuthorizers") {
		t.Errorf("an operation that is not built: %v", err)
	}
}

// TestBoto3 uses Debian's boto3, which is too old to read endpoint variables.
func TestBoto3(t *testing.T) {
	t.Parallel()
	python := debianPython(t, "boto3")
	s := startServer(t, serveOptions{})
	out, errs, status := runCommand(t, s.shellEnv(), python, "testdata/boto3_operator.py")
	if status != 0 || strings.TrimSpace(out) != "ok" {
		t.Errorf("boto3: exit %d\n%s%s", status, out, errs)
	}
	if status, counts := s.job("boto-1"); status != "IN_PROGRESS" || counts.total() != 2 {
		t.Errorf("its job: %s %+v", status, counts)
	}
	s.stop()
}
