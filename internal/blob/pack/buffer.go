package pack

import (
	"math/bits"
	"sync"
)

// bufferPool lends buffers by size. Those of a page and more are aligned to
// pages, as all large allocations are.
type bufferPool struct {
	classes [classMax - classMin + 1]sync.Pool
}

// The sizes of buffers are powers of two with these exponents.
const (
	classMin = 12
	classMax = 21
)

// get returns a buffer of n bytes of arbitrary content.
func (b *bufferPool) get(n int64) []byte {
	class := max(bits.Len64(uint64(n-1)), classMin)
	if p, ok := b.classes[class-classMin].Get().(*[1]([]byte)); ok {
		return p[0][:n]
	}
	return make([]byte, n, 1<<class)
}

// put takes back what get returned.
func (b *bufferPool) put(p []byte) {
	class := bits.Len64(uint64(cap(p) - 1))
	b.classes[class-classMin].Put(&[1]([]byte){p[:cap(p)]})
}
