package store

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// ThingsNamed finds every spelling of the names there is and nothing else, in order,
// whatever the page.
func TestThingsNamed(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	word := func() string {
		b := make([]byte, 1+rng.IntN(4))
		for i := range b {
			b[i] = "aAbB-1"[rng.IntN(6)]
		}
		return string(b)
	}
	for range 50 {
		s, err := Open(t.Context(), memkv.Open(memkv.Options{ScopeOf: ScopeOf}))
		if err != nil {
			t.Fatal(err)
		}
		names := []string{strings.ToLower(word()), strings.ToLower(word()), "no name"}[rng.IntN(2):]
		var want []string
		for range rng.IntN(80) {
			n := word()
			if _, err := s.Update(t.Context(), kv.Thing(n), func(tx *Tx) error { tx.PutThing(&jobsvc.Thing{Name: n}); return nil }); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(names, strings.ToLower(n)) && !slices.Contains(want, n) && n[0] != '-' {
				want = append(want, n)
			}
		}
		slices.Sort(want)
		for _, limit := range []int{1, 2, 50} {
			var got []string
			for after, more := "", true; more; {
				page, next, err := s.ThingsNamed(t.Context(), names, after, limit, func(th *jobsvc.Thing) bool { return th.Name[0] != '-' })
				if err != nil || len(page) > limit || next != "" && len(page) == 0 {
					t.Fatalf("a page of %d and %q: %v", len(page), next, err)
				}
				for _, th := range page {
					got = append(got, th.Name)
				}
				after, more = next, next != ""
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%q in pages of %d: %q, want %q", names, limit, got, want)
			}
		}
	}
}
