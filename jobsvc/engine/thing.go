package engine

import (
	"context"
	"maps"
	"strings"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// CreateThing puts a thing into the registry. Asked again with the same attributes it
// answers with the thing there is.
//
// Errors: CodeInvalidRequest; CodeAlreadyExists when a thing of that name has other
// attributes.
//
// AWS: CreateThing.
func (e *Engine) CreateThing(ctx context.Context, r *jobsvc.CreateThingRequest) (*jobsvc.Thing, error) {
	if err := jobsvc.ValidateName("thingName", r.ThingName); err != nil {
		return nil, err
	}
	if err := jobsvc.ValidateAttributes(r.Attributes, jobsvc.MaxAttributes); err != nil {
		return nil, err
	}
	if err := unsupported(r.Unsupported); err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	made := &jobsvc.Thing{Name: r.ThingName, ID: uuid.NewString(), Attributes: r.Attributes, Version: 1, CreatedAt: now}
	var result *jobsvc.Thing
	_, err = e.store.Update(ctx, kv.Thing(r.ThingName), func(tx *store.Tx) error {
		existing, err := tx.Thing(r.ThingName)
		switch {
		case err != nil:
			return err
		case existing == nil:
			tx.PutThing(made)
			result = made
		case maps.Equal(existing.Attributes, r.Attributes):
			result = existing
		default:
			return &jobsvc.Error{
				Code:        jobsvc.CodeAlreadyExists,
				Message:     "Thing " + r.ThingName + " already exists with different attributes.",
				ResourceID:  existing.ID,
				ResourceARN: e.opts.Account.ARN(jobsvc.ARNThing, r.ThingName),
			}
		}
		return nil
	})
	return result, storeError(err)
}

// DescribeThing reads a thing. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: DescribeThing.
func (e *Engine) DescribeThing(ctx context.Context, name string) (*jobsvc.Thing, error) {
	if err := jobsvc.ValidateName("thingName", name); err != nil {
		return nil, err
	}
	t, err := e.store.Thing(ctx, name)
	if err == nil && t == nil {
		err = thingNotFound(name)
	}
	return t, storeError(err)
}

// ThingExists tells whether there is a thing of that name; a name that cannot be one
// is nobody's.
func (e *Engine) ThingExists(ctx context.Context, name string) (bool, error) {
	if !jobsvc.IsThingName(name) {
		return false, nil
	}
	ok, err := e.store.ThingExists(ctx, name)
	return ok, storeError(err)
}

// ListThings lists things by name. Errors: CodeInvalidRequest.
//
// AWS: ListThings.
func (e *Engine) ListThings(ctx context.Context, r *jobsvc.ListThingsRequest) (*jobsvc.ListThingsResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	if r.AttributeValue != "" && r.AttributeName == "" {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "attributeValue needs attributeName.")
	}
	filters := []any{"things", r.AttributeName, r.AttributeValue, r.Prefix}
	var after string
	if err := e.decodeToken(r.Page.Token, filters, &after); err != nil {
		return nil, err
	}
	keep := func(t *jobsvc.Thing) bool {
		if r.AttributeName == "" {
			return true
		}
		v, ok := t.Attributes[r.AttributeName]
		if r.Prefix {
			return ok && strings.HasPrefix(v, r.AttributeValue)
		}
		return ok && (v == r.AttributeValue || r.AttributeValue == "")
	}
	things, next, err := e.store.ListThings(ctx, after, r.Page.Size(), keep)
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListThingsResult{Things: things}
	if next != "" {
		res.NextToken = e.encodeToken(filters, next)
	}
	return res, nil
}

// DeleteThing takes a thing out of the registry. It leaves its groups, and its
// pending executions become REMOVED; ended ones stay readable by their job. A thing
// that does not exist is deleted already.
//
// Errors: CodeInvalidRequest, also while a certificate is attached;
// CodeVersionMismatch.
//
// AWS: DeleteThing.
func (e *Engine) DeleteThing(ctx context.Context, r *jobsvc.DeleteThingRequest) error {
	if err := jobsvc.ValidateName("thingName", r.ThingName); err != nil {
		return err
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	var jobs []string
	_, err = e.store.Update(ctx, kv.Thing(r.ThingName), func(tx *store.Tx) error {
		jobs = nil
		t, err := tx.Thing(r.ThingName)
		if err != nil || t == nil {
			return err
		}
		if r.ExpectedVersion != nil && *r.ExpectedVersion != t.Version {
			return jobsvc.Errorf(jobsvc.CodeVersionMismatch, "expectedVersion is %d but thing %s is at version %d.", *r.ExpectedVersion, t.Name, t.Version)
		}
		principals, err := tx.Attachments(t.Name)
		if err != nil {
			return err
		}
		if len(principals) > 0 {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing %s still has one or more principals attached. Detach them first.", t.Name)
		}
		groups, err := tx.Memberships(t.Name)
		if err != nil {
			return err
		}
		for g := range groups {
			tx.DeleteMembership(t.Name, g)
		}
		q, err := tx.Queue(t.Name)
		if err != nil {
			return err
		}
		for i := range q.Pending {
			x := &q.Pending[i]
			before := *x
			if x.Remove(now) {
				e.saveChange(tx, &before, x)
				jobs = append(jobs, x.JobID)
			}
		}
		tx.DeleteQueue(t.Name)
		tx.DeleteThing(t.Name)
		return nil
	})
	if err != nil {
		return e.failed(err, jobs...)
	}
	e.unsettle(jobs...)
	if e.opts.Sessions != nil {
		e.opts.Sessions.ThingDeleted(r.ThingName)
	}
	return nil
}

// unsupported refuses members this build cannot honour, by name.
func unsupported(members []string) error {
	if len(members) == 0 {
		return nil
	}
	return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Not supported by this version yet: %s.", strings.Join(members, ", "))
}
