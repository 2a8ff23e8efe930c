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

// AddThingToThingGroup makes a thing a direct member of a static group; again does
// nothing. group and thing are names. It does not have the thing leave dynamic groups:
// UpdateThingGroupsForThing can.
//
// Errors: CodeInvalidRequest, also for an 11th group or a second one below the same
// root; CodeNotFound.
//
// AWS: AddThingToThingGroup.
func (e *Engine) AddThingToThingGroup(ctx context.Context, group, thing string) error {
	return e.changeGroups(ctx, &jobsvc.UpdateThingGroupsForThingRequest{ThingName: thing, Add: []string{group}})
}

// RemoveThingFromThingGroup ends the direct membership of a thing in a static group; that
// of a thing which is no member has ended. Jobs whose members were fixed before go on
// with it.
//
// Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: RemoveThingFromThingGroup.
func (e *Engine) RemoveThingFromThingGroup(ctx context.Context, group, thing string) error {
	return e.changeGroups(ctx, &jobsvc.UpdateThingGroupsForThingRequest{ThingName: thing, Remove: []string{group}})
}

// UpdateThingGroupsForThing has a thing join and leave static groups in one step: what is
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
	return e.changeGroups(ctx, r)
}

// changeGroups is the one transaction in which an operator changes memberships. Those in
// dynamic groups follow.
func (e *Engine) changeGroups(ctx context.Context, r *jobsvc.UpdateThingGroupsForThingRequest) error {
	if err := jobsvc.ValidateName("thingName", r.ThingName); err != nil {
		return err
	}
	for _, name := range slices.Concat(r.Add, r.Remove) {
		g, err := e.thingGroup(ctx, name)
		if err != nil {
			return err
		}
		if err := notDynamic(g); err != nil {
			return err
		}
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	events, err := e.store.Update(ctx, kv.Thing(r.ThingName), func(tx *store.Tx) error {
		t, err := tx.Thing(r.ThingName)
		if err != nil {
			return err
		}
		if t == nil {
			return thingNotFound(r.ThingName)
		}
		m, err := e.memberships(tx, t, now)
		if err != nil {
			return err
		}
		joined, left, err := joinAndLeave(tx, m, r)
		if err != nil || !joined && !left {
			return err
		}
		if joined {
			if err := e.checkGroups(tx, t, m, r.Override); err != nil {
				return err
			}
		}
		if err := e.placeIn(tx, t, m); err != nil {
			return err
		}
		return e.record(tx, t, m)
	})
	e.thingChanged(r.ThingName)
	e.changed(ctx, events, err)
	e.notify(hintsOf(events))
	return storeError(err)
}

func joinAndLeave(tx *store.Tx, m *memberships, r *jobsvc.UpdateThingGroupsForThingRequest) (joined, left bool, err error) {
	for _, name := range r.Remove {
		if _, ok := m.static[name]; ok {
			left = m.leave(tx, name) || left
		}
	}
	for _, name := range r.Add {
		if _, ok := m.static[name]; ok {
			continue
		}
		g, err := tx.PeekThingGroup(name)
		if err != nil {
			return false, false, err
		}
		if g == nil {
			return false, false, notFound("Thing group", name)
		}
		if err := notDynamic(g); err != nil {
			return false, false, err
		}
		m.join(tx, g)
		joined = true
	}
	return joined, left, nil
}

// checkGroups tells whether a thing may be a direct member of all these static groups, and
// of its dynamic ones beside them unless they may be left.
func (e *Engine) checkGroups(tx *store.Tx, t *jobsvc.Thing, m *memberships, override bool) error {
	n := len(m.static)
	if !override && n <= e.limits.GroupsPerThing && len(m.dynamic) > 0 {
		set, err := e.peekDynamic(tx)
		if err != nil {
			return err
		}
		for _, g := range e.matching(set, t, m) {
			if _, is := m.dynamic[g.Name]; is {
				n++
			}
		}
		if n > e.limits.GroupsPerThing {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing %s would be in %d groups, %d are allowed. With overrideDynamicGroups it leaves the youngest of its dynamic ones.", t.Name, n, e.limits.GroupsPerThing)
		}
	}
	if n > e.limits.GroupsPerThing {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing %s would be in %d groups, %d are allowed.", t.Name, n, e.limits.GroupsPerThing)
	}
	if e.limits.MultipleGroupsPerHierarchy {
		return nil
	}
	groups, thing := m.static, t.Name
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
