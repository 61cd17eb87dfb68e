package crypt

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"

	"filippo.io/age"

	"moraine"
	"moraine/internal/blob"
)

// Walk implements blob.Walker. It shows blobs as the inner store keeps them:
// their references are good for Delete, and Resolve makes of them what Open
// takes.
func (s *Store) Walk(ctx context.Context, fn func(blob.Info) error, damaged func(error)) error {
	w, ok := s.inner.(blob.Walker)
	if !ok {
		return moraine.Errorf(moraine.Internal, "the store below the encryption cannot be walked")
	}
	return w.Walk(ctx, fn, damaged)
}

// headerPrefix begins the header of an encrypted blob.
const headerPrefix = "age-encryption.org/v1\n-> " + stanzaType + " "

// Resolve implements blob.Resolver. A blob is encrypted if its header is that of
// an age file whose key opens for its id; without the key it cannot be told and
// the error is ErrNoKey, of kind Unavailable.
func (s *Store) Resolve(ctx context.Context, i blob.Info) (blob.Info, error) {
	if inner, ok := s.inner.(blob.Resolver); ok {
		var err error
		if i, err = inner.Resolve(ctx, i); err != nil {
			return i, err
		}
	}
	size, ok := plainSize(i.Size)
	if !ok {
		return i, nil
	}
	head, err := s.head(ctx, i.Ref)
	if err != nil {
		return i, err
	}
	if !bytes.HasPrefix(head, []byte(headerPrefix)) || !bytes.Contains(head, []byte(" "+hex.EncodeToString(i.ID[:])+"\n")) {
		return i, nil
	}
	if _, err := age.DecryptHeader(head[:headSize-nonceSize], s.ring.Load()); err != nil {
		if errors.Is(err, ErrNoKey) {
			return i, err
		}
		return i, nil // bytes that only look like a header of ours
	}
	i.Ref, i.Size = ref{size: size, check: checkOf(head), inner: i.Ref}.String(), size
	return i, nil
}

// head reads the header and the nonce of what may be an encrypted blob.
func (s *Store) head(ctx context.Context, inner moraine.BlobRef) (_ []byte, err error) {
	r, err := s.inner.Open(ctx, inner, 0, headSize)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	head := make([]byte, headSize)
	_, err = io.ReadFull(r, head)
	return head, err
}

// Stored translates a blob into what the store below knows of it; encrypted
// tells whether it is encrypted, and there is a difference. What is wrong with
// reference or size is wrong there as well.
func Stored(i blob.Info) (below blob.Info, encrypted bool) {
	below, _, encrypted = stored(i)
	return below, encrypted
}

// Below returns the reference that the store below knows the blob by.
func Below(b moraine.BlobRef) moraine.BlobRef {
	if at, encrypted, err := parseRef(b); encrypted && err == nil {
		return at.inner
	}
	return b
}

// At returns the reference of the same blob at another place of the store below.
func At(b, inner moraine.BlobRef) moraine.BlobRef {
	if at, encrypted, err := parseRef(b); encrypted && err == nil {
		return at.at(inner)
	}
	return inner
}

func stored(i blob.Info) (below blob.Info, at ref, encrypted bool) {
	at, encrypted, err := parseRef(i.Ref)
	if !encrypted || err != nil {
		return i, at, false
	}
	i.Ref = at.inner
	if i.Size >= 1 && i.Size <= sizeMax {
		i.Size = storedSize(i.Size)
	}
	return i, at, true
}

// Check implements blob.Checker. It compares what is stored with the digests of
// what is stored, and needs no key.
func (s *Store) Check(ctx context.Context, i blob.Info, buf []byte, step func(n int) error) ([]blob.Copy, error) {
	c, ok := s.inner.(blob.Checker)
	if !ok {
		return nil, moraine.Errorf(moraine.Internal, "the store below the encryption cannot be checked")
	}
	i, _, _ = stored(i)
	return c.Check(ctx, i, buf, step)
}

// Missing implements blob.Mender.
func (s *Store) Missing(ctx context.Context, b moraine.BlobRef) ([]string, error) {
	m, ok := s.inner.(blob.Mender)
	if !ok {
		return nil, nil
	}
	at, _, err := parseRef(b)
	if err != nil {
		return nil, err
	}
	return m.Missing(ctx, at.inner)
}

// Mend implements blob.Mender. It copies what is stored, and needs no key. Over
// a store of one copy it can do nothing.
func (s *Store) Mend(ctx context.Context, i blob.Info) (blob.Mended, error) {
	m, ok := s.inner.(blob.Mender)
	if !ok {
		return blob.Mended{Ref: i.Ref}, nil
	}
	below, at, encrypted := stored(i)
	done, err := m.Mend(ctx, below)
	if err != nil || !encrypted {
		return done, err
	}
	return at.mended(done), nil
}

// mended says of an encrypted blob what the store below says of what is stored.
func (r ref) mended(m blob.Mended) blob.Mended {
	at := func(refs []moraine.BlobRef) (all []moraine.BlobRef) {
		for _, ref := range refs {
			all = append(all, r.at(ref))
		}
		return all
	}
	return blob.Mended{Ref: r.at(m.Ref), Made: at(m.Made), Drop: at(m.Drop)}
}

// Sparse implements blob.Compactor. It shows blobs as Walk does.
func (s *Store) Sparse(ctx context.Context, from blob.Sparsity, fn func(blob.Info) error) error {
	c, ok := s.inner.(blob.Compactor)
	if !ok {
		return nil
	}
	return c.Sparse(ctx, from, fn)
}

// Rewrite implements blob.Compactor. It copies what is stored, and needs no key.
func (s *Store) Rewrite(ctx context.Context, i blob.Info, place moraine.BlobRef, step func(n int) error) (blob.Mended, error) {
	none := blob.Mended{Ref: i.Ref}
	c, ok := s.inner.(blob.Compactor)
	if !ok {
		return none, nil
	}
	below, at, encrypted := stored(i)
	done, err := c.Rewrite(ctx, below, place, step)
	switch {
	case err != nil:
		return none, err
	case encrypted:
		return at.mended(done), nil
	}
	return done, nil
}
