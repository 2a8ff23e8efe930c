package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createThing(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCreateThing(in)
	if err != nil {
		return nil, err
	}
	thing, err := a.Engine.CreateThing(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCreateThing(a.Account, thing), nil
}

func (a *api) describeThing(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	thing, err := a.Engine.DescribeThing(ctx, wire.DecodeThingName(in))
	if err != nil {
		return nil, err
	}
	return wire.EncodeDescribeThing(a.Account, thing), nil
}

func (a *api) listThings(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListThings(in)
	if err != nil {
		return nil, err
	}
	things, err := a.Engine.ListThings(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListThings(a.Account, things), nil
}

func (a *api) updateThing(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeUpdateThing(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.UpdateThing(ctx, req))
}

func (a *api) billingGroup(_ context.Context, in *wire.ControlInput) ([]byte, error) {
	return nil, wire.DecodeBillingGroup(in)
}

func (a *api) deleteThing(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeDeleteThing(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.DeleteThing(ctx, req))
}
