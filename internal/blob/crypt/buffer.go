package crypt

import (
	"math/bits"
	"sync"
)

// buffers lends buffers by size.
type buffers struct {
	classes [classMax - classMin + 1]sync.Pool
}

// The sizes of buffers are powers of two with these exponents: from a page to a
// leaf.
const (
	classMin = 12
	classMax = 20
)

// get returns a buffer of n bytes of arbitrary content.
func (b *buffers) get(n int) []byte {
	class := max(bits.Len(uint(n-1)), classMin)
	if p, ok := b.classes[class-classMin].Get().(*[]byte); ok {
		return (*p)[:n]
	}
	return make([]byte, n, 1<<class)
}

// put takes back what get returned.
func (b *buffers) put(p []byte) {
	if p == nil {
		return
	}
	p = p[:cap(p)]
	b.classes[bits.Len(uint(len(p)-1))-classMin].Put(&p)
}
