package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) attachThingPrincipal(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeAttachThingPrincipal(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.AttachThingPrincipal(ctx, req))
}

func (a *api) detachThingPrincipal(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	thing, principal, err := wire.DecodeDetachThingPrincipal(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.DetachThingPrincipal(ctx, thing, principal))
}

func (a *api) listThingPrincipals(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	of, kind, page, err := wire.DecodeListThingPrincipals(in)
	if err != nil {
		return nil, err
	}
	res, err := a.Engine.ListThingPrincipals(ctx, of, kind, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePrincipals(res), nil
}

func (a *api) listThingPrincipalsV2(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	of, kind, page, err := wire.DecodeListThingPrincipals(in)
	if err != nil {
		return nil, err
	}
	res, err := a.Engine.ListThingPrincipals(ctx, of, kind, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePrincipalsV2(res), nil
}

func (a *api) listPrincipalThings(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	of, kind, page, err := wire.DecodeListPrincipalThings(in)
	if err != nil {
		return nil, err
	}
	res, err := a.Engine.ListPrincipalThings(ctx, of, kind, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePrincipalThings(res), nil
}

func (a *api) listPrincipalThingsV2(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	of, kind, page, err := wire.DecodeListPrincipalThings(in)
	if err != nil {
		return nil, err
	}
	res, err := a.Engine.ListPrincipalThings(ctx, of, kind, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePrincipalThingsV2(res), nil
}
