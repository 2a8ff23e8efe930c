package presign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thingjobs/thingjobs/jobsvc"
)

const (
	askTimeout   = 5 * time.Second // of one request
	checkTimeout = 30 * time.Second
	askParallel  = 4
)

// answer is what a store said about an object.
type answer struct {
	status int
	bytes  int64  // of the object, -1 when the answer does not tell
	code   string // S3's, of an error, "" when there is none
}

// ok tells whether the object can be had. Nothing of an empty object is in any range.
func (a answer) ok() bool {
	return a.status == http.StatusOK || a.status == http.StatusPartialContent || a.status == http.StatusRequestedRangeNotSatisfiable && a.bytes == 0
}

func (a answer) String() string {
	text := strconv.Itoa(a.status) + " " + http.StatusText(a.status)
	if a.code != "" {
		text += ", " + a.code
	}
	return text
}

var errorCodePattern = regexp.MustCompile(`<Code>([A-Za-z0-9.]{1,64})</Code>`)

// ask requests an object as a device does: its first byte with GET, none with HEAD. The
// error says why there is no answer, without the URL.
func (s *Signer) ask(ctx context.Context, r *role, t *target, method string, life time.Duration) (answer, error) {
	address, err := s.signNow(r, t, method, life)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return answer{}, errors.New("the URL is not valid")
	}
	if method == http.MethodGet {
		req.Header.Set("Range", "bytes=0-0")
	}
	res, err := s.clientOf(r).Do(req)
	if err != nil {
		return answer{}, withoutURL(err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, bytes: -1}
	if size, ok := strings.CutPrefix(res.Header.Get("Content-Range"), "bytes "); ok {
		_, size, _ = strings.Cut(size, "/")
		if n, err := strconv.ParseInt(size, 10, 64); err == nil {
			a.bytes = n
		}
	} else if a.status == http.StatusOK {
		a.bytes = res.ContentLength
	}
	if a.status >= 300 {
		// Nothing else of the body is told: it may repeat the signature.
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		if m := errorCodePattern.FindSubmatch(body); m != nil {
			a.code = string(m[1])
		}
		// There are stores that do not tell the size of what they have no such range of.
		if a.code == "InvalidRange" && a.bytes < 0 {
			a.bytes = 0
		}
		return a, nil
	}
	if method == http.MethodGet && a.bytes != 0 {
		if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil {
			return answer{}, fmt.Errorf("no byte came: %w", withoutURL(err))
		}
	}
	return a, nil
}

// Verify asks the store for the objects that the document, which passed Check, is to
// download, if the configuration wants that: a HEAD for each, with the credentials of
// the role, within 30 seconds. With verifyObjects "warn" it logs what is missing.
//
// Errors: CodeInvalidRequest for an object that cannot be had, naming the placeholder;
// CodeUnavailable when the store gives no answer.
//
// AWS: CreateJob.
func (s *Signer) Verify(ctx context.Context, doc []byte, cfg *jobsvc.PresignedURLConfig) error {
	if s.verify == "" || s.verify == verifyOff {
		return nil
	}
	tokens, err := parse(doc)
	r := s.roles[s.roleARN(cfg)]
	if err != nil || len(tokens) == 0 || r == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var downloads []part
	seen := make(map[string]bool)
	for p := range placeholders(tokens) {
		if !p.loc.upload && !seen[p.text] {
			seen[p.text] = true
			downloads = append(downloads, p)
		}
	}
	missing := make([]error, len(downloads))
	var g errgroup.Group
	g.SetLimit(askParallel)
	for i, p := range downloads {
		g.Go(func() error {
			missing[i] = s.verifyObject(ctx, r, p)
			return nil
		})
	}
	_ = g.Wait() // there are none: missing has them
	for i, err := range missing {
		switch {
		case err == nil:
		case s.verify == verifyWarn:
			s.log.Warn("an object of a job cannot be had", "role", r.name(), "placeholder", clip(downloads[i].text), "err", err)
		default:
			return err
		}
	}
	return nil
}

func (s *Signer) verifyObject(ctx context.Context, r *role, p part) error {
	t, err := r.target(p.loc, execution{})
	if err != nil {
		return refuse(p.text, err.Error())
	}
	a, err := s.ask(ctx, r, &t, http.MethodHead, jobsvc.MinPresignExpires)
	switch {
	case err == nil && a.ok():
		return nil
	case err == nil && a.status >= 400 && a.status < 500 && a.status != http.StatusTooManyRequests:
		return refuse(p.text, fmt.Sprintf("the object does not exist, or the role %s cannot read it (%v)", r.name(), a))
	case err == nil:
		err = errors.New(a.String())
	}
	return jobsvc.Errorf(jobsvc.CodeUnavailable, "The store %s cannot be asked for the objects of the job document: %v.", r.store.name, err)
}

// Probe makes the URL of every placeholder of a document, as a device would get it, and
// fetches the first byte of each within 30 seconds. Uploads are signed and not tried, for
// that would be to write. A document for no execution is signed for a made-up one.
// Errors: CodeInvalidRequest for a document that cannot be parsed.
func (s *Signer) Probe(ctx context.Context, doc *jobsvc.Document) ([]jobsvc.PresignedURLCheck, error) {
	tokens, err := parse(doc.Text)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	x := executionOf(doc)
	if x == (execution{}) {
		x = execution{"thing", "job", "1"}
	}
	var parts []part
	for p := range placeholders(tokens) {
		parts = append(parts, p)
	}
	r := s.roles[s.roleARN(doc.PresignedURLConfig)]
	checks := make([]jobsvc.PresignedURLCheck, len(parts))
	var g errgroup.Group
	g.SetLimit(askParallel)
	for i, p := range parts {
		g.Go(func() error {
			checks[i] = s.probe(ctx, r, p.loc, x, expires(doc.PresignedURLConfig))
			return nil
		})
	}
	return checks, g.Wait()
}

// probe tries one location. r is nil for a role that is not configured.
func (s *Signer) probe(ctx context.Context, r *role, l *location, x execution, life time.Duration) jobsvc.PresignedURLCheck {
	c := jobsvc.PresignedURLCheck{Method: http.MethodGet, Bucket: l.bucket, Key: l.key, VersionID: l.version, Result: jobsvc.PresignedURLFailed, Bytes: -1}
	if l.upload {
		c.Method = http.MethodPut
	}
	failed := func(err error) jobsvc.PresignedURLCheck {
		c.Detail = err.Error()
		return c
	}
	if r == nil {
		return failed(errRole)
	}
	c.Bucket, c.Key = r.store.object(l)
	t, err := r.target(l, x)
	if err != nil {
		return failed(err)
	}
	if l.upload {
		if _, err := s.signNow(r, &t, t.method, life); err != nil {
			return failed(err)
		}
		c.Result, c.Detail = jobsvc.PresignedURLSigned, "not tried: it would write"
		return c
	}
	a, err := s.ask(ctx, r, &t, t.method, life)
	if err != nil {
		return failed(err)
	}
	c.Bytes, c.Detail = a.bytes, a.String()
	if a.ok() {
		c.Result = jobsvc.PresignedURLOK
	}
	return c
}
