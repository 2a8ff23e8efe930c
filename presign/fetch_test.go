package presign_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc"
	"github.com/thingjobs/thingjobs/presign"
)

// refused checks that a source is refused for a reason, and that nothing signed shows.
func refused(t *testing.T, s *presign.Signer, source, want string) {
	t.Helper()
	_, err := s.Fetch(t.Context(), source)
	if jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want … %s …", source, err, want)
	}
	if err != nil && strings.Contains(err.Error(), "X-Amz-") {
		t.Errorf("%s: signed URL in %v", source, err)
	}
}

func TestFetchFromAllowedHosts(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("/job.json", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("credentials sent")
		}
		w.Write([]byte(`{"q":"` + r.URL.RawQuery + `"}`))
	})
	mux.Handle("/moved", http.RedirectHandler("/job.json", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler(other.URL, http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 8192)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	host := strings.TrimPrefix(site.URL, "http://")

	c := presign.Config{DocumentSource: presign.DocumentSourceConfig{AllowHosts: []string{host, "*.docs.example"}, AllowLocal: true}}
	s := newSigner(t, c)
	for source, want := range map[string]string{
		site.URL + "/job.json?a=b%20c": `{"q":"a=b%20c"}`,
		site.URL + "/moved":            `{"q":""}`,
	} {
		if got, err := s.Fetch(t.Context(), source); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", source, got, err)
		}
	}
	if got, err := s.Fetch(t.Context(), site.URL+"/endless"); err != nil || len(got) != jobsvc.MaxDocumentBytes+1 {
		t.Errorf("endless document: %d bytes, %v", len(got), err)
	}
	for source, want := range map[string]string{
		site.URL + "/away":                     "redirects",
		site.URL + "/loop":                     "redirects",
		site.URL + "/gone":                     "410 Gone",
		other.URL:                              "not allowed",
		"http://x@" + host + "/job.json":       "no valid host",
		"file:///etc/passwd":                   "https:// or http://",
		"job.json":                             "not allowed",
		"":                                     "not allowed",
		"s3://fw/job.json":                     "presign.documentSource.role",
		"https://s3.amazonaws.com/fw/job.json": "presign.documentSource.role",
		"http://169.254.169.254/latest/meta-data": "not allowed",
	} {
		refused(t, s, source, want)
	}

	c.DocumentSource.AllowLocal = false
	c.DocumentSource.AllowHosts = []string{"*"}
	s = newSigner(t, c)
	for _, source := range []string{
		site.URL + "/job.json", "http://localhost:1/x", "http://169.254.169.254/latest/meta-data", "http://0.0.0.0:1/",
		"http://[::1]:1/", "http://[::ffff:127.0.0.1]:1/", "http://[fe80::1]:1/",
	} {
		refused(t, s, source, "loopback or link-local")
	}
}

// A caller that gives up is told so at once.
func TestFetchEnds(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(site.Close)
	s := newSigner(t, presign.Config{DocumentSource: presign.DocumentSourceConfig{AllowHosts: []string{"*"}, AllowLocal: true}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Fetch(ctx, site.URL); jobsvc.ErrorCode(err) != jobsvc.CodeInvalidRequest {
		t.Error(err)
	}
	past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := s.Fetch(past, site.URL); err == nil || !strings.Contains(err.Error(), "5s") {
		t.Error(err)
	}
}
