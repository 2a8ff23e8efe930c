package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/registry"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// AddThingToThingGroup makes a thing a direct member of a group; again does nothing.
// group and thing are names.
//
// Errors: CodeInvalidRequest, also for an 11th group or a second one below the same
// root; CodeNotFound.
//
// AWS: AddThingToThingGroup.
func (e *Engine) AddThingToThingGroup(ctx context.Context, group, thing string) error {
	return e.changeGroups(ctx, thing, []string{group}, nil)
}

// RemoveThingFromThingGroup ends the direct membership of a thing in a group; that of a
// thing which is no member has ended. Jobs whose members were fixed before go on with it.
//
// Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: RemoveThingFromThingGroup.
func (e *Engine) RemoveThingFromThingGroup(ctx context.Context, group, thing string) error {
	return e.changeGroups(ctx, thing, nil, []string{group})
}

// UpdateThingGroupsForThing has a thing join and leave groups in one step: what is
// allowed is judged by what it is a member of afterwards.
//
// Errors: CodeInvalidRequest, also for a group in both lists; CodeNotFound.
//
// AWS: UpdateThingGroupsForThing.
func (e *Engine) UpdateThingGroupsForThing(ctx context.Context, r *jobsvc.UpdateThingGroupsForThingRequest) error {
	for _, g := range r.Add {
		if slices.Contains(r.Remove, g) {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing group %s is in both thingGroupsToAdd and thingGroupsToRemove.", g)
		}
	}
	return e.changeGroups(ctx, r.ThingName, r.Add, r.Remove)
}

// changeGroups is the one transaction in which a thing joins and leaves groups.
func (e *Engine) changeGroups(ctx context.Context, thing string, add, remove []string) error {
	if err := jobsvc.ValidateName("thingName", thing); err != nil {
		return err
	}
	for _, name := range slices.Concat(add, remove) {
		if _, err := e.thingGroup(ctx, name); err != nil {
			return err
		}
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, kv.Thing(thing), func(tx *store.Tx) error {
		t, err := tx.Thing(thing)
		if err != nil {
			return err
		}
		if t == nil {
			return thingNotFound(thing)
		}
		all, err := tx.Memberships(thing)
		if err != nil {
			return err
		}
		is, err := current(tx, all)
		if err != nil {
			return err
		}
		change := MembershipChange{ThingName: thing, ThingID: t.ID, At: now}
		for _, name := range remove {
			if m, ok := is[name]; ok {
				change.leave(tx, name, &m)
				delete(is, name)
				delete(all, name)
			}
		}
		for _, name := range add {
			if _, ok := is[name]; ok {
				continue
			}
			g, err := tx.PeekThingGroup(name)
			if err != nil {
				return err
			}
			if g == nil {
				return notFound("Thing group", name)
			}
			if m, ok := all[name]; ok { // in a group of that name that was deleted
				change.leave(tx, name, &m)
			}
			is[name] = store.Membership{ThingID: t.ID, GroupID: g.ID, JoinedAt: now}
			change.join(tx, name, new(is[name]))
		}
		if len(add) > 0 {
			if err := e.checkGroups(tx, thing, is); err != nil {
				return err
			}
		}
		change.record(tx)
		return nil
	})
	return storeError(err)
}

// current leaves of memberships those in groups that there are.
func current(tx *store.Tx, all map[string]store.Membership) (map[string]store.Membership, error) {
	is := make(map[string]store.Membership, len(all))
	for name, m := range all {
		g, err := tx.PeekThingGroup(name)
		if err != nil {
			return nil, err
		}
		if g != nil && g.ID == m.GroupID {
			is[name] = m
		}
	}
	return is, nil
}

// checkGroups tells whether a thing may be a direct member of all these groups.
func (e *Engine) checkGroups(tx *store.Tx, thing string, groups map[string]store.Membership) error {
	if len(groups) > e.limits.GroupsPerThing {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing %s would be in %d groups, %d are allowed.", thing, len(groups), e.limits.GroupsPerThing)
	}
	if e.limits.MultipleGroupsPerHierarchy {
		return nil
	}
	roots := make(map[string]string, len(groups))
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		root, err := rootOf(tx, name)
		if err != nil {
			return err
		}
		if other, ok := roots[root]; ok {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing %s cannot be in both groups %s and %s: they are of one hierarchy.", thing, other, name)
		}
		roots[root] = name
	}
	return nil
}

// rootOf walks up from a group. A parent is fixed for life, so this is not a race.
func rootOf(tx *store.Tx, name string) (string, error) {
	for {
		g, err := tx.PeekThingGroup(name)
		if err != nil || g == nil || g.Parent == "" {
			return name, err
		}
		name = g.Parent
	}
}

// ListThingGroupsForThing lists the groups a thing is a direct member of, by name.
// Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: ListThingGroupsForThing.
func (e *Engine) ListThingGroupsForThing(ctx context.Context, thing string, p jobsvc.Page) (*jobsvc.ListThingGroupsResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	filters := []any{"groups of", thing}
	var after string
	if err := e.decodeToken(p.Token, filters, &after); err != nil {
		return nil, err
	}
	if _, err := e.DescribeThing(ctx, thing); err != nil {
		return nil, err
	}
	// A thing is in few groups: they are read whole.
	all, err := e.store.MembershipsOf(ctx, thing)
	if err != nil {
		return nil, storeError(err)
	}
	names := slices.Sorted(maps.Keys(all))
	groups, err := e.store.ThingGroups(ctx, names)
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListThingGroupsResult{}
	for i, name := range names {
		switch {
		case name <= after, groups[i] == nil, groups[i].ID != all[name].GroupID:
		case len(res.Groups) == p.Size():
			res.NextToken = e.encodeToken(filters, res.Groups[len(res.Groups)-1])
			return res, nil
		default:
			res.Groups = append(res.Groups, name)
		}
	}
	return res, nil
}

// ListThingsInThingGroup lists the members of a group by name. Errors:
// CodeInvalidRequest, CodeNotFound.
//
// AWS: ListThingsInThingGroup.
func (e *Engine) ListThingsInThingGroup(ctx context.Context, r *jobsvc.ListThingsInThingGroupRequest) (*jobsvc.NamesResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	filters := []any{"members", r.ThingGroupName, r.Recursive}
	var after string
	if err := e.decodeToken(r.Page.Token, filters, &after); err != nil {
		return nil, err
	}
	if _, err := e.thingGroup(ctx, r.ThingGroupName); err != nil {
		return nil, err
	}
	groups := []string{r.ThingGroupName}
	if r.Recursive {
		var err error
		if groups, err = registry.Descendants(ctx, e.store, r.ThingGroupName, zeroTime); err != nil {
			return nil, storeError(err)
		}
	}
	// One more than the page tells whether there is another.
	members, _, err := registry.Members(ctx, e.store, groups, after, r.Page.Size()+1, zeroTime)
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.NamesResult{}
	for _, m := range members[:min(len(members), r.Page.Size())] {
		res.Names = append(res.Names, m.Thing)
	}
	if len(members) > r.Page.Size() {
		res.NextToken = e.encodeToken(filters, res.Names[len(res.Names)-1])
	}
	return res, nil
}
