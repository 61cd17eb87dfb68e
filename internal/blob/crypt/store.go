package crypt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"filippo.io/age"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// Store is a blob.Store that encrypts. It is safe for concurrent use.
type Store struct {
	inner blob.Store
	ring  atomic.Pointer[Ring]
}

var (
	_ blob.Store  = (*Store)(nil)
	_ blob.Walker = (*Store)(nil)
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

// ref is the place of an encrypted blob.
type ref struct {
	size  int64 // of the plaintext
	check check
	inner moraine.BlobRef
}

// check is the beginning of the SHA-256 of a blob's header and nonce, which no
// two blobs share: what is found at the place is the blob that was put there.
type check [8]byte

// refPrefix begins the reference of an encrypted blob:
// k1:<size>:<check>:<inner reference>, size and check in hex. Format: never
// change.
const refPrefix = "k1:"

func (r ref) String() moraine.BlobRef {
	return moraine.BlobRef(refPrefix + strconv.FormatInt(r.size, 16) + ":" + hex.EncodeToString(r.check[:]) + ":" + string(r.inner))
}

// parseRef reads a reference; ok is false for that of a blob that is not
// encrypted.
func parseRef(b moraine.BlobRef) (r ref, ok bool, err error) {
	text, ok := strings.CutPrefix(string(b), refPrefix)
	if !ok {
		return ref{inner: b}, false, nil
	}
	size, text, ok1 := strings.Cut(text, ":")
	sum, inner, ok2 := strings.Cut(text, ":")
	r.inner = moraine.BlobRef(inner)
	r.size, err = strconv.ParseInt(size, 16, 64)
	n, errSum := hex.Decode(r.check[:], []byte(sum[:min(len(sum), 2*len(r.check))]))
	if err != nil || errSum != nil || n != len(r.check) || !ok1 || !ok2 || r.size < 1 || r.String() != b {
		return ref{}, true, moraine.Errorf(moraine.Corrupt, "%q is not a reference of an encrypted blob", b)
	}
	return r, true, nil
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	ring := s.ring.Load()
	if ring == nil {
		return s.inner.Put(ctx, id, r, size)
	}
	if size < 1 {
		return "", moraine.Errorf(moraine.Invalid, "a blob of %d bytes", size)
	}
	sealed, err := age.EncryptReader(newPayload(r, size), recipient{ring, id})
	if err != nil {
		return "", fmt.Errorf("encrypt blob %s: %w", id, err)
	}
	tap := &headerTap{r: sealed}
	at := ref{size: size}
	// When the inner Put returns, the encrypted bytes are durable; what a crash
	// leaves is for the inner store to say.
	if at.inner, err = s.inner.Put(ctx, id, tap, storedSize(size)); err != nil {
		return "", err
	}
	at.check = checkOf(tap.head)
	return at.String(), nil
}

func checkOf(head []byte) (c check) {
	sum := sha256.Sum256(head)
	copy(c[:], sum[:])
	return c
}

// headerTap keeps the header and the nonce of the age file that passes.
type headerTap struct {
	r    io.Reader
	head []byte
}

func (t *headerTap) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if missing := headSize - len(t.head); missing > 0 {
		t.head = append(t.head, p[:min(n, missing)]...)
	}
	return n, err
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
	return s.open(ctx, at, off, n)
}

// open returns a reader of n bytes of the payload of a blob.
func (s *Store) open(ctx context.Context, at ref, off, n int64) (*reader, error) {
	src := &source{ctx: ctx, store: s.inner, at: at, size: storedSize(at.size)}
	plain, length, err := age.DecryptReaderAt(src, src.size, s.ring.Load())
	if err == nil && length != payloadSize(at.size) {
		err = moraine.Errorf(moraine.Corrupt, "the blob at %s decrypts to %d bytes, %d are expected", at.inner, length, payloadSize(at.size))
	}
	if err == nil && checkOf(src.head) != at.check {
		err = moraine.Errorf(moraine.Corrupt, "the blob at %s is another one", at.inner)
	}
	if err != nil {
		return nil, errors.Join(at.judge(err), src.close())
	}
	src.until = int64(headSize) + sealedEnd(off+n)
	return &reader{at: at, src: src, plain: plain, pos: off, end: off + n}, nil
}

// judge gives an error of age a kind. Those of the inner store keep theirs.
func (r ref) judge(err error) error {
	var known *moraine.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return moraine.Wrap(err, moraine.Corrupt, "the encrypted blob at %s cannot be opened", r.inner)
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

// Resolve returns what Put returned for a blob that Walk shows. A blob is
// encrypted if its header is that of an age file whose key opens for its id;
// without the key it cannot be told and the error is of kind Unavailable.
func (s *Store) Resolve(ctx context.Context, i blob.Info) (_ blob.Info, err error) {
	size, ok := plainSize(i.Size)
	if !ok {
		return i, nil
	}
	src := &source{ctx: ctx, store: s.inner, at: ref{inner: i.Ref}, size: i.Size}
	defer func() { err = errors.Join(err, src.close()) }()
	head := make([]byte, headSize)
	if _, err := src.ReadAt(head, 0); err != nil {
		return i, err
	}
	if !bytes.HasPrefix(head, []byte("age-encryption.org/v1\n-> "+stanzaType+" ")) || !bytes.Contains(head, []byte(" "+hex.EncodeToString(i.ID[:])+"\n")) {
		return i, nil
	}
	if _, err := age.DecryptHeader(head[:headSize-nonceSize], s.ring.Load()); err != nil {
		if moraine.IsKind(err, moraine.Unavailable) {
			return i, err
		}
		return i, nil // bytes that only look like a header of ours
	}
	i.Ref, i.Size = ref{size: size, check: checkOf(head), inner: i.Ref}.String(), size
	return i, nil
}

// Close closes the inner store.
func (s *Store) Close() error { return s.inner.Close() }
