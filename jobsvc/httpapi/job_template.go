package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createJobTemplate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeCreateJobTemplate(in)
	if err != nil {
		return nil, err
	}
	m, err := a.Engine.CreateJobTemplate(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCreateJobTemplate(a.Account, m), nil
}

func (a *api) describeJobTemplate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	m, err := a.Engine.DescribeJobTemplate(ctx, wire.DecodeJobTemplateID(in))
	if err != nil {
		return nil, err
	}
	return wire.EncodeDescribeJobTemplate(a.Account, m), nil
}

func (a *api) deleteJobTemplate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	return nil, a.Engine.DeleteJobTemplate(ctx, wire.DecodeJobTemplateID(in))
}

func (a *api) listJobTemplates(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	page, err := wire.DecodePage(in)
	if err != nil {
		return nil, err
	}
	templates, err := a.Engine.ListJobTemplates(ctx, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListJobTemplates(a.Account, templates), nil
}

func (a *api) describeManagedJobTemplate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	name, version, err := wire.DecodeDescribeManagedJobTemplate(in)
	if err != nil {
		return nil, err
	}
	t, err := a.Engine.DescribeManagedJobTemplate(ctx, name, version)
	if err != nil {
		return nil, err
	}
	return wire.EncodeDescribeManagedJobTemplate(a.Account, t), nil
}

func (a *api) listManagedJobTemplates(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListManagedJobTemplates(in)
	if err != nil {
		return nil, err
	}
	templates, err := a.Engine.ListManagedJobTemplates(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListManagedJobTemplates(a.Account, templates), nil
}
