package engine

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/registry"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// CreateThingGroup makes a static group, below a parent if one is named. Asked again
// with the same properties it answers with the group there is.
//
// Errors: CodeInvalidRequest, also for a parent that does not exist (the operation
// declares no "not found"); CodeAlreadyExists.
//
// AWS: CreateThingGroup.
func (e *Engine) CreateThingGroup(ctx context.Context, r *jobsvc.CreateThingGroupRequest) (*jobsvc.ThingGroup, error) {
	if err := jobsvc.ValidateName("thingGroupName", r.ThingGroupName); err != nil {
		return nil, err
	}
	if r.ParentName != "" {
		if err := jobsvc.ValidateName("parentGroupName", r.ParentName); err != nil {
			return nil, err
		}
	}
	if err := jobsvc.ValidateGroupDescription(r.Description); err != nil {
		return nil, err
	}
	if err := jobsvc.ValidateAttributes(r.Attributes, e.limits.GroupAttributes); err != nil {
		return nil, err
	}
	if err := jobsvc.ValidateTags(r.Tags); err != nil {
		return nil, err
	}
	if r.ParentName != "" {
		if err := e.roomBelow(ctx, r.ParentName, r.ThingGroupName); err != nil {
			return nil, err
		}
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	made := &jobsvc.ThingGroup{
		Name: r.ThingGroupName, ID: uuid.NewString(), Parent: r.ParentName,
		Description: r.Description, Attributes: r.Attributes, Version: 1, CreatedAt: now,
	}
	var result *jobsvc.ThingGroup
	_, err = e.store.Update(ctx, store.GroupScope(r.ThingGroupName), func(tx *store.Tx) error {
		g, err := tx.ThingGroup(r.ThingGroupName)
		switch {
		case err != nil:
			return err
		case g == nil:
			tx.PutThingGroup(made)
			tx.PutTags(store.Resource{Kind: jobsvc.ARNThingGroup, Name: made.Name}, r.Tags)
			result = made
		case !g.IsDynamic() && g.Parent == r.ParentName && g.Description == r.Description && maps.Equal(g.Attributes, r.Attributes):
			result = g
		default:
			return groupExists(&e.opts.Account, g)
		}
		return nil
	})
	return result, storeError(err)
}

// roomBelow checks that a group may be made below parent: depth and number of children.
func (e *Engine) roomBelow(ctx context.Context, parent, name string) error {
	ancestors, err := e.ancestors(ctx, parent)
	if err != nil {
		return err
	}
	if ancestors == nil {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Parent thing group %s does not exist.", parent)
	}
	if g, err := e.store.ThingGroup(ctx, parent); err != nil {
		return storeError(err)
	} else if g != nil && g.IsDynamic() {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing group %s is dynamic: it cannot be a parent.", parent)
	}
	if len(ancestors)+1 > e.limits.GroupDepth {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing groups may be nested %d levels deep at most.", e.limits.GroupDepth)
	}
	children, _, err := e.store.GroupChildren(ctx, parent, "", e.limits.GroupChildren)
	if err != nil {
		return storeError(err)
	}
	if len(children) >= e.limits.GroupChildren && !slices.Contains(children, name) {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing group %s has %d direct children already.", parent, len(children))
	}
	return nil
}

// ancestors runs from the root down to the group itself; nil when it does not exist.
func (e *Engine) ancestors(ctx context.Context, name string) ([]string, error) {
	var path []string
	for name != "" {
		g, err := e.store.ThingGroup(ctx, name)
		if err != nil {
			return nil, storeError(err)
		}
		if g == nil {
			return nil, nil
		}
		path = append(path, name)
		name = g.Parent
	}
	slices.Reverse(path)
	return path, nil
}

// DescribeThingGroup reads a group. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: DescribeThingGroup.
func (e *Engine) DescribeThingGroup(ctx context.Context, name string) (*jobsvc.ThingGroupDescription, error) {
	g, err := e.thingGroup(ctx, name)
	if err != nil {
		return nil, err
	}
	d := &jobsvc.ThingGroupDescription{ThingGroup: *g}
	if g.Parent != "" {
		if d.Ancestors, err = e.ancestors(ctx, g.Parent); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (e *Engine) thingGroup(ctx context.Context, name string) (*jobsvc.ThingGroup, error) {
	if err := jobsvc.ValidateName("thingGroupName", name); err != nil {
		return nil, err
	}
	g, err := e.store.ThingGroup(ctx, name)
	if err == nil && g == nil {
		err = notFound("Thing group", name)
	}
	return g, storeError(err)
}

// ListThingGroups lists groups by name: with a parent its direct children, or with
// Recursive all its descendants; without one all groups, or with Recursive false the
// roots. Errors: CodeInvalidRequest, CodeNotFound for the parent.
//
// AWS: ListThingGroups.
func (e *Engine) ListThingGroups(ctx context.Context, r *jobsvc.ListThingGroupsRequest) (*jobsvc.ListThingGroupsResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	filters := []any{"groups", r.Parent, r.NamePrefix, r.Recursive}
	var after string
	if err := e.decodeToken(r.Page.Token, filters, &after); err != nil {
		return nil, err
	}
	if r.Parent != "" {
		if _, err := e.thingGroup(ctx, r.Parent); err != nil {
			return nil, err
		}
	}
	keep := func(*jobsvc.ThingGroup) bool { return true }
	switch {
	case r.Parent != "" && r.Recursive != nil && *r.Recursive:
		below, err := registry.Descendants(ctx, e.store, r.Parent, zeroTime)
		if err != nil {
			return nil, storeError(err)
		}
		set := make(map[string]bool, len(below))
		for _, g := range below[1:] {
			set[g] = true
		}
		keep = func(g *jobsvc.ThingGroup) bool { return set[g.Name] }
	case r.Parent != "" || r.Recursive != nil && !*r.Recursive:
		keep = func(g *jobsvc.ThingGroup) bool { return g.Parent == r.Parent }
	}
	groups, next, err := e.store.ListThingGroups(ctx, r.NamePrefix, after, r.Page.Size(), keep)
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListThingGroupsResult{}
	for _, g := range groups {
		res.Groups = append(res.Groups, g.Name)
	}
	if next != "" {
		res.NextToken = e.encodeToken(filters, next)
	}
	return res, nil
}

// UpdateThingGroup replaces the description of a group and changes its attributes. It
// gives the new version.
//
// Errors: CodeInvalidRequest, CodeNotFound, CodeVersionMismatch.
//
// AWS: UpdateThingGroup.
func (e *Engine) UpdateThingGroup(ctx context.Context, r *jobsvc.UpdateThingGroupRequest) (version int64, err error) {
	return e.changeThingGroup(ctx, r, func(_ *store.Tx, g *jobsvc.ThingGroup) error { return notDynamic(g) })
}

// changeThingGroup is the update of both kinds of groups. also judges a group, and makes
// changes of its own.
func (e *Engine) changeThingGroup(ctx context.Context, r *jobsvc.UpdateThingGroupRequest, also func(*store.Tx, *jobsvc.ThingGroup) error) (version int64, err error) {
	if err := jobsvc.ValidateName("thingGroupName", r.ThingGroupName); err != nil {
		return 0, err
	}
	if err := jobsvc.ValidateGroupDescription(r.Description); err != nil {
		return 0, err
	}
	_, err = e.store.Update(ctx, store.GroupScope(r.ThingGroupName), func(tx *store.Tx) error {
		g, err := tx.ThingGroup(r.ThingGroupName)
		if err != nil {
			return err
		}
		if g == nil {
			return notFound("Thing group", r.ThingGroupName)
		}
		if err := checkVersion("thing group "+g.Name, r.ExpectedVersion, g.Version); err != nil {
			return err
		}
		changed := *g
		if err := also(tx, &changed); err != nil {
			return err
		}
		changed.Description = r.Description
		changed.Attributes = r.Attributes.Apply(g.Attributes)
		if err := jobsvc.ValidateAttributes(changed.Attributes, e.limits.GroupAttributes); err != nil {
			return err
		}
		changed.Version++
		version = changed.Version
		tx.PutThingGroup(&changed)
		return nil
	})
	return version, storeError(err)
}

// DeleteThingGroup deletes a group without children. Its members leave it: a stored
// chain of steps takes their memberships away, but from the moment this returns they
// count no more. A job that has the group as a target goes on. A group that does not
// exist is deleted already.
//
// Errors: CodeInvalidRequest, CodeVersionMismatch.
//
// AWS: DeleteThingGroup.
func (e *Engine) DeleteThingGroup(ctx context.Context, r *jobsvc.DeleteThingGroupRequest) error {
	return e.deleteThingGroup(ctx, r, func(g *jobsvc.ThingGroup) error { return notDynamic(g) })
}

// deleteThingGroup deletes a group that is of the right kind.
func (e *Engine) deleteThingGroup(ctx context.Context, r *jobsvc.DeleteThingGroupRequest, right func(*jobsvc.ThingGroup) error) error {
	if err := jobsvc.ValidateName("thingGroupName", r.ThingGroupName); err != nil {
		return err
	}
	children, _, err := e.store.GroupChildren(ctx, r.ThingGroupName, "", 3)
	if err != nil {
		return storeError(err)
	}
	if len(children) > 0 {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing group %s still has child groups: %s and perhaps more.", r.ThingGroupName, strings.Join(children, ", "))
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, store.GroupScope(r.ThingGroupName), func(tx *store.Tx) error {
		g, err := tx.ThingGroup(r.ThingGroupName)
		if err != nil || g == nil {
			return err
		}
		if err := right(g); err != nil {
			return err
		}
		if err := checkVersion("thing group "+g.Name, r.ExpectedVersion, g.Version); err != nil {
			return err
		}
		tx.DeleteThingGroup(g, now)
		tx.DeleteTags(store.Resource{Kind: jobsvc.ARNThingGroup, Name: g.Name})
		tx.SetTimer(store.GroupTimer(g, now))
		return nil
	})
	if err != nil {
		return storeError(err)
	}
	poke(e.wake)
	return e.detachAll(ctx, e.opts.Account.ARN(jobsvc.ARNThingGroup, r.ThingGroupName))
}

// detachAll detaches every policy from a target that is gone.
func (e *Engine) detachAll(ctx context.Context, target string) error {
	for {
		policies, _, err := e.store.PoliciesOf(ctx, target, "", jobsvc.MaxPageSize)
		if err != nil || len(policies) == 0 {
			return storeError(err)
		}
		for _, p := range policies {
			if _, err := e.store.Update(ctx, store.PolicyScope(p), func(tx *store.Tx) error { tx.DetachPolicy(p, target); return nil }); err != nil {
				return storeError(err)
			}
		}
	}
}
