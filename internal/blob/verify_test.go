package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/mem"
	"moraine/internal/treehash"
)

const mib = treehash.LeafSize

// faulty changes what is read of blobs, behind the checks of the store.
type faulty struct {
	*mem.Store
	flip map[moraine.BlobRef][]int64 // offsets of bytes that come out wrong
	fail map[moraine.BlobRef]int64   // where reading fails
	end  map[moraine.BlobRef]int64   // where a blob ends too early
}

var errAway = moraine.Errorf(moraine.Unavailable, "the disk is away")

func (f *faulty) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	r, err := f.Store.Open(ctx, ref, off, n)
	if err != nil {
		return nil, err
	}
	return &faultyReader{ReadCloser: r, f: f, ref: ref, pos: off}, nil
}

type faultyReader struct {
	io.ReadCloser
	f   *faulty
	ref moraine.BlobRef
	pos int64
}

func (r *faultyReader) Read(p []byte) (int, error) {
	if fail, ok := r.f.fail[r.ref]; ok && r.pos >= fail {
		return 0, errAway
	}
	if end, ok := r.f.end[r.ref]; ok && r.pos >= end {
		return 0, io.EOF
	}
	n, err := r.ReadCloser.Read(p[:min(len(p), 64<<10)])
	for _, off := range r.f.flip[r.ref] {
		if off >= r.pos && off < r.pos+int64(n) {
			p[off-r.pos] ^= 0x40
		}
	}
	r.pos += int64(n)
	return n, err
}

// body is stored in blobs of the given sizes.
func body(t *testing.T, sizes ...int64) (*faulty, []moraine.Extent) {
	t.Helper()
	s := &faulty{Store: mem.New(), flip: map[moraine.BlobRef][]int64{}, fail: map[moraine.BlobRef]int64{}, end: map[moraine.BlobRef]int64{}}
	var extents []moraine.Extent
	var first int64
	for _, size := range sizes {
		data := blobtest.Bytes(size)
		h := treehash.NewHasher()
		h.Write(data)
		id := moraine.NewBlobID(time.Now())
		ref, err := s.Put(t.Context(), id, bytes.NewReader(data), size)
		if err != nil {
			t.Fatal(err)
		}
		extents = append(extents, moraine.Extent{First: first, Size: size, Blob: id, Ref: ref, TreeHash: h.Tree()})
		first += size
	}
	return s, extents
}

func leavesOf(size int64) int { return int((size + mib - 1) / mib) }

// TestVerify verifies bodies of blobs of all kinds of sizes, whole and with a
// wrong byte in the first, the middle and the last leaf of each blob.
func TestVerify(t *testing.T) {
	t.Parallel()
	tests := [][]int64{
		{},
		{1},
		{mib},
		{mib + 1},
		{2*mib - 1},
		{16 * mib},
		{16*mib + 1},
		{19 * mib},
		slices.Concat(slices.Repeat([]int64{mib}, 17), []int64{5}),
		{4 * mib, 4 * mib, 4 * mib, 4 * mib, 4 * mib, 77},
		{3*mib + 7, 1, 2 * mib, 500, 700, 15 * mib, mib - 1},
	}
	for _, sizes := range tests {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			t.Parallel()
			s, extents := body(t, sizes...)
			total, steps := 0, 0
			for _, e := range extents {
				total += leavesOf(e.Size)
			}
			if err := blob.Verify(t.Context(), s, extents, func() error { steps++; return nil }); err != nil || steps != total {
				t.Errorf("Verify took %d steps for %d leaves: %v", steps, total, err)
			}
			for _, e := range extents {
				last := leavesOf(e.Size) - 1
				for _, leaf := range slices.Compact([]int{0, last / 2, last}) {
					from := int64(leaf) * mib
					off := []int64{from, min(from+mib, e.Size) - 1}[leaf%2]
					s.flip[e.Ref] = []int64{off}
					err := blob.Verify(t.Context(), s, extents, func() error { return nil })
					want := fmt.Sprintf("blob %s: leaf %d of %s fails its digest", e.Blob, leaf, e.Ref)
					if !moraine.IsKind(err, moraine.Corrupt) || err.Error() != want {
						t.Errorf("with byte %d of %s flipped: %v, want %s", off, e.Ref, err, want)
					}
				}
				delete(s.flip, e.Ref)
			}
			if n := s.Readers(); n != 0 {
				t.Errorf("%d readers are open", n)
			}
		})
	}
}

// TestVerifyStops checks which of several faults is told.
func TestVerifyStops(t *testing.T) {
	t.Parallel()
	errStop := errors.New("stop")
	tests := []struct {
		name  string
		fault func(s *faulty, e []moraine.Extent)
		steps int // after which step fails; 0 never
		want  string
		kind  moraine.Kind
	}{
		{
			name:  "unreadable",
			fault: func(s *faulty, e []moraine.Extent) { s.fail[e[1].Ref] = mib },
			want:  "the disk is away", kind: moraine.Unavailable,
		},
		{
			name:  "ends early",
			fault: func(s *faulty, e []moraine.Extent) { s.end[e[1].Ref] = mib + 5 },
			want:  "ends in leaf 1", kind: moraine.Corrupt,
		},
		{
			name:  "ends between leaves",
			fault: func(s *faulty, e []moraine.Extent) { s.end[e[1].Ref] = mib },
			want:  "ends in leaf 1", kind: moraine.Corrupt,
		},
		{
			name: "damaged before it is unreadable",
			fault: func(s *faulty, e []moraine.Extent) {
				s.flip[e[0].Ref] = []int64{7}
				s.fail[e[1].Ref] = mib
			},
			want: "leaf 0 of m.1 fails", kind: moraine.Corrupt,
		},
		{
			name: "damaged after it is unreadable",
			fault: func(s *faulty, e []moraine.Extent) {
				s.flip[e[1].Ref] = []int64{mib + 7}
				s.fail[e[1].Ref] = mib
			},
			want: "the disk is away", kind: moraine.Unavailable,
		},
		{
			name:  "two damaged leaves",
			fault: func(s *faulty, e []moraine.Extent) { s.flip[e[1].Ref] = []int64{2 * mib, mib} },
			want:  "leaf 1 of m.2 fails", kind: moraine.Corrupt,
		},
		{
			name:  "another root",
			fault: func(_ *faulty, e []moraine.Extent) { e[1].TreeHash[31] ^= 1 },
			want:  "its row says", kind: moraine.Corrupt,
		},
		{
			name:  "gone",
			fault: func(s *faulty, e []moraine.Extent) { _ = s.Delete(context.Background(), e[1].Ref) },
			want:  "m.2", kind: moraine.NotFound,
		},
		{name: "stopped", fault: func(*faulty, []moraine.Extent) {}, steps: 3, want: "stop"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, extents := body(t, 2*mib, 3*mib, mib)
			tt.fault(s, extents)
			steps := 0
			err := blob.Verify(t.Context(), s, extents, func() error {
				if steps++; steps == tt.steps {
					return errStop
				}
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.steps == 0 && !moraine.IsKind(err, tt.kind) {
				t.Errorf("Verify = %v, want one with %q", err, tt.want)
			}
			if tt.steps > 0 && (!errors.Is(err, errStop) || steps != tt.steps) {
				t.Errorf("after %d steps: %v", steps, err)
			}
			if n := s.Readers(); n != 0 {
				t.Errorf("%d readers are open", n)
			}
		})
	}
}
