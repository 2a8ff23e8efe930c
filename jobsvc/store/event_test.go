package store

import (
	"encoding/hex"
	"maps"
	"reflect"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// TestEventRecords pins the rows of the outbox as they are on disk.
func TestEventRecords(t *testing.T) {
	x := fullExecution()
	row := encodeExecutionEvent(&x, false, at)
	const want = "01" + "08" + "00" + "026677" + "04" + "0e" + "909cb0d080c1818202" + "02" + "0161" + "0131" + "0162" + "0132"
	if got := hex.EncodeToString(row); got != want {
		t.Errorf("an event of an execution is\n%s\non disk it is\n%s", got, want)
	}
	scope := kv.Thing("pump")
	event := &jobsvc.Event{Operation: jobsvc.EventCanceled, At: at, Execution: &jobsvc.JobExecutionEvent{
		ThingName: "pump", JobID: "fw", ExecutionNumber: 2, VersionNumber: 7, Status: jobsvc.StatusCanceled, StatusDetails: x.StatusDetails}}
	if back, err := decodeEvent(scope, row); err != nil || !reflect.DeepEqual(back, event) {
		t.Errorf("read again: %+v, %v", back, err)
	}
	for i := range row {
		if _, err := decodeEvent(scope, row[:i]); err == nil {
			t.Errorf("the first %d bytes of an event are read", i)
		}
	}
	x.Status = jobsvc.StatusInProgress
	deleted, err := decodeEvent(scope, encodeExecutionEvent(&x, true, at))
	if err != nil || deleted.Operation != jobsvc.EventDeleted || deleted.Execution.Status != jobsvc.StatusInProgress {
		t.Errorf("deleted: %+v, %v", deleted, err)
	}
	if _, err := decodeEvent(scope, encodeExecutionEvent(&x, false, at)); err == nil {
		t.Error("an event of an execution that goes on is read")
	}

	job := &jobsvc.Job{
		ID: "fw", TargetSelection: jobsvc.TargetSnapshot, Targets: []string{"arn:x"}, Description: "d",
		Comment: "c", ReasonCode: "R", ForceCanceled: true, CreatedAt: at, LastUpdatedAt: at, CompletedAt: at,
	}
	counts := &jobsvc.JobProcessDetails{Succeeded: 3}
	const times = `"CreatedAt":"1972-04-20T13:17:39.790382856Z","LastUpdatedAt":"1972-04-20T13:17:39.790382856Z"`
	for op, want := range map[jobsvc.EventOperation]string{
		jobsvc.EventCompleted: "\x02" + `{"Operation":"completed","At":"1972-04-20T13:17:39.790382856Z","Job":{"JobID":"fw","TargetSelection":"SNAPSHOT","Targets":["arn:x"],"Description":"d",` + times +
			`,"CompletedAt":"1972-04-20T13:17:39.790382856Z","ProcessDetails":{"Queued":0,"InProgress":0,"Succeeded":3,"Failed":0,"TimedOut":0,"Rejected":0,"Removed":0,"Canceled":0,"ProcessingTargets":null}}}`,
		jobsvc.EventCanceled: "\x02" + `{"Operation":"canceled","At":"1972-04-20T13:17:39.790382856Z","Job":{"JobID":"fw","TargetSelection":"SNAPSHOT","Targets":["arn:x"],"Description":"d","Comment":"c","ReasonCode":"R","ForceCanceled":true,` + times + `}}`,
	} {
		row := encodeJobEvent(op, job, counts, at)
		if string(row) != want {
			t.Errorf("%s of a job is\n%q\non disk it is\n%q", op, row, want)
		}
		event := &jobsvc.Event{Operation: op, At: at, Job: jobsvc.NewJobEvent(op, job, counts)}
		if back, err := decodeEvent(kv.Job("fw"), row); err != nil || !reflect.DeepEqual(back, event) {
			t.Errorf("read again: %+v, %v", back, err)
		}
	}
	for _, b := range []string{"", "\x03", "\x02{}", "\x02", "\x02x"} {
		if ev, err := decodeEvent(kv.Job("fw"), []byte(b)); err == nil {
			t.Errorf("%q is read as %+v", b, ev)
		}
	}
}

// TestOutbox: rows come back in the order of their commits with an ID that stays, also
// after a restart, and go when they are taken away.
func TestOutbox(t *testing.T) {
	s, db := newStore(t)
	things := []string{"b", "a", "c"}
	for _, name := range things {
		x := &jobsvc.JobExecution{ThingName: name, JobID: "fw", ExecutionNumber: 1, Status: jobsvc.StatusFailed}
		update(t, s, kv.Thing(name), func(tx *Tx) { tx.PutExecutionEvent(x, false, at) })
		select {
		case <-s.EventsStored():
		default:
			t.Errorf("nobody was told of the event of %s", name)
		}
	}
	pending := &jobsvc.JobExecution{ThingName: "a", JobID: "fw", Status: jobsvc.StatusQueued}
	update(t, s, kv.Thing("a"), func(tx *Tx) { tx.PutExecutionEvent(pending, false, at) })
	select {
	case <-s.EventsStored():
		t.Error("somebody was told of an event there is not")
	default:
	}
	update(t, s, kv.Job("fw"), func(tx *Tx) {
		tx.PutJobEvent(jobsvc.EventCompleted, &jobsvc.Job{ID: "fw"}, &jobsvc.JobProcessDetails{}, at)
	})
	all, err := s.Events(t.Context(), 0, 100)
	if err != nil || len(all) != 4 {
		t.Fatalf("events %+v, %v", all, err)
	}
	ids := make(map[string]bool)
	for i := range all {
		if i < 3 && (all[i].Execution == nil || all[i].Execution.ThingName != things[i]) || i == 3 && all[i].Job == nil {
			t.Errorf("event %d is %+v", i, all[i])
		}
		if i > 0 && all[i].Stamp <= all[i-1].Stamp {
			t.Errorf("event %d has stamp %d after %d", i, all[i].Stamp, all[i-1].Stamp)
		}
		ids[all[i].ID] = true
	}
	if len(ids) != 4 {
		t.Errorf("IDs %v", ids)
	}

	if s, err = Open(t.Context(), db.Reopen()); err != nil {
		t.Fatal(err)
	}
	again, err := s.Events(t.Context(), 0, 100)
	if err != nil || !reflect.DeepEqual(again, all) {
		t.Errorf("after a restart %+v, %v", again, err)
	}
	part, err := s.Events(t.Context(), all[0].Stamp, 2)
	if err != nil || !reflect.DeepEqual(part, all[1:3]) {
		t.Errorf("after the first, two: %+v, %v", part, err)
	}
	last, err := s.RemoveEvents(t.Context(), 0, all[2].Stamp, 2)
	if err != nil || last != all[1].Stamp {
		t.Errorf("two of three removed: up to %d, %v", last, err)
	}
	if last, err = s.RemoveEvents(t.Context(), last, all[2].Stamp, 2); err != nil || last != all[2].Stamp {
		t.Errorf("the third removed: up to %d, %v", last, err)
	}
	left, err := s.Events(t.Context(), 0, 100)
	if err != nil || !reflect.DeepEqual(left, all[3:]) {
		t.Errorf("left: %+v, %v", left, err)
	}
}

// TestEventPlaces are remembered over a restart.
func TestEventPlaces(t *testing.T) {
	s, db := newStore(t)
	for _, places := range []map[string]int64{nil, {"console": 7, "a": 1 << 60}, {"a": 9}, nil} {
		if err := s.PutEventPlaces(t.Context(), places); err != nil {
			t.Fatal(err)
		}
		db = db.Reopen()
		var err error
		if s, err = Open(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if got, err := s.EventPlaces(t.Context()); err != nil || !maps.Equal(got, places) {
			t.Errorf("put %v, got %v, %v", places, got, err)
		}
	}
}
