package store

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

const eventsName = "events"

// EventConfigurationsScope is the scope of the event configurations.
func EventConfigurationsScope() kv.Scope { return metaScope(eventsName) }

// EventConfigurations reads the event configurations of the transaction's scope; nil when
// they were never set.
func (t *Tx) EventConfigurations() (*jobsvc.EventConfigurations, error) {
	b, err := t.get(newKey(tagMeta, eventsName))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.EventConfigurations](b)
}

// PeekEventConfigurations is EventConfigurations from any scope. They are shared: not to
// be changed.
func (t *Tx) PeekEventConfigurations() (*jobsvc.EventConfigurations, error) {
	b, err := t.peek(newKey(tagMeta, eventsName))
	if err != nil {
		return nil, err
	}
	return t.s.eventsOn.decode(eventsName, b)
}

// PutEventConfigurations writes the event configurations.
func (t *Tx) PutEventConfigurations(c *jobsvc.EventConfigurations) {
	t.tx.Put(newKey(tagMeta, eventsName), encodeJSON(c))
}

// EventConfigurations reads the event configurations; nil when they were never set.
func (s *Store) EventConfigurations(ctx context.Context) (*jobsvc.EventConfigurations, error) {
	b, err := s.get(ctx, newKey(tagMeta, eventsName))
	if err != nil {
		return nil, err
	}
	return decodeJSON[jobsvc.EventConfigurations](b)
}
