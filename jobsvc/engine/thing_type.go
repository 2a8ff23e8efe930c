package engine

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// checkType tells whether a thing may be given a type; "" is none.
func checkType(tx *store.Tx, name string) error {
	if name == "" {
		return nil
	}
	y, err := tx.PeekThingType(name)
	switch {
	case err != nil:
		return err
	case y == nil:
		return notFound("Thing type", name)
	case y.Deprecated:
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing type %s is deprecated: no thing can be given it.", name)
	}
	return nil
}

// CreateThingType makes a thing type. Asked again with the same properties it answers
// with the type there is. Errors: CodeInvalidRequest, CodeAlreadyExists.
//
// AWS: CreateThingType.
func (e *Engine) CreateThingType(ctx context.Context, r *jobsvc.CreateThingTypeRequest) (*jobsvc.ThingType, error) {
	if err := jobsvc.ValidateName("thingTypeName", r.Name); err != nil {
		return nil, err
	}
	if len(r.SearchableAttributes) > jobsvc.MaxSearchable {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "A thing type has at most %d searchable attributes, not %d.", jobsvc.MaxSearchable, len(r.SearchableAttributes))
	}
	if err := jobsvc.ValidateTags(r.Tags); err != nil {
		return nil, err
	}
	now, err := e.now(ctx)
	if err != nil {
		return nil, err
	}
	made := &jobsvc.ThingType{
		Name: r.Name, ID: uuid.NewString(), Description: r.Description,
		SearchableAttributes: r.SearchableAttributes, MQTT5: r.MQTT5, CreatedAt: now,
	}
	var result *jobsvc.ThingType
	_, err = e.store.Update(ctx, store.TypeScope(r.Name), func(tx *store.Tx) error {
		y, err := tx.ThingType(r.Name)
		switch {
		case err != nil:
			return err
		case y == nil:
			tx.PutThingType(made)
			tx.PutTags(store.Resource{Kind: jobsvc.ARNThingType, Name: r.Name}, r.Tags)
			result = made
		case y.Description == r.Description && slices.Equal(y.SearchableAttributes, r.SearchableAttributes) && reflect.DeepEqual(y.MQTT5, r.MQTT5):
			result = y
		default:
			return &jobsvc.Error{
				Code:        jobsvc.CodeAlreadyExists,
				Message:     "Thing type " + r.Name + " already exists with different properties.",
				ResourceID:  y.ID,
				ResourceARN: e.opts.Account.ARN(jobsvc.ARNThingType, r.Name),
			}
		}
		return nil
	})
	return result, storeError(err)
}

// DescribeThingType reads a thing type. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: DescribeThingType.
func (e *Engine) DescribeThingType(ctx context.Context, name string) (*jobsvc.ThingType, error) {
	if err := jobsvc.ValidateName("thingTypeName", name); err != nil {
		return nil, err
	}
	y, err := e.store.ThingType(ctx, name)
	if err == nil && y == nil {
		err = notFound("Thing type", name)
	}
	return y, storeError(err)
}

// changeThingType runs change on a thing type and stores what it left.
func (e *Engine) changeThingType(ctx context.Context, name string, change func(*jobsvc.ThingType) error) error {
	if err := jobsvc.ValidateName("thingTypeName", name); err != nil {
		return err
	}
	_, err := e.store.Update(ctx, store.TypeScope(name), func(tx *store.Tx) error {
		y, err := tx.ThingType(name)
		if err != nil {
			return err
		}
		if y == nil {
			return notFound("Thing type", name)
		}
		if err := change(y); err != nil {
			return err
		}
		tx.PutThingType(y)
		return nil
	})
	return storeError(err)
}

// UpdateThingType changes description and MQTT 5 configuration; searchable attributes
// are fixed for life. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: UpdateThingType.
func (e *Engine) UpdateThingType(ctx context.Context, r *jobsvc.UpdateThingTypeRequest) error {
	return e.changeThingType(ctx, r.Name, func(y *jobsvc.ThingType) error {
		if r.SearchableAttributes != nil && !slices.Equal(r.SearchableAttributes, y.SearchableAttributes) {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "The searchable attributes of a thing type cannot be changed.")
		}
		if r.Description != nil {
			y.Description = *r.Description
		}
		if r.MQTT5 != nil {
			y.MQTT5 = r.MQTT5
		}
		return nil
	})
}

// DeprecateThingType bars a type for things that do not have it, or lets it in again with
// undo. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: DeprecateThingType.
func (e *Engine) DeprecateThingType(ctx context.Context, name string, undo bool) error {
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	return e.changeThingType(ctx, name, func(y *jobsvc.ThingType) error {
		switch {
		case undo:
			y.Deprecated, y.DeprecatedAt = false, zeroTime
		case !y.Deprecated:
			y.Deprecated, y.DeprecatedAt = true, now
		}
		return nil
	})
}

// DeleteThingType deletes a type that no thing has and that has been deprecated for
// Limits.ThingTypeDeleteDelay. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: DeleteThingType.
func (e *Engine) DeleteThingType(ctx context.Context, name string) error {
	y, err := e.DescribeThingType(ctx, name)
	if err != nil {
		return err
	}
	if !y.Deprecated {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing type %s is not deprecated. Deprecate it first.", name)
	}
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	if left := e.limits.ThingTypeDeleteDelay - now.Sub(y.DeprecatedAt); left > 0 {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing type %s was deprecated just now. It can be deleted in %s.", name, left.Truncate(time.Second)+time.Second)
	}
	// No thing can be given a deprecated type, so nothing comes in between.
	things, _, err := e.store.ThingsOfType(ctx, name, "", 3)
	if err != nil {
		return storeError(err)
	}
	if len(things) > 0 {
		return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing type %s is still that of things: %s and perhaps more.", name, strings.Join(things, ", "))
	}
	_, err = e.store.Update(ctx, store.TypeScope(name), func(tx *store.Tx) error {
		y, err := tx.ThingType(name)
		if err != nil || y == nil {
			return err
		}
		if !y.Deprecated {
			return jobsvc.Errorf(jobsvc.CodeInvalidRequest, "Thing type %s is not deprecated any more.", name)
		}
		tx.DeleteThingType(name)
		tx.DeleteTags(store.Resource{Kind: jobsvc.ARNThingType, Name: name})
		return nil
	})
	return storeError(err)
}

// ListThingTypes lists thing types by name. Errors: CodeInvalidRequest.
//
// AWS: ListThingTypes.
func (e *Engine) ListThingTypes(ctx context.Context, r *jobsvc.ListThingTypesRequest) (*jobsvc.ListThingTypesResult, error) {
	if err := r.Page.Validate(); err != nil {
		return nil, err
	}
	filters := []any{"types", r.NamePrefix}
	var after string
	if err := e.decodeToken(r.Page.Token, filters, &after); err != nil {
		return nil, err
	}
	types, next, err := e.store.ListThingTypes(ctx, r.NamePrefix, after, r.Page.Size())
	if err != nil {
		return nil, storeError(err)
	}
	res := &jobsvc.ListThingTypesResult{Types: types}
	if next != "" {
		res.NextToken = e.encodeToken(filters, next)
	}
	return res, nil
}
