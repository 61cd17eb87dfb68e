package pack

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"

	"moraine"
)

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
	for _, w := range stalled {
		if _, err := io.Copy(w, bytes.NewReader(make([]byte, size-1))); err != nil {
			t.Error(err)
		}
		w.Close()
	}
	slow.Wait()
}
