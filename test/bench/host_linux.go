package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

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
