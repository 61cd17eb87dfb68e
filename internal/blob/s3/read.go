package s3

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"moraine"
	"moraine/internal/treehash"
)

const (
	// resumesMax is how often in a row an answer may break off without a frame.
	resumesMax = 5
	// stallMax is how long an answer may bring nothing.
	stallMax = 30 * time.Second
)

// isDeleted reports whether a record is marked as deleted.
func (s *Store) isDeleted(ctx context.Context, at place) (bool, error) {
	if at.single() || at.count == 1 {
		return false, nil // its object is removed
	}
	return s.bucket.exists(ctx, at.markKey())
}

// twice repeats ask if what it read is damaged: only what is wrong twice is wrong in
// the store, and was not spoilt on its way.
func twice(ask func() error) error {
	err := ask()
	if isDamage(err) {
		err = ask()
	}
	return err
}

// unlessDeleted runs ask and looks for the mark of a deletion meanwhile: a record
// of a shared object is there until all of them are deleted.
func (s *Store) unlessDeleted(ctx context.Context, at place, ask func() error) error {
	type look struct {
		deleted bool
		err     error
	}
	looked := make(chan look, 1)
	go func() { // its answer is waited for
		deleted, err := s.isDeleted(ctx, at)
		looked <- look{deleted, err}
	}()
	err := twice(ask)
	l := <-looked
	switch {
	case l.deleted:
		return moraine.Errorf(moraine.NotFound, "the object %s holds no blob at offset %d", at.object().key(), at.off)
	case err != nil:
		return err
	}
	return l.err
}

// Open implements blob.Store. It asks for the frames of the range alone, by one
// request, and beside it for the mark of a deletion.
func (s *Store) Open(ctx context.Context, b moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	at, err := parseRef(b)
	if err != nil {
		return nil, err
	}
	if off < 0 || n < 0 || off > at.size || n > at.size-off {
		return nil, moraine.Errorf(moraine.Invalid, "%d bytes from %d do not lie in a blob of %d", n, off, at.size)
	}
	r := &reader{ctx: ctx, s: s, at: at, pos: off, end: off + n, next: off / frameSize, seed: at.seed()}
	if n == 0 {
		if _, err := s.stat(ctx, at); err != nil {
			return nil, err
		}
		return r, nil
	}
	if err := s.unlessDeleted(ctx, at, r.ask); err != nil {
		_ = r.Close() // it was only read
		return nil, err
	}
	return r, nil
}

// reader reads a range of a blob. One goroutine uses it.
type reader struct {
	ctx    context.Context // of the call of Open
	s      *Store
	at     place
	seed   uint32
	pos    int64 // in the blob, of the next byte to deliver
	end    int64
	next   int64 // frame to read
	body   io.ReadCloser
	cancel context.CancelFunc // of the request of body
	buf    *[frameSpan]byte   // borrowed; nil before the first read and after the last
	have   []byte             // checked and not yet delivered, part of buf
	failed int                // requests in a row that brought no frame
	wrong  bool               // the frame was wrong once
	err    error              // kept: damage does not heal by reading on
}

// endFrame is the frame after the last one of the range.
func (r *reader) endFrame() int64 { return frameCount(r.end) }

// ask asks for the frames from the next one on.
func (r *reader) ask() error {
	from := r.at.frameAt(r.next)
	to := min(r.at.frameAt(r.endFrame()), r.at.framesEnd())
	ctx, cancel := context.WithCancel(r.ctx)
	timer := time.AfterFunc(callTimeout, cancel)
	body, total, err := r.s.bucket.get(ctx, r.at.object().key(), from, to-from)
	timer.Stop()
	if err == nil && r.at.single() && total != r.at.objectEnd() {
		_ = body.Close() // nothing of it is used
		err = damage(r.at.object().key(), total, errLength)
	}
	if err != nil {
		cancel()
		return late(r.ctx, err)
	}
	r.body, r.cancel = body, cancel
	return nil
}

// drop ends the request under way.
func (r *reader) drop() {
	if r.body != nil {
		r.cancel()
		_ = r.body.Close() // it was only read
		r.body, r.cancel = nil, nil
	}
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	have, err := r.some()
	if err != nil {
		return 0, err
	}
	n := copy(p, have)
	r.took(n)
	return n, nil
}

// Lend implements blob.Lender.
func (r *reader) Lend() ([]byte, error) {
	have, err := r.some()
	if err != nil {
		return nil, err
	}
	r.took(len(have))
	return have, nil
}

func (r *reader) took(n int) {
	r.have = r.have[n:]
	r.pos += int64(n)
	r.s.stats.readBytes.Add(int64(n))
}

// some returns bytes that are checked, at least one.
func (r *reader) some() ([]byte, error) {
	if len(r.have) > 0 {
		return r.have, nil
	}
	for r.err == nil {
		if r.pos == r.end {
			r.err = io.EOF
			break
		}
		if r.err = r.ctx.Err(); r.err != nil {
			break
		}
		if r.body == nil {
			if r.err = r.ask(); r.err != nil {
				break
			}
		}
		data, err := r.frame()
		if err == nil {
			r.next++
			r.failed, r.wrong = 0, false
			from := r.pos % frameSize
			r.have = data[from:min(int64(len(data)), from+r.end-r.pos)]
			return r.have, nil
		}
		r.err = r.again(err)
	}
	r.release()
	return nil, r.err
}

// again decides whether a frame that could not be read is asked for once more. An
// answer that breaks off is no damage, and bytes may be spoilt on their way: only
// what is wrong twice is wrong in the store.
func (r *reader) again(err error) error {
	r.drop()
	switch {
	case r.ctx.Err() != nil:
		return r.ctx.Err()
	case errors.Is(err, errCRC) && r.wrong:
		r.s.stats.corruptions.Add(1)
		return damage(r.at.object().key(), r.at.frameAt(r.next), err)
	case errors.Is(err, errCRC):
		r.wrong = true
	}
	if r.failed++; r.failed >= resumesMax {
		return moraine.Wrap(err, moraine.Unavailable, "storage failed")
	}
	r.s.stats.resumed.Add(1)
	return nil
}

// frame reads the next frame of the answer.
func (r *reader) frame() ([]byte, error) {
	if r.buf == nil {
		r.buf = r.s.frames.Get().(*[frameSpan]byte) //nolint:errcheck // it holds nothing else
	}
	n := min(frameSize, r.at.size-r.next*frameSize)
	p := r.buf[:n+crcSize]
	timer := time.AfterFunc(stallMax, r.cancel)
	_, err := io.ReadFull(r.body, p)
	timer.Stop()
	if err != nil {
		return nil, err
	}
	if frameCRC(r.seed, r.next, p[:n]) != binary.LittleEndian.Uint32(p[n:]) {
		return nil, errCRC
	}
	return p[:n], nil
}

func (r *reader) release() {
	r.drop()
	if r.buf != nil {
		r.s.frames.Put(r.buf)
		r.buf, r.have = nil, nil
	}
}

func (r *reader) Close() error {
	r.release()
	if r.err == nil {
		r.err = moraine.Errorf(moraine.Invalid, "read of a closed blob")
	}
	return nil
}

// facts is what is kept beside the data of a blob.
type facts struct {
	blob   moraine.BlobID
	leaves []treehash.Digest
}

// facts reads what is kept beside the data, with all leaf digests, since one
// checksum covers them.
func (s *Store) facts(ctx context.Context, at place) (f facts, err error) {
	key := at.object().key()
	err = s.unlessDeleted(ctx, at, func() error {
		if !at.single() {
			r, err := s.recordAt(ctx, at)
			f = facts{r.blob, []treehash.Digest{r.digest}}
			return err
		}
		p, total, err := s.bucket.fetch(ctx, key, at.framesEnd(), at.objectEnd()-at.framesEnd())
		if err != nil {
			return err
		}
		if total != at.objectEnd() {
			return damage(key, total, errLength)
		}
		foot, leaves, err := decodeTail(p, at)
		if err != nil {
			return damage(key, at.framesEnd(), err)
		}
		f = facts{foot.blob, leaves}
		return nil
	})
	if isDamage(err) {
		s.stats.corruptions.Add(1)
	}
	return f, err
}

func (s *Store) recordAt(ctx context.Context, at place) (record, error) {
	key := at.object().key()
	p, _, err := s.bucket.fetch(ctx, key, at.off, recordSize)
	if err != nil {
		return record{}, err
	}
	r, err := decodeRecord(p, at.id, at.off)
	if err == nil && r.size != at.size {
		err = errOther
	}
	if err != nil {
		return record{}, damage(key, at.off, err)
	}
	return r, nil
}

// Leaves implements blob.Store.
func (s *Store) Leaves(ctx context.Context, b moraine.BlobRef, first, n int64) ([]treehash.Digest, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	at, err := parseRef(b)
	if err != nil {
		return nil, err
	}
	if first < 0 || n < 0 || first > at.leaves() || n > at.leaves()-first {
		return nil, moraine.Errorf(moraine.Invalid, "%d leaves from %d are not in a blob of %d", n, first, at.leaves())
	}
	f, err := s.facts(ctx, at)
	if err != nil {
		return nil, err
	}
	return f.leaves[first : first+n : first+n], nil
}
