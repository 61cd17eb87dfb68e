package server

import (
	"context"
	"io"

	"moraine"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/pack"
	"moraine/internal/disk"
)

// Bounds of the space that blobs leave free, in bytes, and the share of the
// file system it is between them.
const (
	reserveLeast = 4 << 20
	reserveMost  = 256 << 20
	reserveShare = 50
)

// room is the space on the file system of the rows. The rows of a deletion need
// some before the deletion gives any back, so a file system that blobs could fill
// to the last block would never get empty again.
type room struct {
	// space returns the free bytes and the size of the file system.
	space func() (free, total int64, err error)
}

func roomIn(dir string) room {
	return room{space: func() (int64, int64, error) { return disk.Space(dir) }}
}

// check refuses a blob after which little space would be left.
func (r room) check(size int64) error {
	free, total, err := r.space()
	if err != nil {
		return moraine.Wrap(err, moraine.Unavailable, "storage failed")
	}
	if free-size < min(max(total/reserveShare, reserveLeast), reserveMost) {
		return moraine.Errorf(moraine.Unavailable, "storage is full")
	}
	return nil
}

// reserving is the store of copies that leaves room for rows.
type reserving struct {
	*mirror.Store
	room
}

// Put implements blob.Store. It refuses before r is read.
func (s reserving) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	if err := s.check(size); err != nil {
		return "", err
	}
	return s.Store.Put(ctx, id, r, size)
}

// reservingPacks is the primary store of a mirror: copies that are made anew
// leave room as well.
type reservingPacks struct {
	*pack.Store
	room
}

// Put implements blob.Store.
func (s reservingPacks) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	if err := s.check(size); err != nil {
		return "", err
	}
	return s.Store.Put(ctx, id, r, size)
}
