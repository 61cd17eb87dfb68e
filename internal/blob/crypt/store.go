package crypt

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// Store is a blob.Store that encrypts. It is safe for concurrent use.
type Store struct {
	inner blob.Store
	ring  atomic.Pointer[Ring]
	pool  buffers
}

var (
	_ blob.Store     = (*Store)(nil)
	_ blob.Walker    = (*Store)(nil)
	_ blob.Resolver  = (*Store)(nil)
	_ blob.Checker   = (*Store)(nil)
	_ blob.Mender    = (*Store)(nil)
	_ blob.Compactor = (*Store)(nil)
)

// New returns a store over inner. Without a ring it encrypts nothing and opens
// only what is not encrypted. Close closes inner.
func New(inner blob.Store, ring *Ring) *Store {
	s := &Store{inner: inner}
	s.ring.Store(ring)
	return s
}

// SetRing replaces the ring, which must be able to unwrap what the one before
// it could. Puts under way end with the one they began with.
func (s *Store) SetRing(ring *Ring) { s.ring.Store(ring) }

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	ring := s.ring.Load()
	if !ring.encrypts() {
		return s.putPlain(ctx, id, r, size)
	}
	if size < 1 || size > sizeMax {
		return "", moraine.Errorf(moraine.Invalid, "a blob of %d bytes", size)
	}
	sealer, sum, err := newSealer(ring, id, r, size, &s.pool)
	if err != nil {
		return "", err
	}
	defer sealer.release(&s.pool)
	// When the inner Put returns, the encrypted bytes are durable; what a crash
	// leaves is for the inner store to say.
	inner, err := s.inner.Put(ctx, id, sealer, storedSize(size))
	if err != nil {
		return "", err
	}
	return ref{size: size, check: sum, inner: inner}.String(), nil
}

// putPlain stores a blob as it is.
func (s *Store) putPlain(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	b, err := s.inner.Put(ctx, id, r, size)
	if err == nil && isEncrypted(b) {
		return "", moraine.Errorf(moraine.Internal, "the store made the reference %q, which has a meaning here", string(b))
	}
	return b, err
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, b moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	at, encrypted, err := parseRef(b)
	if err != nil {
		return nil, err
	}
	if !encrypted {
		return s.inner.Open(ctx, b, off, n)
	}
	if off < 0 || n < 0 || off > at.size || n > at.size-off {
		return nil, moraine.Errorf(moraine.Invalid, "%d bytes from %d do not lie in a blob of %d", n, off, at.size)
	}
	r, err := s.open(ctx, at, off, n)
	if err != nil {
		return nil, err // not r, which would be an io.ReadCloser that is not nil
	}
	return r, nil
}

// Leaves implements blob.Store. The digests are those of the plaintext.
func (s *Store) Leaves(ctx context.Context, b moraine.BlobRef, first, n int64) (_ []treehash.Digest, err error) {
	at, encrypted, err := parseRef(b)
	if err != nil {
		return nil, err
	}
	if !encrypted {
		return s.inner.Leaves(ctx, b, first, n)
	}
	if count := leafCount(at.size); first < 0 || n < 0 || first > count || n > count-first {
		return nil, moraine.Errorf(moraine.Invalid, "%d leaves from %d are not in a blob of %d", n, first, count)
	}
	r, err := s.open(ctx, at, at.size+first*treehash.DigestSize, n*treehash.DigestSize)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	leaves := make([]treehash.Digest, n)
	for i := range leaves {
		if _, err := io.ReadFull(r, leaves[i][:]); err != nil {
			return nil, at.judge(err)
		}
	}
	return leaves, nil
}

// Delete implements blob.Store. It needs no key.
func (s *Store) Delete(ctx context.Context, b moraine.BlobRef) error {
	at, _, err := parseRef(b)
	if err != nil {
		return err
	}
	return s.inner.Delete(ctx, at.inner)
}

// Close closes the inner store.
func (s *Store) Close() error { return s.inner.Close() }
