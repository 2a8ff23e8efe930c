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

// Descendants gives a group with all groups below it that there were at asOf, those
// deleted since included. A zero asOf means now.
func Descendants(ctx context.Context, s *store.Store, group string, asOf time.Time) ([]string, error) {
	all := []string{group}
	known := map[string]bool{group: true}
	add := func(name string) {
		if !known[name] {
			known[name] = true
			all = append(all, name)
		}
	}
	for i := 0; i < len(all); i++ {
		for after := ""; ; {
			children, next, err := childrenAt(ctx, s, all[i], after, asOf)
			if err != nil {
				return nil, err
			}
			for _, c := range children {
				add(c)
			}
			if after = next; after == "" {
				break
			}
		}
		if asOf.IsZero() {
			continue
		}
		gone, err := s.ChildrenGone(ctx, all[i], asOf)
		if err != nil {
			return nil, err
		}
		for _, c := range gone {
			add(c)
		}
	}
	return all, nil
}

// childrenAt gives a page of the direct children there are, made by asOf unless that is
// zero.
func childrenAt(ctx context.Context, s *store.Store, parent, after string, asOf time.Time) (names []string, next string, err error) {
	names, next, err = s.GroupChildren(ctx, parent, after, jobsvc.MaxPageSize)
	if err != nil || asOf.IsZero() || len(names) == 0 {
		return names, next, err
	}
	groups, err := s.ThingGroups(ctx, names)
	if err != nil {
		return nil, "", err
	}
	early := names[:0]
	for i, g := range groups {
		if g != nil && !g.CreatedAt.After(asOf) {
			early = append(early, names[i])
		}
	}
	return early, next, nil
}

// Members lists the things of groups by name, each once: those after a name, at most
// limit, that were members at asOf (zero: are now). ended tells that there are no others.
//
// A name comes with the ID of the thing that joined: one made again under the name
// is not a member. Nor are things that joined a group which was deleted, when there is
// another under its name.
func Members(ctx context.Context, s *store.Store, groups []string, after string, limit int, asOf time.Time) (members []store.GroupMember, ended bool, err error) {
	is, err := s.ThingGroups(ctx, groups)
	if err != nil {
		return nil, false, err
	}
	for {
		ended = true
		// The first limit of each group contain the first limit of all of them. Past the
		// shortest full list nothing is known: what lies there waits for the next call.
		horizon := ""
		var found []store.GroupMember
		take := func(g *jobsvc.ThingGroup, list []store.GroupMember, err error) error {
			if err != nil {
				return err
			}
			if len(list) == limit {
				ended = false
				if last := list[limit-1].Thing; horizon == "" || last < horizon {
					horizon = last
				}
			}
			found = slices.Grow(found, len(list))
			for _, m := range list {
				if counts(&m, g, asOf) {
					found = append(found, m)
				}
			}
			return nil
		}
		for i, g := range groups {
			list, err := s.GroupMembers(ctx, g, after, limit)
			if err := take(is[i], list, err); err != nil {
				return nil, false, err
			}
		}
		for i := range groups {
			if asOf.IsZero() {
				break
			}
			// Only as far as this stretch goes: most of what ended may be of no interest, and
			// is not to be read anew for every stretch.
			list, err := s.LeftMembers(ctx, groups[i], after, horizon, limit, asOf)
			if err := take(is[i], list, err); err != nil {
				return nil, false, err
			}
		}
		if len(groups) > 1 || !asOf.IsZero() { // else it is one list
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
			members = append(members, m)
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

// counts tells whether a membership is one in the group that there is under its name, or
// was at asOf. is is the group as it is now.
func counts(m *store.GroupMember, is *jobsvc.ThingGroup, asOf time.Time) bool {
	switch {
	case asOf.IsZero():
		return is != nil && m.GroupID == is.ID
	case m.JoinedAt.After(asOf):
		return false
	case is != nil && !is.CreatedAt.After(asOf):
		return m.GroupID == is.ID
	default: // the group of that time is gone
		return is == nil || m.GroupID != is.ID
	}
}
