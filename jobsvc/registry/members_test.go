package registry_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/registry"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

var t0 = time.Date(2026, 3, 10, 10, 0, 0, 0, time.UTC)

func newStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), memkv.Open(memkv.Options{ScopeOf: store.ScopeOf, RunTwice: true}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func update(t *testing.T, s *store.Store, scope kv.Scope, fn func(*store.Tx)) {
	t.Helper()
	if _, err := s.Update(t.Context(), scope, func(tx *store.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestMembers pages through groups of random things, some in several groups, some that
// joined too late, and expects each that belongs once and in order, whatever the page.
func TestMembers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for round := range 60 {
		s := newStore(t)
		groups := []string{"a", "b", "c"}[:1+rng.IntN(3)]
		for _, g := range groups {
			update(t, s, store.GroupScope(g), func(tx *store.Tx) {
				tx.PutThingGroup(&jobsvc.ThingGroup{Name: g, ID: g, CreatedAt: t0.Add(-time.Hour)})
			})
		}
		left := map[string]bool{}
		in := make(map[string]bool)
		for range rng.IntN(40) {
			n := fmt.Sprint("pump-", rng.IntN(30))
			joined := t0
			if rng.IntN(3) == 0 {
				joined = t0.Add(1)
			}
			g := groups[rng.IntN(len(groups))]
			// The last join to a group is the one that counts, and there is one time for a
			// thing in all groups, or what is expected would depend on more than the thing.
			if in[n] {
				joined = t0
			}
			in[n] = in[n] || joined.Equal(t0)
			update(t, s, kv.Thing(n), func(tx *store.Tx) {
				tx.PutMembership(n, g, &store.Membership{ThingID: "id of " + n, GroupID: g, JoinedAt: joined})
			})
		}
		// Some leave again, after t0; some belong to a group of the same name that is gone.
		for n := range in {
			switch rng.IntN(6) {
			case 0:
				left[n] = true
				update(t, s, kv.Thing(n), func(tx *store.Tx) {
					in, err := tx.Memberships(n)
					if err != nil {
						t.Fatal(err)
					}
					for g, m := range in {
						tx.EndMembership(n, g, &m, t0.Add(2))
					}
				})
			case 1:
				update(t, s, kv.Thing("ghost-"+n), func(tx *store.Tx) {
					tx.PutMembership("ghost-"+n, groups[0], &store.Membership{GroupID: "gone", JoinedAt: t0.Add(-time.Minute)})
				})
			}
		}
		update(t, s, kv.Thing("other"), func(tx *store.Tx) { tx.PutMembership("other", "aa", &store.Membership{}) })
		for _, asOf := range []time.Time{{}, t0} {
			var want []string
			for n, early := range in {
				if asOf.IsZero() && !left[n] || !asOf.IsZero() && early {
					want = append(want, n)
				}
			}
			slices.Sort(want)
			for _, limit := range []int{1, 2, 3, 7, 50} {
				var got []string
				after := ""
				for ended := false; !ended; {
					var page []store.GroupMember
					var err error
					page, ended, err = registry.Members(t.Context(), s, groups, after, limit, asOf)
					if err != nil {
						t.Fatal(err)
					}
					if len(page) > limit || len(page) == 0 && !ended {
						t.Fatalf("round %d: a page of %d, limit %d, ended %v", round, len(page), limit, ended)
					}
					for _, m := range page {
						if m.ThingID != "id of "+m.Thing {
							t.Errorf("%s comes with %q", m.Thing, m.ThingID)
						}
						got = append(got, m.Thing)
						after = m.Thing
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("round %d, %d groups, pages of %d, as of %v: %v, want %v", round, len(groups), limit, asOf, got, want)
				}
			}
		}
	}
}

func TestDescendants(t *testing.T) {
	s := newStore(t)
	for i, g := range [][2]string{{"root", ""}, {"b", "root"}, {"a", "root"}, {"a1", "a"}, {"late", "a"}, {"below-late", "late"}, {"root-2", ""}, {"x", "root-2"}} {
		made := t0.Add(time.Duration(i) * time.Second)
		update(t, s, store.GroupScope(g[0]), func(tx *store.Tx) {
			tx.PutThingGroup(&jobsvc.ThingGroup{Name: g[0], Parent: g[1], CreatedAt: made})
		})
	}
	for i := range 2*jobsvc.MaxPageSize + 3 { // more than a page of children
		n := fmt.Sprintf("n%04d", i)
		update(t, s, store.GroupScope(n), func(tx *store.Tx) { tx.PutThingGroup(&jobsvc.ThingGroup{Name: n, Parent: "x", CreatedAt: t0}) })
	}
	for _, tc := range []struct {
		group string
		asOf  time.Time
		want  []string
	}{
		{"root", time.Time{}, []string{"root", "a", "b", "a1", "late", "below-late"}},
		{"root", t0.Add(3 * time.Second), []string{"root", "a", "b", "a1"}},
		{"a", time.Time{}, []string{"a", "a1", "late", "below-late"}},
		{"b", time.Time{}, []string{"b"}},
	} {
		if got, err := registry.Descendants(t.Context(), s, tc.group, tc.asOf); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("below %s as of %v: %v, %v, want %v", tc.group, tc.asOf, got, err, tc.want)
		}
	}
	if got, err := registry.Descendants(t.Context(), s, "root-2", time.Time{}); err != nil || len(got) != 2+2*jobsvc.MaxPageSize+3 {
		t.Errorf("below root-2: %d, %v", len(got), err)
	}
}
