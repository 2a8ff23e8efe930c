package httpapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func TestSDKJobTemplates(t *testing.T) {
	c, _, settle := newSDK(t)
	ctx := t.Context()
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("pump")}))
	targets := []string{account.ARN("thing", "pump")}
	job := &iot.CreateJobInput{
		JobId: aws.String("first"), Targets: targets, Document: aws.String(`{"op":"first"}`), Description: aws.String("the first"), TargetSelection: types.TargetSelectionContinuous,
		TimeoutConfig:    &types.TimeoutConfig{InProgressTimeoutInMinutes: aws.Int64(30)},
		AbortConfig:      &types.AbortConfig{CriteriaList: []types.AbortCriteria{{Action: types.AbortActionCancel, FailureType: types.JobExecutionFailureTypeFailed, MinNumberOfExecutedThings: aws.Int32(3), ThresholdPercentage: aws.Float64(12.5)}}},
		SchedulingConfig: &types.SchedulingConfig{MaintenanceWindows: []types.MaintenanceWindow{{StartTime: aws.String("cron(0 2 ? * SAT *)"), DurationInMinutes: aws.Int32(60)}}},
	}
	ok[*iot.CreateJobOutput](t, "CreateJob")(c.CreateJob(ctx, job))

	made := ok[*iot.CreateJobTemplateOutput](t, "CreateJobTemplate")(c.CreateJobTemplate(ctx, &iot.CreateJobTemplateInput{
		JobTemplateId: aws.String("ota"), JobArn: aws.String(account.ARN("job", "first")), Description: aws.String("from a job"),
		TimeoutConfig: &types.TimeoutConfig{InProgressTimeoutInMinutes: aws.Int64(45)}, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("ota")}},
	}))
	if aws.ToString(made.JobTemplateArn) != account.ARN("jobtemplate", "ota") || aws.ToString(made.JobTemplateId) != "ota" {
		t.Errorf("CreateJobTemplate: %+v", made)
	}
	_, err := c.CreateJobTemplate(ctx, &iot.CreateJobTemplateInput{JobTemplateId: aws.String("ota"), Document: aws.String("{}"), Description: aws.String("again")})
	if e := as[*types.ConflictException](t, "CreateJobTemplate, again", err); aws.ToString(e.ResourceId) != "ota" {
		t.Errorf("what is in the way: %+v", e)
	}
	for what, in := range map[string]*iot.CreateJobTemplateInput{
		"no source":       {Description: aws.String("d")},
		"no JSON":         {Description: aws.String("d"), Document: aws.String("{")},
		"two documents":   {Description: aws.String("d"), Document: aws.String("{}"), DocumentSource: aws.String("https://s3.amazonaws.com/b/k")},
		"a window's cron": {Description: aws.String("d"), Document: aws.String("{}"), MaintenanceWindows: []types.MaintenanceWindow{{StartTime: aws.String("at noon"), DurationInMinutes: aws.Int32(5)}}},
	} {
		in.JobTemplateId = aws.String("x")
		_, err := c.CreateJobTemplate(ctx, in)
		as[*types.InvalidRequestException](t, "CreateJobTemplate, "+what, err)
	}
	_, err = c.CreateJobTemplate(ctx, &iot.CreateJobTemplateInput{JobTemplateId: aws.String("x"), JobArn: aws.String(account.ARN("job", "nobody")), Description: aws.String("d")})
	as[*types.ResourceNotFoundException](t, "CreateJobTemplate of no job", err)

	d := ok[*iot.DescribeJobTemplateOutput](t, "DescribeJobTemplate")(c.DescribeJobTemplate(ctx, &iot.DescribeJobTemplateInput{JobTemplateId: aws.String("ota")}))
	if aws.ToString(d.Document) != `{"op":"first"}` || aws.ToString(d.Description) != "from a job" || aws.ToInt64(d.TimeoutConfig.InProgressTimeoutInMinutes) != 45 ||
		len(d.AbortConfig.CriteriaList) != 1 || aws.ToFloat64(d.AbortConfig.CriteriaList[0].ThresholdPercentage) != 12.5 || len(d.MaintenanceWindows) != 1 || d.CreatedAt == nil {
		t.Errorf("DescribeJobTemplate: %+v", d)
	}
	_, err = c.DescribeJobTemplate(ctx, &iot.DescribeJobTemplateInput{JobTemplateId: aws.String("nothing")})
	as[*types.ResourceNotFoundException](t, "DescribeJobTemplate", err)

	// A job takes from it what it has not itself.
	ok[*iot.CreateJobOutput](t, "CreateJob from a template")(c.CreateJob(ctx, &iot.CreateJobInput{
		JobId: aws.String("second"), Targets: targets, JobTemplateArn: made.JobTemplateArn, TargetSelection: types.TargetSelectionContinuous,
		AbortConfig: &types.AbortConfig{CriteriaList: []types.AbortCriteria{{Action: types.AbortActionCancel, FailureType: types.JobExecutionFailureTypeAll, MinNumberOfExecutedThings: aws.Int32(1), ThresholdPercentage: aws.Float64(50)}}},
	}))
	got := ok[*iot.DescribeJobOutput](t, "DescribeJob")(c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: aws.String("second")})).Job
	if aws.ToString(got.Description) != "from a job" || aws.ToInt64(got.TimeoutConfig.InProgressTimeoutInMinutes) != 45 || aws.ToString(got.JobTemplateArn) != aws.ToString(made.JobTemplateArn) ||
		len(got.AbortConfig.CriteriaList) != 1 || got.AbortConfig.CriteriaList[0].FailureType != types.JobExecutionFailureTypeAll || len(got.SchedulingConfig.MaintenanceWindows) != 1 {
		t.Errorf("DescribeJob of a job from a template: %+v", got)
	}
	if doc := ok[*iot.GetJobDocumentOutput](t, "GetJobDocument")(c.GetJobDocument(ctx, &iot.GetJobDocumentInput{JobId: aws.String("second"), BeforeSubstitution: true})).Document; aws.ToString(doc) != `{"op":"first"}` {
		t.Errorf("its document: %s", aws.ToString(doc))
	}
	_, err = c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("x"), Targets: targets, JobTemplateArn: aws.String(account.ARN("jobtemplate", "nothing"))})
	as[*types.ResourceNotFoundException](t, "CreateJob from no template", err)
	_, err = c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("x"), Targets: targets, JobTemplateArn: made.JobTemplateArn, DocumentParameters: map[string]string{"a": "b"}})
	as[*types.InvalidRequestException](t, "parameters for a custom template", err)

	for i := range 4 {
		ok[*iot.CreateJobTemplateOutput](t, "CreateJobTemplate")(c.CreateJobTemplate(ctx, &iot.CreateJobTemplateInput{JobTemplateId: aws.String(fmt.Sprint("t", i)), Document: aws.String("{}"), Description: aws.String("d")}))
	}
	ok[*iot.DeleteJobTemplateOutput](t, "DeleteJobTemplate")(c.DeleteJobTemplate(ctx, &iot.DeleteJobTemplateInput{JobTemplateId: aws.String("t1")}))
	_, err = c.DeleteJobTemplate(ctx, &iot.DeleteJobTemplateInput{JobTemplateId: aws.String("t1")})
	as[*types.ResourceNotFoundException](t, "DeleteJobTemplate, again", err)
	var ids []string
	for p := iot.NewListJobTemplatesPaginator(c, &iot.ListJobTemplatesInput{MaxResults: aws.Int32(2)}); p.HasMorePages(); {
		for _, m := range ok[*iot.ListJobTemplatesOutput](t, "ListJobTemplates")(p.NextPage(ctx)).JobTemplates {
			ids = append(ids, aws.ToString(m.JobTemplateId))
		}
	}
	if !slices.Equal(ids, []string{"t3", "t2", "t0", "ota"}) {
		t.Errorf("ListJobTemplates: %q", ids)
	}
	settle()
}

func TestSDKManagedTemplates(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("pump")}))
	targets := []string{account.ARN("thing", "pump")}

	var names []string
	for p := iot.NewListManagedJobTemplatesPaginator(c, &iot.ListManagedJobTemplatesInput{MaxResults: aws.Int32(3)}); p.HasMorePages(); {
		for _, m := range ok[*iot.ListManagedJobTemplatesOutput](t, "ListManagedJobTemplates")(p.NextPage(ctx)).ManagedJobTemplates {
			names = append(names, aws.ToString(m.TemplateName))
			d := ok[*iot.DescribeManagedJobTemplateOutput](t, "DescribeManagedJobTemplate")(c.DescribeManagedJobTemplate(ctx, &iot.DescribeManagedJobTemplateInput{TemplateName: m.TemplateName, TemplateVersion: m.TemplateVersion}))
			if aws.ToString(d.TemplateArn) != aws.ToString(m.TemplateArn) || !slices.Equal(d.Environments, []string{"LINUX"}) || !json.Valid([]byte(aws.ToString(d.Document))) {
				t.Errorf("DescribeManagedJobTemplate: %+v", d)
			}
			// Every template makes a job from its own examples, and from its required parameters alone.
			all, least := map[string]string{}, map[string]string{}
			for _, p := range d.DocumentParameters {
				all[aws.ToString(p.Key)] = aws.ToString(p.Example)
				if !p.Optional {
					least[aws.ToString(p.Key)] = aws.ToString(p.Example)
				}
			}
			for kind, parameters := range map[string]map[string]string{"all": all, "least": least} {
				id := aws.String(aws.ToString(m.TemplateName) + "-" + kind)
				ok[*iot.CreateJobOutput](t, "CreateJob from "+*id)(c.CreateJob(ctx, &iot.CreateJobInput{JobId: id, Targets: targets, JobTemplateArn: d.TemplateArn, DocumentParameters: parameters}))
				doc := aws.ToString(ok[*iot.GetJobDocumentOutput](t, "GetJobDocument")(c.GetJobDocument(ctx, &iot.GetJobDocumentInput{JobId: id})).Document)
				if strings.Contains(doc, "${") || !json.Valid([]byte(doc)) {
					t.Errorf("%s: %s", *id, doc)
				}
				before := ok[*iot.GetJobDocumentOutput](t, "GetJobDocument")(c.GetJobDocument(ctx, &iot.GetJobDocumentInput{JobId: id, BeforeSubstitution: true})).Document
				if aws.ToString(before) != aws.ToString(d.Document) {
					t.Errorf("%s before substitution: %s", *id, aws.ToString(before))
				}
				if got := ok[*iot.DescribeJobOutput](t, "DescribeJob")(c.DescribeJob(ctx, &iot.DescribeJobInput{JobId: id})).Job; aws.ToString(got.Description) != aws.ToString(d.Description) {
					t.Errorf("%s: description %q", *id, aws.ToString(got.Description))
				}
			}
		}
	}
	if len(names) != len(jobsvc.ManagedJobTemplates()) || !slices.IsSorted(names) || len(names) != 8 {
		t.Errorf("ListManagedJobTemplates: %q", names)
	}

	command := "arn:aws:iot:eu-west-1::jobtemplate/AWS-Run-Command" // without a version
	ok[*iot.CreateJobOutput](t, "CreateJob")(c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("run"), Targets: targets, JobTemplateArn: &command,
		DocumentParameters: map[string]string{"command": `echo,"a\b",${aws:iot:parameter:runAsUser}`}}))
	doc := ok[*iot.GetJobDocumentOutput](t, "GetJobDocument")(c.GetJobDocument(ctx, &iot.GetJobDocumentInput{JobId: aws.String("run")})).Document
	var parsed struct {
		Steps []struct {
			Action struct {
				Input     struct{ Command string }
				RunAsUser *string
			}
		}
	}
	if err := json.Unmarshal([]byte(aws.ToString(doc)), &parsed); err != nil || parsed.Steps[0].Action.Input.Command != `echo,"a\b",${aws:iot:parameter:runAsUser}` || aws.ToString(parsed.Steps[0].Action.RunAsUser) != "" {
		t.Errorf("%v: %s", err, aws.ToString(doc))
	}
	for what, in := range map[string]*iot.CreateJobInput{
		"a parameter missing": {JobTemplateArn: &command},
		"a parameter unknown": {JobTemplateArn: &command, DocumentParameters: map[string]string{"command": "ls", "speed": "1"}},
		"a value too long":    {JobTemplateArn: &command, DocumentParameters: map[string]string{"command": "ls", "runAsUser": strings.Repeat("a", 257)}},
		"a document":          {JobTemplateArn: &command, DocumentParameters: map[string]string{"command": "ls"}, Document: aws.String("{}")},
		"no template":         {DocumentParameters: map[string]string{"command": "ls"}, Document: aws.String("{}")},
	} {
		in.JobId, in.Targets = aws.String("x"), targets
		_, err := c.CreateJob(ctx, in)
		as[*types.InvalidRequestException](t, what, err)
	}
	for what, arn := range map[string]string{"name": "AWS-Fly:1.0", "version": "AWS-Reboot:2.0"} {
		_, err := c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("x"), Targets: targets, JobTemplateArn: aws.String("arn:aws:iot:eu-west-1::jobtemplate/" + arn)})
		as[*types.ResourceNotFoundException](t, "an unknown "+what, err)
	}
	_, err := c.DescribeManagedJobTemplate(ctx, &iot.DescribeManagedJobTemplateInput{TemplateName: aws.String("AWS-Fly")})
	as[*types.ResourceNotFoundException](t, "DescribeManagedJobTemplate", err)
	_, err = c.ListManagedJobTemplates(ctx, &iot.ListManagedJobTemplatesInput{TemplateName: aws.String("AWS-Fly")})
	as[*types.ResourceNotFoundException](t, "ListManagedJobTemplates", err)
}

func TestSDKTags(t *testing.T) {
	c, _, settle := newSDK(t)
	ctx := t.Context()
	tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	ok[*iot.CreateThingOutput](t, "CreateThing")(c.CreateThing(ctx, &iot.CreateThingInput{ThingName: aws.String("pump")}))
	one := []types.Tag{tag("team", "ota")}
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("g"), Tags: one}))
	ok[*iot.CreateThingTypeOutput](t, "CreateThingType")(c.CreateThingType(ctx, &iot.CreateThingTypeInput{ThingTypeName: aws.String("y"), Tags: one}))
	ok[*iot.CreateJobTemplateOutput](t, "CreateJobTemplate")(c.CreateJobTemplate(ctx, &iot.CreateJobTemplateInput{JobTemplateId: aws.String("m"), Document: aws.String("{}"), Description: aws.String("d"), Tags: one}))
	ok[*iot.CreateJobOutput](t, "CreateJob")(c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("j"), Targets: []string{account.ARN("thing", "pump")}, Document: aws.String("{}"), Tags: one}))
	list := func(arn string) (tags []string) {
		t.Helper()
		for _, g := range ok[*iot.ListTagsForResourceOutput](t, "ListTagsForResource")(c.ListTagsForResource(ctx, &iot.ListTagsForResourceInput{ResourceArn: &arn})).Tags {
			tags = append(tags, aws.ToString(g.Key)+"="+aws.ToString(g.Value))
		}
		return tags
	}
	for _, arn := range []string{account.ARN("thinggroup", "g"), account.ARN("thingtype", "y"), account.ARN("jobtemplate", "m"), account.ARN("job", "j")} {
		if got := list(arn); !slices.Equal(got, []string{"team=ota"}) {
			t.Errorf("%s: %q", arn, got)
		}
		ok[*iot.TagResourceOutput](t, "TagResource")(c.TagResource(ctx, &iot.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{tag("site", ""), tag("team", "fw")}}))
		if got := list(arn); !slices.Equal(got, []string{"team=fw", "site="}) {
			t.Errorf("%s: %q", arn, got)
		}
		ok[*iot.UntagResourceOutput](t, "UntagResource")(c.UntagResource(ctx, &iot.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"team", "nothing"}}))
		if got := list(arn); !slices.Equal(got, []string{"site="}) {
			t.Errorf("%s: %q", arn, got)
		}
	}
	group := aws.String(account.ARN("thinggroup", "g"))
	var many []types.Tag
	for i := range 50 {
		many = append(many, tag(fmt.Sprint("k", i), "v"))
	}
	_, err := c.TagResource(ctx, &iot.TagResourceInput{ResourceArn: group, Tags: many})
	as[*types.LimitExceededException](t, "51 tags", err)
	_, err = c.TagResource(ctx, &iot.TagResourceInput{ResourceArn: group, Tags: []types.Tag{tag("a", "1"), tag("a", "2")}})
	as[*types.InvalidRequestException](t, "a key twice", err)
	_, err = c.TagResource(ctx, &iot.TagResourceInput{ResourceArn: group, Tags: []types.Tag{tag("aws:x", "1")}})
	as[*types.InvalidRequestException](t, "a reserved key", err)
	_, err = c.TagResource(ctx, &iot.TagResourceInput{ResourceArn: aws.String(account.ARN("thing", "pump")), Tags: one})
	as[*types.InvalidRequestException](t, "a thing", err)
	for _, arn := range []string{account.ARN("thinggroup", "nobody"), account.ARN("job", "nobody"), account.ARN("car", "x"), "arn:aws:iot:eu-west-1:999999999999:thinggroup/g"} {
		_, err = c.ListTagsForResource(ctx, &iot.ListTagsForResourceInput{ResourceArn: &arn})
		as[*types.ResourceNotFoundException](t, arn, err)
	}
	// Tags go with what they are on.
	ok[*iot.DeleteThingGroupOutput](t, "DeleteThingGroup")(c.DeleteThingGroup(ctx, &iot.DeleteThingGroupInput{ThingGroupName: aws.String("g")}))
	ok[*iot.CreateThingGroupOutput](t, "CreateThingGroup")(c.CreateThingGroup(ctx, &iot.CreateThingGroupInput{ThingGroupName: aws.String("g")}))
	if got := list(*group); len(got) != 0 {
		t.Errorf("a new group of the name has the old one's tags: %q", got)
	}
	ok[*iot.DeleteJobOutput](t, "DeleteJob")(c.DeleteJob(ctx, &iot.DeleteJobInput{JobId: aws.String("j"), Force: true}))
	settle()
	ok[*iot.CreateJobOutput](t, "CreateJob")(c.CreateJob(ctx, &iot.CreateJobInput{JobId: aws.String("j"), Targets: []string{account.ARN("thing", "pump")}, Document: aws.String("{}")}))
	if got := list(account.ARN("job", "j")); len(got) != 0 {
		t.Errorf("a new job of the ID has the old one's tags: %q", got)
	}
}

func TestSDKEventConfigurations(t *testing.T) {
	c, _, _ := newSDK(t)
	ctx := t.Context()
	events := func() map[string]types.Configuration {
		return ok[*iot.DescribeEventConfigurationsOutput](t, "DescribeEventConfigurations")(c.DescribeEventConfigurations(ctx, &iot.DescribeEventConfigurationsInput{})).EventConfigurations
	}
	if e := events(); len(e) != 11 || !e["JOB"].Enabled || !e["JOB_EXECUTION"].Enabled || e["THING"].Enabled {
		t.Errorf("at first: %v", e)
	}
	ok[*iot.UpdateEventConfigurationsOutput](t, "UpdateEventConfigurations")(c.UpdateEventConfigurations(ctx, &iot.UpdateEventConfigurationsInput{
		EventConfigurations: map[string]types.Configuration{"JOB": {Enabled: false}, "THING": {Enabled: true}},
	}))
	if e := events(); e["JOB"].Enabled || !e["JOB_EXECUTION"].Enabled || !e["THING"].Enabled {
		t.Errorf("after the update: %v", e)
	}
}
