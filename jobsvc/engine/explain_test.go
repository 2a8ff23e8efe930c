package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// presence is who is connected.
type presence map[string][]string

func (presence) CertificateChanged(string)         {}
func (presence) ThingChanged(string)               {}
func (presence) ThingGroupChanged(string)          {}
func (presence) AccessKeyDeleted(string)           {}
func (presence) PolicyChanged(string)              {}
func (presence) ThingDeleted(string)               {}
func (p presence) Connected(thing string) []string { return p[thing] }

// explained writes an explanation in lines.
func explained(x *jobsvc.ThingExplanation) string {
	s := slices.Clone(x.Findings)
	for _, e := range x.Executions {
		s = append(s, fmt.Sprintf("%s#%d %s: %s", e.JobID, e.ExecutionNumber, e.Status, e.Reason))
	}
	for _, j := range x.Jobs {
		s = append(s, fmt.Sprintf("%s %s: %s", j.JobID, j.Status, j.Reason))
	}
	return strings.Join(append(s, fmt.Sprint(x.OtherJobs, " others")), "\n")
}

// TestExplainThing tells of each thing that may keep a job from a device.
func TestExplainThing(t *testing.T) {
	w := newWorld(t)
	rules := jobsvc.DefaultJobRules()
	rules.MinStartLead, rules.MinEndLead, rules.MinSpan, rules.RetryDelay = 0, 0, 0, 10*time.Minute
	w.rules = &rules
	w.open()
	things := names(3)
	w.thing(things...)
	w.group("g", "", things...)
	w.group("empty", "")
	on := func(id string, change func(*jobsvc.CreateJobRequest), targets ...string) {
		t.Helper()
		w.mustCreate(id, func(r *jobsvc.CreateJobRequest) {
			if change != nil {
				change(r)
			}
		}, targets...)
		w.runTimers()
	}
	on("busy", func(r *jobsvc.CreateJobRequest) { r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: time.Hour} }, groupARN("g"))
	on("next", nil, groupARN("g"))
	on("then", nil, groupARN("g"))
	on("spaced", func(r *jobsvc.CreateJobRequest) { r.NamespaceID = new("agent") }, groupARN("g"))
	on("night", scheduled(nightly("", "")), groupARN("g"))
	on("retried", func(r *jobsvc.CreateJobRequest) {
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed, NumberOfRetries: 1})
	}, groupARN("g"))
	on("rate", func(r *jobsvc.CreateJobRequest) { r.RolloutConfig = perMinute(2) }, groupARN("g"))
	on("later", scheduled(jobsvc.SchedulingConfig{StartTime: "2026-03-10T12:00:00Z"}), groupARN("g"))
	on("done", nil, groupARN("g"))
	on("other", nil, thingARN(things[0]))
	on("nobody", func(r *jobsvc.CreateJobRequest) { r.TargetSelection = jobsvc.TargetContinuous }, groupARN("empty"))
	thing := things[2]
	w.must(w.update(thing, "busy", jobsvc.StatusInProgress))
	w.must(w.update(thing, "retried", jobsvc.StatusFailed))
	w.must(w.update(thing, "done", jobsvc.StatusRejected))
	w.runTimers()
	x, err := w.ExplainThing(w.ctx, thing)
	w.must(err)
	const want = `busy#1 IN_PROGRESS: The device works at it since 2026-03-10T10:00:00Z. It times out in 1h0m0s.
next#1 QUEUED: It comes after job busy.
then#1 QUEUED: It comes after job next.
spaced#1 QUEUED: It is next: the device gets it with StartNextPendingJobExecution. It is in the namespace "agent": a device that does not ask for that does not see it.
retried#2 QUEUED: It is a retry, which the device sees from 2026-03-10T10:10:00Z on.
done IN_PROGRESS: The thing is through with it: execution 1 is REJECTED since 2026-03-10T10:00:00Z.
later SCHEDULED: The job begins 2026-03-10T12:00:00Z.
rate IN_PROGRESS: The rollout goes on at 2026-03-10T10:01:00Z: it has released 2 things, now 2 a minute.
night SCHEDULED: The job begins 2026-03-11T02:00:00Z.
2 others`
	if got := explained(x); got != want {
		t.Errorf("explained:\n%s\nwant:\n%s", got, want)
	}

	// A night later, and by day again.
	w.setClock(moment(t, "2026-03-11 02:00"))
	w.runTimers()
	w.setClock(moment(t, "2026-03-11 06:00"))
	w.runTimers()
	_, err = w.CancelJob(w.ctx, &jobsvc.CancelJobRequest{JobID: "busy"})
	w.must(err)
	w.thing("young")
	w.join("young", "g")
	for thing, want := range map[string]string{
		thing:   "night#1 QUEUED: The maintenance windows of its job are closed. The next one opens 2026-03-12T02:00:00Z.",
		"young": "next IN_PROGRESS: The thing was not in the targets when the job began, and a SNAPSHOT job does not follow who joins, or its execution was deleted.",
	} {
		x, err := w.ExplainThing(w.ctx, thing)
		w.must(err)
		if got := explained(x); !strings.Contains(got, want+"\n") {
			t.Errorf("%s:\n%s\nhas no\n%s", thing, got, want)
		}
	}
	_, err = w.ExplainThing(w.ctx, "nobody")
	w.code(jobsvc.CodeNotFound, err)
	_, err = w.ExplainThing(w.ctx, "no body")
	w.code(jobsvc.CodeInvalidRequest, err)
}

// TestExplainConnection: what keeps a device from connecting.
func TestExplainConnection(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b", "c", "d")
	st, err := store.Open(w.ctx, w.db)
	w.must(err)
	e := engine.New(st, engine.Options{Account: account, Issuer: issuer{}, Now: w.tick, Sessions: presence{"d": {"d"}}})
	for thing, active := range map[string]bool{"b": false, "c": true, "d": true} {
		kc, err := e.CreateKeysAndCertificate(w.ctx, active)
		w.must(err)
		w.must(e.AttachThingPrincipal(w.ctx, &jobsvc.AttachThingPrincipalRequest{ThingName: thing, Principal: account.ARN(jobsvc.ARNCert, kc.ID)}))
	}
	for thing, want := range map[string]string{
		"a": "No certificate is attached to the thing: its device cannot connect.",
		"b": "None of its certificates can be used: its device cannot connect.",
		"c": "No device is connected for the thing.",
		"d": "",
	} {
		x, err := e.ExplainThing(w.ctx, thing)
		w.must(err)
		if got := strings.Join(x.Findings, "\n"); got != want {
			t.Errorf("%s: %q, want %q", thing, got, want)
		}
		if thing == "b" && x.Certificates[0].Finding != "The certificate is INACTIVE: the broker refuses it." {
			t.Errorf("the certificate: %+v", x.Certificates[0])
		}
	}
}
