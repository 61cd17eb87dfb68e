package disk

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directFile is a second descriptor of a file, for writes past the page cache.
// Page cache and direct writes agree as long as no page is written both ways at
// the same time; callers write each range one way only.
type directFile struct {
	once sync.Once
	file *os.File // nil if the file system has no direct writes; set by once
	off  atomic.Bool
}

// open opens the descriptor at the first use. That fails where the file has
// been renamed or removed, which costs no more than the page cache does.
func (d *directFile) open(f *os.File) *os.File {
	d.once.Do(func() {
		second, err := os.OpenFile(f.Name(), os.O_WRONLY|unix.O_DIRECT, 0)
		if err != nil {
			return
		}
		a, errA := f.Stat()
		b, errB := second.Stat()
		if errors.Join(errA, errB) != nil || !os.SameFile(a, b) {
			_ = second.Close() // nothing was written
			return
		}
		d.file = second
	})
	return d.file
}

func (d *directFile) close() error {
	d.once.Do(func() {})
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}

// WriteDirect implements DirectWriter.
func (f *osFile) WriteDirect(p []byte, off int64) (bool, error) {
	if len(p) == 0 || f.direct.off.Load() ||
		(uint64(off)|uint64(len(p))|uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))))%DirectAlign != 0 {
		return false, nil
	}
	d := f.direct.open(f.File)
	if d == nil {
		f.direct.off.Store(true)
		return false, nil
	}
	n, err := d.WriteAt(p, off)
	if n == 0 && errors.Is(err, unix.EINVAL) {
		f.direct.off.Store(true) // it wants a coarser alignment than ours
		return false, nil
	}
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return true, err
}
