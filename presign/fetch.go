package presign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
)

const (
	fetchTimeout   = 5 * time.Second
	fetchRedirects = 3
)

var (
	errLocalAddress = errors.New("its address is loopback or link-local")
	errRedirect     = errors.New("it redirects to a place that is not allowed")
)

// setupFetch makes the clients. Only the endpoints of the configuration may be local;
// only requests without a signature follow redirects, for these tell the next host the
// whole URL. None uses a proxy: one could reach what the guard forbids.
func (s *Signer) setupFetch() {
	noRedirect := func(*http.Request, []*http.Request) error { return errRedirect }
	guarded := &net.Dialer{Control: refuseLocal}
	host := guarded
	if s.source.AllowLocal {
		host = &net.Dialer{}
	}
	s.endpointClient = &http.Client{Transport: fetchTransport(&net.Dialer{}), CheckRedirect: noRedirect}
	s.awsClient = &http.Client{Transport: fetchTransport(guarded), CheckRedirect: noRedirect}
	s.hostClient = &http.Client{Transport: fetchTransport(host), CheckRedirect: s.checkRedirect}
	for _, h := range s.source.AllowHosts {
		s.sourceHosts = append(s.sourceHosts, strings.ToLower(h))
	}
}

// fetchTransport keeps no connections: documents are fetched once in a while.
func fetchTransport(d *net.Dialer) *http.Transport {
	return &http.Transport{DialContext: d.DialContext, DisableCompression: true, DisableKeepAlives: true}
}

// refuseLocal sees the address after the name was resolved, so no name gets past it.
func refuseLocal(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if a := ap.Addr().Unmap(); a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() {
		return errLocalAddress
	}
	return nil
}

func (s *Signer) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > fetchRedirects || !s.allowedSource(req.URL) || via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errRedirect
	}
	return nil
}

// allowedSource tells whether a URL may be fetched without credentials.
func (s *Signer) allowedSource(u *url.URL) bool {
	if u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return false
	}
	host := hostHeader(u)
	return host != "" && slices.ContainsFunc(s.sourceHosts, func(g string) bool { return glob(g, host) })
}

// Fetch gets a job document from where documentSource points: an S3 location
// (https or s3://BUCKET/KEY), read with the role of the configuration, or a URL
// of a host the configuration allows. It returns at most jobsvc.MaxDocumentBytes+1
// bytes and takes at most five seconds. What it got is for the caller to validate.
//
// Errors: CodeInvalidRequest, with the reason.
//
// AWS: CreateJob, member documentSource.
func (s *Signer) Fetch(ctx context.Context, source string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	address, client, err := s.locate(source)
	if err != nil {
		return nil, sourceError(err)
	}
	doc, err := get(ctx, client, address)
	if err != nil {
		return nil, sourceError(err)
	}
	return doc, nil
}

// locate says what to get for a documentSource, and with which client.
func (s *Signer) locate(source string) (address string, client *http.Client, err error) {
	l, isS3, err := s.parseSource(source)
	if err != nil {
		return "", nil, err
	}
	r := s.roles[s.source.Role]
	if isS3 && r != nil {
		t, err := r.target(&l, execution{})
		if err != nil {
			return "", nil, err
		}
		// Not from the cache: a URL made here is used here and now.
		address, err = s.signNow(r, &t, t.method, jobsvc.MinPresignExpires)
		return address, s.clientOf(r), err
	}
	u, err := url.Parse(source)
	if err == nil && s.allowedSource(u) {
		return source, s.hostClient, nil
	}
	if isS3 {
		return "", nil, errors.New("this server has no role that reads documents from S3 (presign.documentSource.role)")
	}
	return "", nil, errors.New("its host is not allowed (presign.documentSource.allowHosts)")
}

// clientOf is the client for the store of a role.
func (s *Signer) clientOf(r *role) *http.Client {
	if r.store.host == "" {
		return s.awsClient
	}
	return s.endpointClient
}

// signNow makes a URL that is used at once, by us.
func (s *Signer) signNow(r *role, t *target, method string, life time.Duration) (string, error) {
	now := s.now()
	k, err := r.keys(now)
	if err != nil {
		return "", fmt.Errorf("role %s: %w", r.name(), err)
	}
	return k.sign(t, method, life, now)
}

// parseSource tells whether a source is an S3 location: s3://, a host of AWS, or a
// host of the store that the role for documents reads.
func (s *Signer) parseSource(source string) (l location, isS3 bool, err error) {
	if path, ok := strings.CutPrefix(source, "s3://"); ok {
		l, err = location{}.withPath(path, "")
		return l, true, err
	}
	host, _, err := parseHost(source)
	if err != nil {
		return location{}, false, err
	}
	r := s.roles[s.source.Role]
	if !host.aws && (r == nil || host.host == "" || !r.store.covers(host.host)) {
		return location{}, false, nil
	}
	l, err = parseURL(source)
	return l, true, err
}

// get reads the body of a URL. Its errors never show the URL, which may be signed.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("it is not a valid URL")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer was %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	doc, err := io.ReadAll(io.LimitReader(res.Body, jobsvc.MaxDocumentBytes+1))
	if err != nil {
		return nil, withoutURL(err)
	}
	return doc, nil
}

func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("it took longer than %v", fetchTimeout)
	}
	return err
}

func sourceError(err error) error {
	return &jobsvc.Error{
		Code:    jobsvc.CodeInvalidRequest,
		Message: fmt.Sprintf("The job document could not be fetched from documentSource: %v.", err),
	}
}
