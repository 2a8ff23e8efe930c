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
	if err := e.detachPolicies(ctx, r.ThingGroupName); err != nil {
		return nil, err
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
			if err := stillThere(tx, r.ParentName); err != nil {
				return err
			}
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
		return parentNotFound(parent)
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

// stillThere refuses a parent that was deleted while its child was being made.
func stillThere(tx *store.Tx, parent string) error {
	if parent == "" {
		return nil
	}
	g, err := tx.PeekThingGroup(parent)
	if err == nil && g == nil {
		err = parentNotFound(parent)
	}
	return err
}

func parentNotFound(name string) error {
	return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Parent thing group %s does not exist.", name)
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
	res := &jobsvc.ListThingGroupsResult{}
	var next string
	var err error
	switch size := r.Page.Size(); {
	case r.Parent != "" && r.Recursive != nil && *r.Recursive:
		res.Groups, next, err = e.groupsBelow(ctx, r.Parent, r.NamePrefix, after, size)
	case r.Parent != "" || r.Recursive != nil && !*r.Recursive:
		res.Groups, next, err = e.store.GroupChildrenNamed(ctx, r.Parent, r.NamePrefix, after, size)
	default:
		res.Groups, next, err = e.store.GroupNames(ctx, r.NamePrefix, after, size)
	}
	if err != nil {
		return nil, storeError(err)
	}
	if next != "" {
		res.NextToken = e.encodeToken(filters, next)
	}
	return res, nil
}

// groupsBelow lists the descendants of a group by name. They are in no order of their own,
// so each page reads them all.
func (e *Engine) groupsBelow(ctx context.Context, parent, namePrefix, after string, limit int) (names []string, next string, err error) {
	below, err := registry.Descendants(ctx, e.store, parent, zeroTime)
	if err != nil {
		return nil, "", err
	}
	names = slices.DeleteFunc(below[1:], func(g string) bool { return g <= after || !strings.HasPrefix(g, namePrefix) })
	slices.Sort(names)
	if len(names) > limit {
		return names[:limit], names[limit-1], nil
	}
	return names, "", nil
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
	err = e.detachPolicies(ctx, r.ThingGroupName)
	e.thingGroupChanged(r.ThingGroupName)
	return err
}

// detachPolicies detaches every policy from a group, as long as there is none of that
// name. It is done when a group is deleted, again in the background since a crash may have
// come between, and before one is made: no group has policies that were meant for another.
func (e *Engine) detachPolicies(ctx context.Context, group string) error {
	return e.detachAll(ctx, e.opts.Account.ARN(jobsvc.ARNThingGroup, group), func(tx *store.Tx) (bool, error) {
		// Whoever attaches a policy found the group first, and comes after this transaction
		// or was seen here.
		g, err := tx.PeekThingGroup(group)
		return g == nil, err
	})
}

// detachAll detaches every policy from a target that is gone, an ARN. gone, when not nil,
// is asked in each transaction; the first that says no ends it.
func (e *Engine) detachAll(ctx context.Context, target string, gone func(*store.Tx) (bool, error)) error {
	for {
		policies, _, err := e.store.PoliciesOf(ctx, target, "", jobsvc.MaxPageSize)
		if err != nil || len(policies) == 0 {
			return storeError(err)
		}
		for _, p := range policies {
			detached := false
			_, err := e.store.Update(ctx, store.PolicyScope(p), func(tx *store.Tx) (err error) {
				if detached = true; gone != nil {
					if detached, err = gone(tx); err != nil || !detached {
						return err
					}
				}
				tx.DetachPolicy(p, target)
				return nil
			})
			if err != nil || !detached {
				return storeError(err)
			}
		}
	}
}
