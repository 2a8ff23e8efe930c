package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

// attributed makes a thing with attributes "k=v".
func (w *world) attributed(name string, attributes ...string) {
	w.t.Helper()
	_, err := w.CreateThing(w.ctx, &jobsvc.CreateThingRequest{ThingName: name, Attributes: attrs(attributes)})
	w.must(err)
}

func attrs(list []string) map[string]string {
	m := map[string]string{}
	for _, a := range list {
		k, v, _ := strings.Cut(a, "=")
		m[k] = v
	}
	return m
}

func (w *world) set(name string, attributes ...string) {
	w.t.Helper()
	w.must(w.UpdateThing(w.ctx, &jobsvc.UpdateThingRequest{ThingName: name, Attributes: &jobsvc.AttributeUpdate{Attributes: attrs(attributes)}}))
}

func (w *world) dynamic(name, query string) {
	w.t.Helper()
	_, err := w.CreateDynamicThingGroup(w.ctx, &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: name, QueryString: query})
	w.must(err)
}

func (w *world) query(name, query string) {
	w.t.Helper()
	_, err := w.UpdateDynamicThingGroup(w.ctx, &jobsvc.UpdateDynamicThingGroupRequest{ThingGroupName: name, QueryString: query})
	w.must(err)
}

func (w *world) status(name string) jobsvc.DynamicGroupStatus {
	w.t.Helper()
	g, err := w.DescribeThingGroup(w.ctx, name)
	w.must(err)
	return g.Dynamic.Status
}

// members checks who is in a group, by the list of the group and by those of the things.
func (w *world) members(group string, want ...string) {
	w.t.Helper()
	r, err := w.ListThingsInThingGroup(w.ctx, &jobsvc.ListThingsInThingGroupRequest{ThingGroupName: group})
	w.must(err)
	if !slices.Equal(r.Names, want) {
		w.t.Errorf("in %s are %q, want %q", group, r.Names, want)
	}
	for _, n := range want {
		if !slices.Contains(w.groupsOf(n), group) {
			w.t.Errorf("%s is not in %s by its own list", n, group)
		}
	}
}

func (w *world) groupsOf(thing string) []string {
	w.t.Helper()
	r, err := w.ListThingGroupsForThing(w.ctx, thing, jobsvc.Page{})
	w.must(err)
	return r.Groups
}

// found checks what SearchIndex finds, in pages of every size.
func (w *world) found(query string, want ...string) {
	w.t.Helper()
	for _, size := range []int{1, 2, 100} {
		got := pages(w.t, size, func(p jobsvc.Page) ([]string, string, error) {
			r, err := w.SearchIndex(w.ctx, &jobsvc.SearchIndexRequest{QueryString: query, MaxResults: p.MaxResults, Token: p.Token})
			if err != nil {
				return nil, "", err
			}
			var names []string
			for _, f := range r.Things {
				names = append(names, f.Name)
			}
			return names, r.NextToken, nil
		})
		if !slices.Equal(got, want) {
			w.t.Errorf("%s finds %q in pages of %d, want %q", query, got, size, want)
		}
	}
}

// Every change of a thing that a query can ask for moves the thing at once.
func TestDynamicGroupFollows(t *testing.T) {
	w := newWorld(t)
	w.attributed("a", "site=north", "temp=20")
	w.attributed("b", "site=south", "temp=30")
	w.dynamic("north", "attributes.site:north")
	w.dynamic("warm", "attributes.temp>25")
	w.dynamic("pumps", "thingTypeName:pump")
	w.dynamic("spares", "thingGroupNames:shelf AND NOT attributes.temp:*")
	if s := w.status("north"); s != jobsvc.DynamicGroupBuilding {
		t.Errorf("a new group is %s", s)
	}
	w.members("north")
	w.runTimers()
	if s := w.status("north"); s != jobsvc.DynamicGroupActive {
		t.Errorf("the group is %s", s)
	}
	w.members("north", "a")
	w.members("warm", "b")
	w.members("pumps")

	w.set("a", "site=south", "temp=26") // no timer: in the same transaction
	w.members("north")
	w.members("warm", "a", "b")
	w.attributed("c", "site=NORTH")
	w.members("north", "c")
	_, err := w.CreateThingType(w.ctx, &jobsvc.CreateThingTypeRequest{Name: "pump"})
	w.must(err)
	w.must(w.UpdateThing(w.ctx, &jobsvc.UpdateThingRequest{ThingName: "c", TypeName: "pump"}))
	w.members("pumps", "c")
	w.must(w.UpdateThing(w.ctx, &jobsvc.UpdateThingRequest{ThingName: "c", RemoveType: true}))
	w.members("pumps")

	w.group("shelf", "", "c", "b")
	w.members("spares", "c")
	w.must(w.RemoveThingFromThingGroup(w.ctx, "shelf", "c"))
	w.members("spares")
	w.must(w.AddThingToThingGroup(w.ctx, "shelf", "c"))
	w.members("spares", "c")
	w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "shelf"}))
	w.runTimers()
	w.members("spares")

	w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: "c"}))
	w.members("north")
	w.attributed("c", "site=north")
	w.members("north", "c")

	w.query("north", "attributes.site:south")
	if s := w.status("north"); s != jobsvc.DynamicGroupRebuilding {
		t.Errorf("after its query changed the group is %s", s)
	}
	w.runTimers()
	w.members("north", "a", "b")
	if s := w.status("north"); s != jobsvc.DynamicGroupActive {
		t.Errorf("the group is %s", s)
	}
	w.query("north", "attributes.site:south") // the same: nothing to do
	if s := w.status("north"); s != jobsvc.DynamicGroupActive {
		t.Errorf("after an update without another query the group is %s", s)
	}

	w.must(w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "north"}))
	if got := w.groupsOf("a"); !slices.Equal(got, []string{"warm"}) {
		t.Errorf("a is in %q", got)
	}
	w.dynamic("north", "thingName:a") // another group under the name, before the sweep
	w.runTimers()
	w.members("north", "a")
	w.now = w.now.Add(time.Hour) // what remembers deleted groups goes
	w.runTimers()
	timers, err := w.Timers(w.ctx, 10)
	if w.must(err); len(timers) != 0 {
		t.Errorf("timers are left: %+v", timers)
	}
}

func TestDynamicGroupRefusals(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	w.group("static", "")
	made, err := w.CreateDynamicThingGroup(w.ctx, &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: "d", QueryString: "*", Description: "all", IndexName: "AWS_Things", QueryVersion: "2017-09-30"})
	w.must(err)
	again, err := w.CreateDynamicThingGroup(w.ctx, &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: "d", QueryString: "*", Description: "all"})
	if w.must(err); again.ID != made.ID {
		t.Error("the same call made another group")
	}
	create := func(change func(*jobsvc.CreateDynamicThingGroupRequest)) error {
		r := &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: "e", QueryString: "*"}
		change(r)
		_, err := w.CreateDynamicThingGroup(w.ctx, r)
		return err
	}
	w.code(jobsvc.CodeAlreadyExists, create(func(r *jobsvc.CreateDynamicThingGroupRequest) { r.ThingGroupName = "d" }))
	w.code(jobsvc.CodeAlreadyExists, create(func(r *jobsvc.CreateDynamicThingGroupRequest) { r.ThingGroupName = "static" }))
	w.code(jobsvc.CodeInvalidQuery, create(func(r *jobsvc.CreateDynamicThingGroupRequest) { r.QueryString = "pump" }))
	w.code(jobsvc.CodeInvalidQuery, create(func(r *jobsvc.CreateDynamicThingGroupRequest) { r.QueryString = "shadow.reported.x:1" }))
	w.code(jobsvc.CodeInvalidRequest, create(func(r *jobsvc.CreateDynamicThingGroupRequest) { r.IndexName = "AWS_ThingGroups" }))
	w.code(jobsvc.CodeInvalidRequest, create(func(r *jobsvc.CreateDynamicThingGroupRequest) { r.QueryVersion = "2018" }))
	w.code(jobsvc.CodeInvalidRequest, create(func(r *jobsvc.CreateDynamicThingGroupRequest) { r.ThingGroupName = "a b" }))

	update := func(change func(*jobsvc.UpdateDynamicThingGroupRequest)) error {
		r := &jobsvc.UpdateDynamicThingGroupRequest{ThingGroupName: "d"}
		change(r)
		_, err := w.UpdateDynamicThingGroup(w.ctx, r)
		return err
	}
	seven := int64(7)
	w.code(jobsvc.CodeNotFound, update(func(r *jobsvc.UpdateDynamicThingGroupRequest) { r.ThingGroupName = "none" }))
	w.code(jobsvc.CodeInvalidRequest, update(func(r *jobsvc.UpdateDynamicThingGroupRequest) { r.ThingGroupName = "static" }))
	w.code(jobsvc.CodeVersionMismatch, update(func(r *jobsvc.UpdateDynamicThingGroupRequest) { r.ExpectedVersion = &seven }))
	w.code(jobsvc.CodeInvalidQuery, update(func(r *jobsvc.UpdateDynamicThingGroupRequest) { r.QueryString = "a" }))
	w.code(jobsvc.CodeInvalidRequest, update(func(r *jobsvc.UpdateDynamicThingGroupRequest) { r.IndexName = "x" }))
	v, err := w.UpdateDynamicThingGroup(w.ctx, &jobsvc.UpdateDynamicThingGroupRequest{ThingGroupName: "d", Description: "every", Attributes: &jobsvc.AttributeUpdate{Attributes: map[string]string{"k": "v"}}})
	w.must(err)
	if g, err := w.DescribeThingGroup(w.ctx, "d"); err != nil || v != 2 || g.Version != 2 || g.Description != "every" || g.Attributes["k"] != "v" || g.Dynamic.QueryString != "*" {
		t.Errorf("updated to %d: %+v, %v", v, g, err)
	}

	_, err = w.UpdateThingGroup(w.ctx, &jobsvc.UpdateThingGroupRequest{ThingGroupName: "d"})
	w.code(jobsvc.CodeInvalidRequest, err)
	_, err = w.CreateThingGroup(w.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: "child", ParentName: "d"})
	w.code(jobsvc.CodeInvalidRequest, err)
	_, err = w.CreateThingGroup(w.ctx, &jobsvc.CreateThingGroupRequest{ThingGroupName: "d", Description: "every", Attributes: map[string]string{"k": "v"}})
	w.code(jobsvc.CodeAlreadyExists, err)
	_, err = w.CreatePolicy(w.ctx, "p", policyOf("x"), nil)
	w.must(err)
	w.code(jobsvc.CodeInvalidRequest, w.AttachPolicy(w.ctx, "p", groupARN("d")))
	w.code(jobsvc.CodeInvalidRequest, w.AddThingToThingGroup(w.ctx, "d", "a"))
	w.code(jobsvc.CodeInvalidRequest, w.RemoveThingFromThingGroup(w.ctx, "d", "a"))
	w.code(jobsvc.CodeInvalidRequest, w.UpdateThingGroupsForThing(w.ctx, &jobsvc.UpdateThingGroupsForThingRequest{ThingName: "a", Add: []string{"static"}, Remove: []string{"d"}}))
	w.code(jobsvc.CodeInvalidRequest, w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "d"}))
	w.code(jobsvc.CodeInvalidRequest, w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "static"}))
	w.code(jobsvc.CodeVersionMismatch, w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "d", ExpectedVersion: &seven}))
	w.must(w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "none"}))
	w.runTimers()
	w.members("d", "a")
	w.members("static")
}

func TestDynamicGroupLimit(t *testing.T) {
	w := newWorld(t)
	for i := range jobsvc.MaxDynamicGroups {
		w.dynamic(fmt.Sprint("d", i), "thingName:none")
	}
	_, err := w.CreateDynamicThingGroup(w.ctx, &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: "more", QueryString: "*"})
	w.code(jobsvc.CodeLimitExceeded, err)
	w.dynamic("d7", "thingName:none") // there already
	w.must(w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "d7"}))
	w.dynamic("more", "*") // before the sweep
	_, err = w.CreateDynamicThingGroup(w.ctx, &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: "d7", QueryString: "*"})
	w.code(jobsvc.CodeLimitExceeded, err)
	w.thing("a")
	w.runTimers()
	w.members("more", "a")
}

// A thing that has all the groups it may have stays out of younger dynamic groups, leaves
// them for older ones, and for static ones if that is asked for.
func TestDynamicGroupsMakeRoom(t *testing.T) {
	w := newWorld(t)
	w.thing("a")
	for i := range 8 {
		w.group(fmt.Sprint("s", i), "", "a")
	}
	w.dynamic("d0", "attributes.d0:1")
	w.dynamic("d1", "thingName:a")
	w.dynamic("d2", "thingName:a")
	w.dynamic("d3", "thingName:a")
	w.runTimers()
	in := func(want ...string) {
		t.Helper()
		got := slices.DeleteFunc(w.groupsOf("a"), func(g string) bool { return g[0] == 's' && g != "s8" && g != "s9" })
		if !slices.Equal(got, want) {
			t.Errorf("beside the 8 static groups a is in %q, want %q", got, want)
		}
	}
	in("d1", "d2")
	w.set("a", "d0=1") // the oldest
	in("d0", "d1")
	w.group("s8", "")
	w.group("s9", "")
	w.code(jobsvc.CodeInvalidRequest, w.AddThingToThingGroup(w.ctx, "s8", "a"))
	in("d0", "d1")
	add := func(override bool, add, remove []string) error {
		return w.UpdateThingGroupsForThing(w.ctx, &jobsvc.UpdateThingGroupsForThingRequest{ThingName: "a", Add: add, Remove: remove, Override: override})
	}
	w.code(jobsvc.CodeInvalidRequest, add(false, []string{"s8"}, nil))
	w.must(add(true, []string{"s8"}, nil))
	in("d0", "s8")
	w.must(add(true, []string{"s9"}, nil))
	in("s8", "s9")
	w.group("s10", "")
	w.code(jobsvc.CodeInvalidRequest, add(true, []string{"s10"}, nil)) // 11 static ones
	w.must(add(false, nil, []string{"s8", "s9"}))
	in("d0", "d1")
	// What the thing leaves by itself is not in the way.
	w.query("d1", "NOT thingGroupNames:s8")
	w.runTimers()
	in("d0", "d1")
	w.must(add(false, []string{"s8"}, nil))
	in("d0", "s8")
	w.must(add(false, nil, []string{"s8"}))
	in("d0", "d1")
	// And when a group goes there is room for the next one.
	w.must(w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "d0"}))
	w.runTimers()
	in("d1", "d2")
	w.must(w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "s0"}))
	w.runTimers()
	in("d1", "d2", "d3")
}

// Killed between any two steps of the search, while things change: what comes out is what
// the query says.
func TestDynamicGroupSearchRestarts(t *testing.T) {
	w := newWorld(t)
	const things = 1700 // several chunks
	name := func(i int) string { return fmt.Sprintf("pump-%04d", i) }
	for i := range things {
		w.attributed(name(i), fmt.Sprintf("n=%d", i))
	}
	w.dynamic("low", "attributes.n<1000")
	// A step is too long to change things within: the clock ends it after each chunk.
	w.slow = 6 * time.Second
	for i := 0; w.fireOne(); i++ {
		if i > 20 {
			t.Fatal("the search does not end")
		}
		w.restart()
		w.set(name(i), "n=5000")                // was looked at
		w.set(name(things-1-i), "n=1")          // was not, mostly
		w.attributed(fmt.Sprint("a", i), "n=2") // before all
		w.attributed(fmt.Sprint("z", i), "n=2") // behind all
		w.must(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: name(500 + i)}))
		if i == 1 {
			w.query("low", "attributes.n<900") // a search of its own
		}
	}
	w.slow = 0
	w.runTimers()
	if s := w.status("low"); s != jobsvc.DynamicGroupActive {
		t.Errorf("the group is %s", s)
	}
	got := pages(t, 250, func(p jobsvc.Page) ([]string, string, error) {
		r, err := w.ListThingsInThingGroup(w.ctx, &jobsvc.ListThingsInThingGroupRequest{ThingGroupName: "low", Page: p})
		if err != nil {
			return nil, "", err
		}
		return r.Names, r.NextToken, nil
	})
	var want []string
	for token := ""; ; {
		r, err := w.SearchIndex(w.ctx, &jobsvc.SearchIndexRequest{QueryString: "attributes.n<900", MaxResults: 500, Token: token})
		w.must(err)
		for _, f := range r.Things {
			want = append(want, f.Name)
		}
		if token = r.NextToken; token == "" {
			break
		}
	}
	if !slices.Equal(got, want) || len(want) < 890 {
		t.Errorf("%d things are in the group, the query names %d", len(got), len(want))
	}
}

// A job made for a dynamic group has who is a member then.
func TestSnapshotOfDynamicGroup(t *testing.T) {
	w := newWorld(t)
	w.attributed("leaves", "site=north")
	w.attributed("stays", "site=north")
	w.attributed("late", "site=south")
	w.dynamic("north", "attributes.site:north")
	w.runTimers()
	w.job("fw", groupARN("north")) // its rollout has not begun
	w.set("leaves", "site=south")
	w.set("late", "site=north")
	w.members("north", "late", "stays")
	w.restart()
	w.runTimers()
	var got []string
	for _, x := range w.executions("fw", jobsvc.StatusQueued, 100) {
		got = append(got, x.ThingName)
	}
	slices.Sort(got)
	if want := []string{"leaves", "stays"}; !slices.Equal(got, want) {
		t.Errorf("executions of %q, want %q", got, want)
	}
	// What is remembered of who left goes, too.
	w.set("leaves", "site=north")
	w.set("leaves", "site=south")
	if n := w.rows("nN"); n == 0 {
		t.Error("no memberships that ended are remembered at once")
	}
	w.now = w.now.Add(time.Hour)
	w.forget()
	if n := w.rows("nN"); n != 0 {
		t.Errorf("%d rows of memberships that ended after an hour", n)
	}
}

func TestConnectivity(t *testing.T) {
	w := newWorld(t)
	w.thing("a", "b", "c")
	w.ThingConnected("c", true, w.now)
	w.dynamic("online", "connectivity.connected:true")
	w.dynamic("offline", "connectivity.connected:false")
	w.runTimers()
	w.members("online", "c")
	w.members("offline", "a", "b")
	at := w.now
	w.ThingConnected("a", true, at)
	w.ThingConnected("a", true, at.Add(time.Hour)) // no news
	w.ThingConnected("nobody", true, at)
	w.runTimers()
	w.members("online", "a", "c")
	w.members("offline", "b")
	w.ThingConnected("c", false, at)
	w.runTimers()
	w.members("online", "a")
	w.found("connectivity.connected:true", "a")
	w.found(fmt.Sprintf("connectivity.timestamp:%d", at.UnixMilli()), "a")
	r, err := w.SearchIndex(w.ctx, &jobsvc.SearchIndexRequest{QueryString: "thingName:a"})
	if w.must(err); len(r.Things) != 1 || !r.Things[0].Connected || !r.Things[0].ConnectedAt.Equal(at) {
		t.Errorf("found: %+v", r.Things)
	}

	// After a restart nobody is connected; who comes back in time stays a member.
	w.ThingConnected("b", true, at)
	w.runTimers()
	w.members("online", "a", "b")
	w.restart()
	w.must(w.ForgetConnections(w.ctx))
	w.runTimers()
	w.members("online", "a", "b")
	w.ThingConnected("a", true, w.now)
	w.runTimers()
	w.advance(2 * time.Minute)
	w.members("online", "a")
	w.members("offline", "b", "c")
	if s := w.status("online"); s != jobsvc.DynamicGroupActive {
		t.Errorf("the group is %s", s)
	}
	// Killed before what came and went was judged: the search after the start finds it.
	w.ThingConnected("c", true, w.now)
	w.restart()
	w.must(w.ForgetConnections(w.ctx))
	w.advance(2 * time.Minute)
	w.members("online")
	w.members("offline", "a", "b", "c")

	// A query that changes to connectivity while things come.
	w.must(w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "offline"}))
	w.query("online", "thingName:c")
	w.runTimers()
	w.ThingConnected("a", true, w.now)
	w.query("online", "connectivity.connected:true")
	w.ThingConnected("b", true, w.now)
	w.runTimers()
	w.members("online", "a", "b")
}

func TestSearchIndex(t *testing.T) {
	w := newWorld(t)
	_, err := w.CreateThingType(w.ctx, &jobsvc.CreateThingTypeRequest{Name: "pump"})
	w.must(err)
	for _, n := range []string{"PUMP-1", "Pump-1", "pUMP-1", "pump-1", "pump-10", "pump", "valve"} {
		_, err := w.CreateThing(w.ctx, &jobsvc.CreateThingRequest{ThingName: n, TypeName: map[bool]string{true: "pump"}[n != "valve"], Attributes: map[string]string{"len": fmt.Sprint(len(n))}})
		w.must(err)
	}
	w.group("g", "", "pump", "valve")
	w.dynamic("d", "*")
	w.runTimers()
	w.found("*", "PUMP-1", "Pump-1", "pUMP-1", "pump", "pump-1", "pump-10", "valve")
	w.found("thingName:pump-1", "PUMP-1", "Pump-1", "pUMP-1", "pump-1")
	w.found("thingName:(PUMP OR Pump-10 OR none)", "pump", "pump-10")
	w.found("thingName:valve thingTypeName:pump")
	w.found(`thingName:"a b"`)
	w.found("thingTypeName:pump attributes.len:[5 TO 7]", "PUMP-1", "Pump-1", "pUMP-1", "pump-1", "pump-10")
	w.found("thingGroupNames:g", "pump", "valve")
	w.found("NOT thingGroupNames:g", "PUMP-1", "Pump-1", "pUMP-1", "pump-1", "pump-10")
	w.found("thingGroupNames:d") // dynamic groups do not count

	r, err := w.SearchIndex(w.ctx, &jobsvc.SearchIndexRequest{QueryString: "thingName:pump", IndexName: "AWS_Things", MaxResults: 10_000})
	if w.must(err); len(r.Things) != 1 || !slices.Equal(r.Things[0].Groups, []string{"g"}) || r.Things[0].TypeName != "pump" || r.Things[0].Connected {
		t.Errorf("found %+v", r.Things)
	}
	first, err := w.SearchIndex(w.ctx, &jobsvc.SearchIndexRequest{QueryString: "*", MaxResults: 1})
	w.must(err)
	for _, tc := range []struct {
		code jobsvc.Code
		r    jobsvc.SearchIndexRequest
	}{
		{jobsvc.CodeInvalidRequest, jobsvc.SearchIndexRequest{QueryString: "*", IndexName: "AWS_ThingGroups"}},
		{jobsvc.CodeNotFound, jobsvc.SearchIndexRequest{QueryString: "*", IndexName: "mine"}},
		{jobsvc.CodeInvalidRequest, jobsvc.SearchIndexRequest{QueryString: "*", QueryVersion: "2018"}},
		{jobsvc.CodeInvalidQuery, jobsvc.SearchIndexRequest{QueryString: "("}},
		{jobsvc.CodeInvalidRequest, jobsvc.SearchIndexRequest{QueryString: "thingName:*", Token: first.NextToken}},
		{jobsvc.CodeInvalidRequest, jobsvc.SearchIndexRequest{QueryString: "*", Token: "x"}},
	} {
		_, err := w.SearchIndex(w.ctx, &tc.r)
		w.code(tc.code, err)
	}
}
