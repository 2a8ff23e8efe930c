package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createJob(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCreateJob(in)
	if err != nil {
		return nil, err
	}
	job, err := a.Engine.CreateJob(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeJobIdentity(a.Account, job), nil
}

func (a *api) describeJob(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	id, err := wire.DecodeDescribeJob(in)
	if err != nil {
		return nil, err
	}
	job, err := a.Engine.DescribeJob(ctx, id)
	if err != nil {
		return nil, err
	}
	return wire.EncodeDescribeJob(a.Account, job), nil
}

func (a *api) getJobDocument(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	id, before, err := wire.DecodeGetJobDocument(in)
	if err != nil {
		return nil, err
	}
	doc, err := a.Engine.GetJobDocument(ctx, id, before)
	if err != nil {
		return nil, err
	}
	return wire.EncodeJobDocument(doc), nil
}

func (a *api) listJobs(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListJobs(in)
	if err != nil {
		return nil, err
	}
	jobs, err := a.Engine.ListJobs(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListJobs(a.Account, jobs), nil
}

func (a *api) cancelJob(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCancelJob(in)
	if err != nil {
		return nil, err
	}
	job, err := a.Engine.CancelJob(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeJobIdentity(a.Account, job), nil
}

func (a *api) deleteJob(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeDeleteJob(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.DeleteJob(ctx, req)
}

func (a *api) updateJob(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeUpdateJob(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.UpdateJob(ctx, req)
}

func (a *api) associateTargetsWithJob(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeAssociateTargetsWithJob(in)
	if err != nil {
		return nil, err
	}
	job, err := a.Engine.AssociateTargetsWithJob(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeJobIdentity(a.Account, job), nil
}
