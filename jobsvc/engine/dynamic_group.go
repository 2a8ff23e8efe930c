package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/query"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// notDynamic refuses what is for static groups.
func notDynamic(g *jobsvc.ThingGroup) error {
	if !g.IsDynamic() {
		return nil
	}
	return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing group %s is dynamic. The operation is for static groups.", g.Name)
}

// onlyDynamic refuses what is for dynamic groups.
func onlyDynamic(g *jobsvc.ThingGroup) error {
	if g.IsDynamic() {
		return nil
	}
	return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing group %s is static. The operation is for dynamic groups.", g.Name)
}

// CreateDynamicThingGroup makes a group whose members a query names. It is BUILDING until
// every thing was looked at. Asked again with the same query and properties it answers
// with the group there is.
//
// Errors: CodeInvalidRequest, CodeInvalidQuery, CodeAlreadyExists, CodeLimitExceeded.
//
// AWS: CreateDynamicThingGroup.
func (e *Engine) CreateDynamicThingGroup(ctx context.Context, r *jobsvc.CreateDynamicThingGroupRequest) (*jobsvc.ThingGroup, error) {
	if err := e.checkDynamic(r); err != nil {
		return nil, err
	}
	same := func(g *jobsvc.ThingGroup) error {
		if g.IsDynamic() && g.Dynamic.QueryString == r.QueryString && g.Description == r.Description && maps.Equal(g.Attributes, r.Attributes) {
			return nil
		}
		return groupExists(&e.opts.Account, g)
	}
	// One that exists needs no room.
	g, err := e.store.ThingGroup(ctx, r.ThingGroupName)
	if err != nil {
		return nil, storeError(err)
	}
	if g != nil {
		return g, same(g)
	}
	if err := e.enlist(ctx, r.ThingGroupName); err != nil {
		return nil, storeError(err)
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	made := &jobsvc.ThingGroup{
		Name: r.ThingGroupName, ID: uuid.NewString(), Description: r.Description, Attributes: r.Attributes, Version: 1, CreatedAt: now,
		Dynamic: &jobsvc.DynamicGroup{QueryString: r.QueryString, Status: jobsvc.DynamicGroupBuilding, Build: 1},
	}
	var result *jobsvc.ThingGroup
	_, err = e.store.Update(ctx, store.GroupScope(r.ThingGroupName), func(tx *store.Tx) error {
		g, err := tx.ThingGroup(r.ThingGroupName)
		if err != nil {
			return err
		}
		if g != nil {
			result = g
			return same(g)
		}
		tx.PutThingGroup(made)
		tx.PutTags(store.Resource{Kind: jobsvc.ARNThingGroup, Name: made.Name}, r.Tags)
		tx.SetTimer(store.DynamicTimer(made, now))
		result = made
		return nil
	})
	poke(e.wake)
	return result, storeError(err)
}

func (e *Engine) checkDynamic(r *jobsvc.CreateDynamicThingGroupRequest) error {
	if err := jobsvc.ValidateName("thingGroupName", r.ThingGroupName); err != nil {
		return err
	}
	if err := jobsvc.ValidateGroupDescription(r.Description); err != nil {
		return err
	}
	if err := jobsvc.ValidateAttributes(r.Attributes, e.limits.GroupAttributes); err != nil {
		return err
	}
	if err := jobsvc.ValidateTags(r.Tags); err != nil {
		return err
	}
	if err := jobsvc.CheckIndex(r.IndexName, r.QueryVersion); err != nil {
		return err
	}
	_, err := query.Parse(r.QueryString)
	return err
}

func groupExists(a *jobsvc.Account, g *jobsvc.ThingGroup) error {
	return &jobsvc.Error{
		Code:        jobsvc.CodeAlreadyExists,
		Message:     "Thing group " + g.Name + " already exists with different properties.",
		ResourceID:  g.ID,
		ResourceARN: a.ARN(jobsvc.ARNThingGroup, g.Name),
	}
}

// UpdateDynamicThingGroup replaces the description of a dynamic group, changes its
// attributes and, if one is given, its query: the group is then REBUILDING until every
// thing was looked at. It gives the new version.
//
// Errors: CodeInvalidRequest, CodeInvalidQuery, CodeNotFound, CodeVersionMismatch.
//
// AWS: UpdateDynamicThingGroup.
func (e *Engine) UpdateDynamicThingGroup(ctx context.Context, r *jobsvc.UpdateDynamicThingGroupRequest) (version int64, err error) {
	if err := jobsvc.CheckIndex(r.IndexName, r.QueryVersion); err != nil {
		return 0, err
	}
	if r.QueryString != "" {
		if _, err := query.Parse(r.QueryString); err != nil {
			return 0, err
		}
	}
	now, err := e.now(ctx)
	if err != nil {
		return 0, err
	}
	version, err = e.changeThingGroup(ctx, &jobsvc.UpdateThingGroupRequest{
		ThingGroupName: r.ThingGroupName, Description: r.Description, Attributes: r.Attributes, ExpectedVersion: r.ExpectedVersion,
	}, func(tx *store.Tx, g *jobsvc.ThingGroup) error {
		if err := onlyDynamic(g); err != nil {
			return err
		}
		if r.QueryString != "" && r.QueryString != g.Dynamic.QueryString {
			g.Dynamic = &jobsvc.DynamicGroup{QueryString: r.QueryString, Status: jobsvc.DynamicGroupRebuilding, Build: g.Dynamic.Build + 1}
			tx.SetTimer(store.DynamicTimer(g, now))
		}
		return nil
	})
	poke(e.wake)
	return version, err
}

// DeleteDynamicThingGroup is DeleteThingGroup for dynamic groups. Errors:
// CodeInvalidRequest, CodeVersionMismatch.
//
// AWS: DeleteDynamicThingGroup.
func (e *Engine) DeleteDynamicThingGroup(ctx context.Context, r *jobsvc.DeleteThingGroupRequest) error {
	return e.deleteThingGroup(ctx, r, func(g *jobsvc.ThingGroup) error { return onlyDynamic(g) })
}

// enlist puts a group that is to be made on the list of dynamic groups, if there is room.
// A crash before the group is made leaves a name of nothing there, which goes when the
// room is needed. Errors: CodeLimitExceeded.
func (e *Engine) enlist(ctx context.Context, name string) error {
	return e.changeDynamicGroups(ctx, func(tx *store.Tx, names []string) ([]string, error) {
		var kept []string
		for _, n := range names {
			switch {
			case n == name:
				continue
			case len(names) >= e.limits.DynamicGroups:
				g, err := tx.PeekThingGroup(n)
				if err != nil {
					return nil, err
				}
				if g == nil || !g.IsDynamic() {
					continue
				}
			}
			kept = append(kept, n)
		}
		if len(kept) >= e.limits.DynamicGroups {
			return nil, jobsvc.Errorf(jobsvc.CodeLimitExceeded, "There are %d dynamic thing groups, which is as many as there may be.", len(kept))
		}
		return append(kept, name), nil
	})
}

// announce makes every change of a thing from now on go by the query of a group as it is.
func (e *Engine) announce(ctx context.Context, name string) error {
	err := e.changeDynamicGroups(ctx, func(_ *store.Tx, names []string) ([]string, error) {
		return append(without(names, name), name), nil
	})
	if err != nil {
		return err
	}
	_, err = e.dynamicSet(ctx)
	return err
}

// delist takes a group that is gone off the list of dynamic groups.
func (e *Engine) delist(ctx context.Context, name string) error {
	set, err := e.dynamicSet(ctx)
	if err != nil || !slices.Contains(set.Names, name) {
		return err
	}
	return e.changeDynamicGroups(ctx, func(tx *store.Tx, names []string) ([]string, error) {
		g, err := tx.PeekThingGroup(name)
		if err != nil || g != nil && g.IsDynamic() {
			return names, err
		}
		return without(names, name), nil
	})
}

func (e *Engine) changeDynamicGroups(ctx context.Context, change func(*store.Tx, []string) ([]string, error)) error {
	_, err := e.store.Update(ctx, store.DynamicGroupsScope(), func(tx *store.Tx) error {
		l, err := tx.DynamicGroups()
		if err != nil {
			return err
		}
		if l.Names, err = change(tx, l.Names); err != nil {
			return err
		}
		tx.PutDynamicGroups(l)
		return nil
	})
	return err
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return n == name })
}
