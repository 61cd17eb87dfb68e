package mirror

import (
	"context"
	"errors"
	"io"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// Check implements blob.Checker.
func (s *Store) Check(ctx context.Context, i blob.Info, buf []byte, step func(n int) error) ([]blob.Copy, error) {
	h, err := parse(i.Ref)
	if err != nil {
		h = halves{}
	}
	var found []blob.Copy
	for n, side := range s.sides {
		if side == nil {
			continue
		}
		bad, err := s.checkOne(ctx, side, blob.Info{ID: i.ID, Ref: h[n], Size: i.Size}, buf, step)
		if err != nil {
			return nil, err
		}
		found = append(found, blob.Copy{Place: side.place(), Err: bad})
	}
	return found, nil
}

// checkOne returns what one copy suffers from.
func (s *Store) checkOne(ctx context.Context, side *side, i blob.Info, buf []byte, step func(n int) error) (bad, err error) {
	if i.Ref == "" {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return moraine.Errorf(moraine.NotFound, "the %s copy was not made", side.place()), nil
	}
	found, err := side.Check(ctx, i, buf, step)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		bad = worse(bad, c.Err)
	}
	return bad, nil
}

// Missing implements blob.Mender. It looks into a store that is being rebuilt,
// and goes by the reference otherwise.
func (s *Store) Missing(ctx context.Context, ref moraine.BlobRef) ([]string, error) {
	if !s.Mirrored() {
		return nil, nil
	}
	h, err := parse(ref)
	if err != nil {
		return nil, err
	}
	var missing []string
	for n, side := range s.sides {
		absent := h[n] == ""
		if !absent && s.rebuilding.Load() == int32(n) {
			_, err := side.Stat(ctx, h[n])
			if absent = spoilt(err); err != nil && !absent {
				return nil, err
			}
		}
		if absent {
			missing = append(missing, side.place())
		}
	}
	return missing, nil
}

// spoilt reports whether err says that a copy is gone or damaged.
func spoilt(err error) bool {
	switch moraine.KindOf(err) {
	case moraine.NotFound, moraine.Corrupt, moraine.Invalid:
		return err != nil
	}
	return false
}

// Mend implements blob.Mender.
func (s *Store) Mend(ctx context.Context, i blob.Info) (blob.Mended, error) {
	h, err := parse(i.Ref)
	if err != nil || !s.Mirrored() {
		return blob.Mended{Ref: i.Ref}, err
	}
	bad, err := s.examine(ctx, i, h)
	if err != nil {
		return blob.Mended{}, err
	}
	from, err := source(i, h, bad)
	if err != nil {
		return blob.Mended{}, err
	}
	m := blob.Mended{Ref: i.Ref}
	for n, side := range s.sides {
		if bad[n] == nil {
			continue
		}
		half, err := s.copy(ctx, from, side, i)
		if err != nil && len(m.Made) > 0 {
			break // one good copy is more than there was
		}
		if err != nil {
			return blob.Mended{}, err
		}
		// Durable now: the new copy, under an id that the row names. A crash
		// before the row is moved leaves it as surplus.
		if moraine.IsKind(bad[n], moraine.Corrupt) {
			m.Drop = append(m.Drop, h.alone(n))
		}
		h[n] = half
		m.Made = append(m.Made, h.alone(n))
		m.Ref = h.ref()
		s.stats.mended.Add(1)
		s.stats.mendedSize.Add(i.Size)
	}
	return m, nil
}

// source is the reference to copy from: that of the good copy alone, or of both
// if both are damaged, for what one lacks the other may have.
func source(i blob.Info, h halves, bad [sidesCount]error) (moraine.BlobRef, error) {
	damaged := 0
	for n := range bad {
		if bad[n] == nil {
			return h.alone(n), nil
		}
		if moraine.IsKind(bad[n], moraine.Corrupt) {
			damaged++
		}
	}
	if damaged == sidesCount {
		return i.Ref, nil
	}
	return "", moraine.Wrap(worse(bad[first], bad[second]), moraine.Corrupt, "blob %s has no good copy", i.ID)
}

// examine returns what each copy suffers from: nil for one to copy from, kind
// Corrupt or NotFound for one to make anew. It reads the data only if the
// headers leave both copies in question, since a copy is checked when it is
// copied from.
func (s *Store) examine(ctx context.Context, i blob.Info, h halves) (bad [sidesCount]error, err error) {
	whole := 0
	for n, side := range s.sides {
		if h[n] == "" {
			bad[n] = moraine.Errorf(moraine.NotFound, "the %s copy was not made", side.place())
			continue
		}
		info, err := side.Stat(ctx, h[n])
		switch {
		case err == nil && (info.ID != i.ID || info.Size != i.Size):
			bad[n] = moraine.Errorf(moraine.Corrupt, "the %s copy is blob %s of %d bytes", side.place(), info.ID, info.Size)
		case err == nil:
			whole++
		case !spoilt(err):
			return bad, err
		default:
			bad[n] = err
		}
	}
	if whole < sidesCount {
		return bad, nil
	}
	buf := make([]byte, treehash.LeafSize)
	step := func(n int) error { return s.cfg.Pace(ctx, n) }
	for n, side := range s.sides {
		bad[n], err = s.checkOne(ctx, side, blob.Info{ID: i.ID, Ref: h[n], Size: i.Size}, buf, step)
		if err == nil && bad[n] != nil && !spoilt(bad[n]) {
			err = bad[n]
		}
		if err != nil {
			return bad, err
		}
	}
	return bad, nil
}

// copy makes the copy of one store from what the reference leads to.
func (s *Store) copy(ctx context.Context, from moraine.BlobRef, to *side, i blob.Info) (_ moraine.BlobRef, err error) {
	if err := to.stuck(); err != nil {
		return "", err
	}
	leaves, err := s.Leaves(ctx, from, 0, (i.Size+treehash.LeafSize-1)/treehash.LeafSize)
	if err != nil {
		return "", err
	}
	r, err := s.Open(ctx, from, 0, i.Size)
	if err != nil {
		return "", err
	}
	defer r.Close() // only read
	v := &verified{ctx: ctx, r: r, pace: s.cfg.Pace, id: i.ID, left: i.Size, leaves: leaves, buf: make([]byte, min(i.Size, treehash.LeafSize))}
	half, err := to.Put(ctx, i.ID, v, i.Size)
	switch {
	case err == nil && !(halves{half}).inner():
		return "", moraine.Errorf(moraine.Internal, "the %s store made the reference %q, which has a meaning here", to.place(), string(half))
	case err == nil:
		to.worked()
	case v.err == nil || errors.Is(v.err, io.EOF):
		to.failed(err)
	}
	return half, err
}

// verified reads a blob leaf by leaf and gives away what its digest vouches
// for. It is a blob.Digester, so that the copy gets the digests of the original
// and not those of what was read.
type verified struct {
	ctx    context.Context // of the one call
	r      io.Reader
	pace   func(context.Context, int) error
	id     moraine.BlobID
	left   int64 // to be read
	leaves []treehash.Digest
	next   int // leaf
	buf    []byte
	have   []byte // checked, part of buf
	err    error  // that is the fault of the original, kept
}

func (v *verified) Read(p []byte) (int, error) {
	if len(v.have) == 0 && v.err == nil && len(p) > 0 {
		v.err = v.fill()
	}
	if v.err != nil {
		return 0, v.err
	}
	n := copy(p, v.have)
	v.have = v.have[n:]
	return n, nil
}

func (v *verified) fill() error {
	if v.left == 0 {
		return io.EOF
	}
	p := v.buf[:min(v.left, treehash.LeafSize)]
	if err := v.pace(v.ctx, len(p)); err != nil {
		return err
	}
	if _, err := io.ReadFull(v.r, p); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return moraine.Errorf(moraine.Corrupt, "blob %s ends in leaf %d", v.id, v.next)
	} else if err != nil {
		return err
	}
	if treehash.Leaf(p) != v.leaves[v.next] {
		return moraine.Errorf(moraine.Corrupt, "blob %s: leaf %d fails its digest", v.id, v.next)
	}
	v.next++
	v.left -= int64(len(p))
	v.have = p
	return nil
}

// Leaves implements blob.Digester.
func (v *verified) Leaves() []treehash.Digest { return v.leaves }
