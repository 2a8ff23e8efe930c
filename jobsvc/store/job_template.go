package store

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// JobTemplateScope is the scope of a job template.
func JobTemplateScope(id string) kv.Scope { return templateScope(id) }

// JobTemplate reads the template of the transaction's scope.
func (t *Tx) JobTemplate(id string) (*jobsvc.JobTemplate, error) {
	b, err := t.get(newKey(tagTemplate, id))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.JobTemplate](b)
}

// CreateJobTemplate writes a template with its document.
func (t *Tx) CreateJobTemplate(m *jobsvc.JobTemplate, doc []byte) {
	t.tx.Put(newKey(tagTemplate, m.ID), encodeJSON(m))
	t.tx.Put(newKey(tagTemplateDoc, m.ID), doc)
	t.tx.Put(newKey(tagTemplateByTime).newest(m.CreatedAt).name(m.ID), []byte{})
}

// DeleteJobTemplate takes a template away.
func (t *Tx) DeleteJobTemplate(m *jobsvc.JobTemplate) {
	t.tx.Delete(newKey(tagTemplate, m.ID))
	t.tx.Delete(newKey(tagTemplateDoc, m.ID))
	t.tx.Delete(newKey(tagTemplateByTime).newest(m.CreatedAt).name(m.ID))
}

// JobTemplate reads a template and its document in one round trip; nil when there is
// none.
func (s *Store) JobTemplate(ctx context.Context, id string) (*jobsvc.JobTemplateDescription, error) {
	items, err := s.db.Get(ctx, newKey(tagTemplate, id), newKey(tagTemplateDoc, id))
	if err != nil {
		return nil, err
	}
	m, err := decodeJSON[jobsvc.JobTemplate](items[0].Value)
	if err != nil || m == nil {
		return nil, err
	}
	return &jobsvc.JobTemplateDescription{JobTemplate: *m, Document: items[1].Value}, nil
}

// ListJobTemplates lists templates, newest first. more tells whether there are others
// after the last.
func (s *Store) ListJobTemplates(ctx context.Context, from TimeCursor, limit int) (templates []jobsvc.JobTemplate, more bool, err error) {
	prefix := newKey(tagTemplateByTime)
	var last key
	if from != (TimeCursor{}) {
		last = newKey(tagTemplateByTime).newest(from.CreatedAt).name(from.Name)
	}
	r := after(prefix, last, limit+1)
	r.KeysOnly = true
	var keys [][]byte
	ended, err := s.page(ctx, r, limit, func(it kv.Item) (bool, error) {
		c := parse(it.Key)
		c.uint()
		keys = append(keys, newKey(tagTemplate, c.name()))
		return true, nil
	})
	if err != nil || len(keys) == 0 {
		return nil, false, err
	}
	items, err := s.db.Get(ctx, keys...)
	if err != nil {
		return nil, false, err
	}
	for _, it := range items {
		m, err := decodeJSON[jobsvc.JobTemplate](it.Value)
		if err != nil {
			return nil, false, err
		}
		if m != nil { // nil: deleted since
			templates = append(templates, *m)
		}
	}
	return templates, !ended, nil
}
