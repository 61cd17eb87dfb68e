package mirror

import (
	"context"
	"errors"
	"io"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// order returns the sides that may hold a copy, the one to ask first in front.
func (s *Store) order(h halves) []*side {
	a, b := s.sides[first], s.sides[second]
	switch {
	case b == nil || h[second] == "":
		return []*side{a}
	case h[first] == "":
		return []*side{b}
	case s.rebuilding.Load() == first || a.state() != nil && b.state() == nil:
		return []*side{b, a}
	}
	return []*side{a, b}
}

// elsewhere reports whether another copy may serve where one gave err. What is
// wrong with the question, or ended it, is wrong with it everywhere.
func elsewhere(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !moraine.IsKind(err, moraine.Invalid)
}

// anyCopy asks one side after the other until one answers.
func anyCopy[T any](ctx context.Context, s *Store, ref moraine.BlobRef, ask func(*side, moraine.BlobRef) (T, error)) (v T, by *side, h halves, err error) {
	if h, err = parse(ref); err != nil {
		return v, nil, h, err
	}
	var failed *side
	var why error
	for _, side := range s.order(h) {
		if h[side.index] == "" {
			err = moraine.Errorf(moraine.Unavailable, "the blob is in the second store alone, and there is none")
			break
		}
		v, err = ask(side, h[side.index])
		switch {
		case err == nil:
			if failed != nil {
				s.failover(ctx, failed, side, h, why)
			}
			return v, side, h, nil
		case !elsewhere(ctx, err):
			return v, nil, h, err
		}
		failed, why = side, worse(why, err)
	}
	return v, nil, h, worse(why, err)
}

// failover counts that another copy served where one did not, and tells whose
// copy that is.
func (s *Store) failover(ctx context.Context, failed, good *side, h halves, why error) {
	s.stats.failovers[failed.index].Add(1)
	info, err := good.Stat(ctx, h[good.index])
	if err != nil {
		return // it is read now and will be missed no less when it is checked
	}
	s.watch(Event{Blob: info.ID, Place: failed.place(), Err: why})
}

// Stat implements blob.Stater.
func (s *Store) Stat(ctx context.Context, ref moraine.BlobRef) (blob.Info, error) {
	info, _, _, err := anyCopy(ctx, s, ref, func(side *side, half moraine.BlobRef) (blob.Info, error) {
		return side.Stat(ctx, half)
	})
	info.Ref = ref
	return info, err
}

// Leaves implements blob.Store.
func (s *Store) Leaves(ctx context.Context, ref moraine.BlobRef, first, n int64) ([]treehash.Digest, error) {
	leaves, _, _, err := anyCopy(ctx, s, ref, func(side *side, half moraine.BlobRef) ([]treehash.Digest, error) {
		return side.Leaves(ctx, half, first, n)
	})
	return leaves, err
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	cur, side, h, err := anyCopy(ctx, s, ref, func(side *side, half moraine.BlobRef) (io.ReadCloser, error) {
		return side.Open(ctx, half, off, n)
	})
	if err != nil || s.sides[second] == nil || h[first] == "" || h[second] == "" {
		return cur, err // there is no other copy to go on with
	}
	return &reader{ctx: ctx, s: s, h: h, cur: cur, side: side, pos: off, end: off + n}, nil
}

// reader reads a range of a blob from one copy, and goes on from the other where
// that one fails. One goroutine uses it.
type reader struct {
	ctx      context.Context // of the call of Open
	s        *Store
	h        halves
	cur      io.ReadCloser // nil after Close
	side     *side         // of cur
	pos, end int64         // in the blob
	failed   [sidesCount]failure
	err      error // for the next Read, and kept
}

// failure is where a copy failed, and why; why is nil if it did not.
type failure struct {
	at  int64
	why error
}

func (r *reader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.pos == r.end {
			r.err = io.EOF
			break
		}
		n, err := r.cur.Read(p[:min(int64(len(p)), r.end-r.pos)])
		r.pos += int64(n)
		if errors.Is(err, io.EOF) && r.pos < r.end {
			err = moraine.Errorf(moraine.Corrupt, "the %s copy ends before byte %d", r.side.place(), r.end)
		}
		if err != nil && r.pos < r.end {
			r.turn(err)
		}
		if n > 0 || err == nil {
			return n, nil
		}
	}
	return 0, r.err
}

// turn goes on from the other copy at the same place, unless it failed there
// too. What was read was checked by the store that gave it, so the client sees
// one string of bytes even if both copies are damaged in different places.
func (r *reader) turn(why error) {
	r.failed[r.side.index] = failure{r.pos, why}
	other := r.s.sides[sidesCount-1-r.side.index]
	before := r.failed[other.index]
	if !elsewhere(r.ctx, why) || before.why != nil && before.at == r.pos {
		r.err = worse(before.why, why)
		return
	}
	next, err := other.Open(r.ctx, r.h[other.index], r.pos, r.end-r.pos)
	if err != nil {
		r.err = worse(why, err)
		return
	}
	r.s.failover(r.ctx, r.side, other, r.h, why)
	_ = r.cur.Close() // it was only read, and has failed
	r.cur, r.side = next, other
}

func (r *reader) Close() error {
	if r.cur == nil {
		return nil
	}
	cur := r.cur
	r.cur = nil
	if r.err == nil {
		r.err = moraine.Errorf(moraine.Invalid, "read of a closed blob")
	}
	return cur.Close()
}
