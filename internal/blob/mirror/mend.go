package mirror

import (
	"context"
	"errors"

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
		if !absent && s.rebuilding[n].Load() {
			_, err := side.Stat(ctx, h[n])
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			absent = err != nil && !cold(err) // Mend finds out whether it can be helped
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
		if bad[n] == nil || cold(bad[n]) {
			continue
		}
		half, err := s.copy(ctx, from, side, i)
		if err != nil && len(m.Made) > 0 {
			break // one good copy is more than there was
		}
		if err != nil {
			// If the good copy proves bad, the other may yet come back.
			return blob.Mended{}, worse(err, bad[n])
		}
		// Durable now: the new copy, under an id that the row names. A crash
		// before the row is moved leaves it as surplus.
		if unfit(bad[n]) {
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

// cold reports whether err says that a copy is there and must be restored before it
// can be read. It is no worse for that: to make it anew would make another cold one.
func cold(err error) bool { return errors.Is(err, blob.ErrCold) }

// unfit reports whether a copy that suffers from bad is there and of no use: it
// is damaged, or cannot be read. One that cannot be read now could perhaps later,
// but to wait for that would leave bad sectors unmended; and if it is the whole
// store that is away, no new copy can be made there either.
func unfit(bad error) bool {
	return bad != nil && !moraine.IsKind(bad, moraine.NotFound) && !moraine.IsKind(bad, moraine.Invalid)
}

// source is the reference to copy from: that of the good copy alone, or of both
// if both are unfit, for what one lacks the other may have.
func source(i blob.Info, h halves, bad [sidesCount]error) (moraine.BlobRef, error) {
	both := true
	for n := range bad {
		if bad[n] == nil {
			return h.alone(n), nil
		}
		both = both && unfit(bad[n])
	}
	if both {
		return i.Ref, nil
	}
	why := worse(bad[first], bad[second])
	if !spoilt(why) {
		return "", why
	}
	return "", moraine.Wrap(why, moraine.Corrupt, "blob %s has no good copy", i.ID)
}

// examine returns what each copy suffers from, nil for one to copy from. It
// reads the data only if the headers leave both copies in question, since a copy
// is checked when it is copied from.
func (s *Store) examine(ctx context.Context, i blob.Info, h halves) (bad [sidesCount]error, err error) {
	whole := 0
	for n, side := range s.sides {
		if h[n] == "" {
			bad[n] = moraine.Errorf(moraine.NotFound, "the %s copy was not made", side.place())
			continue
		}
		var info blob.Info
		if bad[n] = side.stuck(); bad[n] == nil {
			info, bad[n] = side.Stat(ctx, h[n])
		}
		switch {
		case ctx.Err() != nil:
			return bad, ctx.Err()
		case bad[n] != nil:
		case info.ID != i.ID || info.Size != i.Size:
			bad[n] = moraine.Errorf(moraine.Corrupt, "the %s copy is blob %s of %d bytes", side.place(), info.ID, info.Size)
		default:
			whole++
		}
	}
	if whole < sidesCount {
		return bad, nil
	}
	buf := make([]byte, treehash.LeafSize)
	step := func(n int) error { return s.cfg.Pace(ctx, n) }
	for n, side := range s.sides {
		bad[n], err = s.checkOne(ctx, side, blob.Info{ID: i.ID, Ref: h[n], Size: i.Size}, buf, step)
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
	v, err := blob.OpenChecked(ctx, s, blob.Info{ID: i.ID, Ref: from, Size: i.Size}, func(n int) error { return s.cfg.Pace(ctx, n) })
	if err != nil {
		return "", err
	}
	defer v.Close() // only read
	half, err := to.Put(ctx, i.ID, v, i.Size)
	switch {
	case err == nil && !(halves{half}).inner():
		return "", moraine.Errorf(moraine.Internal, "the %s store made the reference %q, which has a meaning here", to.place(), string(half))
	case err == nil:
		to.worked()
	case v.Fault() == nil:
		to.failed(err)
	}
	return half, err
}
