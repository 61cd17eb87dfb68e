package disk

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directFile is a second descriptor of a file, for reads or writes past the page
// cache. Both ways agree as long as no page is written both ways at the same
// time; callers write each range one way only.
type directFile struct {
	once sync.Once
	file *os.File // nil if the file system has no direct transfers; set by once
	off  atomic.Bool
}

// open opens the descriptor at the first use. A file that was renamed since is
// found by way of its first descriptor; one that cannot be found costs no more
// than the page cache does.
func (d *directFile) open(f *os.File, flag int) *os.File {
	d.once.Do(func() {
		for _, name := range []string{f.Name(), fmt.Sprintf("/proc/self/fd/%d", f.Fd())} {
			if d.file = openDirect(f, name, flag); d.file != nil {
				return
			}
		}
	})
	return d.file
}

// openDirect opens a name for direct transfers if it is that of f.
func openDirect(f *os.File, name string, flag int) *os.File {
	second, err := os.OpenFile(name, flag|unix.O_DIRECT, 0)
	if err != nil {
		return nil
	}
	a, errA := f.Stat()
	b, errB := second.Stat()
	if errors.Join(errA, errB) != nil || !os.SameFile(a, b) {
		_ = second.Close() // nothing was written
		return nil
	}
	return second
}

func (d *directFile) close() error {
	d.once.Do(func() {})
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}

// aligned reports whether a direct transfer may have this place in memory and in
// the file.
func aligned(p []byte, off int64) bool {
	return len(p) > 0 && (uint64(off)|uint64(len(p))|uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))))%DirectAlign == 0
}

// Cached implements Prober. A read that must not wait would tell too, but it
// begins to fetch what is not there.
func (f *osFile) Cached(off, n int64) (cached int64) {
	pages, err := unix.Mmap(int(f.Fd()), off, int(n), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0
	}
	page := int64(os.Getpagesize())
	resident := make([]byte, (n+page-1)/page)
	_, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&pages[0])), uintptr(n), uintptr(unsafe.Pointer(&resident[0])))
	if err := unix.Munmap(pages); err != nil || e != 0 {
		return 0
	}
	for _, r := range resident {
		cached += int64(r & 1)
	}
	return min(cached*page, n)
}
