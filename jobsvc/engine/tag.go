package engine

import (
	"context"
	"slices"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// resource finds what an ARN names, if it can have tags. Errors: CodeInvalidRequest for a
// kind that cannot, CodeNotFound.
func (e *Engine) resource(arn string) (store.Resource, error) {
	kind, name, ok := e.opts.Account.Parse(arn)
	if !ok {
		return store.Resource{}, notFound("The resource", jobsvc.Clip(arn))
	}
	r := store.Resource{Kind: kind, Name: name}
	switch kind {
	case jobsvc.ARNJob, jobsvc.ARNJobTemplate, jobsvc.ARNThingGroup, jobsvc.ARNThingType, jobsvc.ARNPolicy, jobsvc.ARNCACert:
		return r, nil
	case jobsvc.ARNThing, jobsvc.ARNCert:
		return r, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "A resource of the type %s cannot have tags.", kind)
	}
	return r, notFound("The resource", jobsvc.Clip(arn))
}

// taggable tells whether a resource of the transaction's scope is there.
func taggable(tx *store.Tx, r store.Resource) (bool, error) {
	switch r.Kind {
	case jobsvc.ARNJob:
		j, err := tx.Job(r.Name)
		return j != nil, err
	case jobsvc.ARNJobTemplate:
		m, err := tx.JobTemplate(r.Name)
		return m != nil, err
	case jobsvc.ARNThingGroup:
		g, err := tx.ThingGroup(r.Name)
		return g != nil, err
	case jobsvc.ARNThingType:
		y, err := tx.ThingType(r.Name)
		return y != nil, err
	case jobsvc.ARNCACert:
		c, err := tx.CACertificate(r.Name)
		return c != nil, err
	case jobsvc.ARNPolicy:
		p, err := tx.Policy(r.Name)
		return p != nil, err
	}
	return false, nil
}

// changeTags runs change on the tags of a resource and stores what it gives.
func (e *Engine) changeTags(ctx context.Context, arn string, change func([]jobsvc.Tag) ([]jobsvc.Tag, error)) error {
	r, err := e.resource(arn)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, r.Scope(), func(tx *store.Tx) error {
		ok, err := taggable(tx, r)
		if err != nil {
			return err
		}
		if !ok {
			return notFound("The resource", arn)
		}
		tags, err := tx.Tags(r)
		if err != nil {
			return err
		}
		if tags, err = change(slices.Clone(tags)); err != nil {
			return err
		}
		tx.PutTags(r, tags)
		return nil
	})
	return storeError(err)
}

// TagResource adds tags to a resource and overwrites those of the same key.
//
// Errors: CodeInvalidRequest, also for what cannot have tags; CodeNotFound;
// CodeLimitExceeded for more than jobsvc.MaxTags afterwards.
//
// AWS: TagResource.
func (e *Engine) TagResource(ctx context.Context, arn string, tags []jobsvc.Tag) error {
	if err := jobsvc.ValidateTags(tags); err != nil {
		return err
	}
	return e.changeTags(ctx, arn, func(all []jobsvc.Tag) ([]jobsvc.Tag, error) {
		for _, t := range tags {
			if i := slices.IndexFunc(all, func(o jobsvc.Tag) bool { return o.Key == t.Key }); i >= 0 {
				all[i] = t
			} else {
				all = append(all, t)
			}
		}
		return all, jobsvc.ValidateTags(all)
	})
}

// UntagResource takes the tags with these keys off a resource; keys it does not have do
// not matter. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: UntagResource.
func (e *Engine) UntagResource(ctx context.Context, arn string, keys []string) error {
	return e.changeTags(ctx, arn, func(all []jobsvc.Tag) ([]jobsvc.Tag, error) {
		return slices.DeleteFunc(all, func(t jobsvc.Tag) bool { return slices.Contains(keys, t.Key) }), nil
	})
}

// ListTagsForResource lists the tags of a resource in the order they came; there are so
// few that it has no pages. Errors: CodeInvalidRequest, CodeNotFound.
//
// AWS: ListTagsForResource.
func (e *Engine) ListTagsForResource(ctx context.Context, arn string) (tags []jobsvc.Tag, err error) {
	r, err := e.resource(arn)
	if err != nil {
		return nil, err
	}
	// In a transaction: the resource and its tags are of one moment.
	_, err = e.store.Update(ctx, r.Scope(), func(tx *store.Tx) error {
		ok, err := taggable(tx, r)
		if err != nil {
			return err
		}
		if !ok {
			return notFound("The resource", arn)
		}
		tags, err = tx.Tags(r)
		return err
	})
	return tags, storeError(err)
}
