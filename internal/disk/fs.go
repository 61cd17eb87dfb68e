package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// FS is a file system. Methods may be called at the same time from many
// goroutines. Errors answer to errors.Is with fs.ErrExist and fs.ErrNotExist,
// and IsFull tells whether space is what was missing.
type FS interface {
	// Open opens a file; flag is a combination of os.O_RDONLY, os.O_RDWR,
	// os.O_CREATE and os.O_EXCL. A new file has size zero and its name is not
	// durable before SyncDir.
	Open(name string, flag int) (File, error)
	// Rename moves a file, replacing what is at the new name. After a crash it
	// is at one of the two names.
	Rename(from, to string) error
	// Remove removes a file or an empty directory. Open files stay readable.
	Remove(name string) error
	// Mkdir makes one directory.
	Mkdir(name string) error
	// List calls fn with the base name of each entry of a directory, in no
	// order, and stops at its first error. Memory does not grow with the
	// directory. Entries made or removed meanwhile may or may not be shown.
	List(dir string, fn func(name string) error) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
}

// File is an open file. Methods may be called at the same time from many
// goroutines.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the content and the size durable.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// Allocator is a File that can reserve space, so that a full disk is found
// before the writing begins. The file's size becomes at least off+n.
type Allocator interface {
	Allocate(off, n int64) error
}

// Puncher is a File that can give back the space of a range, which then reads
// as zeros. The size stays. A file system that cannot do that keeps the range as it
// is; the error answers to errors.Is with errors.ErrUnsupported.
type Puncher interface {
	Punch(off, n int64) error
}

// Flusher is a File that can begin writing a range back to the disk without
// waiting, and wait for one begun before. Neither makes anything durable.
type Flusher interface {
	Flush(off, n int64) error
	FlushWait(off, n int64) error
}

// DirectAlign is what the offset, the length and the address of a direct
// transfer must be multiples of.
const DirectAlign = 4096

// Prober is a File that can tell how much of a range is in memory, without
// reading it. The range begins at a multiple of DirectAlign.
type Prober interface {
	Cached(off, n int64) int64
}

// Cached is how many of n bytes from offset off are in memory, none if f cannot
// tell.
func Cached(f File, off, n int64) int64 {
	if p, ok := f.(Prober); ok {
		return p.Cached(off, n)
	}
	return 0
}

// Adviser is a File that can be told that a range will be read soon.
type Adviser interface {
	WillRead(off, n int64)
}

// Dropper is a File that can drop what is cached of a range, so that the next
// read of it comes from the disk. What is not yet synced stays cached.
type Dropper interface {
	DropCache(off, n int64)
}

// Allocate reserves space if f can; if it cannot, there is nothing to do.
func Allocate(f File, off, n int64) error {
	if a, ok := f.(Allocator); ok {
		return a.Allocate(off, n)
	}
	return nil
}

// Punch gives back the space of a range if f can, else the error answers to
// errors.Is with errors.ErrUnsupported.
func Punch(f File, off, n int64) error {
	if p, ok := f.(Puncher); ok {
		return p.Punch(off, n)
	}
	return errors.ErrUnsupported
}

// WillRead announces a read if f can make use of it.
func WillRead(f File, off, n int64) {
	if a, ok := f.(Adviser); ok {
		a.WillRead(off, n)
	}
}

// DropCache makes the next read of a range come from the disk if f can.
func DropCache(f File, off, n int64) {
	if d, ok := f.(Dropper); ok {
		d.DropCache(off, n)
	}
}

// IsFull reports whether err says that there is no space left, or none left
// for this user.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// IsUnreadable reports whether err says that the medium, or the file system by its
// own checksums, does not give the bytes of this place.
func IsUnreadable(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EBADMSG)
}

// MkdirAll makes a directory and its missing parents, all of them durable. It
// syncs the parent even of a directory that exists, since whoever made it may
// have crashed before doing so.
func MkdirAll(fsys FS, dir string) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if parent == dir {
		return nil
	}
	err := fsys.Mkdir(dir)
	if errors.Is(err, os.ErrNotExist) {
		if err = MkdirAll(fsys, parent); err == nil {
			err = fsys.Mkdir(dir)
		}
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	made := err == nil
	err = fsys.SyncDir(parent)
	if err != nil && made {
		// The name may be lost, and no later sync would save it: whoever tries again
		// shall make it again. The first error is the one to report.
		_ = fsys.Remove(dir)
	}
	return err
}

// WriteFile replaces the content of a file, durably and as a whole: after a
// crash the file has its old content or the new. What a crash leaves at
// name+".new" is overwritten by the next call.
func WriteFile(fsys FS, name string, data []byte) error {
	tmp := name + ".new"
	if err := writeNew(fsys, tmp, os.O_RDWR|os.O_CREATE, data); err != nil {
		// Whatever is there is useless; the first error is the one to report.
		_ = fsys.Remove(tmp)
		return err
	}
	// The content is durable under the temporary name. A crash from here on
	// leaves the old content or the new one under the real name.
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

// CreateFile makes a file with a content, durably, where there is nothing. A
// crash may leave a part of it.
func CreateFile(fsys FS, name string, data []byte) error {
	err := writeNew(fsys, name, os.O_RDWR|os.O_CREATE|os.O_EXCL, data)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		_ = fsys.Remove(name) // the first error is the one to report
	}
	if err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeNew(fsys FS, name string, flag int, data []byte) (err error) {
	f, err := fsys.Open(name, flag)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Sync()
}
