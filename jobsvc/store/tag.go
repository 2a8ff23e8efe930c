package store

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// Resource names what tags are put on, by the last two parts of its ARN: the kind, such
// as jobsvc.ARNJob, and the name.
type Resource struct {
	Kind, Name string
}

// Scope is where the tags of a resource are: with the resource, so that both are made
// and deleted in one transaction.
func (r Resource) Scope() kv.Scope {
	switch r.Kind {
	case jobsvc.ARNJob:
		return kv.Job(r.Name)
	case jobsvc.ARNThingGroup:
		return groupScope(r.Name)
	case jobsvc.ARNPolicy:
		return policyScope(r.Name)
	}
	return kv.Sys(r.Kind + "/" + r.Name)
}

func (r Resource) tagsKey() key { return newKey(tagTags, r.Kind, r.Name) }

// Tags reads the tags of a resource of the transaction's scope, in the order they were
// written; none is nil.
func (t *Tx) Tags(r Resource) ([]jobsvc.Tag, error) {
	b, err := t.get(r.tagsKey())
	return decodeTags(b, err)
}

// PutTags writes all tags of a resource; without any it deletes them.
func (t *Tx) PutTags(r Resource, tags []jobsvc.Tag) {
	if len(tags) == 0 {
		t.DeleteTags(r)
		return
	}
	t.tx.Put(r.tagsKey(), encodeJSON(tags))
}

// DeleteTags takes the tags of a resource away.
func (t *Tx) DeleteTags(r Resource) { t.tx.Delete(r.tagsKey()) }

// Tags reads the tags of a resource; none is nil.
func (s *Store) Tags(ctx context.Context, r Resource) ([]jobsvc.Tag, error) {
	b, err := s.get(ctx, r.tagsKey())
	return decodeTags(b, err)
}

func decodeTags(b []byte, err error) ([]jobsvc.Tag, error) {
	if err != nil {
		return nil, err
	}
	tags, err := decodeJSON[[]jobsvc.Tag](b)
	if err != nil || tags == nil {
		return nil, err
	}
	return *tags, nil
}
