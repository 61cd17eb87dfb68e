package job

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/treehash"
)

// choosy is a store that takes so many blobs.
type choosy struct {
	blob.Store
	left int
}

var errTaken = errors.New("no more")

func (c *choosy) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	if c.left--; c.left < 0 {
		return "", errTaken
	}
	return c.Store.Put(ctx, id, r, size)
}

func newTestSpool(t *testing.T, store blob.Store) *spool {
	s := New(Config{Blobs: store, Pending: new(blob.Pending), Now: time.Now})
	p := s.newSpool(t.Context())
	p.size = treehash.LeafSize
	return p
}

// TestSpool writes documents of several lengths in uneven steps and reads them
// back.
func TestSpool(t *testing.T) {
	t.Parallel()
	random := rand.NewChaCha8([32]byte{1})
	doc := make([]byte, 7*treehash.LeafSize/2)
	random.Read(doc)
	for _, size := range []int{1, 1000, treehash.LeafSize - 1, treehash.LeafSize, treehash.LeafSize + 1, 2 * treehash.LeafSize, len(doc)} {
		store := mem.New()
		p := newTestSpool(t, store)
		for rest := doc[:size]; len(rest) > 0; {
			n := min(len(rest), 1+int(random.Uint64()%500_000))
			if _, err := p.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		extents, total, err := p.end()
		p.asked = true
		p.close(t.Context(), nil)
		if err != nil || total != int64(size) || len(extents) != (size-1)/treehash.LeafSize+1 {
			t.Fatalf("%d bytes: %v, %d in %d extents", size, err, total, len(extents))
		}
		body := blob.OpenBody(t.Context(), store, extents, 0, total)
		got, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil || !bytes.Equal(got, doc[:size]) {
			t.Errorf("%d bytes: %v, read back %d", size, err, len(got))
		}
		for _, e := range extents {
			if p.s.cfg.Pending.Has(e.Blob) {
				t.Errorf("%d bytes: blob %s is still pending", size, e.Blob)
			}
			if sum := treehash.Leaf(doc[e.First:][:e.Size]); sum != e.TreeHash {
				t.Errorf("%d bytes: extent at %d has tree hash %s, want %s", size, e.First, e.TreeHash, sum)
			}
		}
	}
}

// TestSpoolFails checks that a document that cannot be stored whole leaves
// nothing behind, unless a row may name it.
func TestSpoolFails(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{false, true} {
		store := mem.New()
		p := newTestSpool(t, &choosy{Store: store, left: 2})
		_, err := p.Write(make([]byte, 5*treehash.LeafSize))
		if !errors.Is(err, errTaken) {
			t.Fatalf("write: %v", err)
		}
		p.asked = asked
		p.close(t.Context(), err)
		left := 0
		err = store.Walk(t.Context(), func(blob.Info) error { left++; return nil }, nil)
		if want := map[bool]int{true: 2}[asked]; err != nil || left != want {
			t.Errorf("asked %v: %d blobs left, want %d: %v", asked, left, want, err)
		}
	}
}
