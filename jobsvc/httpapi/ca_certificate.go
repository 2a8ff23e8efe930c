package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) registerCACertificate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeRegisterCACertificate(in)
	if err != nil {
		return nil, err
	}
	ca, err := a.Engine.RegisterCACertificate(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeRegisterCertificate(a.Account, jobsvc.ARNCACert, ca.ID), nil
}

func (a *api) describeCACertificate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	ca, err := a.Engine.DescribeCACertificate(ctx, wire.DecodeCACertificateID(in))
	if err != nil {
		return nil, err
	}
	return wire.EncodeDescribeCACertificate(a.Account, ca), nil
}

func (a *api) updateCACertificate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeUpdateCACertificate(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.UpdateCACertificate(ctx, req)
}

func (a *api) deleteCACertificate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	return empty(a.Engine.DeleteCACertificate(ctx, wire.DecodeCACertificateID(in)))
}

func (a *api) listCACertificates(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	templateName, req, err := wire.DecodeListCACertificates(in)
	if err != nil {
		return nil, err
	}
	cas, err := a.Engine.ListCACertificates(ctx, templateName, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListCACertificates(a.Account, cas), nil
}

func (a *api) listCertificatesByCA(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	ca, page, err := wire.DecodeListCertificatesByCA(in)
	if err != nil {
		return nil, err
	}
	certs, err := a.Engine.ListCertificatesByCA(ctx, ca, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListCertificates(a.Account, certs), nil
}

func (a *api) getRegistrationCode(ctx context.Context, _ *wire.ControlInput) ([]byte, error) {
	code, err := a.Engine.RegistrationCode(ctx)
	if err != nil {
		return nil, err
	}
	return wire.EncodeRegistrationCode(code), nil
}

func (a *api) deleteRegistrationCode(ctx context.Context, _ *wire.ControlInput) ([]byte, error) {
	return empty(a.Engine.DeleteRegistrationCode(ctx))
}
