package badgerkv

import (
	"fmt"
	"time"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
)

// spaceGuard refuses updates in time, before Badger finds the disk full: it
// would retry forever and never close. It belongs to the committer.
type spaceGuard struct {
	dir     string
	minimum int64 // no check when negative
	free    func(dir string) (int64, error)
	looked  time.Time
	err     error
}

// check looks at the disk at most once a second. A disk whose free space is not
// known counts as having some.
func (g *spaceGuard) check() error {
	if g.minimum < 0 || time.Since(g.looked) < time.Second {
		return g.err
	}
	g.looked, g.err = time.Now(), nil
	if free, err := g.free(g.dir); err == nil && free < g.minimum {
		g.err = fmt.Errorf("%w: %d MiB free on the disk of %s, %d wanted", kv.ErrUnavailable, free>>20, g.dir, g.minimum>>20)
	}
	return g.err
}
