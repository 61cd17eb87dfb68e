package crypt

import (
	"context"
	"errors"
	"io"

	"moraine"
	"moraine/internal/blob"
)

// source reads an encrypted blob at any offset, from one inner reader as long
// as the offsets follow each other. One goroutine uses it.
type source struct {
	ctx   context.Context // of the call that opened the blob
	store blob.Store
	at    ref
	size  int64 // stored
	until int64 // where the range that is wanted ends
	cur   io.ReadCloser
	pos   int64  // of the next byte of cur
	end   int64  // of cur
	head  []byte // header and nonce, as they were read first
}

// ReadAt implements io.ReaderAt for the decryption.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), s.size-off)]
	if s.cur == nil || off != s.pos || off+int64(len(want)) > s.end {
		if err := s.seek(off, int64(len(want))); err != nil {
			return 0, err
		}
	}
	n, err := io.ReadFull(s.cur, want)
	s.pos += int64(n)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = moraine.Errorf(moraine.Corrupt, "the blob at %s ends before byte %d", s.at.inner, off+int64(len(want)))
	}
	if off == 0 && err == nil && s.head == nil {
		s.head = append(s.head, want[:min(n, headSize)]...)
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// seek opens the blob at off, up to the end of what is wanted.
func (s *source) seek(off, n int64) error {
	if err := s.close(); err != nil {
		return err
	}
	end := off + n
	if off >= int64(headSize) {
		end = min(max(end, s.until), s.size)
	}
	cur, err := s.store.Open(s.ctx, s.at.inner, off, end-off)
	if err != nil {
		return err
	}
	s.cur, s.pos, s.end = cur, off, end
	return nil
}

func (s *source) close() error {
	if s.cur == nil {
		return nil
	}
	err := s.cur.Close()
	s.cur = nil
	return err
}

// lendChunks is how many chunks are decrypted at a time.
const lendChunks = 4

// reader reads a range of a payload. One goroutine uses it.
type reader struct {
	at    ref
	src   *source
	plain io.ReaderAt
	pos   int64 // of the next byte to decrypt
	end   int64
	buf   []byte
	have  []byte // decrypted and not yet delivered, part of buf
	err   error  // kept: damage does not heal by reading on
}

var _ blob.Lender = (*reader)(nil)

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
	// Up to the end of a chunk, so that none is decrypted twice.
	to := min(r.end, (r.pos/chunkSize+lendChunks)*chunkSize)
	if r.buf == nil {
		r.buf = make([]byte, min(lendChunks*chunkSize, r.end-r.pos))
	}
	n, err := r.plain.ReadAt(r.buf[:to-r.pos], r.pos)
	if err != nil && !(err == io.EOF && int64(n) == to-r.pos) {
		if err == io.EOF {
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
	if r.err == nil {
		r.err = moraine.Errorf(moraine.Invalid, "read of a closed blob")
	}
	r.have, r.buf = nil, nil
	return errors.Join(r.src.close())
}
