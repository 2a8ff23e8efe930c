package engine

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// CreateThing puts a thing into the registry. Asked again with the same type and
// attributes it answers with the thing there is.
//
// Errors: CodeInvalidRequest, also for a deprecated type; CodeNotFound for a type that
// does not exist; CodeAlreadyExists when a thing of that name is configured differently.
//
// AWS: CreateThing.
func (e *Engine) CreateThing(ctx context.Context, r *jobsvc.CreateThingRequest) (*jobsvc.Thing, error) {
	if err := jobsvc.ValidateName("thingName", r.ThingName); err != nil {
		return nil, err
	}
	if err := jobsvc.ValidateAttributes(r.Attributes, e.attributeLimit(r.TypeName)); err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	made := &jobsvc.Thing{Name: r.ThingName, ID: uuid.NewString(), TypeName: r.TypeName, Attributes: r.Attributes, Version: 1, CreatedAt: now}
	var result *jobsvc.Thing
	events, err := e.store.Update(ctx, kv.Thing(r.ThingName), func(tx *store.Tx) error {
		existing, err := tx.Thing(r.ThingName)
		switch {
		case err != nil:
			return err
		case existing == nil:
			if err := checkType(tx, r.TypeName); err != nil {
				return err
			}
			tx.PutThing(made)
			tx.SetType(made.Name, "", made.TypeName)
			result = made
			m := newMemberships(made)
			if err := e.placeIn(tx, made, m); err != nil {
				return err
			}
			return e.record(tx, made, m)
		case existing.TypeName == r.TypeName && maps.Equal(existing.Attributes, r.Attributes):
			result = existing
		default:
			return &jobsvc.Error{
				Code:        jobsvc.CodeAlreadyExists,
				Message:     "Thing " + r.ThingName + " already exists with another type or other attributes.",
				ResourceID:  existing.ID,
				ResourceARN: e.opts.Account.ARN(jobsvc.ARNThing, r.ThingName),
			}
		}
		return nil
	})
	e.changed(ctx, events, err)
	e.notify(hintsOf(events))
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
	if r.TypeName != "" && r.AttributeName == "" {
		return e.listThingsOfType(ctx, r)
	}
	filters := []any{"things", r.TypeName, r.AttributeName, r.AttributeValue, r.Prefix}
	var after string
	if err := e.decodeToken(r.Page.Token, filters, &after); err != nil {
		return nil, err
	}
	keep := func(t *jobsvc.Thing) bool {
		switch {
		case r.TypeName != "" && t.TypeName != r.TypeName:
			return false
		case r.AttributeName == "":
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

// listThingsOfType is ListThings by type alone, for which there is an index.
func (e *Engine) listThingsOfType(ctx context.Context, r *jobsvc.ListThingsRequest) (*jobsvc.ListThingsResult, error) {
	filters := []any{"things of type", r.TypeName}
	var after string
	if err := e.decodeToken(r.Page.Token, filters, &after); err != nil {
		return nil, err
	}
	names, next, err := e.store.ThingsOfType(ctx, r.TypeName, after, r.Page.Size())
	if err != nil {
		return nil, storeError(err)
	}
	things, err := e.store.Things(ctx, names)
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListThingsResult{}
	for _, t := range things {
		if t != nil && t.TypeName == r.TypeName {
			res.Things = append(res.Things, *t)
		}
	}
	if next != "" {
		res.NextToken = e.encodeToken(filters, next)
	}
	return res, nil
}

// UpdateThing changes attributes and type of a thing and counts its version up, also when
// nothing is different afterwards.
//
// Errors: CodeInvalidRequest, also for a deprecated type and for more attributes than a
// thing without a type may have; CodeNotFound for the thing and the type;
// CodeVersionMismatch.
//
// AWS: UpdateThing.
func (e *Engine) UpdateThing(ctx context.Context, r *jobsvc.UpdateThingRequest) error {
	if err := jobsvc.ValidateName("thingName", r.ThingName); err != nil {
		return err
	}
	if r.RemoveType && r.TypeName != "" {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "thingTypeName and removeThingType exclude each other.")
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	events, err := e.store.Update(ctx, kv.Thing(r.ThingName), func(tx *store.Tx) error {
		t, err := tx.Thing(r.ThingName)
		if err != nil {
			return err
		}
		if t == nil {
			return thingNotFound(r.ThingName)
		}
		if err := checkVersion("thing "+t.Name, r.ExpectedVersion, t.Version); err != nil {
			return err
		}
		changed := *t
		changed.Version++
		switch {
		case r.RemoveType:
			changed.TypeName = ""
		case r.TypeName != "" && r.TypeName != t.TypeName:
			if err := checkType(tx, r.TypeName); err != nil {
				return err
			}
			changed.TypeName = r.TypeName
		}
		changed.Attributes = r.Attributes.Apply(t.Attributes)
		if err := jobsvc.ValidateAttributes(changed.Attributes, e.attributeLimit(changed.TypeName)); err != nil {
			return err
		}
		tx.PutThing(&changed)
		tx.SetType(t.Name, t.TypeName, changed.TypeName)
		return e.place(tx, &changed, now)
	})
	e.thingChanged(r.ThingName)
	e.changed(ctx, events, err)
	e.notify(hintsOf(events))
	return storeError(err)
}

// checkVersion refuses a change that was meant for another version of something.
func checkVersion(what string, expected *int64, stored int64) error {
	if expected == nil || *expected == stored {
		return nil
	}
	return jobsvc.Errorf(jobsvc.CodeVersionMismatch, "expectedVersion is %d but %s is at version %d.", *expected, what, stored)
}

// attributeLimit is how many attributes a thing of a type, "" for none, may have.
func (e *Engine) attributeLimit(typeName string) int {
	if typeName == "" {
		return e.limits.AttributesWithoutType
	}
	return jobsvc.MaxTypedAttributes
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
		if err := checkVersion("thing "+t.Name, r.ExpectedVersion, t.Version); err != nil {
			return err
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
		change := MembershipChange{ThingName: t.Name, ThingID: t.ID, At: now}
		for _, g := range slices.Sorted(maps.Keys(groups)) {
			change.remove(tx, g, new(groups[g]))
		}
		change.announce(tx)
		tx.SetType(t.Name, t.TypeName, "")
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
