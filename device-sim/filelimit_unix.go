//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// checkFileLimit refuses a fleet that would run out of file descriptors in the middle. (The Go
// runtime has already raised the soft limit to the hard one.)
func checkFileLimit(devices, downloads int, keep bool) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil // unknown: let it try
	}
	perDownload := 1
	if keep {
		perDownload = 2
	}
	need := uint64(devices + downloads*perDownload + 32)
	if have := uint64(limit.Cur); have < need {
		return fmt.Errorf("%d devices and %d downloads at a time need %d open files, the limit is %d: "+
			"raise it (ulimit -n %d, or LimitNOFILE= in a unit), or use fewer (--count, --max-downloads)",
			devices, downloads, need, have, need)
	}
	return nil
}
