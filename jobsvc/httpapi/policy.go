package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createPolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, document, err := wire.DecodeCreatePolicy(in)
	if err != nil {
		return nil, err
	}
	policy, err := a.Engine.CreatePolicy(ctx, name, document)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCreatePolicy(a.Account, policy), nil
}

func (a *api) getPolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	policy, err := a.Engine.GetPolicy(ctx, wire.DecodePolicyName(in))
	if err != nil {
		return nil, err
	}
	return wire.EncodeGetPolicy(a.Account, policy), nil
}

func (a *api) listPolicies(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	page, err := wire.DecodeListPolicies(in)
	if err != nil {
		return nil, err
	}
	policies, err := a.Engine.ListPolicies(ctx, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePolicies(a.Account, policies), nil
}

func (a *api) attachPolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, target, err := wire.DecodeAttachPolicy(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.AttachPolicy(ctx, name, target)
}

func (a *api) listAttachedPolicies(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	target, page, err := wire.DecodeListAttachedPolicies(in, a.Account)
	if err != nil {
		return nil, err
	}
	policies, err := a.Engine.ListAttachedPolicies(ctx, target, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePolicies(a.Account, policies), nil
}
