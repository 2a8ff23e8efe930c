package engine

import (
	"context"
	"maps"
	"slices"
	"time"

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

// changeGroups is the one transaction in which memberships change.
func (e *Engine) changeGroups(ctx context.Context, thing string, add, remove []string) error {
	if err := jobsvc.ValidateName("thingName", thing); err != nil {
		return err
	}
	for _, name := range slices.Concat(add, remove) {
		if _, err := e.thingGroup(ctx, name); err != nil {
			return err
		}
	}
	var oldest time.Time // who only joins forgets nothing
	if len(remove) > 0 {
		var err error
		if oldest, err = e.oldestRollout(ctx); err != nil {
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
		changed := false
		for _, name := range remove {
			if m, ok := is[name]; ok {
				tx.EndMembership(thing, name, &m, now)
				delete(is, name)
				delete(all, name)
				changed = true
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
				tx.EndMembership(thing, name, &m, now)
			}
			is[name] = store.Membership{ThingID: t.ID, GroupID: g.ID, JoinedAt: now}
			tx.PutMembership(thing, name, new(is[name]))
			changed = true
		}
		if !changed {
			return nil
		}
		if len(add) > 0 {
			if err := e.checkGroups(tx, thing, is); err != nil {
				return err
			}
		}
		return tx.ForgetLeft(thing, oldest)
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

// oldestRollout is the time whose members the oldest unfinished rollout goes by: of
// memberships that ended before, nothing need be remembered.
func (e *Engine) oldestRollout(ctx context.Context) (time.Time, error) {
	oldest, err := e.now(ctx)
	if err != nil {
		return time.Time{}, err
	}
	const many = 100
	timers, err := e.store.Timers(ctx, time.Time{}, many)
	if err != nil {
		return time.Time{}, storeError(err)
	}
	looked := 0
	for _, t := range timers {
		if t.Kind == store.TimerTimeout || t.Due.After(oldest) {
			break // those of jobs come first, by due time
		}
		if looked++; looked == many { // too many to look at: forget nothing now
			return time.Time{}, nil
		}
		if t.Kind != store.TimerRollout {
			continue
		}
		job, err := e.store.Job(ctx, t.JobID)
		if err != nil {
			return time.Time{}, storeError(err)
		}
		if job != nil && job.CreatedAt.Before(oldest) {
			oldest = job.CreatedAt
		}
	}
	return oldest, nil
}

// groupPause is how long the record of a deleted group waits for rollouts that may need
// it, before it looks again.
const groupPause = 10 * time.Second

// stepGroup takes the memberships in a deleted group away, then what remembers the group
// itself, when no rollout is left that began before. Begun again after a crash it finds
// fewer memberships.
func (e *Engine) stepGroup(ctx context.Context, t store.Timer) error {
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	group := t.DeletedGroup()
	if err := e.sweepMembers(ctx, group, now); err != nil {
		return err
	}
	oldest, err := e.oldestRollout(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, t.Scope, func(tx *store.Tx) error {
		tx.ClearTimer(t)
		if oldest.After(group.At) {
			tx.ForgetGroup(group)
			return nil
		}
		again := t
		again.Due = now.Add(groupPause)
		tx.SetTimer(again)
		return nil
	})
	return err
}

// sweepMembers ends all memberships in a group that is gone.
func (e *Engine) sweepMembers(ctx context.Context, group store.DeletedGroup, now time.Time) error {
	for after := ""; ; {
		members, err := e.store.GroupMembers(ctx, group.Name, after, sweepChunk)
		if err != nil || len(members) == 0 {
			return err
		}
		var ops []store.Op
		for _, m := range members {
			if m.GroupID == group.ID {
				ops = append(ops, store.Op{Scope: kv.Thing(m.Thing), Fn: func(tx *store.Tx) error {
					all, err := tx.Memberships(m.Thing)
					if is, ok := all[group.Name]; err == nil && ok && is.GroupID == group.ID {
						tx.EndMembership(m.Thing, group.Name, &is, now)
					}
					return err
				}})
			}
		}
		if err := e.updateMany(ctx, ops); err != nil {
			return err
		}
		after = members[len(members)-1].Thing
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
