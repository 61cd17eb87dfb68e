package crypt

import (
	"fmt"
	"io"

	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// payload is what is encrypted of a blob: its data, then its leaf digests. It
// reads the data leaf by leaf, as blob.Store promises, and ends well only if the
// reader of the data did.
type payload struct {
	r      io.Reader
	left   int64  // of the data, not yet read
	buf    []byte // one leaf, or the data if that is less
	have   []byte // not yet delivered: part of buf, or of the digests
	hashed []treehash.Digest
	count  int64 // of the leaves
	state  int
}

// The states of a payload.
const (
	payloadData = iota
	payloadDigests
	payloadEnd
)

// chunk returns the next bytes to encrypt: at most chunkSize, at least one. At
// the end it returns io.EOF; after another error it must not be called.
func (p *payload) chunk() ([]byte, error) {
	for len(p.have) == 0 {
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	c := p.have[:min(len(p.have), chunkSize)]
	p.have = p.have[len(c):]
	return c, nil
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
	read := blob.ReadFull
	if int64(len(leaf)) == p.left {
		p.state = payloadDigests
		read = blob.ReadLast
	}
	if err := read(p.r, leaf); err != nil {
		return err
	}
	if _, ok := p.r.(blob.Digester); !ok {
		p.hashed = append(p.hashed, treehash.Leaf(leaf))
	}
	p.left -= int64(len(leaf))
	p.have = leaf
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
	p.have = make([]byte, 0, len(p.hashed)*treehash.DigestSize)
	for _, d := range p.hashed {
		p.have = append(p.have, d[:]...)
	}
	return nil
}
