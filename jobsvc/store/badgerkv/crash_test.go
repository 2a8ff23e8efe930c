package badgerkv

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/thingjobs/thingjobs/jobsvc/store/kv"
	"github.com/thingjobs/thingjobs/jobsvc/store/kvtest"
)

const crashDirEnv = "BADGERKV_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		crashChild(dir)
	}
	os.Exit(m.Run())
}

const crashWorkers = 12

// TestKill kills a process that writes, again and again, and checks after each
// time that all it acknowledged is there and no transaction is there in part.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 4 {
		acked := killChild(t, dir, 400)
		db := open(t, dir, Options{})
		checkAfterKill(t, db, acked)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killChild starts a process that writes to dir, kills it after a number of
// acknowledged transactions and returns the last of each worker.
func killChild(t *testing.T, dir string, after int) map[int]int {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe, "-test.run=^$")
	child.Env = append(os.Environ(), crashDirEnv+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	acked := make(map[int]int)
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var w, i int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &i); err != nil {
			t.Fatalf("child says %q", lines.Text())
		}
		acked[w] = i
		if n == after {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	return acked
}

func checkAfterKill(t *testing.T, db *DB, acked map[int]int) {
	t.Helper()
	ctx := context.Background()
	counters, err := db.Counters(ctx, kvtest.FreeCounter(""))
	if err != nil {
		t.Fatal(err)
	}
	for w := range crashWorkers {
		s := kv.Thing(strconv.Itoa(w))
		items, err := db.Get(ctx, kvtest.Key(s, "a"), kvtest.Key(s, "b"))
		if err != nil {
			t.Fatal(err)
		}
		a, _ := strconv.Atoi(string(items[0].Value))
		b, _ := strconv.Atoi(strings.TrimRight(string(items[1].Value), "."))
		rows, _, err := db.Scan(ctx, kv.Prefix(kvtest.Key(s, "row/"), 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if n := counters["#"+s.ID]; a != b || a != len(rows) || int64(a) != n {
			t.Errorf("%s is torn: %d, %d, %d rows, counter %d", s, a, b, len(rows), n)
		}
		if a < acked[w] {
			t.Errorf("%s: %d was acknowledged, %d is there", s, acked[w], a)
		}
	}
}

// crashChild writes until it is killed, and prints each transaction once it is
// acknowledged.
func crashChild(dir string) {
	db, err := Open(Options{Dir: dir, ScopeOf: kvtest.ScopeOf, MemTableSize: 16 << 20, MinFreeBytes: -1})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	failed := make(chan error)
	for w := range crashWorkers {
		go func() {
			for {
				n, err := crashStep(db, kv.Thing(strconv.Itoa(w)))
				if err != nil {
					failed <- err
				}
				fmt.Fprintf(os.Stdout, "%d %d\n", w, n)
			}
		}()
	}
	fmt.Println(<-failed)
	os.Exit(1)
}

func crashStep(db *DB, s kv.Scope) (int, error) {
	events, err := db.Update(context.Background(), s, func(tx kv.Tx) error {
		items, err := tx.Get(kvtest.Key(s, "a"))
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(items[0].Value))
		n++
		tx.Put(kvtest.Key(s, "a"), []byte(strconv.Itoa(n)))
		tx.Put(kvtest.Key(s, fmt.Sprintf("row/%08d", n)), make([]byte, 9000))
		tx.Add(kvtest.FreeCounter(s.ID), 1)
		tx.Put(kvtest.Key(s, "b"), []byte(strconv.Itoa(n)+strings.Repeat(".", 100)))
		tx.After(n)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return events[0].(int), nil
}
