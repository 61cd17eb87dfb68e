package blob

import (
	"context"
	"errors"
	"io"

	"moraine"
	"moraine/internal/treehash"
)

// Checked reads a whole blob leaf by leaf and gives away what its stored digests
// vouch for. It is a Digester, so that a copy made of it gets the digests of the
// original and not those of what was read. One goroutine uses it.
type Checked struct {
	r      io.ReadCloser
	step   func(n int) error
	id     moraine.BlobID
	left   int64 // to be read
	leaves []treehash.Digest
	next   int // leaf
	buf    []byte
	have   []byte // checked, part of buf
	err    error  // kept
}

// OpenChecked opens a blob of a store to be copied. step is called before each
// leaf that is read, with its length in bytes, and stops the work with its error.
func OpenChecked(ctx context.Context, s Store, i Info, step func(n int) error) (*Checked, error) {
	leaves, err := s.Leaves(ctx, i.Ref, 0, (i.Size+treehash.LeafSize-1)/treehash.LeafSize)
	if err != nil {
		return nil, err
	}
	r, err := s.Open(ctx, i.Ref, 0, i.Size)
	if err != nil {
		return nil, err
	}
	return &Checked{r: r, step: step, id: i.ID, left: i.Size, leaves: leaves, buf: make([]byte, min(i.Size, treehash.LeafSize))}, nil
}

// Read implements io.Reader.
func (c *Checked) Read(p []byte) (int, error) {
	if len(c.have) == 0 && c.err == nil && len(p) > 0 {
		c.err = c.fill()
	}
	if c.err != nil {
		return 0, c.err
	}
	n := copy(p, c.have)
	c.have = c.have[n:]
	return n, nil
}

func (c *Checked) fill() error {
	if c.left == 0 {
		return io.EOF
	}
	p := c.buf[:min(c.left, treehash.LeafSize)]
	if err := c.step(len(p)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.r, p); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return moraine.Errorf(moraine.Corrupt, "blob %s ends in leaf %d", c.id, c.next)
	} else if err != nil {
		return err
	}
	if treehash.Leaf(p) != c.leaves[c.next] {
		return moraine.Errorf(moraine.Corrupt, "blob %s: leaf %d fails its digest", c.id, c.next)
	}
	c.next++
	c.left -= int64(len(p))
	c.have = p
	return nil
}

// Leaves implements Digester.
func (c *Checked) Leaves() []treehash.Digest { return c.leaves }

// Fault is why the blob could not be read on; nil if that is not what ended the
// reading.
func (c *Checked) Fault() error {
	if errors.Is(c.err, io.EOF) {
		return nil
	}
	return c.err
}

// Close releases what the reader holds.
func (c *Checked) Close() error { return c.r.Close() }
