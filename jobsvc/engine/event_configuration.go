package engine

import (
	"context"
	"maps"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/store"
)

// DescribeEventConfigurations tells which kinds of events are sent. Those about jobs are,
// until somebody says otherwise.
//
// AWS: DescribeEventConfigurations. Differs from AWS, where all are off at first.
func (e *Engine) DescribeEventConfigurations(ctx context.Context) (*jobsvc.EventConfigurations, error) {
	c, err := e.store.EventConfigurations(ctx)
	if err != nil {
		return nil, storeError(err)
	}
	return orDefaultEvents(c), nil
}

func orDefaultEvents(c *jobsvc.EventConfigurations) *jobsvc.EventConfigurations {
	if c != nil {
		return c
	}
	return &jobsvc.EventConfigurations{Enabled: map[string]bool{jobsvc.EventJob: true, jobsvc.EventJobExecution: true}}
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
		c := *orDefaultEvents(stored)
		if c.CreatedAt.IsZero() {
			c.CreatedAt = now
		}
		c.UpdatedAt = now
		c.Enabled = maps.Clone(c.Enabled)
		maps.Copy(c.Enabled, enabled)
		tx.PutEventConfigurations(&c)
		return nil
	})
	return storeError(err)
}
