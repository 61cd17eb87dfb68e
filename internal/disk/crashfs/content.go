package crashfs

import "bytes"

// content is what is in a file: data, and zeros behind it up to size, which take
// no memory.
type content struct {
	data []byte
	size int64
}

func (c content) clone() content { return content{bytes.Clone(c.data), c.size} }

// all is the whole of it.
func (c content) all() []byte {
	p := make([]byte, c.size)
	copy(p, c.data)
	return p
}

// read fills p from off and returns how much of it there is.
func (c content) read(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	clear(p)
	if off < int64(len(c.data)) {
		copy(p, c.data[off:])
	}
	return len(p)
}

// resize is what a truncation leaves. Beyond a new end nothing may be seen again.
func (c content) resize(size int64) content {
	c.data = c.data[:min(int64(len(c.data)), size)]
	c.size = size
	return c
}

// write is what a write leaves. It may be done in place.
func (c content) write(p []byte, off int64) content {
	if len(p) == 0 {
		return c
	}
	end := off + int64(len(p))
	if have := int64(len(c.data)); end > have {
		c.data = grow(c.data, end)
		if off > have {
			clear(c.data[have:off])
		}
	}
	copy(c.data[off:], p)
	c.size = max(c.size, end)
	return c
}

// grow lengthens p, with anything at all behind what it was.
func grow(p []byte, size int64) []byte {
	if size <= int64(cap(p)) {
		return p[:size]
	}
	return append(p, make([]byte, size-int64(len(p)))...)
}

// zero is what a hole leaves.
func (c content) zero(off, n int64) content {
	if have := int64(len(c.data)); off < have {
		clear(c.data[off:min(have, off+n)])
	}
	return c
}

// flip inverts bits of a byte.
func (c content) flip(off int64, mask byte) content {
	var p [1]byte
	c.read(p[:], off)
	return c.write([]byte{p[0] ^ mask}, off)
}
