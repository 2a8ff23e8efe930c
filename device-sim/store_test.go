package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// testStore is an object store that serves one artefact to whoever has a signature it gave out.
type testStore struct {
	*httptest.Server
	data []byte

	// handle may answer GET number n itself; it returns false to let the store do it.
	handle func(n int, w http.ResponseWriter, r *http.Request) bool

	mu     sync.Mutex
	signed map[string]bool // signature → valid
	gets   []string        // the Range header of each
}

func newTestStore(t testing.TB, a *authority, size int) *testStore {
	t.Helper()
	s := &testStore{signed: make(map[string]bool), data: make([]byte, size)}
	for i := range s.data {
		s.data[i] = byte(i * 7 >> 3)
	}
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.serverCert()}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// document returns a job document with a fresh URL for the artefact.
func (s *testStore) document() string {
	return fmt.Sprintf(`{"operation":"firmware","files":[{"note":1},{"url":%q,"sha256":"%x","size":%d}]}`,
		s.sign(), sha256.Sum256(s.data), len(s.data))
}

func (s *testStore) sign() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	signature := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, "secret", len(s.signed))))
	s.signed[signature] = true
	return s.URL + "/bucket/firmware.bin?X-Amz-Expires=60&X-Amz-Signature=" + signature
}

// expire makes the URLs given out so far useless.
func (s *testStore) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.signed {
		s.signed[k] = false
	}
}

func (s *testStore) ranges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.gets...)
}

func (s *testStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.gets = append(s.gets, r.Header.Get("Range"))
	n := len(s.gets)
	valid := s.signed[r.URL.Query().Get("X-Amz-Signature")]
	s.mu.Unlock()
	if s.handle != nil && s.handle(n, w, r) {
		return
	}
	if !valid {
		http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
		return
	}
	w.Header().Set("ETag", `"firmware-1"`)
	http.ServeContent(w, r, "firmware.bin", time.Time{}, bytes.NewReader(s.data))
}

// half sends the first half of the artefact and breaks the connection.
func (s *testStore) half(w http.ResponseWriter) {
	w.Header().Set("ETag", `"firmware-1"`)
	w.Header().Set("Content-Length", fmt.Sprint(len(s.data)))
	_, _ = w.Write(s.data[:len(s.data)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
