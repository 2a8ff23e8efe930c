package s3server

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStartStoreClose(t *testing.T) {
	t.Parallel()
	if _, err := Find(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	ctx := t.Context()
	s, err := Start(ctx, Options{Dir: dir, AccessKey: "demo", SecretKey: "demosecret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for range 2 {
		if err := s.CreateBucket(ctx, "fw"); err != nil {
			t.Fatal(err)
		}
	}
	const key = "pump/a b+c%20d?x@é.bin"
	if _, err := s.PutObject(ctx, "fw", key, []byte("image")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "data", "fw", key)); err != nil || string(got) != "image" {
		t.Errorf("stored %q, %v", got, err)
	}
	if err := s.EnableVersioning(ctx, "fw"); err != nil {
		t.Fatal(err)
	}
	if id, err := s.PutObject(ctx, "fw", "v", []byte("1")); err != nil || id == "" {
		t.Errorf("version ID %q, %v", id, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if res, err := client.Get(s.Endpoint + healthPath); err == nil {
		res.Body.Close()
		t.Errorf("still answers after Close: %d", res.StatusCode)
	}
}

// TestStartRelative: a directory is meant from where the process stands.
func TestStartRelative(t *testing.T) {
	binary, err := Find()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Chdir(t.TempDir())
	s, err := Start(t.Context(), Options{Binary: binary, Dir: "data/s3", AccessKey: "demo", SecretKey: "demosecret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.CreateBucket(t.Context(), "fw"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("data/s3/data/fw"); err != nil {
		t.Error(err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Binary: "/bin/false", Dir: t.TempDir(), AccessKey: "a", SecretKey: "b", Address: "127.0.0.1:1"})
	if err == nil {
		t.Fatal("no error from a program that ends at once")
	}
	_, err = Start(t.Context(), Options{Binary: filepath.Join(t.TempDir(), "none"), Dir: t.TempDir(), AccessKey: "a", SecretKey: "b"})
	if err == nil {
		t.Fatal("no error without a program")
	}
}
