package presign

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// keys are what a role signs with until others take their place; then URLs made with
// them are not given out any more.
type keys struct {
	aws.Credentials
	// signer is the keys' own: it caches derived keys by access key alone, and two roles
	// may have the same access key with different secrets.
	signer *v4.Signer
}

func newKeys(c aws.Credentials) *keys {
	// S3 signs the path as it is sent; every other service has it encoded once more.
	return &keys{c, v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })}
}

var (
	errNoCredentials = errors.New("the role has no credentials yet")
	errExpired       = errors.New("the credentials of the role have expired")
)

// session has the temporary credentials of a role. Requests only read what is there:
// run, in a goroutine of its own, renews it.
type session struct {
	role     string // its name
	retrieve func(context.Context) (aws.Credentials, error)
	now      func() time.Time
	log      *slog.Logger
	metrics  *metrics

	current atomic.Pointer[keys]
	longest atomic.Int64  // the longest life of a URL that was asked for, in nanoseconds
	longer  chan struct{} // has room for one word that longest grew
	tried   chan struct{} // closed after the first attempt
}

const (
	renewTimeout    = 10 * time.Second // of an attempt
	minRenewBackoff = time.Second
	maxRenewBackoff = time.Minute
	// renewMargin is how much longer than a URL credentials live.
	renewMargin = time.Minute
	// minRenewal is the least time between renewals, whatever is granted.
	minRenewal = 15 * time.Second
)

// keys gives the credentials if they live.
func (s *session) keys(now time.Time) (*keys, error) {
	k := s.current.Load()
	switch {
	case k == nil:
		return nil, errNoCredentials
	case k.CanExpire && !now.Before(k.Expires):
		return nil, errExpired
	}
	return k, nil
}

// want notes how long URLs are to live, so that the credentials live longer.
func (s *session) want(life time.Duration) {
	for {
		longest := s.longest.Load()
		if int64(life) <= longest {
			return
		}
		if s.longest.CompareAndSwap(longest, int64(life)) {
			break
		}
	}
	select {
	case s.longer <- struct{}{}:
	default:
	}
}

// run renews the credentials ahead of their end until ctx ends. While it fails, what
// is there stays.
func (s *session) run(ctx context.Context) {
	var backoff time.Duration
	told := false // that they are granted for too short a time
	for first := true; ; first = false {
		obtained := s.now()
		err := s.renew(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			backoff = min(max(2*backoff, minRenewBackoff), maxRenewBackoff)
			s.metrics.renewals.WithLabelValues(s.role, "error").Inc()
			s.log.Error("the credentials of a role cannot be renewed", "role", s.role, "err", err, "again", backoff)
		} else {
			backoff = 0
			s.metrics.renewals.WithLabelValues(s.role, "ok").Inc()
		}
		if first {
			close(s.tried)
		}
		if err != nil {
			if !s.sleep(ctx, backoff, nil) {
				return
			}
			continue
		}
		k := s.current.Load()
		for wake := true; wake; {
			at := time.Duration(-1)
			if k.CanExpire {
				granted := k.Expires.Sub(obtained)
				longest := time.Duration(s.longest.Load())
				if granted < longest+renewMargin && longest > 0 && !told {
					told = true
					s.log.Warn("credentials are granted for a shorter time than URLs of this role are to live: these end with them",
						"role", s.role, "granted", granted.Round(time.Second), "lifetime", longest)
				}
				at = max(0, renewIn(granted, longest)-s.now().Sub(obtained))
			}
			if wake = s.sleep(ctx, at, s.longer); ctx.Err() != nil {
				return
			}
		}
	}
}

// renewIn tells how long after they were obtained credentials are renewed: while they
// live a minute longer than the longest-lived URL. If they never do, when a quarter of
// their time is over.
func renewIn(granted, longest time.Duration) time.Duration {
	return min(max(granted-longest-renewMargin, granted/4, minRenewal), granted)
}

// sleep waits for d, without end if it is negative. Awake for a word from early, or when
// ctx goes on after d with early nil, it gives true.
func (s *session) sleep(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	var timer <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-early:
		return true
	case <-timer:
		return early == nil
	}
}

func (s *session) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	c, err := s.retrieve(ctx)
	if err != nil {
		return retrieveError(err)
	}
	if c.CanExpire && !s.now().Before(c.Expires) {
		return errors.New("they have expired already as they come")
	}
	if c.CanExpire {
		s.metrics.expiry.WithLabelValues(s.role).Set(float64(c.Expires.Unix()))
	}
	// The machine may give the same ones again: URLs made with them stay.
	old := s.current.Load()
	if old != nil && old.AccessKeyID == c.AccessKeyID && old.SecretAccessKey == c.SecretAccessKey && old.SessionToken == c.SessionToken &&
		old.Expires.Equal(c.Expires) && old.CanExpire == c.CanExpire {
		return nil
	}
	s.current.Store(newKeys(c))
	return nil
}

// retrieveError says why there are no credentials, without what a service wrote: it
// may repeat the request, and with it a session token.
func retrieveError(err error) error {
	var api smithy.APIError
	var u *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("it took longer than %v", renewTimeout)
	case errors.As(err, &api):
		return fmt.Errorf("the service answered %s", clip(api.ErrorCode()))
	case errors.As(err, &u):
		return u.Err
	}
	return errors.New(clip(err.Error()))
}

// ambient gives the credentials of the machine: environment, shared files, web
// identity, containers, instance metadata, in the order of the SDK.
func ambient() func(context.Context) (aws.Credentials, error) {
	var cfg *aws.Config
	return func(ctx context.Context) (aws.Credentials, error) {
		if cfg == nil {
			loaded, err := loadAmbient(ctx, "")
			if err != nil {
				return aws.Credentials{}, err
			}
			cfg = &loaded
		}
		if c, ok := cfg.Credentials.(*aws.CredentialsCache); ok {
			c.Invalidate() // session is the cache
		}
		return cfg.Credentials.Retrieve(ctx)
	}
}

func loadAmbient(ctx context.Context, region string) (aws.Config, error) {
	return config.LoadDefaultConfig(ctx, config.WithRegion(region), config.WithRetryMaxAttempts(1), config.WithLogger(logging.Nop{}))
}

// assumeRole gets credentials from an STS. base signs the requests; nil means the
// credentials of the machine.
func assumeRole(c *AssumeRoleConfig, arn, region string, base *aws.Credentials) func(context.Context) (aws.Credentials, error) {
	var provider *stscreds.AssumeRoleProvider
	return func(ctx context.Context) (aws.Credentials, error) {
		if provider == nil {
			cfg := aws.Config{Region: region, RetryMaxAttempts: 1}
			if base != nil {
				cfg.Credentials = credentials.StaticCredentialsProvider{Value: *base}
			} else {
				var err error
				if cfg, err = loadAmbient(ctx, region); err != nil {
					return aws.Credentials{}, err
				}
			}
			client := sts.NewFromConfig(cfg, func(o *sts.Options) {
				if c.STS != "" {
					o.BaseEndpoint = aws.String(strings.TrimSuffix(c.STS, "/"))
				}
			})
			provider = stscreds.NewAssumeRoleProvider(client, arn, func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = c.SessionName
				if o.RoleSessionName == "" {
					o.RoleSessionName = defaultSessionName
				}
				o.Duration = c.duration()
				if c.ExternalID != "" {
					o.ExternalID = aws.String(string(c.ExternalID))
				}
			})
		}
		return provider.Retrieve(ctx)
	}
}

// staticCredentials reads what the configuration names.
func staticCredentials(c *CredentialsConfig, key string) (aws.Credentials, error) {
	var out aws.Credentials
	var err error
	if out.AccessKeyID, err = inlineOrFile(c.AccessKey, c.AccessKeyFile); err != nil {
		return out, fmt.Errorf("%s.credentials.accessKeyFile: %w", key, err)
	}
	if out.SecretAccessKey, err = inlineOrFile(string(c.SecretKey), c.SecretKeyFile); err != nil {
		return out, fmt.Errorf("%s.credentials.secretKeyFile: %w", key, err)
	}
	out.SessionToken = string(c.SessionToken)
	return out, nil
}

func inlineOrFile(value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if value = strings.TrimSpace(string(b)); value == "" {
		return "", fmt.Errorf("%s is empty", file)
	}
	return value, nil
}
