package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFindArtefact(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("0f", 32)
	std := artefactKeys{url: "url", sha256: "sha256", size: "size"}
	for _, test := range []struct {
		name, document string
		keys           artefactKeys
		want           string // URL and size, or "" for none
		err            string
	}{
		{"top", `{"url":"https://s/a&b","sha256":"` + hash + `","size":12}`, std, "https://s/a&b 12", ""},
		{"size as text", `{"url":"http://s/a","sha256":"sha256:` + strings.ToUpper(hash) + `","size":"12"}`, std, "http://s/a 12", ""},
		{"no size", `{"url":"http://s/a","sha256":"` + hash + `","size":null}`, std, "http://s/a -1", ""},
		{"deep", `{"a":{"url":"http://s/no"},"b":[1,{"c":{"sha256":"` + hash + `","url":"http://s/yes"}}]}`, std, "http://s/yes -1", ""},
		{"first of two", `{"files":[{"url":"http://s/1","sha256":"` + hash + `"},{"url":"http://s/2","sha256":"` + hash + `"}]}`, std, "http://s/1 -1", ""},
		{"outer before inner", `{"x":{"url":"http://s/in","sha256":"` + hash + `"},"url":"http://s/out","sha256":"` + hash + `"}`, std, "http://s/out -1", ""},
		{"other names", `{"file":{"href":"http://s/a","digest":"` + hash + `"}}`, artefactKeys{"href", "digest", "bytes"}, "http://s/a -1", ""},
		{"text of a document", `"{\"url\":\"http://s/a\",\"sha256\":\"` + hash + `\"}"`, std, "http://s/a -1", ""},
		{"none", `{"operation":"reboot","url":7}`, std, "", ""},
		{"not an object", `[1,2]`, std, "", ""},
		{"placeholder left", `{"url":"${aws:iot:s3-presigned-url:x}","sha256":"` + hash + `"}`, std, "", "not an http"},
		{"short hash", `{"url":"http://s/a","sha256":"0f"}`, std, "", "64 hexadecimal"},
		{"negative size", `{"url":"http://s/a","sha256":"` + hash + `","size":-1}`, std, "", "size in bytes"},
		{"not JSON", `"{"`, std, "", "not JSON"},
	} {
		a, err := test.keys.find(json.RawMessage(test.document))
		got := ""
		if a != nil {
			got = fmt.Sprint(a.url, " ", a.size)
		}
		if got != test.want || (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: got %q, %v; want %q, %q", test.name, got, err, test.want, test.err)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	count := make(map[string]int)
	const n = 4000
	for i := range n {
		key := executionKey{fmt.Sprint("job-", i%10), int64(i % 3)}
		thing := fmt.Sprint("dev-", i/10)
		d := decide(3, thing, key, odds{fail: 10, reject: 5}, time.Second)
		if again := decide(3, thing, key, odds{fail: 10, reject: 5}, time.Second); again != d {
			t.Fatalf("drawn twice: %v, %v", d, again)
		}
		if d.work < time.Second/2 || d.work > 3*time.Second/2 {
			t.Errorf("work %v", d.work)
		}
		count[d.status]++
	}
	if f, r := count[statusFailed], count[statusRejected]; f < n*8/100 || f > n*12/100 || r < n*4/100 || r > n*6/100 {
		t.Errorf("drawn %v, want about 10 %% FAILED and 5 %% REJECTED", count)
	}
	if d := decide(1, "t", executionKey{"j", 1}, odds{fail: 100}, 0); d.status != statusFailed || d.work != 0 {
		t.Errorf("--fail 100: %+v", d)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := backoff{base: 10 * time.Second}
	var got []int
	for range 9 {
		got = append(got, int(b.next(0)/time.Second))
	}
	if want := "[10 20 40 80 160 320 640 640 640]"; fmt.Sprint(got) != want {
		t.Errorf("windows %v, want %s", got, want)
	}
	if d := (&backoff{base: time.Second}).next(time.Minute); d != 0 {
		t.Errorf("overdue: waits %v", d)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	b := newTestBroker(t)
	b.enroll(3)
	broken := func(dir, file string) {
		if err := os.Remove(filepath.Join(b.dir, dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	broken("dev-01", "device.key")
	broken("dev-02", "config.json")
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"no folder", nil, []string{"--devices"}},
		{"missing", []string{"--devices", b.dir + "/none"}, []string{"no such file"}},
		{"unusable folders", []string{"--devices", b.dir}, []string{
			"2 unusable device folders", "dev-01: device.key: no such file", "dev-02: config.json: no such file"}},
		{"too few", []string{"--devices", b.dir, "--things", "dev-00", "--count", "2"}, []string{"2 devices wanted"}},
		{"no match", []string{"--devices", b.dir, "--things", "x*"}, []string{"no device folder"}},
		{"odds", []string{"--devices", b.dir, "--fail", "80", "--reject", "30"}, []string{"together at most 100"}},
		{"unknown", []string{"--devices", b.dir, "--frobnicate"}, []string{"unknown flag"}},
		{"root", []string{"--devices", b.dir, "--ca", b.dir + "/dev-00/device.key"}, []string{"no certificate in PEM form"}},
	} {
		var out, errs bytes.Buffer
		if got := command(t.Context(), test.args, &out, &errs); got != exitUsage {
			t.Errorf("%s: exit status %d", test.name, got)
		}
		for _, want := range test.want {
			if !strings.Contains(errs.String(), want) {
				t.Errorf("%s: %q does not say %q", test.name, errs.String(), want)
			}
		}
		if out.Len() > 0 {
			t.Errorf("%s: wrote %q", test.name, out.String())
		}
	}
	var out, errs bytes.Buffer
	if got := command(t.Context(), []string{"fleet", "--help"}, &out, &errs); got != exitOK || !strings.Contains(out.String(), "--until-jobs") {
		t.Errorf("--help: %d, %q", got, out.String())
	}
}

// TestSummary: without --json there is a summary and nothing else.
func TestSummary(t *testing.T) {
	t.Parallel()
	b := newBench(t, 2, 1000)
	for _, thing := range b.things {
		b.create(thing, "fw", b.store.document)
	}
	var out, errs bytes.Buffer
	args := b.args(t)
	for i, a := range args {
		if a == "--json" {
			args = append(args[:i], args[i+1:]...)
			break
		}
	}
	if got := command(context.Background(), args, &out, &errs); got != exitOK || errs.Len() > 0 {
		t.Errorf("exit status %d, stderr %q", got, errs.String())
	}
	for _, want := range []string{"2 devices in", "2 SUCCEEDED", "2 verified, 2000 bytes", "start-next"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("summary does not say %q:\n%s", want, out.String())
		}
	}
}

func TestFileLimit(t *testing.T) {
	t.Parallel()
	if err := checkFileLimit(1, 1, true); err != nil {
		t.Errorf("one device: %v", err)
	}
	if err := checkFileLimit(1<<30, 1, true); err != nil && !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("no advice: %v", err)
	}
}
