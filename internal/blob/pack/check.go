package pack

import (
	"context"
	"errors"
	"sync"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/disk"
	"moraine/internal/treehash"
)

// Check implements blob.Checker: header, trailer, every frame against its CRC and
// every leaf against its digest. The one copy is as far as possible read from
// the disk, not from the kernel's cache of it.
func (s *Store) Check(ctx context.Context, i blob.Info, buf []byte, step func(n int) error) ([]blob.Copy, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	err = s.checkBlob(ctx, i, buf, step)
	var stop stopped
	switch {
	case errors.As(err, &stop):
		return nil, stop.error
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case moraine.IsKind(err, moraine.Invalid):
		err = moraine.Wrap(err, moraine.NotFound, "no blob is at %q", string(i.Ref))
	}
	return []blob.Copy{{Place: "pack", Err: err}}, nil
}

func (s *Store) checkBlob(ctx context.Context, i blob.Info, buf []byte, step func(n int) error) error {
	r, f, err := s.blobAt(i.Ref)
	if err != nil {
		return err
	}
	defer s.handles.put(f)
	v := verifier{f: f, name: fileName{kind: r.kind, id: r.id}, buf: buf, step: step}
	s.cold.drop(s.cfg.Now(), f, r.shape)
	h, err := readHeader(f, v.name, r.off)
	off := r.off
	if err == nil {
		if h.blob != i.ID || h.size != i.Size {
			err = errOther
		} else {
			_, off, err = v.whole(ctx, r.shape)
		}
	}
	var stop stopped
	if err == nil || ctx.Err() != nil || errors.As(err, &stop) {
		return err
	}
	// It may have been deleted since the caller learnt of it.
	if live := s.checkLive(f, v.name, r); live != nil {
		return live
	}
	if isDamage(err) {
		s.stats.corruptions.Add(1)
	}
	return faulty(v.name, off, err)
}

// Stat implements blob.Stater.
func (s *Store) Stat(ctx context.Context, b moraine.BlobRef) (blob.Info, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return blob.Info{}, err
	}
	defer done()
	r, f, err := s.blobAt(b)
	if err != nil {
		return blob.Info{}, err
	}
	defer s.handles.put(f)
	n := fileName{kind: r.kind, id: r.id}
	h, err := readHeader(f, n, r.off)
	if err != nil {
		return blob.Info{}, faulty(n, r.off, err)
	}
	return blob.Info{ID: h.blob, Ref: b, Size: h.size}, nil
}

const (
	// coldWindow is how much of a file leaves the cache at a time. Checks go
	// through a pack from front to back: dropping each small record alone would
	// throw away what the kernel has read ahead for the next.
	coldWindow = 8 << 20
	// coldTime is how long a window counts as dropped.
	coldTime = time.Minute
)

// coldness remembers the range that was dropped last.
type coldness struct {
	mu       sync.Mutex // guards the rest
	name     fileName
	from, to int64
	at       time.Time
}

// drop makes the reads of a record come from the disk. Within a window that was
// dropped a moment ago nothing is dropped again: whatever is cached there has
// been read from the disk since.
func (c *coldness) drop(now time.Time, f *handle, at shape) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since := now.Sub(c.at)
	if c.name == f.name && at.off >= c.from && at.end() <= c.to && since >= 0 && since < coldTime {
		return
	}
	// Whole pages are dropped: the range begins and ends on some.
	from := roundDown(at.off, blockSize)
	n := roundUp(max(at.end()-from, coldWindow), blockSize)
	disk.DropCache(f.File, from, n)
	c.name, c.from, c.to, c.at = f.name, from, from+n, now
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
