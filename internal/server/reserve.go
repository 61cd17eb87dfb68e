package server

import (
	"context"
	"io"

	"moraine"
	"moraine/internal/blob/pack"
	"moraine/internal/disk"
)

// Bounds of the space that uploads leave free, in bytes, and the share of the
// file system it is between them.
const (
	reserveLeast = 4 << 20
	reserveMost  = 256 << 20
	reserveShare = 50
)

// reserving is a store of blobs that refuses a blob when little space would be
// left. The rows of a deletion need space before the deletion gives any back,
// so a file system that uploads could fill to the last block would never get
// empty again.
type reserving struct {
	*pack.Store
	// space returns the free bytes and the size of the file system.
	space func() (free, total int64, err error)
}

// reserve keeps space free on the file system of dir.
func reserve(s *pack.Store, dir string) reserving {
	return reserving{Store: s, space: func() (int64, int64, error) { return disk.Space(dir) }}
}

// Put implements blob.Store. It refuses before r is read.
func (s reserving) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	free, total, err := s.space()
	if err != nil {
		return "", moraine.Wrap(err, moraine.Unavailable, "storage failed")
	}
	if free-size < min(max(total/reserveShare, reserveLeast), reserveMost) {
		return "", moraine.Errorf(moraine.Unavailable, "storage is full")
	}
	return s.Store.Put(ctx, id, r, size)
}
