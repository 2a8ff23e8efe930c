package httpapi

import (
	"context"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

func (a *api) createKeysAndCertificate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	active, err := wire.DecodeCreateKeysAndCertificate(in)
	if err != nil {
		return nil, err
	}
	keys, err := a.Engine.CreateKeysAndCertificate(ctx, active)
	if err != nil {
		return nil, err
	}
	return wire.EncodeKeysAndCertificate(a.Account, keys), nil
}

func (a *api) createCertificateFromCSR(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	csr, active, err := wire.DecodeCreateCertificateFromCSR(in)
	if err != nil {
		return nil, err
	}
	cert, err := a.Engine.CreateCertificateFromCSR(ctx, csr, active)
	if err != nil {
		return nil, err
	}
	return wire.EncodeCreateCertificateFromCSR(a.Account, cert), nil
}

func (a *api) describeCertificate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	cert, err := a.Engine.DescribeCertificate(ctx, wire.DecodeCertificateID(in))
	if err != nil {
		return nil, err
	}
	return wire.EncodeDescribeCertificate(a.Account, cert), nil
}

func (a *api) listCertificates(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeListByTime(in)
	if err != nil {
		return nil, err
	}
	certs, err := a.Engine.ListCertificates(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeListCertificates(a.Account, certs), nil
}

func (a *api) updateCertificate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	id, status, err := wire.DecodeUpdateCertificate(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.UpdateCertificate(ctx, id, status)
}

func (a *api) deleteCertificate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	id, force, err := wire.DecodeDeleteCertificate(in)
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.DeleteCertificate(ctx, id, force)
}

func (a *api) registerCertificate(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeRegisterCertificate(in)
	if err != nil {
		return nil, err
	}
	cert, err := a.Engine.RegisterCertificate(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeRegisterCertificate(a.Account, jobsvc.ARNCert, cert.ID), nil
}

func (a *api) registerCertificateWithoutCA(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	req, err := wire.DecodeRegisterCertificate(in)
	if err != nil {
		return nil, err
	}
	cert, err := a.Engine.RegisterCertificateWithoutCA(ctx, req)
	if err != nil {
		return nil, err
	}
	return wire.EncodeRegisterCertificate(a.Account, jobsvc.ARNCert, cert.ID), nil
}

func (a *api) certificateTransfer(context.Context, *wire.ControlInput) ([]byte, error) {
	return nil, wire.RefuseCertificateTransfer()
}
