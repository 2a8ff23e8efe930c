//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuOfSelf is the processor time this process has used.
func cpuOfSelf() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
