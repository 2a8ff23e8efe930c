package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCreateThingGroup(in)
	if err != nil {
		return nil, err
	}
	group, err := a.Engine.CreateThingGroup(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCreateThingGroup(a.Account, group), nil
}

func (a *api) describeThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	group, err := a.Engine.DescribeThingGroup(ctx, wire.DecodeThingGroupName(in))
	if err != nil {
		return nil, err
	}
	return wire.EncodeDescribeThingGroup(a.Account, group), nil
}

func (a *api) listThingGroups(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListThingGroups(in)
	if err != nil {
		return nil, err
	}
	groups, err := a.Engine.ListThingGroups(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListThingGroups(a.Account, groups), nil
}

func (a *api) addThingToThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeAddThingToThingGroup(in, a.Account)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.UpdateThingGroupsForThing(ctx, req))
}

func (a *api) removeThingFromThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	group, thing, err := wire.DecodeThingAndGroup(in, a.Account)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.RemoveThingFromThingGroup(ctx, group, thing))
}

func (a *api) updateThingGroupsForThing(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeUpdateThingGroupsForThing(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.UpdateThingGroupsForThing(ctx, req))
}

func (a *api) listThingGroupsForThing(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	thing, page, err := wire.DecodeListOfThing(in)
	if err != nil {
		return nil, err
	}
	groups, err := a.Engine.ListThingGroupsForThing(ctx, thing, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListThingGroups(a.Account, groups), nil
}

func (a *api) updateThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeUpdateThingGroup(in)
	if err != nil {
		return nil, err
	}
	version, err := a.Engine.UpdateThingGroup(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeVersion(version), nil
}

func (a *api) deleteThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeDeleteThingGroup(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.DeleteThingGroup(ctx, req))
}

func (a *api) listThingsInThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListThingsInThingGroup(in)
	if err != nil {
		return nil, err
	}
	things, err := a.Engine.ListThingsInThingGroup(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeThingNames(things), nil
}
