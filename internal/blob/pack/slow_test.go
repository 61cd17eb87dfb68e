package pack

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"

	"moraine"
	"moraine/internal/treehash"
)

// digesting is a blob.Digester.
type digesting struct {
	r io.Reader
	h *treehash.Hasher
}

func (d *digesting) Read(p []byte) (int, error) {
	if d.h == nil {
		d.h = treehash.NewHasher()
	}
	n, err := d.r.Read(p)
	d.h.Write(p[:n])
	return n, err
}

func (d *digesting) Leaves() []treehash.Digest { return d.h.Leaves() }

// TestSlowBodiesHoldUpNobody fills the memory for small bodies with some that
// do not come on, and puts others meanwhile.
func TestSlowBodiesHoldUpNobody(t *testing.T) {
	t.Parallel()
	s, err := Open(Config{Dir: t.TempDir(), BufferMax: bufferMaxLeast})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const size = 1 << 20
	var slow sync.WaitGroup
	var stalled []*io.PipeWriter
	for i := range 8 { // twice what there is room for
		r, w := io.Pipe()
		stalled = append(stalled, w)
		slow.Go(func() {
			if _, err := s.Put(t.Context(), moraine.BlobID{1, byte(i)}, r, size); err != nil {
				t.Error(err)
			}
		})
		if _, err := w.Write([]byte("x")); err != nil { // returns when Put reads
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if _, err := s.Put(t.Context(), moraine.BlobID{2, byte(i)}, strings.NewReader("quick"), 5); err != nil {
			t.Error(err)
		}
	}
	// One that brings its digests goes through small buffers, and is whole.
	for i, n := range []int64{1, frameSize, frameSize + 1, size - 1, size} {
		data := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:n]
		ref, err := s.Put(t.Context(), moraine.BlobID{3, byte(i)}, &digesting{r: bytes.NewReader(data)}, n)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Open(t.Context(), ref, 0, n)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if r.Close(); err != nil || !bytes.Equal(got, data) {
			t.Errorf("a body of %d bytes reads as %d others, %v", n, len(got), err)
		}
		if leaves, err := s.Leaves(t.Context(), ref, 0, 1); err != nil || leaves[0] != treehash.Leaf(data) {
			t.Errorf("a body of %d bytes has leaves %v, %v", n, leaves, err)
		}
	}
	for _, w := range stalled {
		if _, err := io.Copy(w, bytes.NewReader(make([]byte, size-1))); err != nil {
			t.Error(err)
		}
		w.Close()
	}
	slow.Wait()
}
