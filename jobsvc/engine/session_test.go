package engine_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

func (w *world) sweepSessions(started time.Time, limit int, connected func(string) bool) (left, expired int) {
	w.t.Helper()
	now, after := w.tick(), ""
	for {
		next, l, x, err := w.SweepSessions(w.ctx, after, limit, started, now, connected)
		w.must(err)
		left, expired = left+l, expired+x
		if next == "" {
			return left, expired
		}
		after = next
	}
}

// TestSessions: what is saved is there after a restart, until it is deleted or over.
func TestSessions(t *testing.T) {
	w := newWorld(t)
	nobody := func(string) bool { return false }
	s := &jobsvc.Session{
		ClientID: "pump#2", CertificateID: "c0", Owner: []string{"pump"}, MQTTVersion: 5, Expiry: time.Hour, CreatedAt: w.tick(), ConnectedAt: w.tick(),
		Subscriptions: []jobsvc.SessionSubscription{{Filter: "$aws/things/pump/jobs/#", QoS: 1}},
		Things:        []jobsvc.SessionThing{{Name: "pump", ID: "id", Queues: []jobsvc.SessionQueue{{NamespaceID: "ns", SetVersion: 1}}}},
	}
	w.must(w.SaveSession(w.ctx, s))
	w.restart()
	got, err := w.Session(w.ctx, "pump#2")
	if w.must(err); !reflect.DeepEqual(got, s) {
		t.Errorf("read again: %+v", got)
	}
	if got, err := w.Session(w.ctx, "pump"); got != nil || err != nil {
		t.Errorf("another: %+v, %v", got, err)
	}
	// Its connection ended with the process: its time begins with the next one.
	started := w.tick()
	if left, expired := w.sweepSessions(started, 10, nobody); left != 1 || expired != 0 {
		t.Errorf("%d left, %d expired", left, expired)
	}
	if got, _ = w.Session(w.ctx, "pump#2"); !got.DisconnectedAt.Equal(started) {
		t.Errorf("left at %v, want %v", got.DisconnectedAt, started)
	}
	w.advance(time.Hour - time.Second)
	w.restart() // once more: its time does not begin again
	if left, _ := w.sweepSessions(w.tick(), 10, nobody); left != 1 {
		t.Errorf("%d left", left)
	}
	w.advance(time.Second)
	if left, expired := w.sweepSessions(w.tick(), 10, nobody); left != 0 || expired != 1 {
		t.Errorf("%d left, %d expired", left, expired)
	}
	if got, _ = w.Session(w.ctx, "pump#2"); got != nil {
		t.Errorf("stored: %+v", got)
	}
	w.must(w.SaveSession(w.ctx, s))
	w.must(w.DeleteSession(w.ctx, "pump#2"))
	if got, _ = w.Session(w.ctx, "pump#2"); got != nil {
		t.Errorf("deleted: %+v", got)
	}
}

// TestSweepSessions goes over many pages, and leaves those with a connection alone.
func TestSweepSessions(t *testing.T) {
	w := newWorld(t)
	started := w.tick()
	for i := range 25 {
		s := &jobsvc.Session{ClientID: fmt.Sprintf("c%02d", i), MQTTVersion: 4, Expiry: time.Minute, CreatedAt: w.tick(), ConnectedAt: w.tick()}
		if i%2 == 0 {
			s.DisconnectedAt = w.tick()
		}
		w.must(w.SaveSession(w.ctx, s))
	}
	connected := func(id string) bool { return id < "c20" }
	w.advance(30 * time.Second)
	if left, expired := w.sweepSessions(started, 4, connected); left != 25 || expired != 0 {
		t.Errorf("%d left, %d expired", left, expired)
	}
	// Of those from c20 on the ends of two were not stored: they count as left since now.
	w.advance(30 * time.Second)
	if left, expired := w.sweepSessions(started, 4, connected); left != 12 || expired != 13 {
		t.Errorf("%d left, %d expired", left, expired)
	}
	w.advance(time.Minute)
	if left, expired := w.sweepSessions(started, 4, connected); left != 10 || expired != 2 {
		t.Errorf("%d left, %d expired", left, expired)
	}
	// One that resumes between the look and the transaction stays as it resumed.
	back := func(id string) bool {
		s, err := w.Session(w.ctx, id)
		w.must(err)
		s.ConnectedAt = w.tick()
		w.must(w.SaveSession(w.ctx, s))
		return false
	}
	if left, expired := w.sweepSessions(started, 100, back); left != 10 || expired != 0 {
		t.Errorf("%d left, %d expired", left, expired)
	}
	if s, _ := w.Session(w.ctx, "c01"); !s.DisconnectedAt.IsZero() {
		t.Errorf("counts as left: %+v", s)
	}
}

// TestThingVersions agrees with ThingQueue, and knows a thing by its ID.
func TestThingVersions(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b")
	w.job("one", thingARN("a"))
	w.job("two", thingARN("a"))
	w.runTimers()
	w.start("a")
	v, err := w.ThingVersions(w.ctx, []string{"b", "a", "nobody"})
	w.must(err)
	a, err := w.DescribeThing(w.ctx, "a")
	w.must(err)
	q, err := w.ThingQueue(w.ctx, "a", "")
	w.must(err)
	if v[1].ID != a.ID || len(v[1].Queues) != 1 || v[1].Queues[0] != (jobsvc.QueueVersions{SetVersion: q.SetVersion, HeadVersion: q.HeadVersion}) || q.SetVersion == 0 {
		t.Errorf("of a: %+v, its queue is at %d and %d", v[1], q.SetVersion, q.HeadVersion)
	}
	if v[0].ID == "" || len(v[0].Queues) != 0 || v[2].ID != "" || v[2].Queues != nil {
		t.Errorf("without executions, and no thing: %+v, %+v", v[0], v[2])
	}
}
