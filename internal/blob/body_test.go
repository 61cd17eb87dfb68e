package blob_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"moraine"
	"moraine/internal/blob"
)

// begun counts the readers that were told to begin, and those open at a time.
type begun struct {
	*faulty
	count, most int
	open        int // how often Open may still fail
}

func (b *begun) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	if b.open > 0 {
		b.open--
		return nil, errAway
	}
	r, err := b.faulty.Open(ctx, ref, off, n)
	if err != nil {
		return nil, err
	}
	b.most = max(b.most, b.Readers())
	return &beginner{r, b}, nil
}

type beginner struct {
	io.ReadCloser
	b *begun
}

func (b *beginner) Begin() { b.b.count++ }

// readAll reads a whole blob.
func readAll(t *testing.T, s blob.Store, e moraine.Extent) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), e.Ref, 0, e.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestBodyOpensAhead reads bodies and closes them on the way: the next extent is
// opened before its turn if it is not short, and none stays open.
func TestBodyOpensAhead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		sizes []int64
		off   int64
		n     int64 // 0 means to the end
		begun int
		most  int
	}{
		{name: "one", sizes: []int64{4 * mib}, begun: 0, most: 1},
		{name: "three", sizes: []int64{4 * mib, 4 * mib, 3*mib + 5}, begun: 2, most: 2},
		{name: "short ones", sizes: []int64{1000, 1000, 1000}, begun: 0, most: 1},
		{name: "short ones between", sizes: []int64{mib, 7, mib, mib}, begun: 2, most: 2},
		{name: "from within", sizes: []int64{4 * mib, 4 * mib}, off: 3*mib + 1, begun: 1, most: 2},
		{name: "up to an end", sizes: []int64{4 * mib, 4 * mib}, n: 4 * mib, begun: 0, most: 1},
		{name: "a byte beyond it", sizes: []int64{4 * mib, 4 * mib}, n: 4*mib + 1, begun: 1, most: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, extents := body(t, tt.sizes...)
			s := &begun{faulty: f}
			var want []byte
			for _, e := range extents {
				want = append(want, readAll(t, f, e)...)
			}
			want = want[tt.off:]
			if tt.n > 0 {
				want = want[:tt.n]
			}
			r := blob.OpenBody(t.Context(), s, extents, tt.off, int64(len(want)))
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, want) || s.count != tt.begun || s.most != tt.most {
				t.Errorf("got %d of %d bytes, %d begun, want %d, %d open at a time, want %d; %v",
					len(got), len(want), s.count, tt.begun, s.most, tt.most, err)
			}
			if err := r.Close(); err != nil || s.Readers() != 0 {
				t.Errorf("%d readers are open after Close, %v", s.Readers(), err)
			}
			for stop := 0; stop < len(want); stop += 700_000 {
				r := blob.OpenBody(t.Context(), s, extents, tt.off, int64(len(want)))
				if _, err := io.CopyN(io.Discard, r, int64(stop)); err != nil {
					t.Fatal(err)
				}
				if err := r.Close(); err != nil || s.Readers() != 0 {
					t.Errorf("%d readers are open after Close at byte %d, %v", s.Readers(), stop, err)
				}
			}
		})
	}
}

// TestBodyOpensAgain fails to open the next extent before its turn, which nobody
// is told if it can be opened then.
func TestBodyOpensAgain(t *testing.T) {
	t.Parallel()
	f, extents := body(t, 4*mib, 4*mib)
	s := &begun{faulty: f}
	r := blob.OpenBody(t.Context(), s, extents, 0, 8*mib)
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, mib); err != nil {
		t.Fatal(err)
	}
	s.open = 3
	if n, err := io.Copy(io.Discard, r); err != nil || n != 7*mib {
		t.Errorf("read %d bytes more, %v", n, err)
	}
}
