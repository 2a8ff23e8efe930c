package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// rows counts the keys with these tags.
func (w *world) rows(tags string) (n int) {
	w.t.Helper()
	for _, tag := range []byte(tags) {
		items, _, err := w.db.Scan(w.ctx, kv.Prefix([]byte{tag}, 10_000))
		w.must(err)
		n += len(items)
	}
	return n
}

// forget does what Run does from time to time, until there is nothing to do.
func (w *world) forget() {
	w.t.Helper()
	for more := true; more; {
		var err error
		more, err = w.Forget(w.ctx)
		w.must(err)
	}
}

// What is remembered of memberships that ended goes away when no rollout needs it, also
// when nothing happens to the things ever again.
func TestLeftMembershipsAreForgotten(t *testing.T) {
	w := newWorld(t)
	things := names(5)
	w.thing(things...)
	w.group("a", "", things...)
	w.job("fw", groupARN("a"))
	for _, th := range things {
		w.must(w.RemoveThingFromThingGroup(w.ctx, "a", th))
	}
	w.now = w.now.Add(time.Hour)
	w.forget()
	if n := w.rows("nN"); n != 10 {
		t.Errorf("%d rows while the rollout has not begun, want 10", n)
	}
	w.runTimers()
	if got := len(w.executions("fw", jobsvc.StatusQueued, 100)); got != 5 {
		t.Errorf("%d executions, want those of all who were members", got)
	}
	w.forget()
	if n := w.rows("nN"); n != 0 {
		t.Errorf("%d rows after the rollout", n)
	}
	// Nobody rolls out, but a job may be about to be stored with an earlier time.
	w.must(w.AddThingToThingGroup(w.ctx, "a", things[0]))
	w.must(w.RemoveThingFromThingGroup(w.ctx, "a", things[0]))
	w.forget()
	if n := w.rows("nN"); n != 2 {
		t.Errorf("%d rows of what was left just now, want 2", n)
	}
	w.now = w.now.Add(time.Hour)
	w.forget()
	if n := w.rows("nN"); n != 0 {
		t.Errorf("%d rows an hour later", n)
	}
}

// A deleted group leaves nothing behind either, with its members or as a child.
func TestDeletedGroupsAreForgotten(t *testing.T) {
	w := newWorld(t)
	things := names(5)
	w.thing(things...)
	w.group("root", "")
	w.group("a", "root", things...)
	w.job("fw", groupARN("root"))
	w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "a"}))
	if got := len(w.executions("fw", "", 100)); got != 0 {
		t.Fatalf("%d executions before the rollout", got)
	}
	w.runTimers()
	if got := len(w.executions("fw", jobsvc.StatusQueued, 100)); got != 5 {
		t.Errorf("%d executions, want those of all who were members", got)
	}
	w.advance(time.Hour)
	w.forget()
	if n := w.rows("nNvmM"); n != 0 {
		t.Errorf("%d rows an hour later", n)
	}
	timers, err := w.Timers(w.ctx, 10)
	w.must(err)
	if len(timers) != 0 {
		t.Errorf("timers %+v", timers)
	}
}

// A rollout whose timer is not due is one all the same: what it needs is remembered.
func TestForgettingWaitsForRolloutsThatPause(t *testing.T) {
	w := newWorld(t)
	w.thing(names(3)...)
	w.group("a", "", names(3)...)
	w.job("fw", groupARN("a"))
	timers, err := w.Timers(w.ctx, 10)
	w.must(err)
	later := timers[0]
	later.Due = w.now.Add(24 * time.Hour)
	st, err := store.Open(w.ctx, w.db)
	w.must(err)
	_, err = st.Update(w.ctx, later.Scope, func(tx *store.Tx) error {
		r, err := tx.Rollout("fw")
		if err != nil {
			return err
		}
		r.Due = later.Due
		tx.PutRollout("fw", r)
		tx.ClearTimer(timers[0])
		tx.SetTimer(later)
		tx.PutRollout("fw", &store.Rollout{Due: later.Due})
		return nil
	})
	w.must(err)
	w.must(w.RemoveThingFromThingGroup(w.ctx, "a", names(3)[1]))
	w.now = w.now.Add(time.Hour)
	w.forget()
	w.advance(24 * time.Hour)
	if got := len(w.executions("fw", jobsvc.StatusQueued, 100)); got != 3 {
		t.Errorf("%d executions, want 3", got)
	}
}

// scanCounter counts scans and the items they give.
type scanCounter struct {
	kv.DB
	scans, items int
}

func (c *scanCounter) Scan(ctx context.Context, r kv.Range) ([]kv.Item, []byte, error) {
	items, next, err := c.DB.Scan(ctx, r)
	c.scans++
	c.items += len(items)
	return items, next, err
}

// A rollout reads what ended memberships left once, not once for each of its chunks.
func TestRolloutReadsLeftMembershipsOnce(t *testing.T) {
	const things = 4_500 // five chunks
	counter := &scanCounter{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}
	w := newWorldOn(t, counter, nil)
	all := make([]string, things)
	for i := range all {
		all[i] = fmt.Sprintf("pump-%05d", i)
	}
	w.thing(all...)
	w.group("a", "", all...)
	for _, th := range all { // all were away for a while, before there was the job
		w.must(w.RemoveThingFromThingGroup(w.ctx, "a", th))
		w.must(w.AddThingToThingGroup(w.ctx, "a", th))
	}
	w.job("fw", groupARN("a"))
	counter.items = 0
	w.runTimers()
	if got := w.describe("fw").ProcessDetails.Queued; got != things {
		t.Fatalf("%d executions", got)
	}
	if limit := 3 * things; counter.items > limit {
		t.Errorf("%d items scanned for %d members, more than %d", counter.items, things, limit)
	}
}

// eventDB keeps the membership changes that transactions leave.
type eventDB struct {
	kv.DB
	changes []engine.MembershipChange
}

func (d *eventDB) take(events []kv.Event) {
	for _, e := range events {
		if c, ok := e.(engine.MembershipChange); ok {
			d.changes = append(d.changes, c)
		}
	}
}

func (d *eventDB) Update(ctx context.Context, s kv.Scope, fn func(kv.Tx) error) ([]kv.Event, error) {
	events, err := d.DB.Update(ctx, s, fn)
	d.take(events)
	return events, err
}

func (d *eventDB) UpdateMany(ctx context.Context, ops []kv.Op) []kv.Result {
	results := d.DB.UpdateMany(ctx, ops)
	for _, r := range results {
		d.take(r.Events)
	}
	return results
}

// However memberships change, it is one change for a thing, and none when nothing does.
func TestMembershipChanges(t *testing.T) {
	db := &eventDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf, RunTwice: true})}
	w := newWorldOn(t, db, nil)
	w.thing("a", "b")
	for _, g := range []string{"north", "south", "blue"} {
		w.group(g, "")
	}
	south, err := w.DescribeThingGroup(w.ctx, "south")
	w.must(err)
	move := &jobsvc.UpdateThingGroupsForThingRequest{ThingName: "a", Add: []string{"south", "blue"}, Remove: []string{"north"}}
	steps := []struct {
		name string
		do   func() error
		want []string
	}{
		{"join", func() error { return w.AddThingToThingGroup(w.ctx, "north", "a") }, []string{"a +[north] -[]"}},
		{"join again", func() error { return w.AddThingToThingGroup(w.ctx, "north", "a") }, nil},
		{"leave what it is not in", func() error { return w.RemoveThingFromThingGroup(w.ctx, "south", "a") }, nil},
		{"move", func() error { return w.UpdateThingGroupsForThing(w.ctx, move) }, []string{"a +[south blue] -[north]"}},
		{"another joins", func() error { return w.AddThingToThingGroup(w.ctx, "south", "b") }, []string{"b +[south] -[]"}},
		{"a group is deleted", func() error {
			err := w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "south"})
			w.group("south", "") // another one
			return err
		}, nil},
		{"who joins the other before the sweep", func() error { return w.AddThingToThingGroup(w.ctx, "south", "b") }, []string{"b +[south] -[south of old]"}},
		{"the sweep", func() error { w.runTimers(); return nil }, []string{"a +[] -[south of old]"}},
		{"a thing is deleted", func() error { return w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "a"}) }, []string{"a +[] -[blue]"}},
	}
	for _, step := range steps {
		db.changes = nil
		w.must(step.do())
		var got []string
		for _, c := range db.changes {
			names := func(refs []engine.GroupRef) []string {
				list := []string{}
				for _, r := range refs {
					if r.ID == south.ID && step.name != "move" && step.name != "another joins" {
						r.Name += " of old"
					}
					list = append(list, r.Name)
				}
				return list
			}
			if c.ThingID == "" || c.At.IsZero() {
				t.Errorf("%s: %+v", step.name, c)
			}
			got = append(got, fmt.Sprintf("%s +%v -%v", c.ThingName, names(c.Joined), names(c.Left)))
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

// A crash between deleting a group and detaching its policies must not leave them to
// another group of that name.
func TestPoliciesOfADeletedGroup(t *testing.T) {
	for _, remade := range []bool{true, false} {
		db := &faultyDB{DB: memkv.Open(memkv.Options{ScopeOf: store.ScopeOf})}
		w := newWorldOn(t, db, nil)
		w.group("a", "")
		_, err := w.CreatePolicy(w.ctx, "p", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}`, nil)
		w.must(err)
		w.must(w.AttachPolicy(w.ctx, "p", groupARN("a")))
		first := db.calls + 1
		db.fault = func(call int) fault {
			if call == first {
				return applied // the request ends here
			}
			return none
		}
		w.code(jobsvc.CodeUnavailable, w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "a"}))
		if remade {
			w.group("a", "")
			list, err := w.ListAttachedPolicies(w.ctx, groupARN("a"), false, jobsvc.Page{})
			if err != nil || len(list.Policies) != 0 {
				t.Errorf("the next group has %+v, %v", list, err)
			}
			w.must(w.AttachPolicy(w.ctx, "p", groupARN("a")))
		}
		w.runTimers()
		list, err := w.ListTargetsForPolicy(w.ctx, "p", false, jobsvc.Page{})
		w.must(err)
		if got := len(list.Names); remade != (got == 1) {
			t.Errorf("made again %v: %q have the policy", remade, list.Names)
		}
	}
}

// Run forgets by itself.
func TestRunForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.thing("a")
		w.group("g", "", "a")
		w.must(w.RemoveThingFromThingGroup(w.ctx, "g", "a"))
		w.now = w.now.Add(time.Hour)
		ctx, stop := context.WithCancel(w.ctx)
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := w.rows("nN"); n != 0 {
			t.Errorf("%d rows", n)
		}
		stop()
		w.must(<-done)
	})
}

// A target may have so many groups below it that their names do not fit into one record.
func TestRolloutToThousandsOfGroups(t *testing.T) {
	w := newWorldOn(t, memkv.Open(memkv.Options{ScopeOf: store.ScopeOf}), nil)
	long := strings.Repeat("x", 110)
	w.group("root", "")
	var things []string
	for i := range 50 {
		hall := fmt.Sprintf("hall-%02d-%s", i, long)
		w.group(hall, "root")
		for j := range 90 {
			w.group(fmt.Sprintf("cell-%02d-%02d-%s", i, j, long), hall)
		}
		thing := fmt.Sprintf("pump-%02d", i)
		things = append(things, thing)
		w.thing(thing)
		w.must(w.AddThingToThingGroup(w.ctx, fmt.Sprintf("cell-%02d-%02d-%s", i, i, long), thing))
	}
	w.thing("alone")
	w.job("fw", thingARN("alone"), groupARN("root"), thingARN(things[7]))
	// What happens to the groups afterwards does not matter.
	w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: fmt.Sprintf("cell-%02d-%02d-%s", 3, 3, long)}))
	w.group("late", "root")
	w.thing("late")
	w.must(w.AddThingToThingGroup(w.ctx, "late", "late"))
	w.runTimers()
	var got []string
	for _, x := range w.executions("fw", jobsvc.StatusQueued, 250) {
		got = append(got, x.ThingName)
	}
	if want := append([]string{"alone"}, things...); !slices.Equal(got, want) {
		t.Errorf("executions of %q, want %q", got, want)
	}
	w.checkCounters("fw")
}

// Groups that change, and a restart, between two steps of a rollout change nothing for it.
func TestGroupsChangeInMidRollout(t *testing.T) {
	const each = 4_300 // more than a step does, in two groups together
	w := newWorldOn(t, memkv.Open(memkv.Options{ScopeOf: store.ScopeOf}), func(db kv.DB) kv.DB { return db.(*memkv.DB).Reopen() })
	w.group("root", "")
	var want []string
	for _, g := range []string{"a", "b"} {
		w.group(g, "root")
		for i := range each {
			thing := fmt.Sprintf("%s-%04d", g, i)
			want = append(want, thing)
			w.thing(thing)
			w.must(w.AddThingToThingGroup(w.ctx, g, thing))
		}
	}
	w.thing("b-1000-late")
	w.job("fw", groupARN("root"))
	if !w.fireOne() {
		t.Fatal("no step")
	}
	if got := w.describe("fw").ProcessDetails.Queued; got == 0 || got >= 2*each {
		t.Fatalf("%d executions after a step: this tests nothing", got)
	}
	w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "b"}))
	w.must(w.RemoveThingFromThingGroup(w.ctx, "a", "a-2299"))
	w.group("b", "root", "b-1000-late", "b-2000")
	w.group("c", "root", "b-2299")
	w.restart()
	w.now = w.now.Add(time.Hour)
	w.forget()
	w.runTimers()
	got := map[string]bool{}
	for _, x := range w.executions("fw", jobsvc.StatusQueued, 250) {
		got[x.ThingName] = true
	}
	for _, thing := range want {
		if !got[thing] {
			t.Fatalf("%s has no execution", thing)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d executions, want %d", len(got), len(want))
	}
	w.checkCounters("fw")
}
