package disk_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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

// TestTransfers writes every second page past the page cache and the others
// through it, and reads all of them back both ways. What is not aligned, or too
// much at a time, is left to the caller.
func TestTransfers(t *testing.T) {
	t.Parallel()
	fsys := disk.NewOS()
	dir := t.TempDir()
	f, err := fsys.Open(filepath.Join(dir, "file"), os.O_CREATE|os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const pages, depth, page = 64, 3, disk.DirectAlign
	transfers := disk.NewTransfers(depth)
	want := make([]byte, pages*page) // large enough to be aligned
	for i := range want {
		want[i] = byte(i / 7)
	}
	next := func() []byte {
		p, err := transfers.Next()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for i := range pages {
		p, off := want[i*page:][:page], int64(i*page)
		if transfers.Len() == depth {
			if started, err := transfers.StartWrite(f, p, off); started || err != nil {
				t.Fatalf("one too many was started: %v, %v", started, err)
			}
			next()
		}
		if i%2 == 0 {
			started, err := transfers.StartWrite(f, p, off)
			if err != nil {
				t.Fatal(err)
			}
			if started {
				continue
			}
			if runtime.GOOS == "linux" {
				t.Error("a write was not started")
			}
		}
		if _, err := f.WriteAt(p, off); err != nil {
			t.Fatal(err)
		}
	}
	for transfers.Len() > 0 {
		next()
	}
	for _, c := range []struct{ from, to, off int }{{0, 100, 0}, {1, 1 + page, 0}, {0, page, 512}, {0, 0, 0}} {
		if started, err := transfers.StartWrite(f, want[c.from:c.to], int64(c.off)); started || err != nil {
			t.Errorf("bytes %d to %d at %d: started %v, %v", c.from, c.to, c.off, started, err)
		}
		if started, err := transfers.StartRead(f, want[c.from:c.to], int64(c.off)); started || err != nil {
			t.Errorf("bytes %d to %d from %d: started %v, %v", c.from, c.to, c.off, started, err)
		}
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read back: %v, equal %v", err, bytes.Equal(got, want))
	}
	if err := errors.Join(f.Truncate(pages*page-100), f.Sync(), fsys.Rename(filepath.Join(dir, "file"), filepath.Join(dir, "moved"))); err != nil {
		t.Fatal(err)
	}
	clear(got)
	for i := range pages {
		started, err := transfers.StartRead(f, got[i*page:][:page], int64(i*page))
		if err != nil {
			t.Fatal(err)
		}
		if !started {
			t.Log("this file system has no direct reads")
			break
		}
		switch p := next(); {
		case i < pages-1 && !bytes.Equal(p, want[i*page:][:page]):
			t.Errorf("page %d reads as others", i)
		case i == pages-1 && !bytes.Equal(p, want[i*page:pages*page-100]):
			t.Errorf("the last page reads as %d bytes", len(p))
		}
	}
	if started, err := transfers.StartRead(f, got[:page], 0); err != nil || started && transfers.Close() == nil {
		t.Errorf("closed with a transfer under way; %v", err)
	}
	for transfers.Len() > 0 {
		next()
	}
	if err := transfers.Close(); err != nil {
		t.Error(err)
	}
}

// TestCached asks for what is in memory of a file that was read, and after its
// cache was dropped.
func TestCached(t *testing.T) {
	t.Parallel()
	fsys, name := disk.NewOS(), filepath.Join(t.TempDir(), "file")
	const size = 1<<20 + 100
	if err := disk.WriteFile(fsys, name, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Open(name, os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(make([]byte, size), 0); err != nil {
		t.Fatal(err)
	}
	if got := disk.Cached(f, 4096, size-4096); got != size-4096 && runtime.GOOS == "linux" {
		t.Errorf("%d bytes are in memory, want %d", got, size-4096)
	}
	disk.DropCache(f, 0, 0)
	for range 2 { // asking reads nothing
		if got := disk.Cached(f, 4096, size-4096); got >= size/2 {
			t.Errorf("%d bytes are in memory after it was dropped", got)
		}
	}
}

// TestTransferFails writes where no file system has room.
func TestTransferFails(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("transfers are those of Linux")
	}
	fsys, name := disk.NewOS(), filepath.Join(t.TempDir(), "file")
	p := make([]byte, 16*disk.DirectAlign)
	if err := disk.WriteFile(fsys, name, p); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Open(name, os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	transfers := disk.NewTransfers(2)
	defer transfers.Close()
	started, err := transfers.StartWrite(f, p, 1<<62)
	if started {
		_, err = transfers.Next()
	}
	if err == nil {
		t.Error("a write beyond all limits succeeded")
	}
}
