package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

// operatorOperations manage the access keys of operators and help them. They are not
// AWS's: the paths are ones that the service iot does not have.
var operatorOperations = []binding{
	{"GET", "/operators/access-keys", "ListAccessKeys"},
	{"POST", "/operators/access-keys", "CreateAccessKey"},
	{"DELETE", "/operators/access-keys/{accessKeyId}", "DeleteAccessKey"},
	{"GET", "/operators/things/{thingName}/explanation", "GetThingExplanation"},
	{"POST", "/operators/jobs/{jobId}/check-presigned-urls", "CheckPresignedUrls"},
	{"GET", "/operators/denials", "ListDenials"},
}

var operatorHandlers = map[string]handler{
	"CreateAccessKey": (*api).createAccessKey,
	"DeleteAccessKey": (*api).deleteAccessKey,
	"ListAccessKeys":  (*api).listAccessKeys,
	"ListDenials":     (*api).listDenials,

	"GetThingExplanation": (*api).getThingExplanation,
	"CheckPresignedUrls":  (*api).checkPresignedURLs,
}

func (a *api) createAccessKey(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCreateAccessKey(in)
	if err != nil {
		return nil, err
	}
	k := auth.NewAccessKey(req.Role, req.Name, a.Now())
	if err := a.Engine.CreateAccessKey(ctx, k); err != nil {
		return nil, err
	}
	return wire.EncodeAccessKey(&k), nil
}

func (a *api) deleteAccessKey(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	return nil, a.Engine.DeleteAccessKey(ctx, in.Path["accessKeyId"])
}

func (a *api) listAccessKeys(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	page, err := wire.DecodeListAccessKeys(in)
	if err != nil {
		return nil, err
	}
	keys, err := a.Engine.ListAccessKeys(ctx, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListAccessKeys(keys), nil
}
