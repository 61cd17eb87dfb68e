package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// file is an open file of FS.
type file struct {
	fs       *FS
	ino      *inode
	name     string
	writable bool
	closed   bool
	lost     int // losses of the inode that this file has reported
}

func (h *file) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: h.name, Err: err}
}

// change runs do as one operation that changes something.
func (h *file) change(op string, off, n int64, do func()) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	switch {
	case h.closed:
		return h.fail(op, fs.ErrClosed)
	case !h.writable:
		return h.fail(op, syscall.EBADF)
	}
	apply, err := h.fs.step(op, h.name, n > 0)
	if apply && n > 0 && !h.fs.allocate(h.ino, off, n) {
		return h.fail(op, syscall.ENOSPC)
	}
	if apply {
		do()
	}
	return err
}

// ReadAt implements io.ReaderAt.
func (h *file) ReadAt(p []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return 0, h.fail("read", fs.ErrClosed)
	}
	if err := h.fs.readStep("read", h.name); err != nil {
		return 0, err
	}
	n := h.ino.cur.read(p, off)
	if n < len(p) || off >= h.ino.cur.size {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (h *file) WriteAt(p []byte, off int64) (int, error) {
	err := h.change("write", off, int64(len(p)), func() {
		h.ino.do(dataOp{kind: opWrite, off: off, data: append([]byte{}, p...)})
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Truncate implements disk.File.
func (h *file) Truncate(size int64) error {
	return h.change("truncate", 0, 0, func() {
		h.ino.do(dataOp{kind: opResize, size: size})
		h.fs.release(h.ino, size, 1<<62)
	})
}

// Allocate implements disk.Allocator.
func (h *file) Allocate(off, n int64) error {
	return h.change("allocate", off, n, func() {
		if size := off + n; size > h.ino.cur.size {
			h.ino.do(dataOp{kind: opResize, size: size})
		}
	})
}

// Punch implements disk.Puncher.
func (h *file) Punch(off, n int64) error {
	if h.fs.isSolid() {
		return h.fail("punch", errors.ErrUnsupported)
	}
	return h.change("punch", 0, 0, func() {
		h.ino.do(dataOp{kind: opPunch, off: off, zeros: n})
		h.fs.release(h.ino, off, off+n)
	})
}

// Sync implements disk.File.
func (h *file) Sync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return h.fail("sync", fs.ErrClosed)
	}
	do, err := h.fs.step("sync", h.name, false)
	h.fs.syncs++
	if do {
		for _, op := range h.ino.pending {
			h.ino.durable = op.apply(h.ino.durable)
		}
	}
	if !h.fs.dead {
		// Saved or lost, the writes are no longer waiting.
		h.ino.pending = nil
		if !do {
			h.ino.lost++
		}
	}
	if err == nil && h.lost != h.ino.lost {
		err = h.fail("sync", syscall.EIO)
	}
	h.lost = h.ino.lost
	return err
}

// Size implements disk.File.
func (h *file) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return 0, h.fail("size", fs.ErrClosed)
	}
	return h.ino.cur.size, nil
}

// Close implements io.Closer.
func (h *file) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return h.fail("close", fs.ErrClosed)
	}
	h.closed = true
	h.fs.open--
	return nil
}

func (i *inode) do(op dataOp) {
	i.cur = op.apply(i.cur)
	i.pending = append(i.pending, op)
}

// apply returns content changed by op, perhaps in place.
func (op dataOp) apply(c content) content {
	switch op.kind {
	case opWrite:
		return c.write(op.data, op.off)
	case opResize:
		return c.resize(op.size)
	case opPunch:
		return c.zero(op.off, op.zeros)
	}
	return c
}
