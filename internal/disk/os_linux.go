package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const flagDirectory = unix.O_DIRECTORY

// fdatasync also writes the size and the block map when they changed, as
// fdatasync(2) promises: whatever is needed to read the bytes again.
func fdatasync(f *os.File) error {
	return retry(func() error { return unix.Fdatasync(int(f.Fd())) })
}

// Allocate implements Allocator. A file system that cannot reserve leaves the
// size to grow with the writes.
func (f *osFile) Allocate(off, n int64) error {
	err := retry(func() error { return unix.Fallocate(int(f.Fd()), 0, off, n) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return f.pathError("fallocate", err)
}

// Punch implements Puncher.
func (f *osFile) Punch(off, n int64) error {
	err := retry(func() error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	// EOPNOTSUPP and ENOSYS answer to errors.ErrUnsupported.
	return f.pathError("punch", err)
}

// Flush implements Flusher.
func (f *osFile) Flush(off, n int64) error {
	return f.syncRange(off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// FlushWait implements Flusher. An error of the disk is reported here and
// perhaps not a second time by Sync.
func (f *osFile) FlushWait(off, n int64) error {
	return f.syncRange(off, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

func (f *osFile) syncRange(off, n int64, flags int) error {
	err := retry(func() error { return unix.SyncFileRange(int(f.Fd()), off, n, flags) })
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ESPIPE) {
		return nil
	}
	return f.pathError("sync_file_range", err)
}

// WillRead implements Adviser. It is advice: an error changes nothing.
func (f *osFile) WillRead(off, n int64) {
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_WILLNEED)
}

// DropCache implements Dropper. It is advice, which the kernel follows for
// pages that are clean and mapped nowhere.
func (f *osFile) DropCache(off, n int64) {
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// adviseLarge asks for large pages. It is advice: an error changes nothing.
func adviseLarge(p []byte) { _ = unix.Madvise(p, unix.MADV_HUGEPAGE) }
