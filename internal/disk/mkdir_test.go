package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

// TestMkdirAllAgain makes a directory whose sync fails, and makes it again: what
// is durable in it must be there after a crash.
func TestMkdirAllAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]crashfs.Fault{"lost": crashfs.Lost, "persisted": crashfs.Persisted} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := crashfs.New()
			f.Fail(2, fault) // the sync after the making
			if err := disk.MkdirAll(f, "dir"); err == nil {
				t.Fatal("MkdirAll whose sync failed = nil")
			}
			if err := disk.MkdirAll(f, "dir"); err != nil {
				t.Fatal(err)
			}
			if err := disk.CreateFile(f, "dir/file", []byte("kept")); err != nil {
				t.Fatal(err)
			}
			after := f.Crash(crashfs.KeepNone, nil)
			g, err := after.Open("dir/file", os.O_RDONLY)
			if errors.Is(err, fs.ErrNotExist) {
				t.Fatal("the directory was lost, with a file that was durable in it")
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = g.Close()
		})
	}
}
