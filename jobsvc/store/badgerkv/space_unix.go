//go:build linux || darwin || freebsd

package badgerkv

import "golang.org/x/sys/unix"

// freeBytes is the space an ordinary user may still fill on the disk of dir.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
