package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

var (
	errURLExpired = errors.New("the store answered 403 Forbidden")
	errStalled    = errors.New("no data for too long")
	errMismatch   = errors.New("SHA-256 mismatch")
)

// statusError is an HTTP answer that trying again will not change.
type statusError int

func (e statusError) Error() string {
	return fmt.Sprintf("the store answered %d %s", int(e), http.StatusText(int(e)))
}

const (
	maxTries   = 5 // attempts in a row that bring no data
	maxExpired = 3 // fresh URLs in a row that do not work
)

// downloader fetches artefacts for a fleet.
type downloader struct {
	client *http.Client
	slots  chan struct{} // one for each download at a time
	stall  time.Duration // give up a connection after so long without data
	pause  time.Duration // base of the pause between attempts
	rec    *recorder
}

// fetchOptions are the parts of one download that only the device knows.
type fetchOptions struct {
	file     string // where to keep it; empty for nowhere
	fresh    func(context.Context) (*artefact, error)
	progress func(done, total int64) error // total is -1 while unknown
	resumed  func(step string)             // told when it goes on after a break
}

// fetch downloads and verifies an artefact, without ever holding more than a buffer of it. An
// interrupted download goes on where it stopped; an expired URL is replaced by asking o.fresh.
//
// It returns the size. Errors: errMismatch when the whole file came but is not the right one; what
// o.fresh and o.progress returned; the cause of ctx's end; anything else when it gave up.
func (d *downloader) fetch(ctx context.Context, a *artefact, o fetchOptions) (size int64, err error) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	t := &transfer{downloader: d, fetchOptions: o, artefact: a, hash: sha256.New(), total: a.size, out: io.Discard}
	if o.file != "" {
		if err := t.create(); err != nil {
			return 0, err
		}
		defer func() {
			if e := t.finish(err == nil); err == nil {
				err = e
			}
		}()
	}
	var idle, expired int
	for {
		before := t.offset
		err := t.attempt(ctx)
		if t.offset > before {
			idle, expired = 0, 0
		}
		var final statusError
		switch {
		case err == nil:
			return t.offset, t.verify()
		case ctx.Err() != nil:
			return t.offset, context.Cause(ctx)
		case errors.Is(err, errURLExpired):
			if expired++; expired > maxExpired {
				return t.offset, err
			}
			if err := t.refresh(ctx); err != nil {
				return t.offset, err
			}
			continue
		case errors.As(err, &final), errors.Is(err, errGone), errors.Is(err, errLocal), errors.Is(err, errMismatch):
			return t.offset, err
		}
		if idle++; idle >= maxTries {
			return t.offset, fmt.Errorf("gave up after %d attempts: %w", idle, err)
		}
		pause := d.pause << idle
		if err := sleep(ctx, pause/2+rand.N(pause/2+1)); err != nil {
			return t.offset, err
		}
	}
}

// errLocal marks failures of this host, such as a full disk.
var errLocal = errors.New("cannot keep the artefact")

// transfer is one download with its state between attempts.
type transfer struct {
	*downloader
	fetchOptions
	*artefact
	hash   hash.Hash
	part   *os.File // nil when nothing is kept
	out    io.Writer
	offset int64
	total  int64  // -1 while unknown
	etag   string // of the object the bytes so far belong to; empty if unknown
}

func (t *transfer) create() error {
	if err := os.MkdirAll(filepath.Dir(t.file), 0o755); err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	f, err := os.Create(t.file + ".part")
	if err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	t.part, t.out = f, f
	return nil
}

// finish makes the kept file visible under its name, only if it is good.
func (t *transfer) finish(good bool) error {
	err := t.part.Close()
	if good && err == nil {
		err = os.Rename(t.part.Name(), t.file)
	} else {
		err = errors.Join(err, os.Remove(t.part.Name()))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	return nil
}

// refresh takes the URL of a fresh document. If that names another artefact, it starts over.
func (t *transfer) refresh(ctx context.Context) error {
	a, err := t.fresh(ctx)
	if err != nil {
		return err
	}
	t.rec.add(func(r *report) { r.FreshURLs++ })
	same := bytes.Equal(a.sha256, t.artefact.sha256)
	t.artefact = a
	if same {
		return nil
	}
	return t.restart()
}

// restart forgets what has come so far.
func (t *transfer) restart() error {
	t.hash.Reset()
	t.offset, t.total, t.etag = 0, t.size, ""
	if t.part == nil {
		return nil
	}
	if _, err := t.part.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	if err := t.part.Truncate(0); err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	return nil
}

// attempt asks for the rest of the artefact and reads it to the end, or as far as it gets.
func (t *transfer) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(t.stall, func() { cancel(errStalled) })
	defer watchdog.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return withoutURL(err)
	}
	if t.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.offset))
		if t.etag != "" {
			req.Header.Set("If-Range", t.etag)
		}
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return explain(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to the end, or given up
	if done, err := t.accept(resp); done || err != nil {
		return err
	}

	buf := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			watchdog.Reset(t.stall)
			if err := t.take(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && t.total >= 0 && t.offset < t.total:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return explain(ctx, err)
		}
	}
}

// accept looks at the head of an answer. done means that there is nothing left to read.
func (t *transfer) accept(resp *http.Response) (done bool, err error) {
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		if t.offset > 0 { // ranges not supported, or another object by now
			if err := t.restart(); err != nil {
				return false, err
			}
		}
		if t.total < 0 {
			t.total = resp.ContentLength
		}
	case code == http.StatusPartialContent:
		first, total, err := contentRange(resp.Header.Get("Content-Range"))
		if err != nil || first != t.offset {
			return false, fmt.Errorf("asked for byte %d, got %q", t.offset, resp.Header.Get("Content-Range"))
		}
		if t.total < 0 {
			t.total = total
		}
		t.rec.add(func(r *report) { r.RangeResumes++ })
		t.resumed("resume")
	case code == http.StatusRequestedRangeNotSatisfiable && t.offset > 0 && (t.total < 0 || t.offset == t.total):
		return true, nil // the break came after the last byte
	case code == http.StatusForbidden:
		return false, errURLExpired
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return false, errors.New(statusError(code).Error()) // worth another attempt
	default:
		return false, statusError(code)
	}
	if e := resp.Header.Get("ETag"); !strings.HasPrefix(e, "W/") { // a weak one is no use for ranges
		t.etag = e
	}
	return false, nil
}

// take adds the next bytes.
func (t *transfer) take(p []byte) error {
	if t.size >= 0 && t.offset+int64(len(p)) > t.size {
		return fmt.Errorf("%w: larger than the %d bytes in the document", errMismatch, t.size)
	}
	if _, err := t.out.Write(p); err != nil {
		return fmt.Errorf("%w: %w", errLocal, err)
	}
	t.hash.Write(p)
	t.offset += int64(len(p))
	t.rec.add(func(r *report) { r.Bytes += int64(len(p)) })
	return t.progress(t.offset, t.total)
}

func (t *transfer) verify() error {
	if t.size >= 0 && t.offset != t.size {
		return fmt.Errorf("%w: %d bytes instead of %d", errMismatch, t.offset, t.size)
	}
	if sum := t.hash.Sum(nil); !bytes.Equal(sum, t.sha256) {
		return fmt.Errorf("%w: got %x, the document says %x", errMismatch, sum, t.sha256)
	}
	return nil
}

// contentRange reads "bytes first-last/total"; total is -1 for "*".
func contentRange(v string) (first, total int64, err error) {
	span, size, ok := strings.Cut(strings.TrimPrefix(v, "bytes "), "/")
	from, _, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return 0, 0, fmt.Errorf("bad Content-Range %q", v)
	}
	if first, err = strconv.ParseInt(from, 10, 64); err != nil {
		return 0, 0, err
	}
	if size == "*" {
		return first, -1, nil
	}
	total, err = strconv.ParseInt(size, 10, 64)
	return first, total, err
}

// explain prefers why we ended a request to how it ended.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return withoutURL(err)
}

// withoutURL takes the URL out of an error: with its signature it is a key to the artefact, and
// errors are printed and reported.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// sleep waits, or returns the cause of ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
