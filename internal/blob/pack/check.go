package pack

import (
	"context"
	"os"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/disk"
	"moraine/internal/treehash"
)

// Check reads everything the store holds: of every live record the trailer,
// each frame against its CRC and each leaf against its digest. It calls fn for
// each blob that is whole, with the root of its leaves, and damaged for
// everything that is not; it stops at the first error of fn and returns it.
func (s *Store) Check(ctx context.Context, fn func(blob.Info, treehash.Digest) error, damaged func(error)) error {
	if damaged == nil {
		damaged = func(error) {}
	}
	buf := make([]byte, treehash.BatchSize())
	return s.Walk(ctx, func(i blob.Info) error {
		root, err := s.checkBlob(ctx, i, buf)
		switch {
		case moraine.IsKind(err, moraine.NotFound):
			return nil // deleted meanwhile
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			damaged(err)
			return nil
		}
		return fn(i, root)
	}, damaged)
}

func (s *Store) checkBlob(ctx context.Context, i blob.Info, buf []byte) (treehash.Digest, error) {
	r, f, err := s.blobAt(i.Ref)
	if err != nil {
		return treehash.Digest{}, err
	}
	defer s.handles.put(f)
	v := verifier{f: f, name: fileName{kind: r.kind, id: r.id}, buf: buf}
	root, off, err := v.whole(ctx, r.shape)
	if err == nil || ctx.Err() != nil {
		return root, err
	}
	// It may have been deleted since the walk saw it.
	if live := s.checkLive(f, v.name, r); live != nil {
		return root, live
	}
	return root, faulty(v.name, off, err)
}

// whole reads a record from end to end and returns the root of its leaves, or
// what is wrong and where.
func (v *verifier) whole(ctx context.Context, at shape) (root treehash.Digest, off int64, err error) {
	leaves := make([]treehash.Digest, at.leaves())
	if err := v.digests(at, 0, leaves); err != nil {
		return root, at.digestsAt(), err
	}
	var sums []treehash.Digest
	off, err = v.frames(at, func(first int64, p []byte) (bad int64, err error) {
		sums = treehash.AppendLeaves(sums[:0], p)
		for i, sum := range sums {
			if sum != leaves[first+int64(i)] {
				return first + int64(i), errCRC
			}
		}
		return 0, ctx.Err()
	})
	return treehash.Root(leaves), off, err
}

// Sparse calls fn for each blob that lives in a sealed shared pack of whose
// bytes at least the fraction minDead belongs to deleted ones. When the caller
// has put such blobs again, changed their rows and deleted them here, the packs
// are gone.
func (s *Store) Sparse(ctx context.Context, minDead float64, fn func(blob.Info) error) error {
	done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return s.eachFile(ctx, func(n fileName) error {
		if n.kind != shared || s.findUnsealed(n) != nil {
			return nil
		}
		sparse, err := s.isSparse(n, minDead)
		if err != nil {
			return err
		}
		if !sparse {
			return nil
		}
		return s.walkFile(ctx, n, fn, func(error) {})
	})
}

// isSparse adds up the dead and the live of a pack. One that is damaged is not
// sparse: it stays as it is.
func (s *Store) isSparse(n fileName, minDead float64) (bool, error) {
	f, _, err := s.find(n, os.O_RDONLY)
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, unavailable(err)
	}
	defer f.Close() // only read
	dead, live, err := weigh(f, n)
	switch {
	case isDamage(err):
		return false, nil
	case err != nil:
		return false, unavailable(err)
	}
	return dead > 0 && float64(dead) >= minDead*float64(dead+live), nil
}

func weigh(f disk.File, n fileName) (dead, live int64, err error) {
	size, err := f.Size()
	if err != nil {
		return 0, 0, err
	}
	sc := newScanner(f, n, size)
	sc.damaged = func(_, _ int64, cause error) error { return cause }
	sc.record = func(_ int64, h header) error {
		if h.dead {
			dead += h.span
		} else {
			live += h.span
		}
		return nil
	}
	sealed, err := sc.run(fileHeaderSize)
	if err == nil && !sealed {
		err = errShort
	}
	if err != nil {
		return 0, 0, err
	}
	return dead, live, nil
}
