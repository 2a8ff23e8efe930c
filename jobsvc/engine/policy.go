package engine

import (
	"context"
	"strconv"
	"unicode"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/policy"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// CreatePolicy stores a policy as its version 1. Errors: CodeInvalidRequest,
// CodeMalformedPolicy, CodeAlreadyExists, CodeLimitExceeded for too many tags.
//
// AWS: CreatePolicy.
func (e *Engine) CreatePolicy(ctx context.Context, name, document string, tags []jobsvc.Tag) (*jobsvc.PolicyDescription, error) {
	if err := jobsvc.ValidatePolicyName(name); err != nil {
		return nil, err
	}
	if err := jobsvc.ValidateTags(tags); err != nil {
		return nil, err
	}
	if err := e.checkDocument(document); err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	d := &jobsvc.PolicyDescription{
		Policy:  jobsvc.Policy{Name: name, DefaultVersion: 1, LastVersion: 1, GenerationID: uuid.NewString(), CreatedAt: now, UpdatedAt: now},
		Version: jobsvc.PolicyVersion{Number: 1, Document: document, CreatedAt: now},
	}
	_, err = e.store.Update(ctx, store.PolicyScope(name), func(tx *store.Tx) error {
		existing, err := tx.Policy(name)
		if err != nil {
			return err
		}
		if existing != nil {
			return &jobsvc.Error{
				Code:        jobsvc.CodeAlreadyExists,
				Message:     "Policy " + name + " already exists.",
				ResourceID:  name,
				ResourceARN: e.opts.Account.ARN(jobsvc.ARNPolicy, name),
			}
		}
		tx.PutPolicy(&d.Policy)
		tx.PutPolicyVersion(name, &d.Version)
		tx.PutTags(store.Resource{Kind: jobsvc.ARNPolicy, Name: name}, tags)
		return nil
	})
	return d, storeError(err)
}

// checkDocument refuses a document that is too long or no policy. Errors:
// CodeMalformedPolicy.
func (e *Engine) checkDocument(document string) error {
	chars := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			chars++
		}
	}
	if limit := e.limits.PolicyDocumentChars; chars > limit {
		return jobsvc.Errorf(jobsvc.CodeMalformedPolicy, "The policy document has %d characters without white space, and may have %d.", chars, limit)
	}
	if !store.PolicyDocumentFits(document) {
		return jobsvc.Errorf(jobsvc.CodeMalformedPolicy, "The policy document is too large to be stored: it has %d bytes.", len(document))
	}
	_, err := policy.Parse(document)
	return err
}

// policy reads a policy. Errors: CodeInvalidRequest, CodeNotFound.
func (e *Engine) policy(ctx context.Context, name string) (*jobsvc.Policy, error) {
	if err := jobsvc.ValidatePolicyName(name); err != nil {
		return nil, err
	}
	p, err := e.store.Policy(ctx, name)
	if err == nil && p == nil {
		err = notFound("Policy", name)
	}
	return p, storeError(err)
}

// GetPolicy reads a policy with its default version. Errors: CodeInvalidRequest,
// CodeNotFound.
//
// AWS: GetPolicy.
func (e *Engine) GetPolicy(ctx context.Context, name string) (*jobsvc.PolicyDescription, error) {
	return e.GetPolicyVersion(ctx, name, "")
}

// GetPolicyVersion reads a version of a policy; "" is the default one. Errors:
// CodeInvalidRequest, CodeNotFound.
//
// AWS: GetPolicyVersion.
func (e *Engine) GetPolicyVersion(ctx context.Context, name, version string) (*jobsvc.PolicyDescription, error) {
	for {
		p, err := e.policy(ctx, name)
		if err != nil {
			return nil, err
		}
		number := p.DefaultVersion
		if version != "" {
			number = versionNumber(version)
		}
		v, err := e.store.PolicyVersion(ctx, name, number)
		switch {
		case err != nil:
			return nil, storeError(err)
		case v != nil:
			return &jobsvc.PolicyDescription{Policy: *p, Version: *v}, nil
		case version != "":
			return nil, versionNotFound(name, version)
		}
		// Between the two reads another version became the default and this one was deleted,
		// or the policy was.
	}
}

// versionNumber is 0, which is no version, for what is no number.
func versionNumber(version string) int64 {
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func versionNotFound(name, version string) error {
	return jobsvc.Errorf(jobsvc.CodeNotFound, "Policy %s has no version %s.", name, jobsvc.Clip(version))
}

// ListPolicyVersions lists all versions of a policy, newest first. Errors:
// CodeInvalidRequest, CodeNotFound.
//
// AWS: ListPolicyVersions.
func (e *Engine) ListPolicyVersions(ctx context.Context, name string) (*jobsvc.ListPolicyVersionsResult, error) {
	p, err := e.policy(ctx, name)
	if err != nil {
		return nil, err
	}
	versions, err := e.store.PolicyVersions(ctx, name)
	if err != nil {
		return nil, storeError(err)
	}
	return &jobsvc.ListPolicyVersionsResult{Policy: *p, Versions: versions}, nil
}

// changePolicy runs change on a policy and stores what it leaves.
func (e *Engine) changePolicy(ctx context.Context, name string, change func(tx *store.Tx, p *jobsvc.Policy, versions []int64) error) error {
	if err := jobsvc.ValidatePolicyName(name); err != nil {
		return err
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, store.PolicyScope(name), func(tx *store.Tx) error {
		p, err := tx.Policy(name)
		if err != nil {
			return err
		}
		if p == nil {
			return notFound("Policy", name)
		}
		versions, err := tx.PolicyVersions(name)
		if err != nil {
			return err
		}
		p.UpdatedAt = now
		if err := change(tx, p, versions); err != nil {
			return err
		}
		tx.PutPolicy(p)
		return nil
	})
	e.policyChanged(name)
	return storeError(err)
}

// CreatePolicyVersion adds a version to a policy, the one in force if asked. Errors:
// CodeInvalidRequest, CodeNotFound, CodeMalformedPolicy, CodeVersionsLimit.
//
// AWS: CreatePolicyVersion.
func (e *Engine) CreatePolicyVersion(ctx context.Context, name, document string, setAsDefault bool) (*jobsvc.PolicyDescription, error) {
	if err := e.checkDocument(document); err != nil {
		return nil, err
	}
	var d jobsvc.PolicyDescription
	err := e.changePolicy(ctx, name, func(tx *store.Tx, p *jobsvc.Policy, versions []int64) error {
		if limit := e.limits.PolicyVersions; len(versions) >= limit {
			return jobsvc.Errorf(jobsvc.CodeVersionsLimit, "Policy %s has %d versions, as many as it may. Delete one first.", name, len(versions))
		}
		p.LastVersion++
		if setAsDefault {
			p.DefaultVersion = p.LastVersion
		}
		d = jobsvc.PolicyDescription{Policy: *p, Version: jobsvc.PolicyVersion{Number: p.LastVersion, Document: document, CreatedAt: p.UpdatedAt}}
		tx.PutPolicyVersion(name, &d.Version)
		return nil
	})
	return &d, err
}

// SetDefaultPolicyVersion puts a version in force. Errors: CodeInvalidRequest,
// CodeNotFound.
//
// AWS: SetDefaultPolicyVersion.
func (e *Engine) SetDefaultPolicyVersion(ctx context.Context, name, version string) error {
	return e.changePolicy(ctx, name, func(_ *store.Tx, p *jobsvc.Policy, versions []int64) error {
		number, err := versionAmong(name, version, versions)
		p.DefaultVersion = number
		return err
	})
}

// DeletePolicyVersion deletes a version that is not in force. Errors: CodeInvalidRequest,
// CodeNotFound, CodeDeleteConflict.
//
// AWS: DeletePolicyVersion.
func (e *Engine) DeletePolicyVersion(ctx context.Context, name, version string) error {
	return e.changePolicy(ctx, name, func(tx *store.Tx, p *jobsvc.Policy, versions []int64) error {
		number, err := versionAmong(name, version, versions)
		if err != nil {
			return err
		}
		if number == p.DefaultVersion {
			return jobsvc.Errorf(jobsvc.CodeDeleteConflict, "Version %d of policy %s is the default. Make another the default first.", number, name)
		}
		tx.DeletePolicyVersion(name, number)
		return nil
	})
}

func versionAmong(name, version string, versions []int64) (int64, error) {
	number := versionNumber(version)
	for _, v := range versions {
		if v == number {
			return number, nil
		}
	}
	return 0, versionNotFound(name, version)
}

// DeletePolicy deletes a policy that is attached to nothing and has no version beside the
// default. Errors: CodeInvalidRequest, CodeNotFound, CodeDeleteConflict.
//
// AWS: DeletePolicy.
func (e *Engine) DeletePolicy(ctx context.Context, name string) error {
	if err := jobsvc.ValidatePolicyName(name); err != nil {
		return err
	}
	_, err := e.store.Update(ctx, store.PolicyScope(name), func(tx *store.Tx) error {
		p, err := tx.Policy(name)
		if err != nil {
			return err
		}
		if p == nil {
			return notFound("Policy", name)
		}
		attached, err := tx.PolicyAttached(name)
		if err != nil {
			return err
		}
		versions, err := tx.PolicyVersions(name)
		switch {
		case err != nil:
			return err
		case attached:
			return jobsvc.Errorf(jobsvc.CodeDeleteConflict, "Policy %s is attached. Detach it from all its targets first.", name)
		case len(versions) > 1:
			return jobsvc.Errorf(jobsvc.CodeDeleteConflict, "Policy %s has %d versions. Delete those that are not the default first.", name, len(versions))
		}
		tx.DeletePolicyVersion(name, p.DefaultVersion)
		tx.DeletePolicy(p)
		tx.DeleteTags(store.Resource{Kind: jobsvc.ARNPolicy, Name: name})
		return nil
	})
	e.policyChanged(name)
	return storeError(err)
}

// ListPolicies lists policies by time of creation. Errors: CodeInvalidRequest.
//
// AWS: ListPolicies.
func (e *Engine) ListPolicies(ctx context.Context, r jobsvc.ListByTimeRequest) (*jobsvc.ListPoliciesResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	filters := []any{"policies", r.Ascending}
	var from store.TimeCursor
	if err := e.decodeToken(r.Page.Token, filters, &from); err != nil {
		return nil, err
	}
	policies, next, err := e.store.ListPolicies(ctx, r.Ascending, from, r.Page.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListPoliciesResult{Policies: policies}
	if next != nil {
		res.NextMarker = e.encodeToken(filters, next)
	}
	return res, nil
}
