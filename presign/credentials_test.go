package presign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/thingjobs/thingjobs/jobsvc"
)

const testARN = "arn:aws:iam::111122223333:role/temporary"

// testIssuer stands for an STS.
type testIssuer struct {
	life time.Duration
	same bool // gives the same credentials until they end

	mu    sync.Mutex
	begin time.Time
	err   error
	last  aws.Credentials
	calls []time.Duration // after begin
}

func (i *testIssuer) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
}

func (i *testIssuer) called() []time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.calls)
}

func (i *testIssuer) retrieve(context.Context) (aws.Credentials, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls = append(i.calls, time.Since(i.begin))
	if i.err != nil {
		return aws.Credentials{}, i.err
	}
	if i.same && time.Now().Before(i.last.Expires.Add(-time.Minute)) {
		return i.last, nil
	}
	i.last = aws.Credentials{
		AccessKeyID: "AKTEMP", SecretAccessKey: fmt.Sprintf("secret-%d", len(i.calls)), SessionToken: "token",
		CanExpire: i.life > 0, Expires: time.Now().Add(i.life),
	}
	return i.last, nil
}

// withSession runs a Signer with one role of temporary credentials, in virtual time.
func withSession(t *testing.T, i *testIssuer, f func(s *Signer, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, err := New(Config{
			Stores: []StoreConfig{{Name: "site", Match: []string{"s3.amazonaws.com"}, Endpoint: "https://files.example", Region: "us-east-1"}},
			Roles:  []RoleConfig{{ARN: testARN, Store: "site", Allow: []string{"*"}, Ambient: true}},
		}, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		i.begin = time.Now()
		s.roles[testARN].session.retrieve = i.retrieve
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		s.Tried(t.Context())
		synctest.Wait()
		f(s, &log)
		cancel()
		<-done
	})
}

func testDocument(life time.Duration) *jobsvc.Document {
	return &jobsvc.Document{
		Text:               []byte(`"${aws:iot:s3-presigned-url:fw/k}"`),
		PresignedURLConfig: &jobsvc.PresignedURLConfig{RoleARN: testARN, Expires: life},
	}
}

// after lets time pass. Renewals on the way have happened.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestRenewalAheadOfTheEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		granted, life time.Duration
		at            time.Duration // of the renewal
		warned        bool
	}{
		{time.Hour, 0, 59 * time.Minute, false},
		{time.Hour, 10 * time.Minute, 49 * time.Minute, false},
		{time.Hour, 50 * time.Minute, 15 * time.Minute, false},
		{time.Hour, time.Hour, 15 * time.Minute, true},
		{12 * time.Hour, time.Hour, 659 * time.Minute, false},
		{40 * time.Second, time.Minute, 15 * time.Second, true},
		{8 * time.Second, time.Minute, 8 * time.Second, true},
	} {
		i := &testIssuer{life: tt.granted}
		withSession(t, i, func(s *Signer, log *bytes.Buffer) {
			if tt.life > 0 { // asked for when there are credentials already
				if _, err := s.Substitute(nil, testDocument(tt.life), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			after(tt.at - time.Millisecond)
			if len(i.called()) != 1 {
				t.Errorf("%+v: renewed after %v", tt, i.called())
			}
			after(time.Second)
			if len(i.called()) != 2 {
				t.Errorf("%+v: not renewed: %v", tt, i.called())
			}
			after(2 * tt.at)
			if n := strings.Count(log.String(), "shorter time"); (n == 1) != tt.warned || n > 1 {
				t.Errorf("%+v: warned %d times: %s", tt, n, log)
			}
		})
	}
}

// A failing renewal leaves what is there until it ends, and is tried at a bounded rate.
func TestRenewalFails(t *testing.T) {
	t.Parallel()
	i := &testIssuer{life: time.Hour}
	withSession(t, i, func(s *Signer, log *bytes.Buffer) {
		doc := testDocument(10 * time.Minute)
		if err := s.Ready(doc); err != nil {
			t.Fatal(err)
		}
		first, err := s.Substitute(nil, doc, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		i.fail(errors.New("out of order"))
		after(59 * time.Minute)
		if err := s.Ready(doc); err != nil {
			t.Errorf("with live credentials: %v", err)
		}
		after(time.Minute)
		out, err := s.Substitute([]byte("before"), doc, time.Now())
		for _, err := range []error{err, s.Ready(doc)} {
			var e *jobsvc.Error
			if !errors.As(err, &e) || e.Code != jobsvc.CodeInternal || e.Message != "Cannot sign URLs with role temporary." || !errors.Is(e.Err, errExpired) {
				t.Errorf("with expired credentials: %v", err)
			}
		}
		if string(out) != "before" {
			t.Errorf("signed with expired credentials: %s", out)
		}
		// 49 min, then 1, 2, 4 … 60 s: 6 attempts in the first minute, then one each.
		if n := len(i.called()); n < 15 || n > 18 {
			t.Errorf("%d attempts: %v", n, i.called())
		}
		if !strings.Contains(log.String(), `role=temporary err="out of order"`) {
			t.Errorf("logged %s", log)
		}
		i.fail(nil)
		after(time.Minute)
		again, err := s.Substitute(nil, doc, time.Now())
		if err != nil || bytes.Equal(first, again) {
			t.Errorf("after it works again: %s, %v", again, err)
		}
	})
}

func TestNoCredentialsYet(t *testing.T) {
	t.Parallel()
	i := &testIssuer{life: time.Hour, err: &smithy.GenericAPIError{Code: "SignatureDoesNotMatch", Message: "x-amz-security-token:tell-nobody"}}
	withSession(t, i, func(s *Signer, log *bytes.Buffer) {
		if err := s.Ready(testDocument(0)); jobsvc.ErrorCode(err) != jobsvc.CodeInternal || !errors.Is(err, errNoCredentials) {
			t.Errorf("ready: %v", err)
		}
		if err := s.Check(testDocument(0).Text, testDocument(0).PresignedURLConfig); err != nil {
			t.Errorf("a job can be made meanwhile: %v", err)
		}
		if !strings.Contains(log.String(), "SignatureDoesNotMatch") || strings.Contains(log.String(), "tell-nobody") {
			t.Errorf("logged %s", log)
		}
		i.fail(nil)
		after(time.Minute)
		if err := s.Ready(testDocument(0)); err != nil {
			t.Errorf("after it works: %v", err)
		}
	})
}

// Other credentials make other URLs at once; the same ones leave them alone.
func TestRenewalAndURLs(t *testing.T) {
	t.Parallel()
	for _, same := range []bool{false, true} {
		i := &testIssuer{life: time.Hour, same: same}
		withSession(t, i, func(s *Signer, _ *bytes.Buffer) {
			doc := testDocument(time.Hour) // renewed after 15 min
			after(15*time.Minute - 2*time.Second)
			before, err := s.Substitute(nil, doc, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			after(4 * time.Second)
			got, err := s.Substitute(nil, doc, time.Now())
			if err != nil || len(i.called()) != 2 || bytes.Equal(before, got) != same {
				t.Errorf("same credentials %v: %d calls, %v\n%s\n%s", same, len(i.called()), err, before, got)
			}
		})
	}
}

func TestCredentialsWithoutEnd(t *testing.T) {
	t.Parallel()
	i := &testIssuer{}
	withSession(t, i, func(s *Signer, _ *bytes.Buffer) {
		after(1000 * time.Hour)
		if err := s.Ready(testDocument(time.Hour)); err != nil || len(i.called()) != 1 {
			t.Errorf("%d calls, %v", len(i.called()), err)
		}
	})
}
