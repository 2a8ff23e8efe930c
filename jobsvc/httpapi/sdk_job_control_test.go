package httpapi_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
)

// jobControl is what the tests of job operations begin with: three things, two of them in
// a group.
func jobControl(t *testing.T) (c *iot.Client, group string, settle func()) {
	t.Helper()
	c, _, settle = newSDK(t)
	ctx := t.Context()
	for _, name := range []string{"p1", "p2", "p3"} {
		ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: &name}))
	}
	g := ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("pumps")}))
	for _, name := range []string{"p1", "p2"} {
		ok[*iot.AddThingToThingGroupOutput](t, "AddThingToThingGroup")(c.AddThingToThingGroup(ctx, &iot.AddThingToThingGroupInput{ThingGroupName: g.ThingGroupName, ThingName: &name}))
	}
	return c, aws.ToString(g.ThingGroupArn), settle
}

// fullJob is a job with every configuration, which waits for its start.
func fullJob(group string) *iot.CreateJobInput {
	in := func(d time.Duration) *string { return aws.String(time.Now().Add(d).UTC().Format(time.RFC3339)) }
	return &iot.CreateJobInput{
		JobId: aws.String("full"), Targets: []string{group}, Document: aws.String("{}"), TargetSelection: types.TargetSelectionContinuous,
		NamespaceId:        aws.String("agent"),
		PresignedUrlConfig: &types.PresignedUrlConfig{RoleArn: aws.String("arn:aws:iam::111122223333:role/presign"), ExpiresInSec: aws.Int64(900)},
		JobExecutionsRolloutConfig: &types.JobExecutionsRolloutConfig{MaximumPerMinute: aws.Int32(400), ExponentialRate: &types.ExponentialRolloutRate{
			BaseRatePerMinute: aws.Int32(20), IncrementFactor: aws.Float64(1.5), RateIncreaseCriteria: &types.RateIncreaseCriteria{NumberOfSucceededThings: aws.Int32(100)},
		}},
		AbortConfig: &types.AbortConfig{CriteriaList: []types.AbortCriteria{
			{FailureType: types.JobExecutionFailureTypeFailed, Action: types.AbortActionCancel, ThresholdPercentage: aws.Float64(12.55), MinNumberOfExecutedThings: aws.Int32(40)},
		}},
		TimeoutConfig:            &types.TimeoutConfig{InProgressTimeoutInMinutes: aws.Int64(45)},
		JobExecutionsRetryConfig: &types.JobExecutionsRetryConfig{CriteriaList: []types.RetryCriteria{{FailureType: types.RetryableFailureTypeFailed, NumberOfRetries: aws.Int32(2)}}},
		SchedulingConfig: &types.SchedulingConfig{
			StartTime: in(24 * time.Hour), EndTime: in(90 * 24 * time.Hour), EndBehavior: types.JobEndBehaviorCancel,
			MaintenanceWindows: []types.MaintenanceWindow{{StartTime: aws.String("cron(0 2 ? * SAT *)"), DurationInMinutes: aws.Int32(180)}},
		},
		DestinationPackageVersions: []string{"arn:aws:iot:eu-west-1:111122223333:package/p/version/1"},
		Tags:                       []types.Tag{{Key: aws.String("team"), Value: aws.String("ota")}},
	}
}

func TestSDKConfiguredJob(t *testing.T) {
	c, group, settle := jobControl(t)
	ctx := t.Context()
	in := fullJob(group)
	ok[*iot.CreateJobOutput](t, "CreateJob")(c.CreateJob(ctx, in))
	settle()
	describe := func() *types.Job {
		t.Helper()
		return ok[*iot.DescribeJobOutput](t, "DescribeJob")(c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: in.JobId})).Job
	}
	j := describe()
	if j.Status != types.JobStatusScheduled || aws.ToBool(j.IsConcurrent) || j.TargetSelection != types.TargetSelectionContinuous || aws.ToString(j.NamespaceId) != "agent" {
		t.Errorf("job %+v", j)
	}
	if r := j.JobExecutionsRolloutConfig; aws.ToInt32(r.MaximumPerMinute) != 400 || aws.ToFloat64(r.ExponentialRate.IncrementFactor) != 1.5 || aws.ToInt32(r.ExponentialRate.BaseRatePerMinute) != 20 ||
		r.ExponentialRate.RateIncreaseCriteria.NumberOfNotifiedThings != nil || aws.ToInt32(r.ExponentialRate.RateIncreaseCriteria.NumberOfSucceededThings) != 100 {
		t.Errorf("rollout %+v", r)
	}
	if a := j.AbortConfig.CriteriaList; len(a) != 1 || aws.ToFloat64(a[0].ThresholdPercentage) != 12.55 || a[0].FailureType != types.JobExecutionFailureTypeFailed || a[0].Action != types.AbortActionCancel || aws.ToInt32(a[0].MinNumberOfExecutedThings) != 40 {
		t.Errorf("abort %+v", a)
	}
	if r := j.JobExecutionsRetryConfig.CriteriaList; len(r) != 1 || aws.ToInt32(r[0].NumberOfRetries) != 2 || r[0].FailureType != types.RetryableFailureTypeFailed {
		t.Errorf("retry %+v", r)
	}
	if s, want := j.SchedulingConfig, in.SchedulingConfig; aws.ToString(s.StartTime) != *want.StartTime || aws.ToString(s.EndTime) != *want.EndTime || s.EndBehavior != types.JobEndBehaviorCancel ||
		len(s.MaintenanceWindows) != 1 || aws.ToString(s.MaintenanceWindows[0].StartTime) != "cron(0 2 ? * SAT *)" || aws.ToInt32(s.MaintenanceWindows[0].DurationInMinutes) != 180 {
		t.Errorf("schedule %+v", s)
	}
	if len(j.ScheduledJobRollouts) != 7 {
		t.Errorf("%d openings", len(j.ScheduledJobRollouts))
	}
	for _, o := range j.ScheduledJobRollouts {
		if at, err := time.Parse(time.RFC3339, aws.ToString(o.StartTime)); err != nil || at.Weekday() != time.Saturday || at.Hour() != 2 {
			t.Errorf("opening %q, %v", aws.ToString(o.StartTime), err)
		}
	}
	if !slices.Equal(j.DestinationPackageVersions, in.DestinationPackageVersions) {
		t.Errorf("packages %q", j.DestinationPackageVersions)
	}

	update := func(change func(*iot.UpdateJobInput)) error {
		in := &iot.UpdateJobInput{JobId: in.JobId}
		change(in)
		_, err := c.UpdateJob(ctx, in)
		return err
	}
	if err := update(func(in *iot.UpdateJobInput) {
		in.NamespaceId, in.Description = aws.String("agent"), aws.String("new")
		in.TimeoutConfig = &types.TimeoutConfig{InProgressTimeoutInMinutes: aws.Int64(10)}
		in.JobExecutionsRolloutConfig = &types.JobExecutionsRolloutConfig{}
		in.JobExecutionsRetryConfig = &types.JobExecutionsRetryConfig{CriteriaList: []types.RetryCriteria{{FailureType: types.RetryableFailureTypeAll, NumberOfRetries: aws.Int32(0)}}}
	}); err != nil {
		t.Fatalf("UpdateJob: %v", err)
	}
	if j := describe(); aws.ToString(j.Description) != "new" || aws.ToInt64(j.TimeoutConfig.InProgressTimeoutInMinutes) != 10 || j.JobExecutionsRolloutConfig.MaximumPerMinute != nil ||
		aws.ToInt32(j.JobExecutionsRetryConfig.CriteriaList[0].NumberOfRetries) != 0 || j.AbortConfig == nil || aws.ToInt64(j.PresignedUrlConfig.ExpiresInSec) != 900 {
		t.Errorf("updated %+v", j)
	}
	as[*types.ResourceNotFoundException](t, "UpdateJob, namespace", update(func(in *iot.UpdateJobInput) { in.NamespaceId = aws.String("other") }))
	as[*types.InvalidRequestException](t, "UpdateJob, retries", update(func(u *iot.UpdateJobInput) { u.JobExecutionsRetryConfig = in.JobExecutionsRetryConfig }))

	// What the model cannot say is refused, and the member named.
	for field, change := range map[string]func(*iot.CreateJobInput){
		"maximumPerMinute": func(in *iot.CreateJobInput) { in.JobExecutionsRolloutConfig.MaximumPerMinute = aws.Int32(1001) },
		"baseRatePerMinute": func(in *iot.CreateJobInput) {
			in.JobExecutionsRolloutConfig.ExponentialRate.BaseRatePerMinute = aws.Int32(401)
		},
		"incrementFactor": func(in *iot.CreateJobInput) {
			in.JobExecutionsRolloutConfig.ExponentialRate.IncrementFactor = aws.Float64(1.55)
		},
		"rateIncrease": func(in *iot.CreateJobInput) {
			in.JobExecutionsRolloutConfig.ExponentialRate.RateIncreaseCriteria = &types.RateIncreaseCriteria{}
		},
		"thresholdPercentage": func(in *iot.CreateJobInput) { in.AbortConfig.CriteriaList[0].ThresholdPercentage = aws.Float64(12.505) },
		"numberOfRetries": func(in *iot.CreateJobInput) {
			in.JobExecutionsRetryConfig.CriteriaList[0].NumberOfRetries = aws.Int32(11)
		},
		"startTime": func(in *iot.CreateJobInput) { in.SchedulingConfig.StartTime = aws.String("soon") },
		"endTime":   func(in *iot.CreateJobInput) { in.SchedulingConfig.EndTime = in.SchedulingConfig.StartTime },
		"maintenanceWindows": func(in *iot.CreateJobInput) {
			in.SchedulingConfig.MaintenanceWindows[0].StartTime = aws.String("cron(0 2 ? * SOON *)")
		},
		"SNAPSHOT":           func(in *iot.CreateJobInput) { in.TargetSelection = types.TargetSelectionSnapshot },
		"aws:x":              func(in *iot.CreateJobInput) { in.Tags[0].Key = aws.String("aws:x") },
		"documentParameters": func(in *iot.CreateJobInput) { in.DocumentParameters = map[string]string{"a": "b"} },
	} {
		bad := fullJob(group)
		bad.JobId = aws.String("bad")
		change(bad)
		_, err := c.CreateJob(ctx, bad)
		if as[*types.InvalidRequestException](t, field, err); err != nil && !strings.Contains(err.Error(), field) && field != "SNAPSHOT" {
			t.Errorf("the refusal does not name %s: %v", field, err)
		}
	}
	_, err := c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: aws.String("bad")})
	as[*types.ResourceNotFoundException](t, "a refused job", err)
	if d := ok[*iot.GetJobDocumentOutput](t, "GetJobDocument")(c.GetJobDocument(ctx, &iot.GetJobDocumentInput{JobId: in.JobId, BeforeSubstitution: true})); aws.ToString(d.Document) != "{}" {
		t.Errorf("document %q", aws.ToString(d.Document))
	}
	listed := ok[*iot.ListJobsOutput](t, "ListJobs")(c.ListJobs(ctx, &iot.ListJobsInput{Status: types.JobStatusScheduled, TargetSelection: types.TargetSelectionContinuous, NamespaceId: aws.String("agent"), ThingGroupName: aws.String("pumps")}))
	if len(listed.Jobs) != 1 || listed.Jobs[0].Status != types.JobStatusScheduled {
		t.Errorf("ListJobs: %+v", listed.Jobs)
	}
}

func TestSDKTargetsAndExecutions(t *testing.T) {
	c, group, settle := jobControl(t)
	ctx := t.Context()
	job := aws.String("fw")
	ok[*iot.CreateJobOutput](t, "CreateJob")(c.CreateJob(ctx, &iot.CreateJobInput{
		JobId: job, Targets: []string{group}, Document: aws.String("{}"), Description: aws.String("firmware"), TargetSelection: types.TargetSelectionContinuous,
	}))
	settle()
	associate := func(in *iot.AssociateTargetsWithJobInput) (*iot.AssociateTargetsWithJobOutput, error) {
		in.JobId = job
		return c.AssociateTargetsWithJob(ctx, in)
	}
	p3 := []string{account.ARN("thing", "p3")}
	out := ok[*iot.AssociateTargetsWithJobOutput](t, "AssociateTargetsWithJob")(associate(&iot.AssociateTargetsWithJobInput{Targets: p3, Comment: aws.String("one more")}))
	if aws.ToString(out.JobArn) != account.ARN("job", "fw") || aws.ToString(out.JobId) != "fw" || aws.ToString(out.Description) != "firmware" {
		t.Errorf("AssociateTargetsWithJob: %+v", out)
	}
	_, err := associate(&iot.AssociateTargetsWithJobInput{Targets: []string{account.ARN("thing", "nobody")}})
	as[*types.ResourceNotFoundException](t, "AssociateTargetsWithJob, target", err)
	_, err = associate(&iot.AssociateTargetsWithJobInput{Targets: p3, NamespaceId: aws.String("other")})
	as[*types.ResourceNotFoundException](t, "AssociateTargetsWithJob, namespace", err)
	_, err = associate(&iot.AssociateTargetsWithJobInput{Targets: slices.Repeat(p3, 101)})
	as[*types.LimitExceededException](t, "AssociateTargetsWithJob, 101", err)
	settle()
	describe := func() *types.Job {
		t.Helper()
		return ok[*iot.DescribeJobOutput](t, "DescribeJob")(c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: job})).Job
	}
	if j := describe(); aws.ToString(j.Comment) != "one more" || !slices.Equal(j.Targets, []string{group, p3[0]}) || aws.ToInt32(j.JobProcessDetails.NumberOfQueuedThings) != 3 || aws.ToBool(j.IsConcurrent) {
		t.Errorf("with another target: %+v, %+v", j, j.JobProcessDetails)
	}

	cancel := func(in *iot.CancelJobExecutionInput) error {
		in.JobId = job
		_, err := c.CancelJobExecution(ctx, in)
		return err
	}
	as[*types.VersionConflictException](t, "CancelJobExecution, version", cancel(&iot.CancelJobExecutionInput{ThingName: aws.String("p1"), ExpectedVersion: aws.Int64(2)}))
	as[*types.ResourceNotFoundException](t, "CancelJobExecution, thing", cancel(&iot.CancelJobExecutionInput{ThingName: aws.String("nobody")}))
	if err := cancel(&iot.CancelJobExecutionInput{ThingName: aws.String("p1"), ExpectedVersion: aws.Int64(1), StatusDetails: map[string]string{"why": "wrong"}}); err != nil {
		t.Fatal(err)
	}
	as[*types.InvalidStateTransitionException](t, "CancelJobExecution again", cancel(&iot.CancelJobExecutionInput{ThingName: aws.String("p1"), Force: true}))
	x := ok[*iot.DescribeJobExecutionOutput](t, "DescribeJobExecution")(c.DescribeJobExecution(ctx, &iot.DescribeJobExecutionInput{ThingName: aws.String("p1"), JobId: job})).Execution
	if x.Status != types.JobExecutionStatusCanceled || x.StatusDetails.DetailsMap["why"] != "wrong" || x.ForceCanceled != nil || x.VersionNumber != 2 {
		t.Errorf("canceled: %+v", x)
	}

	del := func(in *iot.DeleteJobExecutionInput) error {
		in.JobId = job
		_, err := c.DeleteJobExecution(ctx, in)
		return err
	}
	as[*types.ResourceNotFoundException](t, "DeleteJobExecution, number", del(&iot.DeleteJobExecutionInput{ThingName: aws.String("p2"), ExecutionNumber: aws.Int64(2)}))
	as[*types.ResourceNotFoundException](t, "DeleteJobExecution, namespace", del(&iot.DeleteJobExecutionInput{ThingName: aws.String("p2"), ExecutionNumber: aws.Int64(1), NamespaceId: aws.String("other")}))
	if err := del(&iot.DeleteJobExecutionInput{ThingName: aws.String("p2"), ExecutionNumber: aws.Int64(1), Force: true}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DescribeJobExecution(ctx, &iot.DescribeJobExecutionInput{ThingName: aws.String("p2"), JobId: job})
	as[*types.ResourceNotFoundException](t, "a deleted execution", err)
	if d := describe().JobProcessDetails; aws.ToInt32(d.NumberOfQueuedThings) != 1 || aws.ToInt32(d.NumberOfCanceledThings) != 1 {
		t.Errorf("at the end: %+v", d)
	}
}

// TestSDKDeleteWorking: an execution that a device works on goes with force alone.
func TestSDKDeleteWorking(t *testing.T) {
	c, e, settle := newSDK(t)
	ctx := t.Context()
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("p1")}))
	ok[*iot.CreateJobOutput](t, "CreateJob")(c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("fw"), Targets: []string{account.ARN("thing", "p1")}, Document: aws.String("{}")}))
	settle()
	start(t, e, "p1")
	_, err := c.CancelJobExecution(ctx, &iot.CancelJobExecutionInput{ThingName: aws.String("p1"), JobId: aws.String("fw")})
	as[*types.InvalidStateTransitionException](t, "CancelJobExecution", err)
	in := &iot.DeleteJobExecutionInput{ThingName: aws.String("p1"), JobId: aws.String("fw"), ExecutionNumber: aws.Int64(1)}
	_, err = c.DeleteJobExecution(ctx, in)
	as[*types.InvalidStateTransitionException](t, "DeleteJobExecution", err)
	in.Force = true
	ok[*iot.DeleteJobExecutionOutput](t, "DeleteJobExecution")(c.DeleteJobExecution(ctx, in))
	settle()
	if j := ok[*iot.DescribeJobOutput](t, "DescribeJob")(c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: aws.String("fw")})).Job; j.Status != types.JobStatusCompleted {
		t.Errorf("with nothing left it is %s", j.Status)
	}
}
