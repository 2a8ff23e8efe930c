package engine_test

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// newBigWorld is a world, of transactions that run once, with a group g of so many things.
func newBigWorld(t *testing.T, things int) (*world, []string) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	// Without a check of scopes many things may be made in one transaction.
	w := newWorldOn(t, memkv.Open(memkv.Options{}), func(db kv.DB) kv.DB { return db.(*memkv.DB).Reopen() })
	g, err := w.CreateThingGroup(w.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: "g"})
	w.must(err)
	s, err := store.Open(w.ctx, w.db)
	w.must(err)
	at := w.tick()
	list := make([]string, things)
	for i := range list {
		list[i] = fmt.Sprintf("t%06d", i)
	}
	for part := range slices.Chunk(list, 1000) {
		_, err := s.Update(w.ctx, kv.Thing(part[0]), func(tx *store.Tx) error {
			for _, n := range part {
				tx.PutThing(&jobsvc.Thing{Name: n, ID: "id-" + n, Version: 1, CreatedAt: at})
				tx.PutMembership(n, g.Name, &store.Membership{ThingID: "id-" + n, GroupID: g.ID, JoinedAt: at})
			}
			return nil
		})
		w.must(err)
	}
	w.tick()
	return w, list
}

// to lets everything happen that is due up to a time.
func (w *world) to(now time.Time) {
	w.t.Helper()
	w.setClock(now)
	w.runTimers()
}

// wantCounts holds the counters of job fw against those wanted, and against a listing.
func (w *world) wantCounts(want jobsvc.JobProcessDetails) {
	w.t.Helper()
	got := w.describe("fw").ProcessDetails
	for _, s := range jobsvc.JobExecutionStatuses() {
		if *got.Count(s) != *want.Count(s) {
			w.t.Fatalf("%d are %s, not %d", *got.Count(s), s, *want.Count(s))
		}
	}
}

func countsOf(list []jobsvc.JobExecution) (n jobsvc.JobProcessDetails) {
	for _, x := range list {
		*n.Count(x.Status)++
	}
	return n
}

// TestBigRollout: 100,000 things, 50 a minute at first, a tenth more for each thousand, and
// a restart every now and then. What each minute releases is computed here with fractions.
func TestBigRollout(t *testing.T) {
	const things, base, step, limit = 100_000, 50, 1000, 1000
	w, _ := newBigWorld(t, things)
	j := w.createWith(func(r *jobsvc.CreateJobRequest) { r.RolloutConfig = exponentialRate(base, 11, step, 0, limit) }, groupARN("g"))
	var want []int
	for sum := int64(0); sum < things; {
		rate := big.NewRat(base, 1)
		for range sum / step {
			if rate.Mul(rate, big.NewRat(11, 10)); rate.Cmp(big.NewRat(limit, 1)) >= 0 {
				break // it will not fall
			}
		}
		n := min(new(big.Int).Quo(rate.Num(), rate.Denom()).Int64(), limit, things-sum)
		want = append(want, int(n))
		sum += n
	}
	sum := int64(0)
	for i, n := range want {
		w.to(j.CreatedAt.Add(time.Duration(i) * time.Minute))
		sum += int64(n)
		if d := w.describe("fw"); d.ProcessDetails.Queued != sum || d.Concurrent != (sum < things) || d.Status != jobsvc.JobInProgress {
			t.Fatalf("minute %d: %d released, not %d: %+v", i, d.ProcessDetails.Queued, sum, d.Job)
		}
		if i%10 == 0 {
			w.to(j.CreatedAt.Add(time.Duration(i)*time.Minute + 59*time.Second)) // nothing more
			w.restart()
		}
	}
	if got := w.releases(j.CreatedAt); !slices.Equal(got, want) {
		t.Errorf("releases %v, want %v", got, want)
	}
	w.noTimers()
}

// TestBigAbort: in a rollout to 20,000 things that gets faster, all goes well for the first
// 4000 that report, then nothing. The report that makes it a fifth ends it.
func TestBigAbort(t *testing.T) {
	const things, good, bad, begun = 20_000, 4000, 1000, 100
	w, list := newBigWorld(t, things)
	j := w.createWith(func(r *jobsvc.CreateJobRequest) {
		r.RolloutConfig = exponentialRate(50, 20, 500, 0, 1000)
		r.AbortConfig = abortIf(jobsvc.FailureFailed, 2000, 1000)
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureTimedOut, NumberOfRetries: 2})
	}, groupARN("g"))
	// The first hundred work, and do not say what came of it.
	reported, last := 0, 0
	for minute := 0; reported < good+bad; minute++ {
		if minute > 60 {
			t.Fatalf("after an hour %d have reported", reported)
		}
		w.to(j.CreatedAt.Add(time.Duration(minute) * time.Minute))
		released := int(w.describe("fw").ProcessDetails.Queued) + reported + min(last, begun)
		for ; last < released && reported < good+bad; last++ {
			if last < begun {
				w.start(list[last])
				continue
			}
			status := jobsvc.StatusSucceeded
			if reported >= good {
				status = jobsvc.StatusFailed
			}
			if s := w.describe("fw").Status; s != jobsvc.JobInProgress {
				t.Fatalf("after %d reports it is %s", reported, s)
			}
			w.must(w.update(list[last], "fw", status))
			w.must(w.Settle(w.ctx))
			reported++
		}
	}
	d := w.describe("fw")
	if d.Status != jobsvc.JobCanceled || d.ReasonCode != "JOB_ABORT_CRITERIA_MET" || d.Comment != "Abort criterion FAILED >= 20% met: 1000 of 5000 executed." || d.ForceCanceled || !d.Concurrent {
		t.Fatalf("aborted: %+v", d.Job)
	}
	left := d.ProcessDetails.Queued
	if left == 0 || left+begun+good+bad >= things {
		t.Fatalf("%d are QUEUED", left)
	}
	w.runTimers()
	want := jobsvc.JobProcessDetails{Succeeded: good, Failed: bad, InProgress: begun, Canceled: left}
	w.wantCounts(want)
	w.to(j.CreatedAt.Add(24 * time.Hour))
	w.restart()
	w.runTimers()
	// One that was at work fails: the job is as it was.
	w.must(w.update(list[0], "fw", jobsvc.StatusFailed))
	w.runTimers()
	want.InProgress--
	want.Failed++
	w.wantCounts(want)
	if got := countsOf(w.executions("fw", "", 250)); total(&got) != total(&want) || got.Canceled != want.Canceled || got.Failed != want.Failed {
		t.Errorf("listed: %+v", got)
	}
	if after := w.describe("fw"); after.Status != jobsvc.JobCanceled || after.Concurrent || after.Comment != d.Comment {
		t.Errorf("in the end: %+v", after.Job)
	}
	w.noTimers()
}

// TestBigNights: three weeks of nights of 24 minutes, five things a minute, and some of them
// done in the same night, some the next noon, some never begun.
func TestBigNights(t *testing.T) {
	const things, nights, minutes, rate = 2500, 21, 24, 5
	w, list := newBigWorld(t, things)
	c := jobsvc.SchedulingConfig{MaintenanceWindows: []jobsvc.MaintenanceWindow{{StartTime: "cron(0 2 * * ? *)", DurationInMinutes: minutes}}}
	w.createWith(func(r *jobsvc.CreateJobRequest) {
		continuous(r)
		r.SchedulingConfig = &c
		r.RolloutConfig = perMinute(rate)
	}, groupARN("g"))
	var want jobsvc.JobProcessDetails
	released := 0
	day := moment(t, "2026-03-11 00:00")
	for night := range nights {
		opening := day.Add(2 * time.Hour)
		w.to(opening.Add(-time.Second))
		if s := w.describe("fw").Status; s != jobsvc.JobScheduled {
			t.Fatalf("night %d, before the window it is %s", night, s)
		}
		w.to(opening)
		opened := w.describe("fw").OpenedAt
		var working []string
		for minute := range minutes {
			w.to(opened.Add(time.Duration(minute) * time.Minute))
			n := min(rate, things-released)
			want.Queued += int64(n)
			fresh := list[released : released+n]
			released += n
			if got := w.describe("fw"); got.Status != jobsvc.JobInProgress || got.ProcessDetails.Queued != want.Queued || got.Concurrent != (released < things) {
				t.Fatalf("night %d, minute %d: %d are QUEUED, not %d: %+v", night, minute, got.ProcessDetails.Queued, want.Queued, got.Job)
			}
			for i, thing := range fresh {
				switch i {
				case 0: // it waits, for ever
				case 1, 2:
					w.must(w.update(thing, "fw", jobsvc.StatusSucceeded))
					want.Queued--
					want.Succeeded++
				default:
					if x := w.start(thing); x == nil || x.JobID != "fw" {
						t.Fatalf("night %d: %s begins %+v", night, thing, x)
					}
					working = append(working, thing)
					want.Queued--
					want.InProgress++
				}
			}
		}
		w.wantCounts(want)
		w.to(opening.Add(minutes * time.Minute))
		if night%5 == 0 {
			w.restart()
		}
		w.to(day.Add(12 * time.Hour))
		if d := w.describe("fw"); d.Status != jobsvc.JobScheduled || d.Concurrent || !d.StartsAt.Equal(opening.AddDate(0, 0, 1)) {
			t.Fatalf("night %d, at noon: %+v", night, d.Job)
		}
		w.wantCounts(want)
		if got, x := w.queueOf(list[0]), w.start(list[0]); got != "" || x != nil {
			t.Fatalf("night %d, at noon one that waits sees %q, begins %+v", night, got, x)
		}
		for i, thing := range working {
			status := jobsvc.StatusSucceeded
			if i%10 == 9 {
				status = jobsvc.StatusFailed
			}
			w.must(w.update(thing, "fw", status))
			*want.Count(status)++
			want.InProgress--
		}
		w.wantCounts(want)
		day = day.AddDate(0, 0, 1)
	}
	if released != things {
		t.Fatalf("%d were released", released)
	}
	listed := w.executions("fw", "", 250)
	if got := countsOf(listed); got.Queued != want.Queued || got.Succeeded != want.Succeeded || got.Failed != want.Failed || total(&got) != things {
		t.Errorf("listed: %+v, want %+v", got, want)
	}
	// By the listing, too, nobody was released by day or in a minute that was full.
	perMinute := map[time.Time]int{}
	for _, x := range listed {
		perMinute[x.QueuedAt.Truncate(time.Minute)]++
	}
	for at, n := range perMinute {
		if at.Hour() != 2 || n > rate {
			t.Errorf("at %s %d were released", at, n)
		}
	}
	w.to(day.Add(2 * time.Hour)) // those that wait are shown to their devices again
	if got := w.queueOf(list[0]); got != "fw/1 QUEUED" {
		t.Errorf("the first sees %q", got)
	}
}

// TestBigRetries: 3000 things fail and time out in every order until their budgets are used
// up, or succeed before that.
func TestBigRetries(t *testing.T) {
	const things, failures, timeouts = 3000, 3, 2
	w, list := newBigWorld(t, things)
	w.createWith(func(r *jobsvc.CreateJobRequest) {
		r.TimeoutConfig = &jobsvc.TimeoutConfig{InProgress: 10 * time.Minute}
		r.RetryConfig = retryIf(jobsvc.RetryCriterion{FailureType: jobsvc.FailureFailed, NumberOfRetries: failures},
			jobsvc.RetryCriterion{FailureType: jobsvc.FailureTimedOut, NumberOfRetries: timeouts})
	}, groupARN("g"))
	w.runTimers()
	// What comes of each attempt is read off the thing's number, to the base of 5.
	outcome := func(thing, attempt int) jobsvc.JobExecutionStatus {
		for range attempt {
			thing /= 5
		}
		switch thing % 5 {
		case 0, 1:
			return jobsvc.StatusFailed
		case 2, 3:
			return jobsvc.StatusTimedOut
		}
		return []jobsvc.JobExecutionStatus{jobsvc.StatusSucceeded, jobsvc.StatusRejected}[thing/5%2]
	}
	chains := make([][]jobsvc.JobExecutionStatus, things)
	var want jobsvc.JobProcessDetails
	pending := make([]int, things)
	for i := range pending {
		pending[i] = i
	}
	want.Queued = things
	for attempt := 0; len(pending) > 0; attempt++ {
		if attempt > failures+timeouts {
			t.Fatalf("attempt %d, %d are pending", attempt, len(pending))
		}
		w.wantCounts(want)
		if s := w.describe("fw").Status; s != jobsvc.JobInProgress {
			t.Fatalf("attempt %d: it is %s", attempt, s)
		}
		var again []int
		for _, i := range pending {
			x := w.start(list[i])
			if x == nil || x.ExecutionNumber != int64(attempt)+1 || x.RetryAttempt != attempt {
				t.Fatalf("attempt %d of %s: %+v", attempt, list[i], x)
			}
			status := outcome(i, attempt)
			chains[i] = append(chains[i], status)
			if status != jobsvc.StatusTimedOut {
				w.must(w.update(list[i], "fw", status))
			}
			*want.Count(status)++
			want.Queued--
			budget := map[jobsvc.JobExecutionStatus]int{jobsvc.StatusFailed: failures, jobsvc.StatusTimedOut: timeouts}[status]
			used := -1 // this one is none yet
			for _, s := range chains[i] {
				if s == status {
					used++
				}
			}
			if used < budget {
				again = append(again, i)
				want.Queued++
			}
		}
		w.must(w.Settle(w.ctx))
		w.advance(10 * time.Minute)
		pending = again
	}
	w.wantCounts(want)
	d := w.describe("fw")
	if d.Status != jobsvc.JobCompleted {
		t.Errorf("in the end it is %s", d.Status)
	}
	got := make(map[string][]jobsvc.JobExecutionStatus)
	for _, x := range w.executions("fw", "", 250) { // by time
		if got[x.ThingName] = append(got[x.ThingName], x.Status); x.ExecutionNumber != int64(len(got[x.ThingName])) || x.RetryAttempt != len(got[x.ThingName])-1 {
			t.Fatalf("out of its order: %+v", x)
		}
	}
	longest := 0
	for i, n := range list {
		if !slices.Equal(got[n], chains[i]) {
			t.Fatalf("%s came to %v, not %v", n, got[n], chains[i])
		}
		longest = max(longest, len(chains[i]))
	}
	if longest != failures+timeouts+1 {
		t.Errorf("the longest chain has %d", longest)
	}
	w.noTimers()
}

// TestBigChurn: thousands of joins, leaves, moves and deletions under CONTINUOUS jobs that
// have nested and dynamic groups as targets. Everybody comes to just what the table of the
// specification says.
func TestBigChurn(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const steps = 8000
	c := newChurnOn(newFaultyWorldOn(t, memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})), 40, 7, false)
	c.keep = 3
	for i := range steps {
		c.step()
		c.background()
		if i%1000 == 0 {
			c.check()
		}
	}
	for _, j := range c.jobs {
		if !j.canceled && !j.open {
			c.turn(j)
		}
	}
	c.settle()
	c.check()
	kinds := map[string]int{}
	for _, line := range c.log {
		for _, word := range []string{"joins", "leaves [t", "is hot", "delete t", "delete group", "become targets"} {
			if strings.Contains(line, word) {
				kinds[word]++
			}
		}
	}
	covered, executions := 0, 0
	for id, j := range c.jobs {
		last := c.lastOf(id)
		d := c.describe(id).ProcessDetails
		executions += int(total(&d))
		for _, n := range names(c.size) {
			if !c.covers(j, n) || j.canceled || !j.open {
				continue
			}
			covered++
			if x := last[n]; x.Status == "" || x.Status == jobsvc.StatusRemoved {
				t.Errorf("%s is covered by %s, and has %+v", n, id, x)
			}
		}
	}
	t.Logf("%v, %d pairs covered, %d executions", kinds, covered, executions)
	if covered == 0 || executions < 1000 || kinds["delete t"] == 0 {
		t.Errorf("too little came of it: %d pairs are covered, there were %d executions, %v", covered, executions, kinds)
	}
}
