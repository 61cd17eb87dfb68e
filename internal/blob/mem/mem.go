// Package mem is the reference for package blob: a store in memory that does
// what the contract says in the plainest way, and checks its callers.
//
// It knows the contract. It must not know any technology; it is for tests.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// Store is a blob.Store in memory. The zero value is not usable; see New.
type Store struct {
	mu      sync.Mutex // guards the rest
	blobs   map[moraine.BlobRef]stored
	made    int64 // references so far
	readers int   // open
	fail    func(op string) error
	closed  bool
}

type stored struct {
	id     moraine.BlobID
	data   []byte
	leaves []treehash.Digest
}

var (
	_ blob.Store   = (*Store)(nil)
	_ blob.Walker  = (*Store)(nil)
	_ blob.Checker = (*Store)(nil)
	_ blob.Stater  = (*Store)(nil)
)

// New returns an empty store.
func New() *Store { return &Store{blobs: map[moraine.BlobRef]stored{}} }

// FailWith makes each method call fn first, with its name in lower case, and
// fail with what it returns. Nil makes them work again.
func (s *Store) FailWith(fn func(op string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fn
}

// Readers is how many readers were opened and not closed: a caller that leaves
// any behind leaks them.
func (s *Store) Readers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readers
}

// Corrupt damages one byte of a stored blob, so that reading its frame fails.
func (s *Store) Corrupt(ref moraine.BlobRef, off int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blobs[ref]
	b.data = bytes.Clone(b.data)
	b.data[off] ^= 1
	s.blobs[ref] = b
}

func (s *Store) begin(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed {
		return moraine.Errorf(moraine.Unavailable, "the store is closed")
	}
	if s.fail != nil {
		return s.fail(op)
	}
	return nil
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	s.mu.Lock()
	err := s.begin(ctx, "put")
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	if size < 1 {
		return "", moraine.Errorf(moraine.Invalid, "a blob of %d bytes cannot be stored", size)
	}
	b := stored{id: id, data: make([]byte, 0, min(size, treehash.LeafSize))}
	if err := b.receive(ctx, r, size); err != nil {
		return "", err
	}
	if d, ok := r.(blob.Digester); ok {
		own := d.Leaves()
		if len(own) != len(b.leaves) {
			return "", fmt.Errorf("reader has %d leaf digests for %d leaves", len(own), len(b.leaves))
		}
		b.leaves = append([]treehash.Digest{}, own...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	ref := moraine.BlobRef("m." + strconv.FormatInt(s.made, 10))
	s.blobs[ref] = b
	return ref, nil
}

// receive reads leaf by leaf into one buffer that it scribbles over
// afterwards: a reader that keeps its buffer is found out.
func (b *stored) receive(ctx context.Context, r io.Reader, size int64) error {
	buf := make([]byte, treehash.LeafSize)
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(left, treehash.LeafSize)]
		left -= int64(len(p))
		n, err := readAll(r, p)
		if n == len(p) && left == 0 && err == nil {
			var k int
			if k, err = readAll(r, make([]byte, 1)); k > 0 {
				return moraine.Errorf(moraine.Invalid, "the body is longer than announced")
			}
		}
		if err != nil && err != io.EOF { //nolint:errorlint // only the bare io.EOF ends a body
			return err
		}
		if n < len(p) || (err != nil && left > 0) {
			return io.ErrUnexpectedEOF
		}
		b.data = append(b.data, p...)
		b.leaves = append(b.leaves, treehash.Leaf(p))
		for i := range p {
			p[i] = 0xAA
		}
	}
	return nil
}

func readAll(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
	}
	return n, err
}

// find returns a blob; the caller holds mu.
func (s *Store) find(ref moraine.BlobRef) (stored, error) {
	if !s.issued(ref) {
		return stored{}, moraine.Errorf(moraine.Invalid, "%q is not a reference of this store", string(ref))
	}
	b, ok := s.blobs[ref]
	if !ok {
		return stored{}, moraine.Errorf(moraine.NotFound, "no blob at %s", ref)
	}
	return b, nil
}

// issued reports whether this store gave out the reference at some time.
func (s *Store) issued(ref moraine.BlobRef) bool {
	text, ok := strings.CutPrefix(string(ref), "m.")
	n, err := strconv.ParseInt(text, 10, 64)
	return ok && err == nil && n >= 1 && n <= s.made && strconv.FormatInt(n, 10) == text
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, "open"); err != nil {
		return nil, err
	}
	b, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	size := int64(len(b.data))
	if off < 0 || n < 0 || off > size || n > size-off {
		return nil, moraine.Errorf(moraine.Invalid, "%d bytes from %d do not lie in a blob of %d", n, off, size)
	}
	s.readers++
	return &reader{s: s, ref: ref, blob: b, pos: off, end: off + n}, nil
}

type reader struct {
	s        *Store
	ref      moraine.BlobRef
	blob     stored
	pos, end int64
	checked  int64 // leaves before this one, from the first that was read, are whole
	closed   bool
}

func (r *reader) Read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, moraine.Errorf(moraine.Invalid, "read of a closed blob")
	case len(p) == 0:
		return 0, nil
	case r.pos == r.end:
		return 0, io.EOF
	}
	leaf := r.pos / treehash.LeafSize
	to := min(int64(len(r.blob.data)), (leaf+1)*treehash.LeafSize)
	if leaf >= r.checked && treehash.Leaf(r.blob.data[leaf*treehash.LeafSize:to]) != r.blob.leaves[leaf] {
		return 0, moraine.Errorf(moraine.Corrupt, "%s is damaged at offset %d", r.ref, leaf*treehash.LeafSize)
	}
	r.checked = leaf + 1
	n := copy(p, r.blob.data[r.pos:min(r.end, to)])
	r.pos += int64(n)
	return n, nil
}

func (r *reader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if !r.closed {
		r.closed = true
		r.s.readers--
	}
	return nil
}

// Leaves implements blob.Store.
func (s *Store) Leaves(ctx context.Context, ref moraine.BlobRef, first, n int64) ([]treehash.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, "leaves"); err != nil {
		return nil, err
	}
	b, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	count := int64(len(b.leaves))
	if first < 0 || n < 0 || first > count || n > count-first {
		return nil, moraine.Errorf(moraine.Invalid, "%d leaves from %d are not in a blob of %d", n, first, count)
	}
	return append([]treehash.Digest{}, b.leaves[first:first+n]...), nil
}

// Stat implements blob.Stater.
func (s *Store) Stat(ctx context.Context, ref moraine.BlobRef) (blob.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, "stat"); err != nil {
		return blob.Info{}, err
	}
	b, err := s.find(ref)
	return blob.Info{ID: b.id, Ref: ref, Size: int64(len(b.data))}, err
}

// Check implements blob.Checker.
func (s *Store) Check(ctx context.Context, i blob.Info, buf []byte, step func(n int) error) ([]blob.Copy, error) {
	s.mu.Lock()
	err := s.begin(ctx, "check")
	var b stored
	var bad error
	if err == nil {
		b, bad = s.find(i.Ref)
	}
	s.mu.Unlock()
	switch {
	case err != nil && (ctx.Err() != nil || !moraine.IsKind(err, moraine.Unavailable)):
		return nil, err
	case err != nil:
		bad = err
	case moraine.IsKind(bad, moraine.Invalid):
		bad = moraine.Errorf(moraine.NotFound, "%q leads to no blob", string(i.Ref))
	case bad == nil && (b.id != i.ID || int64(len(b.data)) != i.Size):
		bad = moraine.Errorf(moraine.Corrupt, "%s is blob %s of %d bytes", i.Ref, b.id, len(b.data))
	}
	for n, want := range b.leaves {
		if bad != nil {
			break
		}
		p := buf[:copy(buf[:treehash.LeafSize], b.data[n*treehash.LeafSize:])]
		if err := step(len(p)); err != nil {
			return nil, err
		}
		if treehash.Leaf(p) != want {
			bad = moraine.Errorf(moraine.Corrupt, "%s is damaged in leaf %d", i.Ref, n)
		}
	}
	return []blob.Copy{{Place: "memory", Err: bad}}, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, ref moraine.BlobRef) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(ctx, "delete"); err != nil {
		return err
	}
	if !s.issued(ref) {
		return moraine.Errorf(moraine.Invalid, "%q is not a reference of this store", string(ref))
	}
	delete(s.blobs, ref)
	return nil
}

// Walk implements blob.Walker.
func (s *Store) Walk(ctx context.Context, fn func(blob.Info) error, _ func(error)) error {
	s.mu.Lock()
	err := s.begin(ctx, "walk")
	var all []blob.Info
	for ref, b := range s.blobs {
		all = append(all, blob.Info{ID: b.id, Ref: ref, Size: int64(len(b.data))})
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for _, i := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.mu.Lock()
		_, live := s.blobs[i.Ref]
		s.mu.Unlock()
		if !live {
			continue
		}
		if err := fn(i); err != nil {
			return err
		}
	}
	return nil
}

// Close implements blob.Store. A second Close is an error.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return moraine.Errorf(moraine.Unavailable, "the store is closed")
	}
	s.closed = true
	return nil
}
