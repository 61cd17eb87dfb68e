package s3

import (
	"context"

	"moraine"
)

// noteMax bounds the length of a note, in bytes.
const noteMax = 4 << 10

// Note reads a short text that was left beside the blobs; found is false if there
// is none of that name.
func (s *Store) Note(ctx context.Context, name string) (text []byte, found bool, err error) {
	done, err := s.begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer done()
	l := s.bucket.list(name)
	l.whole = true
	for {
		o, some, err := l.next(ctx)
		switch {
		case err != nil || !some:
			return nil, false, err
		case o.key != name:
			continue
		case o.size < 1 || o.size > noteMax:
			return nil, false, moraine.Errorf(moraine.Corrupt, "the object %s has %d bytes", name, o.size)
		}
		text, _, err := s.bucket.fetch(ctx, name, 0, o.size)
		return text, err == nil, err
	}
}

// SetNote leaves a short text beside the blobs, or changes it.
func (s *Store) SetNote(ctx context.Context, name string, text []byte) error {
	done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return s.bucket.small(ctx, name, text)
}

// Stocked reports whether there are objects with blobs.
func (s *Store) Stocked(ctx context.Context) (bool, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	_, some, err := s.bucket.list(dataDir).next(ctx)
	return some, err
}
