package pack

import (
	"io"
	"math/bits"
	"sync"

	"moraine"
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

// emptyReadsMax bounds the reads in a row that deliver nothing.
const emptyReadsMax = 100

// fill reads until p is full or r reports an error, which it returns even if p
// is full: a reader that checks a hash refuses with its last bytes.
func fill(r io.Reader, p []byte) (n int, err error) {
	for empty := 0; n < len(p) && err == nil; empty++ {
		var k int
		k, err = r.Read(p[n:])
		n += k
		if k > 0 {
			empty = 0
		}
		if empty > emptyReadsMax {
			return n, io.ErrNoProgress
		}
	}
	return n, err
}

// fillLast fills p with the last bytes of r and makes sure that they are the
// last.
func fillLast(r io.Reader, p []byte) error {
	n, err := fill(r, p)
	if n == len(p) && err == nil {
		var more [1]byte
		var k int
		if k, err = fill(r, more[:]); k > 0 {
			return moraine.Errorf(moraine.Invalid, "the body is longer than announced")
		}
	}
	if err == io.EOF && n < len(p) {
		return io.ErrUnexpectedEOF
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// fillFull fills p with bytes that are not the last of r.
func fillFull(r io.Reader, p []byte) error {
	switch n, err := fill(r, p); {
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case n < len(p):
		return io.ErrNoProgress
	}
	return nil
}
