package engine

import (
	"context"
	"maps"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// DescribeEventConfigurations tells which kinds of events are sent. Those about jobs are,
// until somebody says otherwise, unless Options.EventsOff.
//
// AWS: DescribeEventConfigurations. Differs from AWS, where all are off at first.
func (e *Engine) DescribeEventConfigurations(ctx context.Context) (*jobsvc.EventConfigurations, error) {
	c, err := e.store.EventConfigurations(ctx)
	if err != nil {
		return nil, storeError(err)
	}
	return e.orDefaultEvents(c), nil
}

var (
	eventsDefault    = &jobsvc.EventConfigurations{Enabled: map[string]bool{jobsvc.EventJob: true, jobsvc.EventJobExecution: true}}
	eventsDefaultOff = &jobsvc.EventConfigurations{}
)

// orDefaultEvents gives what is not to be changed.
func (e *Engine) orDefaultEvents(c *jobsvc.EventConfigurations) *jobsvc.EventConfigurations {
	switch {
	case c != nil:
		return c
	case e.opts.EventsOff:
		return eventsDefaultOff
	}
	return eventsDefault
}

// UpdateEventConfigurations turns kinds of events on and off; kinds that are not named
// stay as they are.
//
// AWS: UpdateEventConfigurations.
func (e *Engine) UpdateEventConfigurations(ctx context.Context, enabled map[string]bool) error {
	now, err := e.now(ctx)
	if err != nil {
		return err
	}
	_, err = e.store.Update(ctx, store.EventConfigurationsScope(), func(tx *store.Tx) error {
		stored, err := tx.EventConfigurations()
		if err != nil {
			return err
		}
		c := *e.orDefaultEvents(stored)
		if c.CreatedAt.IsZero() {
			c.CreatedAt = now
		}
		c.UpdatedAt = now
		if c.Enabled = maps.Clone(c.Enabled); c.Enabled == nil {
			c.Enabled = make(map[string]bool)
		}
		maps.Copy(c.Enabled, enabled)
		tx.PutEventConfigurations(&c)
		return nil
	})
	return storeError(err)
}
