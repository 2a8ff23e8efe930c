package engine_test

import (
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// The objects of a document are asked for once everything else is in order, and a job
// without them is not there.
func TestVerifiedAtCreateJob(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	doc := "{}"
	request := func(id string) *jobsvc.CreateJobRequest {
		return &jobsvc.CreateJobRequest{JobID: id, Targets: []string{thingARN("a")}, Document: &doc}
	}
	w.docs.checkErr = jobsvc.Errorf(jobsvc.CodeInvalidRequest, "no such role")
	_, err := w.CreateJob(w.ctx, request("fw"))
	w.code(jobsvc.CodeInvalidRequest, err)
	if w.docs.verified != 0 {
		t.Error("objects of a document asked for that is refused")
	}
	w.docs.checkErr, w.docs.verifyErr = nil, jobsvc.Errorf(jobsvc.CodeUnavailable, "no answer")
	_, err = w.CreateJob(w.ctx, request("fw"))
	w.code(jobsvc.CodeUnavailable, err)
	_, err = w.DescribeJob(w.ctx, "fw")
	w.code(jobsvc.CodeNotFound, err)
	w.docs.verifyErr = nil
	_, err = w.CreateJob(w.ctx, request("fw"))
	w.must(err)
	_, err = w.CreateJob(w.ctx, request("fw"))
	w.code(jobsvc.CodeAlreadyExists, err)
	if w.docs.verified != 2 {
		t.Errorf("objects asked for %d times", w.docs.verified)
	}
}

// A template is checked for its syntax, and by all that there is when a job is made from it.
func TestTemplatePlaceholders(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	doc, description := "{}", "d"
	request := &jobsvc.CreateJobTemplateRequest{ID: "t1", Document: &doc, Description: description}
	w.docs.syntaxErr = jobsvc.Errorf(jobsvc.CodeInvalidRequest, "unknown placeholder")
	_, err := w.CreateJobTemplate(w.ctx, request)
	w.code(jobsvc.CodeInvalidRequest, err)
	w.docs.syntaxErr, w.docs.checkErr = nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "no role")
	made, err := w.CreateJobTemplate(w.ctx, request)
	w.must(err)
	if w.docs.verified != 0 {
		t.Error("objects of a template asked for")
	}
	_, err = w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{JobID: "fw", Targets: []string{thingARN("a")}, JobTemplateARN: account.ARN(jobsvc.ARNJobTemplate, made.ID)})
	w.code(jobsvc.CodeInvalidRequest, err)
}

// Uploads are named after the execution: every document for a device tells which it is for.
func TestDocumentsNameTheirExecution(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	doc := "{}"
	_, err := w.CreateJob(w.ctx, &jobsvc.CreateJobRequest{
		JobID: "logs", Targets: []string{thingARN("a")}, Document: &doc,
		RetryConfig: &jobsvc.RetryConfig{CriteriaList: []jobsvc.RetryCriterion{{FailureType: "FAILED", NumberOfRetries: 1}}},
	})
	w.must(err)
	w.runTimers()
	check := func(what string, d *jobsvc.Document, number int64) {
		t.Helper()
		if d == nil || d.ThingName != "a" || d.JobID != "logs" || d.ExecutionNumber != number {
			t.Errorf("%s: %+v, want number %d", what, d, number)
		}
	}
	for number := int64(1); number <= 2; number++ {
		q, err := w.ThingQueue(w.ctx, "a", "")
		w.must(err)
		check("notify-next", q.Document, number)
		x, err := w.StartNextPendingJobExecution(w.ctx, &jobsvc.StartNextPendingJobExecutionRequest{ThingName: "a", Sign: true})
		w.must(err)
		check("start-next", x.Document, number)
		for _, id := range []string{"logs", jobsvc.NextJobID} {
			x, err = w.DescribePendingJobExecution(w.ctx, &jobsvc.DescribeJobExecutionRequest{ThingName: "a", JobID: id, Sign: true, IncludeDocument: true})
			w.must(err)
			check("get "+id, x.Document, number)
		}
		u, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{
			ThingName: "a", JobID: "logs", Sign: true, IncludeDocument: true, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusFailed},
		})
		w.must(err)
		check("update", u.Document, number)
		w.runTimers()
	}
}

func TestCheckPresignedURLs(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.job("fw", thingARN("a"))
	checks, err := w.CheckPresignedURLs(w.ctx, "fw")
	w.must(err)
	if len(checks) != 1 || w.docs.probed == nil || w.docs.probed.ThingName != "" || len(w.docs.probed.Text) == 0 {
		t.Errorf("checked %v, asked %+v", checks, w.docs.probed)
	}
	_, err = w.CheckPresignedURLs(w.ctx, "none")
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.CheckPresignedURLs(w.ctx, "no id!")
	w.code(jobsvc.CodeInvalidRequest, err)
}
