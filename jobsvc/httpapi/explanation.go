package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) getThingExplanation(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	x, err := a.Engine.ExplainThing(ctx, in.Path["thingName"])
	if err != nil {
		return nil, err
	}
	return wire.EncodeThingExplanation(x), nil
}
