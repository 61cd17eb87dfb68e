package disk_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

// both runs a test on the real file system and on the one that crashes: what a
// test learns from the second must hold for the first.
func both(t *testing.T, run func(t *testing.T, fsys disk.FS, dir string)) {
	t.Parallel()
	t.Run("os", func(t *testing.T) {
		t.Parallel()
		run(t, disk.NewOS(), t.TempDir())
	})
	t.Run("crashfs", func(t *testing.T) {
		t.Parallel()
		fsys := crashfs.New()
		if err := disk.MkdirAll(fsys, "/a/b"); err != nil {
			t.Fatal(err)
		}
		run(t, fsys, "/a/b")
	})
}

func list(t *testing.T, fsys disk.FS, dir string) []string {
	t.Helper()
	var names []string
	err := fsys.List(dir, func(name string) error { names = append(names, name); return nil })
	if err != nil {
		t.Errorf("List: %v", err)
	}
	slices.Sort(names)
	return names
}

func TestNames(t *testing.T) {
	both(t, func(t *testing.T, fsys disk.FS, dir string) {
		path := filepath.Join(dir, "one")
		if _, err := fsys.Open(path, os.O_RDWR); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opening a missing file: %v", err)
		}
		f, err := fsys.Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fsys.Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL); !errors.Is(err, fs.ErrExist) {
			t.Errorf("making a file again: %v", err)
		}
		if err := fsys.Mkdir(filepath.Join(dir, "sub")); err != nil {
			t.Error(err)
		}
		if err := fsys.Mkdir(filepath.Join(dir, "sub")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("making a directory again: %v", err)
		}
		if got := list(t, fsys, dir); !slices.Equal(got, []string{"one", "sub"}) {
			t.Errorf("List: %v", got)
		}
		moved := filepath.Join(dir, "sub", "two")
		if err := fsys.Rename(path, moved); err != nil {
			t.Error(err)
		}
		if err := fsys.Rename(path, moved); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("renaming what is gone: %v", err)
		}
		if _, err := f.WriteAt([]byte("hello"), 3); err != nil {
			t.Error(err)
		}
		if err := fsys.Remove(moved); err != nil {
			t.Error(err)
		}
		if err := fsys.Remove(moved); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("removing what is gone: %v", err)
		}
		p := make([]byte, 8)
		if _, err := f.ReadAt(p, 0); err != nil || string(p) != "\x00\x00\x00hello" {
			t.Errorf("reading a removed file: %q, %v", p, err)
		}
		if err := errors.Join(f.Sync(), f.Close(), fsys.SyncDir(dir)); err != nil {
			t.Error(err)
		}
		if err := fsys.SyncDir(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("syncing a missing directory: %v", err)
		}
	})
}

func TestContent(t *testing.T) {
	both(t, func(t *testing.T, fsys disk.FS, dir string) {
		f, err := fsys.Open(filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte{7}, 40_000)
		if _, err := f.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(disk.Punch(f, 4096, 8192), disk.Allocate(f, 40_000, 10_000)); err != nil {
			t.Error(err)
		}
		disk.WillRead(f, 0, 4096)
		clear(want[4096 : 4096+8192])
		want = append(want, make([]byte, 10_000)...)
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("content differs after a punch and an allocation: %v", err)
		}
		if err := f.Truncate(10); err != nil {
			t.Error(err)
		}
		if size, err := f.Size(); size != 10 || err != nil {
			t.Errorf("size %d, %v", size, err)
		}
		if n, err := f.ReadAt(got, 5); n != 5 || err == nil {
			t.Errorf("reading over the end: %d, %v", n, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestWriteFile(t *testing.T) {
	both(t, func(t *testing.T, fsys disk.FS, dir string) {
		deep := filepath.Join(dir, "x", "y")
		if err := errors.Join(disk.MkdirAll(fsys, deep), disk.MkdirAll(fsys, deep)); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"a longer text", "short", ""} {
			path := filepath.Join(deep, "file")
			if err := disk.WriteFile(fsys, path, []byte(text)); err != nil {
				t.Fatal(err)
			}
			f, err := fsys.Open(path, os.O_RDONLY)
			if err != nil {
				t.Fatal(err)
			}
			if size, err := f.Size(); size != int64(len(text)) || err != nil {
				t.Errorf("size %d, %v, want %d", size, err, len(text))
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := list(t, fsys, deep); !slices.Equal(got, []string{"file"}) {
			t.Errorf("left behind: %v", got)
		}
	})
}

func TestCreateFile(t *testing.T) {
	both(t, func(t *testing.T, fsys disk.FS, dir string) {
		path := filepath.Join(dir, "file")
		if err := disk.CreateFile(fsys, path, []byte("first")); err != nil {
			t.Fatal(err)
		}
		if err := disk.CreateFile(fsys, path, []byte("second")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("made twice: %v", err)
		}
		f, err := fsys.Open(path, os.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got := make([]byte, 5)
		if _, err := f.ReadAt(got, 0); err != nil || string(got) != "first" {
			t.Errorf("the file holds %q, %v", got, err)
		}
	})
}

// TestCreateFileCrash fails each operation of CreateFile and cuts the power
// after it: what it made is there if it said so, and what was there before is
// never touched.
func TestCreateFileCrash(t *testing.T) {
	t.Parallel()
	for _, fault := range []crashfs.Fault{crashfs.Lost, crashfs.Persisted, crashfs.PowerCut} {
		for n := 1; ; n++ {
			fsys := crashfs.New()
			fsys.Fail(n, fault)
			err := disk.CreateFile(fsys, "f", []byte("text"))
			if !fsys.Failed() {
				break
			}
			for _, keep := range []crashfs.Keep{crashfs.KeepNone, crashfs.KeepAll} {
				if got := string(fsys.Crash(keep, nil).ReadFile("f")); err == nil && got != "text" {
					t.Errorf("operation %d fails (%d), and after a crash the file has %q", n, fault, got)
				}
			}
		}
	}
}

// TestWriteFileCrash fails each operation of WriteFile and cuts the power
// after it: the file has the old content or the new, and the new if WriteFile
// said so.
func TestWriteFileCrash(t *testing.T) {
	t.Parallel()
	for _, fault := range []crashfs.Fault{crashfs.Lost, crashfs.Persisted, crashfs.PowerCut} {
		for n := 1; ; n++ {
			fsys := crashfs.New()
			if err := disk.WriteFile(fsys, "f", []byte("old")); err != nil {
				t.Fatal(err)
			}
			fsys.Fail(n, fault)
			err := disk.WriteFile(fsys, "f", []byte("newer"))
			if fired := fsys.Failed(); !fired {
				break
			}
			for _, keep := range []crashfs.Keep{crashfs.KeepNone, crashfs.KeepAll} {
				got := string(fsys.Crash(keep, nil).ReadFile("f"))
				if got != "newer" && (got != "old" || err == nil) {
					t.Errorf("operation %d fails (%d): %v, and after a crash the file has %q", n, fault, err, got)
				}
			}
		}
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := disk.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = disk.Lock(path)
	var locked *disk.LockedError
	if !errors.As(err, &locked) || !strings.Contains(locked.Holder, "process ") {
		t.Errorf("second lock: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	again, err := disk.Lock(path)
	if err != nil {
		t.Fatalf("lock after release: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestFree(t *testing.T) {
	t.Parallel()
	if n, err := disk.Free(t.TempDir()); n <= 0 || err != nil {
		t.Errorf("Free: %d, %v", n, err)
	}
	if _, err := disk.Free("/nowhere/at/all"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Free of a missing path: %v", err)
	}
}

// TestWriteDirect writes every second page past the page cache and the others
// through it, and reads all of them back; what is not aligned is left to the
// caller.
func TestWriteDirect(t *testing.T) {
	t.Parallel()
	fsys := disk.NewOS()
	f, err := fsys.Open(filepath.Join(t.TempDir(), "file"), os.O_CREATE|os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const pages = 64
	want := make([]byte, pages*disk.DirectAlign) // large enough to be aligned
	for i := range want {
		want[i] = byte(i / 7)
	}
	for i := range pages {
		p, off := want[i*disk.DirectAlign:][:disk.DirectAlign], int64(i*disk.DirectAlign)
		if i%2 == 0 {
			done, err := disk.WriteDirect(f, p, off)
			if err != nil {
				t.Fatal(err)
			}
			if done {
				continue
			}
		}
		if _, err := f.WriteAt(p, off); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ from, to, off int }{{0, 100, 0}, {1, 1 + disk.DirectAlign, 0}, {0, disk.DirectAlign, 512}, {0, 0, 0}} {
		if done, err := disk.WriteDirect(f, want[c.from:c.to], int64(c.off)); done || err != nil {
			t.Errorf("bytes %d to %d at %d: written %v, %v", c.from, c.to, c.off, done, err)
		}
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read back: %v, equal %v", err, bytes.Equal(got, want))
	}
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
}
