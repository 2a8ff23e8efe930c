package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createDynamicThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCreateDynamicThingGroup(in)
	if err != nil {
		return nil, err
	}
	group, err := a.Engine.CreateDynamicThingGroup(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCreateDynamicThingGroup(a.Account, group), nil
}

func (a *api) updateDynamicThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeUpdateDynamicThingGroup(in)
	if err != nil {
		return nil, err
	}
	version, err := a.Engine.UpdateDynamicThingGroup(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeVersion(version), nil
}

func (a *api) deleteDynamicThingGroup(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeDeleteThingGroup(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.DeleteDynamicThingGroup(ctx, req))
}

func (a *api) searchIndex(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeSearchIndex(in)
	if err != nil {
		return nil, err
	}
	found, err := a.Engine.SearchIndex(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeSearchIndex(found), nil
}
