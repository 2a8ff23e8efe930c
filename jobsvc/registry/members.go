// Package registry resolves what a job targets to things: groups to their
// descendants, groups to members, in the order executions are made.
package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// Descendants gives a group with all groups below it that were made by asOf. A zero
// asOf means all.
func Descendants(ctx context.Context, s *store.Store, group string, asOf time.Time) ([]string, error) {
	all := []string{group}
	for i := 0; i < len(all); i++ {
		for after := ""; ; {
			children, next, err := s.GroupChildren(ctx, all[i], after, jobsvc.MaxPageSize)
			if err != nil {
				return nil, err
			}
			for _, c := range children {
				if asOf.IsZero() {
					all = append(all, c)
					continue
				}
				g, err := s.ThingGroup(ctx, c)
				if err != nil {
					return nil, err
				}
				if g != nil && !g.CreatedAt.After(asOf) {
					all = append(all, c)
				}
			}
			if next == "" {
				break
			}
			after = next
		}
	}
	return all, nil
}

// Members lists the things of groups by name, each once: those after a name, at most
// limit, that had joined by asOf (zero: by now). ended tells that there are no others.
//
// A name comes with the ID of the thing that joined: one made again under the name
// is not a member.
func Members(ctx context.Context, s *store.Store, groups []string, after string, limit int, asOf time.Time) (members []store.GroupMember, ended bool, err error) {
	for {
		ended = true
		// The first limit of each group contain the first limit of all of them. Past the
		// shortest full list nothing is known: what lies there waits for the next call.
		horizon := ""
		var found []store.GroupMember
		for _, g := range groups {
			list, err := s.GroupMembers(ctx, g, after, limit)
			if err != nil {
				return nil, false, err
			}
			if len(list) == limit {
				ended = false
				if last := list[limit-1].Thing; horizon == "" || last < horizon {
					horizon = last
				}
			}
			if found == nil {
				found = list
				continue
			}
			found = append(found, list...)
		}
		if len(groups) > 1 {
			slices.SortFunc(found, func(a, b store.GroupMember) int { return strings.Compare(a.Thing, b.Thing) })
		}
		members = slices.Grow(members, min(limit, len(found)))
		for _, m := range found {
			if horizon != "" && m.Thing > horizon {
				break
			}
			if len(members) > 0 && members[len(members)-1].Thing == m.Thing {
				continue
			}
			if asOf.IsZero() || !m.JoinedAt.After(asOf) {
				members = append(members, m)
			}
		}
		if len(members) > limit {
			return members[:limit], false, nil
		}
		// A stretch in which nobody had joined in time must not look like the end.
		if len(members) > 0 || ended {
			return members, ended, nil
		}
		after = horizon
	}
}
