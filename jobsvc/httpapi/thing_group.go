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
	group, thing, err := wire.DecodeAddThingToThingGroup(in, a.Account)
	if err != nil {
		return nil, err
	}
	if err := a.Engine.AddThingToThingGroup(ctx, group, thing); err != nil {
		return nil, err
	}
	return wire.EncodeEmpty(), nil
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
