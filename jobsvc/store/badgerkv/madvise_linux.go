package badgerkv

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// adviser tells the kernel that Badger's write-ahead logs, which are mapped
// files, are written in small pieces. Without the advice the kernel keeps them in
// large pages where it can, and every sync writes megabytes for a few hundred
// bytes. Badger makes a new log whenever a memtable is full; look finds it.
type adviser struct {
	prefix  string
	advised map[string]bool // by address range
}

func newAdviser(dir string) *adviser {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return &adviser{prefix: dir + string(filepath.Separator)}
}

func (a *adviser) look() {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	found := make(map[string]bool, len(a.advised))
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		line := lines.Text()
		path := strings.IndexByte(line, '/')
		if path < 0 || !strings.HasPrefix(line[path:], a.prefix) || !strings.HasSuffix(line, ".mem") {
			continue
		}
		span, _, _ := strings.Cut(line, " ")
		// The name too: a later log may be mapped where an earlier one was.
		id := span + line[path:]
		if found[id] = a.advised[id]; !found[id] {
			found[id] = advise(span)
		}
	}
	a.advised = found
}

// advise takes an address range as in /proc/self/maps. If the log was unmapped
// in the meantime, the hint goes nowhere or to a mapping it does not harm.
func advise(span string) bool {
	from, to, _ := strings.Cut(span, "-")
	start, err1 := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	if err1 != nil || err2 != nil || end <= start {
		return false
	}
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_RANDOM)
	return errno == 0
}
