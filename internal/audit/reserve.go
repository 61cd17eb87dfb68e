package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"moraine/internal/disk"
)

// reserveStep is what is taken from the reserve at once, in bytes. It is less
// than uploads leave free, so that no upload takes it first.
const reserveStep = 1 << 20

// reserve is a file that holds space for a full disk. It gets smaller when the
// log needs space and there is none, and whole again when there is. A nil
// reserve holds nothing.
type reserve struct {
	fsys disk.FS
	dir  string
	want int64
	free func() (int64, error)
	log  *slog.Logger

	mu   sync.Mutex // guards size
	size int64      // of the file
}

// openReserve makes a reserve of what an earlier process left of it.
func openReserve(c *Config) (*reserve, error) {
	r := &reserve{fsys: c.FS, dir: c.Dir, want: c.Reserve, free: c.Free, log: c.Log}
	f, err := r.fsys.Open(r.path(), os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the reserve of the audit log: %w", err)
	}
	if r.size, err = f.Size(); err == nil && r.size > r.want {
		r.size = r.want
		err = f.Truncate(r.want)
	}
	return r, errors.Join(err, f.Close())
}

func (r *reserve) path() string { return filepath.Join(r.dir, reserveName) }

// wanting reports whether some of the reserve is missing.
func (r *reserve) wanting() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size < r.want
}

// release gives some of the reserve back to the disk, and reports whether
// there was any.
func (r *reserve) release() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size == 0 {
		return false
	}
	f, err := r.fsys.Open(r.path(), os.O_RDWR)
	if err != nil {
		r.log.Error("the reserve of the audit log cannot be used", "err", err)
		return false
	}
	defer f.Close()
	left := max(0, r.size-reserveStep)
	if err := f.Truncate(left); err != nil {
		r.log.Error("the reserve of the audit log cannot be used", "err", err)
		return false
	}
	if r.size == r.want {
		r.log.Error("the disk is full; the audit log goes on in the space reserved for it", "bytes", r.size)
	}
	r.size = left
	// Some file systems use space again only when the change that freed it is
	// durable. If it is not, the next write tells.
	_ = f.Sync()
	return true
}

// refill makes the reserve whole if that leaves at least as much space to
// others.
func (r *reserve) refill() {
	if !r.wanting() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := r.want - r.size
	if r.free != nil {
		if free, err := r.free(); err != nil || free-missing < r.want {
			return
		}
	}
	err := r.grow()
	switch {
	case err == nil:
		r.size = r.want
	case !disk.IsFull(err):
		r.log.Error("the reserve of the audit log cannot be made", "err", err)
	}
}

// grow takes what is missing, or nothing of it.
func (r *reserve) grow() error {
	f, err := r.fsys.Open(r.path(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	if err = allocate(f, r.size, r.want); err != nil {
		err = errors.Join(err, f.Truncate(r.size))
	} else {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), r.fsys.SyncDir(r.dir))
}

// allocate takes space from size to want, with zeros where the file system
// cannot reserve any.
func allocate(f disk.File, size, want int64) error {
	if err := disk.Allocate(f, size, want-size); err != nil {
		return err
	}
	now, err := f.Size()
	zeros := make([]byte, fillMin)
	for at := max(now, size); err == nil && at < want; at += int64(len(zeros)) {
		_, err = f.WriteAt(zeros[:min(int64(len(zeros)), want-at)], at)
	}
	return err
}
