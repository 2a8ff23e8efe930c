package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createPolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, document, tags, err := wire.DecodeCreatePolicy(in)
	if err != nil {
		return nil, err
	}
	policy, err := a.Engine.CreatePolicy(ctx, name, document, tags)
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

func (a *api) deletePolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	return nil, a.Engine.DeletePolicy(ctx, wire.DecodePolicyName(in))
}

func (a *api) listPolicies(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListByTime(in)
	if err != nil {
		return nil, err
	}
	policies, err := a.Engine.ListPolicies(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodePolicies(a.Account, policies), nil
}

func (a *api) createPolicyVersion(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, document, setAsDefault, err := wire.DecodeCreatePolicyVersion(in)
	if err != nil {
		return nil, err
	}
	policy, err := a.Engine.CreatePolicyVersion(ctx, name, document, setAsDefault)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCreatePolicyVersion(a.Account, policy), nil
}

func (a *api) getPolicyVersion(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, version := wire.DecodePolicyVersion(in)
	policy, err := a.Engine.GetPolicyVersion(ctx, name, version)
	if err != nil {
		return nil, err
	}
	return wire.EncodeGetPolicyVersion(a.Account, policy), nil
}

func (a *api) listPolicyVersions(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	versions, err := a.Engine.ListPolicyVersions(ctx, wire.DecodePolicyName(in))
	if err != nil {
		return nil, err
	}
	return wire.EncodeListPolicyVersions(versions), nil
}

func (a *api) setDefaultPolicyVersion(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, version := wire.DecodePolicyVersion(in)
	return nil, a.Engine.SetDefaultPolicyVersion(ctx, name, version)
}

func (a *api) deletePolicyVersion(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, version := wire.DecodePolicyVersion(in)
	return nil, a.Engine.DeletePolicyVersion(ctx, name, version)
}

func (a *api) attachPolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, target, err := wire.DecodePolicyTarget(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.AttachPolicy(ctx, name, target)
}

func (a *api) detachPolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, target, err := wire.DecodePolicyTarget(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.DetachPolicy(ctx, name, target)
}

func (a *api) attachPrincipalPolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, principal := wire.DecodePrincipalPolicy(in)
	return nil, a.Engine.AttachPolicy(ctx, name, principal)
}

func (a *api) detachPrincipalPolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, principal := wire.DecodePrincipalPolicy(in)
	// Unlike DetachPolicy it declares "not found".
	if _, err := a.Engine.GetPolicy(ctx, name); err != nil {
		return nil, err
	}
	return nil, a.Engine.DetachPolicy(ctx, name, principal)
}

func (a *api) listAttachedPolicies(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	target, recursive, page, err := wire.DecodeListAttachedPolicies(in)
	if err != nil {
		return nil, err
	}
	policies, err := a.Engine.ListAttachedPolicies(ctx, target, recursive, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePolicies(a.Account, policies), nil
}

func (a *api) listPrincipalPolicies(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	principal, page, err := wire.DecodeListPrincipalPolicies(in)
	if err != nil {
		return nil, err
	}
	policies, err := a.Engine.ListAttachedPolicies(ctx, principal, false, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePolicies(a.Account, policies), nil
}

func (a *api) listTargetsForPolicy(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, page, err := wire.DecodeListTargetsForPolicy(in)
	if err != nil {
		return nil, err
	}
	targets, err := a.Engine.ListTargetsForPolicy(ctx, name, false, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodeTargets(targets), nil
}

func (a *api) listPolicyPrincipals(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, page, err := wire.DecodeListPolicyPrincipals(in)
	if err != nil {
		return nil, err
	}
	principals, err := a.Engine.ListTargetsForPolicy(ctx, name, true, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePolicyPrincipals(principals), nil
}

func (a *api) getEffectivePolicies(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	principal, thing, err := wire.DecodeGetEffectivePolicies(in)
	if err != nil {
		return nil, err
	}
	policies, err := a.Engine.GetEffectivePolicies(ctx, principal, thing)
	if err != nil {
		return nil, err
	}
	return wire.EncodeEffectivePolicies(a.Account, policies), nil
}

func (a *api) testAuthorization(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeTestAuthorization(in)
	if err != nil {
		return nil, err
	}
	results, err := a.Engine.TestAuthorization(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeTestAuthorization(a.Account, results), nil
}
