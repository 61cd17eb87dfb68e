package pack_test

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/pack"
	"moraine/internal/treehash"
)

// lying is a body whose reader computed wrong digests of some leaves.
type lying struct {
	io.Reader
	leaves []treehash.Digest
}

func (l lying) Leaves() []treehash.Digest { return l.leaves }

// TestCheckNamesThePlace damages leaves of blobs that Check reads in batches,
// their frames or their digests, and wants the first place to be named, and
// the blobs beside to be shown whole.
func TestCheckNamesThePlace(t *testing.T) {
	t.Parallel()
	const leaf, frame = treehash.LeafSize, 64 << 10
	tests := []struct {
		name    string
		size    int64
		digests []int64 // leaves with wrong digests
		flips   []int64 // offsets of wrong bytes
		want    int64   // the offset that is named, from the beginning of the data
	}{
		{name: "first frame", size: 20 * leaf, flips: []int64{0}, want: 0},
		{name: "first digest", size: 20 * leaf, digests: []int64{0}, want: 0},
		{name: "frame in the middle of a batch", size: 20 * leaf, flips: []int64{5*leaf + 3*frame + 1}, want: 5*leaf + 3*frame},
		{name: "digest in the middle of a batch", size: 20 * leaf, digests: []int64{5}, want: 5 * leaf},
		{name: "end of the first batch", size: 20 * leaf, flips: []int64{16*leaf - 1}, want: 16*leaf - frame},
		{name: "beginning of the second batch", size: 20 * leaf, digests: []int64{16}, want: 16 * leaf},
		{name: "short leaf", size: 17*leaf + 5, digests: []int64{17}, want: 17 * leaf},
		{name: "last byte", size: 17*leaf + 5, flips: []int64{17*leaf + 4}, want: 17 * leaf},
		{name: "digest before frame", size: 9 * leaf, digests: []int64{2, 8}, flips: []int64{6 * leaf}, want: 2 * leaf},
		{name: "frame before digest", size: 9 * leaf, digests: []int64{7}, flips: []int64{6*leaf + frame}, want: 6*leaf + frame},
		{name: "one leaf", size: 300_000, digests: []int64{0}, want: 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 3*leaf+1, 500)
			data := blobtest.Bytes(tt.size)
			leaves := treehash.AppendLeaves(nil, data)
			for _, i := range tt.digests {
				leaves[i][3] ^= 1
			}
			ref, err := f.store.Put(t.Context(), moraine.NewBlobID(time.Now()), lying{bytes.NewReader(data), leaves}, tt.size)
			if err != nil {
				t.Fatal(err)
			}
			f.reopen() // the file is where it stays
			path, at, _, _ := pack.Place(f.store, ref)
			for _, off := range tt.flips {
				f.fs.Flip(path, at+off, 2)
			}
			var whole []moraine.BlobRef
			var wrong []string
			err = pack.CheckAll(t.Context(), f.store, func(i blob.Info, root treehash.Digest) error {
				whole = append(whole, i.Ref)
				if want := treehash.Root(treehash.AppendLeaves(nil, f.blobs[i.Ref])); root != want {
					t.Errorf("root of %s = %s, want %s", i.Ref, root, want)
				}
				return nil
			}, func(err error) { wrong = append(wrong, err.Error()) })
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(whole)
			if want := slices.Sorted(slices.Values(f.order)); !slices.Equal(whole, want) {
				t.Errorf("whole are %q, want %q", whole, want)
			}
			if want := fmt.Sprintf("%s is damaged at offset %d: checksum mismatch", filepath.Base(path), at+tt.want); !slices.Equal(wrong, []string{want}) {
				t.Errorf("damage is %q, want %q", wrong, want)
			}
			f.close()
		})
	}
}
