package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) listJobExecutionsForJob(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListJobExecutionsForJob(in)
	if err != nil {
		return nil, err
	}
	executions, err := a.Engine.ListJobExecutionsForJob(ctx, req)
	if err != nil {
		return nil, err
	}
	in.Answer = wire.AppendJobExecutionsForJob(in.Answer, a.Account, executions)
	return in.Answer, nil
}

func (a *api) listJobExecutionsForThing(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListJobExecutionsForThing(in)
	if err != nil {
		return nil, err
	}
	executions, err := a.Engine.ListJobExecutionsForThing(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeJobExecutionsForThing(executions), nil
}

func (a *api) describeJobExecution(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	thing, jobID, number, err := wire.DecodeControlDescribeJobExecution(in)
	if err != nil {
		return nil, err
	}
	execution, err := a.Engine.DescribeJobExecution(ctx, thing, jobID, number)
	if err != nil {
		return nil, err
	}
	return wire.EncodeDescribeJobExecution(a.Account, execution, a.Now()), nil
}

func (a *api) cancelJobExecution(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCancelJobExecution(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.CancelJobExecution(ctx, req)
}

func (a *api) deleteJobExecution(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeDeleteJobExecution(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.DeleteJobExecution(ctx, req)
}
