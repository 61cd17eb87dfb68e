package crypt

import (
	"context"
	"errors"
	"io"

	"filippo.io/age"

	"moraine"
	"moraine/internal/blob"
)

// Sizes of the first read of a blob: that of the header reader of age, or all
// of a small blob, which then is opened only once.
const (
	beginSize = 4096
	wholeMax  = 64 << 10
)

// source reads an encrypted blob at any offset, from one inner reader as long
// as the offsets follow each other. One goroutine uses it.
type source struct {
	ctx   context.Context // of the call that opened the blob
	store *Store
	at    ref
	size  int64 // stored
	until int64 // where the range that is wanted ends
	cur   io.ReadCloser
	pos   int64  // of the next byte of cur
	end   int64  // of cur
	begin []byte // of the blob, borrowed
}

// start reads the beginning of the blob and makes sure that it is the one that
// was put.
func (s *source) start() error {
	n := s.size
	if n > wholeMax {
		n = beginSize
	}
	begin := s.store.pool.get(int(n))
	if _, err := s.ReadAt(begin, 0); err != nil {
		s.store.pool.put(begin)
		return err
	}
	s.begin = begin
	if checkOf(begin[:headSize]) != s.at.check {
		return moraine.Errorf(moraine.Corrupt, "the header at %s is damaged, or that of another blob", s.at.inner)
	}
	if n == s.size {
		return s.closeCurrent() // nothing more is to be read
	}
	return nil
}

// ReadAt implements io.ReaderAt for the decryption.
func (s *source) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), s.size-off)]
	if end := off + int64(len(want)); end <= int64(len(s.begin)) {
		n = copy(want, s.begin[off:end])
	} else {
		n, err = s.read(want, off)
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// read fills p from the inner store.
func (s *source) read(p []byte, off int64) (int, error) {
	if s.cur == nil || off != s.pos || off+int64(len(p)) > s.end {
		if err := s.seek(off, int64(len(p))); err != nil {
			return 0, err
		}
	}
	n, err := io.ReadFull(s.cur, p)
	s.pos += int64(n)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = moraine.Errorf(moraine.Corrupt, "the blob at %s ends before byte %d", s.at.inner, off+int64(len(p)))
	}
	return n, err
}

// seek opens the blob at off, up to the end of what is wanted.
func (s *source) seek(off, n int64) error {
	if err := s.closeCurrent(); err != nil {
		return err
	}
	end := min(max(off+n, s.until), s.size)
	cur, err := s.store.inner.Open(s.ctx, s.at.inner, off, end-off)
	if err != nil {
		return err
	}
	s.cur, s.pos, s.end = cur, off, end
	return nil
}

func (s *source) closeCurrent() error {
	if s.cur == nil {
		return nil
	}
	err := s.cur.Close()
	s.cur = nil
	return err
}

func (s *source) close() error {
	s.store.pool.put(s.begin)
	s.begin = nil
	return s.closeCurrent()
}

// lendChunks is how many chunks are decrypted at a time.
const lendChunks = 4

// reader reads a range of a payload. One goroutine uses it.
type reader struct {
	at    ref
	src   source
	plain io.ReaderAt
	pos   int64 // of the next byte to decrypt
	end   int64
	buf   []byte // borrowed; nil before the first read and after Close
	have  []byte // decrypted and not yet delivered, part of buf
	err   error  // kept: damage does not heal by reading on
}

var _ blob.Lender = (*reader)(nil)

// open returns a reader of n bytes of the payload of a blob.
func (s *Store) open(ctx context.Context, at ref, off, n int64) (*reader, error) {
	r := &reader{at: at, src: source{ctx: ctx, store: s, at: at, size: storedSize(at.size)}, pos: off, end: off + n}
	if err := r.start(); err != nil {
		return nil, errors.Join(at.judge(err), r.src.close())
	}
	r.src.until = headSize + sealedEnd(off+n)
	return r, nil
}

// start decrypts the header, and the last chunk, which proves the length.
func (r *reader) start() error {
	if err := r.src.start(); err != nil {
		return err
	}
	plain, length, err := age.DecryptReaderAt(&r.src, r.src.size, r.src.store.ring.Load())
	if err == nil && length != payloadSize(r.at.size) {
		err = moraine.Errorf(moraine.Corrupt, "the blob at %s decrypts to %d bytes, %d are expected", r.at.inner, length, payloadSize(r.at.size))
	}
	r.plain = plain
	return err
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.next(); err != nil {
		return 0, err
	}
	n := copy(p, r.have)
	r.have = r.have[n:]
	return n, nil
}

// Lend implements blob.Lender.
func (r *reader) Lend() ([]byte, error) {
	if err := r.next(); err != nil {
		return nil, err
	}
	p := r.have
	r.have = nil
	return p, nil
}

// next decrypts more if there is nothing left to deliver.
func (r *reader) next() error {
	switch {
	case len(r.have) > 0:
		return nil
	case r.err != nil:
		return r.err
	case r.pos == r.end:
		return io.EOF
	}
	if r.err = r.src.ctx.Err(); r.err != nil {
		return r.err
	}
	// Up to the end of a chunk, so that none is decrypted twice.
	to := min(r.end, (r.pos/chunkSize+lendChunks)*chunkSize)
	if r.buf == nil {
		r.buf = r.src.store.pool.get(int(min(lendChunks*chunkSize, r.end-r.pos)))
	}
	n, err := r.plain.ReadAt(r.buf[:to-r.pos], r.pos)
	if int64(n) < to-r.pos {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		r.err = r.at.judge(err)
		return r.err
	}
	r.have = r.buf[:n]
	r.pos = to
	return nil
}

func (r *reader) Close() error {
	if r.plain == nil {
		return nil
	}
	r.err = moraine.Errorf(moraine.Invalid, "read of a closed blob")
	r.src.store.pool.put(r.buf)
	r.plain, r.have, r.buf = nil, nil, nil
	return r.src.close()
}

// judge gives an error of age a kind. Those of the inner store keep theirs.
func (r ref) judge(err error) error {
	var known *moraine.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return moraine.Wrap(err, moraine.Corrupt, "the encrypted blob at %s cannot be opened", r.inner)
}
