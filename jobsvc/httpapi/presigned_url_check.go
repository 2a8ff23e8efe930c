package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) checkPresignedURLs(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	checks, err := a.Engine.CheckPresignedURLs(ctx, in.Path["jobId"])
	if err != nil {
		return nil, err
	}
	return wire.EncodePresignedURLChecks(checks), nil
}
