package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) listDenials(_ context.Context, in *wire.ControlInput) ([]byte, error) {
	r, err := wire.DecodeListDenials(in)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListDenials(a.Denials(), r), nil
}
