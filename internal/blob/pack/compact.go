package pack

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/disk"
)

// unreadableMax is how many files that cannot be read end a look at all of them:
// then it is the disk.
const unreadableMax = 8

// Sparse implements blob.Compactor. It looks at sealed shared packs, by their
// headers: a file of one blob has nothing to give back but itself.
func (s *Store) Sparse(ctx context.Context, from blob.Sparsity, fn func(blob.Info) error) error {
	done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	minDead := from.Held
	if punches, err := s.punches(); err != nil {
		return unavailable(err)
	} else if punches {
		minDead = from.Given
	}
	unreadable := 0
	return s.eachFile(ctx, func(n fileName) error {
		if n.kind != shared || s.findUnsealed(n) != nil {
			return nil
		}
		sparse, err := s.isSparse(n, minDead)
		if err != nil {
			// A sector that cannot be read keeps its file where it is, and no other.
			s.log.Warn("file not looked at, to see whether it is sparse", "file", n.base(), "error", err)
			if unreadable++; unreadable == unreadableMax {
				return err
			}
			return nil
		}
		if !sparse {
			return nil
		}
		return s.walkFile(ctx, n, fn, func(error) {})
	})
}

// Rewrite implements blob.Compactor.
func (s *Store) Rewrite(ctx context.Context, i blob.Info, at moraine.BlobRef, step func(n int) error) (blob.Mended, error) {
	none := blob.Mended{Ref: i.Ref}
	if at != i.Ref {
		return none, nil
	}
	found, err := s.Stat(ctx, i.Ref)
	if err != nil {
		return none, err
	}
	if found.ID != i.ID || found.Size != i.Size {
		return none, moraine.Errorf(moraine.Corrupt, "%s holds blob %s of %d bytes, and not %s of %d", i.Ref, found.ID, found.Size, i.ID, i.Size)
	}
	r, err := blob.OpenChecked(ctx, s, i, step)
	if err != nil {
		return none, err
	}
	defer r.Close() // only read
	ref, err := s.Put(ctx, i.ID, r, i.Size)
	if err != nil {
		return none, err
	}
	// Durable now: the copy, under an id that the row names, at a place that it does
	// not. A crash before the row is moved leaves it as surplus.
	return blob.Mended{Ref: ref, Made: []moraine.BlobRef{ref}, Drop: []moraine.BlobRef{i.Ref}}, nil
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

// Whether the file system gives the space of holes back: not known before one was
// punched. Never written to a file.
const (
	punchUnknown int32 = 0
	punchWorks   int32 = 1
	punchFails   int32 = 2
)

// probeFile is the name of a file in open/ with which that is found out. It is
// no name of a blob's file, so what a crash leaves of it is overwritten by the
// next try and means nothing.
const probeFile = "probe"

// punches reports whether the file system gives the space of holes back.
func (s *Store) punches() (works bool, err error) {
	if known := s.holes.Load(); known != punchUnknown {
		return known == punchWorks, nil
	}
	name := filepath.Join(s.openDir(), probeFile)
	f, err := s.fs.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return false, err
	}
	_, err = f.WriteAt(make([]byte, 2*blockSize), 0)
	if err == nil {
		err = s.notePunch(disk.Punch(f, 0, blockSize))
	}
	err = errors.Join(err, f.Close(), s.fs.Remove(name))
	return s.holes.Load() == punchWorks, err
}

// notePunch remembers what the punching of a hole says about the file system. It
// is no error that it cannot.
func (s *Store) notePunch(err error) error {
	switch {
	case err == nil:
		s.holes.Store(punchWorks)
	case errors.Is(err, errors.ErrUnsupported):
		s.holes.Store(punchFails)
		return nil
	}
	return err
}
