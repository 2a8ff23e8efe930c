package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) describeEndpoint(_ context.Context, in *wire.ControlInput) ([]byte, error) {
	endpointType, err := wire.DecodeDescribeEndpoint(in)
	if err != nil {
		return nil, err
	}
	address := a.EndpointAddress(endpointType)
	if address == "" {
		return nil, jobsvc.Errorf(jobsvc.CodeInvalidRequest, "No endpoint of the type %s is configured.", endpointType)
	}
	return wire.EncodeDescribeEndpoint(address), nil
}
