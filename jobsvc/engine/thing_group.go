package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/registry"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
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
	if err := jobsvc.ValidateAttributes(r.Attributes, jobsvc.MaxGroupAttributes); err != nil {
		return nil, err
	}
	if err := unsupported(r.Unsupported); err != nil {
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
			result = made
		case g.Parent == r.ParentName && g.Description == r.Description && maps.Equal(g.Attributes, r.Attributes):
			result = g
		default:
			return &jobsvc.Error{
				Code:        jobsvc.CodeAlreadyExists,
				Message:     "Thing group " + r.ThingGroupName + " already exists with different properties.",
				ResourceID:  g.ID,
				ResourceARN: e.opts.Account.ARN(jobsvc.ARNThingGroup, g.Name),
			}
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
	if len(ancestors)+1 > jobsvc.MaxGroupDepth {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing groups may be nested %d levels deep at most.", jobsvc.MaxGroupDepth)
	}
	children, _, err := e.store.GroupChildren(ctx, parent, "", jobsvc.MaxGroupChildren)
	if err != nil {
		return storeError(err)
	}
	if len(children) >= jobsvc.MaxGroupChildren && !slices.Contains(children, name) {
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

// AddThingToThingGroup makes a thing a direct member of a group; again does nothing.
// group and thing are names.
//
// Errors: CodeInvalidRequest, also for an 11th group or a second one below the same
// root; CodeNotFound.
//
// AWS: AddThingToThingGroup.
func (e *Engine) AddThingToThingGroup(ctx context.Context, group, thing string) error {
	if err := jobsvc.ValidateName("thingName", thing); err != nil {
		return err
	}
	g, err := e.thingGroup(ctx, group)
	if err != nil {
		return err
	}
	path, err := e.ancestors(ctx, group)
	if err != nil {
		return err
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
		member, err := tx.Memberships(thing)
		if err != nil {
			return err
		}
		if _, ok := member[group]; ok {
			return nil
		}
		if len(member) >= jobsvc.MaxGroupsPerThing {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing %s is in %d groups already.", thing, len(member))
		}
		for other := range member {
			root, err := rootOf(tx, other)
			if err != nil {
				return err
			}
			if len(path) > 0 && root == path[0] {
				return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing %s is in group %s of the same hierarchy already.", thing, other)
			}
		}
		tx.PutMembership(thing, group, &store.Membership{ThingID: t.ID, GroupID: g.ID, JoinedAt: now})
		return nil
	})
	return storeError(err)
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
