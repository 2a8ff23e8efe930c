package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createAccessKey(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCreateAccessKey(in)
	if err != nil {
		return nil, err
	}
	k := auth.NewAccessKey(req.Role, req.Name, a.Now())
	if err := a.Engine.CreateAccessKey(ctx, k); err != nil {
		return nil, err
	}
	return wire.EncodeAccessKey(&k), nil
}

func (a *api) deleteAccessKey(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	return nil, a.Engine.DeleteAccessKey(ctx, in.Path["accessKeyId"])
}

func (a *api) listAccessKeys(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	page, err := wire.DecodeListAccessKeys(in)
	if err != nil {
		return nil, err
	}
	keys, err := a.Engine.ListAccessKeys(ctx, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListAccessKeys(keys), nil
}
