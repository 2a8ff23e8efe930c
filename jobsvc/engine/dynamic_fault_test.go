package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
)

// agree checks that the members of a dynamic group are the things its query names.
func (w *world) agree(group string) {
	w.t.Helper()
	g, err := w.DescribeThingGroup(w.ctx, group)
	w.must(err)
	if g.Dynamic.Status != jobsvc.DynamicGroupActive {
		w.t.Errorf("%s is %s", group, g.Dynamic.Status)
	}
	r, err := w.SearchIndex(w.ctx, &jobsvc.SearchIndexRequest{QueryString: g.Dynamic.QueryString, MaxResults: 500})
	w.must(err)
	var want []string
	for _, f := range r.Things {
		want = append(want, f.Name)
	}
	w.members(group, want...)
}

// Whatever transaction goes wrong, and however, in the end the members are those the query
// names.
func TestDynamicGroupFaults(t *testing.T) {
	for name, what := range faults {
		t.Run(name, func(t *testing.T) {
			for call, more := 1, true; more; call++ {
				w := newFaultyWorld(t)
				w.faulty.calls = 0
				w.faulty.fault = func(n int) fault {
					if n == call {
						return what
					}
					return none
				}
				ignore := func(code jobsvc.Code, err error) { // the first try took effect
					t.Helper()
					if jobsvc.ErrorCode(err) != code {
						w.must(err)
					}
				}
				w.must(w.again(func() error {
					_, err := w.CreateDynamicThingGroup(w.ctx, &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: "d", QueryString: "attributes.x:1 OR connectivity.connected:true"})
					return err
				}))
				w.must(w.again(func() error {
					return w.UpdateThing(w.ctx, &jobsvc.UpdateThingRequest{ThingName: "t0001", Attributes: &jobsvc.AttributeUpdate{Attributes: map[string]string{"x": "1"}}})
				}))
				w.ThingConnected("t0002", true, w.now)
				w.background()
				w.agree("d")
				w.ThingConnected("t0003", true, w.now)
				w.background()
				w.agree("d")
				w.must(w.again(func() error {
					_, err := w.UpdateDynamicThingGroup(w.ctx, &jobsvc.UpdateDynamicThingGroupRequest{ThingGroupName: "d", QueryString: "NOT attributes.x:1 AND thingGroupNames:g"})
					return err
				}))
				w.background()
				w.agree("d")
				w.must(w.again(func() error { return w.RemoveThingFromThingGroup(w.ctx, "g", "t0000") }))
				w.must(w.again(func() error { return w.DeleteThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "g"}) }))
				w.background()
				w.agree("d")
				w.must(w.again(func() error {
					return w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: "d"})
				}))
				w.background()
				_, err := w.CreateDynamicThingGroup(w.ctx, &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: "d", QueryString: "*"})
				for err != nil && errors.As(err, new(*jobsvc.Error)) && jobsvc.ErrorCode(err) == jobsvc.CodeUnavailable {
					_, err = w.CreateDynamicThingGroup(w.ctx, &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: "d", QueryString: "*"})
				}
				ignore(jobsvc.CodeAlreadyExists, err)
				w.background()
				w.agree("d")
				more = w.faulty.calls >= call
			}
		})
	}
}

// TestDynamicGroupHistories makes random changes, with restarts between steps, and
// compares memberships with the queries whenever everything is quiet.
func TestDynamicGroupHistories(t *testing.T) {
	queries := []string{
		"*", "attributes.a:1", "attributes.a>1 OR thingGroupNames:s1", "NOT thingGroupNames:s2", "thingName:t1*", "thingName:(t3 OR T4) -attributes.a:2",
		"connectivity.connected:true", "connectivity.connected:false attributes.a:*",
	}
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t)
		thing := func() string { return fmt.Sprint("t", rng.IntN(15)) }
		group := func() string { return fmt.Sprint("d", rng.IntN(4)) }
		for i := range 3 {
			w.group(fmt.Sprint("s", i), "")
		}
		allowed := func(err error, codes ...jobsvc.Code) {
			t.Helper()
			if err != nil && !slices.Contains(codes, jobsvc.ErrorCode(err)) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		online := map[string]bool{}
		for range 250 {
			switch rng.IntN(12) {
			case 0, 1:
				_, err := w.CreateThing(w.ctx, &jobsvc.CreateThingRequest{ThingName: thing(), Attributes: map[string]string{"a": fmt.Sprint(rng.IntN(4))}})
				allowed(err, jobsvc.CodeAlreadyExists)
			case 2:
				n := thing()
				allowed(w.DeleteThing(w.ctx, &jobsvc.DeleteThingRequest{ThingName: n}))
			case 3, 4:
				allowed(w.UpdateThing(w.ctx, &jobsvc.UpdateThingRequest{ThingName: thing(), Attributes: &jobsvc.AttributeUpdate{Attributes: map[string]string{"a": fmt.Sprint(rng.IntN(4))}}}), jobsvc.CodeNotFound)
			case 5:
				allowed(w.AddThingToThingGroup(w.ctx, fmt.Sprint("s", rng.IntN(3)), thing()), jobsvc.CodeNotFound)
			case 6:
				allowed(w.RemoveThingFromThingGroup(w.ctx, fmt.Sprint("s", rng.IntN(3)), thing()), jobsvc.CodeNotFound)
			case 7:
				_, err := w.CreateDynamicThingGroup(w.ctx, &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: group(), QueryString: queries[rng.IntN(len(queries))]})
				allowed(err, jobsvc.CodeAlreadyExists)
			case 8:
				if rng.IntN(2) == 0 {
					allowed(w.DeleteDynamicThingGroup(w.ctx, &jobsvc.DeleteThingGroupRequest{ThingGroupName: group()}))
				} else {
					_, err := w.UpdateDynamicThingGroup(w.ctx, &jobsvc.UpdateDynamicThingGroupRequest{ThingGroupName: group(), QueryString: queries[rng.IntN(len(queries))]})
					allowed(err, jobsvc.CodeNotFound)
				}
			case 9:
				n := thing()
				online[n] = !online[n]
				w.ThingConnected(n, online[n], w.now)
			case 10:
				w.fireOne()
			case 11:
				if rng.IntN(4) == 0 {
					w.restart()
					w.must(w.ForgetConnections(w.ctx))
					clear(online)
					continue
				}
				w.advance(engine.ReconnectGrace)
				r, err := w.ListThingGroups(w.ctx, &jobsvc.ListThingGroupsRequest{NamePrefix: "d"})
				w.must(err)
				for _, g := range r.Groups {
					w.agree(g)
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	}
}
