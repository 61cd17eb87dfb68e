package server

import (
	"context"
	"io"
	"sync"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/pack"
	"moraine/internal/trace"
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
//
// Where there is plenty it is not asked for each blob: a look that found more
// than that holds for a moment, or until a share of the surplus is taken.
type room struct {
	// space returns the free bytes and the size of the file system.
	space func() (free, total int64, err error)
	// elapsed is a clock that nobody can set.
	elapsed func() time.Duration

	mu     sync.Mutex    // guards what follows
	until  time.Duration // of elapsed: the last look holds until then
	credit int64         // bytes that may be stored without another look
}

// Bounds of how long one look at the space holds: as long as roomFor, and for a
// part of the surplus, so that what others write meanwhile does not matter.
const (
	roomFor   = 100 * time.Millisecond
	roomShare = 64
)

func roomIn(d *data) *room {
	began := time.Now()
	return &room{
		space:   func() (int64, int64, error) { return d.place.space(d.dir) },
		elapsed: func() time.Duration { return time.Since(began) },
	}
}

// check refuses a blob after which little space would be left.
func (r *room) check(size int64) error { return r.leave(size, 1) }

// leave is check with one part in so many of what it demands. What was granted
// ahead is for those who demand all of it.
func (r *room) leave(size, part int64) error {
	now := r.elapsed()
	r.mu.Lock()
	defer r.mu.Unlock()
	if part == 1 && now < r.until && size <= r.credit {
		r.credit -= size
		return nil
	}
	free, total, err := r.space()
	if err != nil {
		r.until = 0
		return moraine.Wrap(err, moraine.Unavailable, "storage failed")
	}
	surplus := free - size - min(max(total/reserveShare, reserveLeast), reserveMost)/part
	if part == 1 {
		r.until, r.credit = now+roomFor, surplus/roomShare
	}
	if surplus < 0 {
		r.until = 0
		return moraine.Errorf(moraine.Unavailable, "storage is full")
	}
	return nil
}

// reserving is the store of copies that leaves room for rows.
type reserving struct {
	*mirror.Store
	*room
	away   bool          // blobs go elsewhere, and leave the space of the rows alone
	tracer *trace.Tracer // nil for none
}

// Put implements blob.Store. It refuses before r is read.
func (s reserving) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (ref moraine.BlobRef, err error) {
	taken := size
	if s.away {
		taken = 0
	}
	if err := s.check(taken); err != nil {
		return "", err
	}
	ctx, span := s.tracer.Start(ctx, "bytes.Put")
	span.Number("moraine.size", size)
	defer func() { span.End(err) }()
	return s.Store.Put(ctx, id, r, size)
}

// Open implements blob.Store. Its span is over when there is something to read.
func (s reserving) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (r io.ReadCloser, err error) {
	ctx, span := s.tracer.Start(ctx, "bytes.Open")
	span.Number("moraine.size", n)
	defer func() { span.End(err) }()
	return s.Store.Open(ctx, ref, off, n)
}

// reservingPacks is the primary store of a mirror: copies that are made anew
// leave room as well.
type reservingPacks struct {
	*pack.Store
	*room
}

// Put implements blob.Store.
func (s reservingPacks) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	if err := s.check(size); err != nil {
		return "", err
	}
	return s.Store.Put(ctx, id, r, size)
}

// Rewrite implements blob.Compactor. It gives space back, so it may use half of
// what others leave: on a full disk there is no other way out.
func (s reservingPacks) Rewrite(ctx context.Context, i blob.Info, at moraine.BlobRef, step func(n int) error) (blob.Mended, error) {
	if err := s.leave(i.Size, 2); err != nil {
		return blob.Mended{Ref: i.Ref}, err
	}
	return s.Store.Rewrite(ctx, i, at, step)
}
