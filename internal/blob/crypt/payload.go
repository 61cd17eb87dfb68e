package crypt

import (
	"fmt"
	"io"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// payload is what is encrypted of a blob: its data, then its leaf digests. It
// reads the data leaf by leaf, as blob.Store promises, and ends well only if the
// reader of the data did.
type payload struct {
	r      io.Reader
	left   int64  // of the data, not yet read
	buf    []byte // one leaf
	have   []byte // not yet delivered, part of buf or the digests
	hashed []treehash.Digest
	count  int64
	state  int
	err    error
}

// The states of a payload.
const (
	payloadData = iota
	payloadDigests
	payloadEnd
)

func newPayload(r io.Reader, size int64) *payload {
	return &payload{r: r, left: size, count: leafCount(size), buf: make([]byte, min(size, treehash.LeafSize))}
}

func (p *payload) Read(b []byte) (int, error) {
	for len(p.have) == 0 {
		if p.err == nil {
			p.err = p.next()
		}
		if p.err != nil {
			return 0, p.err
		}
	}
	n := copy(b, p.have)
	p.have = p.have[n:]
	return n, nil
}

// next gets more to deliver.
func (p *payload) next() error {
	switch p.state {
	case payloadData:
		return p.leaf()
	case payloadDigests:
		p.state = payloadEnd
		return p.digests()
	}
	return io.EOF
}

// leaf reads the next leaf of the data, the last one with the end of the
// reader.
func (p *payload) leaf() error {
	leaf := p.buf[:min(p.left, treehash.LeafSize)]
	last := int64(len(leaf)) == p.left
	if err := fill(p.r, leaf, last); err != nil {
		return err
	}
	if _, ok := p.r.(blob.Digester); !ok {
		p.hashed = append(p.hashed, treehash.Leaf(leaf))
	}
	p.left -= int64(len(leaf))
	p.have = leaf
	if last {
		p.state = payloadDigests
	}
	return nil
}

// digests delivers the digests after the data.
func (p *payload) digests() error {
	if d, ok := p.r.(blob.Digester); ok {
		p.hashed = d.Leaves()
	}
	if int64(len(p.hashed)) != p.count {
		return fmt.Errorf("reader has %d leaf digests for %d leaves", len(p.hashed), p.count)
	}
	out := make([]byte, 0, len(p.hashed)*treehash.DigestSize)
	for _, d := range p.hashed {
		out = append(out, d[:]...)
	}
	p.have = out
	return nil
}

// emptyReadsMax bounds the reads in a row that deliver nothing.
const emptyReadsMax = 100

// fill reads a leaf. If it is the last one, what follows must be io.EOF.
func fill(r io.Reader, leaf []byte, last bool) error {
	n, err := readSome(r, leaf)
	if n == len(leaf) && err == nil && last {
		var more [1]byte
		var k int
		if k, err = readSome(r, more[:]); k > 0 {
			return moraine.Errorf(moraine.Invalid, "the body is longer than announced")
		}
	}
	switch {
	case err == io.EOF && (n < len(leaf) || !last):
		return io.ErrUnexpectedEOF
	case err == io.EOF:
		return nil
	case err == nil && last:
		return io.ErrNoProgress
	}
	return err
}

// readSome reads until p is full or r reports an error, which it returns even
// if p is full: a reader that checks a hash refuses with its last bytes.
func readSome(r io.Reader, p []byte) (n int, err error) {
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
