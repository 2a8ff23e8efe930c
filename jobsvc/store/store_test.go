package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

func newStore(t *testing.T) (*Store, *memkv.DB) {
	t.Helper()
	db := memkv.Open(memkv.Options{ScopeOf: ScopeOf, RunTwice: true})
	s, err := Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return s, db
}

func update(t *testing.T, s *Store, scope kv.Scope, fn func(*Tx)) {
	t.Helper()
	if _, err := s.Update(t.Context(), scope, func(tx *Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestOpenVersion(t *testing.T) {
	_, db := newStore(t)
	ctx := t.Context()
	if _, err := Open(ctx, db.Reopen()); err != nil {
		t.Fatalf("opened again: %v", err)
	}
	for _, v := range []string{"0", strconv.Itoa(Version + 1), "", "1 ", "x"} {
		db := memkv.Open(memkv.Options{ScopeOf: ScopeOf})
		if _, err := db.Update(ctx, metaScope("version"), func(tx kv.Tx) error {
			tx.Put(newKey(tagMeta, "version"), []byte(v))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		_, err := Open(ctx, db)
		if err == nil || !strings.Contains(err.Error(), "version "+v) {
			t.Errorf("data of version %q: %v", v, err)
		}
		items, err := db.Get(ctx, newKey(tagMeta, "version"))
		if err != nil || string(items[0].Value) != v {
			t.Errorf("a refused store was written to: %q, %v", items[0].Value, err)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Open(canceled, memkv.Open(memkv.Options{})); err == nil {
		t.Error("opened with a context that has ended")
	}
}

// TestExecutionsOfJob: pages of any size give the rows of a status in the order of
// queuedAt, thing and number, and nothing of a job whose ID begins with the same letters.
func TestExecutionsOfJob(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	var want []string
	for _, x := range []struct {
		job, thing string
		queued     time.Duration
		number     int64
	}{
		{"fw", "pump-1", 0, 1}, {"fw", "pump-1", 0, 2}, {"fw", "pump-17", 0, 1}, {"fw", "pump-2", 0, 1},
		{"fw", "a", 1, 1}, {"fw", "pump-1", 2, 3}, {"fw", "Z", time.Hour, 1}, {"fw", "a", time.Hour, 2},
		{"fw-2", "a", 0, 1}, {"f", "a", 0, 1},
	} {
		e := &jobsvc.JobExecution{
			ThingName: x.thing, JobID: x.job, ExecutionNumber: x.number, QueuedAt: at.Add(x.queued), Status: jobsvc.StatusFailed, VersionNumber: x.number,
		}
		update(t, s, kv.Thing(x.thing), func(tx *Tx) {
			tx.PutEnded(e)
			tx.IndexExecution(e, "", e.Status)
		})
		if x.job == "fw" {
			want = append(want, fmt.Sprint(x.thing, "/", x.number))
		}
	}
	for size := 1; size <= len(want)+1; size++ {
		var got []string
		for from := (ExecutionCursor{}); ; {
			refs, err := s.ExecutionRefs(ctx, "fw", jobsvc.StatusFailed, from, size)
			if err != nil {
				t.Fatal(err)
			}
			if len(refs) == 0 {
				break
			}
			if len(refs) > size {
				t.Fatalf("%d rows, asked for %d", len(refs), size)
			}
			list, err := s.Executions(ctx, "fw", refs)
			if err != nil || len(list) != len(refs) {
				t.Fatalf("%d records behind %d rows, %v", len(list), len(refs), err)
			}
			for i, r := range refs {
				if list[i].ThingName != r.Thing || list[i].VersionNumber != r.Number || !list[i].QueuedAt.Equal(r.QueuedAt) || r.Status != jobsvc.StatusFailed {
					t.Fatalf("row %+v has record %+v", r, list[i])
				}
				got = append(got, fmt.Sprint(r.Thing, "/", r.Number))
			}
			from = refs[len(refs)-1].Cursor()
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", size, got, want)
		}
	}
	if refs, err := s.ExecutionRefs(ctx, "fw", jobsvc.StatusQueued, ExecutionCursor{}, 10); err != nil || len(refs) != 0 {
		t.Errorf("rows of another status: %v, %v", refs, err)
	}
	if d, err := s.Counts(ctx, "fw"); err != nil || d.Failed != int64(len(want)) || d.Pending() != 0 {
		t.Errorf("counters: %+v, %v", d, err)
	}
	last, err := s.LastEnded(ctx, "pump-1", "fw")
	if err != nil || last.ExecutionNumber != 3 {
		t.Errorf("the last of pump-1: %+v, %v", last, err)
	}
	if last, err := s.LastEnded(ctx, "pump", "fw"); err != nil || last != nil {
		t.Errorf("a thing whose name begins another: %+v, %v", last, err)
	}
	if all, err := s.EndedOfThing(ctx, "a", ""); err != nil || len(all) != 4 {
		t.Errorf("all of a: %+v, %v", all, err)
	}
	if all, err := s.EndedOfThing(ctx, "a", "fw"); err != nil || len(all) != 2 {
		t.Errorf("those of fw: %+v, %v", all, err)
	}
}

func TestMergeRefs(t *testing.T) {
	ref := func(at time.Time, thing string, n int64) ExecutionRef {
		return ExecutionRef{Thing: thing, Number: n, QueuedAt: at}
	}
	a := []ExecutionRef{ref(at, "pump-1", 1), ref(at, "pump-17", 1), ref(at.Add(2), "a", 1)}
	b := []ExecutionRef{ref(at, "pump-1", 2), ref(at.Add(1), "a", 1)}
	want := []ExecutionRef{a[0], b[0], a[1], b[1], a[2]}
	for limit := range 7 {
		if got := MergeRefs(limit, a, nil, b); !slices.Equal(got, want[:min(limit, len(want))]) {
			t.Errorf("limit %d: %v", limit, got)
		}
	}
}

// TestListJobs: newest first, and by ID within one nanosecond.
func TestListJobs(t *testing.T) {
	s, _ := newStore(t)
	jobs := []jobsvc.Job{
		{ID: "z", CreatedAt: at.Add(time.Hour)}, {ID: "a", CreatedAt: at.Add(1)},
		{ID: "fw", CreatedAt: at}, {ID: "fw-1", CreatedAt: at}, {ID: "fw-17", CreatedAt: at},
	}
	for _, i := range []int{3, 0, 4, 2, 1} {
		update(t, s, kv.Job(jobs[i].ID), func(tx *Tx) { tx.CreateJob(&jobs[i], []byte("{}")) })
	}
	for size := 1; size <= len(jobs); size++ {
		var got []string
		more := true
		for from := (JobCursor{}); more; {
			var page []jobsvc.Job
			var err error
			page, more, err = s.ListJobs(t.Context(), from, size, func(j *jobsvc.Job) bool { return j.ID != "a" })
			if err != nil || len(page) == 0 || len(page) > size {
				t.Fatalf("page of %d: %v, %v", size, page, err)
			}
			for _, j := range page {
				got = append(got, j.ID)
			}
			from = JobCursor{page[len(page)-1].CreatedAt, page[len(page)-1].ID}
		}
		if want := []string{"z", "fw", "fw-1", "fw-17"}; !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", size, got, want)
		}
	}
}

func TestTimers(t *testing.T) {
	s, _ := newStore(t)
	timers := []Timer{
		JobTimer(TimerRollout, "fw", at), JobTimer(TimerCancel, "fw", at.Add(1)), JobTimer(TimerDelete, "a", at.Add(time.Hour)),
		{Due: at.Add(-1), Kind: TimerTimeout, Scope: kv.Thing("pump-17"), JobID: "fw", Guard: 300},
		{Due: at, Kind: TimerTimeout, Scope: kv.Thing("pump-1"), JobID: "fw", Guard: 1},
		{Due: at, Kind: TimerTimeout, Scope: kv.Thing("pump-17"), JobID: "a"},
	}
	for i := range timers {
		tm := timers[len(timers)-1-i]
		update(t, s, tm.Scope, func(tx *Tx) { tx.SetTimer(tm) })
	}
	list := func(limit int) []Timer {
		t.Helper()
		got, err := s.Timers(t.Context(), time.Time{}, limit)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := list(100); !slices.Equal(got, timers) {
		t.Errorf("timers: %v, want %v", got, timers)
	}
	// The limit counts for jobs and for executions apart.
	if got, want := list(2), []Timer{timers[0], timers[1], timers[3], timers[4]}; !slices.Equal(got, want) {
		t.Errorf("two of each: %v, want %v", got, want)
	}
	if got, err := s.Timers(t.Context(), at, 100); err != nil || !slices.Equal(got, slices.Delete(slices.Clone(timers), 3, 4)) {
		t.Errorf("without what was due before: %v, %v", got, err)
	}
	update(t, s, kv.Thing("pump-17"), func(tx *Tx) {
		tx.ClearTimer(Timer{Due: at.Add(-1), Kind: TimerTimeout, Scope: kv.Thing("pump-17"), JobID: "fw"}) // whatever its guard
		tx.ClearTimer(timers[5])
		tx.ClearTimer(timers[5]) // again: fine
	})
	if got, want := list(100), timers[:3:3]; !slices.Equal(got, append(want, timers[4])) {
		t.Errorf("after clearing: %v", got)
	}
	// Setting it again with another guard replaces it.
	timers[4].Guard = 2
	update(t, s, kv.Thing("pump-1"), func(tx *Tx) { tx.SetTimer(timers[4]) })
	if got := list(100); len(got) != 4 || got[3] != timers[4] {
		t.Errorf("set again: %v", got)
	}
}

// TestJobCache: a job that changed, or was deleted and made again, is never shown as it was.
func TestJobCache(t *testing.T) {
	s, db := newStore(t)
	ctx := t.Context()
	job := jobsvc.Job{ID: "fw", Status: jobsvc.JobInProgress, CreatedAt: at}
	update(t, s, kv.Job("fw"), func(tx *Tx) { tx.CreateJob(&job, []byte("{}")) })
	read := func() *jobsvc.Job {
		t.Helper()
		j, err := s.Job(ctx, "fw")
		if err != nil {
			t.Fatal(err)
		}
		var peeked *jobsvc.Job
		if _, err := s.Update(ctx, kv.Thing("a"), func(tx *Tx) (err error) { peeked, err = tx.PeekJob("fw"); return err }); err != nil {
			t.Fatal(err)
		}
		if peeked != j {
			t.Errorf("a transaction sees %+v, outside it is %+v", peeked, j)
		}
		return j
	}
	first := read()
	if again := read(); again != first {
		t.Error("a job that did not change was decoded again")
	}
	job.Status = jobsvc.JobCanceled
	update(t, s, kv.Job("fw"), func(tx *Tx) {
		// Its own transaction decodes afresh: the caller changes what it gets.
		j, err := tx.Job("fw")
		if err != nil || j == first {
			t.Errorf("the job of the own scope is shared: %v", err)
		}
		j.Status = jobsvc.JobCanceled
		tx.PutJob(j)
	})
	if j := read(); j.Status != jobsvc.JobCanceled || first.Status != jobsvc.JobInProgress {
		t.Errorf("after a change: %s, and what was read before is %s", j.Status, first.Status)
	}
	// A transaction that fails leaves nothing in the cache either.
	_, err := s.Update(ctx, kv.Job("fw"), func(tx *Tx) error {
		changed := job
		changed.Comment = "never"
		tx.PutJob(&changed)
		if j, err := tx.PeekJob("fw"); err != nil || j.Comment != "never" {
			t.Errorf("own writes are not seen: %+v, %v", j, err)
		}
		return context.Canceled
	})
	if err == nil || read().Comment != "" {
		t.Errorf("a failed transaction shows: %v", err)
	}
	update(t, s, kv.Job("fw"), func(tx *Tx) { tx.DeleteJob(&job) })
	if j := read(); j != nil {
		t.Errorf("a deleted job is %+v", j)
	}
	job = jobsvc.Job{ID: "fw", Status: jobsvc.JobInProgress, CreatedAt: at.Add(time.Hour)}
	update(t, s, kv.Job("fw"), func(tx *Tx) { tx.CreateJob(&job, []byte("[]")) })
	if j := read(); !j.CreatedAt.Equal(job.CreatedAt) || j.Status != jobsvc.JobInProgress {
		t.Errorf("made again: %+v", j)
	}
	if j, doc, err := s.JobAndDocument(ctx, "fw"); err != nil || string(doc) != "[]" || !j.CreatedAt.Equal(job.CreatedAt) {
		t.Errorf("with its document: %+v, %q, %v", j, doc, err)
	}
	// More jobs than the cache has room for.
	for i := range recordCacheSize + 10 {
		j := jobsvc.Job{ID: fmt.Sprint("j", i), Status: jobsvc.JobInProgress}
		update(t, s, kv.Job(j.ID), func(tx *Tx) { tx.PutJob(&j) })
		if got, err := s.Job(ctx, j.ID); err != nil || got.ID != j.ID {
			t.Fatalf("%s: %+v, %v", j.ID, got, err)
		}
	}
	if n := len(s.jobs.entries); n > recordCacheSize {
		t.Errorf("%d jobs in the cache", n)
	}
	// Nothing is left of a deleted job.
	update(t, s, kv.Job("fw"), func(tx *Tx) { tx.PutRollout("fw", &Rollout{Steps: 1}); tx.DeleteJob(&job) })
	for _, tag := range []byte{tagJob, tagDocument, tagRollout} {
		if items, err := db.Get(ctx, newKey(tag, "fw")); err != nil || items[0].Exists() {
			t.Errorf("key %q of a deleted job is there (%v)", tag, err)
		}
	}
}

// TestMembers: both directions of what belongs together, and names that begin one another.
func TestMembers(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	for _, m := range [][2]string{{"pump-1", "north"}, {"pump-17", "north"}, {"pump-2", "north"}, {"pump-1", "nor"}, {"pump-1", "north-2"}} {
		update(t, s, kv.Thing(m[0]), func(tx *Tx) { tx.PutMembership(m[0], m[1], &Membership{ThingID: m[0], GroupID: m[1], JoinedAt: at}) })
	}
	for limit := 1; limit < 5; limit++ {
		var got []string
		for after := ""; ; {
			page, err := s.GroupMembers(ctx, "north", after, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("%d members of %d, %v", len(page), limit, err)
			}
			if len(page) == 0 {
				break
			}
			for _, m := range page {
				got = append(got, m.Thing)
				after = m.Thing
			}
		}
		if want := []string{"pump-1", "pump-17", "pump-2"}; !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
	}
	update(t, s, kv.Thing("pump-1"), func(tx *Tx) {
		groups, err := tx.Memberships("pump-1")
		if err != nil || len(groups) != 3 || !groups["nor"].JoinedAt.Equal(at) {
			t.Errorf("groups of pump-1: %v, %v", groups, err)
		}
		tx.DeleteMembership("pump-1", "north")
	})
	if page, err := s.GroupMembers(ctx, "north", "", 10); err != nil || len(page) != 2 {
		t.Errorf("after pump-1 left: %v, %v", page, err)
	}
	for _, a := range [][2]string{{"pump-1", "c0"}, {"pump-1", "c0ff"}, {"pump-17", "c0"}} {
		update(t, s, kv.Thing(a[0]), func(tx *Tx) { tx.PutAttachment(a[0], a[1], &Attachment{ThingID: "id", AttachedAt: at}) })
	}
	if ids, _, more, err := s.CertificatesOf(ctx, "pump-1", "", 1); err != nil || !slices.Equal(ids, []string{"c0"}) || !more {
		t.Errorf("certificates of pump-1: %v %v %v", ids, more, err)
	}
	if ids, _, more, err := s.CertificatesOf(ctx, "pump-1", "c0", 5); err != nil || !slices.Equal(ids, []string{"c0ff"}) || more {
		t.Errorf("the rest: %v %v %v", ids, more, err)
	}
	if things, atts, more, err := s.ThingsOf(ctx, "c0", "", 2); err != nil || more || !slices.Equal(things, []string{"pump-1", "pump-17"}) || len(atts) != 2 {
		t.Errorf("things of c0: %v %v %v", things, more, err)
	}
}

// TestTags: those of a resource are its own, and go with a job.
func TestTags(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	job, group := Resource{jobsvc.ARNJob, "fw"}, Resource{jobsvc.ARNThingGroup, "fw"}
	tags := []jobsvc.Tag{{Key: "b", Value: "1"}, {Key: "a"}}
	update(t, s, job.Scope(), func(tx *Tx) { tx.PutTags(job, tags) })
	update(t, s, group.Scope(), func(tx *Tx) { tx.PutTags(group, tags[:1]) })
	read := func(r Resource, want []jobsvc.Tag) {
		t.Helper()
		if got, err := s.Tags(ctx, r); err != nil || !slices.Equal(got, want) || want == nil && got != nil {
			t.Errorf("%v has %v, %v, want %v", r, got, err, want)
		}
		update(t, s, r.Scope(), func(tx *Tx) {
			if got, err := tx.Tags(r); err != nil || !slices.Equal(got, want) {
				t.Errorf("%v has %v in its transaction, %v", r, got, err)
			}
		})
	}
	read(job, tags)
	read(group, tags[:1])
	read(Resource{jobsvc.ARNJob, "f"}, nil)
	update(t, s, job.Scope(), func(tx *Tx) { tx.DeleteJob(&jobsvc.Job{ID: "fw", CreatedAt: at}) })
	read(job, nil)
	update(t, s, group.Scope(), func(tx *Tx) { tx.PutTags(group, nil) })
	read(group, nil)
}

// TestDeletedExecutions: the mark of a deleted execution is no execution, but it is found.
func TestDeletedExecutions(t *testing.T) {
	s, db := newStore(t)
	ctx := t.Context()
	var all []jobsvc.JobExecution
	for n := range int64(4) {
		all = append(all, jobsvc.JobExecution{ThingName: "pump", JobID: "fw", ExecutionNumber: n + 1, QueuedAt: at.Add(time.Duration(n)), Status: jobsvc.StatusFailed})
	}
	update(t, s, kv.Thing("pump"), func(tx *Tx) {
		for i := range all {
			tx.PutEnded(&all[i])
			tx.IndexExecution(&all[i], "", all[i].Status)
		}
	})
	last := func(want int64) {
		t.Helper()
		got, err := s.LastEnded(ctx, "pump", "fw")
		if err != nil || want == 0 && got != nil || want > 0 && (got == nil || got.ExecutionNumber != want) {
			t.Errorf("the last is %+v, %v, want %d", got, err, want)
		}
		update(t, s, kv.Thing("pump"), func(tx *Tx) {
			got, err := tx.LastEnded("pump", "fw")
			if err != nil || want == 0 && got != nil || want > 0 && (got == nil || got.ExecutionNumber != want) {
				t.Errorf("in a transaction the last is %+v, %v, want %d", got, err, want)
			}
			if was, err := tx.Was("pump", "fw", 4); !was || err != nil {
				t.Errorf("number 4 never was: %v", err)
			}
			if was, err := tx.Was("pump", "fw", 5); was || err != nil {
				t.Errorf("number 5 was: %v", err)
			}
		})
		list, err := s.EndedOfThing(ctx, "pump", "")
		if err != nil || int64(len(list)) != want {
			t.Errorf("%d ended executions, %v, want %d", len(list), err, want)
		}
	}
	last(4)
	refs, err := s.ExecutionRefs(ctx, "fw", jobsvc.StatusFailed, ExecutionCursor{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(4); n > 0; n-- {
		update(t, s, kv.Thing("pump"), func(tx *Tx) {
			tx.IndexExecution(&all[n-1], jobsvc.StatusFailed, "")
			tx.MarkDeleted(&all[n-1])
		})
		last(n - 1)
		if x, err := s.Ended(ctx, "pump", "fw", n); x != nil || err != nil {
			t.Errorf("number %d is %+v, %v", n, x, err)
		}
	}
	// Rows that were read before find nothing.
	if list, err := s.Executions(ctx, "fw", refs); err != nil || len(list) != 0 {
		t.Errorf("behind the rows is %v, %v", list, err)
	}
	marks, err := s.DeletedRefs(ctx, "fw", ExecutionCursor{}, 3)
	if err != nil || len(marks) != 3 {
		t.Fatalf("marks %v, %v", marks, err)
	}
	rest, err := s.DeletedRefs(ctx, "fw", marks[2].Cursor(), 3)
	if err != nil || len(rest) != 1 {
		t.Fatalf("more marks %v, %v", rest, err)
	}
	update(t, s, kv.Thing("pump"), func(tx *Tx) {
		for _, r := range append(marks, rest...) {
			tx.DeleteMark("fw", r)
		}
	})
	for _, prefix := range []key{newKey(tagEnded), newKey(tagExecution)} {
		if items, _, err := db.Scan(ctx, kv.Prefix(prefix, 10)); err != nil || len(items) != 0 {
			t.Errorf("left over: %q, %v", items, err)
		}
	}
}
