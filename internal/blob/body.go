package blob

import (
	"context"
	"errors"
	"io"

	"moraine"
)

// Lender is a reader that can show bytes instead of copying them. What Lend
// returns is valid until the next call of a method. Like Read it returns some
// bytes or an error, io.EOF at the end.
type Lender interface {
	Lend() ([]byte, error)
}

// Body is an open body or part of one. It is used by one goroutine.
type Body interface {
	io.ReadCloser
	Lender
}

// Beginner is a reader that can begin to fetch what it will deliver. Begin is
// called at most once, before the first Read, and reports nothing: what goes
// wrong is told by Read.
type Beginner interface {
	Begin()
}

// Damage is an error that says which blob it is about.
type Damage struct {
	Blob moraine.BlobID
	Err  error // of kind Corrupt or NotFound
}

func (d *Damage) Error() string { return d.Err.Error() }

func (d *Damage) Unwrap() error { return d.Err }

// damaged names the blob in an error about its bytes. A blob that rows name and
// the store does not have is as damaged as one with wrong bytes.
func damaged(id moraine.BlobID, err error) error {
	var named *Damage
	if errors.As(err, &named) {
		return err
	}
	if moraine.IsKind(err, moraine.Corrupt) || moraine.IsKind(err, moraine.NotFound) {
		return &Damage{id, err}
	}
	return err
}

// lendSize is what OpenBody lends at a time of a store that lends nothing.
const lendSize = 256 << 10

// OpenBody reads n bytes from offset off of the body made of the given
// extents, which are contiguous and in order. A blob is opened as the reading
// reaches it, or a little before its turn, so that its bytes are there then.
func OpenBody(ctx context.Context, s Store, extents []moraine.Extent, off, n int64) Body {
	return &bodyReader{ctx: ctx, store: s, extents: extents, off: off, left: n}
}

// bodyReader is used by one goroutine.
type bodyReader struct {
	ctx     context.Context // of the one call that reads the body
	store   Store
	extents []moraine.Extent
	off     int64 // in the body, of the next byte
	left    int64
	cur     io.ReadCloser // nil between extents
	coming  io.ReadCloser // of extents[1] from its beginning; nil if not yet opened
	own     []byte        // lent where a store does not lend its own
}

const (
	// comingMargin is how many bytes before the end of an extent the next one is
	// opened, if it has comingMin bytes at least.
	comingMargin = 2 << 20
	comingMin    = 1 << 20
)

func (b *bodyReader) Read(p []byte) (int, error) {
	return b.step(func() (int, error) { return b.cur.Read(p) })
}

// Lend implements Lender.
func (b *bodyReader) Lend() (p []byte, err error) {
	_, err = b.step(func() (int, error) {
		var err error
		if lender, ok := b.cur.(Lender); ok {
			p, err = lender.Lend()
			return len(p), err
		}
		if b.own == nil {
			b.own = make([]byte, lendSize)
		}
		n, err := b.cur.Read(b.own)
		p = b.own[:n]
		return n, err
	})
	return p, err
}

// step has read, which reads from cur, go on until it delivers something.
func (b *bodyReader) step(read func() (int, error)) (int, error) {
	for {
		if b.left == 0 {
			return 0, io.EOF
		}
		if b.cur == nil {
			if err := b.next(); err != nil {
				return 0, err
			}
		}
		n, err := read()
		b.off += int64(n)
		b.left -= int64(n)
		b.prepare()
		if err == io.EOF {
			err = b.endExtent()
		}
		err = damaged(b.extents[0].Blob, err)
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// prepare opens the extent after the current one if that is about to end. An
// error is not for now: the extent will be opened again when it is reached.
func (b *bodyReader) prepare() {
	rest := b.extents[0].First + b.extents[0].Size - b.off
	if b.coming != nil || rest > comingMargin || b.left <= rest || len(b.extents) < 2 || b.extents[1].Size < comingMin {
		return
	}
	e := b.extents[1]
	coming, err := b.store.Open(b.ctx, e.Ref, 0, min(e.Size, b.left-rest))
	if err != nil {
		return
	}
	b.coming = coming
	if begins, ok := coming.(Beginner); ok {
		begins.Begin()
	}
}

// endExtent closes an extent that was read to its end. A store that ends before
// that has broken its word: asking it again might never end.
func (b *bodyReader) endExtent() error {
	err := b.cur.Close()
	b.cur = nil
	if e := b.extents[0]; err == nil && b.left > 0 && b.off < e.First+e.Size {
		err = moraine.Errorf(moraine.Corrupt, "blob %s ends before byte %d of the body", e.Blob, b.off)
	}
	return err
}

// next opens the extent that holds the byte at b.off.
func (b *bodyReader) next() error {
	for len(b.extents) > 0 && b.off >= b.extents[0].First+b.extents[0].Size {
		b.extents = b.extents[1:]
	}
	if len(b.extents) == 0 || b.off < b.extents[0].First {
		return moraine.Errorf(moraine.Corrupt, "no extent holds byte %d of the body", b.off)
	}
	e := b.extents[0]
	from := b.off - e.First
	if b.coming != nil && from == 0 {
		b.cur, b.coming = b.coming, nil
		return nil
	}
	cur, err := b.store.Open(b.ctx, e.Ref, from, min(e.Size-from, b.left))
	if err != nil {
		return damaged(e.Blob, err)
	}
	b.cur = cur
	return nil
}

func (b *bodyReader) Close() error {
	b.left = 0
	cur, coming := b.cur, b.coming
	b.cur, b.coming = nil, nil
	var err error
	if cur != nil {
		err = cur.Close()
	}
	if coming != nil {
		err = errors.Join(err, coming.Close())
	}
	return err
}
