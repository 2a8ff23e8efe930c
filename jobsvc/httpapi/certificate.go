package httpapi

import (
	"context"

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
	page, err := wire.DecodeListCertificates(in)
	if err != nil {
		return nil, err
	}
	certs, err := a.Engine.ListCertificates(ctx, page)
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

func (a *api) attachThingPrincipal(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	thing, principal, err := wire.DecodeThingPrincipal(in)
	if err != nil {
		return nil, err
	}
	if err := a.Engine.AttachThingPrincipal(ctx, thing, principal); err != nil {
		return nil, err
	}
	return wire.EncodeEmpty(), nil
}

func (a *api) detachThingPrincipal(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	thing, principal, err := wire.DecodeThingPrincipal(in)
	if err != nil {
		return nil, err
	}
	if err := a.Engine.DetachThingPrincipal(ctx, thing, principal); err != nil {
		return nil, err
	}
	return wire.EncodeEmpty(), nil
}

func (a *api) listThingPrincipals(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	thing, page, err := wire.DecodeListThingPrincipals(in)
	if err != nil {
		return nil, err
	}
	principals, err := a.Engine.ListThingPrincipals(ctx, thing, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodePrincipals(principals), nil
}

func (a *api) listPrincipalThings(ctx context.Context, in *wire.ControlInput) ([]byte, error) {
	principal, page, err := wire.DecodeListPrincipalThings(in)
	if err != nil {
		return nil, err
	}
	things, err := a.Engine.ListPrincipalThings(ctx, principal, page)
	if err != nil {
		return nil, err
	}
	return wire.EncodeThingNames(things), nil
}
