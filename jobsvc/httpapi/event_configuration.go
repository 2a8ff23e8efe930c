package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) describeEventConfigurations(ctx context.Context, _ *wire.ControlInput) ([]byte, error) {
	c, err := a.Engine.DescribeEventConfigurations(ctx)
	if err != nil {
		return nil, err
	}
	return wire.EncodeEventConfigurations(c), nil
}

func (a *api) updateEventConfigurations(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	enabled, err := wire.DecodeUpdateEventConfigurations(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.UpdateEventConfigurations(ctx, enabled))
}
