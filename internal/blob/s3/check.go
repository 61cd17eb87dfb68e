package s3

import (
	"context"
	"errors"
	"io"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// Place names the copy of a blob for an operator.
const Place = "bucket"

// Stat implements blob.Stater.
func (s *Store) Stat(ctx context.Context, b moraine.BlobRef) (blob.Info, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return blob.Info{}, err
	}
	defer done()
	at, err := parseRef(b)
	if err != nil {
		return blob.Info{}, err
	}
	return s.stat(ctx, at)
}

func (s *Store) stat(ctx context.Context, at place) (i blob.Info, err error) {
	key := at.object().key()
	err = s.unlessDeleted(ctx, at, func() error {
		i = blob.Info{Ref: at.blobRef(), Size: at.size}
		if !at.single() {
			r, err := s.recordAt(ctx, at)
			i.ID = r.blob
			return err
		}
		p, total, err := s.bucket.fetch(ctx, key, at.footAt(), footSize)
		if err != nil {
			return err
		}
		f, err := decodeFoot(p, at.id, at.footAt())
		if err == nil && total != at.objectEnd() {
			err = errLength
		}
		if err != nil {
			return damage(key, at.footAt(), err)
		}
		i.ID = f.blob
		return nil
	})
	if err != nil {
		return blob.Info{}, err
	}
	return i, nil
}

// stopped carries an error of a caller's function through a check.
type stopped struct{ error }

func (s stopped) Unwrap() error { return s.error }

// Check implements blob.Checker: every frame against its CRC and every leaf
// against its digest.
func (s *Store) Check(ctx context.Context, i blob.Info, buf []byte, step func(n int) error) ([]blob.Copy, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	err = s.check(ctx, i, buf, step)
	var stop stopped
	switch {
	case errors.As(err, &stop):
		return nil, stop.error
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case moraine.IsKind(err, moraine.Invalid):
		err = moraine.Wrap(err, moraine.NotFound, "no blob is at %q", string(i.Ref))
	}
	return []blob.Copy{{Place: Place, Err: err}}, nil
}

func (s *Store) check(ctx context.Context, i blob.Info, buf []byte, step func(n int) error) error {
	at, err := parseRef(i.Ref)
	if err != nil {
		return err
	}
	f, err := s.facts(ctx, at)
	if err != nil {
		return err
	}
	if f.blob != i.ID || at.size != i.Size {
		return damage(at.object().key(), at.off, errOther)
	}
	r := &reader{ctx: ctx, s: s, at: at, end: at.size, seed: at.seed()}
	defer r.Close() // only read
	for n, want := range f.leaves {
		p := buf[:min(leafSize, at.size-int64(n)*leafSize)]
		if err := step(len(p)); err != nil {
			return stopped{err}
		}
		if _, err := io.ReadFull(r, p); err != nil {
			return err
		}
		if treehash.Leaf(p) != want {
			s.stats.corruptions.Add(1)
			return damage(at.object().key(), at.frameAt(int64(n)*(leafSize/frameSize)), errCRC)
		}
	}
	return nil
}
