package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// syncDisks writes what all programs left in the page cache.
func syncDisks() { unix.Sync() }

// dropCaches makes the next read of a directory's files come from the disk. As
// root it drops the whole page cache, else the pages of those files.
func dropCaches(dir string) error {
	syncDisks()
	if os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
	})
}

// processors is what all programs had of the processors since the machine began,
// and what other machines of its host took of what they wanted, in ticks.
// Negative: unknown.
func processors() (used, stolen float64) {
	stat, err := os.ReadFile("/proc/stat")
	first, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(first) // cpu user nice system idle iowait irq softirq steal …
	if err != nil || len(fields) < 9 || fields[0] != "cpu" {
		return -1, -1
	}
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseFloat(field, 64)
		switch {
		case err != nil:
			return -1, -1
		case i == 7:
			stolen = ticks
		case i != 3 && i != 4:
			used += ticks
		}
	}
	return used, stolen
}
