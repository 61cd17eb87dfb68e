//go:build unix

package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// LockedError says that another process holds a lock.
type LockedError struct {
	Path   string
	Holder string // what the holder wrote about itself: its process id and host
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s is locked by %s", e.Path, e.Holder)
}

// FileLock is a held lock. It is released by Close, and by the end of the
// process however it ends.
type FileLock struct {
	f *os.File
	// dir is the directory of the file, locked as well: a lock file that is
	// removed and made again must not let a second process in.
	dir    *os.File
	holder string
}

// holderMax bounds what is read of a lock file.
const holderMax = 512

// Lock takes the lock that the file at path stands for, without waiting. If
// another process has it, the error is a *LockedError that names that process.
// The file stays when the lock is released; its existence means nothing.
func Lock(path string) (*FileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l, err := lock(f)
	if err != nil {
		// The error of interest is that there is no lock.
		_ = f.Close()
		return nil, err
	}
	if err := l.lockDir(filepath.Dir(path)); err != nil {
		_ = f.Close()
		return nil, err
	}
	return l, nil
}

func (l *FileLock) lockDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = &LockedError{Path: dir, Holder: "another process, whose lock file was removed"}
	}
	if err != nil {
		_ = d.Close()
		return err
	}
	l.dir = d
	return nil
}

func lock(f *os.File) (*FileLock, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, err := io.ReadAll(io.LimitReader(f, holderMax))
		who := strings.TrimSpace(string(holder))
		if err != nil || who == "" {
			who = "another process"
		}
		return nil, &LockedError{Path: f.Name(), Holder: who}
	}
	if err != nil {
		return nil, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	holder := fmt.Sprintf("process %d on %s", os.Getpid(), host)
	if _, err := fmt.Fprintln(f, holder); err != nil {
		return nil, err
	}
	return &FileLock{f: f, holder: holder}, nil
}

// Holder is what the lock says to others about its holder.
func (l *FileLock) Holder() string { return l.holder }

// Close releases the lock.
func (l *FileLock) Close() error { return errors.Join(l.dir.Close(), l.f.Close()) }

// Free is the number of bytes that this user may still write to the file
// system that holds path.
func Free(path string) (int64, error) {
	free, _, err := Space(path)
	return free, err
}

// Space returns what Free does, and the size of the file system in bytes.
func Space(path string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	block := int64(st.Bsize) //nolint:unconvert // the field types differ between platforms
	return int64(st.Bavail) * block, int64(st.Blocks) * block, nil
}

// Writable returns why nothing can be created in a directory, nil if it is not
// known that something is in the way. It writes nothing: a file system that was
// made read-only after a fault, or is not there any more, is found, a full one
// is not.
func Writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "access", Path: dir, Err: err}
	}
	return nil
}

// SameFS reports whether two paths are on one file system.
func SameFS(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Stat(a, &x) == nil && unix.Stat(b, &y) == nil && x.Dev == y.Dev
}
