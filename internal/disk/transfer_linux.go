package disk

import (
	"errors"
	"io"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// transferKernel is the kernel's side of Transfers: io_submit(2) and
// io_getevents(2), which need no right of their own and are as old as direct
// writes. If there is no context to be had, transfers are done when they are
// started.
type transferKernel struct {
	context uintptr // zero if there is none
	request request // of the one being started
	list    [1]*request
	events  []event
}

// request is struct iocb of the kernel.
type request struct {
	data   uint64    // given back with the event: the number of the slot
	_      [2]uint32 // filled by the kernel, and flags
	opcode uint16
	_      int16 // priority
	fd     uint32
	buf    uint64
	size   uint64
	off    int64
	_      [2]uint64
}

// event is struct io_event of the kernel.
type event struct {
	data, object uint64
	result       int64 // bytes, or an error number below zero
	_            int64
}

// Opcodes of linux/aio_abi.h.
const (
	opRead  = 0
	opWrite = 1
)

func (k *transferKernel) setup(most int) {
	_, _, e := unix.Syscall(unix.SYS_IO_SETUP, uintptr(most), uintptr(unsafe.Pointer(&k.context)), 0)
	if e != 0 {
		k.context = 0
		return
	}
	k.events = make([]event, most)
	k.list[0] = &k.request
}

func (k *transferKernel) destroy() error {
	if k.context == 0 {
		return nil
	}
	if _, _, e := unix.Syscall(unix.SYS_IO_DESTROY, k.context, 0, 0); e != 0 {
		return os.NewSyscallError("io_destroy", e)
	}
	k.context = 0
	return nil
}

// submit hands a transfer to the kernel.
func (k *transferKernel) submit(f *os.File, opcode uint16, p []byte, off int64, number int) error {
	k.request = request{
		data: uint64(number), opcode: opcode, fd: uint32(f.Fd()),
		buf: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), size: uint64(len(p)), off: off,
	}
	return retry(func() error {
		_, _, e := unix.Syscall(unix.SYS_IO_SUBMIT, k.context, 1, uintptr(unsafe.Pointer(&k.list[0])))
		runtime.KeepAlive(f)
		if e != 0 {
			return e
		}
		return nil
	})
}

// await waits until one transfer at least has ended, and notes all that have.
// It cannot fail: the context and the memory are good and something is under way.
func (k *transferKernel) await(slots []slot) {
	n, _, e := unix.Syscall6(unix.SYS_IO_GETEVENTS, k.context, 1, uintptr(len(k.events)), uintptr(unsafe.Pointer(&k.events[0])), 0, 0)
	if e == unix.EINTR {
		return
	}
	if e != 0 {
		panic("disk: io_getevents: " + e.Error())
	}
	for _, ended := range k.events[:n] {
		s := &slots[ended.data]
		s.done = true
		if ended.result < 0 {
			s.err = unix.Errno(-ended.result)
		} else {
			s.n = int(ended.result)
		}
	}
}

// StartRead implements Transferer.
func (f *osFile) StartRead(t *Transfers, p []byte, off int64) (bool, error) {
	return f.start(t, &f.directRead, opRead, p, off)
}

// StartWrite implements Transferer.
func (f *osFile) StartWrite(t *Transfers, p []byte, off int64) (bool, error) {
	return f.start(t, &f.directWrite, opWrite, p, off)
}

// WriteDirect implements DirectWriter.
func (f *osFile) WriteDirect(p []byte, off int64) (bool, error) {
	d := &f.directWrite
	if !aligned(p, off) || d.off.Load() {
		return false, nil
	}
	direct := d.open(f.File, os.O_WRONLY)
	if direct == nil {
		return false, nil
	}
	n, err := direct.WriteAt(p, off)
	if n == 0 && errors.Is(err, unix.EINVAL) {
		d.off.Store(true) // it wants a coarser alignment than ours
		return false, nil
	}
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return true, err
}

func (f *osFile) start(t *Transfers, d *directFile, opcode uint16, p []byte, off int64) (bool, error) {
	if !aligned(p, off) || t.full() || d.off.Load() {
		return false, nil
	}
	flag := os.O_RDONLY
	if opcode == opWrite {
		flag = os.O_WRONLY
	}
	direct := d.open(f.File, flag)
	if direct == nil {
		return false, nil
	}
	number := t.started % len(t.slots)
	s := slot{p: p, file: f, off: off, write: opcode == opWrite}
	if t.kernel.context == 0 {
		s.n, s.err = transfer(direct, opcode, p, off)
		s.done = true
		t.slots[number] = s
		t.started++
		return true, nil
	}
	t.slots[number] = s
	switch err := t.kernel.submit(direct, opcode, p, off, number); {
	case err == nil:
		t.started++
		return true, nil
	case errors.Is(err, unix.EINVAL):
		d.off.Store(true) // it wants a coarser alignment than ours
		fallthrough
	case errors.Is(err, unix.EAGAIN):
		t.slots[number] = slot{}
		return false, nil
	default:
		t.slots[number] = slot{}
		return false, f.pathError("io_submit", err)
	}
}

// finish does the rest of a transfer through the page cache. The kernel may move
// less than was asked for, and says what that means only when it is asked for the
// rest: the file ends there, or the disk is full, or broken, or nothing of the kind.
// And a file system that wants a coarser alignment than ours may refuse a transfer
// when it ends, and not when it is started.
func (f *osFile) finish(s *slot) {
	if errors.Is(s.err, unix.EINVAL) {
		d := &f.directRead
		if s.write {
			d = &f.directWrite
		}
		d.off.Store(true)
		s.n, s.err = 0, nil
	}
	if s.err != nil || s.n == len(s.p) {
		return
	}
	opcode := uint16(opRead)
	if s.write {
		opcode = opWrite
	}
	n, err := transfer(f.File, opcode, s.p[s.n:], s.off+int64(s.n))
	s.n, s.err = s.n+n, err
}

// transfer does a transfer at once.
func transfer(f *os.File, opcode uint16, p []byte, off int64) (int, error) {
	if opcode == opWrite {
		return f.WriteAt(p, off)
	}
	n, err := f.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
