package load

import (
	"bufio"
	"strings"
	"testing"
)

func TestSkipAnswer(t *testing.T) {
	good := "HTTP/1.1 200 OK\r\nServer: x:y\r\ncontent-length: 3\r\n\r\nabc"
	in := bufio.NewReader(strings.NewReader(good + good))
	for range 2 {
		if err := skipAnswer(in); err != nil {
			t.Error(err)
		}
	}
	for name, bad := range map[string]string{
		"status":    strings.Replace(good, "200", "403", 1),
		"no length": strings.Replace(good, "content-length", "x", 1),
		"length":    strings.Replace(good, ": 3", ": x", 1),
		"short":     good[:len(good)-1],
		"nothing":   "",
	} {
		if err := skipAnswer(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
