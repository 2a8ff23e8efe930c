package badgerkv

import (
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
	"github.com/thingjobs/thingjobs/jobsvc/store/memkv"
)

// TestExportToMemory and back: the stream does not depend on the store.
func TestExportToMemory(t *testing.T) {
	memory := func(t *testing.T, dir string) kv.DB { return memkv.Open(memkv.Options{ScopeOf: kvtest.ScopeOf}) }
	kvtest.RoundTrip(t, memory, openWith(Options{}))
	kvtest.RoundTrip(t, openWith(Options{}), memory)
}
