package pack

import (
	"math/bits"
	"sync"
	"unsafe"

	"moraine/internal/disk"
	"moraine/internal/treehash"
)

// bufferPool lends buffers by size. Those of a page and more are aligned to
// pages, as all large allocations are. Those of windowSize come from the
// windows while there are any.
type bufferPool struct {
	classes [classMax - classMin + 1]sync.Pool
	windows windows
}

// The sizes of buffers are powers of two with these exponents.
const (
	classMin = 12
	classMax = 21
)

// get returns a buffer of n bytes of arbitrary content.
func (b *bufferPool) get(n int64) []byte {
	class := max(bits.Len64(uint64(n-1)), classMin)
	if 1<<class == windowSize {
		if p := b.windows.get(); p != nil {
			return p[:n]
		}
	}
	if p, ok := b.classes[class-classMin].Get().(*[1]([]byte)); ok {
		return p[0][:n]
	}
	return make([]byte, n, 1<<class)
}

// put takes back what get returned.
func (b *bufferPool) put(p []byte) {
	if b.windows.put(p) {
		return
	}
	class := bits.Len64(uint64(cap(p) - 1))
	b.classes[class-classMin].Put(&[1]([]byte){p[:cap(p)]})
}

const (
	// windowSize is the length of a window: one leaf, of whole chunks.
	windowSize = treehash.LeafSize
	// windowsMax bounds the windows, and windowsStep is how many are made at a
	// time.
	windowsMax  = 32
	windowsStep = 16
)

// windows lends buffers for transfers past the page cache. They lie in large
// pages and are kept for good, since new memory is dear; the one lent last is
// lent first, so that what is never needed at the same time is never resident.
type windows struct {
	mu    sync.Mutex // guards the rest
	slabs [][]byte
	free  [][]byte
}

// get returns a window of arbitrary content, nil if all are lent.
func (w *windows) get() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.free) == 0 {
		if len(w.slabs)*windowsStep == windowsMax {
			return nil
		}
		slab := disk.Memory(windowsStep * windowSize)
		w.slabs = append(w.slabs, slab)
		for i := windowsStep - 1; i >= 0; i-- {
			w.free = append(w.free, slab[i*windowSize:][:windowSize:windowSize])
		}
	}
	p := w.free[len(w.free)-1]
	w.free = w.free[:len(w.free)-1]
	return p
}

// put takes back a window and reports false for any other buffer.
func (w *windows) put(p []byte) bool {
	if cap(p) != windowSize {
		return false
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, slab := range w.slabs {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(slab)))
		if from <= at && at < from+uintptr(len(slab)) {
			w.free = append(w.free, p[:windowSize])
			return true
		}
	}
	return false
}

// transferPool lends room for transfers, which is dear to make and to give
// back.
type transferPool struct {
	mu     sync.Mutex // guards the rest
	idle   []*disk.Transfers
	closed bool
}

// transfersIdleMax bounds what is kept for the next user.
const transfersIdleMax = 32

func (t *transferPool) get() *disk.Transfers {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.idle); n > 0 {
		last := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return last
	}
	return disk.NewTransfers(ringSize)
}

// put takes back what get returned, with nothing under way.
func (t *transferPool) put(u *disk.Transfers) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed && len(t.idle) < transfersIdleMax {
		t.idle = append(t.idle, u)
		return
	}
	_ = u.Close() // it moved no byte that is not accounted for
}

func (t *transferPool) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, u := range t.idle {
		_ = u.Close()
	}
	t.idle = nil
}
