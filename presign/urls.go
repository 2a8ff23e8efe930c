package presign

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// urlCache gives the same URL for the same object during a short window. There is a
// client that gets an execution twice as a matter of course and recognizes it by the
// document: a fresh signature would make it run the job twice.
type urlCache struct {
	mu sync.Mutex
	// Two generations bound the memory: a new URL goes into young; when that is full it
	// becomes old, and what was old is dropped.
	young, old map[urlKey]signedURL // guarded by mu
}

// generationSize times two is how many objects can be in use during one window
// before URLs change early.
const generationSize = 4096

// urlKey is what a URL depends on. The base stands for store, bucket and key, the keys
// for the role; others after a renewal make other URLs.
type urlKey struct {
	keys    *keys
	method  string
	base    string
	region  string
	version string
	expires time.Duration
}

type signedURL struct {
	url      string
	signedAt time.Time
}

// window is how long a URL is given out again: a tenth of its life at most, so that
// devices have nine tenths of it left.
func window(expires time.Duration) time.Duration {
	return min(max(expires/10, 5*time.Second), 60*time.Second)
}

// get returns a URL that lives expires from now on, less the window. fresh tells
// that it was signed for this call.
func (c *urlCache) get(k *keys, t *target, expires time.Duration, now time.Time) (signed string, fresh bool, err error) {
	key := urlKey{keys: k, method: t.method, base: t.base, region: t.region, version: t.version, expires: expires}
	// Signing under the lock, ten microseconds of arithmetic, is what makes two
	// deliveries at the same moment agree.
	c.mu.Lock()
	defer c.mu.Unlock()
	u, ok := c.young[key]
	if !ok {
		u, ok = c.old[key]
	}
	// A caller may come second with the earlier time. A clock that was set back is no
	// such case: stores refuse dates far ahead of theirs.
	if age := now.Sub(u.signedAt); ok && age > -5*time.Second && age < window(expires) {
		return u.url, false, nil
	}
	// The date in a signature has whole seconds: count from there.
	u.signedAt = now.Truncate(time.Second)
	if u.url, err = k.sign(t, t.method, expires, u.signedAt); err != nil {
		return "", false, err
	}
	if len(c.young) >= generationSize {
		c.old, c.young = c.young, nil
	}
	if c.young == nil {
		c.young = make(map[urlKey]signedURL)
	}
	c.young[key] = u
	return u.url, true, nil
}

// sign makes a URL for requests with that method. It is arithmetic: no I/O.
func (k *keys) sign(t *target, method string, expires time.Duration, at time.Time) (string, error) {
	query := make(url.Values)
	if t.version != "" {
		query.Set("versionId", t.version)
	}
	if t.unsigned {
		if len(query) == 0 {
			return t.base, nil
		}
		return t.base + "?" + query.Encode(), nil
	}
	query.Set("X-Amz-Expires", strconv.FormatInt(int64(expires/time.Second), 10))
	req, err := http.NewRequest(method, t.base, nil)
	if err != nil {
		return "", fmt.Errorf("object URL of bucket %s: %w", t.bucket, err)
	}
	req.URL.RawQuery = query.Encode()
	signed, _, err := k.signer.PresignHTTP(context.Background(), k.Credentials, req, "UNSIGNED-PAYLOAD", "s3", t.region, at)
	return signed, err
}
