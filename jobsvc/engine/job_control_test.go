package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// create makes a job for a thing or group, with what change adds to it.
func (w *world) create(id string, change func(*jobsvc.CreateJobRequest), targets ...string) (*jobsvc.Job, error) {
	doc := `{"op":"` + id + `"}`
	r := &jobsvc.CreateJobRequest{JobID: id, Targets: targets, Document: &doc}
	change(r)
	return w.CreateJob(w.ctx, r)
}

func (w *world) mustCreate(id string, change func(*jobsvc.CreateJobRequest), targets ...string) *jobsvc.Job {
	w.t.Helper()
	j, err := w.create(id, change, targets...)
	w.must(err)
	return j
}

func continuous(r *jobsvc.CreateJobRequest) { r.TargetSelection = jobsvc.TargetContinuous }

// scheduled gives a job a schedule; with windows it is CONTINUOUS.
func scheduled(c jobsvc.SchedulingConfig) func(*jobsvc.CreateJobRequest) {
	return func(r *jobsvc.CreateJobRequest) {
		r.SchedulingConfig = &c
		if c.MaintenanceWindows != nil {
			r.TargetSelection = jobsvc.TargetContinuous
		}
	}
}

// TestStartTime: a job begins at its start time, for who is there then.
func TestStartTime(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b", "c")
	w.group("g", "", "a", "b")
	j := w.mustCreate("fw", scheduled(jobsvc.SchedulingConfig{StartTime: "2026-03-10 12:00"}), groupARN("g"), thingARN("c"))
	if j.Status != jobsvc.JobScheduled || j.Concurrent {
		t.Fatalf("created: %+v", j)
	}
	w.advance(time.Hour)
	d := w.describe("fw")
	if d.Status != jobsvc.JobScheduled || d.ProcessDetails.Pending() != 0 || d.ProcessDetails.ProcessingTargets != nil {
		t.Fatalf("an hour before its start: %+v", d)
	}
	if h := w.told(); h != nil {
		t.Errorf("somebody was told: %v", h)
	}
	// Until then the targets may change.
	w.thing("late")
	w.must(w.AddThingToThingGroup(w.ctx, "g", "late"))
	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "c"}))
	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "b"}))
	w.thing("b", "c") // b is in no group, c is a target by its name
	desc := "changed"
	w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", Description: &desc}))
	w.restart()
	w.advance(time.Hour)
	w.thing("later")
	w.must(w.AddThingToThingGroup(w.ctx, "g", "later"))
	w.runTimers()
	d = w.describe("fw")
	var got []string
	for _, x := range w.executions("fw", "", 0) {
		got = append(got, x.ThingName)
	}
	if slices.Sort(got); d.Status != jobsvc.JobInProgress || d.Description != desc || !slices.Equal(got, []string{"a", "c", "late"}) {
		t.Errorf("begun: %q, %+v", got, d)
	}
	if want := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC); d.StartedAt.Before(want) || !d.StartsAt.IsZero() || !d.LastUpdatedAt.After(want) {
		t.Errorf("begun: %+v", d.Job)
	}
	for _, n := range got {
		w.start(n)
		w.must(w.update(n, "fw", jobsvc.StatusSucceeded))
	}
	w.must(w.Settle(w.ctx))
	if s := w.describe("fw").Status; s != jobsvc.JobCompleted {
		t.Errorf("at the end it is %s", s)
	}
}

// TestEndBeforeStart: a job whose end comes while it waits never begins.
func TestEndBeforeStart(t *testing.T) {
	for behavior, want := range map[jobsvc.EndBehavior]jobsvc.JobStatus{
		"": jobsvc.JobCompleted, jobsvc.EndStopRollout: jobsvc.JobCompleted, jobsvc.EndCancel: jobsvc.JobCanceled, jobsvc.EndForceCancel: jobsvc.JobCanceled,
	} {
		w := newWorld(t)
		w.thing("a")
		w.mustCreate("fw", scheduled(jobsvc.SchedulingConfig{StartTime: "2026-03-10 12:00", EndTime: "2026-03-10 13:00", EndBehavior: behavior}), thingARN("a"))
		w.advance(4 * time.Hour) // the server was down
		d := w.describe("fw")
		if d.Status != want || d.ForceCanceled != (behavior == jobsvc.EndForceCancel) || (d.ReasonCode == "JOB_END_TIME_REACHED") != (want == jobsvc.JobCanceled) ||
			d.CompletedAt.IsZero() != (want == jobsvc.JobCanceled) || d.Concurrent || len(w.executions("fw", "", 0)) > 0 {
			t.Errorf("%q: %+v", behavior, d)
		}
		if timers, err := w.Timers(w.ctx, 10); err != nil || len(timers) > 0 {
			t.Errorf("%q: timers %v, %v", behavior, timers, err)
		}
	}
}

// TestWindows: a job with windows waits for the first one that is open.
func TestWindows(t *testing.T) {
	w := newWorld(t) // it is Tuesday, 2026-03-10, 10:00
	w.thing("a")
	window := func(s string) []jobsvc.MaintenanceWindow {
		return []jobsvc.MaintenanceWindow{{StartTime: s, DurationInMinutes: 180}}
	}
	if j := w.mustCreate("open", scheduled(jobsvc.SchedulingConfig{MaintenanceWindows: window("cron(0 9 ? * TUE *)")}), thingARN("a")); j.Status != jobsvc.JobInProgress {
		t.Errorf("inside its window: %+v", j)
	}
	j := w.mustCreate("closed", scheduled(jobsvc.SchedulingConfig{StartTime: "2026-03-12T22:00:00Z", EndTime: "2026-04-20 00:00", MaintenanceWindows: window("cron(0 2 ? * SAT *)")}), thingARN("a"))
	if want := time.Date(2026, 3, 14, 2, 0, 0, 0, time.UTC); j.Status != jobsvc.JobScheduled || !j.StartsAt.Equal(want) {
		t.Errorf("outside its window: %+v", j)
	}
	var shown []string
	for _, o := range w.describe("closed").ScheduledRollouts {
		shown = append(shown, o.Format("01-02"))
	}
	if got := strings.Join(shown, " "); got != "03-14 03-21 03-28 04-04 04-11 04-18" {
		t.Errorf("openings %s", got)
	}
	if n := len(w.describe("open").ScheduledRollouts); n != 7 {
		t.Errorf("%d openings without an end", n)
	}
	// The window of the 14th passes while the server is down.
	w.advance(5 * 24 * time.Hour)
	if d := w.describe("closed"); d.Status != jobsvc.JobScheduled || d.StartsAt.Day() != 21 {
		t.Errorf("after a lost window: %+v", d.Job)
	}
	// This one it finds open.
	w.advance(6*24*time.Hour - 7*time.Hour)
	if d := w.describe("closed"); d.Status != jobsvc.JobInProgress || d.ProcessDetails.Queued != 1 {
		t.Errorf("in a window: %+v", d)
	}
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "closed"})
	w.must(err)
	if got := w.describe("closed").ScheduledRollouts; got != nil {
		t.Errorf("openings of a canceled job: %v", got)
	}
	for name, c := range map[string]jobsvc.SchedulingConfig{
		"no cron":                 {MaintenanceWindows: window("at noon")},
		"never":                   {MaintenanceWindows: window("cron(0 2 30 FEB ? *)")},
		"not before the end":      {EndTime: "2026-03-25 12:00", MaintenanceWindows: window("cron(0 2 1 APR ? *)")},
		"only before the start":   {StartTime: "2026-04-02 12:00", MaintenanceWindows: window("cron(0 2 1 APR ? 2026)")},
		"a zone there is not":     {TimeZone: "Mars/Olympus", MaintenanceWindows: window("cron(0 2 ? * SAT *)")},
		"a start that has passed": {StartTime: "2026-03-10 12:00"},
	} {
		_, err := w.create("x", scheduled(c), thingARN("a"))
		if w.code(jobsvc.CodeInvalidRequest, err); !strings.Contains(err.Error(), "schedulingConfig") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = w.create("x", func(r *jobsvc.CreateJobRequest) {
		r.SchedulingConfig = &jobsvc.SchedulingConfig{MaintenanceWindows: window("cron(0 2 ? * SAT *)")}
	}, thingARN("a"))
	w.code(jobsvc.CodeInvalidRequest, err)
}

// TestScheduledJobs: what ends a job that waits for its start leaves no timer.
func TestScheduledJobs(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	later := scheduled(jobsvc.SchedulingConfig{StartTime: "2026-03-10 12:00"})
	w.mustCreate("canceled", later, thingARN("a"))
	w.mustCreate("deleted", later, thingARN("a"))
	w.mustCreate("more", func(r *jobsvc.CreateJobRequest) { continuous(r); later(r) }, thingARN("a"))
	_, err := w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "more", Targets: []string{thingARN("a")}})
	w.code(jobsvc.CodeInvalidRequest, err)
	w.code(jobsvc.CodeInvalidStateTransition, w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "deleted"}))
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "deleted", Force: true}))
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "more", Force: true}))
	_, err = w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "canceled"})
	w.must(err)
	w.runTimers()
	if timers, err := w.Timers(w.ctx, 10); err != nil || len(timers) > 0 {
		t.Errorf("timers %v, %v", timers, err)
	}
	if d := w.describe("canceled"); d.Status != jobsvc.JobCanceled || d.Concurrent {
		t.Errorf("canceled: %+v", d)
	}
	res, err := w.ListJobs(w.ctx, &jobsvc.ListJobsRequest{Status: jobsvc.JobCanceled})
	if w.must(err); len(res.Jobs) != 1 {
		t.Errorf("listed: %+v", res.Jobs)
	}
	w.advance(3 * time.Hour)
	if x := w.start("a"); x != nil {
		t.Errorf("a job that ended before its start began: %+v", x)
	}
}

// TestConfigurationIsKept: the configurations of a job are there to be read.
func TestConfigurationIsKept(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	want := jobsvc.CreateJobRequest{
		RolloutConfig: &jobsvc.RolloutConfig{MaximumPerMinute: 5},
		AbortConfig:   &jobsvc.AbortConfig{CriteriaList: []jobsvc.AbortCriterion{{FailureType: jobsvc.FailureAll, Action: "CANCEL", ThresholdPercentage: 1, MinNumberOfExecutedThings: 1}}},
		RetryConfig:   &jobsvc.RetryConfig{CriteriaList: []jobsvc.RetryCriterion{{FailureType: jobsvc.FailureAll, NumberOfRetries: 1}}},

		DestinationPackageVersions: []string{"arn:p"},
		Tags:                       []jobsvc.Tag{{Key: "team", Value: "ota"}},
	}
	w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
		r.RolloutConfig, r.AbortConfig, r.RetryConfig = want.RolloutConfig, want.AbortConfig, want.RetryConfig
		r.DestinationPackageVersions, r.Tags = want.DestinationPackageVersions, want.Tags
	}, thingARN("a"))
	w.restart()
	d := w.describe("fw")
	if d.RolloutConfig.MaximumPerMinute != 5 || d.AbortConfig.CriteriaList[0] != want.AbortConfig.CriteriaList[0] || d.RetryConfig.CriteriaList[0] != want.RetryConfig.CriteriaList[0] ||
		!slices.Equal(d.DestinationPackageVersions, want.DestinationPackageVersions) {
		t.Errorf("it is %+v", d.Job)
	}
	s, err := store.Open(w.ctx, w.db)
	w.must(err)
	tags := func() []jobsvc.Tag {
		tags, err := s.Tags(w.ctx, store.Resource{Kind: jobsvc.ARNJob, Name: "fw"})
		w.must(err)
		return tags
	}
	if got := tags(); !slices.Equal(got, want.Tags) {
		t.Errorf("tags %v", got)
	}
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw", Force: true}))
	w.runTimers()
	if got := tags(); got != nil {
		t.Errorf("tags of the deleted job %v", got)
	}
	_, err = w.create("x", func(r *jobsvc.CreateJobRequest) { r.JobTemplateARN = "arn:t" }, thingARN("a"))
	w.code(jobsvc.CodeNotFound, err)
}

func TestContinuous(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b", "c", "d")
	w.group("g", "", "a", "b")
	w.group("h", "", "b", "c")
	w.mustCreate("fw", continuous, groupARN("g"))
	w.runTimers()
	for _, n := range []string{"a", "b"} {
		w.must(w.update(n, "fw", jobsvc.StatusSucceeded))
	}
	w.UnsettleActive()
	w.runTimers()
	if d := w.describe("fw"); d.Status != jobsvc.JobInProgress || d.Concurrent || d.ProcessDetails.Succeeded != 2 {
		t.Fatalf("everyone is done: %+v", d)
	}
	comment := "one more group"
	j, err := w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{groupARN("h"), groupARN("g"), groupARN("h")}, Comment: &comment})
	w.must(err)
	if !slices.Equal(j.Targets, []string{groupARN("g"), groupARN("h")}) || j.Comment != comment {
		t.Errorf("associated: %+v", j)
	}
	if d := w.describe("fw"); !d.Concurrent || !slices.Equal(d.ProcessDetails.ProcessingTargets, []string{groupARN("h")}) {
		t.Errorf("before its rollout: %+v", d)
	}
	// Another one while that is under way, with a thing that came after the job.
	w.thing("new")
	_, err = w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{thingARN("new")}})
	w.must(err)
	w.runTimers()
	d := w.describe("fw")
	if d.Concurrent || d.ProcessDetails.Succeeded != 2 || d.ProcessDetails.Queued != 2 || d.ProcessDetails.ProcessingTargets != nil || d.Comment != comment {
		t.Errorf("after its rollout: %+v", d)
	}
	for _, n := range []string{"c", "new"} {
		if x := w.start(n); x == nil || x.ExecutionNumber != 1 {
			t.Errorf("%s begins %+v", n, x)
		}
	}
	// Nothing new: nothing to do.
	updated := w.describe("fw").LastUpdatedAt
	_, err = w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{groupARN("h")}})
	w.must(err)
	if d := w.describe("fw"); d.Concurrent || !d.LastUpdatedAt.After(updated) || len(d.Targets) != 3 {
		t.Errorf("nothing new: %+v", d)
	}
	if timers, err := w.Timers(w.ctx, 10); err != nil || len(timers) > 0 {
		t.Errorf("timers %v, %v", timers, err)
	}
	// A thing made again has not done what the old one did; its number goes on.
	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "a"}))
	w.thing("a")
	_, err = w.AssociateTargetsWithJob(w.ctx, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{thingARN("a"), thingARN("d")}})
	w.must(err)
	w.runTimers()
	if x := w.start("a"); x == nil || x.ExecutionNumber != 2 {
		t.Errorf("the thing made again begins %+v", x)
	}

	try := func(code jobsvc.Code, r *jobsvc.AssociateTargetsWithJobRequest) {
		t.Helper()
		_, err := w.AssociateTargetsWithJob(w.ctx, r)
		w.code(code, err)
	}
	other, bad := "other", "a\nb"
	many := make([]string, 0, 96)
	for i := range 96 {
		n := fmt.Sprint("many-", i)
		w.thing(n)
		many = append(many, thingARN(n))
	}
	targets := []string{thingARN("b")}
	try(jobsvc.CodeLimitExceeded, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: many})
	try(jobsvc.CodeLimitExceeded, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: make([]string, 101)})
	try(jobsvc.CodeInvalidRequest, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw"})
	try(jobsvc.CodeInvalidRequest, &jobsvc.AssociateTargetsWithJobRequest{JobID: "a b", Targets: targets})
	try(jobsvc.CodeInvalidRequest, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: targets, Comment: &bad})
	try(jobsvc.CodeNotFound, &jobsvc.AssociateTargetsWithJobRequest{JobID: "none", Targets: targets})
	try(jobsvc.CodeNotFound, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: targets, NamespaceID: &other})
	try(jobsvc.CodeNotFound, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: []string{thingARN("b"), thingARN("nobody")}})
	w.job("snapshot", thingARN("a"))
	try(jobsvc.CodeInvalidRequest, &jobsvc.AssociateTargetsWithJobRequest{JobID: "snapshot", Targets: targets})
	if n := len(w.describe("fw").Targets); n != 5 {
		t.Errorf("refused, and %d targets", n)
	}
	_, err = w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw"})
	w.must(err)
	try(jobsvc.CodeInvalidRequest, &jobsvc.AssociateTargetsWithJobRequest{JobID: "fw", Targets: targets})
}

func TestUpdateJob(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	ns := "agent"
	w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
		r.NamespaceID = &ns
		r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: time.Minute}
	}, thingARN("a"), thingARN("b"))
	w.runTimers()
	begin := func(thing string) *jobsvc.JobExecution {
		_, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: thing, JobID: "fw", NamespaceID: ns, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: jobsvc.StatusInProgress}})
		w.must(err)
		x, err := w.DescribeJobExecution(w.ctx, thing, "fw", nil)
		w.must(err)
		return x
	}
	a := begin("a")
	updated := w.describe("fw").LastUpdatedAt
	text := "new"
	w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", NamespaceID: &ns, Description: &text, JobConfig: jobsvc.JobConfig{
		TimeoutConfig: &jobsvc.TimeoutConfig{InProgress: time.Hour}, RolloutConfig: &jobsvc.RolloutConfig{MaximumPerMinute: 7},
	}}))
	d := w.describe("fw")
	if d.Description != text || d.RolloutConfig.MaximumPerMinute != 7 || !d.LastUpdatedAt.After(updated) {
		t.Errorf("updated: %+v", d.Job)
	}
	if x, err := w.DescribeJobExecution(w.ctx, "a", "fw", nil); err != nil || !x.InProgressDeadline.Equal(a.InProgressDeadline) {
		t.Errorf("the deadline of one that had begun moved: %+v, %v", x, err)
	}
	if b := begin("b"); !b.InProgressDeadline.Equal(b.StartedAt.Add(time.Hour)) {
		t.Errorf("one that begins afterwards: %+v", b)
	}

	other := "other"
	retries := jobsvc.JobConfig{RetryConfig: &jobsvc.RetryConfig{CriteriaList: []jobsvc.RetryCriterion{{FailureType: jobsvc.FailureAll, NumberOfRetries: 1}}}}
	w.code(jobsvc.CodeInvalidRequest, w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: retries}))
	w.code(jobsvc.CodeInvalidRequest, w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{RolloutConfig: &jobsvc.RolloutConfig{MaximumPerMinute: 1001}}}))
	w.code(jobsvc.CodeNotFound, w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", NamespaceID: &other}))
	w.code(jobsvc.CodeNotFound, w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "none"}))
	presign := jobsvc.JobConfig{PresignedURLConfig: &jobsvc.PresignedURLConfig{Expires: time.Minute}}
	w.code(jobsvc.CodeNotFound, w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "none", JobConfig: presign}))
	w.docs.checkErr = jobsvc.Errorf(jobsvc.CodeInvalidRequest, "no such role")
	w.code(jobsvc.CodeInvalidRequest, w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: presign}))
	w.docs.checkErr = nil
	w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: presign}))
	w.must(w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", JobConfig: jobsvc.JobConfig{TimeoutConfig: &jobsvc.TimeoutConfig{}}}))
	if d := w.describe("fw"); d.PresignedURLConfig == nil || d.TimeoutConfig != nil || d.RetryConfig != nil || d.RolloutConfig.MaximumPerMinute != 7 {
		t.Errorf("updated again: %+v", d.Job)
	}
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "fw"})
	w.must(err)
	w.code(jobsvc.CodeInvalidRequest, w.UpdateJob(w.ctx, &jobsvc.UpdateJobRequest{JobID: "fw", Description: &text}))
}

// TestRules: an installation may limit deletions, and cancels after a cancel.
func TestRules(t *testing.T) {
	w := newWorld(t)
	w.rules = &jobsvc.JobRules{MaxStartLead: time.Hour, MaxEndLead: time.Hour}
	w.limits = new(jobsvc.GenerousLimits())
	w.limits.DeletingJobs = 2
	w.open()
	w.thing("a")
	for _, id := range []string{"one", "two", "three"} {
		w.job(id, thingARN("a"))
		_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: id})
		w.must(err)
	}
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "one", Force: true})
	w.code(jobsvc.CodeInvalidRequest, err)
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "one"}))
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "two"}))
	w.code(jobsvc.CodeLimitExceeded, w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "three"}))
	w.code(jobsvc.CodeInvalidStateTransition, w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "two"}))
	w.code(jobsvc.CodeNotFound, w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "none"}))
	w.runTimers()
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "three"}))
	// Without a lead, a start in the past is now.
	if j := w.mustCreate("late", scheduled(jobsvc.SchedulingConfig{StartTime: "2026-03-10 09:00"}), thingARN("a")); j.Status != jobsvc.JobInProgress {
		t.Errorf("a start in the past: %+v", j)
	}
}

func TestCancelJobExecution(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) { r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: time.Hour} }, thingARN("a"), thingARN("b"))
	w.job("next", thingARN("a"))
	w.runTimers()
	w.told()
	cancel := func(code jobsvc.Code, r jobsvc.CancelJobExecutionRequest) {
		t.Helper()
		w.code(code, w.CancelJobExecution(w.ctx, &r))
	}
	describe := func(thing string) *jobsvc.JobExecution {
		t.Helper()
		x, err := w.DescribeJobExecution(w.ctx, thing, "fw", nil)
		w.must(err)
		return x
	}
	two, one := int64(2), int64(1)
	tooMany := make(map[string]string)
	for i := range 11 {
		tooMany[fmt.Sprint("k", i)] = "v"
	}
	cancel(jobsvc.CodeNotFound, jobsvc.CancelJobExecutionRequest{ThingName: "nobody", JobID: "fw"})
	cancel(jobsvc.CodeNotFound, jobsvc.CancelJobExecutionRequest{ThingName: "a", JobID: "none"})
	cancel(jobsvc.CodeNotFound, jobsvc.CancelJobExecutionRequest{ThingName: "b", JobID: "next"})
	cancel(jobsvc.CodeInvalidRequest, jobsvc.CancelJobExecutionRequest{ThingName: "a b", JobID: "fw"})
	cancel(jobsvc.CodeInvalidRequest, jobsvc.CancelJobExecutionRequest{ThingName: "a", JobID: "$next"})
	cancel(jobsvc.CodeInvalidRequest, jobsvc.CancelJobExecutionRequest{ThingName: "a", JobID: "fw", StatusDetails: tooMany})
	cancel(jobsvc.CodeVersionMismatch, jobsvc.CancelJobExecutionRequest{ThingName: "a", JobID: "fw", ExpectedVersion: &two})
	cancel("", jobsvc.CancelJobExecutionRequest{ThingName: "a", JobID: "fw", ExpectedVersion: &one, Force: true, StatusDetails: map[string]string{"why": "wrong pump"}})
	if x := describe("a"); x.Status != jobsvc.StatusCanceled || x.ForceCanceled || x.VersionNumber != 2 || x.StatusDetails["why"] != "wrong pump" {
		t.Errorf("canceled while QUEUED: %+v", x)
	}
	if h := w.told(); len(h) != 1 || h[0].SetVersion != 3 {
		t.Errorf("hints %+v", h)
	}
	if x := w.start("a"); x.JobID != "next" {
		t.Errorf("a goes on with %+v", x)
	}
	cancel(jobsvc.CodeInvalidStateTransition, jobsvc.CancelJobExecutionRequest{ThingName: "a", JobID: "fw", Force: true})
	cancel(jobsvc.CodeVersionMismatch, jobsvc.CancelJobExecutionRequest{ThingName: "a", JobID: "fw", Force: true, ExpectedVersion: &one})
	w.start("b")
	cancel(jobsvc.CodeInvalidStateTransition, jobsvc.CancelJobExecutionRequest{ThingName: "b", JobID: "fw"})
	if x := describe("b"); x.Status != jobsvc.StatusInProgress || x.VersionNumber != 2 {
		t.Errorf("refused, and it is %+v", x)
	}
	cancel("", jobsvc.CancelJobExecutionRequest{ThingName: "b", JobID: "fw", Force: true})
	if x := describe("b"); x.Status != jobsvc.StatusCanceled || !x.ForceCanceled || !x.Deadline().IsZero() {
		t.Errorf("canceled with force: %+v", x)
	}
	w.code(jobsvc.CodeInvalidStateTransition, w.update("b", "fw", jobsvc.StatusSucceeded))
	w.must(w.Settle(w.ctx))
	if d := w.describe("fw"); d.Status != jobsvc.JobCompleted || w.checkCounters("fw").Canceled != 2 {
		t.Errorf("at the end: %+v", d)
	}
	if timers, err := w.Timers(w.ctx, 10); err != nil || len(timers) > 0 {
		t.Errorf("timers %v, %v", timers, err)
	}
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "next", Force: true}))
	cancel(jobsvc.CodeNotFound, jobsvc.CancelJobExecutionRequest{ThingName: "a", JobID: "next", Force: true})
}

func TestDeleteJobExecution(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b", "c")
	ns := "agent"
	w.mustCreate("fw", func(r *jobsvc.CreateJobRequest) {
		r.NamespaceID = &ns
		r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: time.Hour}
	}, thingARN("a"), thingARN("b"), thingARN("c"))
	w.runTimers()
	report := func(thing string, s jobsvc.JobExecutionStatus) error {
		_, err := w.UpdateJobExecution(w.ctx, &jobsvc.UpdateJobExecutionRequest{ThingName: thing, JobID: "fw", NamespaceID: ns, JobExecutionUpdate: jobsvc.JobExecutionUpdate{Status: s}})
		return err
	}
	w.must(report("b", jobsvc.StatusInProgress))
	w.must(report("c", jobsvc.StatusFailed))
	w.told()
	del := func(code jobsvc.Code, r jobsvc.DeleteJobExecutionRequest) {
		t.Helper()
		if r.JobID == "" {
			r.JobID = "fw"
		}
		w.code(code, w.DeleteJobExecution(w.ctx, &r))
	}
	other := "other"
	del(jobsvc.CodeNotFound, jobsvc.DeleteJobExecutionRequest{ThingName: "nobody", ExecutionNumber: 1})
	del(jobsvc.CodeNotFound, jobsvc.DeleteJobExecutionRequest{ThingName: "a", JobID: "none", ExecutionNumber: 1})
	for _, n := range []int64{-1, 0, 2, 1 << 62} {
		del(jobsvc.CodeNotFound, jobsvc.DeleteJobExecutionRequest{ThingName: "a", ExecutionNumber: n, Force: true})
	}
	del(jobsvc.CodeNotFound, jobsvc.DeleteJobExecutionRequest{ThingName: "a", ExecutionNumber: 1, NamespaceID: &other})
	del(jobsvc.CodeInvalidRequest, jobsvc.DeleteJobExecutionRequest{ThingName: "a b", ExecutionNumber: 1})
	del(jobsvc.CodeInvalidRequest, jobsvc.DeleteJobExecutionRequest{ThingName: "a", JobID: "$next", ExecutionNumber: 1})
	del(jobsvc.CodeInvalidStateTransition, jobsvc.DeleteJobExecutionRequest{ThingName: "b", ExecutionNumber: 1})
	if h := w.told(); h != nil {
		t.Errorf("refused, and told %v", h)
	}
	del("", jobsvc.DeleteJobExecutionRequest{ThingName: "a", ExecutionNumber: 1, NamespaceID: &ns})
	if h := w.told(); len(h) != 1 || h[0].ThingName != "a" || h[0].NamespaceID != ns || h[0].SetVersion != 2 {
		t.Errorf("hints %+v", h)
	}
	del(jobsvc.CodeNotFound, jobsvc.DeleteJobExecutionRequest{ThingName: "a", ExecutionNumber: 1})
	w.code(jobsvc.CodeNotFound, report("a", jobsvc.StatusInProgress))
	_, err := w.DescribeJobExecution(w.ctx, "a", "fw", nil)
	w.code(jobsvc.CodeNotFound, err)
	del("", jobsvc.DeleteJobExecutionRequest{ThingName: "c", ExecutionNumber: 1})
	if h := w.told(); h != nil {
		t.Errorf("of an ended one the device was told: %v", h)
	}
	del("", jobsvc.DeleteJobExecutionRequest{ThingName: "b", ExecutionNumber: 1, Force: true})
	if d := w.checkCounters("fw"); d.Pending() != 0 || d.Failed != 0 {
		t.Errorf("counters %+v", d)
	}
	w.must(w.Settle(w.ctx))
	if s := w.describe("fw").Status; s != jobsvc.JobCompleted {
		t.Errorf("with nothing left it is %s", s)
	}
	if timers, err := w.Timers(w.ctx, 10); err != nil || len(timers) > 0 {
		t.Errorf("timers %v, %v", timers, err)
	}
	for _, n := range []string{"a", "b", "c"} {
		r, err := w.ListJobExecutionsForThing(w.ctx, &jobsvc.ListJobExecutionsForThingRequest{ThingName: n})
		if w.must(err); len(r.Executions) != 0 {
			t.Errorf("%s has %+v", n, r.Executions)
		}
	}
	// The job's ID is free again, and nothing of the deleted executions is in its way.
	w.must(w.DeleteJob(w.ctx, &jobsvc.DeleteJobRequest{JobID: "fw"}))
	w.runTimers()
	w.job("fw", thingARN("a"))
	w.runTimers()
	if x := w.start("a"); x == nil || x.ExecutionNumber != 1 {
		t.Errorf("in a new job of the ID: %+v", x)
	}
}

// TestDeletedInRollout: a chunk that is released again does not bring a deleted execution
// back.
func TestDeletedInRollout(t *testing.T) {
	for _, started := range []bool{false, true} {
		w := newFaultyWorld(t)
		w.create("fw")
		// The step that would close the chunk fails: it is released again.
		var begun bool
		w.faulty.fault = func(int) fault {
			if begun = begun || len(w.executions("fw", "", 0)) == 4; begun {
				return unavailable
			}
			return none
		}
		timers, err := w.Timers(w.ctx, 1)
		w.must(err)
		if err := w.Fire(w.ctx, timers[0], w.tick()); err == nil {
			t.Fatal("the step did not fail")
		}
		w.faulty.fault = nil
		if started {
			w.begin("t0002")
			w.must(w.update("t0002", "fw", jobsvc.StatusFailed))
		}
		w.must(w.DeleteJobExecution(w.ctx, &jobsvc.DeleteJobExecutionRequest{ThingName: "t0002", JobID: "fw", ExecutionNumber: 1}))
		w.background()
		if d := w.checkCounters("fw"); d.Queued != 4 || d.Failed != 0 {
			t.Errorf("started %v: %+v", started, d)
		}
	}
}

// TestListJobs has every filter, alone and together.
func TestListJobs(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.group("g", "", "a")
	w.group("h", "")
	ns := "agent"
	in := func(r *jobsvc.CreateJobRequest) { r.NamespaceID = &ns }
	both := func(r *jobsvc.CreateJobRequest) { in(r); continuous(r) }
	none := func(*jobsvc.CreateJobRequest) {}
	w.mustCreate("1", none, groupARN("g"))
	w.mustCreate("2", in, groupARN("g"), groupARN("h"))
	w.mustCreate("3", both, thingARN("a"), groupARN("g"))
	w.mustCreate("4", continuous, groupARN("h"))
	w.mustCreate("5", scheduled(jobsvc.SchedulingConfig{StartTime: "2026-03-11 12:00"}), groupARN("g"))
	_, err := w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "2"})
	w.must(err)
	g, err := w.DescribeThingGroup(w.ctx, "g")
	w.must(err)
	for _, tc := range []struct {
		r    jobsvc.ListJobsRequest
		want string
	}{
		{jobsvc.ListJobsRequest{}, "5 4 3 2 1"},
		{jobsvc.ListJobsRequest{Status: jobsvc.JobInProgress}, "4 3 1"},
		{jobsvc.ListJobsRequest{Status: jobsvc.JobScheduled, ThingGroupName: "g"}, "5"},
		{jobsvc.ListJobsRequest{TargetSelection: jobsvc.TargetContinuous}, "4 3"},
		{jobsvc.ListJobsRequest{TargetSelection: jobsvc.TargetSnapshot, NamespaceID: ns}, "2"},
		{jobsvc.ListJobsRequest{NamespaceID: ns}, "3 2"},
		{jobsvc.ListJobsRequest{ThingGroupName: "g"}, "5 3 2 1"},
		{jobsvc.ListJobsRequest{ThingGroupID: g.ID}, "5 3 2 1"},
		{jobsvc.ListJobsRequest{ThingGroupName: "g", ThingGroupID: g.ID, Status: jobsvc.JobCanceled, NamespaceID: ns, TargetSelection: jobsvc.TargetSnapshot}, "2"},
		{jobsvc.ListJobsRequest{ThingGroupName: "g", Status: jobsvc.JobCompleted}, ""},
	} {
		got := pages(t, 1, func(p jobsvc.Page) ([]string, string, error) {
			r := tc.r
			r.Page = p
			res, err := w.ListJobs(w.ctx, &r)
			if err != nil {
				return nil, "", err
			}
			var ids []string
			for _, j := range res.Jobs {
				ids = append(ids, j.ID)
			}
			return ids, res.NextToken, nil
		})
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%+v: %q, want %q", tc.r, s, tc.want)
		}
	}
	_, err = w.ListJobs(w.ctx, &jobsvc.ListJobsRequest{ThingGroupName: "h", ThingGroupID: g.ID})
	w.code(jobsvc.CodeInvalidRequest, err)
	_, err = w.ListJobs(w.ctx, &jobsvc.ListJobsRequest{ThingGroupID: "none"})
	w.code(jobsvc.CodeNotFound, err)
}
