package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createThingType(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCreateThingType(in)
	if err != nil {
		return nil, err
	}
	y, err := a.Engine.CreateThingType(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCreateThingType(a.Account, y), nil
}

func (a *api) describeThingType(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	y, err := a.Engine.DescribeThingType(ctx, wire.DecodeThingTypeName(in))
	if err != nil {
		return nil, err
	}
	return wire.EncodeDescribeThingType(a.Account, y), nil
}

func (a *api) updateThingType(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeUpdateThingType(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.UpdateThingType(ctx, req))
}

func (a *api) deprecateThingType(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, undo, err := wire.DecodeDeprecateThingType(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.DeprecateThingType(ctx, name, undo))
}

func (a *api) deleteThingType(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	return empty(a.Engine.DeleteThingType(ctx, wire.DecodeThingTypeName(in)))
}

func (a *api) listThingTypes(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListThingTypes(in)
	if err != nil {
		return nil, err
	}
	types, err := a.Engine.ListThingTypes(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListThingTypes(a.Account, types), nil
}

// empty is the answer {} of an operation that succeeded.
func empty(err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return wire.EncodeEmpty(), nil
}
