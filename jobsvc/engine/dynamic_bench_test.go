package engine_test

import (
	"fmt"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/engine"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// BenchmarkUpdateThing: what dynamic groups cost a change of a thing.
func BenchmarkUpdateThing(b *testing.B) {
	for _, groups := range []int{0, 1, 10, 100} {
		b.Run(fmt.Sprint(groups, " dynamic groups"), func(b *testing.B) {
			s, err := store.Open(b.Context(), memkv.Open(memkv.Options{}))
			if err != nil {
				b.Fatal(err)
			}
			e := engine.New(s, engine.Options{})
			for i := range groups {
				if _, err := e.CreateDynamicThingGroup(b.Context(), &jobsvc.CreateDynamicThingGroupRequest{ThingGroupName: fmt.Sprint("d", i), QueryString: fmt.Sprintf("attributes.temp>%d AND thingName:pump-* AND NOT thingGroupNames:spares", i+1)}); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := e.CreateThing(b.Context(), &jobsvc.CreateThingRequest{ThingName: "pump-1"}); err != nil {
				b.Fatal(err)
			}
			timers, err := e.Timers(b.Context(), groups+1)
			if err != nil {
				b.Fatal(err)
			}
			for _, t := range timers {
				if err := e.Fire(b.Context(), t, t.Due); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r := &jobsvc.UpdateThingRequest{ThingName: "pump-1", Attributes: &jobsvc.AttributeUpdate{Attributes: map[string]string{"temp": fmt.Sprint(i % 2)}}}
				if err := e.UpdateThing(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
