package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/policy"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// AttachPolicy attaches a policy to a certificate or a static thing group, given by ARN.
// Again does nothing. Errors: CodeInvalidRequest, CodeNotFound, CodeLimitExceeded.
//
// AWS: AttachPolicy.
func (e *Engine) AttachPolicy(ctx context.Context, name, target string) error {
	if _, err := e.policy(ctx, name); err != nil {
		return err
	}
	target, err := e.policyTarget(ctx, target)
	if err != nil {
		return err
	}
	if kind, group, _ := e.opts.Account.Parse(target); kind == jobsvc.ARNThingGroup {
		g, err := e.thingGroup(ctx, group)
		if err == nil {
			err = notDynamic(g)
		}
		if err != nil {
			return err
		}
	}
	if err := e.roomForPolicy(ctx, name, target); err != nil {
		return err
	}
	defer e.policyTargetChanged(target)
	_, err = e.store.Update(ctx, store.PolicyScope(name), func(tx *store.Tx) error {
		p, err := tx.Policy(name)
		if err != nil {
			return err
		}
		if p == nil {
			return notFound("Policy", name)
		}
		tx.AttachPolicy(name, target)
		return nil
	})
	if err != nil {
		return storeError(err)
	}
	// A target that went meanwhile has taken its attachments along, but for this one.
	_, gone := e.policyTarget(ctx, target)
	if jobsvc.ErrorCode(gone) != jobsvc.CodeNotFound {
		return gone
	}
	_, err = e.store.Update(ctx, store.PolicyScope(name), func(tx *store.Tx) error { tx.DetachPolicy(name, target); return nil })
	if err != nil {
		return storeError(err)
	}
	return gone
}

// roomForPolicy refuses one policy too many on a target.
func (e *Engine) roomForPolicy(ctx context.Context, name, target string) error {
	limit := e.limits.PoliciesPerCertificate
	if kind, _, _ := e.opts.Account.Parse(target); kind == jobsvc.ARNThingGroup {
		limit = e.limits.PoliciesPerGroup
	}
	names, _, err := e.store.PoliciesOf(ctx, target, "", limit+1)
	if err != nil {
		return storeError(err)
	}
	if len(names) >= limit && !slices.Contains(names, name) {
		return jobsvc.Errorf(jobsvc.CodeLimitExceeded, "%s has %d policies, as many as it may.", target, len(names))
	}
	return nil
}

// DetachPolicy detaches a policy from a target; one that is not attached is detached
// already. Errors: CodeInvalidRequest, also for a policy there is not, since the
// operation declares no "not found".
//
// AWS: DetachPolicy.
func (e *Engine) DetachPolicy(ctx context.Context, name, target string) error {
	if err := jobsvc.ValidatePolicyName(name); err != nil {
		return err
	}
	kind, id, ok := e.opts.Account.Parse(target)
	if !jobsvc.IsCognitoIdentity(target) && (!ok || kind != jobsvc.ARNCert && kind != jobsvc.ARNThingGroup) {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "%s is neither a certificate nor a thing group of this account.", jobsvc.Clip(target))
	}
	if kind == jobsvc.ARNCert {
		var err error
		if id, err = jobsvc.NormalizeCertificateID(id); err != nil {
			return err
		}
		target = e.opts.Account.ARN(kind, id)
	}
	_, err := e.store.Update(ctx, store.PolicyScope(name), func(tx *store.Tx) error {
		p, err := tx.Policy(name)
		if err != nil {
			return err
		}
		if p == nil {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Policy %s does not exist.", name)
		}
		tx.DetachPolicy(name, target)
		return nil
	})
	e.policyTargetChanged(target)
	return storeError(err)
}

// policyTarget checks that what a policy is attached to exists, and gives its ARN.
func (e *Engine) policyTarget(ctx context.Context, target string) (string, error) {
	if jobsvc.IsCognitoIdentity(target) { // of those nobody here knows which exist
		return target, nil
	}
	kind, name, ok := e.opts.Account.Parse(target)
	if !ok {
		return "", notFound("Target", jobsvc.Clip(target))
	}
	switch kind {
	case jobsvc.ARNCert:
		c, err := e.DescribeCertificate(ctx, name)
		if err != nil {
			return "", err
		}
		return e.opts.Account.ARN(kind, c.ID), nil
	case jobsvc.ARNThingGroup:
		_, err := e.thingGroup(ctx, name)
		return target, err
	}
	return "", jobsvc.Errorf(jobsvc.CodeInvalidRequest, "A policy is attached to a certificate or a thing group, not to %s.", jobsvc.Clip(target))
}

// attachedTo gives the names of all policies on targets, sorted, each once. There are
// few: targets have limits.
func (e *Engine) attachedTo(ctx context.Context, targets ...string) ([]string, error) {
	set := map[string]bool{}
	for _, target := range targets {
		for after := ""; ; {
			names, next, err := e.store.PoliciesOf(ctx, target, after, jobsvc.MaxPageSize)
			if err != nil {
				return nil, storeError(err)
			}
			for _, n := range names {
				set[n] = true
			}
			if after = next; after == "" {
				break
			}
		}
	}
	return slices.Sorted(maps.Keys(set)), nil
}

// ListAttachedPolicies lists the policies on a target by name; with recursive also those
// on the ancestors of a group. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: ListAttachedPolicies, ListPrincipalPolicies.
func (e *Engine) ListAttachedPolicies(ctx context.Context, target string, recursive bool, p jobsvc.Page) (*jobsvc.ListPoliciesResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	target, err := e.policyTarget(ctx, target)
	if err != nil {
		return nil, err
	}
	filters := []any{"attached", target, recursive}
	var after string
	if err := e.decodeToken(p.Token, filters, &after); err != nil {
		return nil, err
	}
	targets := []string{target}
	if kind, name, _ := e.opts.Account.Parse(target); recursive && kind == jobsvc.ARNThingGroup {
		if targets, err = e.groupAndAncestors(ctx, name); err != nil {
			return nil, err
		}
	}
	names, err := e.attachedTo(ctx, targets...)
	if err != nil {
		return nil, err
	}
	res := &jobsvc.ListPoliciesResult{}
	for _, n := range names {
		switch {
		case n <= after:
		case len(res.Policies) == p.Size():
			res.NextMarker = e.encodeToken(filters, res.Policies[len(res.Policies)-1].Name)
			return res, nil
		default:
			res.Policies = append(res.Policies, jobsvc.Policy{Name: n})
		}
	}
	return res, nil
}

func (e *Engine) groupAndAncestors(ctx context.Context, group string) ([]string, error) {
	names, err := e.ancestors(ctx, group)
	if err != nil {
		return nil, err
	}
	arns := make([]string, len(names))
	for i, n := range names {
		arns[i] = e.opts.Account.ARN(jobsvc.ARNThingGroup, n)
	}
	return arns, nil
}

// ListTargetsForPolicy lists what a policy is attached to; with principals no thing
// groups. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: ListTargetsForPolicy, ListPolicyPrincipals.
func (e *Engine) ListTargetsForPolicy(ctx context.Context, name string, principals bool, p jobsvc.Page) (*jobsvc.NamesResult, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if _, err := e.policy(ctx, name); err != nil {
		return nil, err
	}
	filters := []any{"targets", name, principals}
	var after string
	if err := e.decodeToken(p.Token, filters, &after); err != nil {
		return nil, err
	}
	targets, next, err := e.store.TargetsOf(ctx, name, after, p.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.NamesResult{}
	for _, t := range targets {
		if kind, _, _ := e.opts.Account.Parse(t); !principals || kind != jobsvc.ARNThingGroup {
			res.Names = append(res.Names, t)
		}
	}
	if next != "" {
		res.NextToken = e.encodeToken(filters, next)
	}
	return res, nil
}

// GetEffectivePolicies gives the policies that a device is under: those of a certificate,
// and those of the groups of a thing with their ancestors. Errors: CodeInvalidRequest
// when neither is given, CodeNotFound.
//
// AWS: GetEffectivePolicies.
func (e *Engine) GetEffectivePolicies(ctx context.Context, principal, thing string) ([]jobsvc.PolicyDescription, error) {
	if principal == "" && thing == "" {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "One of principal and thingName is required.")
	}
	var targets []string
	if principal != "" {
		var err error
		if targets, err = e.principalTargets(ctx, principal); err != nil {
			return nil, err
		}
	}
	if thing != "" {
		groups, err := e.groupTargets(ctx, thing)
		if err != nil {
			return nil, err
		}
		targets = append(targets, groups...)
	}
	names, err := e.attachedTo(ctx, targets...)
	if err != nil {
		return nil, err
	}
	return e.policies(ctx, names)
}

// principalTargets gives a principal as a target, or the ARNs of a group and its ancestors.
func (e *Engine) principalTargets(ctx context.Context, principal string) ([]string, error) {
	target, err := e.policyTarget(ctx, principal)
	if err != nil {
		return nil, err
	}
	if kind, name, _ := e.opts.Account.Parse(target); kind == jobsvc.ARNThingGroup {
		return e.groupAndAncestors(ctx, name)
	}
	return []string{target}, nil
}

// groupTargets gives the ARNs of the groups of a thing and of their ancestors.
func (e *Engine) groupTargets(ctx context.Context, thing string) ([]string, error) {
	var targets []string
	for token := ""; ; {
		groups, err := e.ListThingGroupsForThing(ctx, thing, jobsvc.Page{Token: token})
		if err != nil {
			return nil, err
		}
		for _, g := range groups.Groups {
			arns, err := e.groupAndAncestors(ctx, g)
			if err != nil {
				return nil, err
			}
			targets = append(targets, arns...)
		}
		if token = groups.NextToken; token == "" {
			return targets, nil
		}
	}
}

// policies reads policies with their default versions, those that are still there.
func (e *Engine) policies(ctx context.Context, names []string) ([]jobsvc.PolicyDescription, error) {
	var list []jobsvc.PolicyDescription
	for _, n := range names {
		d, err := e.GetPolicy(ctx, n)
		switch {
		case jobsvc.ErrorCode(err) == jobsvc.CodeNotFound:
		case err != nil:
			return nil, err
		default:
			list = append(list, *d)
		}
	}
	return list, nil
}

// actions are those that TestAuthorization asks about.
var actions = map[string]string{
	"": "iot:Publish", "PUBLISH": "iot:Publish", "SUBSCRIBE": "iot:Subscribe", "RECEIVE": "iot:Receive", "CONNECT": "iot:Connect",
}

// TestAuthorization tells what the policies of a certificate, and of the groups of the
// thing that the client ID names, would decide, with policies added and left out; or those
// of a group and its ancestors, or of a Cognito identity.
//
// Errors: CodeInvalidRequest, CodeNotFound for the principal and for policies to add.
//
// AWS: TestAuthorization.
func (e *Engine) TestAuthorization(ctx context.Context, r *jobsvc.TestAuthorizationRequest) ([]jobsvc.AuthResult, error) {
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	c := &policy.Context{ClientID: r.ClientID, Now: now}
	var targets []string
	if r.Principal != "" {
		if targets, err = e.testTargets(ctx, r, c); err != nil {
			return nil, err
		}
	}
	names, err := e.attachedTo(ctx, targets...)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(r.Skip, n) })
	for _, n := range r.Add {
		if _, err := e.policy(ctx, n); err != nil {
			return nil, err
		}
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	descriptions, err := e.policies(ctx, names)
	if err != nil {
		return nil, err
	}
	var named []policy.Named
	for _, d := range descriptions {
		doc, err := policy.Parse(d.Version.Document)
		if err != nil {
			return nil, internal(err, "parse a stored policy")
		}
		named = append(named, policy.Named{Name: d.Name, Document: doc})
	}
	results := make([]jobsvc.AuthResult, len(r.Infos))
	for i, info := range r.Infos {
		results[i] = authorize(named, info, c)
	}
	return results, nil
}

// testTargets gives what policies of a principal may be on, and completes the context of a
// device.
func (e *Engine) testTargets(ctx context.Context, r *jobsvc.TestAuthorizationRequest, c *policy.Context) ([]string, error) {
	if kind, _, _ := e.opts.Account.Parse(r.Principal); kind == jobsvc.ARNThingGroup || jobsvc.IsCognitoIdentity(r.Principal) {
		return e.principalTargets(ctx, r.Principal)
	}
	id, err := e.certificateOf(r.Principal)
	if err != nil {
		return nil, err
	}
	binding, err := e.Binding(ctx, id)
	if err != nil {
		return nil, err
	}
	c.Certificate = certificateValues(&binding.Certificate)
	targets := []string{e.opts.Account.ARN(jobsvc.ARNCert, id)}
	tied := tiedThing(binding, r.ClientID)
	if tied == "" {
		return targets, nil
	}
	t, err := e.DescribeThing(ctx, tied)
	if err != nil {
		return nil, err
	}
	c.Attached, c.ThingName, c.ThingTypeName, c.ThingAttribute = true, t.Name, t.TypeName, t.Attributes
	groups, err := e.groupTargets(ctx, t.Name)
	return append(targets, groups...), err
}

// authorize answers one question: it is allowed on all the resources, or not.
func authorize(policies []policy.Named, info jobsvc.AuthInfo, c *policy.Context) jobsvc.AuthResult {
	res := jobsvc.AuthResult{AuthInfo: info}
	worst := policy.Allowed
	for _, resource := range info.Resources {
		d := policy.Evaluate(policies, actions[info.ActionType], resource, c)
		switch {
		case d.Effect == policy.ExplicitDeny:
			worst = policy.ExplicitDeny
		case d.Effect == policy.ImplicitDeny && worst == policy.Allowed:
			worst = policy.ImplicitDeny
		}
		res.Allow = append(res.Allow, d.Allow...)
		res.Deny = append(res.Deny, d.Deny...)
	}
	slices.Sort(res.Allow)
	slices.Sort(res.Deny)
	res.Allow, res.Deny = slices.Compact(res.Allow), slices.Compact(res.Deny)
	res.Decision = worst.String()
	res.Missing = policy.Missing(policies, actions[info.ActionType], c)
	return res
}
