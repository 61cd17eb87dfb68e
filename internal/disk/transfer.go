package disk

import (
	"fmt"
	"io"
)

// Transfers are reads and writes past the page cache that are under way, a few
// at a time, of any files: the disk works while the caller does something else,
// and no goroutine waits for it. They end in any order and are awaited in the
// order in which they were started. One goroutine at a time uses it.
//
// Where the system cannot do it side by side, starting a transfer does all of
// it.
type Transfers struct {
	kernel         transferKernel
	slots          []slot
	started, taken int // how many transfers, ever
}

// slot is one transfer.
type slot struct {
	p     []byte // keeps the memory alive
	file  finisher
	off   int64
	write bool
	done  bool
	n     int
	err   error
}

// finisher is a file that can do in another way what is left of a transfer that has
// ended.
type finisher interface{ finish(s *slot) }

// Transferer is a File whose transfers can be started. The methods are for
// Transfers, which see.
type Transferer interface {
	StartRead(t *Transfers, p []byte, off int64) (bool, error)
	StartWrite(t *Transfers, p []byte, off int64) (bool, error)
}

// DirectWriter is a File that can write past the page cache and wait for it.
type DirectWriter interface {
	// WriteDirect writes p at off, or nothing at all and reports false if this
	// file, p or off does not allow it. Like WriteAt it makes nothing durable.
	WriteDirect(p []byte, off int64) (bool, error)
}

// WriteDirect writes past the page cache if f can, else writes nothing and
// reports false. It is for who has nothing else to do meanwhile.
func WriteDirect(f File, p []byte, off int64) (bool, error) {
	if d, ok := f.(DirectWriter); ok {
		return d.WriteDirect(p, off)
	}
	return false, nil
}

// NewTransfers makes room for so many transfers at the same time.
func NewTransfers(most int) *Transfers {
	t := &Transfers{slots: make([]slot, most)}
	t.kernel.setup(most)
	return t
}

// Close gives back what the system holds. Nothing may be under way.
func (t *Transfers) Close() error {
	if t.Len() > 0 {
		return fmt.Errorf("disk: %d transfers are under way", t.Len())
	}
	return t.kernel.destroy()
}

// StartRead begins to read len(p) bytes from offset off into p, past the page
// cache, or does nothing and reports false if f, p or off does not allow it, or
// if as many transfers are under way as there may be. Fewer bytes come where
// the file ends. p must not be touched until Next has returned it.
func (t *Transfers) StartRead(f File, p []byte, off int64) (bool, error) {
	if s, ok := f.(Transferer); ok {
		return s.StartRead(t, p, off)
	}
	return false, nil
}

// StartWrite begins to write p at off, past the page cache, or does nothing and
// reports false, as StartRead does. Like WriteAt it makes nothing durable: Sync
// must follow when Next has returned p.
func (t *Transfers) StartWrite(f File, p []byte, off int64) (bool, error) {
	if s, ok := f.(Transferer); ok {
		return s.StartWrite(t, p, off)
	}
	return false, nil
}

// Len is how many transfers are under way.
func (t *Transfers) Len() int { return t.started - t.taken }

// Next waits for the transfer that was started first of those under way, which
// must be some, and returns its memory, cut to what was read, and its error. The
// memory is the caller's again even with an error.
func (t *Transfers) Next() ([]byte, error) {
	s := &t.slots[t.taken%len(t.slots)]
	for !s.done {
		t.kernel.await(t.slots)
	}
	t.taken++
	ended := *s
	*s = slot{}
	ended.file.finish(&ended)
	switch {
	case ended.err != nil:
		return ended.p, ended.err
	case !ended.write:
		return ended.p[:ended.n], nil
	case ended.n < len(ended.p):
		return ended.p, io.ErrShortWrite
	}
	return ended.p, nil
}

// full reports whether as many transfers are under way as there may be.
func (t *Transfers) full() bool { return t.Len() == len(t.slots) }
