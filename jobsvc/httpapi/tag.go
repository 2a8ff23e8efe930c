package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) listTagsForResource(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	arn, err := wire.DecodeListTagsForResource(in)
	if err != nil {
		return nil, err
	}
	tags, err := a.Engine.ListTagsForResource(ctx, arn)
	if err != nil {
		return nil, err
	}
	return wire.EncodeTags(tags), nil
}

func (a *api) tagResource(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	arn, tags, err := wire.DecodeTagResource(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.TagResource(ctx, arn, tags))
}

func (a *api) untagResource(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	arn, keys, err := wire.DecodeUntagResource(in)
	if err != nil {
		return nil, err
	}
	return empty(a.Engine.UntagResource(ctx, arn, keys))
}
