//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup makes a command and what it starts a group that is told to stop together.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}
