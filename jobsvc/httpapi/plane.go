package httpapi

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/jobsvc/auth"
	"github.com/thingjobs/thingjobs/jobsvc/wire"
)

// serviceOf tells for which of the two services a request is, which share paths:
// by the credential scope, even while nobody has verified it; else by a client
// certificate; else by the host name. sig is nil when there is no signature.
func (a *api) serviceOf(sig *auth.Signature, r *http.Request) wire.Service {
	if sig != nil {
		switch sig.Service {
		case "execute-api":
			// The control plane's name for itself until May 2023: the AWS CLI of
			// Debian 12 still signs for it.
			return wire.ServiceIoT
		default:
			return wire.Service(sig.Service)
		}
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return wire.ServiceJobsData
	}
	if a.isDeviceHost(r.Host) {
		return wire.ServiceJobsData
	}
	return wire.ServiceIoT
}

// isDeviceHost knows the configured names and AWS's forms: data.jobs.iot.<region>…
// and <prefix>.jobs.iot.<region>….
func (a *api) isDeviceHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(host)
	if slices.ContainsFunc(a.DeviceHosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return true
	}
	prefix, rest, ok := strings.Cut(host, ".jobs.iot.")
	return ok && rest != "" && prefix != "" && !strings.Contains(prefix, ".")
}

// authenticate tells which role the caller has, and notes the name. A device with a
// certificate and no signature gets no role: what it may do follows from its things.
func (a *api) authenticate(c *call, r *http.Request, signed *auth.SignedRequest, sig *auth.Signature, sigErr error) (jobsvc.Role, error) {
	switch {
	case a.NoSignatures:
		return jobsvc.RoleAdmin, nil
	case jobsvc.ErrorCode(sigErr) == jobsvc.CodeMissingCredentials && r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		var err error
		c.device, err = a.device(r.Context(), auth.CertificateID(r.TLS.PeerCertificates[0].Raw))
		return "", err
	case sigErr != nil:
		return "", sigErr
	}
	key, err := a.accessKey(r.Context(), sig.AccessKeyID)
	if err != nil {
		if jobsvc.ErrorCode(err) == jobsvc.CodeUnknownAccessKey {
			a.signers.Forget(sig.AccessKeyID)
		}
		return "", err
	}
	c.caller = key.Name
	if err := sig.Verify(signed, key.Secret, &a.signers, a.Now()); err != nil {
		return "", err
	}
	if a.StrictRegion && sig.Region != a.Account.Region {
		return "", jobsvc.Errorf(jobsvc.CodeInvalidSignature, "Credential should be scoped to a valid region: '%s'.", a.Account.Region)
	}
	return key.Role, nil
}

// accessKey looks a key up. The ID is a stranger's text, which need not reach the
// store when it has not the form of one.
func (a *api) accessKey(ctx context.Context, id string) (*jobsvc.AccessKey, error) {
	if len(id) > 128 {
		return nil, jobsvc.Errorf(jobsvc.CodeUnknownAccessKey, "The security token included in the request is invalid.")
	}
	return a.AccessKey(ctx, id)
}
